//! The model of hourly sales through its public types, as services and backtests use it.

#![expect(clippy::unwrap_used, reason = "helpers of tests; clippy exempts only the test functions themselves")]

use models::{
    Band, Case, FitError, Judge,
    demand_signal::hours::{Answer, Assessment, Model, Outcome, Request, Stretch},
};
use proptest::prelude::*;
use serde_json::{Value, json};

const HOURS: usize = 24;
/// Units of an ordinary day: quiet at night, a peak before noon and one in the late afternoon.
const DAY: [u32; HOURS] = [0, 0, 0, 0, 0, 0, 1, 2, 3, 4, 4, 3, 2, 2, 3, 4, 5, 4, 3, 2, 2, 1, 0, 0];
const DAYS: usize = 28;
const LAST: usize = (DAYS - 1) * HOURS;

fn model() -> Model {
    Model::standard().unwrap()
}

/// Four weeks in which every day sells as [`DAY`].
fn example() -> Value {
    let units: Vec<u32> = (0..DAYS).flat_map(|_| DAY).collect();
    json!({
        "product": "SKU-1", "location": "store-1", "as_of": "2026-11-23T08:00:00Z",
        "sales": {"first_day": "2026-10-26", "units": units},
        "unit_margin": {"minor": 150, "currency": "EUR"}
    })
}

fn with(change: impl FnOnce(&mut Value)) -> Request {
    let mut value = example();
    change(&mut value);
    serde_json::from_value(value).unwrap()
}

/// Nothing sold from an hour of the last day on.
fn sold_out_from(hour: usize) -> Request {
    with(|request| silence(request, LAST + hour..DAYS * HOURS))
}

fn silence(request: &mut Value, hours: std::ops::Range<usize>) {
    for hour in hours {
        request["sales"]["units"][hour] = json!(0);
    }
}

fn assess(request: &Request) -> Assessment {
    match model().judge(request).unwrap() {
        Answer::Scored(assessment) => *assessment,
        Answer::InsufficientData { missing, .. } => panic!("{missing:?}"),
    }
}

fn refused(request: &Request) -> Vec<String> {
    model().judge(request).unwrap_err().into_iter().map(|error| error.pointer).collect()
}

fn whole_day() -> f64 {
    f64::from(DAY[6..22].iter().sum::<u32>())
}

#[test]
fn a_day_like_all_others_is_not_cut_short() {
    let answer = assess(&with(|_| ()));
    assert_eq!((answer.latest.band, answer.latest.empty), (Band::Low, None), "{answer:?}");
    assert!(answer.latest.hours_out < 0.5 && answer.latest.units_lost < 0.5, "{answer:?}");
    assert_eq!(answer.latest.units_sold, whole_day());
    assert_eq!(answer.valid_until, "2026-11-24T08:00:00Z".parse().unwrap());
    assert_eq!(answer.latest.date, "2026-11-22".parse().unwrap());
}

#[test]
fn an_afternoon_without_sales_of_what_always_sells_is_a_stock_out() {
    let day = assess(&sold_out_from(13)).latest;
    assert_eq!((day.band, day.empty), (Band::Critical, Some(Stretch { since: 13, until: 22 })), "{day:?}");
    let truth = f64::from(DAY[13..22].iter().sum::<u32>());
    assert!((day.units_lost / truth - 1.0).abs() < 0.3, "{} lost of {truth}", day.units_lost);
    assert!((day.demand.mean - day.units_sold - day.units_lost).abs() < 1e-9);
    assert_eq!(day.margin_lost.unwrap().minor, (day.units_lost * 150.0).round() as i64);
    assert!(day.demand.p05 < day.demand.p50 && day.demand.p50 < day.demand.p95, "{day:?}");
    assert!((day.demand.p05..day.demand.p95).contains(&whole_day()), "{day:?}");
}

#[test]
fn the_same_silence_of_a_slow_article_says_little() {
    // One sale every other day, at noon.
    let slow = |request: &mut Value| {
        for hour in 0..DAYS * HOURS {
            request["sales"]["units"][hour] = json!(u32::from(hour % 48 == 12));
        }
    };
    let day = assess(&with(slow)).latest;
    assert!(day.score < assess(&sold_out_from(13)).latest.score);
    assert!(day.units_lost < 1.0, "{day:?}");
}

#[test]
fn a_longer_silence_is_a_likelier_stock_out() {
    let scores: Vec<_> = [22, 20, 18, 16, 14].map(|hour| assess(&sold_out_from(hour)).latest.score).into();
    assert!(scores.is_sorted(), "{scores:?}");
    assert!(scores[0].micros() < 250_000 && scores[4].micros() > 750_000, "{scores:?}");
}

