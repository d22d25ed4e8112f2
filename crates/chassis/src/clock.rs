//! Time and randomness are parameters: everything that needs the time or an id takes it from here, so that a test can
//! stop the clock and repeat a run.

use std::{
    sync::{
        Arc,
        atomic::{AtomicI64, Ordering},
    },
    time::Duration,
};

use jiff::Timestamp;
use tokio::sync::Notify;
use uuid::Uuid;

/// The time, real or set by hand.
#[derive(Clone, Debug)]
pub struct Clock(Source);

#[derive(Clone, Debug)]
enum Source {
    System,
    Manual(Arc<Hand>),
}

#[derive(Debug)]
struct Hand {
    micros: AtomicI64,
    moved: Notify,
}

impl Clock {
    /// The machine's clock.
    #[must_use]
    pub fn system() -> Self {
        Self(Source::System)
    }

    /// A clock that stands at `start` until it is advanced.
    #[must_use]
    pub fn manual(start: Timestamp) -> Self {
        Self(Source::Manual(Arc::new(Hand { micros: start.as_microsecond().into(), moved: Notify::new() })))
    }

    /// Now, cut to the microsecond that the store can hold.
    #[must_use]
    #[expect(clippy::disallowed_methods, reason = "the one place where the machine's clock is read")]
    pub fn now(&self) -> Timestamp {
        let micros = match &self.0 {
            Source::System => Timestamp::now().as_microsecond(),
            Source::Manual(hand) => hand.micros.load(Ordering::SeqCst),
        };
        crate::store::instant(micros)
    }

    /// Moves a manual clock forward and ends the sleeps that are over by then. The system's clock is left alone.
    pub fn advance(&self, by: Duration) {
        if let Source::Manual(hand) = &self.0 {
            hand.micros.fetch_add(i64::try_from(by.as_micros()).unwrap_or(i64::MAX), Ordering::SeqCst);
            hand.moved.notify_waiters();
        }
    }

    /// Sleeps in this clock's time.
    pub async fn sleep(&self, duration: Duration) {
        match &self.0 {
            Source::System => tokio::time::sleep(duration).await,
            Source::Manual(hand) => {
                let until = self.now() + duration;
                loop {
                    // Registered before the look at the clock, or an advance in between would be missed.
                    let moved = hand.moved.notified();
                    if self.now() >= until {
                        return;
                    }
                    moved.await;
                }
            }
        }
    }
}

/// Source of identifiers, secrets and jitter.
#[derive(Clone, Debug, Default)]
pub struct Ids(());

impl Ids {
    /// A UUIDv7: sorts by the time of its making.
    #[must_use]
    #[expect(clippy::disallowed_methods, reason = "the one place where ids are made")]
    pub fn next(&self) -> Uuid {
        Uuid::now_v7()
    }

    /// Bytes fit for a key.
    #[must_use]
    pub fn secret_bytes<const N: usize>(&self) -> [u8; N] {
        rand::random()
    }

    /// Uniform in `[0, 1)`; for jitter only.
    #[must_use]
    pub fn jitter(&self) -> f64 {
        rand::random::<f64>()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_manual_clock_ends_sleeps_only_when_it_is_advanced() {
        let clock = Clock::manual("2026-11-23T08:00:00Z".parse().unwrap());
        let sleeper = tokio::spawn({
            let clock = clock.clone();
            async move { clock.sleep(Duration::from_secs(60)).await }
        });
        tokio::task::yield_now().await;
        clock.advance(Duration::from_secs(59));
        tokio::time::sleep(Duration::from_millis(20)).await;
        assert!(!sleeper.is_finished());
        clock.advance(Duration::from_secs(1));
        tokio::time::timeout(Duration::from_secs(5), sleeper).await.unwrap().unwrap();
    }
}
