//! The model's constants: a versioned file, embedded, hashed, named in every answer.

use std::collections::BTreeMap;

use contracts::facts::Every;
use serde::{Deserialize, Serialize};

use crate::{Judge, ModelRef, ParameterError, score::BandLimits};

/// Constants of the model. Their meaning is documented here, their values in `parameters/replenishment.v1.json`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Parameters {
    pub version: String,
    /// Hours after `as_of` for which an answer stands.
    pub valid_hours: i64,
    pub demand: ByCadence,
    pub lead_time: LeadTimeParameters,
    pub urgency: UrgencyParameters,
    pub transfer: TransferParameters,
}

/// Sales counted by day, week and month behave differently enough for constants of their own.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ByCadence {
    pub day: DemandParameters,
    pub week: DemandParameters,
    pub month: DemandParameters,
}

impl ByCadence {
    #[must_use]
    pub fn of(&self, every: Every) -> &DemandParameters {
        match every {
            Every::Day => &self.day,
            Every::Week => &self.week,
            Every::Month => &self.month,
        }
    }

    pub(super) fn of_mut(&mut self, every: Every) -> &mut DemandParameters {
        match every {
            Every::Day => &mut self.day,
            Every::Week => &mut self.week,
            Every::Month => &mut self.month,
        }
    }
}

/// What the model wants to see before it speaks.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Sufficiency {
    /// Buckets of history, in stock or not.
    pub history: usize,
    /// Buckets in stock for at least half the time. Far fewer: what is always sold out is what needs judging most.
    pub in_stock: u32,
    /// Most days between the end of the sales history and the moment of the facts.
    pub stale_days: i64,
}

/// How the level of demand per bucket is estimated.
///
/// The shipped weekly uplifts are means over a chain's weeks of the same store and article: plain weeks sell 0.89,
/// promoted ones 1.3 and advertised ones 4.4 times what weeks without advertising did. How much that counts beside an
/// article's own weeks, the decay, and a promotion's factor above its mean (what is lost lies in the tail) were chosen
/// by the money captured in weekly lists of all its weeks, each half agreeing.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DemandParameters {
    pub sufficiency: Sufficiency,
    /// Weight of a bucket relative to the next, newer one.
    pub decay: f64,
    /// How far the way from the long-run level to the recent one goes on: the exponent of their ratio. 0 stays at the
    /// recent level; above 0, what fades is expected to fade further (spare parts do).
    pub trend: f64,
    /// A bucket in stock for share `e` saw `e^exposure` of its demand.
    pub exposure: f64,
    /// The same bucket is trusted `e^trust`.
    pub trust: f64,
    /// Demand of a weekend or public holiday relative to a working day, before the article's own weekdays are known.
    pub holiday: f64,
    /// Days of average demand mixed into each weekday's factor.
    pub weekday_prior: f64,
    /// Price elasticity: demand at price share `p` is `p^-elasticity` of that at the regular price.
    pub elasticity: f64,
    /// Units at a squared log price of 1 that the elasticity above counts for beside the article's own.
    pub elasticity_prior: f64,
    /// Expected uplift of a promotion before any was seen, when no price is told.
    pub uplift_prior: f64,
    /// The same when the discount is told and explains most of it.
    pub uplift_prior_priced: f64,
    /// Expected uplift of advertising before any was seen.
    pub advertised_prior: f64,
    /// Ordinary buckets of demand at those uplifts mixed into the estimates.
    pub uplift_prior_buckets: f64,
    /// Highest uplift believed. Stronger ones are articles that hardly sell otherwise, read from next to nothing.
    pub most_uplift: f64,
    /// Variance-to-mean ratio of a bucket's demand before any was seen, and the buckets it counts for.
    pub dispersion_prior: f64,
    pub dispersion_prior_buckets: f64,
    /// Squared relative error of the level that no amount of history removes: demand drifts.
    pub drift: f64,
    /// Units added to the history's total, so that a history of zeros is not a demand of zero.
    pub level_prior_units: f64,
    /// Factor between estimated and realised demand. 1 unless fitted: the windows of which realised demand is known
    /// may be a choice (those that did not sell out), and then their demand is lower than usual.
    pub calibration: f64,
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

impl Parameters {
    /// # Errors
    /// The first value outside its range, by its pointer into the file.
    pub(super) fn check(&self) -> Result<(), ParameterError> {
        let refuse = |pointer: String, detail: &str| ParameterError::Range {
            model: Model::NAME,
            pointer,
            detail: detail.into(),
        };
        let cadences = [("day", &self.demand.day), ("week", &self.demand.week), ("month", &self.demand.month)];
        for (name, demand) in cadences {
            let (field, within) = demand.out_of_range().unwrap_or_default();
            if !field.is_empty() {
                return Err(refuse(format!("/demand/{name}/{field}"), within));
            }
        }
        let spread: f64 = self.lead_time.promise_spread.iter().map(|(_, probability)| probability).sum();
        if (spread - 1.0).abs() > 1e-9 {
            return Err(refuse("/lead_time/promise_spread".into(), "must have probabilities that add up to 1"));
        }
        if !(0.0..=1.0).contains(&self.urgency.floor) {
            return Err(refuse("/urgency/floor".into(), "must be from 0 to 1"));
        }
        let bands = &self.urgency.bands;
        if !(bands.elevated <= bands.high && bands.high <= bands.critical) {
            return Err(refuse("/urgency/bands".into(), "must rise from elevated to critical"));
        }
        Ok(())
    }
}

impl DemandParameters {
    /// The first field outside its range, and the range.
    fn out_of_range(&self) -> Option<(&'static str, &'static str)> {
        let share = "must be above 0 and at most 1";
        let positive = "must be above 0";
        let not_negative = "must not be negative";
        let checks = [
            (self.decay > 0.0 && self.decay <= 1.0, "decay", share),
            (self.trend.abs() <= 3.0, "trend", "must be from -3 to 3"),
            (self.exposure >= 0.0, "exposure", not_negative),
            (self.trust >= 0.0, "trust", not_negative),
            (self.holiday > 0.0, "holiday", positive),
            (self.weekday_prior > 0.0, "weekday_prior", positive),
            (self.elasticity >= 0.0, "elasticity", not_negative),
            (self.elasticity_prior > 0.0, "elasticity_prior", positive),
            (self.uplift_prior >= 1.0, "uplift_prior", "must be at least 1"),
            (self.uplift_prior_priced >= 1.0, "uplift_prior_priced", "must be at least 1"),
            (self.advertised_prior >= 1.0, "advertised_prior", "must be at least 1"),
            (self.uplift_prior_buckets > 0.0, "uplift_prior_buckets", positive),
            (self.most_uplift >= 1.0, "most_uplift", "must be at least 1"),
            (self.dispersion_prior >= 0.0, "dispersion_prior", not_negative),
            (self.dispersion_prior_buckets > 0.0, "dispersion_prior_buckets", positive),
            (self.drift >= 0.0, "drift", not_negative),
            (self.level_prior_units >= 0.0, "level_prior_units", not_negative),
            (self.calibration > 0.0, "calibration", positive),
        ];
        checks.iter().find(|(sound, ..)| !sound).map(|(_, field, within)| (*field, *within))
    }
}
