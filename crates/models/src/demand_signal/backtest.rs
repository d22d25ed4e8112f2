//! What a backtest measures, and how the tails are fitted to ordinary buckets.

use serde::{Deserialize, Serialize};

use super::{
    Model,
    count::{CountState, Filter},
    evidence::{self, Facts},
    parameters::{CountParameters, LevelPrior, Parameters, Tail},
    types::{Bucket, CountSeries, Event, Request, Series, Side, Signal},
};
use crate::{
    Case, FitError, Judge,
    metrics::{Figure, Figures, average_precision, mean, quantile_loss},
};

/// Buckets after the first of an event within which finding it counts.
const IN_TIME: usize = 7;
/// Fewest ordinary buckets that tails can be fitted to: 0.3 % of them must still be a handful.
const LEAST_ORDINARY: usize = 2_000;
/// Shares of ordinary buckets between which the tail is measured.
const TAIL: (f64, f64) = (0.05, 0.003);
/// Quantiles that the forecast is measured at.
const QUANTILES: [f64; 3] = [0.05, 0.5, 0.95];

/// What became known about the buckets of a series.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields, default)]
#[schema(as = DemandSignalOutcome)]
pub struct Outcome {
    pub events: Vec<LabelledEvent>,
    /// Buckets of which nothing is known either way.
    pub ignored: Vec<usize>,
}

/// Buckets that were an event, in the opinion of somebody who knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = DemandSignalLabelledEvent)]
pub struct LabelledEvent {
    pub kind: Event,
    /// Position of its first bucket in the series.
    pub first: usize,
    /// Position after its last bucket.
    pub end: usize,
}

impl Outcome {
    fn ordinary(&self, index: usize) -> bool {
        !self.ignored.contains(&index) && !self.events.iter().any(|event| (event.first..event.end).contains(&index))
    }
}

/// What is gathered over all cases.
#[derive(Default)]
struct Tally {
    /// Scores of ordinary buckets, and of the strangest bucket of each event.
    ordinary: Vec<u32>,
    events: Vec<(Event, u32)>,
    false_alarms: usize,
    found: usize,
    losses: Vec<f64>,
    units: f64,
    covered: usize,
    forecasts: usize,
}

/// Figures of the cases, which are of one grain and one false-alarm rate; the first figure is the share of events that
/// are found at that rate.
pub(super) fn figures(model: &Model, cases: &[Case<Request, Outcome>]) -> Figures {
    let mut tally = Tally::default();
    let (mut refused, mut insufficient) = (0, 0);
    for case in cases {
        if !case.request.violations().is_empty() {
            refused += 1;
        } else if !tally.add(model, &case.request, &case.outcome) {
            insufficient += 1;
        }
    }
    let mut figures = tally.figures(cases.first().map_or(0.0, |case| model.rate(&case.request)));
    figures.retain(|figure| figure.value.is_finite());
    Figures { cases: cases.len() - refused - insufficient, insufficient, refused, figures, calibration: Vec::new() }
}

impl Tally {
    /// Whether the series was long enough for anything to be measured.
    fn add(&mut self, model: &Model, request: &Request, outcome: &Outcome) -> bool {
        let signals = match &request.series {
            Series::Day(series) => self.counts(model.days(request), series, outcome),
            Series::Week(series) => self.counts(model.weeks(request), series, outcome),
            Series::Reading(series) => {
                let stream = model.stream(request.options.false_alarm_rate);
                let mut state = super::reading::Stream::start();
                series.readings().map(|reading| stream.observe(&mut state, &reading)).collect()
            }
        };
        let told = |index: &usize| signals[*index].event != Event::Unknown;
        for index in (0..signals.len()).filter(told).filter(|index| outcome.ordinary(*index)) {
            self.ordinary.push(signals[index].score.micros());
            self.false_alarms += usize::from(signals[index].event.is_alarm());
        }
        for event in &outcome.events {
            let inside = event.first..event.end.min(event.first + IN_TIME).min(signals.len());
            let Some(strangest) = inside.clone().filter(told).map(|index| signals[index].score.micros()).max() else {
                continue;
            };
            self.events.push((event.kind, strangest));
            self.found += usize::from(inside.clone().any(|index| signals[index].event.is_alarm()));
        }
        signals.iter().any(|signal| signal.event != Event::Unknown)
    }

    fn counts(&mut self, filter: Filter<'_>, series: &CountSeries, outcome: &Outcome) -> Vec<Signal> {
        let mut signals = Vec::with_capacity(series.units.len());
        walk(filter, series, |index, state, bucket, signal| {
            if let Some(units) = bucket.units
                && signal.event != Event::Unknown
                && signal.event != Event::Censored
                && outcome.ordinary(index)
            {
                let forecast = [(1.0, filter.outlook(state, bucket).counts())];
                let quantiles = crate::counts::quantiles(&forecast, QUANTILES);
                let losses = QUANTILES.iter().zip(quantiles).map(|(p, forecast)| quantile_loss(*p, forecast, units));
                self.losses.push(mean(losses));
                self.units += units;
                self.covered += usize::from((quantiles[0]..=quantiles[2]).contains(&units));
                self.forecasts += 1;
            }
            signals.push(*signal);
        });
        signals
    }

