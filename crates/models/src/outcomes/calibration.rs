//! Whether forecasts keep their word, and since when they do not.

use std::collections::BTreeMap;

use serde::Serialize;

use super::{
    Closed, FEWEST,
    interval::{Finding, bootstrap, wilson},
};
use crate::metrics;

/// Forecasts against what came: of recommendations, stock-outs; of supplier-risk, late deliveries.
///
/// Nobody sees both what happens when a recommendation is followed and what happens when it is not. So a case counts
/// with the forecast of what was really done: the one for following it where it was followed to the unit, the one for
/// doing nothing where nothing was done. What lies between has no forecast and is left out.
#[derive(Clone, Debug, PartialEq, Serialize, utoipa::ToSchema)]
#[schema(as = OutcomeCalibration)]
pub struct Calibration {
    /// Expected calibration error over ten bins of about as many cases each.
    pub error: Finding,
    /// Oldest first.
    pub months: Vec<Month>,
    /// Cases that say nothing about a forecast: something else was done than what was forecast for; a line was
    /// cancelled, is not due yet, or nothing was told of it.
    pub left_out: usize,
}

/// One month of recommendations.
#[derive(Clone, Debug, PartialEq, Serialize, utoipa::ToSchema)]
#[schema(as = OutcomeMonth)]
pub struct Month {
    #[schema(example = "2026-11")]
    pub month: String,
    pub cases: usize,
    /// Mean forecast.
    pub forecast: f64,
    /// Share that came true, with Wilson's interval.
    pub observed: f64,
    pub observed_low: f64,
    pub observed_high: f64,
    /// Whether the mean forecast lies outside that interval: forecasts of this month do not keep their word.
    pub drifted: bool,
    /// Expected calibration error within the month.
    pub error: f64,
}

impl Calibration {
    pub(super) fn of(cases: &[Closed]) -> Self {
        let (mut forecasts, mut left_out) = (Vec::new(), 0);
        for case in cases {
            let Some(realised) = &case.realised else { continue };
            match applicable(case) {
                Some(forecast) => forecasts.push((case.month.as_str(), forecast, realised.stocked_out)),
                None => left_out += 1,
            }
        }
        Self::of_forecasts(&forecasts, left_out, "realised cases with a forecast of what was done")
    }

    /// The calibration of probabilities, each with its month and whether it came true; `of` names them in the plural.
    #[must_use]
    pub fn of_forecasts(forecasts: &[(&str, f64, bool)], left_out: usize, of: &str) -> Self {
        let mut months: BTreeMap<&str, Vec<(f64, bool)>> = BTreeMap::new();
        let mut all = Vec::with_capacity(forecasts.len());
        for (month, forecast, hit) in forecasts {
            months.entry(month).or_default().push((*forecast, *hit));
            all.push((*forecast, *hit));
        }
        let error = if all.len() < FEWEST {
            Finding::too_few(all.len(), of)
        } else {
            let interval = bootstrap(&all, metrics::calibration_error);
            Finding::identified(metrics::calibration_error(&all), interval, all.len())
        };
        Self { error, months: months.into_iter().map(month).collect(), left_out }
    }
}

/// The forecast for what was done.
fn applicable(case: &Closed) -> Option<f64> {
    let (untouched, followed) = case.forecast?;
    let done = case.executed.as_ref().map_or(0.0, |executed| executed.quantity);
    if done <= 0.0 {
        return Some(untouched);
    }
    let near = (done - case.quantity).abs() <= 1e-6 * case.quantity.abs().max(1.0);
    (near && case.followed() == Some(true)).then_some(followed)
}

fn month((month, forecasts): (&str, Vec<(f64, bool)>)) -> Month {
    let hits = forecasts.iter().filter(|(_, hit)| *hit).count();
    let forecast = metrics::mean(forecasts.iter().map(|(forecast, _)| *forecast));
    let (observed_low, observed_high) = wilson(hits, forecasts.len());
    Month {
        month: month.to_owned(),
        cases: forecasts.len(),
        forecast,
        observed: hits as f64 / forecasts.len() as f64,
        observed_low,
        observed_high,
        drifted: !(observed_low..=observed_high).contains(&forecast),
        error: metrics::calibration_error(&forecasts),
    }
}
