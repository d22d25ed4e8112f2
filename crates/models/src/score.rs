//! What every model's answer shares: the score, its band, and the parts that add up to it.

use contracts::Digest;
use serde::{Deserialize, Serialize};

/// Millionths in a score of 1.
pub const ONE: u32 = 1_000_000;

/// Urgency or probability in integer millionths, 0 to 1,000,000: it compares, adds and hashes the same everywhere.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(transparent)]
#[schema(minimum = 0, maximum = 1_000_000, example = 823_114)]
pub struct Score(u32);

impl Score {
    /// Nearest millionth of a share; anything outside 0 to 1 is clamped, NaN is 0.
    #[must_use]
    pub fn of(share: f64) -> Self {
        // The clamp keeps the rounded value inside 0..=ONE, so the conversion loses nothing.
        Self((share.clamp(0.0, 1.0) * f64::from(ONE)).round() as u32)
    }

    #[must_use]
    pub fn micros(self) -> u32 {
        self.0
    }

    /// 0 to 1.
    #[must_use]
    pub fn share(self) -> f64 {
        f64::from(self.0) / f64::from(ONE)
    }
}

/// Where a score stands between doing nothing and acting now.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Band {
    Low,
    Elevated,
    High,
    Critical,
}

impl Band {
    /// The word as it stands in JSON and in policy tables.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Low => "low",
            Self::Elevated => "elevated",
            Self::High => "high",
            Self::Critical => "critical",
        }
    }
}

/// Lowest score of each band above low, in millionths.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BandLimits {
    pub elevated: u32,
    pub high: u32,
    pub critical: u32,
}

impl BandLimits {
    #[must_use]
    pub fn band(&self, score: Score) -> Band {
        match score.0 {
            s if s >= self.critical => Band::Critical,
            s if s >= self.high => Band::High,
            s if s >= self.elevated => Band::Elevated,
            _ => Band::Low,
        }
    }
}

/// One part of a score. All parts of an answer add up to its score exactly.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Contribution {
    #[schema(example = "stock")]
    pub name: String,
    /// The fact it comes from, as JSON pointer into the request; absent for the baseline.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(example = "/facts/stock/on_hand")]
    pub pointer: Option<String>,
    /// Millionths of score; negative where the fact lowers it.
    #[schema(example = 412_000)]
    pub micros: i64,
}

/// The smallest change of one fact that would move the answer into another band. It was applied and scored again
/// before it was told.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Counterfactual {
    /// The fact to change, as JSON pointer into the request.
    #[schema(example = "/facts/stock/on_hand")]
    pub pointer: String,
    pub value_now: f64,
    pub value_needed: f64,
    pub band_then: Band,
    pub score_then: Score,
    #[schema(example = "with 14 more units on hand the band would be elevated")]
    pub detail: String,
}

/// Which model judged, so that the answer can be repeated.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct ModelRef {
    #[schema(example = "replenishment-priority")]
    pub name: String,
    #[schema(example = "1")]
    pub version: String,
    /// SHA-256 over the canonical JSON of its parameters.
    pub parameters: Digest,
}

/// A fact without which the model does not guess.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Missing {
    /// JSON pointer into the request.
    #[schema(example = "/facts/lead_time/seen_days")]
    pub pointer: String,
    pub detail: String,
}

/// Rounds real parts to integers that add up to `total` exactly: each part is rounded down and the units left over
/// go to the largest remainders (Hamilton's method). The parts must add up to about `total` already.
#[must_use]
pub fn largest_remainder(parts: &[f64], total: i64) -> Vec<i64> {
    // Parts are shares of a million; their floors fit an i64 with room to spare.
    let mut rounded: Vec<i64> = parts.iter().map(|part| part.floor() as i64).collect();
    let mut order: Vec<usize> = (0..parts.len()).collect();
    order.sort_by(|a, b| (parts[*b] - parts[*b].floor()).total_cmp(&(parts[*a] - parts[*a].floor())));
    let left_over = total - rounded.iter().sum::<i64>();
    let step = left_over.signum();
    // Normally fewer units than parts are left over; cycling also absorbs an input that adds up badly.
    let turns = usize::try_from(left_over.unsigned_abs()).unwrap_or(0);
    for index in order.iter().cycle().take(if parts.is_empty() { 0 } else { turns }) {
        rounded[*index] += step;
    }
    rounded
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn left_over_units_go_to_the_largest_remainders() {
        assert_eq!(largest_remainder(&[1.5, 2.2, -0.7], 3), [2, 2, -1]);
        assert_eq!(largest_remainder(&[0.4, 0.4, 0.2], 1), [1, 0, 0]);
        assert_eq!(largest_remainder(&[], 3), [] as [i64; 0]);
    }

    #[test]
    fn a_score_is_clamped_to_its_range() {
        assert_eq!(Score::of(-0.1).micros(), 0);
        assert_eq!(Score::of(0.123_456_7).micros(), 123_457);
        assert_eq!(Score::of(7.0).micros(), ONE);
        assert_eq!(Score::of(f64::NAN).micros(), 0);
    }

    #[test]
    fn a_band_begins_at_its_limit() {
        let limits = BandLimits { elevated: 10, high: 20, critical: 30 };
        let bands = [9, 10, 20, 29, 30].map(|micros| limits.band(Score(micros)));
        assert_eq!(bands, [Band::Low, Band::Elevated, Band::High, Band::High, Band::Critical]);
    }

    proptest! {
        #[test]
        fn rounded_parts_add_up_exactly(parts in prop::collection::vec(-1e6_f64..1e6, 1..12)) {
            let total = parts.iter().sum::<f64>().round() as i64;
            let rounded = largest_remainder(&parts, total);
            prop_assert_eq!(rounded.iter().sum::<i64>(), total);
            for (exact, integer) in parts.iter().zip(rounded) {
                prop_assert!((exact - integer as f64).abs() < 2.0);
            }
        }
    }
}
