//! The inventory-exception model through its public types, as services and backtests use it.

#![expect(clippy::unwrap_used, reason = "helpers of tests; clippy exempts only the test functions themselves")]

use models::{
    Case, Judge, ParameterError,
    inventory_exception::{Answer, Assessment, LearnError, Model, Outcome, Parameters, Request},
};
use proptest::prelude::*;
use serde_json::{Value, json};

fn model() -> Model {
    Model::standard().unwrap()
}

/// Twelve units too many of an article that comes in cases of twelve: announced were 24, booked 12.
fn example() -> Value {
    json!({
        "facts": {
            "product": "SKU-1", "location": "store-1", "category": "glassware", "as_of": "2026-11-23T08:00:00Z",
            "item": {"unit_cost": {"minor": 600, "currency": "EUR"}, "case_pack": 12.0, "theft_risk": 1},
            "count": {"system": 40.0, "counted": 52.0},
            "sales": {"units": 150.0, "days": 28.0, "idle_days": 0.0},
            "receipts": {"last_announced": 24.0, "last_posted": 12.0, "last_days_ago": 3.0}
        }
    })
}

fn with(change: impl FnOnce(&mut Value)) -> Request {
    let mut value = example();
    change(&mut value["facts"]);
    serde_json::from_value(value).unwrap()
}

fn assess(model: &Model, request: &Request) -> Assessment {
    match model.judge(request).unwrap() {
        Answer::Scored(assessment) => *assessment,
        Answer::InsufficientData { missing, .. } => panic!("{missing:?}"),
    }
}

fn probability(answer: &Assessment, class: &str) -> f64 {
    answer.classes.iter().find(|one| one.class == class).unwrap().probability
}

fn outcome(class: &str) -> Outcome {
    Outcome { class: class.to_owned() }
}

fn parameters(change: impl FnOnce(&mut Value)) -> Parameters {
    let mut value: Value = serde_json::from_str(Model::STANDARD).unwrap();
    change(&mut value);
    serde_json::from_value(value).unwrap()
}

#[test]
fn what_was_announced_but_not_booked_is_a_receiving_error_and_goes_there() {
    let answer = assess(&model(), &with(|_| ()));
    assert_eq!(answer.likely.as_deref(), Some("receiving_error"), "{answer:#?}");
    assert_eq!(answer.route.to, "receiving");
    let strongest = &answer.classes[0].evidence[0];
    assert_eq!(strongest.observed, "announced/explains_it");
    assert_eq!(strongest.pointer, "/facts/receipts/last_announced");
    assert!(strongest.says.contains("the supplier announced another quantity") && strongest.weight > 1.0);
    assert_eq!(answer.valid_until, "2026-11-26T08:00:00Z".parse().unwrap());
}

