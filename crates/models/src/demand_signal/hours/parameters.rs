//! The model's constants: a versioned file, hashed, named in every answer.

use serde::{Deserialize, Serialize};

use super::{signs::SIGNS, types::HOURS};
use crate::{ParameterError, ensemble::Ensemble, score::BandLimits};

/// Opening hours: what the score, the demand and the losses are about. Profiles and trees are fitted to them.
pub(super) const OPENING: std::ops::Range<usize> = 6..22;
/// Opening hours out of stock from which a day counts as cut short.
pub(super) const CUT_SHORT: usize = 4;
/// Elements of [`Demand::exposure`]: one for each number of opening hours out, none to all.
pub(super) const EXPOSURES: usize = OPENING.end - OPENING.start + 1;

/// Constants of the model. Their meaning is documented here, their values in `parameters/demand-signal-hours.v1.json`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Parameters {
    pub version: String,
    /// Hours after `as_of` for which an answer stands.
    pub valid_hours: i64,
    pub sufficiency: Sufficiency,
    pub demand: Demand,
    pub shelf: Shelf,
    pub bands: BandLimits,
    /// Log-odds of a day cut short from its signs.
    pub trees: Ensemble,
}

/// What the model wants to see before it speaks.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Sufficiency {
    /// Days of sales, hourly and daily together, beside the day judged.
    pub days: usize,
    /// Units sold on them.
    pub units: f64,
}

/// Expected sales of an hour with stock: level x day's factor x hour's share.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Demand {
    /// Weight of a day relative to the one next to it, on either side.
    pub decay: f64,
    /// Average days of the whole window mixed into each day's level.
    pub level_prior_days: f64,
    /// Units of its own expected sales that the level counts for beside a day's own sales.
    pub day_prior_units: f64,
    /// Demand by weekday, Monday first, relative to Mondays. A holiday trades as a Saturday.
    pub weekday: [f64; 7],
    /// Price elasticity: demand goes with price^-elasticity.
    pub elasticity: f64,
    /// Each hour's share of the opening hours' demand, on working days and on Saturdays, Sundays and holidays.
    pub profile: [[f64; HOURS]; 2],
    /// Share of a day's demand that was sold when 0, 1, .. 16 opening hours were out of stock.
    pub exposure: Vec<f64>,
    /// Variance of a day's demand around its expectation: `dispersion * mean + drift * mean^2`.
    pub dispersion: f64,
    pub drift: f64,
}

/// The shelf as a hidden chain of hours, full or empty.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Shelf {
    /// Times that demand and shelf are estimated from each other.
    pub rounds: usize,
    /// Probability that a full shelf is found empty on entering each hour.
    pub empties: [f64; HOURS],
    /// Probability that an empty shelf is found full.
    pub fills: [f64; HOURS],
    /// Probability of a sale in an hour that counts as out of stock: parts of the hour, returns, mistakes.
    pub leak: f64,
    /// A day's demand may be a half, once or twice what is expected, with these probabilities.
    pub day_kinds: [f64; 3],
}

impl Parameters {
    /// # Errors
    /// Names the first value out of its range.
    pub(super) fn check(&self) -> Result<(), ParameterError> {
        let (demand, shelf) = (&self.demand, &self.shelf);
        let open = |value: f64| value > 0.0 && value < 1.0;
        let positive = |value: f64| value > 0.0 && value < 1e6;
        let shares = |profile: &[f64; HOURS]| {
            profile.iter().all(|share| *share >= 0.0) && (profile[OPENING].iter().sum::<f64>() - 1.0).abs() < 0.01
        };
        let names = || self.trees.features().iter().map(|feature| feature.name.as_str());
        let checks = [
            ((1..=8760).contains(&self.valid_hours), "/valid_hours", "must be 1 to 8760"),
            (open(demand.decay), "/demand/decay", "must be between 0 and 1"),
            (positive(demand.level_prior_days), "/demand/level_prior_days", "must be positive"),
            (positive(demand.day_prior_units), "/demand/day_prior_units", "must be positive"),
            (demand.weekday.into_iter().all(positive), "/demand/weekday", "must be positive"),
            ((0.0..=5.0).contains(&demand.elasticity), "/demand/elasticity", "must be 0 to 5"),
            (demand.profile.iter().all(shares), "/demand/profile", "opening hours must add up to 1"),
            (demand.exposure.len() == EXPOSURES, "/demand/exposure", "must hold 17 shares"),
            (demand.exposure.iter().all(|share| (0.0..=2.0).contains(share)), "/demand/exposure", "must be 0 to 2"),
            ((1.0..=1e3).contains(&demand.dispersion), "/demand/dispersion", "must be 1 to 1000"),
            ((0.0..=10.0).contains(&demand.drift), "/demand/drift", "must be 0 to 10"),
            ((1..=10).contains(&shelf.rounds), "/shelf/rounds", "must be 1 to 10"),
            (shelf.empties.into_iter().all(open), "/shelf/empties", "must be between 0 and 1"),
            (shelf.fills.into_iter().all(open), "/shelf/fills", "must be between 0 and 1"),
            (open(shelf.leak), "/shelf/leak", "must be between 0 and 1"),
            (shelf.day_kinds.into_iter().all(open), "/shelf/day_kinds", "must be between 0 and 1"),
            (names().eq(SIGNS.map(|sign| sign.name)), "/trees/features", "must be the signs that the model reads"),
        ];
        match checks.into_iter().find(|(holds, ..)| !holds) {
            None => Ok(()),
            Some((_, pointer, detail)) => Err(ParameterError::Range {
                model: super::NAME,
                pointer: pointer.to_owned(),
                detail: detail.to_owned(),
            }),
        }
    }
}
