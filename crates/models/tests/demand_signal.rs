//! The demand-signal model through its public types, as services and backtests use it.

#![expect(clippy::unwrap_used, reason = "helpers of tests; clippy exempts only the test functions themselves")]

use models::{
    Band, Case, Judge,
    counts::Counts,
    demand_signal::{
        Answer, Assessment, Bucket, CountSeries, Event, LabelledEvent, Model, Observation, Options, Outcome, Reading,
        ReadingSeries, Request, Series, Side, Signal, Trigger,
    },
};
use proptest::prelude::*;
use serde_json::json;

fn model() -> Model {
    Model::standard().unwrap()
}

/// Uniform numbers in 0 to 1 that are the same in every run (splitmix64).
struct Uniform(u64);

impl Uniform {
    fn next(&mut self) -> f64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((mixed ^ (mixed >> 31)) >> 11) as f64 / (1_u64 << 53) as f64
    }
}

fn series(units: Vec<f64>) -> CountSeries {
    CountSeries {
        first: "2026-01-05".parse().unwrap(),
        units: units.into_iter().map(Some).collect(),
        out_of_stock: Vec::new(),
        promotion: Vec::new(),
        price_share: Vec::new(),
        holiday: Vec::new(),
    }
}

fn request(series: Series) -> Request {
    Request { product: None, location: None, series, options: Options { history: true, ..Options::default() } }
}

/// Eight weeks of an article that sells 20 a day and 30 at weekends.
fn weeks() -> Vec<f64> {
    (0..56).map(|day| if day % 7 >= 5 { 30.0 } else { 18.0 + f64::from(day % 5) }).collect()
}

fn with(last: &[f64]) -> Request {
    let mut units = weeks();
    units.extend(last);
    request(Series::Day(series(units)))
}

fn assess(request: &Request) -> Assessment {
    match model().judge(request).unwrap() {
        Answer::Scored(assessment) => *assessment,
        Answer::InsufficientData { missing, .. } => panic!("{missing:?}"),
    }
}

fn pointers(request: &Request) -> Vec<String> {
    model().judge(request).unwrap_err().into_iter().map(|error| error.pointer).collect()
}

#[test]
fn a_day_far_above_the_rest_is_a_spike_and_asks_for_stock() {
    let answer = assess(&with(&[90.0]));
    assert_eq!((answer.signal.event, answer.signal.side), (Event::Spike, Side::Above));
    assert_eq!(answer.recommendation.trigger, Trigger::ReviewReplenishment);
    assert!(answer.band >= Band::High && answer.expected.p95 < 90.0, "{answer:?}");
    assert_eq!(answer.valid_until, "2026-03-04T00:00:00Z".parse().unwrap());
}

#[test]
fn a_drop_is_seen_though_a_count_cannot_go_below_zero() {
    let answer = assess(&with(&[1.0]));
    assert_eq!(answer.signal.event, Event::Drop);
    assert_eq!(answer.recommendation.trigger, Trigger::CheckShelf);
    assert!(answer.excess < -15.0, "{answer:?}");
}

#[test]
fn an_ordinary_day_asks_for_nothing() {
    let answer = assess(&with(&[21.0]));
    assert_eq!((answer.signal.event, answer.band), (Event::Ordinary, Band::Low));
    assert_eq!(answer.recommendation.trigger, Trigger::None);
}

#[test]
fn three_days_that_are_each_a_little_high_are_a_shift() {
    let answer = assess(&with(&[42.0, 43.0, 42.0]));
    assert_eq!(answer.signal.event, Event::LevelShiftUp, "{answer:?}");
    assert_eq!(answer.recommendation.trigger, Trigger::ReviewForecast);
    let alone = assess(&with(&[21.0, 21.0, 42.0]));
    assert!(alone.signal.surprise < answer.signal.surprise);
}

