//! Weights in the order in which they are used: one row per level of evidence, one column per class.
//!
//! The probability of a class is the softmax of its prior's logarithm and the weights of what was observed. That is
//! naive Bayes when the weights are log likelihood ratios, and multinomial logistic regression when they are fitted
//! together, so that kinds of evidence that say the same are not counted twice.

use std::collections::BTreeMap;

use super::{
    evidence,
    parameters::{MAX_CLASSES, Parameters},
};

/// Log odds below the best class that are as good as impossible: nothing is ever called less likely than 2e-9.
const FARTHEST: f64 = 20.0;

/// One number per class; those beyond the number of classes are unused.
pub(super) type PerClass = [f64; MAX_CLASSES];

/// A table of weights.
#[derive(Clone, Debug)]
pub(super) struct Table {
    pub(super) classes: usize,
    /// Logarithms of the priors.
    pub(super) prior: PerClass,
    /// Rows of evidence, in the order of [`evidence::kinds`] and their levels.
    pub(super) rows: Vec<PerClass>,
}

impl Table {
    pub(super) fn of(parameters: &Parameters) -> Self {
        let mut table = Self { classes: parameters.classes.len(), prior: [0.0; MAX_CLASSES], rows: Vec::new() };
        for (logarithm, class) in table.prior.iter_mut().zip(&parameters.classes) {
            *logarithm = class.prior.ln();
        }
        for kind in evidence::kinds() {
            let levels = parameters.evidence.get(kind.name);
            for row in 0..kind.rows() {
                let weights = levels.and_then(|levels| levels.get(&kind.row_name(row)));
                let weight = |name: &String| weights.and_then(|weights| weights.get(name)).copied().unwrap_or(0.0);
                let mut row = [0.0; MAX_CLASSES];
                row.iter_mut().zip(&parameters.classes).for_each(|(cell, class)| *cell = weight(&class.name));
                table.rows.push(row);
            }
        }
        table
    }

    /// The form in which parameters keep the rows; what rounds to no weight is left out.
    pub(super) fn evidence(&self, classes: &[String]) -> BTreeMap<String, BTreeMap<String, BTreeMap<String, f64>>> {
        let mut rows = self.rows.iter();
        let mut kinds = BTreeMap::new();
        for kind in evidence::kinds() {
            let mut levels = BTreeMap::new();
            for (index, row) in rows.by_ref().take(kind.rows()).enumerate() {
                let told = classes.iter().zip(row).map(|(class, weight)| (class.clone(), rounded(*weight)));
                let weights: BTreeMap<String, f64> = told.filter(|(_, weight)| *weight != 0.0).collect();
                if !weights.is_empty() {
                    levels.insert(kind.row_name(index), weights);
                }
            }
            if !levels.is_empty() {
                kinds.insert(kind.name.to_owned(), levels);
            }
        }
        kinds
    }

    /// Adds up the prior and what was observed.
    pub(super) fn log_odds(&self, rows: impl Iterator<Item = usize>) -> PerClass {
        let mut sum = self.prior;
        for row in rows {
            add(&mut sum, &self.rows[row]);
        }
        sum
    }
}

pub(super) fn add(sum: &mut PerClass, row: &PerClass) {
    sum.iter_mut().zip(row).for_each(|(sum, weight)| *sum += weight);
}

/// Probabilities of the first `classes` log odds; they add up to 1 and none is 0.
pub(super) fn softmax(log_odds: &PerClass, classes: usize) -> PerClass {
    let used = &log_odds[..classes];
    let best = used.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let mut shares = [0.0; MAX_CLASSES];
    let mut total = 0.0;
    for (share, odds) in shares.iter_mut().zip(used) {
        *share = (odds - best).max(-FARTHEST).exp();
        total += *share;
    }
    shares[..classes].iter_mut().for_each(|share| *share /= total);
    shares
}

/// Ten-thousandths of a nat: finer differences mean nothing and make files long.
fn rounded(weight: f64) -> f64 {
    (weight * 1e4).round() / 1e4
}
