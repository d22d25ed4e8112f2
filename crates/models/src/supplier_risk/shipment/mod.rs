//! Transports: how likely one is late, from the milestones it has passed and what those ahead usually take.
//!
//! `arrival` is the distribution of the time of arrival, `learn` fits durations by place to transports that have
//! arrived, `explain` says why. The standard durations are fitted to the public Cargo 2000 data set (A. Metzger et
//! al., UCI Machine Learning Repository), whose places are anonymous; a fit to own transports knows own places.

mod arrival;
mod explain;
mod learn;
mod parameters;
mod types;

use contracts::{Digest, FieldError};
use jiff::{Span, Timestamp};

use self::arrival::{Arrival, View};
pub use self::{
    parameters::{Duration, Durations, Parameters, Place, Shrinkage},
    types::{Answer, Assessment, Delay, Leg, Milestone, Options, Outcome, Request, Step, Transport},
};
use crate::{Case, FitError, Judge, Missing, ModelRef, ParameterError, Score, judge, metrics::Figures};

/// The model: parameters and their name in answers.
#[derive(Clone, Debug)]
pub struct Model {
    parameters: Parameters,
    reference: ModelRef,
}

impl Judge for Model {
    const NAME: &'static str = "shipment-risk";
    type Request = Request;
    type Answer = Answer;
    type Outcome = Outcome;
    type Parameters = Parameters;

    const STANDARD: &'static str = include_str!("../../../parameters/shipment-risk.v1.json");

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
        if request.transport.allowed() <= 0.0 {
            let missing = Missing {
                pointer: "/transport/allowed_minutes".to_owned(),
                detail: "needs the minutes allowed, or those planned for the steps".to_owned(),
            };
            return Ok(Answer::InsufficientData { transport: request.transport.id.clone(), missing: vec![missing] });
        }
        Ok(Answer::Scored(Box::new(self.assess(request).map_err(judge::unhashable)?)))
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
    /// P(longer than allowed), with everything that is known.
    fn late(&self, transport: &Transport) -> f64 {
        Arrival::of(transport, &self.parameters.durations, View::FULL).later_than(transport.allowed())
    }

    fn assess(&self, request: &Request) -> Result<Assessment, serde_json::Error> {
        let transport = &request.transport;
        let arrival = Arrival::of(transport, &self.parameters.durations, View::FULL);
        let score = Score::of(arrival.later_than(transport.allowed()));
        let band = self.parameters.bands.band(score);
        let (delay, contributions, counterfactuals) = if request.options.explain {
            (
                Some(explain::delay(&arrival, transport.allowed())),
                explain::contributions(self, request, score),
                explain::allowed(self, request, band).into_iter().collect(),
            )
        } else {
            (None, Vec::new(), Vec::new())
        };
        Ok(Assessment {
            transport: transport.id.clone(),
            score,
            band,
            unknown_places: self.unknown_places(transport),
            delay,
            contributions,
            counterfactuals,
            model: self.reference.clone(),
            // Field order is fixed by the types, so plain JSON is as repeatable as the canonical form and a third of
            // its cost, which counts in bulk.
            input_hash: Digest::of_bytes(&serde_json::to_vec(request)?),
            valid_until: request
                .as_of
                .checked_add(Span::new().minutes(self.parameters.valid_minutes))
                .unwrap_or(Timestamp::MAX),
        })
    }

    fn unknown_places(&self, transport: &Transport) -> u32 {
        let legs = transport.inbound.iter().chain(&transport.outbound);
        let ahead = legs.flat_map(|leg| &leg.steps).filter(|step| step.took_minutes.is_none());
        let unknown = ahead.filter(|step| !self.parameters.durations.of(step.until).places.contains_key(&step.place));
        // At most 17 legs of 32 steps.
        u32::try_from(unknown.count()).unwrap_or(u32::MAX)
    }
}
