//! Why this score, what would change it, and what to do about it.
//!
//! Contributions of counts are Shapley values (Shapley 1953): each group of facts is set back to an unremarkable value
//! in every combination with the others. The `baseline` is the score of the units against the plain level.

use jiff::Timestamp;

use super::{
    count::{CountState, Filter},
    evidence::{self, Facts},
    reading::{ReadingState, Stream},
    types::{Bucket, Event, Reading, Recommendation, Side, Signal, Trigger},
};
use crate::{
    Contribution, Counterfactual, Score,
    explain::{self, shapley},
    score::BandLimits,
};

/// Groups of facts in the order of their bits, each with the fact it is read from.
const GROUPS: [(&str, &str); 4] = [
    ("weekday", "/series/first"),
    ("promotion", "/series/price_share"),
    ("stock", "/series/out_of_stock"),
    ("buckets_before", "/series/units"),
];
const COMBINATIONS: usize = 1 << GROUPS.len();
/// Most units that the search for a counterfactual looks at: the limit of a request.
const FARTHEST: f64 = 1e9;
/// Halvings of an interval of readings: a millionth of the departure.
const HALVINGS: u32 = 20;

/// Contributions and counterfactuals; empty when none were asked for.
#[derive(Default)]
pub(super) struct Explanation {
    pub(super) contributions: Vec<Contribution>,
    pub(super) counterfactuals: Vec<Counterfactual>,
}

/// Why a bucket of counts has its score.
pub(super) fn count(
    filter: Filter<'_>,
    state: &CountState,
    bucket: &Bucket,
    units: f64,
    index: usize,
    word: &str,
    bands: BandLimits,
) -> Explanation {
    let judged = |units: f64| filter.observe(&mut state.clone(), &Bucket { units: Some(units), ..*bucket });
    let signal = judged(units);
    let mean = filter.outlook(state, bucket).mean();
    let needed = if signal.event.is_alarm() {
        ordinary_units(&judged, units, mean)
    } else {
        alarming_units(&judged, units.max(mean.ceil()))
    };
    let counterfactuals = needed.into_iter().map(|needed| {
        let then = judged(needed);
        let limit = if needed < mean { "or more" } else { "or fewer" };
        let detail = if signal.event.is_alarm() {
            format!("with {needed} units {limit} the {word} would be ordinary")
        } else {
            format!("with {needed} units or more the {word} would be {}", name(then.event))
        };
        Counterfactual {
            pointer: format!("/series/units/{index}"),
            value_now: units,
            value_needed: needed,
            band_then: bands.band(then.score),
            score_then: then.score,
            detail,
        }
    });
    Explanation {
        contributions: contributions(filter, state, bucket, units, signal.score),
        counterfactuals: counterfactuals.collect(),
    }
}

fn contributions(
    filter: Filter<'_>,
    state: &CountState,
    bucket: &Bucket,
    units: f64,
    score: Score,
) -> Vec<Contribution> {
    let now = filter.judge(&filter.outlook(state, bucket), bucket, units);
    let with: [f64; COMBINATIONS] = std::array::from_fn(|bits| {
        let facts = Facts {
            weekday: bits & 1 != 0,
            promotion: bits & 2 != 0,
            stock: bits & 4 != 0,
            buckets_before: bits & 8 != 0,
        };
        let evidence = evidence::strongest(filter.parameters, state.past(), &now, facts);
        super::score(evidence.surprise, filter.parameters.false_alarm_rate).share()
    });
    let mut parts = vec![with[0]];
    parts.extend(shapley(&with));
    let names = std::iter::once(("baseline", None)).chain(GROUPS.map(|(name, pointer)| (name, Some(pointer))));
    explain::contributions(names, &parts, score)
}

/// The whole number of units nearest to those sold that would have been ordinary.
fn ordinary_units(judged: &impl Fn(f64) -> Signal, units: f64, mean: f64) -> Option<f64> {
    // The mean itself is ordinary on its own, but buckets before it may still speak against it.
    let (mut ordinary, mut alarming) =
        if units >= mean { (mean.ceil().min(units.floor()), units) } else { (mean.floor().max(units.ceil()), units) };
    if judged(ordinary).event.is_alarm() {
        return None;
    }
    while (ordinary - alarming).abs() > 1.0 {
        let middle = f64::midpoint(ordinary, alarming).floor();
        if middle == ordinary {
            break;
        }
        if judged(middle).event.is_alarm() {
            alarming = middle;
        } else {
            ordinary = middle;
        }
    }
    Some(ordinary)
}

/// The fewest units above `least` that would have been an event.
fn alarming_units(judged: &impl Fn(f64) -> Signal, least: f64) -> Option<f64> {
    let mut ordinary = least.ceil();
    let mut step = 1.0;
    while !judged(ordinary + step).event.is_alarm() {
        ordinary += step;
        step *= 2.0;
        if ordinary + step > FARTHEST {
            return None;
        }
    }
    let mut alarming = ordinary + step;
    while alarming - ordinary > 1.0 {
        let middle = f64::midpoint(ordinary, alarming).floor();
        if judged(middle).event.is_alarm() {
            alarming = middle;
        } else {
            ordinary = middle;
        }
    }
    Some(alarming)
}