#[test]
fn no_sale_from_an_empty_shelf_is_not_low_demand() {
    let mut request = with(&[0.0]);
    let Series::Day(days) = &mut request.series else { unreachable!() };
    days.out_of_stock = vec![0.0; days.units.len()];
    assert_eq!(assess(&request).signal.event, Event::Drop);
    let Series::Day(days) = &mut request.series else { unreachable!() };
    *days.out_of_stock.last_mut().unwrap() = 1.0;
    let answer = assess(&request);
    assert_eq!(answer.signal.event, Event::Censored);
    assert_eq!(answer.recommendation.trigger, Trigger::RestoreStock);
    assert_eq!(answer.band, Band::Low);
}

#[test]
fn days_of_an_empty_shelf_do_not_lower_what_is_expected() {
    let empty = |told: f64| {
        let mut request = with(&[0.0, 0.0, 0.0, 0.0, 20.0]);
        let Series::Day(days) = &mut request.series else { unreachable!() };
        days.out_of_stock = vec![0.0; days.units.len()];
        let length = days.units.len();
        days.out_of_stock[length - 5..length - 1].fill(told);
        assess(&request).expected.mean
    };
    assert!(empty(1.0) > 19.0 && empty(0.0) < 17.0, "{} and {}", empty(1.0), empty(0.0));
}

#[test]
fn a_promotion_explains_part_of_a_peak() {
    let plain = with(&[55.0]);
    let mut promoted = plain.clone();
    let Series::Day(days) = &mut promoted.series else { unreachable!() };
    days.price_share = vec![1.0; days.units.len()];
    *days.price_share.last_mut().unwrap() = 0.6;
    let (plain, promoted) = (assess(&plain), assess(&promoted));
    assert!(promoted.signal.surprise < plain.signal.surprise / 2.0, "{promoted:?}");
    let part = promoted.contributions.iter().find(|part| part.name == "promotion").unwrap();
    assert!(part.micros < 0, "{part:?}");
}

#[test]
fn the_weekday_pattern_is_learnt() {
    let units = (0..140).map(|day| if day % 7 == 6 { 60.0 } else { 10.0 }).collect();
    let history = assess(&request(Series::Day(series(units)))).history;
    assert!(history[139].expected > 2.0 * history[138].expected, "{:?}", &history[138..]);
}

#[test]
fn the_counterfactual_is_the_first_count_that_changes_the_answer() {
    for last in [90.0, 1.0, 21.0] {
        let answer = assess(&with(&[last]));
        let counterfactual = &answer.counterfactuals[0];
        let then = assess(&with(&[counterfactual.value_needed]));
        assert_ne!(then.signal.event.is_alarm(), answer.signal.event.is_alarm(), "{counterfactual:?}");
        assert_eq!((then.score, then.band), (counterfactual.score_then, counterfactual.band_then));
        let step = (last - counterfactual.value_needed).signum();
        let nearer = assess(&with(&[counterfactual.value_needed + step]));
        assert_eq!(nearer.signal.event.is_alarm(), answer.signal.event.is_alarm(), "{counterfactual:?}");
    }
}

/// The single-bucket tail of a long constant history is the tail of the negative binomial that it implies.
#[test]
fn quantiles_are_those_of_the_negative_binomial() {
    let mut units = Uniform(3);
    let answer = assess(&request(Series::Day(series((0..400).map(|_| poisson(4.0, &mut units)).collect()))));
    let expected = answer.expected;
    assert!((expected.mean - 4.0).abs() < 1.0, "{expected:?}");
    // Nearly Poisson data: the quantiles of a Poisson of this mean, a little wider.
    let poisson = Counts::poisson(expected.mean);
    assert!(expected.p95 >= poisson.quantile(0.95) && expected.p95 <= poisson.quantile(0.95) + 2.0, "{expected:?}");
    assert!(expected.p05 <= poisson.quantile(0.05) && expected.p50 <= poisson.quantile(0.5), "{expected:?}");
}

fn poisson(mean: f64, uniform: &mut Uniform) -> f64 {
    Counts::poisson(mean).quantile(uniform.next().min(0.999_999))
}

