//! The replenishment model through its public types, as services and backtests use it.

#![expect(clippy::unwrap_used, reason = "helpers of tests; clippy exempts only the test functions themselves")]

use contracts::{Action, Money, facts::Facts, money::Currency};
use models::{
    Band, Case, Judge,
    replenishment::{Answer, Assessment, Model, Options, Outcome, RankRequest, Request, Verb},
};
use proptest::prelude::*;
use serde_json::{Value, json};

fn model() -> Model {
    Model::standard().unwrap()
}

/// Four weeks of a shop's article, 20 a day and 30 at weekends, with four units left and a lead time around 4 days.
fn example() -> Value {
    let units: Vec<u32> = (0..28).map(|day| if day % 7 >= 5 { 30 } else { 18 + day % 5 }).collect();
    json!({
        "facts": {
            "product": "SKU-1", "location": "store-1", "as_of": "2026-11-23T08:00:00Z",
            "item": {
                "unit_cost": {"minor": 600, "currency": "EUR"}, "unit_price": {"minor": 1000, "currency": "EUR"},
                "pack": 6, "moq": 12
            },
            "place": {"region": "north"},
            "stock": {"on_hand": 40.0, "reserved": 5.0, "observed_at": "2026-11-23T07:59:00Z"},
            "demand": {"first_day": "2026-10-26", "units": units},
            "lead_time": {"supplier": "acme", "promised_days": 4.0, "seen_days": [4.0, 4.0, 5.0, 7.0, 4.0]}
        }
    })
}

fn donor() -> Value {
    json!({
        "location": "store-2", "region": "south",
        "stock": {"on_hand": 400.0, "observed_at": "2026-11-23T07:59:00Z"},
        "daily_demand": 10.0, "transfer_days": 1.0, "transfer_cost": {"minor": 3000, "currency": "EUR"}
    })
}

fn with(change: impl FnOnce(&mut Value)) -> Request {
    let mut value = example();
    change(&mut value["facts"]);
    serde_json::from_value(value).unwrap()
}

fn assess(request: &Request) -> Assessment {
    match model().judge(request).unwrap() {
        Answer::Scored(assessment) => *assessment,
        Answer::InsufficientData { missing, .. } => panic!("{missing:?}"),
    }
}

fn missing(request: &Request) -> Vec<String> {
    match model().judge(request).unwrap() {
        Answer::Scored(_) => Vec::new(),
        Answer::InsufficientData { missing, .. } => missing.into_iter().map(|missing| missing.pointer).collect(),
    }
}

#[test]
fn two_days_of_stock_against_five_of_lead_time_is_critical() {
    let answer = assess(&with(|_| ()));
    assert_eq!(answer.band, Band::Critical);
    assert!(answer.stock_out_probability > 0.99, "{answer:?}");
    // About 21 a day for 5.6 days, less the 35 that are not reserved.
    assert!((answer.demand.mean - 125.0).abs() < 10.0, "{answer:?}");
    assert!((answer.expected_units_lost - (answer.demand.mean - 35.0)).abs() < 2.0, "{answer:?}");
    let lost = answer.expected_margin_lost.unwrap();
    assert_eq!(lost.minor, (answer.expected_units_lost * 400.0).round() as i64);
    assert_eq!(answer.recommendation.action, Verb::Purchase);
    assert!(answer.recommendation.quantity >= answer.demand.p95 - 35.0);
    assert!(matches!(answer.recommendation.proposal, Some(Action::Purchase { quantity, .. }) if quantity % 6.0 == 0.0));
    assert_eq!(answer.valid_until, "2026-11-23T14:00:00Z".parse().unwrap());
}

#[test]
fn plenty_of_stock_asks_for_nothing() {
    let answer = assess(&with(|facts| facts["stock"]["on_hand"] = json!(400.0)));
    assert_eq!((answer.band, answer.recommendation.action), (Band::Low, Verb::None));
    assert_eq!(answer.recommendation.quantity, 0.0);
}

