//! The model's parameters: a hand-set mechanism when there is no history to learn from, boosted trees when there is.

use serde::{Deserialize, Serialize};

use super::{
    Model,
    row::{COLUMNS, IN_TRANSIT, LEAD_TIME, ON_HAND, OVERDUE, PERFORMANCE, Row, WIDTH, monthly_demand, shortfall},
};
use crate::{
    Judge, ParameterError,
    ensemble::{Ensemble, Feature, Objective, Parts},
    score::{BandLimits, ONE},
};

/// Constants of the model. The shipped ones are in `parameters/replenishment-snapshot.v1.json`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Parameters {
    pub version: String,
    /// Days after the snapshot for which an answer stands.
    pub valid_days: i64,
    pub bands: BandLimits,
    pub risk: Risk,
}

/// How a snapshot becomes the log-odds of a backorder.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Risk {
    Mechanism(Mechanism),
    /// Logistic trees over the columns of a row: what a fit learns.
    Trees(Ensemble),
}

/// Log-odds by hand: how far demand may exceed stock, and how far the supplier can be relied on.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Mechanism {
    /// Log-odds of a backorder when demand is as likely to exceed the stock as not.
    pub offset: f64,
    /// Log-odds of a backorder for each log-odd that demand exceeds the stock.
    pub shortfall: f64,
    /// The same log-odds of an unremarkable article, which the baseline stands for.
    pub typical_shortfall: f64,
    /// Months of demand that stock must last: these, and so many for each week of lead time.
    pub months: f64,
    pub months_per_week: f64,
    /// Weeks of lead time where it is unknown.
    pub typical_weeks: f64,
    /// Log-odds of a supplier that keeps no order over one that keeps all, and what is typical.
    pub performance: f64,
    pub typical_performance: f64,
    /// Log-odds when far more than a month's demand is overdue.
    pub overdue: f64,
}

impl Mechanism {
    /// Each fact moves the log-odds from where the facts before it left them, beginning at an unremarkable article.
    fn parts(&self, row: &Row) -> Parts {
        let known = |value: f64, typical: f64| if value.is_nan() { typical } else { value };
        let demand = monthly_demand(row);
        let odds = |weeks: f64, stock: f64| {
            self.shortfall * shortfall(demand * (self.months + self.months_per_week * weeks), stock)
        };
        let typical = self.shortfall * self.typical_shortfall;
        let alone = odds(self.typical_weeks, row[ON_HAND]);
        let position = row[ON_HAND] + row[IN_TRANSIT];
        let supplied = odds(self.typical_weeks, position);
        let mut features = vec![0.0; WIDTH];
        features[ON_HAND] = alone - typical;
        features[IN_TRANSIT] = supplied - alone;
        features[LEAD_TIME] = odds(known(row[LEAD_TIME], self.typical_weeks), position) - supplied;
        features[PERFORMANCE] =
            self.performance * (self.typical_performance - known(row[PERFORMANCE], self.typical_performance));
        features[OVERDUE] = self.overdue * row[OVERDUE] / (row[OVERDUE] + demand + 1.0);
        Parts { bias: self.offset + typical, features }
    }

    fn log_odds(&self, row: &Row) -> f64 {
        let Parts { bias, features } = self.parts(row);
        bias + features.iter().sum::<f64>()
    }
}

impl Risk {
    pub(super) fn log_odds(&self, row: &Row) -> f64 {
        match self {
            Self::Mechanism(mechanism) => mechanism.log_odds(row),
            Self::Trees(trees) => trees.raw(row),
        }
    }

    /// What each number of the row adds to the log-odds.
    pub(super) fn parts(&self, row: &Row) -> Parts {
        match self {
            Self::Mechanism(mechanism) => mechanism.parts(row),
            Self::Trees(trees) => trees.explain(0, row),
        }
    }
}

/// The columns of a row as the trees know them.
pub(super) fn features() -> Vec<Feature> {
    COLUMNS.iter().map(|(name, _, monotone)| Feature { name: (*name).to_owned(), monotone: *monotone }).collect()
}

impl Parameters {
    /// # Errors
    /// Names the parameter that is out of its range.
    pub(super) fn check(&self) -> Result<(), ParameterError> {
        let range = |holds: bool, pointer: &str, detail: &str| {
            let error =
                || ParameterError::Range { model: Model::NAME, pointer: pointer.to_owned(), detail: detail.to_owned() };
            if holds { Ok(()) } else { Err(error()) }
        };
        let BandLimits { elevated, high, critical } = self.bands;
        range((1..=366).contains(&self.valid_days), "/valid_days", "must be between 1 and 366")?;
        range(elevated <= high && high <= critical && critical <= ONE, "/bands", "must rise, up to 1000000")?;
        match &self.risk {
            Risk::Mechanism(mechanism) => {
                let Mechanism { offset, shortfall, typical_shortfall, months, months_per_week, .. } = mechanism;
                let Mechanism { typical_weeks, performance, typical_performance, overdue, .. } = mechanism;
                let finite = [offset, typical_shortfall, performance, typical_performance];
                range(finite.iter().all(|value| value.is_finite()), "/risk/mechanism", "must hold finite numbers")?;
                // Negative ones would let more stock raise the risk, or a longer lead time lower it.
                let signed = [shortfall, months, months_per_week, typical_weeks, overdue];
                let positive = signed.iter().all(|value| value.is_finite() && **value >= 0.0);
                range(positive, "/risk/mechanism", "must hold no negative weight, time or slope")
            }
            Risk::Trees(trees) => {
                let logistic = trees.objective() == Objective::Logistic;
                range(logistic, "/risk/trees/objective", "must be logistic")?;
                range(trees.features() == features(), "/risk/trees/features", "must be the columns of a snapshot")
            }
        }
    }
}
