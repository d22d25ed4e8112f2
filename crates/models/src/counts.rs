//! Distributions of counts: negative binomial, Poisson in its limit, and mixtures of them.
//!
//! The negative binomial is the gamma mixture of Poissons, written here by mean `m` and size `r` (variance
//! `m + m²/r`). Both belong to Panjer's (a, b, 0) class, so one recursion serves both:
//! `f(x+1) = f(x) · (a + b·x) / (x + 1)` (Panjer 1981, ASTIN Bulletin 12).

use statrs::function::{
    beta::beta_reg,
    gamma::{gamma_ur, ln_gamma},
};

/// Counts up to here are summed term by term, which is faster than the special functions and exact; beyond it the
/// incomplete beta and gamma functions take over.
const SUMMED: f64 = 256.0;
/// Quantiles up to about here are walked to. Well below 700, where the probability of zero leaves the range of floats.
const WALKED: f64 = 512.0;
/// Above this size the variance exceeds the mean by less than a millionth of its square: that is Poisson.
const POISSON_SIZE: f64 = 1e6;

/// A count with given mean and variance.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Counts {
    mean: f64,
    /// Infinite for a Poisson.
    size: f64,
}

/// What lies beyond a stock level.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Beyond {
    /// P(X > s).
    pub probability: f64,
    /// E[max(X - s, 0)], the loss function of inventory theory.
    pub excess: f64,
}

impl Counts {
    /// The negative binomial with these moments; Poisson when the variance does not exceed the mean.
    ///
    /// A negative or NaN mean counts as 0.
    #[must_use]
    pub fn by_moments(mean: f64, variance: f64) -> Self {
        let mean = mean.max(0.0);
        let size = mean * mean / (variance - mean);
        Self { mean, size: if size > 0.0 && size < POISSON_SIZE { size } else { f64::INFINITY } }
    }

    #[must_use]
    pub fn poisson(mean: f64) -> Self {
        Self::by_moments(mean, mean)
    }

    #[must_use]
    pub fn mean(&self) -> f64 {
        self.mean
    }

    #[must_use]
    pub fn variance(&self) -> f64 {
        self.mean + self.mean * self.mean / self.size
    }

    /// P(X = 0) and Panjer's a and b.
    fn recursion(&self) -> (f64, f64, f64) {
        if self.size.is_infinite() {
            return ((-self.mean).exp(), self.mean, 0.0);
        }
        let slope = self.mean / (self.size + self.mean);
        ((-self.size * (self.mean / self.size).ln_1p()).exp(), self.size * slope, slope)
    }

    /// P(X = x).
    #[must_use]
    pub fn pmf(&self, x: u64) -> f64 {
        self.ln_pmf(x as f64).exp()
    }

    /// Natural logarithm of P(X = k), which is also defined between counts: demand may come in fractions of a unit.
    #[must_use]
    pub fn ln_pmf(&self, k: f64) -> f64 {
        if self.mean == 0.0 {
            return if k == 0.0 { 0.0 } else { f64::NEG_INFINITY };
        }
        if self.size.is_infinite() {
            return k * self.mean.ln() - self.mean - ln_gamma(k + 1.0);
        }
        let (r, m) = (self.size, self.mean);
        ln_gamma(r + k) - ln_gamma(r) - ln_gamma(k + 1.0) - r * (m / r).ln_1p() + k * (m / (r + m)).ln()
    }

    /// P(X <= s) for any real s.
    #[must_use]
    pub fn cdf(&self, s: f64) -> f64 {
        1.0 - self.beyond(s).probability
    }

    /// Stock-out probability and expected loss at stock `s`, which may be any real number.
    #[must_use]
    pub fn beyond(&self, s: f64) -> Beyond {
        if s < 0.0 {
            return Beyond { probability: 1.0, excess: self.mean - s };
        }
        if self.mean == 0.0 {
            return Beyond::default();
        }
        if s < SUMMED {
            return self.beyond_by_sum(s);
        }
        let k = s.floor();
        // E[X; X > k] = m · P(Y > k - 1), where Y has the same ratio and size one higher (Poisson: is X itself).
        let (probability, shifted) = if self.size.is_infinite() {
            (1.0 - gamma_ur(k + 1.0, self.mean), 1.0 - gamma_ur(k, self.mean))
        } else {
            let ratio = self.mean / (self.size + self.mean);
            (beta_reg(k + 1.0, self.size, ratio), beta_reg(k, self.size + 1.0, ratio))
        };
        Beyond { probability, excess: (self.mean * shifted - s * probability).max(0.0) }
    }

