//! Measures of a backtest: pure functions from answers and truths to figures.
//!
//! Definitions follow scikit-learn where it has them (average precision, ROC-AUC, Brier score, log loss, F1), so that
//! figures compare with those computed in Python.

use serde::{Deserialize, Serialize};

/// Which way a figure improves.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Better {
    Higher,
    Lower,
    /// Closest to a stated target, as a coverage or a bias.
    Nearest,
}

/// One measured figure.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Figure {
    #[schema(example = "average_precision")]
    pub name: String,
    pub value: f64,
    pub better: Better,
    /// What a figure of kind `nearest` should be.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub target: Option<f64>,
}

impl Figure {
    #[must_use]
    pub fn higher(name: &str, value: f64) -> Self {
        Self { name: name.to_owned(), value, better: Better::Higher, target: None }
    }

    #[must_use]
    pub fn lower(name: &str, value: f64) -> Self {
        Self { name: name.to_owned(), value, better: Better::Lower, target: None }
    }

    #[must_use]
    pub fn nearest(name: &str, value: f64, target: f64) -> Self {
        Self { name: name.to_owned(), value, better: Better::Nearest, target: Some(target) }
    }

    /// Whether this value is worse than another of the same figure, by more than rounding.
    #[must_use]
    pub fn worse_than(&self, other: f64) -> bool {
        const ROUNDING: f64 = 1e-9;
        match self.better {
            Better::Higher => self.value < other - ROUNDING,
            Better::Lower => self.value > other + ROUNDING,
            Better::Nearest => {
                let target = self.target.unwrap_or_default();
                (self.value - target).abs() > (other - target).abs() + ROUNDING
            }
        }
    }
}

/// What a backtest found. The first figure decides between versions.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Figures {
    /// Cases that were judged.
    pub cases: usize,
    /// Cases that had insufficient data, and cases that were refused.
    pub insufficient: usize,
    pub refused: usize,
    pub figures: Vec<Figure>,
    /// Points of a calibration curve: mean forecast, observed share, weight; empty where there is none.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub calibration: Vec<(f64, f64, f64)>,
}

/// Area under the precision-recall curve as the mean of precisions weighted by the gain in recall; ties fall together.
/// NaN without a positive.
#[must_use]
pub fn average_precision(forecasts: &[(f64, bool)]) -> f64 {
    let positives = forecasts.iter().filter(|(_, hit)| *hit).count() as f64;
    let (mut hits, mut seen, mut area) = (0.0, 0.0, 0.0);
    for tied in descending(forecasts).chunk_by(|a, b| a.0.total_cmp(&b.0).is_eq()) {
        let gained = tied.iter().filter(|(_, hit)| *hit).count() as f64;
        hits += gained;
        seen += tied.len() as f64;
        area += gained * hits / seen;
    }
    area / positives
}

/// Probability that a positive scores above a negative, ties counting half. NaN when one class is absent.
#[must_use]
pub fn roc_auc(forecasts: &[(f64, bool)]) -> f64 {
    let (mut above, mut pairs_won) = (0.0, 0.0);
    for tied in descending(forecasts).chunk_by(|a, b| a.0.total_cmp(&b.0).is_eq()) {
        let hits = tied.iter().filter(|(_, hit)| *hit).count() as f64;
        let misses = tied.len() as f64 - hits;
        pairs_won += misses * (above + hits / 2.0);
        above += hits;
    }
    pairs_won / (above * (forecasts.len() as f64 - above))
}

fn descending(forecasts: &[(f64, bool)]) -> Vec<(f64, bool)> {
    let mut sorted = forecasts.to_vec();
    sorted.sort_by(|a, b| b.0.total_cmp(&a.0));
    sorted
}

/// Mean squared error of probabilities (Brier 1950).
#[must_use]
pub fn brier(forecasts: &[(f64, bool)]) -> f64 {
    mean(forecasts.iter().map(|(p, hit)| (p - f64::from(u8::from(*hit))).powi(2)))
}

/// Calibration curve over bins that hold about equally many forecasts each, equal ones never apart: mean forecast,
/// observed share, weight.
#[must_use]
pub fn calibration(forecasts: &[(f64, bool)], bins: usize) -> Vec<(f64, f64, f64)> {
    let sorted = descending(forecasts);
    let size = sorted.len().div_ceil(bins.max(1)).max(1);
    let mut curve = Vec::new();
    let mut rest = sorted.as_slice();
    while let Some(last) = rest.get(size.min(rest.len()).wrapping_sub(1)) {
        let (bin, after) = rest.split_at(rest.partition_point(|(forecast, _)| *forecast >= last.0));
        let share = bin.iter().filter(|(_, hit)| *hit).count() as f64 / bin.len() as f64;
        curve.push((mean(bin.iter().map(|(p, _)| *p)), share, bin.len() as f64 / forecasts.len() as f64));
        rest = after;
    }
    curve.reverse();
    curve
}

/// Expected calibration error: mean distance of the curve of [`calibration`] from the diagonal, ten bins.
#[must_use]
pub fn calibration_error(forecasts: &[(f64, bool)]) -> f64 {
    calibration(forecasts, 10).iter().map(|(forecast, observed, weight)| weight * (forecast - observed).abs()).sum()
}

/// Twice the pinball loss of a quantile forecast: `2 · max(p·e, (p - 1)·e)` with `e` the truth less the forecast.
#[must_use]
pub fn quantile_loss(probability: f64, forecast: f64, truth: f64) -> f64 {
    let error = truth - forecast;
    2.0 * (probability * error).max((probability - 1.0) * error)
}

/// Arithmetic mean; NaN of nothing.
#[must_use]
pub fn mean(values: impl Iterator<Item = f64>) -> f64 {
    let (sum, count) = values.fold((0.0, 0.0), |(sum, count), value| (sum + value, count + 1.0));
    sum / count
}

#[cfg(test)]
mod tests {
    use super::*;

    fn close(a: f64, b: f64) {
        assert!((a - b).abs() < 1e-12, "{a} is not {b}");
    }

    /// The worked example in scikit-learn's documentation of `average_precision_score` and `roc_auc_score`.
    #[test]
    fn the_reference_example_is_met() {
        let forecasts = [(0.1, false), (0.4, false), (0.35, true), (0.8, true)];
        close(average_precision(&forecasts), 5.0 / 6.0);
        close(roc_auc(&forecasts), 0.75);
        close(brier(&[(0.1, false), (0.9, true), (0.8, true), (0.3, false)]), 0.0375);
    }

    #[test]
    fn ties_neither_help_nor_hurt() {
        let tied = [(0.5, true), (0.5, false), (0.5, false), (0.5, true)];
        close(roc_auc(&tied), 0.5);
        close(average_precision(&tied), 0.5);
    }

    #[test]
    fn a_forecast_that_keeps_its_word_has_no_calibration_error() {
        let kept: Vec<_> = (0..100).map(|i| (0.25, i % 4 == 0)).collect();
        close(calibration_error(&kept), 0.0);
    }

    #[test]
    fn a_figure_knows_which_way_is_worse() {
        assert!(Figure::higher("auc", 0.8).worse_than(0.9));
        assert!(Figure::lower("brier", 0.2).worse_than(0.1));
        assert!(Figure::nearest("coverage", 0.99, 0.95).worse_than(0.94));
        assert!(!Figure::nearest("coverage", 0.96, 0.95).worse_than(0.9));
    }
}
