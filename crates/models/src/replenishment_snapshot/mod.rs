//! Replenishment from a monthly snapshot: how likely a product goes on backorder, from an ERP's totals alone.
//!
//! Where there is a daily history, [`crate::replenishment`] knows more. A snapshot is read into a row of numbers
//! (`row`), which becomes log-odds (`parameters`): by a mechanism that compares stock with demand over the lead time,
//! or, once fitted (`learn`), by boosted trees that start from the same comparison. `explain` says why.

mod explain;
mod learn;
mod parameters;
mod row;
mod types;

use contracts::{Digest, FieldError};
use jiff::{SignedDuration, Timestamp};

use self::row::{IN_TRANSIT, Row, monthly_demand, row};
pub use self::{
    parameters::{Mechanism, Parameters, Risk},
    types::{Answer, Assessment, Flags, Forecast, Options, Outcome, Request, Sales, Stock, Supplier},
};
use crate::{
    Band, Case, FitError, Judge, Missing, ModelRef, ParameterError, Score, ensemble::logistic, judge, metrics::Figures,
};

/// The model: parameters and their name in answers.
#[derive(Clone, Debug)]
pub struct Model {
    parameters: Parameters,
    reference: ModelRef,
}

impl Judge for Model {
    const NAME: &'static str = "replenishment-snapshot";
    type Request = Request;
    type Answer = Answer;
    type Outcome = Outcome;
    type Parameters = Parameters;
    const STANDARD: &'static str = include_str!("../../parameters/replenishment-snapshot.v1.json");

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
        let Some(on_hand) = request.stock.on_hand else {
            return Ok(Answer::InsufficientData {
                product: request.product.clone(),
                location: request.location.clone(),
                missing: vec![Missing {
                    pointer: "/stock/on_hand".to_owned(),
                    detail: "needs the units on hand".to_owned(),
                }],
            });
        };
        Ok(Answer::Scored(Box::new(self.assess(request, on_hand).map_err(judge::unhashable)?)))
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
    fn score(&self, row: &Row) -> (Score, Band) {
        let score = Score::of(logistic(self.parameters.risk.log_odds(row)));
        (score, self.parameters.bands.band(score))
    }

    fn assess(&self, request: &Request, on_hand: f64) -> Result<Assessment, serde_json::Error> {
        let row = row(request, on_hand);
        let probability = logistic(self.parameters.risk.log_odds(&row));
        let score = Score::of(probability);
        let band = self.parameters.bands.band(score);
        let (contributions, counterfactuals) = if request.options.explain {
            (explain::contributions(self, &row, score), explain::counterfactuals(self, &row, band))
        } else {
            (Vec::new(), Vec::new())
        };
        let demand = monthly_demand(&row);
        Ok(Assessment {
            product: request.product.clone(),
            location: request.location.clone(),
            score,
            band,
            backorder_probability: probability,
            monthly_demand: demand,
            months_of_cover: (demand > 0.0).then(|| (on_hand + row[IN_TRANSIT]) / demand),
            contributions,
            counterfactuals,
            model: self.reference.clone(),
            // Field order is fixed by the types, so plain JSON is as repeatable as the canonical form, and cheaper.
            input_hash: Digest::of_bytes(&serde_json::to_vec(request)?),
            valid_until: request
                .as_of
                .checked_add(SignedDuration::from_hours(24 * self.parameters.valid_days))
                .unwrap_or(Timestamp::MAX),
        })
    }
}
