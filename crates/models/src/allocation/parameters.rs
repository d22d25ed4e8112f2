//! The model's constants: a versioned file, embedded, hashed, named in every answer.

use serde::{Deserialize, Serialize};

use super::Model;
use crate::{Judge, ParameterError, replenishment::ByCadence, score::BandLimits};

/// Constants of the model. Their meaning is documented here, their values in `parameters/allocation.v1.json`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Parameters {
    pub version: String,
    /// Hours after `as_of` for which an answer stands.
    pub valid_hours: i64,
    /// Fewest days of sales that demand is estimated from.
    pub history_days: usize,
    /// How the daily level is estimated; as in replenishment-priority.
    pub demand: ByCadence,
    /// Share of the demand over a horizon that is reserved when the plan is made.
    pub reserved_share: f64,
    /// Squared relative error of the forecasts that all locations share, and what each has of its own.
    pub common_spread: f64,
    pub location_spread: f64,
    /// Demand falls with this power of the price.
    pub price_elasticity: f64,
    /// Standard deviations of its own result that a plan must be expected to gain, or nothing is moved.
    pub caution: f64,
    pub bands: BandLimits,
}

impl Parameters {
    /// # Errors
    /// Names the first parameter outside its range.
    pub(super) fn check(&self) -> Result<(), ParameterError> {
        let ranges = [
            ("/reserved_share", self.reserved_share, 0.001, 0.9),
            ("/common_spread", self.common_spread, 1e-4, 10.0),
            ("/location_spread", self.location_spread, 1e-4, 10.0),
            ("/price_elasticity", self.price_elasticity, 0.0, 10.0),
            ("/caution", self.caution, 0.0, 10.0),
        ];
        for (pointer, value, least, most) in ranges {
            if !(least..=most).contains(&value) {
                let detail = format!("must be between {least} and {most}");
                return Err(ParameterError::Range { model: Model::NAME, pointer: pointer.to_owned(), detail });
            }
        }
        Ok(())
    }
}