    fn figures(mut self, rate: f64) -> Vec<Figure> {
        self.ordinary.sort_unstable_by(|a, b| b.cmp(a));
        // The share is of a vector's length, so it fits an index.
        let allowed = (rate * self.ordinary.len() as f64) as usize;
        let limit = self.ordinary.get(allowed).copied().unwrap_or(0);
        let recall = |kind: Option<Event>| {
            let of_kind = self.events.iter().filter(|(event, _)| kind.is_none_or(|kind| kind == *event));
            mean(of_kind.map(|(_, strangest)| f64::from(u8::from(*strangest > limit))))
        };
        let ranked = self.ordinary.iter().map(|score| (f64::from(*score), false));
        let ranked: Vec<_> = ranked.chain(self.events.iter().map(|(_, score)| (f64::from(*score), true))).collect();
        let ordinary = self.ordinary.len() as f64;
        vec![
            Figure::higher("event_recall_at_false_alarm_rate", recall(None)),
            Figure::higher("spike_recall", recall(Some(Event::Spike))),
            Figure::higher("drop_recall", recall(Some(Event::Drop))),
            Figure::higher("level_shift_up_recall", recall(Some(Event::LevelShiftUp))),
            Figure::higher("level_shift_down_recall", recall(Some(Event::LevelShiftDown))),
            Figure::higher("average_precision", average_precision(&ranked)),
            Figure::higher("event_recall_as_reported", self.found as f64 / self.events.len() as f64),
            Figure::nearest("false_alarms_per_1000", 1000.0 * self.false_alarms as f64 / ordinary, 1000.0 * rate),
            Figure::lower("weighted_quantile_loss", self.losses.iter().sum::<f64>() / self.units),
            Figure::nearest("coverage_90", self.covered as f64 / self.forecasts as f64, 0.9),
        ]
    }
}

/// Each bucket of a series with the state before it and its judgement.
fn walk(filter: Filter<'_>, series: &CountSeries, mut visit: impl FnMut(usize, &CountState, &Bucket, &Signal)) {
    let mut state = filter.start();
    for (index, bucket) in series.buckets().enumerate() {
        let before = state.clone();
        let signal = filter.observe(&mut state, &bucket);
        visit(index, &before, &bucket, &signal);
    }
}

/// Fits what ordinary buckets can teach: the tails of each window, and the level before anything is known.
pub(super) fn fit(
    start: &Parameters,
    version: &str,
    cases: &[Case<Request, Outcome>],
    progress: &mut dyn FnMut(f64),
) -> Result<Parameters, FitError> {
    let mut fitted = Parameters { version: version.to_owned(), ..start.clone() };
    let day = |series: &Series| matches!(series, Series::Day(_));
    let week = |series: &Series| matches!(series, Series::Week(_));
    let enough = [(&mut fitted.day, day as fn(&Series) -> bool), (&mut fitted.week, week)]
        .into_iter()
        .enumerate()
        .map(|(half, (parameters, of_grain))| {
            let mut heard = |share: f64| progress((half as f64 + share) / 2.0);
            fit_grain(parameters, cases, of_grain, &mut heard)
        })
        .max()
        .unwrap_or(0);
    if enough < LEAST_ORDINARY {
        return Err(FitError::TooFew { model: Model::NAME, needed: LEAST_ORDINARY, found: enough });
    }
    // A fit is only as good as what accepts it.
    Ok(Model::new(fitted)?.parameters)
}

/// Fits the cases of one grain; gives the ordinary buckets found, and leaves the parameters alone with too few.
fn fit_grain(
    parameters: &mut CountParameters,
    cases: &[Case<Request, Outcome>],
    of_grain: fn(&Series) -> bool,
    progress: &mut dyn FnMut(f64),
) -> usize {
    let start = parameters.clone();
    let filter = Filter { parameters: &start, rate: start.false_alarm_rate };
    let mut nominal = vec![(Vec::new(), Vec::new()); start.windows.len()];
    let (mut ordinary, mut logs) = (0, Vec::new());
    for (done, case) in cases.iter().enumerate().filter(|(_, case)| of_grain(&case.request.series)) {
        progress(done as f64 / cases.len() as f64);
        let (Series::Day(series) | Series::Week(series)) = &case.request.series else { continue };
        if !case.request.violations().is_empty() {
            continue;
        }
        logs.push(mean(series.units.iter().flatten().map(|units| (units + 0.5).ln())));
        walk(filter, series, |index, state, bucket, signal| {
            if signal.event == Event::Unknown || !case.outcome.ordinary(index) {
                return;
            }
            let Some(units) = bucket.units else { return };
            ordinary += 1;
            let now = filter.judge(&filter.outlook(state, bucket), bucket, units);
            for (window, (up, down)) in start.windows.iter().zip(&mut nominal) {
                let Some(nominal) = evidence::nominal(window, state.past(), &now, Facts::ALL, now.side) else {
                    continue;
                };
                let (side, other) = if now.side == Side::Above { (up, down) } else { (down, up) };
                side.push(nominal);
                other.push(0.0);
            }
        });
    }
    if ordinary < LEAST_ORDINARY {
        return ordinary;
    }
    for (window, (up, down)) in parameters.windows.iter_mut().zip(nominal) {
        (window.up, window.down) = (tail(up), tail(down));
    }
    // Typical in the geometric sense: few articles sell most units.
    parameters.level_prior = LevelPrior { units: mean(logs.iter().copied()).exp(), ..start.level_prior };
    ordinary
}

fn tail(mut nominal: Vec<f64>) -> Tail {
    nominal.sort_unstable_by(|a, b| b.total_cmp(a));
    // Shares of a vector's length, so they fit an index.
    let beyond = |share: f64| nominal[(share * nominal.len() as f64) as usize].max(f64::MIN_POSITIVE);
    let (start, far) = (beyond(TAIL.0), beyond(TAIL.1));
    // A tail that ends in one place is as steep as a hundredth allows.
    Tail { start, slope: (TAIL.0 / TAIL.1).log10() / (far - start).max(0.01) }
}
