//! Losses: their slope and curvature at a raw score, their minimum over a constant, and their value.

use super::settings::Objective;
use crate::{FitError, metrics::quantile_loss};

/// Log-counts beyond this are no counts of a shop; it keeps `exp` finite.
const MAX_LOG: f64 = 50.0;
/// Curvature of the Poisson loss is taken this much further up, or a leaf of zeros would step to minus infinity
/// (`poisson_max_delta_step` of LightGBM).
const POISSON_STEP: f64 = 0.7;

/// Inverse of the log-odds.
#[must_use]
pub fn logistic(raw: f64) -> f64 {
    1.0 / (1.0 + (-raw).exp())
}

/// Turns raw scores of all classes into probabilities.
pub(super) fn softmax(raw: &mut [f64]) {
    let highest = raw.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    raw.iter_mut().for_each(|one| *one = (*one - highest).exp());
    let sum: f64 = raw.iter().sum();
    raw.iter_mut().for_each(|one| *one /= sum);
}

impl Objective {
    /// # Errors
    /// When a target is none of this objective.
    pub(super) fn accept(self, target: &[f64]) -> Result<(), FitError> {
        let fits = |y: f64| match self {
            Self::Logistic => y == 0.0 || y == 1.0,
            Self::Softmax { classes } => y >= 0.0 && y.fract() == 0.0 && y < classes as f64,
            Self::Squared | Self::Pinball { .. } => y.is_finite(),
            Self::Poisson => y >= 0.0 && y.is_finite(),
        };
        match target.iter().position(|y| !fits(*y)) {
            None => Ok(()),
            Some(row) => Err(FitError::Unusable(format!("target of row {row} is none of the objective"))),
        }
    }

    /// Slope and curvature of the loss in the raw score of `class`. `raw` holds all classes of the row.
    pub(super) fn derivatives(self, y: f64, raw: &[f64], class: usize) -> (f64, f64) {
        match self {
            Self::Logistic => {
                let p = logistic(raw[0]);
                (p - y, p * (1.0 - p))
            }
            Self::Softmax { classes } => {
                let highest = raw.iter().copied().fold(f64::NEG_INFINITY, f64::max);
                let p = (raw[class] - highest).exp() / raw.iter().map(|one| (one - highest).exp()).sum::<f64>();
                // The factor makes up for the classes that are redundant by one (Friedman 2001, section 4.6).
                let redundant = classes as f64 / (classes as f64 - 1.0).max(1.0);
                (p - f64::from(u8::from(y == class as f64)), redundant * p * (1.0 - p))
            }
            Self::Squared => (raw[0] - y, 1.0),
            Self::Pinball { probability } => (if y < raw[0] { 1.0 - probability } else { -probability }, 1.0),
            Self::Poisson => {
                let mean = raw[0].min(MAX_LOG).exp();
                (mean - y, (raw[0].min(MAX_LOG) + POISSON_STEP).exp())
            }
        }
    }

    /// Loss of one row, up to a constant.
    pub(super) fn loss(self, y: f64, raw: &[f64]) -> f64 {
        match self {
            // ln(1 + e^-m) with m the margin, written so that neither side overflows.
            Self::Logistic => {
                let margin = if y > 0.0 { raw[0] } else { -raw[0] };
                (-margin.abs()).exp().ln_1p() + (-margin).max(0.0)
            }
            Self::Softmax { .. } => {
                let highest = raw.iter().copied().fold(f64::NEG_INFINITY, f64::max);
                let sum: f64 = raw.iter().map(|one| (one - highest).exp()).sum();
                highest + sum.ln() - raw[y as usize]
            }
            Self::Squared => (raw[0] - y).powi(2),
            Self::Pinball { probability } => quantile_loss(probability, raw[0], y),
            Self::Poisson => raw[0].min(MAX_LOG).exp() - y * raw[0],
        }
    }

    /// The constant with the smallest loss, for each class.
    pub(super) fn constant(self, target: &[f64], weights: &[f64]) -> Vec<f64> {
        let total: f64 = weights.iter().sum();
        let mean = || target.iter().zip(weights).map(|(y, w)| y * w).sum::<f64>() / total;
        // A share or a mean of zero has no logarithm: half a case is added.
        let few = 0.5 / total.max(1.0);
        match self {
            Self::Logistic => {
                let p = mean().clamp(few, 1.0 - few);
                vec![(p / (1.0 - p)).ln()]
            }
            Self::Softmax { classes } => (0..classes)
                .map(|class| {
                    let held = target.iter().zip(weights).filter(|(y, _)| **y == class as f64).map(|(_, w)| w);
                    (held.sum::<f64>() / total).max(few).ln()
                })
                .collect(),
            Self::Squared => vec![mean()],
            Self::Pinball { probability } => {
                let mut pairs: Vec<_> = target.iter().copied().zip(weights.iter().copied()).collect();
                vec![weighted_quantile(&mut pairs, probability)]
            }
            Self::Poisson => vec![mean().max(few).ln()],
        }
    }

    /// Smallest step that raw scores and leaf values are counted in: a millionth of the scale of the raw score, as a
    /// power of ten. Whole steps add up exactly in any order, and make short files.
    pub(super) fn unit(self, target: &[f64]) -> f64 {
        const MILLIONTH: f64 = 1e-6;
        let scale = match self {
            Self::Logistic | Self::Softmax { .. } | Self::Poisson => 1.0,
            Self::Squared | Self::Pinball { .. } => {
                let mean = target.iter().sum::<f64>() / target.len() as f64;
                target.iter().map(|y| (y - mean).abs()).sum::<f64>() / target.len() as f64
            }
        };
        if scale.is_normal() { 10_f64.powf(scale.log10().floor()) * MILLIONTH } else { MILLIONTH }
    }
}

/// Smallest value at which the weights below and at it reach the share; 0 of nothing.
pub(super) fn weighted_quantile(pairs: &mut [(f64, f64)], share: f64) -> f64 {
    pairs.sort_unstable_by(|a, b| a.0.total_cmp(&b.0));
    let goal = share * pairs.iter().map(|(_, weight)| weight).sum::<f64>();
    let mut below = 0.0;
    let reached = pairs.iter().find(|(_, weight)| {
        below += weight;
        below >= goal
    });
    reached.or(pairs.last()).map_or(0.0, |(value, _)| *value)
}
