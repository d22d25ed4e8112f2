//! Demand within the day: was the shelf empty, since when, and what would have sold.
//!
//! From the hourly sales of one product at one location. [`window`] and [`shelf`] estimate demand and the hidden state
//! of the shelf from each other, hour by hour; [`signs`] adds what the series' other days say about such a day, and
//! boosted trees weigh it into the probability that the day was cut short; [`lost`] says what was not sold.

mod explain;
mod fit;
mod lost;
mod parameters;
mod shelf;
mod signs;
mod types;
mod window;

use contracts::{Digest, FieldError, Money};
use jiff::{Span, Timestamp};

use self::{
    lost::Loss,
    parameters::{CUT_SHORT, OPENING},
    signs::{Habits, Row, Sketch},
    types::HOURS,
    window::Window,
};
pub use self::{
    parameters::{Demand, Parameters, Shelf, Sufficiency},
    types::{Answer, Assessment, DailySales, DayDemand, DayJudgement, HourlySales, Options, Outcome, Request, Stretch},
};
use crate::{Case, FitError, Judge, Missing, ModelRef, ParameterError, Score, judge, metrics::Figures};

const NAME: &str = "demand-signal-hours";
/// Probability from which an hour counts as empty in [`Stretch`].
const LIKELY: f64 = 0.5;

/// The model: parameters and their name in answers.
#[derive(Clone, Debug)]
pub struct Model {
    parameters: Parameters,
    reference: ModelRef,
}

/// How the score of a day comes about.
#[derive(Clone, Copy, Debug)]
enum Verdict {
    /// From its signs, by the trees: log-odds.
    Likely(f64),
    /// From records of the shelf.
    Known(bool),
}

impl Verdict {
    fn score(self) -> Score {
        match self {
            Self::Likely(odds) => Score::of(crate::ensemble::logistic(odds)),
            Self::Known(cut_short) => Score::of(f64::from(u8::from(cut_short))),
        }
    }
}

/// Everything the model makes of one request.
struct Reading<'a> {
    request: &'a Request,
    window: Window<'a>,
    sketches: Vec<Sketch>,
    habits: Habits,
}

impl<'a> Reading<'a> {
    fn of(request: &'a Request, parameters: &'a Parameters) -> Self {
        let window = Window::read(request, parameters);
        let sketches: Vec<Sketch> = (0..window.days.len()).map(|day| Sketch::of(&window, day)).collect();
        let habits = Habits::of(&sketches);
        Self { request, window, sketches, habits }
    }

    fn row(&self, day: usize) -> Row {
        signs::row(&self.window, &self.sketches, &self.habits, day)
    }

    /// Opening hours of the day that records say were out of stock.
    fn known_out(&self, day: usize) -> usize {
        let sales = &self.request.sales;
        let known = |hour: usize| sales.out_of_stock.get(day * HOURS + hour).copied().unwrap_or(false);
        OPENING.filter(|hour| known(*hour)).count()
    }
}

impl Model {
    fn verdict(&self, reading: &Reading<'_>, day: usize) -> Verdict {
        let known_out = reading.known_out(day);
        if known_out >= CUT_SHORT || reading.request.sales.records_complete {
            Verdict::Known(known_out >= CUT_SHORT)
        } else {
            Verdict::Likely(self.parameters.trees.raw(&reading.row(day)))
        }
    }