/// A series of negative binomial counts with weekday pattern and a slow trend.
fn simulated(seed: u64) -> Vec<f64> {
    let mut uniform = Uniform(seed);
    let (level, trend) = (2.0 + 18.0 * uniform.next(), 0.6 * (uniform.next() - 0.5));
    let dispersion = 0.05 + 0.5 * uniform.next();
    (0..180)
        .map(|day| {
            let weekend = if day % 7 >= 5 { 1.4 } else { 0.9 };
            let mean = level * weekend * (trend * f64::from(day) / 180.0).exp();
            let counts = Counts::by_moments(mean, mean + dispersion * mean * mean);
            counts.quantile(uniform.next().min(0.999_999))
        })
        .collect()
}

/// Share of ordinary days that are called an event.
fn false_alarms(rate: f64) -> f64 {
    let (mut alarms, mut days) = (0, 0);
    for seed in 0..300 {
        let mut request = request(Series::Day(series(simulated(seed))));
        request.options = Options { false_alarm_rate: Some(rate), history: true, explain: false };
        let judged = assess(&request).history;
        alarms += judged.iter().skip(28).filter(|signal| signal.event.is_alarm()).count();
        days += judged.len() - 28;
    }
    f64::from(alarms as u32) / f64::from(days as u32)
}

#[test]
fn the_false_alarm_rate_holds_on_simulated_demand() {
    // Beyond the range that tails are fitted in, the dispersion that a series has shown so far is the limit.
    for (rate, most) in [(0.05, 1.1), (0.01, 1.1), (0.002, 1.75)] {
        let measured = false_alarms(rate);
        assert!(measured < rate * most && measured > rate * 0.2, "{measured} where {rate} was asked for");
    }
}

/// Real days with stock-outs, promotions and holidays, as requests.
fn real() -> Vec<Request> {
    let lines = include_str!("data/fresh_retail_days.txt").lines().filter(|line| !line.starts_with('#'));
    let numbers = |cell: &str| cell.split(' ').map(|one| one.parse().unwrap()).collect::<Vec<f64>>();
    lines
        .map(|line| {
            let cells: Vec<Vec<f64>> = line.split(';').map(numbers).collect();
            let days = CountSeries {
                out_of_stock: cells[1].iter().map(|hours| hours / 16.0).collect(),
                price_share: cells[2].iter().map(|percent| (percent / 100.0).clamp(0.01, 1.0)).collect(),
                promotion: cells[3].iter().map(|flag| *flag > 0.0).collect(),
                holiday: cells[4].iter().map(|flag| *flag > 0.0).collect(),
                ..series(cells[0].clone())
            };
            request(Series::Day(days))
        })
        .collect()
}

#[test]
fn the_false_alarm_rate_and_the_coverage_hold_on_real_demand() {
    let rate = 0.05;
    let cases = real().into_iter().map(|mut request| {
        request.options.false_alarm_rate = Some(rate);
        Case { request, outcome: Outcome::default() }
    });
    let figures = model().backtest(&cases.collect::<Vec<_>>());
    let figure = |name: &str| figures.figures.iter().find(|figure| figure.name == name).unwrap().value;
    let alarms = figure("false_alarms_per_1000");
    assert!(alarms < 1000.0 * rate * 1.2 && alarms > 1000.0 * rate * 0.2, "{figures:?}");
    // Whole units cover a little more than was asked for.
    assert!((0.88..0.98).contains(&figure("coverage_90")), "{figures:?}");
}

#[test]
fn a_series_judged_as_it_grows_gets_the_same_signals_as_at_once() {
    let units = simulated(5);
    let (model, at_once) = (model(), assess(&request(Series::Day(series(units.clone())))).history);
    let observation = |units: f64| Observation::Day(Bucket { units: Some(units), ..Bucket::default() });
    let mut state = model.start(&observation(0.0));
    let mut grown: Vec<Signal> = Vec::new();
    for units in units {
        // Kept and read back between observations, as a service does.
        state = serde_json::from_value(serde_json::to_value(&state).unwrap()).unwrap();
        grown.push(model.observe(&mut state, &observation(units)).unwrap());
    }
    assert_eq!(grown, at_once);
}

