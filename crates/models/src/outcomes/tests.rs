use contracts::{Money, money::Currency};
use proptest::prelude::*;

use super::{interval::Reason, *};

fn closed(score: u32, forecast: f64, follow: bool, stocked_out: bool, cost: i64) -> Closed {
    let quantity = if follow { 10.0 } else { 4.0 };
    Closed {
        action: "purchase".to_owned(),
        score,
        quantity: 10.0,
        month: "2026-11".to_owned(),
        forecast: Some((forecast, forecast / 2.0)),
        hours: 5.0,
        approved: Some(Approved { action: "purchase".to_owned(), quantity }),
        executed: Some(Executed { quantity }),
        realised: Some(Realised {
            stocked_out,
            units_sold: 9.0,
            units_lost: if stocked_out { 3.0 } else { 0.0 },
            emergency_units: 0.0,
            stock_age_days: Some(2.0),
            cost: Some(Money::new(cost, Currency::new("EUR").unwrap())),
        }),
    }
}

fn identified(finding: &Finding) -> Estimate {
    match finding {
        Finding::Identified(estimate) => *estimate,
        Finding::NotIdentifiable { detail, .. } => panic!("not identifiable: {detail}"),
    }
}

fn reason(finding: &Finding) -> Reason {
    match finding {
        Finding::Identified(estimate) => panic!("identified: {estimate:?}"),
        Finding::NotIdentifiable { reason, .. } => *reason,
    }
}

/// Newcombe (1998), table I: 81 of 263 and 15 of 148, score interval without continuity correction.
#[test]
fn wilsons_interval_meets_the_published_examples() {
    let near = |(low, high): (f64, f64), wanted: (f64, f64)| {
        assert!((low - wanted.0).abs() < 5e-5 && (high - wanted.1).abs() < 5e-5, "{low} to {high}");
    };
    near(wilson(81, 263), (0.2553, 0.3662));
    near(wilson(15, 148), (0.0624, 0.1605));
    near(wilson(0, 20), (0.0, 0.1611));
    near(wilson(29, 29), (0.8830, 1.0));
}

/// Kaplan and Meier by hand: of 1, 2+, 3, 4, 5+ the curve is 0.8 at 1, 0.8 * 2/3 at 3 and 0.8 * 2/3 * 1/2 at 4.
#[test]
fn open_cases_count_as_long_as_they_have_waited() {
    let times = [(1.0, true), (2.0, false), (3.0, true), (4.0, true), (5.0, false)];
    assert_eq!(median_survival(&times), Some(4.0));
    assert_eq!(median_survival(&[(1.0, true), (9.0, false), (9.0, false)]), None);
}

#[test]
fn shares_and_means_of_a_plain_month_are_those_counted_by_hand() {
    let cases: Vec<_> = (0..10).map(|i| closed(500_000, 0.2, true, i < 2, 100)).collect();
    let report = Report::of(&cases);
    assert_eq!((report.recommendations, report.approved, report.executed, report.realised), (10, 10, 10, 10));
    assert!((identified(&report.service_level).value - 0.8).abs() < 1e-12);
    assert!((identified(&report.fill_rate).value - 90.0 / 96.0).abs() < 1e-12);
    let age = identified(&report.ageing_days);
    assert_eq!((age.value, age.low, age.high), (2.0, 2.0, 2.0));
    assert_eq!(identified(&report.hours_to_resolution).value, 5.0);
}

#[test]
fn a_case_is_held_against_the_forecast_of_what_was_done() {
    // Followed: the forecast was 0.1 once done, and a tenth of them came.
    let followed: Vec<_> = (0..100).map(|i| closed(500_000, 0.2, true, i % 10 == 0, 100)).collect();
    let calibration = Report::of(&followed).calibration;
    assert!(identified(&calibration.error).value < 1e-12 && !calibration.months[0].drifted, "{calibration:?}");
    // Something else was done: there is no forecast for it.
    let departed: Vec<_> = (0..100).map(|i| closed(500_000, 0.2, false, i % 10 == 0, 100)).collect();
    let calibration = Report::of(&departed).calibration;
    assert_eq!((calibration.left_out, calibration.months.len()), (100, 0));
    // Nothing was done, and half came where a fifth was forecast.
    let untouched = (0..100).map(|i| Closed { executed: None, ..closed(500_000, 0.2, true, i % 2 == 0, 100) });
    let month = Report::of(&untouched.collect::<Vec<_>>()).calibration.months.remove(0);
    assert!(month.drifted && (month.error - 0.3).abs() < 1e-12, "{month:?}");
}