#[test]
fn an_empty_morning_is_dated_from_its_first_hour() {
    let day = assess(&with(|request| silence(request, LAST + 6..LAST + 13))).latest;
    let stretch = day.empty.unwrap();
    assert_eq!((stretch.since, stretch.until), (6, 13), "{day:?}");
}

#[test]
fn a_day_that_still_runs_is_judged_by_its_hours_so_far() {
    let until = |hour: usize, request: &Request| {
        let mut request = request.clone();
        request.sales.units.truncate(LAST + hour);
        assess(&request).latest
    };
    let (usual, sold_out) = (with(|_| ()), sold_out_from(12));
    let scores: Vec<_> = [13, 15, 17, 19].map(|hour| until(hour, &sold_out).score).into();
    assert!(scores.is_sorted() && scores[0] < scores[3], "{scores:?}");
    assert_eq!(until(17, &sold_out).empty, Some(Stretch { since: 12, until: 17 }));
    let day = until(17, &usual);
    assert_eq!((day.band, day.empty), (Band::Low, None), "{day:?}");
    assert_eq!(day.units_sold, f64::from(DAY[6..17].iter().sum::<u32>()));
    assert!(day.units_lost < 1.0, "hours still to come are not lost: {day:?}");
    let night = until(3, &usual);
    assert_eq!((night.units_sold, night.demand.p95, night.empty), (0.0, 0.0, None));
}

#[test]
fn days_asked_for_are_judged_in_order_and_in_the_light_of_later_ones() {
    let request = with(|request| {
        silence(request, LAST - HOURS + 12..LAST);
        request["options"] = json!({"look_back": 3, "explain": false});
    });
    let answer = assess(&request);
    let dates: Vec<String> = answer.earlier.iter().map(|day| day.date.to_string()).collect();
    assert_eq!(dates, ["2026-11-19", "2026-11-20", "2026-11-21"]);
    let bands: Vec<Band> = answer.earlier.iter().map(|day| day.band).collect();
    assert_eq!(bands, [Band::Low, Band::Low, Band::Critical], "{:?}", answer.earlier);
    assert!(answer.latest.contributions.is_empty() && answer.latest.counterfactuals.is_empty());
}

#[test]
fn records_decide_where_there_are_any() {
    let known = |from: usize, complete: bool| {
        let out: Vec<bool> = (0..DAYS * HOURS).map(|hour| hour >= LAST + from).collect();
        let mut request = sold_out_from(from);
        request.sales.out_of_stock = out;
        request.sales.records_complete = complete;
        assess(&request).latest
    };
    let day = known(17, false);
    assert_eq!(day.score.micros(), 1_000_000);
    assert_eq!(day.contributions.iter().map(|part| part.name.as_str()).collect::<Vec<_>>(), ["records"]);
    // Three hours are not four.
    assert_eq!(known(19, true).score.micros(), 0);
    assert_eq!(known(19, true).hours_out, 3.0);
}

#[test]
fn with_complete_records_the_rest_of_the_day_is_foretold_from_daily_sales() {
    let request = with(|request| {
        let mut units = DAY;
        units[14..].fill(0);
        request["sales"] = json!({
            "first_day": "2026-11-23", "units": units,
            "out_of_stock": (0..HOURS).map(|hour| hour >= 14).collect::<Vec<_>>(), "records_complete": true,
        });
        request["earlier"] = json!({
            "units": vec![whole_day(); 21], "out_of_stock": vec![0.0; 21], "price_share": vec![1.0; 21],
        });
    });
    let day = assess(&request).latest;
    assert!((day.demand.mean / whole_day() - 1.0).abs() < 0.1, "{day:?}");
    let mut cheap = request.clone();
    cheap.sales.price_share = vec![0.7];
    assert!(assess(&cheap).latest.demand.mean > day.demand.mean, "a lower price sells more");
    let mut closed = request;
    closed.sales.units.fill(0.0);
    closed.sales.out_of_stock.fill(true);
    let monday = assess(&closed).latest.demand.mean;
    closed.sales.holidays = vec![closed.sales.first_day];
    assert!(assess(&closed).latest.demand.mean > 1.1 * monday, "a holiday sells more than a Monday");
}

