//! The lead time as a distribution: what was seen, steadied by what was promised.

use contracts::facts::LeadTime;

use super::parameters::LeadTimeParameters;

/// Latest receipts that count. Suppliers change; older ones say little of the next.
const SEEN: usize = 24;
/// Lead times that stand for all seen ones: means of as many groups of like size. Enough for the shape, few enough
/// to score thousands of articles a second.
const GROUPS: usize = 8;
/// Most points: the groups and the promise, or the spread around a promise alone.
const POINTS: usize = GROUPS + 1;

/// Probabilities of lead times, in days, shortest first.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct LeadTimes {
    points: [(f64, f64); POINTS],
    length: usize,
}

impl LeadTimes {
    /// Most points of a distribution.
    pub(super) const MOST: usize = POINTS;

    /// `None` when nothing is known of the lead time.
    pub(super) fn estimate(lead_time: &LeadTime, parameters: &LeadTimeParameters) -> Option<Self> {
        match (lead_time.seen_days.as_slice(), lead_time.promised_days) {
            ([], None) => None,
            ([], Some(promised)) => {
                let mut times = Self::none();
                for (multiple, probability) in parameters.promise_spread {
                    times.push(probability, promised * multiple);
                }
                Some(times.in_order())
            }
            (seen, promised) => Some(Self::seen(seen, promised, parameters.promise_weight)),
        }
    }

    /// A lead time that is known for sure.
    pub(super) fn fixed(days: f64) -> Self {
        let mut times = Self::none();
        times.push(1.0, days);
        times
    }

    fn seen(seen: &[f64], promised: Option<f64>, promise_weight: f64) -> Self {
        let latest = &seen[seen.len().saturating_sub(SEEN)..];
        let mut sorted = [0.0; SEEN];
        let sorted = &mut sorted[..latest.len()];
        sorted.copy_from_slice(latest);
        sorted.sort_unstable_by(f64::total_cmp);
        let count = sorted.len() as f64;
        let total = count + if promised.is_some() { promise_weight } else { 0.0 };

        let mut times = Self::none();
        let groups = sorted.len().min(GROUPS);
        for group in 0..groups {
            let members = &sorted[group * sorted.len() / groups..(group + 1) * sorted.len() / groups];
            let size = members.len() as f64;
            times.push(size / total, members.iter().sum::<f64>() / size);
        }
        if let Some(promised) = promised {
            times.push(promise_weight / total, promised);
        }
        times.in_order()
    }

    /// Shortest first, equal lead times as one: suppliers repeat themselves, and each point costs a distribution.
    fn in_order(mut self) -> Self {
        self.points[..self.length].sort_unstable_by(|a, b| a.1.total_cmp(&b.1));
        let mut times = Self::none();
        for (probability, days) in self.points() {
            match times.points[..times.length].last_mut().filter(|last| last.1 == *days) {
                Some(last) => last.0 += probability,
                None => times.push(*probability, *days),
            }
        }
        times
    }

    fn none() -> Self {
        Self { points: [(0.0, 0.0); POINTS], length: 0 }
    }

    fn push(&mut self, probability: f64, days: f64) {
        self.points[self.length] = (probability, days);
        self.length += 1;
    }

    /// Probability and days of each lead time.
    pub(super) fn points(&self) -> &[(f64, f64)] {
        &self.points[..self.length]
    }

    pub(super) fn mean(&self) -> f64 {
        self.points().iter().map(|(probability, days)| probability * days).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn estimate(seen: &[f64], promised: Option<f64>) -> Option<LeadTimes> {
        let parameters =
            LeadTimeParameters { promise_weight: 2.0, promise_spread: [(0.8, 0.25), (1.0, 0.5), (1.4, 0.25)] };
        LeadTimes::estimate(
            &LeadTime { supplier: None, promised_days: promised, seen_days: seen.to_vec() },
            &parameters,
        )
    }

    #[test]
    fn nothing_known_is_no_distribution() {
        assert_eq!(estimate(&[], None), None);
    }

    #[test]
    fn a_promise_alone_is_spread() {
        let times = estimate(&[], Some(10.0)).unwrap();
        assert_eq!(times.points(), [(0.25, 8.0), (0.5, 10.0), (0.25, 14.0)]);
    }

    #[test]
    fn the_promise_fades_as_receipts_come_in() {
        let few = estimate(&[10.0, 10.0], Some(4.0)).unwrap();
        assert_eq!(few.points(), [(0.5, 4.0), (0.5, 10.0)]);
        let many = estimate(&[10.0; 18], Some(4.0)).unwrap();
        assert!((many.mean() - 9.4).abs() < 1e-12);
    }

    #[test]
    fn groups_keep_mean_and_mass_and_only_the_latest_count() {
        let mut seen = vec![500.0];
        seen.extend((0..24).map(|i| f64::from((i * 7) % 24)));
        let times = estimate(&seen, None).unwrap();
        assert!((times.mean() - 11.5).abs() < 1e-12);
        assert!((times.points().iter().map(|(p, _)| p).sum::<f64>() - 1.0).abs() < 1e-12);
        assert!(times.points().is_sorted_by(|a, b| a.1 <= b.1));
    }
}