#[test]
fn following_is_compared_with_departing_among_like_cases() {
    let pair = |i: i64| {
        let noise = i % 7;
        [closed(500_000, 0.3, true, false, 100 + noise), closed(500_000, 0.3, false, false, 150 + noise)]
    };
    let cases: Vec<_> = (0..40).flat_map(pair).collect();
    let saved = identified(&Report::of(&cases).following_saves);
    assert!((saved.value + 50.0).abs() < 1e-9 && saved.high < -48.0 && saved.low > -52.0, "{saved:?}");
    assert_eq!(saved.cases, 80);
}

#[test]
fn what_nobody_could_know_is_not_told() {
    let side = |count: usize, score: u32, forecast: f64, follow: bool| {
        (0..count).map(move |i| closed(score, forecast + (i % 5) as f64 * 0.01, follow, false, 100)).collect::<Vec<_>>()
    };
    let few = [side(30, 500_000, 0.3, true), side(19, 500_000, 0.3, false)].concat();
    assert_eq!(reason(&Report::of(&few).following_saves), Reason::TooFew);
    let apart = [side(30, 900_000, 0.3, true), side(30, 100_000, 0.3, false)].concat();
    assert_eq!(reason(&Report::of(&apart).following_saves), Reason::NoOverlap);
    let chosen = [side(30, 500_000, 0.3, true), side(30, 500_000, 0.6, false)].concat();
    assert_eq!(reason(&Report::of(&chosen).following_saves), Reason::Selection);
    let mut mixed = [side(30, 500_000, 0.3, true), side(30, 500_000, 0.3, false)].concat();
    let dollars = Currency::new("USD").unwrap();
    mixed[0].realised.as_mut().unwrap().cost = Some(Money::new(1, dollars));
    assert_eq!(reason(&Report::of(&mixed).following_saves), Reason::MixedCurrencies);
    let open: Vec<_> = side(20, 500_000, 0.3, true)
        .into_iter()
        .enumerate()
        .map(|(i, case)| if i < 6 { case } else { Closed { approved: None, executed: None, realised: None, ..case } })
        .collect();
    assert_eq!(reason(&Report::of(&open).hours_to_resolution), Reason::Censored);
    assert_eq!(reason(&Report::of(&[]).service_level), Reason::TooFew);
}

proptest! {
    // A report draws thousands of samples.
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn an_interval_holds_its_value_and_stays_within_its_range(
        outcomes in prop::collection::vec((any::<bool>(), 0.0_f64..1.0), 5..60)
    ) {
        let cases: Vec<_> = outcomes.iter().map(|(out, forecast)| closed(500_000, *forecast, true, *out, 100)).collect();
        let report = Report::of(&cases);
        for finding in [&report.service_level, &report.fill_rate, &report.emergency_purchases] {
            let estimate = identified(finding);
            prop_assert!(0.0 <= estimate.low && estimate.low <= estimate.high && estimate.high <= 1.0);
            prop_assert!(estimate.low <= estimate.value + 1e-12 && estimate.value <= estimate.high + 1e-12);
        }
    }

    #[test]
    fn the_same_cases_give_the_same_report(outcomes in prop::collection::vec(any::<bool>(), 5..30)) {
        let cases: Vec<_> = outcomes.iter().map(|out| closed(500_000, 0.2, true, *out, 100)).collect();
        prop_assert_eq!(Report::of(&cases), Report::of(&cases));
    }
}
