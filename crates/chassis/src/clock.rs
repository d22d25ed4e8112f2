//! Time and randomness are parameters: everything that needs the time or an id takes it from here, so that a test can
//! stop the clock and repeat a run.

use std::{
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicI64, Ordering},
    },
    time::Duration,
};

use jiff::Timestamp;
use rand::{RngExt, SeedableRng, rngs::StdRng};
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

/// Source of identifiers, secrets and jitter: the machine's, or one that a test can repeat.
#[derive(Clone, Debug, Default)]
pub struct Ids(Option<Arc<Mutex<Sequence>>>);

#[derive(Debug)]
struct Sequence {
    made: u64,
    rng: StdRng,
}

impl Ids {
    /// The same ids, secrets and jitter for the same seed.
    #[must_use]
    pub fn seeded(seed: u64) -> Self {
        Self(Some(Arc::new(Mutex::new(Sequence { made: 0, rng: StdRng::seed_from_u64(seed) }))))
    }

    fn sequence(&self) -> Option<MutexGuard<'_, Sequence>> {
        Some(self.0.as_ref()?.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// A UUIDv7: sorts by the time of its making.
    #[must_use]
    #[expect(clippy::disallowed_methods, reason = "the one place where ids are made")]
    pub fn next(&self) -> Uuid {
        let Some(mut sequence) = self.sequence() else { return Uuid::now_v7() };
        sequence.made += 1;
        let random: [u8; 10] = sequence.rng.random();
        uuid::Builder::from_unix_timestamp_millis(sequence.made, &random).into_uuid()
    }

    /// Bytes fit for a key.
    #[must_use]
    pub fn secret_bytes<const N: usize>(&self) -> [u8; N] {
        self.sequence().map_or_else(rand::random, |mut sequence| sequence.rng.random())
    }

    /// Uniform in `[0, 1)`; for jitter only.
    #[must_use]
    pub fn jitter(&self) -> f64 {
        self.sequence().map_or_else(rand::random, |mut sequence| sequence.rng.random())
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

    #[test]
    fn seeded_ids_repeat_and_sort_by_their_making() {
        let (one, same) = (Ids::seeded(7), Ids::seeded(7));
        let ids: Vec<Uuid> = (0..3).map(|_| one.next()).collect();
        assert_eq!(ids, (0..3).map(|_| same.next()).collect::<Vec<_>>());
        assert!(ids.is_sorted() && ids[0] != ids[1], "{ids:?}");
        assert_eq!(one.secret_bytes::<32>(), same.secret_bytes());
        assert_ne!(one.next(), Ids::seeded(8).next());
    }
}