#[test]
fn a_receipt_in_time_lowers_the_risk_and_a_late_one_does_not() {
    let incoming =
        |due: &str| assess(&with(|facts| facts["incoming"] = json!([{"order": "P1", "due": due, "quantity": 200.0}])));
    let (none, early, late) = (assess(&with(|_| ())), incoming("2026-11-24"), incoming("2026-12-20"));
    assert!(early.stock_out_probability < 0.1, "{early:?}");
    assert_eq!(late.stock_out_probability, none.stock_out_probability);
    // Before a receipt on the third day 35 units must last two days of some 20.
    let third = incoming("2026-11-25");
    assert!((0.3..0.95).contains(&third.stock_out_probability), "{third:?}");
}

#[test]
fn days_without_stock_are_not_days_without_demand() {
    let gaps: Vec<f64> = (0..28).map(|day| if day % 4 == 3 { 1.0 } else { 0.0 }).collect();
    let blanked = |facts: &mut Value| {
        for day in (3..28).step_by(4) {
            facts["demand"]["units"][day] = json!(0);
        }
    };
    let known = assess(&with(|facts| {
        blanked(facts);
        facts["demand"]["out_of_stock"] = json!(gaps);
    }));
    let unknown = assess(&with(blanked));
    let full = assess(&with(|_| ()));
    assert!((known.demand.mean / full.demand.mean - 1.0).abs() < 0.05, "{known:?}");
    assert!(unknown.demand.mean < 0.85 * full.demand.mean, "{unknown:?}");
    assert_eq!(known.demand.in_stock_days, 21);
}

#[test]
fn a_planned_promotion_raises_demand_by_what_promotions_did() {
    let history = |facts: &mut Value| {
        let promoted: Vec<bool> = (0..28).map(|day| day % 7 < 2).collect();
        for day in (0..28).filter(|day| day % 7 < 2) {
            facts["demand"]["units"][day] = json!(40);
        }
        facts["demand"]["promotion"] = json!(promoted);
    };
    let plain = assess(&with(history));
    let promoted = assess(&with(|facts| {
        history(facts);
        facts["demand"]["promotion_ahead"] = json!(vec![true; 10]);
    }));
    let ratio = promoted.demand.mean / plain.demand.mean;
    assert!((1.2..1.9).contains(&ratio), "{ratio}");
    assert!(promoted.score >= plain.score);
}

#[test]
fn a_neighbour_with_plenty_gives_and_stays_safe() {
    let answer = assess(&with(|facts| facts["donors"] = json!([donor()])));
    let recommendation = &answer.recommendation;
    assert_eq!(recommendation.action, Verb::Transfer);
    let from = recommendation.from.as_ref().unwrap();
    assert!(from.cross_region);
    assert!(
        from.stock_out_probability_after <= 0.1
            && from.stock_out_probability_after >= from.stock_out_probability_before
    );
    assert_eq!(recommendation.quantity.fract(), 0.0);
    assert!(recommendation.stock_out_probability_after < answer.stock_out_probability);
    assert!(recommendation.expected_units_lost_after < answer.expected_units_lost);
    assert_eq!(recommendation.projected_available, 35.0 + recommendation.quantity);
    assert!(matches!(&recommendation.proposal, Some(Action::Transfer { from, .. }) if from.as_str() == "store-2"));
    let forbidden = Request {
        options: Options { allow_transfer: false, ..Options::default() },
        ..with(|facts| facts["donors"] = json!([donor()]))
    };
    assert_eq!(assess(&forbidden).recommendation.action, Verb::Purchase);
}

#[test]
fn a_transfer_that_costs_more_than_it_saves_is_not_made() {
    let dear = with(|facts| {
        facts["donors"] = json!([donor()]);
        facts["donors"][0]["transfer_cost"]["minor"] = json!(10_000_000);
    });
    assert_eq!(assess(&dear).recommendation.action, Verb::Purchase);
}

#[test]
fn a_donor_that_needs_its_stock_keeps_it() {
    let poor = with(|facts| {
        facts["donors"] = json!([donor()]);
        facts["donors"][0]["stock"]["on_hand"] = json!(50.0);
    });
    assert_eq!(assess(&poor).recommendation.action, Verb::Purchase);
}

