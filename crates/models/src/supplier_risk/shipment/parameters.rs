//! The model's constants: a versioned file, embedded, hashed, named in every answer.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::{Milestone, Model};
use crate::{Judge, ParameterError, score::BandLimits};

/// Constants of the model. Their meaning is documented here, their values in `parameters/shipment-risk.v1.json`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Parameters {
    pub version: String,
    /// Minutes after `as_of` for which an answer stands.
    pub valid_minutes: i64,
    pub shrinkage: Shrinkage,
    pub durations: Durations,
    pub bands: BandLimits,
}

/// Steps that the average of all places counts for in the estimate of one place.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Shrinkage {
    pub mean_steps: f64,
    pub variance_steps: f64,
}

/// How long a step lasts, by the milestone at its end.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Durations {
    pub received: Duration,
    pub departed: Duration,
    pub connected: Duration,
    pub arrived: Duration,
    pub delivered: Duration,
}

/// A lognormal duration: of the minutes themselves, or of their ratio to the plan.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Duration {
    /// Whether steps last in proportion to the plan. Plans of departure and delivery say little about either.
    pub relative_to_plan: bool,
    /// Mean and variance of the logarithm at a place never seen.
    pub mean: f64,
    pub variance: f64,
    pub places: BTreeMap<String, Place>,
}

/// The same at one place, shrunk to what all places have in common: `[mean, variance]` of the logarithm.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Place(pub f64, pub f64);

impl Durations {
    pub(super) fn of(&self, milestone: Milestone) -> &Duration {
        match milestone {
            Milestone::Received => &self.received,
            Milestone::Departed => &self.departed,
            Milestone::Connected => &self.connected,
            Milestone::Arrived => &self.arrived,
            Milestone::Delivered => &self.delivered,
        }
    }

    pub(super) fn each_mut(&mut self) -> [(Milestone, &mut Duration); 5] {
        [
            (Milestone::Received, &mut self.received),
            (Milestone::Departed, &mut self.departed),
            (Milestone::Connected, &mut self.connected),
            (Milestone::Arrived, &mut self.arrived),
            (Milestone::Delivered, &mut self.delivered),
        ]
    }
}

impl Parameters {
    /// # Errors
    /// Names the first parameter that is out of its range.
    pub(super) fn check(&self) -> Result<(), ParameterError> {
        let wrong = |pointer: String| {
            Err(ParameterError::Range { model: Model::NAME, pointer, detail: "must be finite and above 0".to_owned() })
        };
        let positive = |value: f64| value > 0.0 && value.is_finite();
        let Durations { received, departed, connected, arrived, delivered } = &self.durations;
        let named = [
            ("received", received),
            ("departed", departed),
            ("connected", connected),
            ("arrived", arrived),
            ("delivered", delivered),
        ];
        for (milestone, duration) in named {
            if !duration.mean.is_finite() || !positive(duration.variance) {
                return wrong(format!("/durations/{milestone}/variance"));
            }
            let bad = |(_, Place(mean, variance)): &(&String, &Place)| !mean.is_finite() || !positive(*variance);
            if let Some((place, _)) = duration.places.iter().find(bad) {
                return wrong(format!("/durations/{milestone}/places/{place}"));
            }
        }
        if !positive(self.shrinkage.mean_steps) || !positive(self.shrinkage.variance_steps) {
            return wrong("/shrinkage/mean_steps".to_owned());
        }
        Ok(())
    }
}
