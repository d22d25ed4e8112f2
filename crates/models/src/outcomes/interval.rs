//! Estimates with their uncertainty.

use serde::{Deserialize, Serialize};

use super::FEWEST;

/// Two-sided 95 % point of the standard normal distribution.
const Z: f64 = 1.959_963_984_540_054;
/// Draws of a bootstrap: the limits of a percentile interval move by less than a tenth of its width.
const DRAWS: usize = 1000;
const SEED: u64 = 0x5eed_0f0a_57e3;

/// How an interval was made. Both hold 95 %.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Interval {
    /// Wilson's score interval of a share.
    Wilson,
    /// Percentiles of a bootstrap of 1,000 draws from a fixed seed.
    Bootstrap,
}

/// A value and where it lies with 95 % confidence.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, utoipa::ToSchema)]
pub struct Estimate {
    pub value: f64,
    pub low: f64,
    pub high: f64,
    pub interval: Interval,
    /// Cases that it rests on.
    pub cases: usize,
}

/// Why a figure cannot be known from these cases.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Reason {
    TooFew,
    /// Too much is still open to tell.
    Censored,
    /// There are no like cases on both sides of a comparison.
    NoOverlap,
    /// Both sides differ in what was known before anybody decided.
    Selection,
    MixedCurrencies,
}

/// An estimate, or why there is none.
#[derive(Clone, Debug, PartialEq, Serialize, utoipa::ToSchema)]
#[serde(tag = "status", rename_all = "snake_case")]
pub enum Finding {
    Identified(Estimate),
    NotIdentifiable {
        #[schema(inline)]
        reason: Reason,
        detail: String,
    },
}

impl Finding {
    pub(super) fn identified(value: f64, (low, high): (f64, f64), cases: usize) -> Self {
        Self::Identified(Estimate { value, low, high, interval: Interval::Bootstrap, cases })
    }

    pub(super) fn too_few(found: usize, of: &str) -> Self {
        let detail = format!("{found} {of}, at least {FEWEST} are needed");
        Self::NotIdentifiable { reason: Reason::TooFew, detail }
    }
}

/// Wilson's 95 % score interval of `hits` out of `cases` (Wilson 1927).
#[must_use]
pub fn wilson(hits: usize, cases: usize) -> (f64, f64) {
    let (n, share) = (cases as f64, hits as f64 / cases as f64);
    let centre = share + Z * Z / (2.0 * n);
    let spread = Z * (share * (1.0 - share) / n + Z * Z / (4.0 * n * n)).sqrt();
    let scale = 1.0 + Z * Z / n;
    // At the ends the exact limits are 0 and 1; rounding must not leave them.
    let low = if hits == 0 { 0.0 } else { (centre - spread) / scale };
    let high = if hits == cases { 1.0 } else { (centre + spread) / scale };
    (low, high)
}

/// 2.5 % and 97.5 % percentiles of a statistic over samples of the cases with replacement. The seed is fixed.
#[must_use]
pub fn bootstrap<T: Clone>(cases: &[T], statistic: impl Fn(&[T]) -> f64) -> (f64, f64) {
    draws(|random| statistic(&random.sample(cases)))
}

/// As [`bootstrap`], for a statistic that draws its own samples, as one within strata does.
pub(super) fn draws(mut statistic: impl FnMut(&mut Random) -> f64) -> (f64, f64) {
    let mut random = Random(SEED);
    let mut values: Vec<f64> = (0..DRAWS).map(|_| statistic(&mut random)).collect();
    values.sort_by(f64::total_cmp);
    let at = |share: f64| values[((DRAWS - 1) as f64 * share).round() as usize];
    (at(0.025), at(0.975))
}

pub(super) fn share(hits: usize, cases: usize, of: &str) -> Finding {
    if cases < FEWEST {
        return Finding::too_few(cases, of);
    }
    let (low, high) = wilson(hits, cases);
    let value = hits as f64 / cases as f64;
    Finding::Identified(Estimate { value, low, high, interval: Interval::Wilson, cases })
}

pub(super) fn mean(values: &[f64], of: &str) -> Finding {
    if values.len() < FEWEST {
        return Finding::too_few(values.len(), of);
    }
    let mean = |values: &[f64]| crate::metrics::mean(values.iter().copied());
    Finding::identified(mean(values), bootstrap(values, mean), values.len())
}

/// Sum of the first parts over the sum of the second: the ratio of the whole, not a mean of ratios.
pub(super) fn ratio(parts: &[(f64, f64)], of: &str) -> Finding {
    let parts: Vec<_> = parts.iter().copied().filter(|(_, whole)| *whole > 0.0).collect();
    if parts.len() < FEWEST {
        return Finding::too_few(parts.len(), &format!("cases with {of}"));
    }
    let ratio = |parts: &[(f64, f64)]| {
        let (part, whole) = parts.iter().fold((0.0, 0.0), |sum, one| (sum.0 + one.0, sum.1 + one.1));
        part / whole
    };
    Finding::identified(ratio(&parts), bootstrap(&parts, ratio), parts.len())
}

/// SplitMix64 (Steele, Lea and Flood 2014): enough for drawing indices, the same on every machine.
pub(super) struct Random(u64);

impl Random {
    /// As many of the cases, each drawn from all of them.
    pub(super) fn sample<T: Clone>(&mut self, cases: &[T]) -> Vec<T> {
        cases.iter().map(|_| cases[self.below(cases.len())].clone()).collect()
    }

    /// An index below `bound`. The bias of the multiplication is below `bound / 2^64`.
    fn below(&mut self, bound: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^= mixed >> 31;
        ((u128::from(mixed) * bound as u128) >> 64) as usize
    }
}
