//! What became of recommendations: pure arithmetic over closed cases.
//!
//! Each figure comes with its uncertainty, or with the reason why it cannot be known from these cases. Shares have
//! Wilson's interval (Wilson 1927), everything else the percentile interval of a bootstrap (Efron 1979) of 1,000 draws
//! from a fixed seed, so that the same cases give the same report.

mod calibration;
mod interval;
mod override_value;

use contracts::{FieldError, Money};
use serde::{Deserialize, Serialize};

pub use self::{
    calibration::{Calibration, Month},
    interval::{Estimate, Finding, Interval, Reason, bootstrap, wilson},
};

/// Fewest cases that an interval is told of.
const FEWEST: usize = 5;

/// A recommendation and what is known of it.
#[derive(Clone, Debug, PartialEq)]
pub struct Closed {
    /// What was recommended: `transfer`, `purchase` or `none`.
    pub action: String,
    /// Score in millionths: cases are compared with their like.
    pub score: u32,
    pub quantity: f64,
    /// Month in which it was made, as `2026-11`.
    pub month: String,
    /// Forecast probability of a stock-out when nothing is done, and when the recommendation is followed.
    pub forecast: Option<(f64, f64)>,
    /// Hours from the recommendation to its end, or to the moment of the report when it is open.
    pub hours: f64,
    pub approved: Option<Approved>,
    pub executed: Option<Executed>,
    pub realised: Option<Realised>,
}

/// What people decided.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = OutcomeApproved)]
pub struct Approved {
    /// What is to be done: `transfer`, `purchase`, or `none` when it was declined.
    #[schema(pattern = "^(transfer|purchase|none)$")]
    pub action: String,
    /// Units, 0 with `none`.
    #[schema(minimum = 0, maximum = 1_000_000_000)]
    pub quantity: f64,
}

/// What was done.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = OutcomeExecuted)]
pub struct Executed {
    /// Units that moved or were ordered.
    #[schema(minimum = 0, maximum = 1_000_000_000)]
    pub quantity: f64,
}

/// What came of it, at the end of the time that the recommendation was for.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = OutcomeRealised)]
pub struct Realised {
    /// Whether the article was sold out at any time.
    pub stocked_out: bool,
    /// Units sold, and units that were asked for and could not be sold.
    #[schema(minimum = 0, maximum = 1_000_000_000)]
    pub units_sold: f64,
    #[schema(minimum = 0, maximum = 1_000_000_000)]
    pub units_lost: f64,
    /// Units bought or moved in haste, beside what was approved.
    #[serde(default)]
    #[schema(minimum = 0, maximum = 1_000_000_000)]
    pub emergency_units: f64,
    /// Mean age of the stock that is left, in days.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(minimum = 0, maximum = 36_500)]
    pub stock_age_days: Option<f64>,
    /// All that it cost: lost margin, haste, write-offs, transport.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cost: Option<Money>,
}

/// Most units of any one number; beyond it a figure is a unit error.
const MOST_UNITS: f64 = 1e9;
/// Oldest stock, in days.
const OLDEST: f64 = 36_500.0;

impl Approved {
    /// Everything wrong with it, by pointers below `at`.
    #[must_use]
    pub fn violations(&self, at: &str) -> Vec<FieldError> {
        let mut found = Vec::from_iter(units(at, "quantity", self.quantity));
        match self.action.as_str() {
            "none" if self.quantity > 0.0 => {
                found.push(FieldError::new(format!("{at}/quantity"), "must be 0 with none"))
            }
            "transfer" | "purchase" | "none" => {}
            _ => found.push(FieldError::new(format!("{at}/action"), "must be transfer, purchase or none")),
        }
        found
    }
}

impl Executed {
    /// As [`Approved::violations`].
    #[must_use]
    pub fn violations(&self, at: &str) -> Vec<FieldError> {
        Vec::from_iter(units(at, "quantity", self.quantity))
    }
}

impl Realised {
    /// As [`Approved::violations`].
    #[must_use]
    pub fn violations(&self, at: &str) -> Vec<FieldError> {
        let numbers = [
            ("units_sold", self.units_sold),
            ("units_lost", self.units_lost),
            ("emergency_units", self.emergency_units),
        ];
        let mut found: Vec<_> = numbers.into_iter().filter_map(|(name, value)| units(at, name, value)).collect();
        if self.stock_age_days.is_some_and(|days| !(0.0..=OLDEST).contains(&days)) {
            found.push(FieldError::new(format!("{at}/stock_age_days"), "must be between 0 and 36500"));
        }
        found
    }
}

fn units(at: &str, name: &str, value: f64) -> Option<FieldError> {
    let sound = (0.0..=MOST_UNITS).contains(&value);
    (!sound).then(|| FieldError::new(format!("{at}/{name}"), format!("must be between 0 and {MOST_UNITS}")))
}

