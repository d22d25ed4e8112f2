//! The snapshot model through its public types, as services and backtests use it.

#![expect(clippy::unwrap_used, reason = "helpers of tests; clippy exempts only the test functions themselves")]

use std::sync::LazyLock;

use models::{
    Band, Case, FitError, Judge,
    replenishment_snapshot::{Answer, Assessment, Model, Outcome, Request},
};
use proptest::prelude::*;
use serde_json::json;

/// A month's demand of 10 and a stock of 4 with a lead time of 8 weeks.
fn example() -> Request {
    serde_json::from_value(json!({
        "product": "SKU-1", "as_of": "2026-11-01T00:00:00Z",
        "stock": {"on_hand": 4.0, "in_transit": 2.0, "minimum": 5.0},
        "lead_time_weeks": 8.0,
        "forecast": {"months_3": 30.0, "months_6": 60.0, "months_9": 90.0},
        "sales": {"month_1": 9.0, "months_3": 28.0, "months_6": 55.0, "months_9": 80.0},
        "supplier": {"performance_6_months": 0.7, "performance_12_months": 0.8}
    }))
    .unwrap()
}

fn scored(model: &Model, request: &Request) -> Assessment {
    match model.judge(request).unwrap() {
        Answer::Scored(told) => *told,
        Answer::InsufficientData { missing, .. } => panic!("{missing:?}"),
    }
}

/// Articles whose backorders follow from cover and lead time alone, in a pattern that repeats itself.
fn history() -> Vec<Case<Request, Outcome>> {
    (0..3000_u32)
        .map(|i| {
            let mut request = example();
            let (stock, demand, weeks) = (f64::from(i % 23), f64::from(i % 7), f64::from(i % 13));
            request.stock.on_hand = Some(stock);
            request.lead_time_weeks = (i % 13 != 0).then_some(weeks);
            request.forecast.months_3 = 3.0 * demand;
            request.forecast.months_6 = 6.0 * demand;
            request.forecast.months_9 = 9.0 * demand;
            request.sales.month_1 = demand;
            (request.sales.months_3, request.sales.months_6, request.sales.months_9) =
                (3.0 * demand, 6.0 * demand, 9.0 * demand);
            let went_on_backorder = stock + 2.0 < demand * (0.5 + weeks / 6.0);
            Case { request, outcome: Outcome { went_on_backorder } }
        })
        .collect()
}

static HAND_SET: LazyLock<Model> = LazyLock::new(|| Model::standard().unwrap());
static FITTED: LazyLock<Model> = LazyLock::new(|| {
    let fitted = Model::fit(HAND_SET.parameters(), "fitted", &history(), &mut |_| ()).unwrap();
    // By way of the file, as a published version travels.
    Model::from_json(&serde_json::to_string(&fitted).unwrap()).unwrap()
});

#[test]
fn cover_decides_without_any_data_to_learn_from() {
    let short = scored(&HAND_SET, &example());
    assert_eq!((short.monthly_demand, short.months_of_cover), (10.0, Some(0.6)));
    assert!(short.band >= Band::Elevated, "{short:?}");
    let mut safe = example();
    safe.stock.on_hand = Some(400.0);
    assert_eq!(scored(&HAND_SET, &safe).band, Band::Low);
    assert!(HAND_SET.backtest(&history()).figures[0].value > 0.5, "more than one case in four is a backorder");
}

#[test]
fn a_fit_learns_what_the_history_holds_and_says_the_same_twice() {
    let figures = FITTED.backtest(&history());
    assert_eq!((figures.cases, figures.insufficient, figures.refused), (3000, 0, 0));
    assert!(figures.figures[0].value > 0.95, "{figures:?}");
    assert_ne!(FITTED.reference().parameters, HAND_SET.reference().parameters);
    let again = Model::fit(HAND_SET.parameters(), "fitted", &history(), &mut |_| ()).unwrap();
    assert_eq!(&again, FITTED.parameters());
}

#[test]
fn too_little_history_is_refused_with_what_is_needed() {
    let fit = |cases: &[Case<Request, Outcome>]| Model::fit(HAND_SET.parameters(), "x", cases, &mut |_| ());
    assert!(matches!(fit(&history()[..100]), Err(FitError::TooFew { found: 100, .. })));
    let mut quiet = history();
    quiet.iter_mut().for_each(|case| case.outcome.went_on_backorder = false);
    assert!(fit(&quiet).unwrap_err().to_string().contains("0 backorders"));
    let mut wrong = history();
    wrong[7].request.stock.minimum = -1.0;
    assert!(fit(&wrong).unwrap_err().to_string().contains("case 7: /stock/minimum"));
}

