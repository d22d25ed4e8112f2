//! The model's constants: a versioned file, embedded, hashed, named in every answer.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::{Model, evidence, limits::MAX_NAME};
use crate::{Judge, ParameterError, score::BandLimits};

/// Most classes, and most routes: probabilities of one answer live in an array of this size.
pub(super) const MAX_CLASSES: usize = 16;
/// Largest weight of an observation, in nats of log odds: odds of a million to one.
const MAX_WEIGHT: f64 = 14.0;

/// Constants of the model. Their meaning is documented here, their values in `parameters/inventory-exception.v1.json`.
///
/// The shipped weights are set by hand from what each cause must leave behind, in half nats: 0.5 nudges the odds
/// (x 1.6), 1 raises them (x 2.7), 2 makes a case (x 7.4), 3 nearly settles it (x 20). No case was counted for them: a
/// fit replaces them, resolved cases move them.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Parameters {
    pub version: String,
    /// Hours after `as_of` for which an answer stands.
    pub valid_hours: i64,
    pub classes: Vec<Class>,
    pub routes: Vec<RouteCost>,
    /// The route that is nobody's: what a loss is measured by when no one looks.
    pub unattended: String,
    /// What a class that a fit met for the first time loses by route.
    pub lost_when_unknown: BTreeMap<String, f64>,
    pub stake: Stake,
    pub abstain: Abstain,
    pub learning: Learning,
    pub fitting: Fitting,
    /// Weights in nats by kind of evidence, level and class; what is not written is 0.
    pub evidence: BTreeMap<String, BTreeMap<String, BTreeMap<String, f64>>>,
}

/// A cause.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Class {
    pub name: String,
    /// How common it is before any fact, relative to the others.
    pub prior: f64,
    /// Share of the variance's value that stays lost or wrong when the case goes to each route: a row of the cost
    /// matrix. What is not written is 1.
    pub lost: BTreeMap<String, f64>,
}

/// Somebody a case can go to.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RouteCost {
    pub name: String,
    /// Cost of the work that a case makes there, in cents (see `cents`).
    pub work: f64,
}

/// How money becomes urgency.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Stake {
    /// Worth in cents of a unit whose cost and price are unknown.
    pub typical_unit: f64,
    /// Expected loss in cents at which the urgency is 63 %.
    pub scale: f64,
    /// Minor units that buy what a cent of the euro or the dollar buys, for currencies where that is not about one.
    pub cents: BTreeMap<String, f64>,
    pub bands: BandLimits,
}

/// When the model does not name a cause.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Abstain {
    /// Share of named causes that should be right; a fit sets `least_probability` by it.
    pub precision: f64,
    /// The most probable class is named from this probability on.
    pub least_probability: f64,
}

/// Variance of a weight before any resolved case, in squared nats: how fast cases move it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Learning {
    /// How common each class is, everywhere.
    pub overall: f64,
    /// The same at one location, in one category, of one product: shrunk to the overall.
    pub location: f64,
    pub category: f64,
    pub product: f64,
    /// Each level of evidence.
    pub evidence: f64,
}

/// How weights are fitted to a file of cases.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Fitting {
    /// Penalty on a weight's squared distance from where it starts: the inverse of a prior variance.
    pub ridge: f64,
    /// Power of a class's rarity in its weight: 0 counts every case alike, 1 every class alike.
    pub balance: f64,
}

