//! Monthly demand of spare parts beside the methods of the literature: Croston (1972), its correction by Syntetos and
//! Boylan (2005), and that of Teunter, Syntetos and Babai (2011) for parts that die out.
//!
//! The methods stand here only to be compared with; that they are what their authors wrote is checked against the
//! forecasts of Nixtla's statsforecast 2 for the same series.

#![expect(clippy::unwrap_used, reason = "helpers of tests; clippy exempts only the test functions themselves")]

use models::{
    Judge,
    replenishment::{Answer, Model, Request},
};
use serde_json::json;

/// Months with and without demand.
const PART: [f64; 20] =
    [0.0, 0.0, 3.0, 0.0, 0.0, 0.0, 2.0, 4.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 0.0, 5.0, 0.0, 3.0, 0.0, 0.0];
/// Weight of the latest observation in the literature's methods.
const ALPHA: f64 = 0.1;

/// Exponential smoothing from the first value on.
fn smoothed(values: impl IntoIterator<Item = f64>, alpha: f64) -> f64 {
    values.into_iter().reduce(|level, value| level + alpha * (value - level)).unwrap()
}

/// Smoothed size over smoothed interval of the demands.
fn croston(units: &[f64]) -> f64 {
    let demands: Vec<usize> = (0..units.len()).filter(|month| units[*month] > 0.0).collect();
    let size = smoothed(demands.iter().map(|month| units[*month]), ALPHA);
    let before = |i: usize| if i == 0 { -1.0 } else { demands[i - 1] as f64 };
    size / smoothed((0..demands.len()).map(|i| demands[i] as f64 - before(i)), ALPHA)
}

fn syntetos_boylan(units: &[f64]) -> f64 {
    (1.0 - ALPHA / 2.0) * croston(units)
}

/// Smoothed size times smoothed probability of a demand.
fn teunter_syntetos_babai(units: &[f64], size: f64, probability: f64) -> f64 {
    let demands = units.iter().copied().filter(|units| *units > 0.0);
    smoothed(demands, size) * smoothed(units.iter().map(|units| f64::from(u8::from(*units > 0.0))), probability)
}

/// What the model expects of a month.
fn ours(units: &[f64]) -> f64 {
    let request: Request = serde_json::from_value(json!({
        "facts": {
            "product": "part", "location": "depot", "as_of": "2026-11-01T00:00:00Z", "item": {}, "place": {},
            "stock": {"on_hand": 1.0, "observed_at": "2026-11-01T00:00:00Z"},
            "demand": {"first_day": first_day(units.len()), "every": "month", "units": units},
            "lead_time": {"seen_days": [30.0]}
        },
        "options": {"explain": false}
    }))
    .unwrap();
    match Model::standard().unwrap().judge(&request).unwrap() {
        Answer::Scored(answer) => answer.demand.daily * contracts::facts::Every::Month.days(),
        Answer::InsufficientData { missing, .. } => panic!("{missing:?}"),
    }
}

/// So many months before the day of the facts.
fn first_day(months: usize) -> jiff::civil::Date {
    jiff::civil::date(2026, 11, 1) - jiff::Span::new().months(i64::try_from(months).unwrap())
}

fn close(a: f64, b: f64) {
    assert!((a - b).abs() < 1e-8, "{a} is not {b}");
}

#[test]
fn the_methods_compared_with_are_the_literature_s() {
    close(croston(&PART), 1.008_493_87);
    close(syntetos_boylan(&PART), 0.958_069_18);
    close(teunter_syntetos_babai(&PART, 0.2, 0.1), 0.788_673_29);
}

/// Mean forecast of each method over series in which one month of four asks for two units: 0.5 a month.
#[test]
fn what_comes_now_and_then_is_expected_a_tenth_too_often_at_most_as_croston_does() {
    // A linear congruential generator (Knuth, MMIX) is random enough for months with and without demand.
    let mut state = 1_u64;
    let mut month = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        if state >> 62 == 0 { 2.0 } else { 0.0 }
    };
    let series: Vec<Vec<f64>> = (0..2_000).map(|_| (0..48).map(|_| month()).collect()).collect();
    let mean = |method: fn(&[f64]) -> f64| series.iter().map(|one| method(one)).sum::<f64>() / series.len() as f64;
    let [croston, corrected, ours] = [croston, syntetos_boylan, ours].map(mean);
    assert!((0.54..0.56).contains(&croston), "the bias that Syntetos and Boylan found: {croston}");
    assert!((corrected - 0.5).abs() < croston - 0.5, "{corrected} {croston}");
    // Following a trend, the model errs to the safe side as well.
    assert!((0.5..0.56).contains(&ours), "{ours}");
}

#[test]
fn what_dies_out_is_forgotten_as_by_teunter_syntetos_and_babai() {
    let after = |months: usize| {
        let units = [&PART[..], &vec![0.0; months]].concat();
        (croston(&units), teunter_syntetos_babai(&units, ALPHA, ALPHA), ours(&units))
    };
    let (begin, year, years) = (after(0), after(12), after(24));
    close(year.0, begin.0);
    close(year.1, begin.1 * (1.0 - ALPHA).powi(12));
    assert!((year.2 / begin.2 - year.1 / begin.1).abs() < 0.02, "{begin:?} {year:?}");
    assert!(years.2 / begin.2 < years.1 / begin.1 + 0.02, "{begin:?} {years:?}");
}