#[test]
fn a_state_is_of_one_grain_and_of_constant_size() {
    let model = model();
    let day = Observation::Day(Bucket { units: Some(3.0), ..Bucket::default() });
    let week = Observation::Week(Bucket { units: Some(3.0), ..Bucket::default() });
    let mut state = model.start(&day);
    assert_eq!(model.observe(&mut state, &week).unwrap_err()[0].pointer, "/grain");
    let bad = Observation::Day(Bucket { units: Some(f64::NAN), ..Bucket::default() });
    assert_eq!(model.observe(&mut state, &bad).unwrap_err()[0].pointer, "/units");
    for _ in 0..1000 {
        model.observe(&mut state, &day).unwrap();
    }
    assert!(serde_json::to_string(&state).unwrap().len() < 4096);
}

#[test]
fn a_state_that_was_spoilt_is_refused_or_survived() {
    let model = model();
    let reading = Observation::Reading(Reading { at: "2026-01-01T00:00:00Z".parse().unwrap(), value: Some(3.0) });
    let good = serde_json::to_value(model.start(&reading)).unwrap();
    let mut spoilt = good.clone();
    spoilt["hours"] = json!([]);
    assert!(serde_json::from_value::<models::demand_signal::State>(spoilt).is_err());
    let mut spoilt = good;
    spoilt["now_departures"]["bins"] = json!([1, 2]);
    spoilt["now_departures"]["count"] = json!(1000);
    let mut state = serde_json::from_value(spoilt).unwrap();
    assert!(model.observe(&mut state, &reading).unwrap().surprise.is_finite());
}

#[test]
fn a_missing_count_is_unknown_and_teaches_nothing() {
    let mut gap = with(&[21.0]);
    let Series::Day(days) = &mut gap.series else { unreachable!() };
    days.units[50] = None;
    let answer = assess(&gap);
    assert_eq!(answer.history[50].event, Event::Unknown);
    assert!((answer.expected.mean - assess(&with(&[21.0])).expected.mean).abs() < 1.0);
    let Series::Day(days) = &mut gap.series else { unreachable!() };
    *days.units.last_mut().unwrap() = None;
    assert!(matches!(
        model().judge(&gap).unwrap(),
        Answer::InsufficientData { missing, .. } if missing[0].pointer == "/series/units/56"
    ));
}

#[test]
fn too_short_a_history_is_no_ground_for_a_judgement() {
    let short = request(Series::Day(series(vec![3.0; 10])));
    assert!(matches!(model().judge(&short).unwrap(), Answer::InsufficientData { .. }));
}

#[test]
fn every_bad_field_is_named() {
    let mut bad = with(&[-1.0]);
    let Series::Day(days) = &mut bad.series else { unreachable!() };
    days.units[3] = Some(f64::NAN);
    days.price_share = vec![1.0; 3];
    days.out_of_stock = vec![2.0; 57];
    days.out_of_stock[1..].fill(0.0);
    bad.options.false_alarm_rate = Some(0.9);
    let expected = [
        "/series/price_share",
        "/series/units/3",
        "/series/units/56",
        "/series/out_of_stock/0",
        "/options/false_alarm_rate",
    ];
    assert_eq!(pointers(&bad), expected);
    let at = ["2026-01-01T01:00:00Z", "2026-01-01T00:00:00Z"].map(|at| at.parse().unwrap()).to_vec();
    let unsorted = Series::Reading(ReadingSeries { at, values: vec![Some(1.0), Some(f64::INFINITY), None] });
    assert_eq!(pointers(&request(unsorted)), ["/series/values", "/series/at/1", "/series/values/1"]);
}

