//! Demand signal: spikes, drops, level shifts and demand cut short by a stock-out.
//!
//! Counts per day or week go through an online filter (`count`) whose negative binomial forecasts are compared with
//! what was sold, one bucket and several together (`evidence`); readings of any other kind through a rank of their
//! departures (`reading`). [`Model::observe`] judges a series as it grows with a state of constant size; a request is
//! judged by the same code folded over its buckets. `explain` says why, `backtest` measures and fits. Sales by the hour,
//! which tell an empty shelf within a day, have a model of their own: [`hours`].

mod backtest;
mod count;
mod describe;
mod evidence;
mod explain;
pub mod hours;
mod parameters;
mod reading;
mod types;

use contracts::{Digest, FieldError};
use jiff::{SignedDuration, Span, Timestamp, tz::TimeZone};

pub use self::{
    backtest::{LabelledEvent, Outcome},
    count::{CountState, Outlook, Ratio},
    describe::Description,
    evidence::Judged,
    parameters::{
        Clip, CountParameters, DispersionParameters, LevelPrior, Parameters, PromotionParameters, ReadingParameters,
        RecentLevel, StockParameters, Tail, WeekdayParameters, Window,
    },
    reading::{Departures, Hour, ReadingState},
    types::{
        Answer, Assessment, Bucket, CountSeries, Event, Expected, Observation, Options, Reading, ReadingSeries,
        Recommendation, Request, Series, Side, Signal, State, Trigger,
    },
};
use self::{count::Filter, reading::Stream};
use crate::{Case, FitError, Judge, Missing, ModelRef, ParameterError, Score, judge, metrics::Figures};

const NAME: &str = "demand-signal";

/// The model: parameters and their name in answers.
#[derive(Clone, Debug)]
pub struct Model {
    parameters: Parameters,
    reference: ModelRef,
}

impl Judge for Model {
    const NAME: &'static str = NAME;
    type Request = Request;
    type Answer = Answer;
    type Outcome = Outcome;
    type Parameters = Parameters;

    const STANDARD: &'static str = include_str!("../../parameters/demand-signal.v1.json");

    fn new(parameters: Parameters) -> Result<Self, ParameterError> {
        parameters.check()?;
        let reference = judge::reference::<Self>(&parameters.version, &parameters)?;
        Ok(Self { parameters, reference })
    }

    fn parameters(&self) -> &Parameters {
        &self.parameters
    }

    fn reference(&self) -> &ModelRef {
        &self.reference
    }

    fn judge(&self, request: &Request) -> Result<Answer, Vec<FieldError>> {
        let errors = request.violations();
        if !errors.is_empty() {
            return Err(errors);
        }
        let judged = match &request.series {
            Series::Day(series) => self.counts(request, series, self.days(request), Grain::Day),
            Series::Week(series) => self.counts(request, series, self.weeks(request), Grain::Week),
            Series::Reading(series) => self.readings(request, series),
        };
        match judged {
            Ok(judged) => Ok(Answer::Scored(Box::new(self.assessment(request, judged).map_err(judge::unhashable)?))),
            Err(missing) => Ok(Answer::InsufficientData {
                product: request.product.clone(),
                location: request.location.clone(),
                missing: vec![missing],
            }),
        }
    }

    fn backtest(&self, cases: &[Case<Request, Outcome>]) -> Figures {
        backtest::figures(self, cases)
    }

    fn fit(
        start: &Parameters,
        version: &str,
        cases: &[Case<Request, Outcome>],
        progress: &mut dyn FnMut(f64),
    ) -> Result<Parameters, FitError> {
        backtest::fit(start, version, cases, progress)
    }
}

/// A bucket of counts, and what its sentences call it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Grain {
    Day,
    Week,
}

impl Grain {
    fn days(self) -> i64 {
        match self {
            Self::Day => 1,
            Self::Week => 7,
        }
    }

    fn word(self) -> &'static str {
        match self {
            Self::Day => "day",
            Self::Week => "week",
        }
    }
}

/// A last bucket judged, before it is put into an answer.
struct LastBucket {
    signal: Signal,
    observed: f64,
    expected: Expected,
    recommendation: Recommendation,
    explanation: explain::Explanation,
    history: Vec<Signal>,
    valid_until: Timestamp,
}

impl Model {
    /// The state of a series of this kind of observation before the first one.
    #[must_use]
    pub fn start(&self, first: &Observation) -> State {
        match first {
            Observation::Day(_) => State::Day(Box::new(self.filter(&self.parameters.day, None).start())),
            Observation::Week(_) => State::Week(Box::new(self.filter(&self.parameters.week, None).start())),
            Observation::Reading(_) => State::Reading(Box::new(Stream::start())),
        }
    }

    /// Judges the next observation of a series by those before it, and learns from it: one pass, constant state.
    ///
    /// # Errors
    /// Every bad field of the observation, and a state of another grain; the state is then as it was.
    pub fn observe(&self, state: &mut State, observation: &Observation) -> Result<Signal, Vec<FieldError>> {
        let errors = observation.violations();
        if !errors.is_empty() {
            return Err(errors);
        }
        match (state, observation) {
            (State::Day(state), Observation::Day(bucket)) => {
                Ok(self.filter(&self.parameters.day, None).observe(state, bucket))
            }
            (State::Week(state), Observation::Week(bucket)) => {
                Ok(self.filter(&self.parameters.week, None).observe(state, bucket))
            }
            (State::Reading(state), Observation::Reading(reading)) => Ok(self.stream(None).observe(state, reading)),
            _ => Err(vec![FieldError::new("/grain", "must be the grain of the state")]),
        }
    }