#[test]
fn what_is_missing_is_named_instead_of_guessed() {
    let young = with(|facts| facts["demand"] = json!({"first_day": "2026-11-20", "units": [1.0, 2.0, 3.0]}));
    assert_eq!(missing(&young), ["/facts/demand/units", "/facts/demand/out_of_stock"]);
    let gone = with(|facts| facts["demand"]["out_of_stock"] = json!(vec![1.0; 28]));
    assert_eq!(missing(&gone), ["/facts/demand/out_of_stock"]);
    let old = with(|facts| facts["as_of"] = json!("2027-02-01T00:00:00Z"));
    assert_eq!(missing(&old), ["/facts/demand/first_day"]);
    let unknown = with(|facts| facts["lead_time"] = json!({}));
    assert_eq!(missing(&unknown), ["/facts/lead_time/seen_days"]);
    let answer = serde_json::to_value(model().judge(&unknown).unwrap()).unwrap();
    assert_eq!(answer["status"], "insufficient_data");
    assert!(answer.get("error").is_none());
}

#[test]
fn bad_numbers_are_refused_by_pointer() {
    let mut request = with(|facts| {
        facts["stock"]["on_hand"] = json!(-1.0);
        facts["lead_time"]["seen_days"] = json!([1e300]);
        facts["item"]["unit_cost"]["currency"] = json!("USD");
        facts["donors"] = json!([donor()]);
        facts["donors"][0]["transfer_cost"]["currency"] = json!("CHF");
    });
    request.options.service_target = f64::NAN;
    request.options.review_period_days = -1.0;
    let pointers: Vec<_> = model().judge(&request).unwrap_err().into_iter().map(|error| error.pointer).collect();
    assert_eq!(
        pointers,
        [
            "/facts/stock/on_hand",
            "/facts/lead_time/seen_days/0",
            "/options/service_target",
            "/options/review_period_days",
            "/facts/item/unit_price/currency",
            "/facts/donors/0/transfer_cost/currency"
        ]
    );
    let unknown_field = serde_json::from_value::<Request>(json!({"facts": example()["facts"], "option": {}}));
    assert!(unknown_field.unwrap_err().to_string().contains("option"));
}

#[test]
fn without_margin_units_are_told_and_money_is_not() {
    let answer = assess(&with(|facts| facts["item"] = json!({})));
    assert_eq!(answer.expected_margin_lost, None);
    assert!(answer.expected_units_lost > 50.0);
    assert!(serde_json::to_value(&answer).unwrap().get("expected_margin_lost").is_none());
}

#[test]
fn the_same_request_has_the_same_answer_and_hashes_tell_requests_apart() {
    let (a, b) = (assess(&with(|_| ())), assess(&with(|_| ())));
    assert_eq!(a, b);
    let moved = assess(&with(|facts| facts["stock"]["on_hand"] = json!(41.0)));
    assert_ne!(a.input_hash, moved.input_hash);
    let facts: Facts = serde_json::from_value(example()["facts"].clone()).unwrap();
    assert_eq!(a.facts_hash.unwrap(), facts.digest().unwrap());
    assert_eq!((a.model.name.as_str(), a.model.version.as_str()), ("replenishment-priority", "1"));
}

#[test]
fn a_perishable_is_bought_for_what_it_sells_before_it_spoils() {
    let fresh = assess(&with(|facts| facts["item"]["shelf_life_days"] = json!(2)));
    let durable = assess(&with(|_| ()));
    assert!(fresh.recommendation.target < durable.recommendation.target);
    // The newsvendor's 40 % lies below the median.
    assert!(fresh.recommendation.target <= fresh.demand.p50);
}

#[test]
fn a_budget_goes_where_it_protects_most_margin() {
    let items = vec![
        with(|facts| facts["item"]["unit_price"]["minor"] = json!(700)),
        with(|facts| facts["product"] = json!("SKU-2")),
        with(|facts| facts["item"] = json!({})),
    ];
    let euro = Currency::new("EUR").unwrap();
    let ranking =
        model().rank(&RankRequest { items, budget: Money::new(60_000, euro), volume_budget_litres: None }).unwrap();
    assert_eq!(ranking.lines.iter().map(|line| line.index).collect::<Vec<_>>(), [1, 0]);
    let [best, other] = &ranking.lines[..] else { panic!("{ranking:?}") };
    assert!(best.first_return > other.first_return && best.quantity > 0.0);
    assert!(ranking.spent.minor <= 60_000 && ranking.spent.minor == best.cost.minor + other.cost.minor);
    assert_eq!(best.quantity % 6.0, 0.0);
    assert_eq!(ranking.left_out.iter().map(|item| item.index).collect::<Vec<_>>(), [2]);
    let none = model()
        .rank(&RankRequest { items: Vec::new(), budget: Money::new(-1, euro), volume_budget_litres: None })
        .unwrap_err();
    assert_eq!(none.iter().map(|error| error.pointer.as_str()).collect::<Vec<_>>(), ["/items", "/budget/minor"]);
}