#[test]
fn what_is_missing_is_named_instead_of_guessed() {
    let young = with(|request| request["sales"]["units"] = json!(DAY));
    let answer = serde_json::to_value(model().judge(&young).unwrap()).unwrap();
    assert_eq!(answer["status"], "insufficient_data");
    assert_eq!(answer["missing"][0]["pointer"], "/sales/units");
    let dead = with(|request| silence(request, 0..DAYS * HOURS));
    assert!(matches!(model().judge(&dead).unwrap(), Answer::InsufficientData { .. }));
}

#[test]
fn bad_fields_are_refused_by_pointer() {
    let mut request = with(|request| {
        request["sales"]["units"][5] = json!(-1.0);
        request["sales"]["out_of_stock"] = json!([true]);
        request["sales"]["price_share"] = json!([0.5]);
        request["sales"]["holidays"] = json!(["2026-11-03", "2026-11-03", "2027-01-01"]);
        request["earlier"] = json!({"units": [1.0], "out_of_stock": [1.5]});
        request["unit_margin"]["minor"] = json!(-1);
        request["options"] = json!({"look_back": 28});
    });
    request.sales.units[7] = f64::NAN;
    assert_eq!(
        refused(&request),
        [
            "/sales/units/5",
            "/sales/units/7",
            "/sales/out_of_stock",
            "/sales/price_share",
            "/sales/holidays/1",
            "/sales/holidays/2",
            "/earlier/out_of_stock/0",
            "/unit_margin/minor",
            "/options/look_back"
        ]
    );
    assert_eq!(refused(&with(|request| request["sales"]["units"] = json!([]))), ["/sales/units"]);
    assert_eq!(refused(&with(|request| request["sales"]["units"] = json!(vec![0; 401 * HOURS]))), ["/sales/units"]);
    let end = with(|request| request["sales"]["first_day"] = json!("9999-12-01"));
    assert_eq!(refused(&end), ["/sales/first_day"]);
    let bare = with(|request| request["sales"]["records_complete"] = json!(true));
    assert_eq!(refused(&bare), ["/sales/records_complete"]);
    let unknown = serde_json::from_value::<Request>(json!({"product": "a", "option": {}}));
    assert!(unknown.unwrap_err().to_string().contains("option"));
}

/// Series whose shelf empties at a random hour on some days, with the truth.
fn cases(series: usize) -> Vec<Case<Request, Outcome>> {
    // A generator of 31 bits (Park and Miller 1988): the test must not change from run to run.
    let mut state = 7_u64;
    let mut random = move |below: u64| {
        state = state * 48_271 % 0x7fff_ffff;
        state % below
    };
    let mut one = |_| {
        let mut out = vec![false; DAYS * HOURS];
        let request = with(|request| {
            for day in 0..DAYS {
                let from = if random(3) == 0 { 8 + random(13) as usize } else { HOURS };
                for (hour, usual) in DAY.into_iter().enumerate() {
                    let at = day * HOURS + hour;
                    out[at] = hour >= from;
                    let units = if out[at] { 0 } else { random(2 * u64::from(usual) + 1) };
                    request["sales"]["units"][at] = json!(units);
                }
            }
            request["options"] = json!({"look_back": DAYS - 1, "explain": false});
        });
        Case { request, outcome: Outcome { out_of_stock: out } }
    };
    (0..series).map(&mut one).collect()
}

#[test]
fn a_fit_learns_from_cases_and_a_backtest_tells_how_well() {
    let cases = cases(100);
    let start = model().parameters().clone();
    let fitted = Model::fit(&start, "2", &cases[..80], &mut |_| ()).unwrap();
    assert_eq!(fitted, Model::fit(&start, "2", &cases[..80], &mut |_| ()).unwrap());
    let fitted = Model::new(fitted).unwrap();
    let figures = fitted.backtest(&cases[80..]);
    assert_eq!((figures.cases, figures.insufficient, figures.refused), (20, 0, 0));
    let figure = |name: &str| figures.figures.iter().find(|figure| figure.name == name).unwrap().value;
    assert!(figure("average_precision") > 0.98, "{figures:?}");
    assert!(figure("calibration_error") < 0.03, "{figures:?}");
    assert!(figure("recovery_wape") < 0.25, "{figures:?}");
    assert_eq!(fitted.reference().version, "2");
    let few = Model::fit(&start, "2", &cases[..2], &mut |_| ());
    assert!(matches!(few, Err(FitError::TooFew { found: 56, .. })), "{few:?}");
}

#[test]
fn a_parameter_out_of_its_range_is_named() {
    let mut parameters = model().parameters().clone();
    parameters.shelf.leak = 1.5;
    assert!(Model::new(parameters).unwrap_err().to_string().contains("/shelf/leak"));
    let mut parameters = model().parameters().clone();
    parameters.demand.exposure.pop();
    assert!(Model::new(parameters).unwrap_err().to_string().contains("/demand/exposure"));
}

