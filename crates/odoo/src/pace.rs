use std::time::Duration;

use tokio::{sync::Mutex, time::Instant};

use crate::Error;

/// Spaces calls evenly: each takes the next free slot and sleeps until then, in order of arrival.
///
/// One interval and one instant are all that a client-side limit needs. A rate-limiting crate such as `governor` would bring its own
/// clock and a burst allowance, and a burst is what a small Odoo suffers from.
#[derive(Debug)]
pub(crate) struct Pace {
    interval: Duration,
    /// Longest acceptable wait. Whoever would wait longer is told at once, so the queue has an end.
    patience: Duration,
    next: Mutex<Option<Instant>>,
}

impl Pace {
    pub(crate) fn new(per_second: f64, patience: Duration) -> Result<Self, Error> {
        let interval = Duration::try_from_secs_f64(1.0 / per_second)
            .map_err(|_| Error::Config(format!("max_calls_per_second must be above zero, is {per_second}")))?;
        Ok(Self { interval, patience, next: Mutex::new(None) })
    }

    /// Returns when it is this call's turn. A caller that gives up waiting leaves its slot unused.
    pub(crate) async fn turn(&self) -> Result<(), Error> {
        let slot = {
            let mut next = self.next.lock().await;
            let now = Instant::now();
            let slot = next.map_or(now, |at| at.max(now));
            let wait = slot - now;
            if wait > self.patience {
                return Err(Error::Busy { wait });
            }
            *next = Some(slot + self.interval);
            slot
        };
        tokio::time::sleep_until(slot).await;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn calls_are_spaced_evenly_and_never_in_a_burst() {
        let pace = Pace::new(4.0, Duration::from_secs(60)).unwrap();
        let start = Instant::now();
        let mut at = Vec::new();
        for _ in 0..5 {
            pace.turn().await.unwrap();
            at.push(start.elapsed().as_millis());
        }
        assert_eq!(at, [0, 250, 500, 750, 1000]);
        // Idle time is not saved up.
        tokio::time::sleep(Duration::from_secs(10)).await;
        let idle = Instant::now();
        pace.turn().await.unwrap();
        pace.turn().await.unwrap();
        assert_eq!(idle.elapsed().as_millis(), 250);
    }

    #[tokio::test(start_paused = true)]
    async fn whoever_would_wait_too_long_is_told_at_once() {
        let pace = Pace::new(1.0, Duration::from_secs(1)).unwrap();
        let (first, second, third) = tokio::join!(pace.turn(), pace.turn(), pace.turn());
        assert!(first.is_ok() && second.is_ok());
        let error = third.unwrap_err();
        assert!(error.is_retryable());
        assert_eq!(error.retry_after(), Some(Duration::from_secs(2)));
    }

    #[test]
    fn a_rate_of_zero_is_refused() {
        assert!(matches!(Pace::new(0.0, Duration::ZERO), Err(Error::Config(_))));
        assert!(matches!(Pace::new(-1.0, Duration::ZERO), Err(Error::Config(_))));
    }
}
