//! What is learnt, from which features, and how eagerly.

use serde::{Deserialize, Serialize};

use crate::FitError;

/// What the trees add up to, and the loss they lower.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, tag = "kind", rename_all = "snake_case")]
pub enum Objective {
    /// Log-odds of an event; targets are 0 or 1.
    Logistic,
    /// Log of the unnormalised probability of each class; targets are class indices.
    Softmax { classes: usize },
    /// A mean.
    Squared,
    /// A quantile (Koenker and Bassett 1978); `probability` between 0 and 1.
    Pinball { probability: f64 },
    /// Log of an expected count; targets are not negative.
    Poisson,
}

/// Which way the raw score may go when a feature rises and all others stay.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Monotone {
    #[default]
    Free,
    Rising,
    Falling,
}

impl Monotone {
    /// 1 for rising, -1 for falling, 0 for free.
    pub(super) fn sign(self) -> f64 {
        match self {
            Self::Free => 0.0,
            Self::Rising => 1.0,
            Self::Falling => -1.0,
        }
    }
}

/// A column of the table, as the file calls it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Feature {
    pub name: String,
    #[serde(default)]
    pub monotone: Monotone,
}

impl Feature {
    #[must_use]
    pub fn free(name: &str) -> Self {
        Self { name: name.to_owned(), monotone: Monotone::Free }
    }

    /// More of it never lowers the raw score.
    #[must_use]
    pub fn rising(name: &str) -> Self {
        Self { name: name.to_owned(), monotone: Monotone::Rising }
    }

    /// More of it never raises the raw score.
    #[must_use]
    pub fn falling(name: &str) -> Self {
        Self { name: name.to_owned(), monotone: Monotone::Falling }
    }
}

/// How eagerly to learn.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Settings {
    pub objective: Objective,
    /// Trees per class, at most.
    pub rounds: usize,
    /// Leaves of a tree, at most; the leaf with the largest gain is split first.
    pub leaves: usize,
    /// Splits on a path, at most. 1 makes the model additive: no two features interact.
    pub depth: usize,
    /// Share of each tree's step that is taken.
    pub learning_rate: f64,
    /// Smallest sum of case weights in a leaf.
    pub min_leaf_weight: f64,
    /// Added to the curvature of each leaf, which draws its value to zero.
    pub l2: f64,
    /// Share of the rows, and of the features, that each tree sees.
    pub row_share: f64,
    pub column_share: f64,
    /// Models that differ in their seed only and are averaged; each costs a fit.
    pub members: usize,
    pub seed: u64,
    /// Stop when rows kept aside show no more gain.
    pub early_stop: Option<EarlyStop>,
}

/// When to stop before the last round.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct EarlyStop {
    /// Share of the rows kept aside.
    pub share: f64,
    /// Rounds without gain on them after which the best round so far is kept.
    pub patience: usize,
}

impl Settings {
    /// Values that do well on tables of some ten thousand rows.
    #[must_use]
    pub fn new(objective: Objective) -> Self {
        Self {
            objective,
            rounds: 200,
            leaves: 31,
            depth: 12,
            learning_rate: 0.05,
            min_leaf_weight: 20.0,
            l2: 1.0,
            row_share: 0.8,
            column_share: 0.8,
            members: 1,
            seed: 1,
            early_stop: None,
        }
    }

    /// # Errors
    /// Names the setting that is out of its range.
    pub(super) fn check(&self) -> Result<(), FitError> {
        let share = |value: f64| value > 0.0 && value <= 1.0;
        let checks = [
            (self.objective.classes() >= 1 && self.objective.classes() <= MAX_CLASSES, "classes"),
            (self.objective.probability().is_none_or(|p| p > 0.0 && p < 1.0), "probability"),
            ((1..=MAX_ROUNDS).contains(&self.rounds), "rounds"),
            ((2..=MAX_LEAVES).contains(&self.leaves), "leaves"),
            ((1..=MAX_DEPTH).contains(&self.depth), "depth"),
            (share(self.learning_rate), "learning_rate"),
            (self.min_leaf_weight >= 0.0, "min_leaf_weight"),
            (self.l2 >= 0.0, "l2"),
            (share(self.row_share), "row_share"),
            (share(self.column_share), "column_share"),
            ((1..=MAX_MEMBERS).contains(&self.members), "members"),
            (self.early_stop.is_none_or(|stop| stop.share > 0.0 && stop.share < 1.0), "early_stop"),
        ];
        match checks.iter().find(|(holds, _)| !holds) {
            None => Ok(()),
            Some((_, name)) => Err(FitError::Unusable(format!("setting {name} is out of its range"))),
        }
    }
}

/// Limits of a fit, and of what a file may hold.
pub(super) const MAX_CLASSES: usize = 64;
pub(super) const MAX_LEAVES: usize = 1024;
pub(super) const MAX_DEPTH: usize = 64;
const MAX_ROUNDS: usize = 10_000;
const MAX_MEMBERS: usize = 16;

impl Objective {
    /// Raw scores per row: one per class for softmax, else one.
    #[must_use]
    pub fn classes(self) -> usize {
        match self {
            Self::Softmax { classes } => classes,
            _ => 1,
        }
    }

    pub(super) fn probability(self) -> Option<f64> {
        match self {
            Self::Pinball { probability } => Some(probability),
            _ => None,
        }
    }
}