impl Parameters {
    /// # Errors
    /// Names the first value that is out of its range.
    pub(super) fn check(&self) -> Result<(), ParameterError> {
        let range = |pointer: String, detail: &str| {
            Err(ParameterError::Range { model: Model::NAME, pointer, detail: detail.to_owned() })
        };
        if !(2..=MAX_CLASSES).contains(&self.classes.len()) || !named_once(self.classes.iter().map(|one| &one.name)) {
            return range("/classes".to_owned(), "must be 2 to 16, each with a name of its own");
        }
        if !(1..=MAX_CLASSES).contains(&self.routes.len()) || !named_once(self.routes.iter().map(|one| &one.name)) {
            return range("/routes".to_owned(), "must be 1 to 16, each with a name of its own");
        }
        if !self.routes.iter().any(|route| route.name == self.unattended) {
            return range("/unattended".to_owned(), "must be one of the routes");
        }
        for (pointer, value, least, most) in self.numbers() {
            if !(least..=most).contains(&value) {
                return range(pointer, &format!("must be between {least} and {most}"));
            }
        }
        self.check_lost().or_else(|pointer| range(pointer, "must be a share between 0 and 1 of a known route"))?;
        self.check_evidence().or_else(|pointer| {
            range(pointer, "must be a known kind, level and class, with a weight between -14 and 14")
        })
    }

    fn numbers(&self) -> Vec<(String, f64, f64, f64)> {
        const CENTS: f64 = 1e9;
        let learning = &self.learning;
        let mut numbers = vec![
            ("/stake/typical_unit".to_owned(), self.stake.typical_unit, 1.0, CENTS),
            ("/stake/scale".to_owned(), self.stake.scale, 1.0, CENTS),
            ("/abstain/precision".to_owned(), self.abstain.precision, 0.0, 1.0),
            ("/abstain/least_probability".to_owned(), self.abstain.least_probability, 0.0, 1.0),
            ("/learning/overall".to_owned(), learning.overall, 0.0, 100.0),
            ("/learning/location".to_owned(), learning.location, 0.0, 100.0),
            ("/learning/category".to_owned(), learning.category, 0.0, 100.0),
            ("/learning/product".to_owned(), learning.product, 0.0, 100.0),
            ("/learning/evidence".to_owned(), learning.evidence, 0.0, 100.0),
            ("/fitting/ridge".to_owned(), self.fitting.ridge, 1e-3, 1e6),
            ("/fitting/balance".to_owned(), self.fitting.balance, 0.0, 1.0),
        ];
        let priors = self.classes.iter().enumerate();
        numbers.extend(priors.map(|(i, class)| (format!("/classes/{i}/prior"), class.prior, 1e-6, 1e6)));
        let work = self.routes.iter().enumerate();
        numbers.extend(work.map(|(i, route)| (format!("/routes/{i}/work"), route.work, 0.0, CENTS)));
        let cents = self.stake.cents.iter();
        numbers.extend(cents.map(|(currency, cents)| (format!("/stake/cents/{currency}"), *cents, 1e-6, 1e9)));
        numbers
    }

    fn check_lost(&self) -> Result<(), String> {
        let rows = self.classes.iter().enumerate().map(|(i, class)| (format!("/classes/{i}/lost"), &class.lost));
        for (pointer, row) in rows.chain([("/lost_when_unknown".to_owned(), &self.lost_when_unknown)]) {
            for (route, share) in row {
                if !self.routes.iter().any(|one| one.name == *route) || !(0.0..=1.0).contains(share) {
                    return Err(format!("{pointer}/{route}"));
                }
            }
        }
        Ok(())
    }

    fn check_evidence(&self) -> Result<(), String> {
        for (name, levels) in &self.evidence {
            let kind = evidence::kinds().find(|kind| kind.name == name);
            let kind = kind.ok_or_else(|| format!("/evidence/{name}"))?;
            let known: Vec<String> = (0..kind.rows()).map(|row| kind.row_name(row)).collect();
            for (level, weights) in levels {
                if !known.contains(level) {
                    return Err(format!("/evidence/{name}/{level}"));
                }
                for (class, weight) in weights {
                    let sound = (-MAX_WEIGHT..=MAX_WEIGHT).contains(weight);
                    if !sound || !self.classes.iter().any(|one| one.name == *class) {
                        return Err(format!("/evidence/{name}/{level}/{class}"));
                    }
                }
            }
        }
        Ok(())
    }
}

fn named_once<'a>(names: impl Iterator<Item = &'a String>) -> bool {
    let mut seen = std::collections::BTreeSet::new();
    names.into_iter().all(|name| !name.is_empty() && name.len() <= MAX_NAME && seen.insert(name))
}