#[test]
fn what_takes_little_room_goes_first_when_room_is_scarce() {
    let item = |product: &str, litres: f64| {
        with(|facts| {
            facts["product"] = json!(product);
            facts["item"]["unit_volume_litres"] = json!(litres);
        })
    };
    let items = vec![item("bulky", 40.0), item("small", 0.5), with(|_| ())];
    let euro = Currency::new("EUR").unwrap();
    let rank =
        |room| RankRequest { items: items.clone(), budget: Money::new(10_000_000, euro), volume_budget_litres: room };
    let ranking = model().rank(&rank(Some(700.0))).unwrap();
    assert_eq!(ranking.lines.iter().map(|line| line.product.as_str()).collect::<Vec<_>>(), ["small", "bulky"]);
    let [small, bulky] = &ranking.lines[..] else { panic!("{ranking:?}") };
    let volume = bulky.quantity * 40.0 + small.quantity * 0.5;
    assert!(volume <= 700.0 && ranking.volume_litres == Some(volume), "{ranking:?}");
    assert_eq!(ranking.left_out[0].missing[0].pointer, "/facts/item/unit_volume_litres");
    let roomy = model().rank(&rank(None)).unwrap();
    assert!(roomy.lines[0].quantity > bulky.quantity && roomy.left_out.is_empty() && roomy.volume_litres.is_none());
    assert_eq!(model().rank(&rank(Some(f64::NAN))).unwrap_err()[0].pointer, "/volume_budget_litres");
}

#[test]
fn a_dear_order_is_made_large_enough_to_be_worth_it() {
    let mut request = with(|_| ());
    let plain = assess(&request).recommendation.quantity;
    request.options.order_cost = Some(Money::new(20_000, Currency::new("EUR").unwrap()));
    // Some 20 a day, 200 an order, 1.50 a unit and year: lots of about 1,400.
    let large = assess(&request).recommendation.quantity;
    assert!((1_200.0..1_600.0).contains(&large) && large > plain && large % 6.0 == 0.0, "{large}");
    request.facts.item.shelf_life_days = Some(20);
    let fresh = assess(&request).recommendation.quantity;
    assert!(fresh > plain && fresh < 26.0 * 23.0, "no more than sells until it spoils: {fresh}");
}

#[test]
fn what_can_be_sold_off_is_bought_more_boldly() {
    let perishable = |salvage: i64| {
        assess(&with(|facts| {
            facts["item"]["shelf_life_days"] = json!(2);
            facts["item"]["salvage_value"] = json!({"minor": salvage, "currency": "EUR"});
        }))
        .recommendation
        .target
    };
    assert!(perishable(500) > perishable(0));
}

#[test]
fn a_planned_discount_raises_demand_by_the_article_s_own_elasticity() {
    let history = |facts: &mut Value, at_half_price: u32| {
        let cheap: Vec<f64> = (0..28).map(|day| if day % 7 == 2 { 0.5 } else { 1.0 }).collect();
        for day in (2..28).step_by(7) {
            facts["demand"]["units"][day] = json!(at_half_price);
        }
        facts["demand"]["price_share"] = json!(cheap);
    };
    let ratio = |at_half_price: u32| {
        let plain = assess(&with(|facts| history(facts, at_half_price)));
        let cheap = assess(&with(|facts| {
            history(facts, at_half_price);
            facts["demand"]["price_share_ahead"] = json!(vec![0.5; 14]);
        }));
        cheap.demand.mean / plain.demand.mean
    };
    let (elastic, usual, indifferent) = (ratio(80), ratio(46), ratio(20));
    assert!((3.0..4.4).contains(&elastic), "{elastic}");
    assert!((2.0..2.7).contains(&usual), "{usual}");
    assert!((0.9..1.4).contains(&indifferent), "{indifferent}");
}