/// Why a reading has its score.
pub(super) fn reading(
    stream: Stream<'_>,
    state: &ReadingState,
    at: Timestamp,
    value: f64,
    index: usize,
    bands: BandLimits,
) -> Explanation {
    let judged = |value: f64| stream.observe(&mut state.clone(), &Reading { at, value: Some(value) });
    let (signal, weighed) = (judged(value), stream.weigh(state, at, value));
    let alone = super::score(signal.surprise, stream.parameters.false_alarm_rate).share();
    let share = if signal.surprise > 0.0 { weighed.surprise_now / (2.0 * signal.surprise) } else { 0.0 };
    let reported = signal.score.share() - alone;
    let pointer = format!("/series/values/{index}");
    let names = [
        ("departure", Some(pointer.as_str())),
        ("sustained_departure", Some("/series/values")),
        ("reported_already", Some("/series/at")),
    ];
    let contributions = explain::contributions(names, &[alone * share, alone * (1.0 - share), reported], signal.score);
    let ordinary = |value: f64| !judged(value).event.is_alarm();
    let counterfactuals = if weighed.same_incident {
        None
    } else if signal.event.is_alarm() {
        ordinary(weighed.expected).then(|| nearest(weighed.expected, value, ordinary).0)
    } else {
        let step = (value - weighed.expected).abs().max(f64::MIN_POSITIVE);
        let far = std::iter::successors(Some(step), |step| Some(step * 2.0)).map(|step| weighed.expected + step);
        far.take_while(|far| *far <= 1e15).find(|far| !ordinary(*far)).map(|far| nearest(value, far, ordinary).1)
    };
    let counterfactuals = counterfactuals.into_iter().map(|needed| {
        let then = judged(needed);
        Counterfactual {
            pointer: pointer.clone(),
            value_now: value,
            value_needed: needed,
            band_then: bands.band(then.score),
            score_then: then.score,
            detail: format!("at {needed:.4} the reading would be {}", name(then.event)),
        }
    });
    Explanation { contributions, counterfactuals: counterfactuals.collect() }
}

/// Narrows an interval whose first end is ordinary and whose second is not.
fn nearest(ordinary: f64, alarming: f64, is_ordinary: impl Fn(f64) -> bool) -> (f64, f64) {
    (0..HALVINGS).fold((ordinary, alarming), |(ordinary, alarming), _| {
        let middle = f64::midpoint(ordinary, alarming);
        if is_ordinary(middle) { (middle, alarming) } else { (ordinary, middle) }
    })
}

fn name(event: Event) -> &'static str {
    match event {
        Event::Spike => "a spike",
        Event::Drop => "a drop",
        Event::LevelShiftUp => "part of a shift up",
        Event::LevelShiftDown => "part of a shift down",
        Event::Censored => "censored",
        Event::Ordinary | Event::Unknown => "ordinary",
    }
}

/// What a bucket of counts asks for.
pub(super) fn of_count(signal: &Signal, units: f64, word: &str) -> Recommendation {
    let (expected, odds) = (signal.expected, odds(signal.surprise));
    let sold = format!("{units} units sold where {expected:.1} were expected");
    let (trigger, reason) = match signal.event {
        Event::Spike => (Trigger::ReviewReplenishment, format!("{sold}: {odds}")),
        Event::Drop if signal.stock_out_probability >= 0.5 => {
            (Trigger::CheckShelf, format!("{sold}: {odds}, and the shelf may have been empty"))
        }
        Event::Drop => (Trigger::CheckShelf, format!("{sold}: {odds}")),
        Event::LevelShiftUp | Event::LevelShiftDown => {
            (Trigger::ReviewForecast, format!("{sold}, and the {word}s before point the same way: together {odds}"))
        }
        Event::Censored => {
            let share = signal.stock_out_probability * 100.0;
            (Trigger::RestoreStock, format!("{sold}, but the shelf was empty for {share:.0} % of the {word}"))
        }
        Event::Ordinary | Event::Unknown => (Trigger::None, sold),
    };
    Recommendation { trigger, reason }
}

/// What a reading asks for.
pub(super) fn of_reading(signal: &Signal, value: f64, same_incident: bool) -> Recommendation {
    let read = format!("{value:.4} read where {:.4} was expected", signal.expected);
    let (trigger, reason) = match (signal.event.is_alarm(), same_incident) {
        (true, _) => {
            let side = if signal.side == Side::Above { "above" } else { "below" };
            (Trigger::Inspect, format!("{read}: so far {side} is {}", odds(signal.surprise)))
        }
        (false, true) => (Trigger::None, format!("{read}; the incident was reported before")),
        (false, false) => (Trigger::None, read),
    };
    Recommendation { trigger, reason }
}

fn odds(surprise: f64) -> String {
    format!("rarer than one in {:.0}", 10_f64.powf(surprise.min(9.0)))
}