prop_compose! {
    /// Any series: fast or slow, with silences, prices and records.
    fn any_request()(
        days in 8_usize..40,
        busy in 1_u32..6,
        noise in prop::collection::vec(0_u32..5, 40 * HOURS),
        silences in prop::collection::vec((0_usize..40 * HOURS, 1_usize..30), 0..8),
        prices in prop::collection::vec(0.3_f64..1.0, 40),
        known in prop::option::of(0_usize..40 * HOURS),
        look_back in 0_usize..8,
        to_come in prop_oneof![Just(0_usize), 1..HOURS],
    ) -> Request {
        with(|request| {
            let unit = |hour: usize| if noise[hour] <= busy { DAY[hour % HOURS] * noise[hour] } else { 0 };
            let mut units: Vec<u32> = (0..days * HOURS).map(unit).collect();
            units[12] += 5;
            for (from, length) in silences {
                units.iter_mut().skip(from.max(13)).take(length).for_each(|units| *units = 0);
            }
            if let Some(known) = known {
                request["sales"]["out_of_stock"] = json!((0..days * HOURS - to_come).map(|hour| hour == known).collect::<Vec<_>>());
            }
            request["sales"]["units"] = json!(units[..days * HOURS - to_come]);
            request["sales"]["price_share"] = json!(prices[..days]);
            request["options"] = json!({"look_back": look_back});
        })
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn contributions_add_up_to_the_score_exactly(request in any_request()) {
        let day = assess(&request).latest;
        let sum: i64 = day.contributions.iter().map(|part| part.micros).sum();
        prop_assert_eq!(sum, i64::from(day.score.micros()));
    }

    #[test]
    fn a_counterfactual_is_true(request in any_request()) {
        let answer = assess(&request);
        for change in &answer.latest.counterfactuals {
            let hour: usize = change.pointer.strip_prefix("/sales/units/").unwrap().parse().unwrap();
            prop_assert_eq!(request.sales.units[hour], change.value_now);
            let mut changed = request.clone();
            changed.sales.units[hour] = change.value_needed;
            let then = assess(&changed).latest;
            prop_assert_eq!((then.band, then.score), (change.band_then, change.score_then));
            prop_assert_ne!(then.band, answer.latest.band);
        }
    }

    #[test]
    fn what_was_lost_comes_on_top_of_what_was_sold(request in any_request()) {
        let answer = assess(&request);
        prop_assert_eq!(answer.earlier.len(), request.options.look_back);
        for day in answer.earlier.iter().chain([&answer.latest]) {
            prop_assert!(day.units_lost >= 0.0 && day.demand.p05 >= day.units_sold);
            prop_assert!(day.demand.p05 <= day.demand.p50 && day.demand.p50 <= day.demand.p95);
            prop_assert!((0.0..=16.0).contains(&day.hours_out));
        }
    }

    #[test]
    fn one_more_hour_known_to_be_empty_never_means_fewer_hours_out(request in any_request(), hour in 6_usize..22) {
        let last = request.sales.units.len().div_ceil(HOURS) * HOURS - HOURS;
        prop_assume!(request.sales.units.get(last + hour) == Some(&0.0));
        let before = assess(&request).latest.hours_out;
        let mut known = request.clone();
        known.sales.out_of_stock.resize(known.sales.units.len(), false);
        known.sales.out_of_stock[last + hour] = true;
        // Estimates of level and shelf feed each other, hence the slack.
        prop_assert!(assess(&known).latest.hours_out >= before - 0.25);
    }

    #[test]
    fn the_largest_and_smallest_numbers_still_have_an_answer(scale in -5_i32..6, hour in 0_usize..DAYS * HOURS) {
        let mut request = with(|_| ());
        request.sales.units.iter_mut().for_each(|units| *units = (*units * 10_f64.powi(scale)).min(1e6));
        request.sales.units[hour] = 1e6;
        request.options.look_back = 27;
        let text = serde_json::to_string(&model().judge(&request).unwrap()).unwrap();
        prop_assert!(!text.contains("null"), "a number is not finite: {}", text);
    }

    #[test]
    fn every_answer_survives_json(request in any_request()) {
        let answer = model().judge(&request).unwrap();
        let text = serde_json::to_string(&answer).unwrap();
        prop_assert!(!text.contains("null"), "a number is not finite: {}", text);
        prop_assert_eq!(serde_json::from_str::<Answer>(&text).unwrap(), answer);
    }
}
