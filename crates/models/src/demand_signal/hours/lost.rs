//! Demand that an empty shelf turned away: the hours without stock at the day's own pace.

use super::window::Window;
use crate::counts::{Counts, quantiles};

/// Probability of an empty shelf below which an hour lost nothing that could be told from noise.
const LEAST: f64 = 1e-9;

/// Units not sold on one day.
pub(super) struct Loss {
    /// Expected units.
    pub(super) mean: f64,
    /// Probability that anything was lost, and what was if so.
    probability: f64,
    lost: Counts,
}

impl Loss {
    pub(super) fn of(window: &Window<'_>, day: usize) -> Self {
        let (level, profile, demand) = (window.level[day], window.profile(day), window.demand);
        let hours = Window::hours(day);
        let (units, out) = (&window.units[hours.clone()], &window.out[hours]);
        let opening = |of_hour: &dyn Fn(usize) -> f64| window.opening(day).map(of_hour).sum::<f64>();
        let sold = opening(&|hour| units[hour] * (1.0 - out[hour]));
        let missing = level * opening(&|hour| profile[hour] * out[hour]);
        let expected = level * opening(&|hour| profile[hour] * (1.0 - out[hour]));
        // What sold while there was stock corrects the level as far as one day can be believed (gamma prior, Poisson
        // sales): `prior` units of what was expected are mixed in.
        let prior = demand.day_prior_units;
        let pace = (prior + sold) / (prior + expected);
        let mean = missing * pace;
        let probability = window.opening(day).map(|hour| out[hour]).fold(0.0, f64::max);
        let if_any = if probability > LEAST { mean / probability } else { 0.0 };
        let variance = demand.dispersion * if_any + demand.drift * if_any * if_any;
        Self { mean, probability, lost: Counts::by_moments(if_any, variance) }
    }

    /// Quantiles of the units lost.
    pub(super) fn quantiles<const N: usize>(&self, probabilities: [f64; N]) -> [f64; N] {
        if self.probability <= LEAST {
            return [0.0; N];
        }
        quantiles(&[(1.0 - self.probability, Counts::poisson(0.0)), (self.probability, self.lost)], probabilities)
    }
}
