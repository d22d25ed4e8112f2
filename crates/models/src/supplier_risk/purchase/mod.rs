//! Purchase lines: how likely a line is received after its promise, from how comparable lines fared.
//!
//! [`History`] collects outcomes as they become known, [`Timeline`] looks back at any day; what they know of comparable
//! lines travels in the request as [`Evidence`], so that an answer depends on nothing but its request. `shrinkage` turns it into a late rate and a mean
//! delay, `delivery` into a distribution of the receipt day, `explain` says why.

mod delivery;
mod explain;
mod history;
mod learn;
mod parameters;
mod shrinkage;
mod timeline;
mod types;

use contracts::{Digest, FieldError, Money};
use jiff::Timestamp;

use self::{
    delivery::Delivery,
    shrinkage::{CIRCLES, days_late, late_rate},
    types::{SECONDS_OF_DAY, day},
};
pub use self::{
    history::History,
    parameters::{DelayParameters, Memory, Parameters, Shrinkage},
    timeline::{End, Telling, Timeline},
    types::{Answer, Assessment, Counts, Delay, Evidence, Line, Options, Outcome, Request, Tally},
};
use crate::{Case, FitError, Judge, Missing, ModelRef, ParameterError, Score, judge, metrics::Figures};

/// The model: parameters and their name in answers.
#[derive(Clone, Debug)]
pub struct Model {
    parameters: Parameters,
    reference: ModelRef,
}

impl Judge for Model {
    const NAME: &'static str = "supplier-risk";
    type Request = Request;
    type Answer = Answer;
    type Outcome = Outcome;
    type Parameters = Parameters;

    const STANDARD: &'static str = include_str!("../../../parameters/supplier-risk.v1.json");

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
        match self.evidence(request) {
            Ok(evidence) => Ok(Answer::Scored(Box::new(self.assess(request, evidence).map_err(judge::unhashable)?))),
            Err(missing) => Ok(Answer::InsufficientData { line: request.line.id.clone(), missing: vec![missing] }),
        }
    }

    fn backtest(&self, cases: &[Case<Request, Outcome>]) -> Figures {
        learn::backtest(self, cases)
    }

    fn fit(
        start: &Parameters,
        version: &str,
        cases: &[Case<Request, Outcome>],
        progress: &mut dyn FnMut(f64),
    ) -> Result<Parameters, FitError> {
        learn::fit(start, version, cases, progress)
    }
}

impl Model {
    /// # Errors
    /// When so little is known of any line that the pooled rate would be the prior's alone.
    fn evidence<'a>(&self, request: &'a Request) -> Result<&'a Evidence, Missing> {
        let lack = |pointer: &str, detail: String| Missing { pointer: pointer.to_owned(), detail };
        let evidence = request.evidence.as_ref();
        let evidence = evidence.ok_or_else(|| lack("/evidence", "needs outcomes of past lines".to_owned()))?;
        let (least, known) = (self.parameters.least_lines, evidence.all.long.lines);
        if known < least {
            return Err(lack("/evidence/all/long/lines", format!("needs {least} lines of known outcome, has {known}")));
        }
        Ok(evidence)
    }

    fn delivery(&self, request: &Request, evidence: &Evidence) -> Delivery {
        let delay = &self.parameters.delay;
        Delivery {
            lead: request.lead_days() as f64,
            late: late_rate(evidence, CIRCLES, &self.parameters.shrinkage),
            days_late: days_late(evidence, delay),
            early: delay.early,
            days_early: delay.days_early,
        }
    }

    fn score(&self, request: &Request, evidence: &Evidence) -> Score {
        let due = f64::from(request.line.slack_days);
        Score::of(self.delivery(request, evidence).late_after(due, request.overdue_days() as f64))
    }

    fn assess(&self, request: &Request, evidence: &Evidence) -> Result<Assessment, serde_json::Error> {
        let (line, bands) = (&request.line, &self.parameters.bands);
        let (due, today) = (f64::from(line.slack_days), request.overdue_days() as f64);
        let delivery = self.delivery(request, evidence);
        let score = Score::of(delivery.late_after(due, today));
        let band = bands.band(score);
        let mean = delivery.delay(due, today, self.parameters.delay.delay_cap_days);
        let [p50, p80, p95] = [0.5, 0.8, 0.95].map(|probability| delivery.quantile(probability, due, today));
        let (contributions, counterfactuals) = if request.options.explain {
            let counterfactual = explain::slack(self, request, evidence, band);
            (explain::contributions(self, request, evidence, score), counterfactual.into_iter().collect())
        } else {
            (Vec::new(), Vec::new())
        };
        Ok(Assessment {
            line: line.id.clone(),
            score,
            band,
            new_supplier: evidence.supplier.long.lines < self.parameters.new_supplier_lines,
            delay: Delay { mean, p50, p80, p95 },
            // A saturating conversion: no delay costs more than an i64 of cents.
            expected_delay_cost: line
                .cost_per_day
                .map(|cost| Money::new((mean * cost.minor as f64).round() as i64, cost.currency)),
            contributions,
            counterfactuals,
            model: self.reference.clone(),
            // Field order is fixed by the types, so plain JSON is as repeatable as the canonical form and a third of
            // its cost, which counts in bulk.
            input_hash: Digest::of_bytes(&serde_json::to_vec(request)?),
            valid_until: next_day(request.as_of),
        })
    }
}

/// The beginning of the next day in UTC.
fn next_day(moment: Timestamp) -> Timestamp {
    Timestamp::from_second((day(moment) + 1) * SECONDS_OF_DAY).unwrap_or(Timestamp::MAX)
}