#[test]
fn advertised_weeks_are_read_and_planned_apart_from_others() {
    let weekly = |ahead: Value| {
        let units: Vec<u32> = (0..26).map(|week| if week % 5 == 1 { 300 } else { 100 }).collect();
        let advertised: Vec<bool> = (0..26).map(|week| week % 5 == 1).collect();
        assess(&with(|facts| {
            facts["demand"] = json!({"first_day": "2026-05-25", "every": "week", "units": units,
                "advertised": advertised, "advertised_ahead": ahead});
            facts["lead_time"] = json!({"seen_days": [13.0, 13.0]});
        }))
    };
    let (plain, planned) = (weekly(json!([])), weekly(json!([false, true])));
    // Lead time and review are two weeks of 100, or of 100 and 300.
    assert!((plain.demand.days - 14.0).abs() < 1e-9 && (plain.demand.mean / 200.0 - 1.0).abs() < 0.1, "{plain:?}");
    assert!((planned.demand.mean / 400.0 - 1.0).abs() < 0.1, "{planned:?}");
    assert!((plain.demand.daily - 100.0 / 7.0).abs() < 1.5);
}

/// Croston's method keeps its last level through any number of empty months; Teunter, Syntetos and Babai 2011 do not.
#[test]
fn a_part_that_died_out_is_expected_to_stay_dead() {
    let monthly = |empty: usize| {
        let units: Vec<u32> = (0..36).map(|month| if month < 36 - empty { [0, 4, 0][month % 3] } else { 0 }).collect();
        assess(&with(|facts| {
            facts["demand"] = json!({"first_day": "2023-11-01", "every": "month", "units": units});
            facts["lead_time"] = json!({"seen_days": [91.3125]});
        }))
    };
    let [alive, ailing, dead] = [0, 9, 24].map(|empty| monthly(empty).demand.mean);
    assert!((3.0..5.5).contains(&alive), "{alive}");
    assert!(ailing < 0.6 * alive && dead < 0.1 * alive, "{alive} {ailing} {dead}");
}

#[test]
fn a_holiday_ahead_is_a_weekend_day_and_a_worked_weekend_is_none() {
    let mean = |off: bool| {
        assess(&with(|facts| {
            facts["demand"]["units"] = json!((0..28).map(|day| if day % 7 >= 5 { 60 } else { 20 }).collect::<Vec<_>>());
            facts["demand"]["holiday_ahead"] = json!(vec![off; 14]);
        }))
        .demand
        .mean
    };
    assert!(mean(true) > 1.1 * mean(false));
}

#[test]
fn facts_that_contradict_each_other_are_named() {
    let request = with(|facts| {
        facts["demand"]["every"] = json!("week");
        facts["demand"]["holiday"] = json!(vec![false; 28]);
        facts["demand"]["price_share"] = json!([1.0, 1.5]);
        facts["demand"]["advertised_ahead"] = json!(vec![true; 400]);
        facts["item"]["unit_volume_litres"] = json!(-1.0);
        facts["item"]["salvage_value"] = json!({"minor": -1, "currency": "EUR"});
        facts["incoming"] = json!([{"order": "P1", "due": "2026-12-01", "quantity": 1.0},
            {"order": "P2", "due": "2026-11-30", "quantity": 1.0}]);
    });
    let pointers: Vec<_> = model().judge(&request).unwrap_err().into_iter().map(|error| error.pointer).collect();
    assert_eq!(
        pointers,
        [
            "/facts/item/unit_volume_litres",
            "/facts/demand/price_share",
            "/facts/demand/advertised_ahead",
            "/facts/demand/holiday",
            "/facts/demand/price_share/1",
            "/facts/incoming/1/due",
            "/facts/item/salvage_value/minor"
        ]
    );
}

#[test]
fn parameters_out_of_range_are_named() {
    let mut parameters = model().parameters().clone();
    parameters.demand.week.decay = 1.5;
    let told = Model::new(parameters).unwrap_err().to_string();
    assert!(told.contains("/demand/week/decay"), "{told}");
}

/// Cases of articles that sell 20 a day, of which 30 come on average: a fit has to find the factor.
fn cases_that_sell(factor: f64) -> Vec<Case<Request, Outcome>> {
    let case = |i: u32| {
        let request = with(|facts| {
            facts["demand"]["units"] = json!((0..28).map(|day| 12 + (day * 7 + i) % 17).collect::<Vec<_>>());
            facts["lead_time"] = json!({"seen_days": [2.0 + f64::from(i % 3)]});
        });
        let days = 3.0 + f64::from(i % 3);
        let demand = (20.0 * days * factor * (0.8 + 0.4 * f64::from(i % 5) / 4.0)).round();
        Case { request, outcome: Outcome { demand: Some(demand), ..Outcome::default() } }
    };
    (0..250).map(case).collect()
}

