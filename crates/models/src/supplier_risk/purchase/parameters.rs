//! The model's constants: a versioned file, embedded, hashed, named in every answer.

use serde::{Deserialize, Serialize};

use super::{Model, shrinkage::CIRCLES};
use crate::{Judge, ParameterError, score::BandLimits};

/// Constants of the model. Their meaning is documented here, their values in `parameters/supplier-risk.v1.json`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Parameters {
    pub version: String,
    /// Lines with a known outcome, in the long memory, without which the model does not speak.
    pub least_lines: f64,
    /// Lines of the supplier, in the long memory, below which it is called new.
    pub new_supplier_lines: f64,
    pub memory: Memory,
    pub shrinkage: Shrinkage,
    pub delay: DelayParameters,
    pub bands: BandLimits,
}

/// How fast outcomes fade in a [`super::History`].
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Memory {
    /// Days in which the weight of an outcome halves.
    pub recent_half_life_days: f64,
    pub long_half_life_days: f64,
}

/// How much history it takes to move an estimate: for each circle, the lines that the next wider one counts for.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Shrinkage {
    /// Late rate before anything is known.
    pub prior_late: f64,
    pub all: f64,
    pub channel: f64,
    pub mode: f64,
    pub season: f64,
    pub supplier: f64,
    pub lane: f64,
    pub account: f64,
    pub supplier_lane: f64,
    /// Weight of the recent memory against the long one, on the logit scale.
    pub recent_weight: f64,
}

impl Shrinkage {
    /// Strengths in the order of [`super::Evidence::circles`].
    pub(super) fn strengths(&self) -> [f64; CIRCLES] {
        let Self { all, channel, mode, season, supplier, lane, account, supplier_lane, .. } = *self;
        [all, channel, mode, season, supplier, lane, account, supplier_lane]
    }

    /// The same with every circle but the first this many times as strong.
    pub(super) fn scaled(self, times: f64) -> Self {
        Self {
            channel: self.channel * times,
            mode: self.mode * times,
            season: self.season * times,
            supplier: self.supplier * times,
            lane: self.lane * times,
            account: self.account * times,
            supplier_lane: self.supplier_lane * times,
            ..self
        }
    }
}

/// How far from its promise a line is received.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DelayParameters {
    /// Mean delay of late lines before any was seen, and the late lines that it counts for in each circle.
    pub days_late: f64,
    pub strength: f64,
    /// Share of lines on time that come before the promised day, and by how many days in the mean.
    pub early: f64,
    pub days_early: f64,
    /// Most days that one line counts in the expected delay, so that one that is never received does not swamp it.
    pub delay_cap_days: f64,
}

impl Parameters {
    /// # Errors
    /// Names the first parameter that is out of its range.
    pub(super) fn check(&self) -> Result<(), ParameterError> {
        let Self { memory, shrinkage, delay, .. } = self;
        let positive = [
            ("/memory/recent_half_life_days", memory.recent_half_life_days),
            ("/memory/long_half_life_days", memory.long_half_life_days),
            ("/delay/days_late", delay.days_late),
            ("/delay/strength", delay.strength),
            ("/delay/days_early", delay.days_early),
            ("/delay/delay_cap_days", delay.delay_cap_days),
            ("/shrinkage/all", shrinkage.all),
            ("/shrinkage/channel", shrinkage.channel),
            ("/shrinkage/mode", shrinkage.mode),
            ("/shrinkage/season", shrinkage.season),
            ("/shrinkage/supplier", shrinkage.supplier),
            ("/shrinkage/lane", shrinkage.lane),
            ("/shrinkage/account", shrinkage.account),
            ("/shrinkage/supplier_lane", shrinkage.supplier_lane),
        ];
        let shares = [("/shrinkage/prior_late", shrinkage.prior_late), ("/delay/early", delay.early)];
        let bad = positive.into_iter().find(|(_, value)| !(*value > 0.0 && value.is_finite()));
        let bad = bad.map(|(pointer, _)| (pointer, "must be above 0"));
        let share = shares.into_iter().find(|(_, value)| !(*value > 0.0 && *value < 1.0));
        let bad = bad.or(share.map(|(pointer, _)| (pointer, "must be between 0 and 1")));
        let weight = (!(0.0..=1.0).contains(&shrinkage.recent_weight)).then_some("/shrinkage/recent_weight");
        match bad.or(weight.map(|pointer| (pointer, "must be from 0 to 1"))) {
            Some((pointer, detail)) => Err(ParameterError::Range {
                model: Model::NAME,
                pointer: pointer.to_owned(),
                detail: detail.to_owned(),
            }),
            None => Ok(()),
        }
    }
}