    fn beyond_by_sum(&self, s: f64) -> Beyond {
        let (mut f, a, b) = self.recursion();
        let (mut below, mut short) = (f, f * s);
        let mut x = 0.0;
        while x + 1.0 <= s {
            f *= (a + b * x) / (x + 1.0);
            x += 1.0;
            below += f;
            short += f * (s - x);
        }
        // E[(X - s)+] = E[X] - s + E[(s - X)+].
        Beyond { probability: (1.0 - below).clamp(0.0, 1.0), excess: (self.mean - s + short).max(0.0) }
    }

    /// Smallest count whose cdf reaches `probability`.
    #[must_use]
    pub fn quantile(&self, probability: f64) -> f64 {
        let [q] = quantiles(&[(1.0, *self)], [probability]);
        q
    }
}

/// Quantiles of a mixture at increasing probabilities: the smallest counts whose cdf reaches them. Weights must add
/// up to 1.
#[must_use]
pub fn quantiles<const N: usize>(mixture: &[(f64, Counts)], probabilities: [f64; N]) -> [f64; N] {
    let farthest = mixture.iter().map(|(_, counts)| counts.mean + 4.0 * counts.variance().sqrt()).fold(0.0, f64::max);
    if farthest > WALKED || mixture.len() > COMPONENTS {
        return probabilities.map(|probability| bisected(mixture, probability, farthest));
    }
    if mixture.len() <= FEW {
        walked::<FEW, N>(mixture, probabilities)
    } else {
        walked::<COMPONENTS, N>(mixture, probabilities)
    }
}

/// Most components of a mixture that the walk keeps on the stack.
const COMPONENTS: usize = 16;
/// Components that most mixtures have at most: a shorter walk for them.
const FEW: usize = 4;
/// Tail mass that rounding can hide from a sum of terms; a quantile beyond it is not asked for.
const DUST: f64 = 1e-12;

/// One walk from zero up, all components side by side in `LANES` lanes, those left over empty.
fn walked<const LANES: usize, const N: usize>(mixture: &[(f64, Counts)], probabilities: [f64; N]) -> [f64; N] {
    let (mut f, mut a, mut b) = ([0.0; LANES], [0.0; LANES], [0.0; LANES]);
    for (i, (weight, counts)) in mixture.iter().enumerate() {
        let (zero, first, second) = counts.recursion();
        (f[i], a[i], b[i]) = (weight * zero, first, second);
    }
    // A sum for each lane, so that one step need not wait for the additions of the last.
    let mut sums = f;
    let mut cdf = sums.iter().sum::<f64>();
    let mut x = 0.0;
    let mut found = probabilities;
    for quantile in &mut found {
        let goal = quantile.min(1.0 - DUST) - DUST;
        while cdf < goal {
            // One division serves all components: divisions are what this walk would spend its time on.
            let inverse = 1.0 / (x + 1.0);
            for i in 0..LANES {
                f[i] *= (a[i] + b[i] * x) * inverse;
                sums[i] += f[i];
            }
            cdf = sums.iter().sum::<f64>();
            x += 1.0;
        }
        *quantile = x;
    }
    found
}