/// The causes that the facts are made for, each with its trace.
#[test]
fn each_cause_is_known_by_its_trace() {
    type Trace = (&'static str, fn(&mut Value));
    let traces: [Trace; 7] = [
        ("count_error", |facts| facts["count"] = json!({"system": 40.0, "counted": 37.0, "recount": 40.0})),
        ("entry_error", |facts| {
            facts["count"] = json!({"system": 35.0, "counted": 350.0});
            facts["handling"] = json!({"manual_entries": 1.0, "largest_scan": 315.0});
        }),
        ("misplacement", |facts| {
            facts["count"] = json!({"system": 40.0, "counted": 31.0});
            facts["neighbours"] = json!({"other_place": 9.0});
        }),
        ("timing_unposted", |facts| {
            facts["count"] = json!({"system": 40.0, "counted": 31.0});
            facts["moves"] = json!({"open_document_units": -9.0});
        }),
        ("damage", |facts| {
            facts["count"] = json!({"system": 40.0, "counted": 37.0});
            facts["handling"] = json!({"damage_reports": 2.0, "waste_units": 0.0});
        }),
        ("shrinkage", |facts| {
            facts["count"] = json!({"system": 40.0, "counted": 31.0});
            facts["item"]["theft_risk"] = json!(2);
        }),
        ("uom_error", |facts| {
            facts["count"] = json!({"system": 30.0, "counted": 8.0});
            facts["receipts"] = json!({"last_announced": 24.0, "last_posted": 24.0, "last_days_ago": 3.0});
        }),
    ];
    for (class, trace) in traces {
        let answer = assess(
            &model(),
            &with(|facts| {
                facts["receipts"] = json!({});
                trace(facts);
            }),
        );
        assert_eq!(answer.classes[0].class, class, "{answer:#?}");
    }
}

/// Two causes, 3 to 1; a unit worth 10.00; 20 units missing: 200.00 at stake. Theft is found by A for 30.00 of work
/// and loses 10 %, else everything is lost; a slip is found by B for 5.00 and loses nothing, by A half of it.
#[test]
fn the_route_is_the_cheapest_of_the_matrix_computed_by_hand() {
    let parameters = parameters(|all| {
        all["classes"] = json!([
            {"name": "theft", "prior": 3.0, "lost": {"a": 0.1, "b": 1.0, "none": 1.0}},
            {"name": "slip", "prior": 1.0, "lost": {"a": 0.5, "b": 0.0, "none": 0.8}}
        ]);
        all["routes"] =
            json!([{"name": "a", "work": 3000.0}, {"name": "b", "work": 500.0}, {"name": "none", "work": 0.0}]);
        all["unattended"] = json!("none");
        all["lost_when_unknown"] = json!({});
        all["evidence"] = json!({});
    });
    let request = with(|facts| {
        facts["item"] = json!({"unit_cost": {"minor": 1000, "currency": "EUR"}});
        facts["count"] = json!({"variance": -20.0});
    });
    let answer = assess(&Model::new(parameters).unwrap(), &request);
    // a: 3000 + 20000 (0.75 · 0.1 + 0.25 · 0.5); b: 500 + 20000 · 0.75; none: 20000 (0.75 + 0.25 · 0.8).
    let costs: Vec<(&str, f64)> =
        answer.route.alternatives.iter().map(|one| (one.to.as_str(), one.expected_cost_minor.round())).collect();
    assert_eq!(costs, [("a", 7000.0), ("b", 15500.0), ("none", 19000.0)]);
    assert_eq!(answer.route.expected_cost.unwrap().minor, 7000);
    // Knowing the cause: theft to a for 5000, slip to b for 500: 0.75 · 5000 + 0.25 · 500 = 3875.
    assert_eq!(answer.route.cost_of_being_wrong.unwrap().minor, 7000 - 3875);
    assert_eq!(answer.expected_loss.unwrap().minor, 19000);
    // 1 - e^(-19000 / 10000).
    assert!((f64::from(answer.score.micros()) / 1e6 - 0.850_431).abs() < 1e-6);
}

#[test]
fn a_trifle_is_not_worth_anybodys_time() {
    let answer = assess(
        &model(),
        &with(|facts| {
            facts["item"]["unit_cost"]["minor"] = json!(20);
            facts["count"] = json!({"variance": -2.0});
        }),
    );
    assert_eq!(answer.route.to, "nobody");
}

#[test]
fn the_variance_alone_is_enough_and_without_it_nothing_is() {
    let bare = with(|facts| {
        *facts =
            json!({"product": "SKU-1", "location": "s", "as_of": "2026-11-23T08:00:00Z", "count": {"variance": -3.0}});
    });
    let answer = assess(&model(), &bare);
    assert!(answer.abstained && answer.likely.is_none());
    assert_eq!((answer.route.expected_cost, answer.expected_loss), (None, None));
    let none = with(|facts| facts["count"] = json!({"system": 4.0}));
    let Answer::InsufficientData { missing, .. } = model().judge(&none).unwrap() else { panic!("judged") };
    assert_eq!(missing[0].pointer, "/facts/count/variance");
}

#[test]
fn bad_facts_are_refused_by_pointer() {
    let request = with(|facts| {
        facts["item"]["case_pack"] = json!(0.0);
        facts["item"]["theft_risk"] = json!(3);
        facts["item"]["unit_price"] = json!({"minor": 900, "currency": "USD"});
        facts["count"] = json!({"system": 1.0, "counted": -1.0, "variance": 7.0});
        facts["category"] = json!("");
        facts["neighbours"] = json!({"session": [{"product": "x", "units": 1e12, "at": "2026-11-23T08:00:00Z"}]});
    });
    let pointers: Vec<_> = model().judge(&request).unwrap_err().into_iter().map(|error| error.pointer).collect();
    assert_eq!(
        pointers,
        [
            "/facts/item/case_pack",
            "/facts/count/counted",
            "/facts/neighbours/session/0/units",
            "/facts/category",
            "/facts/item/theft_risk",
            "/facts/item/unit_price/currency",
            "/facts/count/variance"
        ]
    );
    let mut nan = with(|_| ());
    nan.facts.sales.units = Some(f64::NAN);
    assert_eq!(model().judge(&nan).unwrap_err()[0].pointer, "/facts/sales/units");
    let unknown = serde_json::from_value::<Request>(json!({"facts": example()["facts"], "option": {}}));
    assert!(unknown.unwrap_err().to_string().contains("option"));
}

#[test]
fn below_the_asked_probability_no_cause_is_named() {
    let strict = Model::new(parameters(|all| all["abstain"]["least_probability"] = json!(1.0))).unwrap();
    let answer = assess(&strict, &with(|_| ()));
    assert!(answer.abstained && answer.likely.is_none());
    assert_eq!(answer.classes[0].class, "receiving_error");
}

#[test]
fn a_parameter_out_of_range_is_named() {
    let pointer = |change: fn(&mut Value)| match Model::new(parameters(change)).unwrap_err() {
        ParameterError::Range { pointer, .. } => pointer,
        other => panic!("{other:?}"),
    };
    assert_eq!(pointer(|all| all["unattended"] = json!("x")), "/unattended");
    assert_eq!(pointer(|all| all["classes"][1]["prior"] = json!(0.0)), "/classes/1/prior");
    assert_eq!(pointer(|all| all["classes"][0]["lost"]["recount"] = json!(2.0)), "/classes/0/lost/recount");
    assert_eq!(pointer(|all| all["evidence"]["recount"]["at_book"]["x"] = json!(1.0)), "/evidence/recount/at_book/x");
    assert_eq!(pointer(|all| all["evidence"]["moon"] = json!({})), "/evidence/moon");
}

#[test]
fn what_is_learnt_survives_storage_and_fits_its_own_parameters_only() {
    let mut learning = model();
    learning.learn(&with(|_| ()), &outcome("damage")).unwrap();
    let stored = serde_json::to_string(learning.learned()).unwrap();
    let back = model().with_learned(serde_json::from_str(&stored).unwrap()).unwrap();
    let (a, b) = (assess(&learning, &with(|_| ())), assess(&back, &with(|_| ())));
    assert_eq!(a.learned_cases, 1);
    for (a, b) in a.classes.iter().zip(&b.classes) {
        assert!((a.probability - b.probability).abs() < 1e-12);
    }
    let other = Model::new(parameters(|all| all["version"] = json!("2"))).unwrap();
    assert_eq!(other.with_learned(learning.learned().clone()).unwrap_err(), LearnError::OtherParameters);
    let mut damaged = learning.learned().clone();
    damaged.shifts.get_mut("location").unwrap().get_mut("store-1").unwrap().pop();
    assert!(matches!(model().with_learned(damaged), Err(LearnError::Unusable(what)) if what.contains("store-1")));
    let unknown = learning.learn(&with(|_| ()), &outcome("gremlins")).unwrap_err();
    assert!(unknown.to_string().contains("gremlins") && unknown.to_string().contains("shrinkage"));
}

#[test]
fn a_few_cases_change_little_and_many_take_over() {
    let request = with(|_| ());
    let mut learning = model();
    let before = probability(&assess(&learning, &request), "receiving_error");
    for _ in 0..2 {
        learning.learn(&request, &outcome("damage")).unwrap();
    }
    let few = probability(&assess(&learning, &request), "receiving_error");
    assert!(few < before && few > 0.5, "{before} {few}");
    for _ in 0..300 {
        learning.learn(&request, &outcome("damage")).unwrap();
    }
    let many = assess(&learning, &request);
    assert_eq!(many.likely.as_deref(), Some("damage"), "{many:#?}");
    // Elsewhere the same facts say the same, but not as loudly.
    let elsewhere = with(|facts| {
        facts["location"] = json!("store-2");
        facts["product"] = json!("SKU-2");
    });
    let there = probability(&assess(&learning, &elsewhere), "damage");
    assert!(there > 0.2 && there < probability(&many, "damage"), "{there}");
}

/// Cases whose class follows the direction nine times in ten.
fn cases(count: usize) -> Vec<Case<Request, Outcome>> {
    (0..count)
        .map(|i| {
            let missing = i % 2 == 0;
            let class = if missing != (i % 10 == 0) { "eaten_by_mice" } else { "found_behind_shelf" };
            let units = if missing { -4.0 } else { 4.0 };
            let request = with(|facts| facts["count"] = json!({"variance": units}));
            Case { request, outcome: outcome(class) }
        })
        .collect()
}

#[test]
fn a_fit_takes_the_classes_of_its_cases_and_tells_the_truth_about_them() {
    let start = Model::standard().unwrap();
    let mut shares = Vec::new();
    let fitted = Model::fit(start.parameters(), "2", &cases(400), &mut |share| shares.push(share)).unwrap();
    assert!(shares.is_sorted() && shares.last() == Some(&1.0));
    assert_eq!(fitted, Model::fit(start.parameters(), "2", &cases(400), &mut |_| ()).unwrap());
    let fitted = Model::new(fitted).unwrap();
    assert_eq!(fitted.reference().version, "2");
    let missing = assess(&fitted, &with(|facts| facts["count"] = json!({"variance": -4.0})));
    // Four shortages in five are of mice.
    assert!((probability(&missing, "eaten_by_mice") - 0.8).abs() < 0.05, "{missing:#?}");
    let figures = fitted.backtest(&cases(400));
    let figure = |name: &str| figures.figures.iter().find(|figure| figure.name == name).unwrap().value;
    assert_eq!((figures.cases, figures.figures[0].name.as_str()), (400, "macro_f1"));
    assert!((figure("accuracy") - 0.9).abs() < 1e-9 && figure("calibration_error") < 0.05);
    assert!(Model::fit(start.parameters(), "2", &cases(10), &mut |_| ()).is_err());
}

#[test]
fn a_backtest_counts_what_it_could_not_judge() {
    let unjudged = [
        Case { request: with(|facts| facts["count"] = json!({})), outcome: outcome("damage") },
        Case { request: with(|facts| facts["count"]["counted"] = json!(-1.0)), outcome: outcome("damage") },
        Case { request: with(|_| ()), outcome: outcome("receiving_error") },
    ];
    let figures = model().backtest(&unjudged);
    assert_eq!((figures.cases, figures.insufficient, figures.refused), (1, 1, 1));
    assert_eq!(figures.figures[0].value, 1.0);
}

#[test]
fn the_same_request_has_the_same_answer_and_hashes_tell_requests_apart() {
    let (a, b) = (assess(&model(), &with(|_| ())), assess(&model(), &with(|_| ())));
    assert_eq!(a, b);
    let other = assess(&model(), &with(|facts| facts["item"]["case_pack"] = json!(6.0)));
    assert_ne!(a.input_hash, other.input_hash);
}

prop_compose! {
    fn any_request()(
        system in 0_u32..200, counted in 0_u32..200, recount in prop::option::of(0_u32..200),
        cost in prop::option::of(1_i64..20_000), pack in prop::option::of(1_u32..30),
        (units, idle, line) in prop::option::of((0_u32..500, 0_u32..9, 1_u32..30)).prop_map(|all| match all {
            Some((units, idle, line)) => (Some(units), Some(idle), Some(line)),
            None => (None, None, None),
        }),
        announced in prop::option::of(0_u32..60), posted in prop::option::of(0_u32..60),
        open in prop::option::of(-30_i32..30), place in prop::option::of(-30_i32..30),
        damage in prop::option::of(0_u32..4), manual in prop::option::of(0_u32..3), scan in prop::option::of(0_u32..300),
    ) -> Request {
        let mut facts = json!({
            "product": "SKU-1", "location": "store-1", "as_of": "2026-11-23T08:00:00Z",
            "item": {"case_pack": pack}, "count": {"system": system, "counted": counted, "recount": recount},
            "sales": {"units": units, "days": units.map(|_| 28), "idle_days": idle, "typical_line": line},
            "receipts": {"last_announced": announced, "last_posted": posted},
            "moves": {"open_document_units": open}, "neighbours": {"other_place": place},
            "handling": {"damage_reports": damage, "manual_entries": manual, "largest_scan": scan}
        });
        if let Some(cost) = cost {
            facts["item"]["unit_cost"] = json!({"minor": cost, "currency": "EUR"});
        }
        serde_json::from_value(json!({"facts": facts})).unwrap()
    }
}

proptest! {
    #[test]
    fn probabilities_add_up_to_one_and_contributions_to_the_score(request in any_request()) {
        let answer = assess(&model(), &request);
        let total: f64 = answer.classes.iter().map(|class| class.probability).sum();
        prop_assert!((total - 1.0).abs() < 1e-9, "{total}");
        prop_assert!(answer.classes.iter().all(|class| class.probability > 0.0));
        prop_assert!(answer.classes.is_sorted_by(|a, b| a.probability >= b.probability));
        let parts: i64 = answer.contributions.iter().map(|part| part.micros).sum();
        prop_assert_eq!(parts, i64::from(answer.score.micros()));
        let costs: Vec<f64> = answer.route.alternatives.iter().map(|one| one.expected_cost_minor).collect();
        prop_assert!(costs.is_sorted());
    }

    #[test]
    fn a_counterfactual_holds_when_applied(request in any_request()) {
        let answer = assess(&model(), &request);
        for told in &answer.counterfactuals {
            let mut changed = serde_json::to_value(&request).unwrap();
            let (parent, field) = told.pointer.rsplit_once('/').unwrap();
            changed.pointer_mut(parent).unwrap()[field] = json!(told.value_needed);
            let then = assess(&model(), &serde_json::from_value(changed).unwrap());
            prop_assert!(then.band != answer.band);
            prop_assert_eq!((then.band, then.score), (told.band_then, told.score_then));
        }
    }

    /// A fact that is only there because of one cause: knowing it never makes that cause less likely.
    #[test]
    fn evidence_that_fits_a_cause_never_lowers_it(request in any_request(), which in 0_usize..5) {
        let variance = {
            let count = &request.facts.count;
            count.counted.unwrap() - count.system.unwrap()
        };
        let mut without = request;
        without.options.explain = false;
        let mut fitting = without.clone();
        let class = match which {
            0 => {
                without.facts.count.recount = None;
                fitting.facts.count.recount = fitting.facts.count.system;
                "count_error"
            }
            1 => {
                without.facts.moves.open_document_units = None;
                fitting.facts.moves.open_document_units = Some(variance);
                "timing_unposted"
            }
            2 => {
                without.facts.neighbours.other_place = None;
                fitting.facts.neighbours.other_place = Some(-variance);
                "misplacement"
            }
            3 => {
                without.facts.handling.damage_reports = None;
                fitting.facts.handling.damage_reports = Some(2.0);
                "damage"
            }
            _ => {
                without.facts.receipts.last_announced = None;
                fitting.facts.receipts.last_announced = fitting.facts.receipts.last_posted.map(|posted| posted + variance);
                "receiving_error"
            }
        };
        // A count that equals the book leaves nothing that any document could explain.
        prop_assume!(variance != 0.0);
        let (before, after) = (assess(&model(), &without), assess(&model(), &fitting));
        prop_assert!(probability(&after, class) >= probability(&before, class) - 1e-12, "{class}");
    }

    #[test]
    fn learning_moves_towards_what_was_observed_and_rules_nothing_out(
        mut request in any_request(), classes in prop::collection::vec(0_usize..8, 1..20),
    ) {
        request.options.explain = false;
        let mut learning = model();
        let names: Vec<String> = learning.parameters().classes.iter().map(|class| class.name.clone()).collect();
        for class in classes {
            let before = probability(&assess(&learning, &request), &names[class]);
            learning.learn(&request, &outcome(&names[class])).unwrap();
            let after = assess(&learning, &request);
            prop_assert!(probability(&after, &names[class]) > before);
            prop_assert!(after.classes.iter().all(|class| class.probability > 0.0));
        }
    }
}
