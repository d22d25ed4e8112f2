//! A circuit breaker per destination: a peer that is down costs one attempt at a time, and no row loses attempts to it.

use std::{
    collections::HashMap,
    sync::{Mutex, PoisonError},
    time::Duration,
};

use jiff::Timestamp;

/// Failures in a row after which a destination is left alone.
const OPENS_AFTER: u32 = 5;
/// How long, before one attempt is let through again.
const REST: Duration = Duration::from_secs(10);

#[derive(Default)]
struct Destination {
    failures: u32,
    closed_until: Option<Timestamp>,
}

/// The breakers of one process. Each replica learns by itself; what is right does not depend on it.
#[derive(Default)]
pub(crate) struct Breakers(Mutex<HashMap<String, Destination>>);

impl Breakers {
    /// `Some(until)` when the destination is to be left alone; otherwise the attempt is let through, and when the rest
    /// is just over, it is the only one until its result is known.
    pub(crate) fn resting(&self, destination: &str, now: Timestamp) -> Option<Timestamp> {
        let mut map = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let state = map.get_mut(destination)?;
        if state.failures < OPENS_AFTER {
            return None;
        }
        match state.closed_until {
            Some(until) if until > now => Some(until),
            _ => {
                state.closed_until = Some(now + REST);
                None
            }
        }
    }

    pub(crate) fn record(&self, destination: &str, reached: bool, now: Timestamp) {
        let mut map = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if reached {
            map.remove(destination);
            return;
        }
        let state = map.entry(destination.to_owned()).or_default();
        state.failures += 1;
        if state.failures >= OPENS_AFTER {
            state.closed_until = Some(now + REST);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_opens_after_five_failures_lets_one_try_and_closes_on_success() {
        let breakers = Breakers::default();
        let start: Timestamp = "2026-11-23T08:00:00Z".parse().unwrap();
        for _ in 0..OPENS_AFTER {
            assert_eq!(breakers.resting("odoo", start), None);
            breakers.record("odoo", false, start);
        }
        assert_eq!(breakers.resting("odoo", start), Some(start + REST));
        let later = start + REST;
        assert_eq!(breakers.resting("odoo", later), None, "one is let through");
        assert!(breakers.resting("odoo", later).is_some(), "and only one");
        breakers.record("odoo", true, later);
        assert_eq!(breakers.resting("odoo", later), None);
    }
}