/// How recommendations turned out.
#[derive(Clone, Debug, PartialEq, Serialize, utoipa::ToSchema)]
#[schema(as = OutcomeReport)]
pub struct Report {
    /// Recommendations in the time asked for, and how many of them reached each stage.
    pub recommendations: usize,
    pub approved: usize,
    pub executed: usize,
    pub realised: usize,
    /// Share of realised cases without a stock-out.
    pub service_level: Finding,
    /// Units sold of those asked for.
    pub fill_rate: Finding,
    /// Share of realised cases that needed units in haste.
    pub emergency_purchases: Finding,
    /// Mean age of the stock that is left, in days.
    pub ageing_days: Finding,
    /// Hours until half of the recommendations were executed or declined, open ones counted as long as they wait
    /// (Kaplan and Meier 1958).
    pub hours_to_resolution: Finding,
    pub calibration: Calibration,
    /// Realised cost per case where people followed the recommendation, less that where they departed from it, in minor
    /// units: negative when following was cheaper. Compared only among cases of one action and a like score.
    pub following_saves: Finding,
}

impl Report {
    /// The report over these cases.
    #[must_use]
    pub fn of(cases: &[Closed]) -> Self {
        let realised: Vec<&Realised> = cases.iter().filter_map(|case| case.realised.as_ref()).collect();
        let reached = |stage: fn(&Closed) -> bool| cases.iter().filter(|case| stage(case)).count();
        let share = |hit: fn(&Realised) -> bool| {
            interval::share(realised.iter().filter(|one| hit(one)).count(), realised.len(), "realised cases")
        };
        let ages: Vec<f64> = realised.iter().filter_map(|one| one.stock_age_days).collect();
        let sold: Vec<(f64, f64)> =
            realised.iter().map(|one| (one.units_sold, one.units_sold + one.units_lost)).collect();
        Self {
            recommendations: cases.len(),
            approved: reached(|case| case.approved.is_some()),
            executed: reached(|case| case.executed.is_some()),
            realised: realised.len(),
            service_level: share(|one| !one.stocked_out),
            fill_rate: interval::ratio(&sold, "units asked for"),
            emergency_purchases: share(|one| one.emergency_units > 0.0),
            ageing_days: interval::mean(&ages, "cases that tell the age of their stock"),
            hours_to_resolution: time_to_resolution(cases),
            calibration: Calibration::of(cases),
            following_saves: override_value::estimate(cases),
        }
    }
}

impl Closed {
    /// Executed, or declined.
    #[must_use]
    pub fn is_resolved(&self) -> bool {
        self.executed.is_some() || self.approved.as_ref().is_some_and(|approved| approved.action == "none")
    }

    /// Whether what was decided is what was recommended; `None` before anybody decided.
    #[must_use]
    pub fn followed(&self) -> Option<bool> {
        let approved = self.approved.as_ref()?;
        let near = (approved.quantity - self.quantity).abs() <= 1e-6 * self.quantity.abs().max(1.0);
        Some(approved.action == self.action && (near || self.action == "none"))
    }
}

/// Median of the times to resolution; the survival of those still open is estimated from the others.
fn time_to_resolution(cases: &[Closed]) -> Finding {
    let times: Vec<(f64, bool)> = cases.iter().map(|case| (case.hours, case.is_resolved())).collect();
    let resolved = times.iter().filter(|(_, resolved)| *resolved).count();
    if resolved < FEWEST {
        return Finding::too_few(resolved, "resolved recommendations");
    }
    let Some(value) = median_survival(&times) else {
        return Finding::NotIdentifiable {
            reason: Reason::Censored,
            detail: format!("half of the {} recommendations are still open", times.len()),
        };
    };
    // A draw in which fewer than half end has a median beyond every time seen; it counts as the longest.
    let longest = times.iter().fold(0.0_f64, |most, (hours, _)| most.max(*hours));
    let interval = bootstrap(&times, |draw| median_survival(draw).unwrap_or(longest));
    Finding::identified(value, interval, times.len())
}

/// First time at which the Kaplan-Meier curve is at or below one half.
fn median_survival(times: &[(f64, bool)]) -> Option<f64> {
    let mut sorted = times.to_vec();
    sorted.sort_by(|a, b| a.0.total_cmp(&b.0));
    let (mut at_risk, mut survival) = (sorted.len() as f64, 1.0);
    for tied in sorted.chunk_by(|a, b| a.0.total_cmp(&b.0).is_eq()) {
        let ended = tied.iter().filter(|(_, resolved)| *resolved).count() as f64;
        survival *= 1.0 - ended / at_risk;
        if survival <= 0.5 {
            return Some(tied[0].0);
        }
        at_risk -= tied.len() as f64;
    }
    None
}

#[cfg(test)]
mod tests;