#[test]
fn a_request_reads_from_its_json_and_refuses_what_it_does_not_know() {
    let good = json!({"product": "SKU-1", "series": {"grain": "day", "first": "2026-01-05", "units": [1, null, 3]}});
    assert!(serde_json::from_value::<Request>(good.clone()).is_ok());
    let mut unknown = good;
    unknown["series"]["unit"] = json!([1]);
    assert!(serde_json::from_value::<Request>(unknown).unwrap_err().to_string().contains("unit"));
}

/// Ten days of a reading every ten minutes, with a daily wave and noise.
fn wave(change: impl Fn(usize, f64) -> f64) -> Request {
    let start: jiff::Timestamp = "2026-01-01T00:00:00Z".parse().unwrap();
    let at = (0..1440).map(|i| start + jiff::SignedDuration::from_mins(10 * i)).collect();
    let mut uniform = Uniform(9);
    let values = (0..1440_u32)
        .map(|i| {
            let wave = 50.0 + 20.0 * (f64::from(i) / 144.0 * std::f64::consts::TAU).sin();
            Some(change(i as usize, wave + 2.0 * (uniform.next() + uniform.next() - 1.0)))
        })
        .collect();
    request(Series::Reading(ReadingSeries { at, values }))
}

#[test]
fn one_incident_of_a_stream_is_reported_once() {
    let broken = wave(|i, value| if (1300..1310).contains(&i) { value + 60.0 } else { value });
    let answer = assess(&broken);
    let alarms: Vec<usize> = (1200..1400).filter(|i| answer.history[*i].event.is_alarm()).collect();
    assert_eq!(alarms, [1300]);
    assert!(answer.history[1300].score.micros() >= 500_000 && answer.history[1305].score.micros() == 0);
}

#[test]
fn a_stream_without_an_incident_keeps_to_its_rate() {
    let quiet = assess(&wave(|_, value| value));
    let alarms = quiet.history.iter().skip(200).filter(|signal| signal.event.is_alarm()).count();
    assert!(alarms <= 6, "{alarms} alarms in 1240 readings");
}

#[test]
fn a_reading_s_counterfactual_flips_the_answer() {
    for last in [200.0, 50.0] {
        let at = |value: f64| wave(move |i, v| if i == 1439 { value } else { v });
        let answer = assess(&at(last));
        let counterfactual = &answer.counterfactuals[0];
        let then = assess(&at(counterfactual.value_needed));
        assert_ne!(then.signal.event.is_alarm(), answer.signal.event.is_alarm(), "{counterfactual:?}");
        assert_eq!(then.score, counterfactual.score_then);
    }
}

#[test]
fn readings_judged_as_they_come_get_the_same_signals_as_at_once() {
    let request = wave(|_, value| value);
    let Series::Reading(series) = &request.series else { unreachable!() };
    let model = model();
    let observation = |i: usize| Observation::Reading(Reading { at: series.at[i], value: series.values[i] });
    let mut state = model.start(&observation(0));
    let grown: Vec<_> = (0..1440).map(|i| model.observe(&mut state, &observation(i)).unwrap()).collect();
    assert_eq!(grown, assess(&request).history);
}

fn labelled(seed: u64) -> Case<Request, Outcome> {
    let mut units = simulated(seed);
    let first = 60 + (seed % 80) as usize;
    let factor = if seed.is_multiple_of(2) { 4.0 } else { 0.05 };
    units[first..first + 3].iter_mut().for_each(|units| *units = (*units * factor).round());
    let kind = if seed.is_multiple_of(2) { Event::Spike } else { Event::Drop };
    let outcome = Outcome { events: vec![LabelledEvent { kind, first, end: first + 3 }], ignored: Vec::new() };
    Case { request: request(Series::Day(series(units))), outcome }
}

