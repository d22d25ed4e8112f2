//! The replenishment model behind the trait of all models.

use contracts::FieldError;
use models::{
    Case, FitError, Judge, ModelRef, ParameterError,
    metrics::{self, Figure, Figures},
    replenishment::{Answer, Model, Parameters, Request},
};
use serde::{Deserialize, Serialize};

/// What became true.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Outcome {
    stocked_out: bool,
}

pub(crate) struct Replenishment(pub(crate) Model);

impl Judge for Replenishment {
    const NAME: &'static str = "replenishment-priority";
    const STANDARD: &'static str = include_str!("../../models/parameters/replenishment.v1.json");
    type Request = Request;
    type Answer = Answer;
    type Outcome = Outcome;
    type Parameters = Parameters;

    fn new(parameters: Parameters) -> Result<Self, ParameterError> {
        let form = |error: models::replenishment::ParameterError| ParameterError::Range {
            model: Self::NAME,
            pointer: String::new(),
            detail: error.to_string(),
        };
        Model::new(parameters).map(Self).map_err(form)
    }

    fn parameters(&self) -> &Parameters {
        self.0.parameters()
    }

    fn reference(&self) -> &ModelRef {
        self.0.reference()
    }

    fn judge(&self, request: &Request) -> Result<Answer, Vec<FieldError>> {
        self.0.score(request)
    }

    fn backtest(&self, cases: &[Case<Request, Outcome>]) -> Figures {
        let mut found = Figures { cases: cases.len(), ..Figures::default() };
        let mut forecasts = Vec::new();
        for case in cases {
            match self.0.score(&case.request) {
                Ok(Answer::Scored(one)) => forecasts.push((one.stock_out_probability, case.outcome.stocked_out)),
                Ok(Answer::InsufficientData { .. }) => found.insufficient += 1,
                Err(_) => found.refused += 1,
            }
        }
        found.figures = vec![Figure::lower("brier", metrics::brier(&forecasts))];
        found.calibration = metrics::calibration(&forecasts, 10);
        found
    }

    fn fit(
        _: &Parameters,
        _: &str,
        _: &[Case<Request, Outcome>],
        _: &mut dyn FnMut(f64),
    ) -> Result<Parameters, FitError> {
        Err(FitError::Unusable("this model's parameters are set by hand".to_owned()))
    }
}