#[test]
fn a_fit_finds_the_level_that_came_and_measures_better() {
    let cases = cases_that_sell(1.5);
    let fitted = Model::fit(model().parameters(), "2", &cases, &mut |_| ()).unwrap();
    assert!((fitted.demand.day.calibration - 1.5).abs() < 0.15, "{:?}", fitted.demand.day);
    assert_eq!(fitted.demand.week, model().parameters().demand.week, "no weekly case was seen");
    let (before, after) = (model().backtest(&cases), Model::new(fitted).unwrap().backtest(&cases));
    assert_eq!((before.figures[0].name.as_str(), before.cases), ("weighted_quantile_loss", 250));
    assert!(after.figures[0].value < 0.7 * before.figures[0].value, "{before:?} {after:?}");
    assert!(matches!(
        Model::fit(model().parameters(), "2", &cases[..50], &mut |_| ()),
        Err(models::FitError::TooFew { found: 50, .. })
    ));
}

#[test]
fn known_stock_outs_measure_a_model_where_demand_is_unknown() {
    let cases: Vec<_> = [(4.0, true), (900.0, false), (2.0, true)]
        .map(|(on_hand, stocked_out)| Case {
            request: with(|facts| facts["stock"] = json!({"on_hand": on_hand, "observed_at": "2026-11-23T07:59:00Z"})),
            outcome: Outcome { stocked_out: Some(stocked_out), ..Outcome::default() },
        })
        .into();
    let figures = model().backtest(&cases).figures;
    assert!(figures[0].name == "stock_out_brier" && figures[0].value < 0.01, "{figures:?}");
}

prop_compose! {
    /// Any article: sparse or fast, patchy stock, some receipts, short or long lead times.
    fn any_request()(
        units in prop::collection::vec(0_u32..60, 14..60),
        sparse in 1_u32..8,
        gaps in prop::collection::vec(prop::sample::select(vec![0.0, 0.0, 0.0, 0.3]), 60),
        on_hand in 0_u32..400,
        incoming in prop::collection::vec((0_i64..20, 1_u32..200), 0..4),
        seen in prop::collection::vec(0_u32..30, 1..30),
        margin in 0_i64..3000,
        pack in 1_u32..13,
        ahead in prop::collection::vec(any::<bool>(), 0..20),
    ) -> Request {
        with(|facts| {
            let mut incoming = incoming;
            incoming.sort_unstable();
            let due = |days: i64| "2026-11-23".parse::<jiff::civil::Date>().unwrap() + jiff::Span::new().days(days);
            let days = units.len();
            facts["demand"] = json!({
                "first_day": due(-(days as i64)),
                "units": units.iter().enumerate().map(|(i, u)| if (i as u32).is_multiple_of(sparse) { *u } else { 0 }).collect::<Vec<_>>(),
                "out_of_stock": gaps[..days],
                "promotion_ahead": ahead,
            });
            facts["stock"]["on_hand"] = json!(f64::from(on_hand));
            facts["incoming"] = incoming.iter().enumerate()
                .map(|(i, (days, quantity))| json!({"order": format!("P{i}"), "due": due(*days), "quantity": quantity}))
                .collect();
            facts["lead_time"]["seen_days"] = json!(seen);
            facts["item"]["unit_price"]["minor"] = json!(600 + margin);
            facts["item"]["pack"] = json!(pack);
            facts["donors"] = json!([donor()]);
        })
    }
}

#[test]
fn the_largest_and_smallest_numbers_allowed_still_have_an_answer() {
    let extremes = [(1e9, 3650.0, 1e9), (1e-300, 3650.0, 0.0), (0.0, 0.0, 0.0), (1e9, 0.0, 0.0), (3e4, 400.0, 1.1e7)];
    for (units, days, on_hand) in extremes {
        let request = with(|facts| {
            facts["demand"]["units"] = json!(vec![units; 28]);
            facts["stock"]["on_hand"] = json!(on_hand);
            facts["lead_time"]["seen_days"] = json!([days, days * 0.5]);
            facts["item"]["unit_price"]["minor"] = json!(1_000_000_000);
        });
        let answer = assess(&request);
        let text = serde_json::to_string(&answer).unwrap();
        assert!(!text.contains("null"), "a number is not finite: {text}");
        assert!((0.0..=1.0).contains(&answer.stock_out_probability), "{text}");
        assert!(answer.demand.p05 <= answer.demand.p50 && answer.demand.p50 <= answer.demand.p95, "{text}");
        assert!(answer.demand.p50 <= 3.0 * answer.demand.mean + 1.0, "{text}");
    }
}

