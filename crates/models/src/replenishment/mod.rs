//! Replenishment priority: how likely stock runs out before more can arrive, what that costs, and what to do.
//!
//! [`Judge::judge`] judges one product at one location, [`Model::rank`] spends a budget over many. Both first read a
//! case from the request (`history`, `effects`, `demand`, `lead_time`, `position`), then judge it (`recommend`,
//! `quantity`, `rank`), and when asked say why (`explain`). `learn` fits and measures.

mod case;
pub(crate) mod demand;
mod effects;
mod explain;
mod history;
mod lead_time;
mod learn;
mod parameters;
mod position;
mod quantity;
mod rank;
mod recommend;
mod types;

use contracts::{Digest, FieldError, append_json};
use jiff::{Span, Timestamp};

use self::{case::Case, position::RiskPeriod, quantity::service_probability, recommend::Need};
pub use self::{
    parameters::{ByCadence, DemandParameters, Model, Parameters},
    types::{
        Answer, Assessment, DemandOutlook, LeftOut, Options, Outcome, RankRequest, RankedLine, Ranking, Recommendation,
        Request, Source, Verb,
    },
};
use crate::{FitError, Judge, ModelRef, ParameterError, Score, judge, metrics::Figures};

/// What most requests with a history of two months fit into as JSON.
const REQUEST_BYTES: usize = 1024;

impl Judge for Model {
    const NAME: &'static str = "replenishment-priority";
    type Request = Request;
    type Answer = Answer;
    type Outcome = Outcome;
    type Parameters = Parameters;
    const STANDARD: &'static str = include_str!("../../parameters/replenishment.v1.json");

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
        // Field order is fixed by the types, so plain JSON is as repeatable as the canonical form and a third of its
        // cost, which counts in bulk.
        self.judge_hashed(request, || {
            let mut text = Vec::with_capacity(REQUEST_BYTES);
            append_json(&mut text, request)?;
            Ok(Digest::of_bytes(&text))
        })
    }

    fn backtest(&self, cases: &[crate::Case<Request, Outcome>]) -> Figures {
        learn::backtest(self, cases)
    }

    fn fit(
        start: &Parameters,
        version: &str,
        cases: &[crate::Case<Request, Outcome>],
        progress: &mut dyn FnMut(f64),
    ) -> Result<Parameters, FitError> {
        learn::fit(start, version, cases, progress)
    }
}

impl Model {
    /// Judges a request whose hash the caller knows better: whoever holds the bytes it was read from need not have it
    /// written again, which takes as long as judging it.
    ///
    /// # Errors
    /// Every bad field of the request, by pointer.
    pub fn judge_hashed(
        &self,
        request: &Request,
        input_hash: impl FnOnce() -> Result<Digest, serde_json::Error>,
    ) -> Result<Answer, Vec<FieldError>> {
        let errors = request.violations();
        if !errors.is_empty() {
            return Err(errors);
        }
        match Case::read(request, &self.parameters) {
            Ok(case) => {
                let assessment = input_hash().and_then(|hash| self.assess(&case, hash)).map_err(judge::unhashable)?;
                Ok(Answer::Scored(Box::new(assessment)))
            }
            Err(missing) => Ok(Answer::InsufficientData {
                product: request.facts.product.clone(),
                location: request.facts.location.clone(),
                missing,
            }),
        }
    }

    fn assess(&self, case: &Case<'_>, input_hash: Digest) -> Result<Assessment, serde_json::Error> {
        let (facts, options) = (&case.request.facts, &case.request.options);
        let risk = RiskPeriod::new(&case.demand, &case.lead_times, options.review_period_days);
        let now = risk.outlook(facts.stock.available(), &case.receipts, 0.0);
        let score = Score::of(case.stake.urgency(now, &self.parameters.urgency));
        let band = self.parameters.urgency.bands.band(score);
        let (demand, target) = outlook(case, &risk);
        let recommendation = Need::new(case, &risk, now, target).recommend();
        let (contributions, counterfactuals) = if options.explain {
            (explain::contributions(case, score), explain::counterfactuals(case, &risk, band))
        } else {
            (Vec::new(), Vec::new())
        };
        let facts_hash = match (&facts.hash, options.explain) {
            (Some(hash), _) => Some(hash.clone()),
            (None, true) => Some(facts.digest()?),
            (None, false) => None,
        };
        Ok(Assessment {
            product: facts.product.clone(),
            location: facts.location.clone(),
            score,
            band,
            stock_out_probability: now.probability,
            expected_units_lost: now.units_lost,
            expected_margin_lost: case.stake.margin_of(now.units_lost),
            demand,
            recommendation,
            contributions,
            counterfactuals,
            model: self.reference.clone(),
            input_hash,
            facts_hash,
            valid_until: facts
                .as_of
                .checked_add(Span::new().hours(self.parameters.valid_hours))
                .unwrap_or(Timestamp::MAX),
        })
    }
}

/// Demand over the risk period as it is told, and the order-up-to level.
fn outlook(case: &Case<'_>, risk: &RiskPeriod<'_>) -> (DemandOutlook, f64) {
    let days = risk.days();
    let service = service_probability(case, days);
    let [p05, p50, p80, p90, p95, p98] = risk.quantiles([0.05, 0.5, 0.8, 0.9, 0.95, 0.98]);
    // The default target is one of the quantiles already told.
    let [target] = if (service - 0.95).abs() < f64::EPSILON { [p95] } else { risk.quantiles([service]) };
    let demand = DemandOutlook {
        days,
        mean: risk.mean(),
        p05,
        p50,
        p80,
        p90,
        p95,
        p98,
        daily: case.demand.daily(),
        in_stock_days: case.demand.in_stock,
    };
    (demand, target)
}