#[test]
fn an_unknown_stock_is_not_guessed() {
    let mut request = example();
    request.stock.on_hand = None;
    let Answer::InsufficientData { missing, .. } = HAND_SET.judge(&request).unwrap() else { panic!("was guessed") };
    assert_eq!(missing[0].pointer, "/stock/on_hand");
}

#[test]
fn every_bad_field_is_named() {
    let mut request = example();
    request.stock.on_hand = Some(f64::NAN);
    request.stock.overdue = -1.0;
    request.lead_time_weeks = Some(f64::INFINITY);
    request.forecast.months_6 = 1.0;
    request.sales.months_9 = 2e9;
    request.supplier.performance_6_months = Some(-99.0);
    let pointers: Vec<String> = HAND_SET.judge(&request).unwrap_err().into_iter().map(|error| error.pointer).collect();
    let expected = [
        "/stock/on_hand",
        "/lead_time_weeks",
        "/supplier/performance_6_months",
        "/stock/overdue",
        "/sales/months_9",
        "/forecast/months_6",
    ];
    assert_eq!(pointers, expected);
    let unknown = json!({"product": "a", "as_of": "2026-11-01T00:00:00Z", "stock": {"on_hand": 1}, "stok": 1});
    assert!(serde_json::from_value::<Request>(unknown).unwrap_err().to_string().contains("stok"));
}

#[test]
fn parameters_that_would_turn_economics_around_are_refused() {
    let file = Model::STANDARD.replace("\"months_per_week\": 0.04", "\"months_per_week\": -0.04");
    assert!(Model::from_json(&file).unwrap_err().to_string().contains("/risk/mechanism"));
    let mut foreign = serde_json::to_value(FITTED.parameters()).unwrap();
    foreign["risk"]["trees"]["features"][0]["monotone"] = json!("rising");
    assert!(Model::from_json(&foreign.to_string()).unwrap_err().to_string().contains("/risk/trees/features"));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn more_stock_never_raises_the_risk_and_more_lead_time_or_overdue_never_lowers_it(
        on_hand in -5.0..60.0_f64, transit in 0.0..20.0_f64, weeks in 0.0..14.0_f64, overdue in 0.0..9.0_f64,
        demand in 0.0..12.0_f64, more in 0.0..30.0_f64,
    ) {
        let mut request = example();
        request.options.explain = false;
        request.stock.on_hand = Some(on_hand.floor());
        request.stock.in_transit = transit.floor();
        request.stock.overdue = overdue.floor();
        request.lead_time_weeks = Some(weeks);
        request.sales.month_1 = demand;
        for model in [&*HAND_SET, &*FITTED] {
            let now = scored(model, &request).score;
            let with = |change: &dyn Fn(&mut Request)| {
                let mut changed = request.clone();
                change(&mut changed);
                scored(model, &changed).score
            };
            prop_assert!(with(&|request| request.stock.on_hand = Some(on_hand.floor() + more)) <= now);
            prop_assert!(with(&|request| request.stock.in_transit += more) <= now);
            prop_assert!(with(&|request| request.stock.overdue += more) >= now);
            prop_assert!(with(&|request| request.lead_time_weeks = Some(weeks + more)) >= now);
        }
    }

    #[test]
    fn contributions_add_up_and_counterfactuals_keep_their_word(
        on_hand in -5.0..80.0_f64, weeks in prop::option::of(0.0..14.0_f64), demand in 0.0..12.0_f64,
    ) {
        let mut request = example();
        request.stock.on_hand = Some(on_hand.floor());
        request.lead_time_weeks = weeks;
        request.sales.month_1 = demand;
        for model in [&*HAND_SET, &*FITTED] {
            let told = scored(model, &request);
            let sum: i64 = told.contributions.iter().map(|part| part.micros).sum();
            prop_assert_eq!(sum, i64::from(told.score.micros()));
            for other in &told.counterfactuals {
                let mut changed = request.clone();
                match other.pointer.as_str() {
                    "/stock/on_hand" => changed.stock.on_hand = Some(other.value_needed),
                    "/lead_time_weeks" => changed.lead_time_weeks = Some(other.value_needed),
                    pointer => prop_assert!(false, "{} is no fact to change", pointer),
                }
                let then = scored(model, &changed);
                prop_assert!(other.band_then != told.band);
                prop_assert_eq!((then.band, then.score), (other.band_then, other.score_then));
            }
        }
    }
}