    fn filter<'a>(&self, parameters: &'a CountParameters, rate: Option<f64>) -> Filter<'a> {
        Filter { parameters, rate: rate.unwrap_or(parameters.false_alarm_rate) }
    }

    /// The false-alarm rate that a request asks for.
    fn rate(&self, request: &Request) -> f64 {
        match request.series {
            Series::Day(_) => self.days(request).rate,
            Series::Week(_) => self.weeks(request).rate,
            Series::Reading(_) => self.stream(request.options.false_alarm_rate).rate,
        }
    }

    fn days(&self, request: &Request) -> Filter<'_> {
        self.filter(&self.parameters.day, request.options.false_alarm_rate)
    }

    fn weeks(&self, request: &Request) -> Filter<'_> {
        self.filter(&self.parameters.week, request.options.false_alarm_rate)
    }

    fn stream(&self, rate: Option<f64>) -> Stream<'_> {
        let parameters = &self.parameters.reading;
        Stream { parameters, rate: rate.unwrap_or(parameters.false_alarm_rate) }
    }

    fn counts(
        &self,
        request: &Request,
        series: &CountSeries,
        filter: Filter<'_>,
        grain: Grain,
    ) -> Result<LastBucket, Missing> {
        let Some(index) = series.units.len().checked_sub(1) else { return Err(missing("/series/units", "one bucket")) };
        let last = series.bucket(index);
        let Some(units) = last.units else {
            return Err(missing(&format!("/series/units/{index}"), "the units of the bucket to judge"));
        };
        let mut state = filter.start();
        let mut history = Vec::new();
        for bucket in series.buckets().take(index) {
            let signal = filter.observe(&mut state, &bucket);
            if request.options.history {
                history.push(signal);
            }
        }
        let least = filter.parameters.least_buckets;
        if state.observed < least {
            return Err(missing("/series/units", &format!("{least} buckets with a count before the one to judge")));
        }
        let outlook = filter.outlook(&state, &last);
        let signal = filter.observe(&mut state.clone(), &last);
        if request.options.history {
            history.push(signal);
        }
        let explanation = if request.options.explain {
            explain::count(filter, &state, &last, units, index, grain.word(), self.parameters.bands)
        } else {
            explain::Explanation::default()
        };
        let [p05, p50, p95] = crate::counts::quantiles(&[(1.0, outlook.counts())], [0.05, 0.5, 0.95]);
        Ok(LastBucket {
            signal,
            observed: units,
            expected: Expected { mean: outlook.mean(), p05, p50, p95 },
            recommendation: explain::of_count(&signal, units, grain.word()),
            explanation,
            history,
            valid_until: bucket_end(series, index + 1, grain),
        })
    }

    fn readings(&self, request: &Request, series: &ReadingSeries) -> Result<LastBucket, Missing> {
        let Some(index) = series.at.len().checked_sub(1) else { return Err(missing("/series/at", "one reading")) };
        let Some(value) = series.values[index] else {
            return Err(missing(&format!("/series/values/{index}"), "the reading to judge"));
        };
        let stream = self.stream(request.options.false_alarm_rate);
        let mut state = Stream::start();
        let mut history = Vec::new();
        for reading in series.readings().take(index) {
            let signal = stream.observe(&mut state, &reading);
            if request.options.history {
                history.push(signal);
            }
        }
        let least = self.parameters.reading.least_readings;
        if state.observed < least {
            return Err(missing("/series/values", &format!("{least} readings before the one to judge")));
        }
        let at = series.at[index];
        let weighed = stream.weigh(&state, at, value);
        let signal = stream.signal(&state, &weighed);
        if request.options.history {
            history.push(signal);
        }
        let explanation = if request.options.explain {
            explain::reading(stream, &state, at, value, index, self.parameters.bands)
        } else {
            explain::Explanation::default()
        };
        let stands = SignedDuration::from_hours(self.parameters.reading.valid_hours);
        Ok(LastBucket {
            signal,
            observed: value,
            expected: Stream::expected(&state, &weighed),
            recommendation: explain::of_reading(&signal, value, weighed.same_incident),
            explanation,
            history,
            valid_until: at.checked_add(stands).unwrap_or(Timestamp::MAX),
        })
    }

    fn assessment(&self, request: &Request, last: LastBucket) -> Result<Assessment, serde_json::Error> {
        Ok(Assessment {
            product: request.product.clone(),
            location: request.location.clone(),
            score: last.signal.score,
            band: self.parameters.bands.band(last.signal.score),
            signal: last.signal,
            observed: last.observed,
            expected: last.expected,
            excess: last.observed - last.expected.mean,
            recommendation: last.recommendation,
            contributions: last.explanation.contributions,
            counterfactuals: last.explanation.counterfactuals,
            history: last.history,
            model: self.reference.clone(),
            // Field order is fixed by the types, so plain JSON is as repeatable as the canonical form and cheaper.
            input_hash: Digest::of_bytes(&serde_json::to_vec(request)?),
            valid_until: last.valid_until,
        })
    }
}

/// One half where the false-alarm rate is reached, and half of what is left for each such step further.
fn score(surprise: f64, rate: f64) -> Score {
    Score::of(-(surprise / rate.log10()).exp2() + 1.0)
}

/// The end of a bucket after the last one, in UTC.
fn bucket_end(series: &CountSeries, index: usize, grain: Grain) -> Timestamp {
    let days = i64::try_from(index + 1).unwrap_or(i64::MAX).saturating_mul(grain.days());
    let end = Span::new().try_days(days).ok().and_then(|span| series.first.checked_add(span).ok());
    end.and_then(|date| date.to_zoned(TimeZone::UTC).ok()).map_or(Timestamp::MAX, |zoned| zoned.timestamp())
}

fn missing(pointer: &str, detail: &str) -> Missing {
    Missing { pointer: pointer.to_owned(), detail: detail.to_owned() }
}
