//! The model's constants: a versioned file, embedded, hashed, named in every answer.

use std::collections::BTreeMap;

use contracts::Digest;
use serde::{Deserialize, Serialize};

use crate::{ModelRef, score::BandLimits};

const NAME: &str = "replenishment-priority";
const STANDARD: &str = include_str!("../../parameters/replenishment.v1.json");

/// Why a parameter file cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ParameterError {
    #[error("the parameter file of {NAME} is not of the expected form")]
    Form(#[from] serde_json::Error),
}

/// Constants of the model. Their meaning is documented here, their values in `parameters/replenishment.v1.json`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Parameters {
    pub version: String,
    /// Hours after `as_of` for which an answer stands.
    pub valid_hours: i64,
    pub sufficiency: Sufficiency,
    pub demand: DemandParameters,
    pub lead_time: LeadTimeParameters,
    pub urgency: UrgencyParameters,
    pub transfer: TransferParameters,
}

/// What the model wants to see before it speaks.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Sufficiency {
    /// Days of history, in stock or not.
    pub history_days: usize,
    /// Days in stock for at least half the day. Far fewer: what is always sold out is what needs judging most.
    pub in_stock_days: u32,
    /// Most days between the end of the sales history and the moment of the facts.
    pub stale_days: i64,
}

/// How the daily level is estimated.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DemandParameters {
    /// Weight of a day relative to the next, newer one.
    pub decay: f64,
    /// A day in stock for share `e` saw `e^exposure` of its demand.
    pub exposure: f64,
    /// The same day is trusted `e^trust`.
    pub trust: f64,
    /// Days of average demand mixed into each weekday's factor.
    pub weekday_prior_days: f64,
    /// Expected uplift of a promotion before any was seen.
    pub uplift_prior: f64,
    /// Ordinary days of demand at that uplift mixed into the estimate.
    pub uplift_prior_days: f64,
    /// Variance-to-mean ratio of daily demand before any day was seen, and the days it counts for.
    pub dispersion_prior: f64,
    pub dispersion_prior_days: f64,
    /// Squared relative error of the level that no amount of history removes: demand drifts.
    pub drift: f64,
    /// Units added to the history's total, so that a history of zeros is not a demand of zero.
    pub level_prior_units: f64,
}

/// How the lead-time distribution is formed.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LeadTimeParameters {
    /// Receipts that the promised lead time counts for beside the seen ones.
    pub promise_weight: f64,
    /// Spread around a promise: multiples of the promised days and their probabilities.
    pub promise_spread: [(f64, f64); 3],
}

/// How probability and stake become urgency.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct UrgencyParameters {
    /// Urgency of a certain stock-out at which nothing is lost.
    pub floor: f64,
    /// Expected units lost at which the stake weighs 63 % (used when the margin is unknown).
    pub units_at_stake: f64,
    /// Expected margin lost, in minor units, at which the stake weighs 63 %; by currency, else the default.
    pub margin_at_stake: BTreeMap<String, f64>,
    pub margin_at_stake_default: f64,
    pub bands: BandLimits,
}

/// When stock may be taken from another location.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TransferParameters {
    /// Highest stock-out probability a donor may be left with.
    pub donor_risk_cap: f64,
    /// Fewest units that a transfer must be expected to save when no margin is known.
    pub least_units_saved: f64,
}

/// The model: parameters and their name in answers.
#[derive(Clone, Debug)]
pub struct Model {
    pub(super) parameters: Parameters,
    pub(super) reference: ModelRef,
}

impl Model {
    /// The model with the parameters it is shipped with.
    ///
    /// # Errors
    /// When the embedded file is not of the expected form, which a test rules out.
    pub fn standard() -> Result<Self, ParameterError> {
        Self::new(serde_json::from_str(STANDARD)?)
    }

    /// The model with other parameters.
    ///
    /// # Errors
    /// When a parameter is not a finite number.
    pub fn new(parameters: Parameters) -> Result<Self, ParameterError> {
        let reference = ModelRef {
            name: NAME.to_owned(),
            version: parameters.version.clone(),
            parameters: Digest::of(&parameters)?,
        };
        Ok(Self { parameters, reference })
    }

    /// The parameters, to derive others from.
    #[must_use]
    pub fn parameters(&self) -> &Parameters {
        &self.parameters
    }

    /// What answers call it.
    #[must_use]
    pub fn reference(&self) -> &ModelRef {
        &self.reference
    }
}
