//! Raw scores to probabilities that keep their word.

use serde::{Deserialize, Serialize};

use super::objective::logistic;

/// Platt scaling (Platt 1999): log-odds `slope · raw + offset`. Never changes an order, as the slope is positive.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Platt {
    pub slope: f64,
    pub offset: f64,
}

impl Platt {
    /// Changes nothing.
    pub const NONE: Self = Self { slope: 1.0, offset: 0.0 };

    /// Log-odds of a raw score, calibrated.
    #[must_use]
    pub fn log_odds(&self, raw: f64) -> f64 {
        self.slope * raw + self.offset
    }

    /// Probability of a raw score.
    #[must_use]
    pub fn probability(&self, raw: f64) -> f64 {
        logistic(self.log_odds(raw))
    }

    /// Fits raw scores of cases that the model has not learnt from, and whether the event came, by Newton's method on
    /// the log loss with targets drawn in as Platt asks. Without an order in the scores, or a case of either kind,
    /// nothing is changed.
    #[must_use]
    pub fn fit(cases: &[(f64, bool)]) -> Self {
        /// Convergence is quadratic: this many rounds are more than enough, or none are.
        const ROUNDS: usize = 50;
        let hits = cases.iter().filter(|(_, hit)| *hit).count() as f64;
        let misses = cases.len() as f64 - hits;
        let (one, zero) = ((hits + 1.0) / (hits + 2.0), 1.0 / (misses + 2.0));
        let mut now = Self { slope: 0.0, offset: ((hits + 1.0) / (misses + 1.0)).ln() };
        let loss = |of: Self| -> f64 {
            let row = |(raw, hit): &(f64, bool)| {
                let (odds, y) = (of.log_odds(*raw), if *hit { one } else { zero });
                odds.max(0.0) - odds * y + (-odds.abs()).exp().ln_1p()
            };
            cases.iter().map(row).sum()
        };
        for _ in 0..ROUNDS {
            let (mut ds, mut d0, mut ss, mut s0, mut oo) = (0.0, 0.0, 1e-9, 0.0, 1e-9);
            for (raw, hit) in cases {
                let p = now.probability(*raw);
                let (slope, curvature) = (p - if *hit { one } else { zero }, p * (1.0 - p));
                ds += slope * raw;
                d0 += slope;
                ss += curvature * raw * raw;
                s0 += curvature * raw;
                oo += curvature;
            }
            let determinant = ss * oo - s0 * s0;
            let step = [(oo * ds - s0 * d0) / determinant, (ss * d0 - s0 * ds) / determinant];
            let at = |size: f64| Self { slope: now.slope - size * step[0], offset: now.offset - size * step[1] };
            let before = loss(now);
            // Half the step, and half again, until it helps.
            let sizes = (0..20).map(|halvings| 0.5_f64.powi(halvings));
            match sizes.map(at).find(|then| loss(*then) < before - 1e-12) {
                Some(better) => now = better,
                None => break,
            }
        }
        if hits > 0.0 && misses > 0.0 && now.slope > 0.0 && now.offset.is_finite() { now } else { Self::NONE }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_overconfident_score_is_drawn_in_to_what_was_observed() {
        // Log-odds told three times too large, and one too high.
        let cases: Vec<_> = (0..40_000)
            .map(|i| {
                let odds = f64::from(i % 41) / 10.0 - 2.0;
                let share = f64::from(i / 41) / (40_000.0 / 41.0);
                (3.0 * odds + 1.0, share < logistic(odds))
            })
            .collect();
        let fitted = Platt::fit(&cases);
        assert!((fitted.slope - 1.0 / 3.0).abs() < 0.01 && (fitted.offset + 1.0 / 3.0).abs() < 0.02, "{fitted:?}");
    }

    #[test]
    fn scores_without_an_order_or_an_outcome_are_left_alone() {
        assert_eq!(Platt::fit(&[(1.0, true), (2.0, true)]), Platt::NONE);
        assert_eq!(Platt::fit(&[(1.0, true), (2.0, false)]), Platt::NONE);
        assert_eq!(Platt::fit(&[]), Platt::NONE);
    }
}
