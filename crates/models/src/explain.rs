//! What the models' explanations are made of: parts that add up to the score, and the smallest change that matters.

use crate::{
    Contribution, Score,
    score::{ONE, largest_remainder},
};

/// The part of each of `n` groups of facts: the average difference that it makes over all orders in which the groups
/// can become known (Shapley 1953).
///
/// `values[known]` is the value when the groups whose bits are set in `known` are known: `2^n` values.
pub(crate) fn shapley(values: &[f64]) -> Vec<f64> {
    let n = values.len().trailing_zeros() as usize;
    // k! (n - 1 - k)! / n! for k other groups known, each from the one before.
    let mut weights = vec![1.0 / n as f64; n];
    for k in 1..n {
        weights[k] = weights[k - 1] * k as f64 / (n - k) as f64;
    }
    let part = |group: usize| {
        let bit = 1 << group;
        let without = (0..values.len()).filter(|others| others & bit == 0);
        without.map(|others| weights[others.count_ones() as usize] * (values[others | bit] - values[others])).sum()
    };
    (0..n).map(part).collect()
}

/// Named parts in millionths that add up to the score exactly. The given parts are shares of 1 and add up to about the
/// score already; a name comes with the fact it is read from, if it is from one.
pub(crate) fn contributions<N: Into<String>, P: Into<String>>(
    names: impl IntoIterator<Item = (N, Option<P>)>,
    parts: &[f64],
    score: Score,
) -> Vec<Contribution> {
    let micros: Vec<f64> = parts.iter().map(|part| part * f64::from(ONE)).collect();
    names
        .into_iter()
        .zip(largest_remainder(&micros, i64::from(score.micros())))
        .map(|((name, pointer), micros)| Contribution { name: name.into(), pointer: pointer.map(Into::into), micros })
        .collect()
}

/// The difference that each step makes to the one before it, the first to zero.
pub(crate) fn differences(reached: &[f64]) -> Vec<f64> {
    let before = std::iter::once(&0.0).chain(reached);
    reached.iter().zip(before).map(|(after, before)| after - before).collect()
}

/// Smallest whole number from 1 to `most` for which the property holds, which then holds for all larger ones.
pub(crate) fn first(most: f64, mut holds: impl FnMut(f64) -> bool) -> Option<f64> {
    let mut high = 1.0_f64.min(most);
    while high < most && !holds(high) {
        high = (high * 2.0).min(most);
    }
    if high < 1.0 || !holds(high) {
        return None;
    }
    let mut low = (high / 2.0).floor();
    while high - low > 1.0 {
        let middle = f64::midpoint(low, high).floor();
        if holds(middle) {
            high = middle;
        } else {
            low = middle;
        }
    }
    Some(high)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// The glove game (Shapley and Shubik 1969): one owns a left glove, two a right one, and a pair is worth 1.
    #[test]
    fn the_glove_game_is_shared_as_published() {
        let worth = |known: usize| f64::from(u8::from(known & 1 != 0 && known & 0b110 != 0));
        let parts = shapley(&std::array::from_fn::<f64, 8, _>(worth));
        for (part, published) in parts.iter().zip([2.0 / 3.0, 1.0 / 6.0, 1.0 / 6.0]) {
            assert!((part - published).abs() < 1e-12, "{parts:?}");
        }
    }

    #[test]
    fn a_first_that_is_too_far_is_none() {
        assert_eq!(first(100.0, |n| n >= 37.0), Some(37.0));
        assert_eq!(first(100.0, |_| true), Some(1.0));
        assert_eq!(first(36.0, |n| n >= 37.0), None);
        assert_eq!(first(0.0, |_| true), None);
    }

    proptest! {
        #[test]
        fn parts_add_up_to_what_all_groups_together_make(values in prop::collection::vec(-1.0_f64..1.0, 32)) {
            let sum: f64 = shapley(&values).iter().sum();
            prop_assert!((sum - (values[31] - values[0])).abs() < 1e-9);
        }

        #[test]
        fn the_first_is_found_wherever_it_is(least in 1_u32..100_000, most in 1_u32..200_000) {
            let found = first(f64::from(most), |n| n >= f64::from(least));
            prop_assert_eq!(found, (least <= most).then(|| f64::from(least)));
        }
    }
}
