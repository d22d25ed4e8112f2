//! When to try again.

use std::time::Duration;

/// Delays between attempts: after the first failure the first delay, and so on; after the last one it is given up.
#[derive(Clone, Debug, PartialEq)]
pub struct RetrySchedule {
    delays: Vec<Duration>,
}

/// Share by which a delay is spread to both sides, so that what failed together does not come back together.
const JITTER: f64 = 0.2;
/// A peer's `Retry-After` counts up to this much.
const LONGEST_WISH: Duration = Duration::from_secs(2 * 60 * 60);

impl Default for RetrySchedule {
    /// Immediately, then 10 s, 1 min, 5 min, 30 min, 2 h: seven attempts over some two and a half hours.
    fn default() -> Self {
        Self::from_seconds(&[0.0, 10.0, 60.0, 300.0, 1800.0, 7200.0])
    }
}

impl RetrySchedule {
    #[must_use]
    pub fn from_seconds(delays: &[f64]) -> Self {
        Self { delays: delays.iter().map(|seconds| Duration::from_secs_f64(seconds.max(0.0))).collect() }
    }

    /// Most attempts of one row, until a person replays it.
    pub(crate) fn attempts(&self) -> u32 {
        u32::try_from(self.delays.len()).unwrap_or(u32::MAX).saturating_add(1)
    }

    /// The delay after the `failed`-th attempt (1 = the first); `None` = give up. `jitter` is uniform in `[0, 1)`.
    #[must_use]
    pub fn after(&self, failed: u32, wish: Option<Duration>, jitter: f64) -> Option<Duration> {
        let delay = self.delays.get(failed.saturating_sub(1) as usize)?;
        let spread = delay.mul_f64(1.0 - JITTER + 2.0 * JITTER * jitter);
        Some(wish.map_or(spread, |wish| wish.min(LONGEST_WISH).max(spread)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seven_attempts_then_it_is_given_up() {
        let schedule = RetrySchedule::default();
        let middle = |failed| schedule.after(failed, None, 0.5).map(|delay| delay.as_secs());
        let delays: Vec<_> = (1..=7).map(middle).collect();
        assert_eq!(delays, [Some(0), Some(10), Some(60), Some(300), Some(1800), Some(7200), None]);
    }

    #[test]
    fn jitter_stays_within_a_fifth() {
        let schedule = RetrySchedule::default();
        assert_eq!(schedule.after(2, None, 0.0).unwrap(), Duration::from_secs(8));
        assert!(schedule.after(2, None, 0.999).unwrap() < Duration::from_secs(12));
    }

    #[test]
    fn a_peer_s_wish_lengthens_a_delay_within_reason() {
        let schedule = RetrySchedule::default();
        let wished = |seconds| schedule.after(2, Some(Duration::from_secs(seconds)), 0.5).unwrap().as_secs();
        assert_eq!((wished(1), wished(30), wished(1_000_000)), (10, 30, 7200));
    }
}
