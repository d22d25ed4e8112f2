//! What resolved cases have taught since the parameters were fitted.
//!
//! Every weight that took part in an answer is moved by the outcome, as far as it was uncertain: an extended Kalman
//! filter for logistic regression with a diagonal covariance (the assumed-density filter of Graepel et al. 2010,
//! "Web-scale Bayesian click-through rate prediction", ICML, with a logit for their probit). With few cases a weight
//! stays near its parameter; its variance shrinks as cases pass, so that thousands of them outweigh it.

use std::collections::{BTreeMap, BTreeSet};

use contracts::{Digest, FieldError};
use serde::{Deserialize, Serialize};

use super::{
    evidence::{self, Observed},
    parameters::{Learning, MAX_CLASSES},
    table::{PerClass, Table},
    types::Facts,
};
use crate::Missing;

/// Most locations, categories and products, each, that are kept apart; later ones are learnt from in common only.
const MAX_KEPT: usize = 100_000;

/// The state that a service keeps beside the parameters and stores as JSON.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = InventoryExceptionLearned)]
pub struct Learned {
    /// The parameters that the shifts are relative to. With others the state begins anew.
    pub parameters: Digest,
    /// Resolved cases seen.
    pub cases: u64,
    /// Shifts by scope (`overall`, `evidence`, `location`, `category`, `product`) and name in it, each a list in the
    /// order of the classes.
    pub shifts: BTreeMap<String, BTreeMap<String, Vec<Shift>>>,
}

/// How far a weight has moved from its parameter, in nats, and how uncertain that still is, in squared nats.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = LearnedShift)]
pub struct Shift {
    pub mean: f64,
    #[schema(minimum = 0)]
    pub variance: f64,
}

/// Why nothing can be learnt from a case, or from a stored state.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum LearnError {
    #[error("the request of the case is refused")]
    Refused(Vec<FieldError>),
    #[error("the request of the case has insufficient data")]
    Insufficient(Vec<Missing>),
    #[error("no class {class:?}; known are {}", known.join(", "))]
    UnknownClass { class: String, known: Vec<String> },
    #[error("the state was learnt beside other parameters")]
    OtherParameters,
    #[error("the state holds {0}")]
    Unusable(String),
}

/// Scopes of [`Learned::shifts`]. How common classes are is learnt everywhere and, shrunk to that, in particular.
const OVERALL: &str = "overall";
const EVIDENCE: &str = "evidence";
const LOCATION: &str = "location";
const CATEGORY: &str = "category";
const PRODUCT: &str = "product";
/// Name of the one entry of the overall scope.
const ALL: &str = "all";

impl Learned {
    /// Nothing learnt yet.
    pub(super) fn none(parameters: Digest) -> Self {
        Self { parameters, cases: 0, shifts: BTreeMap::new() }
    }

    /// # Errors
    /// When the state is of other parameters, or does not fit their classes and kinds of evidence.
    pub(super) fn check(&self, parameters: &Digest, classes: usize) -> Result<(), LearnError> {
        if self.parameters != *parameters {
            return Err(LearnError::OtherParameters);
        }
        let unusable = |what: &str, name: &str| Err(LearnError::Unusable(format!("{what} {name:?}")));
        let known: BTreeSet<String> = evidence::row_names().collect();
        for (scope, entries) in &self.shifts {
            if ![OVERALL, EVIDENCE, LOCATION, CATEGORY, PRODUCT].contains(&scope.as_str()) {
                return unusable("the unknown scope", scope);
            }
            for (name, shifts) in entries {
                if scope == EVIDENCE && !known.contains(name) {
                    return unusable("the unknown evidence", name);
                }
                let sound = |one: &Shift| one.mean.is_finite() && one.variance.is_finite() && one.variance >= 0.0;
                if shifts.len() != classes || !shifts.iter().all(sound) {
                    return unusable("other than one mean and variance for each class under", name);
                }
            }
        }
        Ok(())
    }

    fn entry(&self, scope: &str, name: &str) -> Option<&Vec<Shift>> {
        self.shifts.get(scope)?.get(name)
    }

    /// Moves a table of the parameters' weights by what was learnt of evidence and of classes in general.
    pub(super) fn apply(&self, table: &mut Table) {
        shift(&mut table.prior, self.entry(OVERALL, ALL));
        for (row, name) in table.rows.iter_mut().zip(evidence::row_names()) {
            shift(row, self.entry(EVIDENCE, &name));
        }
    }

    /// Adds what is known of this location, category and product in particular.
    pub(super) fn add_particular(&self, facts: &Facts, log_odds: &mut PerClass) {
        if self.cases == 0 {
            return;
        }
        shift(log_odds, self.entry(LOCATION, facts.location.as_str()));
        shift(log_odds, facts.category.as_ref().and_then(|category| self.entry(CATEGORY, category)));
        shift(log_odds, self.entry(PRODUCT, facts.product.as_str()));
    }

    /// Learns that a case with these facts, judged with these `probabilities`, was of class `truth`.
    ///
    /// Returns by how much the table's prior and its observed rows have moved, in this order.
    pub(super) fn observe(
        &mut self,
        facts: &Facts,
        observed: &Observed,
        probabilities: &[f64],
        truth: usize,
        learning: &Learning,
    ) -> Vec<PerClass> {
        let weights = weights(facts, observed, learning);
        // Uncertainty of the log odds is the sum of that of the weights in it.
        let mut uncertain = vec![0.0; probabilities.len()];
        for (scope, name, variance) in &weights {
            for (class, sum) in uncertain.iter_mut().enumerate() {
                *sum += self.entry(scope, name).map_or(*variance, |shifts| shifts[class].variance);
            }
        }
        let moves = weights.into_iter().map(|(scope, name, variance)| {
            let mut moved = [0.0; MAX_CLASSES];
            let entries = self.shifts.entry(scope.to_owned()).or_default();
            if entries.len() >= MAX_KEPT && !entries.contains_key(&name) {
                return moved;
            }
            let fresh = || vec![Shift { mean: 0.0, variance }; probabilities.len()];
            let shifts = entries.entry(name).or_insert_with(fresh);
            for (class, shift) in shifts.iter_mut().enumerate() {
                let (p, hit) = (probabilities[class], f64::from(u8::from(class == truth)));
                let information = p * (1.0 - p);
                let gain = shift.variance / (1.0 + information * uncertain[class]);
                moved[class] = gain * (hit - p);
                shift.mean += moved[class];
                shift.variance *= 1.0 - gain * information;
            }
            moved
        });
        let moves = moves.collect();
        self.cases += 1;
        moves
    }
}

/// The weights that took part in an answer, by scope and name, with their variance before any case: the overall one,
/// those of the observed rows in order, those of the particular place and article.
fn weights(facts: &Facts, observed: &Observed, learning: &Learning) -> Vec<(&'static str, String, f64)> {
    let names: Vec<String> = evidence::row_names().collect();
    let mut weights = vec![(OVERALL, ALL.to_owned(), learning.overall)];
    weights.extend(observed.rows().map(|row| (EVIDENCE, names[row].clone(), learning.evidence)));
    weights.push((LOCATION, facts.location.to_string(), learning.location));
    weights.extend(facts.category.iter().map(|category| (CATEGORY, category.clone(), learning.category)));
    weights.push((PRODUCT, facts.product.to_string(), learning.product));
    weights
}

fn shift(row: &mut PerClass, shifts: Option<&Vec<Shift>>) {
    for (cell, shift) in row.iter_mut().zip(shifts.into_iter().flatten()) {
        *cell += shift.mean;
    }
}