/// Bisection on the cdf, for large means.
fn bisected(mixture: &[(f64, Counts)], probability: f64, start: f64) -> f64 {
    let cdf = |x: f64| mixture.iter().map(|(weight, counts)| weight * counts.cdf(x)).sum::<f64>();
    let goal = probability.min(1.0 - DUST) - DUST;
    let (mut low, mut high) = (-1.0, start.ceil());
    while cdf(high) < goal {
        (low, high) = (high, high * 2.0 + 1.0);
    }
    while high - low > 1.0 {
        let middle = f64::midpoint(low, high).floor();
        if cdf(middle) < goal {
            low = middle;
        } else {
            high = middle;
        }
    }
    high
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn close(a: f64, b: f64, tolerance: f64) {
        assert!((a - b).abs() <= tolerance, "{a} is not {b}");
    }

    /// Values of scipy 1.x `poisson` and `nbinom(n, p)` with `n = r`, `p = r / (r + m)`.
    #[test]
    fn published_values_are_met() {
        let poisson = Counts::poisson(4.0);
        close(poisson.pmf(2), 0.146_525_111_109_873_4, 1e-14);
        close(poisson.cdf(6.0), 0.889_326_021_597_427, 1e-14);
        assert_eq!([0.05, 0.5, 0.95].map(|p| poisson.quantile(p)), [1.0, 4.0, 8.0]);
        // r = 5, p = 1/2: P(X <= 5) = 319/512 is P(at least 5 of 10 fair coins are heads).
        let negative = Counts::by_moments(5.0, 10.0);
        close(negative.cdf(5.0), 319.0 / 512.0, 1e-14);
        close(negative.pmf(0), 1.0 / 32.0, 1e-15);
        // Geometric (r = 1, m = 3): cdf is 1 - 0.75^(x+1).
        let geometric = Counts::by_moments(3.0, 12.0);
        close(geometric.cdf(7.0), 1.0 - 0.75_f64.powi(8), 1e-14);
        assert_eq!(geometric.quantile(0.95), 10.0);
    }

    /// Standard loss of a Poisson with mean 4 at stock 5 by its textbook form `(m - s)·P(X >= s) + m·P(X = s)`
    /// shifted to `X > s` (Axsäter, Inventory Control, 3rd ed., section 5.3).
    #[test]
    fn expected_loss_is_the_textbook_s() {
        let poisson = Counts::poisson(4.0);
        let beyond = poisson.beyond(5.0);
        let at_least = 1.0 - poisson.cdf(4.0);
        close(beyond.excess, (4.0 - 5.0) * at_least + 5.0 * poisson.pmf(5), 1e-12);
        assert_eq!(Counts::poisson(0.0).beyond(0.0), Beyond::default());
        assert_eq!(poisson.beyond(-1.0), Beyond { probability: 1.0, excess: 5.0 });
    }

    #[test]
    fn sums_and_special_functions_agree_where_they_meet() {
        for counts in [Counts::poisson(120.0), Counts::by_moments(120.0, 700.0), Counts::by_moments(90.0, 9_000.0)] {
            let special = counts.beyond(SUMMED);
            let summed = counts.beyond_by_sum(SUMMED);
            close(special.probability, summed.probability, 1e-10);
            close(special.excess, summed.excess, 1e-8);
        }
    }

    #[test]
    fn a_mixture_has_the_quantiles_of_its_parts_together() {
        let mixture = [(0.5, Counts::poisson(2.0)), (0.5, Counts::poisson(20.0))];
        let [median] = quantiles(&mixture, [0.5]);
        let cdf = |x: f64| mixture.iter().map(|(w, c)| w * c.cdf(x)).sum::<f64>();
        assert!(cdf(median) >= 0.5 && cdf(median - 1.0) < 0.5, "{median}");
        assert_eq!(bisected(&mixture, 0.9, 30.0), quantiles(&mixture, [0.9])[0]);
    }

    proptest! {
        #[test]
        fn more_stock_lowers_risk_and_loss(
            mean in 0.0_f64..400.0, extra in 0.0_f64..2000.0, s in 0.0_f64..600.0, d in 0.0_f64..50.0,
        ) {
            let counts = Counts::by_moments(mean, mean + extra);
            let (before, after) = (counts.beyond(s), counts.beyond(s + d));
            prop_assert!(after.probability <= before.probability + 1e-9);
            prop_assert!(after.excess <= before.excess + 1e-7);
            prop_assert!(before.excess >= mean - s - 1e-7);
        }

        #[test]
        fn a_quantile_is_the_first_count_that_reaches_its_probability(
            mean in 0.01_f64..900.0, ratio in 1.0_f64..9.0, p in 0.01_f64..0.99,
        ) {
            let counts = Counts::by_moments(mean, mean * ratio);
            let q = counts.quantile(p);
            prop_assert!(counts.cdf(q) >= p - 1e-9);
            prop_assert!(q == 0.0 || counts.cdf(q - 1.0) < p + 1e-9);
        }
    }
}