#[test]
fn a_backtest_measures_recall_false_alarms_and_forecast() {
    let figures = model().backtest(&(0..80).map(labelled).collect::<Vec<_>>());
    let figure = |name: &str| figures.figures.iter().find(|figure| figure.name == name).unwrap().value;
    assert_eq!((figures.cases, figures.figures[0].name.as_str()), (80, "event_recall_at_false_alarm_rate"));
    assert!(figure("event_recall_at_false_alarm_rate") > 0.7, "{figures:?}");
    assert!(figure("drop_recall") > 0.5, "{figures:?}");
    assert!(figure("false_alarms_per_1000") < 12.0, "{figures:?}");
    assert!((figure("coverage_90") - 0.92).abs() < 0.04, "{figures:?}");
}

#[test]
fn a_fit_brings_a_wrong_false_alarm_rate_back_to_its_word() {
    let cases: Vec<_> = (0..120).map(labelled).collect();
    let mut start = model().parameters().clone();
    start.day.windows.iter_mut().for_each(|window| {
        window.up.slope *= 3.0;
        window.down.slope *= 3.0;
    });
    let mut heard = 0.0;
    let fitted = Model::fit(&start, "2", &cases, &mut |share| heard = share).unwrap();
    assert!(heard > 0.0 && heard <= 1.0);
    assert_eq!((fitted.version.as_str(), &fitted.week), ("2", &start.week));
    let fresh: Vec<_> = (1000..1120).map(labelled).collect();
    let alarms = |model: &Model| {
        let figures = model.backtest(&fresh).figures;
        figures.iter().find(|figure| figure.name == "false_alarms_per_1000").unwrap().value
    };
    let (before, after) = (alarms(&Model::new(start.clone()).unwrap()), alarms(&Model::new(fitted).unwrap()));
    assert!(before > 14.0 && (5.0..12.0).contains(&after), "{before} before, {after} after");
    assert!(Model::fit(&start, "2", &cases[..3], &mut |_| ()).is_err());
}

#[test]
fn a_parameter_out_of_range_is_named() {
    let mut parameters = model().parameters().clone();
    parameters.day.windows[1].buckets = 9;
    assert!(Model::new(parameters).unwrap_err().to_string().contains("/day/windows/1/buckets"));
}

proptest! {
    #[test]
    fn contributions_add_up_to_the_score(
        last in 0_u32..200, cut in 0.0_f64..0.9, empty in 0.0_f64..1.0, before in prop::collection::vec(0_u32..60, 14..40),
    ) {
        let mut units: Vec<f64> = before.into_iter().map(f64::from).collect();
        units.push(f64::from(last));
        let mut days = series(units);
        let length = days.units.len();
        days.price_share = vec![1.0; length];
        days.out_of_stock = vec![0.0; length];
        days.price_share[length - 1] = 1.0 - cut;
        days.out_of_stock[length - 1] = empty;
        let answer = assess(&request(Series::Day(days)));
        let total: i64 = answer.contributions.iter().map(|part| part.micros).sum();
        prop_assert_eq!(total, i64::from(answer.score.micros()));
    }

    #[test]
    fn a_count_farther_out_is_never_less_surprising(seed in 0_u64..1000, farther in 1_u32..50) {
        let surprise = |last: f64| {
            let mut units = simulated(seed);
            units.push(last);
            assess(&request(Series::Day(series(units))))
        };
        let mean = surprise(0.0).expected.mean.ceil();
        let (near, far) = (surprise(mean + f64::from(farther)), surprise(mean + f64::from(farther) + 5.0));
        prop_assert!(far.signal.surprise >= near.signal.surprise - 1e-9);
        prop_assert!(far.score >= near.score);
    }

    #[test]
    fn a_stricter_rate_never_calls_more(seed in 0_u64..1000, last in 0_u32..100) {
        let alarms = |rate: f64| {
            let mut units = simulated(seed);
            units.push(f64::from(last));
            let mut request = request(Series::Day(series(units)));
            request.options.false_alarm_rate = Some(rate);
            assess(&request).history.iter().filter(|signal| signal.event.is_alarm()).count()
        };
        prop_assert!(alarms(0.001) <= alarms(0.1));
    }
}
