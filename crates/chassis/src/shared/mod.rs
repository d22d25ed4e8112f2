//! State that replicas share but that nothing right depends on: rate limits, throttle windows, a small cache, live
//! updates. Redis in production, in process on the laptop. With Redis gone each replica goes on by itself.

mod in_process;
mod redis;

use std::{ops::Deref, sync::Arc, time::Duration};

use async_trait::async_trait;
use tokio::sync::broadcast;

use self::{in_process::InProcess, redis::RedisShared};
use crate::{
    clock::Clock,
    config::{ConfigError, SharedSettings},
};

/// Fan-out messages a slow subscriber may lag behind before it loses the oldest.
const BACKLOG: usize = 256;

/// A counted request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Allowance {
    pub allowed: bool,
    /// Requests left in this window.
    pub remaining: u32,
    /// Until the window ends.
    pub reset_after: Duration,
}

/// The port. Every verb degrades rather than fails: there is no error to handle.
#[async_trait]
pub trait SharedState: Send + Sync {
    /// Counts one request against `limit` per fixed window. A fixed window lets at most twice the limit through around
    /// its edge, which is fine for protection and needs one counter per key.
    async fn count(&self, key: &str, limit: u32, window: Duration) -> Allowance;

    /// True for the first who claims the key within `ttl`: throttle windows, single-use tokens.
    async fn claim(&self, key: &str, ttl: Duration) -> bool;

    /// Caches bytes for `ttl`.
    async fn put(&self, key: &str, value: &[u8], ttl: Duration);

    /// What was cached, if it is still there.
    async fn get(&self, key: &str) -> Option<Vec<u8>>;

    /// Tells all subscribers of the topic, on all replicas. At most once.
    async fn publish(&self, topic: &str, message: &[u8]);

    /// Messages of all topics from now on; [`Subscription`] picks one.
    fn messages(&self) -> broadcast::Receiver<Message>;
}

/// One fan-out message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message {
    pub topic: String,
    pub body: Vec<u8>,
}

/// Messages of one topic.
#[derive(Debug)]
pub struct Subscription {
    topic: String,
    messages: broadcast::Receiver<Message>,
}

impl Subscription {
    /// The next message; a subscriber that is too slow loses the oldest. `None` when the process ends.
    pub async fn next(&mut self) -> Option<Vec<u8>> {
        loop {
            match self.messages.recv().await {
                Ok(message) if message.topic == self.topic => return Some(message.body),
                Ok(_) | Err(broadcast::error::RecvError::Lagged(_)) => {}
                Err(broadcast::error::RecvError::Closed) => return None,
            }
        }
    }
}

/// The configured adapter. Cheap to clone.
#[derive(Clone)]
pub struct Shared(Arc<dyn SharedState>);

impl Shared {
    /// Redis when a URL is configured, else in process. Does not wait for Redis: it may come later.
    ///
    /// # Errors
    /// When the URL cannot be read.
    pub fn connect(settings: &SharedSettings, clock: &Clock) -> Result<Self, ConfigError> {
        Ok(match settings.redis_url()? {
            Some(url) => Self(Arc::new(RedisShared::connect(&url, clock)?)),
            None => Self::in_process(clock),
        })
    }

    #[must_use]
    pub fn in_process(clock: &Clock) -> Self {
        Self(Arc::new(InProcess::new(clock.clone())))
    }

    #[must_use]
    pub fn subscribe(&self, topic: &str) -> Subscription {
        Subscription { topic: topic.to_owned(), messages: self.0.messages() }
    }
}

impl Deref for Shared {
    type Target = dyn SharedState;

    fn deref(&self) -> &Self::Target {
        self.0.as_ref()
    }
}

impl std::fmt::Debug for Shared {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Shared")
    }
}

#[cfg(test)]
mod conformance;