/// Slack for the last bits of floating point sums.
const DUST: f64 = 1e-9;

proptest! {
    #[test]
    fn more_stock_never_raises_urgency(request in any_request(), more in 1_u32..100) {
        let mut richer = request.clone();
        richer.facts.stock.on_hand += f64::from(more);
        let (before, after) = (assess(&request), assess(&richer));
        prop_assert!(after.score <= before.score);
        prop_assert!(after.stock_out_probability <= before.stock_out_probability + DUST);
        prop_assert!(after.expected_units_lost <= before.expected_units_lost + DUST);
    }

    #[test]
    fn a_longer_lead_time_never_lowers_urgency(request in any_request(), longer in 1_u32..20, which in any::<prop::sample::Index>()) {
        let mut slower = request.clone();
        let index = which.index(slower.facts.lead_time.seen_days.len());
        slower.facts.lead_time.seen_days[index] += f64::from(longer);
        let (before, after) = (assess(&request), assess(&slower));
        prop_assert!(after.score >= before.score);
        prop_assert!(after.demand.p95 >= before.demand.p95);
    }

    #[test]
    fn contributions_add_up_to_the_score_exactly(request in any_request()) {
        let answer = assess(&request);
        let sum: i64 = answer.contributions.iter().map(|part| part.micros).sum();
        prop_assert_eq!(sum, i64::from(answer.score.micros()));
        prop_assert_eq!(answer.contributions.len(), 7);
    }

    #[test]
    fn a_counterfactual_is_true_and_smallest(request in any_request()) {
        let answer = assess(&request);
        prop_assert!(answer.band == Band::Low || answer.counterfactuals[0].pointer == "/facts/stock/on_hand");
        for change in &answer.counterfactuals {
            let apply = |value: f64| {
                let mut changed = request.clone();
                if change.pointer == "/facts/stock/on_hand" {
                    changed.facts.stock.on_hand = value;
                } else {
                    let lead_time = &mut changed.facts.lead_time;
                    lead_time.seen_days.iter_mut().chain(&mut lead_time.promised_days).for_each(|days| *days = days.min(value));
                }
                assess(&changed)
            };
            let applied = apply(change.value_needed);
            prop_assert_eq!((applied.band, applied.score), (change.band_then, change.score_then));
            prop_assert_ne!(applied.band, answer.band);
            let step = (change.value_now - change.value_needed).signum();
            prop_assert_eq!(apply(change.value_needed + step).band, answer.band);
        }
    }

    #[test]
    fn quantities_can_be_ordered_and_help(request in any_request()) {
        let answer = assess(&request);
        let recommendation = &answer.recommendation;
        match recommendation.action {
            Verb::None => prop_assert_eq!(recommendation.quantity, 0.0),
            Verb::Purchase => {
                prop_assert_eq!(recommendation.quantity % f64::from(request.facts.item.pack.unwrap()), 0.0);
                prop_assert!(recommendation.quantity >= 12.0);
                prop_assert!(recommendation.projected_available >= recommendation.target);
            }
            Verb::Transfer => {
                prop_assert!(recommendation.quantity >= 1.0 && recommendation.quantity.fract() == 0.0);
                prop_assert!(recommendation.from.as_ref().unwrap().stock_out_probability_after <= 0.1 + DUST);
                prop_assert!(recommendation.expected_units_lost_after < answer.expected_units_lost);
            }
        }
    }

    #[test]
    fn every_answer_survives_json(request in any_request()) {
        let answer = model().judge(&request).unwrap();
        let text = serde_json::to_string(&answer).unwrap();
        prop_assert!(!text.contains("null"), "a number is not finite: {}", text);
        prop_assert_eq!(serde_json::from_str::<Answer>(&text).unwrap(), answer);
    }
}
