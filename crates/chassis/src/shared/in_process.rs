//! One process' memory. Also what a replica falls back to while Redis is gone.

use std::{
    collections::HashMap,
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use async_trait::async_trait;
use jiff::Timestamp;
use tokio::sync::broadcast;

use super::{Allowance, BACKLOG, Message, SharedState};
use crate::clock::Clock;

/// Entries above which the expired ones are swept out. Keys come from authenticated callers and the addresses of
/// others, so the map is bounded by what arrives within one window.
const SWEEP_ABOVE: usize = 10_000;

pub(super) struct InProcess {
    clock: Clock,
    entries: Mutex<HashMap<String, Entry>>,
    messages: broadcast::Sender<Message>,
}

struct Entry {
    until: Timestamp,
    count: u32,
    value: Vec<u8>,
}

impl InProcess {
    pub(super) fn new(clock: Clock) -> Self {
        Self { clock, entries: Mutex::default(), messages: broadcast::channel(BACKLOG).0 }
    }

    pub(super) fn deliver(&self, message: Message) {
        // Nobody listening is not an error.
        let _receivers = self.messages.send(message);
    }

    fn live(&self, now: Timestamp) -> MutexGuard<'_, HashMap<String, Entry>> {
        let mut entries = self.entries.lock().unwrap_or_else(PoisonError::into_inner);
        if entries.len() > SWEEP_ABOVE {
            entries.retain(|_, entry| entry.until > now);
        }
        entries
    }
}

#[async_trait]
impl SharedState for InProcess {
    async fn count(&self, key: &str, limit: u32, window: Duration) -> Allowance {
        let now = self.clock.now();
        let mut entries = self.live(now);
        let entry = entries
            .entry(format!("rate:{key}"))
            .and_modify(|entry| {
                if entry.until <= now {
                    *entry = Entry { until: now + window, count: 0, value: Vec::new() };
                }
            })
            .or_insert_with(|| Entry { until: now + window, count: 0, value: Vec::new() });
        entry.count = entry.count.saturating_add(1);
        Allowance {
            allowed: entry.count <= limit,
            remaining: limit.saturating_sub(entry.count),
            reset_after: entry.until.duration_since(now).unsigned_abs(),
        }
    }

    async fn claim(&self, key: &str, ttl: Duration) -> bool {
        let now = self.clock.now();
        let mut entries = self.live(now);
        let key = format!("claim:{key}");
        let free = entries.get(&key).is_none_or(|entry| entry.until <= now);
        if free {
            entries.insert(key, Entry { until: now + ttl, count: 0, value: Vec::new() });
        }
        free
    }

    async fn put(&self, key: &str, value: &[u8], ttl: Duration) {
        let now = self.clock.now();
        let entry = Entry { until: now + ttl, count: 0, value: value.to_vec() };
        self.live(now).insert(format!("cache:{key}"), entry);
    }

    async fn get(&self, key: &str) -> Option<Vec<u8>> {
        let now = self.clock.now();
        let entries = self.live(now);
        entries.get(&format!("cache:{key}")).filter(|entry| entry.until > now).map(|entry| entry.value.clone())
    }

    async fn publish(&self, topic: &str, message: &[u8]) {
        self.deliver(Message { topic: topic.to_owned(), body: message.to_vec() });
    }

    fn messages(&self) -> broadcast::Receiver<Message> {
        self.messages.subscribe()
    }
}