    fn day(&self, reading: &Reading<'_>, day: usize) -> DayJudgement {
        let (request, window, sketch) = (reading.request, &reading.window, &reading.sketches[day]);
        let score = self.verdict(reading, day).score();
        let loss = Loss::of(window, day);
        let days = Span::new().days(i64::try_from(day).unwrap_or_default());
        let [p05, p50, p95] = loss.quantiles([0.05, 0.5, 0.95]);
        DayJudgement {
            // The checks of the request keep its days inside the calendar.
            date: request.sales.first_day.checked_add(days).unwrap_or(request.sales.first_day),
            score,
            band: self.parameters.bands.band(score),
            hours_out: sketch.hours_out,
            empty: longest_empty(window.opening(day), &window.out[Window::hours(day)]),
            units_sold: sketch.sold,
            demand: DayDemand {
                mean: sketch.sold + loss.mean,
                p05: sketch.sold + p05,
                p50: sketch.sold + p50,
                p95: sketch.sold + p95,
            },
            units_lost: loss.mean,
            // A saturating conversion: more than i64 cents are lost in no store.
            margin_lost: request
                .unit_margin
                .map(|margin| Money::new((loss.mean * margin.minor as f64).round() as i64, margin.currency)),
            contributions: Vec::new(),
            counterfactuals: Vec::new(),
        }
    }

    fn lacking(&self, request: &Request) -> Vec<Missing> {
        let needs = &self.parameters.sufficiency;
        let (sales, earlier) = (&request.sales, request.earlier.as_ref());
        let days = sales.days() - 1 + earlier.map_or(0, |earlier| earlier.units.len());
        let units: f64 = sales.units.iter().chain(earlier.iter().flat_map(|earlier| &earlier.units)).sum();
        let mut missing = Vec::new();
        let mut lack = |lacks: bool, detail: String| {
            if lacks {
                missing.push(Missing { pointer: "/sales/units".to_owned(), detail });
            }
        };
        lack(days < needs.days, format!("needs {} days before the last one, has {days}", needs.days));
        lack(units < needs.units, format!("needs {} units sold to know a level, has {units}", needs.units));
        missing
    }
}

fn longest_empty(hours: std::ops::Range<usize>, out: &[f64]) -> Option<Stretch> {
    let (mut longest, mut since) = (0..0, hours.start);
    for hour in hours {
        if out[hour] < LIKELY {
            since = hour + 1;
        } else if hour + 1 - since > longest.len() {
            longest = since..hour + 1;
        }
    }
    // Hours of a day fit a u8.
    (!longest.is_empty()).then_some(Stretch { since: longest.start as u8, until: longest.end as u8 })
}

impl Judge for Model {
    const NAME: &'static str = NAME;
    type Request = Request;
    type Answer = Answer;
    type Outcome = Outcome;
    type Parameters = Parameters;
    const STANDARD: &'static str = include_str!("../../../parameters/demand-signal-hours.v1.json");

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
        let (product, location) = (request.product.clone(), request.location.clone());
        let missing = self.lacking(request);
        if !missing.is_empty() {
            return Ok(Answer::InsufficientData { product, location, missing });
        }
        let reading = Reading::of(request, &self.parameters);
        let last = reading.sketches.len() - 1;
        let mut latest = self.day(&reading, last);
        if request.options.explain {
            latest.contributions = self.contributions(&reading, last);
            latest.counterfactuals = self.counterfactuals(request, &latest);
        }
        // A request that passed its checks but has no JSON form holds a number that is not finite.
        let text = serde_json::to_vec(request).map_err(judge::unhashable)?;
        let hours = Span::new().hours(self.parameters.valid_hours);
        Ok(Answer::Scored(Box::new(Assessment {
            product,
            location,
            latest,
            earlier: (last - request.options.look_back..last).map(|day| self.day(&reading, day)).collect(),
            model: self.reference.clone(),
            input_hash: Digest::of_bytes(&text),
            valid_until: request.as_of.checked_add(hours).unwrap_or(Timestamp::MAX),
        })))
    }

    fn backtest(&self, cases: &[Case<Request, Outcome>]) -> Figures {
        fit::backtest(self, cases)
    }

    fn fit(
        start: &Parameters,
        version: &str,
        cases: &[Case<Request, Outcome>],
        progress: &mut dyn FnMut(f64),
    ) -> Result<Parameters, FitError> {
        fit::fit(start, version, cases, progress)
    }
}
