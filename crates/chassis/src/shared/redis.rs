//! Redis. Each verb is one command or one script, so it is atomic; an error falls back to this process' own memory.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use ::redis::{
    AsyncCommands, Client, RedisResult, Script,
    aio::{ConnectionManager, ConnectionManagerConfig, PubSub},
};
use async_trait::async_trait;
use futures_util::StreamExt;
use secrecy::{ExposeSecret, SecretString};
use tokio::{sync::broadcast, task::AbortHandle};

use super::{Allowance, Message, SharedState, in_process::InProcess};
use crate::{clock::Clock, config::ConfigError};

/// Everything of ours in Redis begins with this.
const PREFIX: &str = "steward:";
const FANOUT: &str = "steward:fanout:";
/// Shared state must never hold a request up: below the 500 ms that redis 1.8 would wait.
const ANSWER_TIMEOUT: Duration = Duration::from_millis(250);
const RECONNECT: Duration = Duration::from_secs(1);

/// Increments and starts the window with the first request, in one step: a counter without expiry would block for ever.
const COUNT: &str = "local n = redis.call('INCR', KEYS[1])
if n == 1 then redis.call('PEXPIRE', KEYS[1], ARGV[1]) end
return {n, redis.call('PTTL', KEYS[1])}";

pub(super) struct RedisShared {
    /// The only client of the crate that reconnects; the command that met the break still fails.
    connection: ConnectionManager,
    count: Script,
    local: Arc<InProcess>,
    listener: AbortHandle,
    answers: Answers,
}

/// Whether Redis failed when it was last asked: its going and its return are told once each, not at every request.
#[derive(Default)]
struct Answers(AtomicBool);

impl Answers {
    fn note<T>(&self, what: &str, outcome: RedisResult<T>) -> Option<T> {
        match outcome {
            Ok(value) => {
                if self.0.swap(false, Ordering::Relaxed) {
                    tracing::info!(what, "Redis answers again");
                }
                Some(value)
            }
            Err(error) => {
                if !self.0.swap(true, Ordering::Relaxed) {
                    tracing::warn!(%error, what, "Redis does not answer, this replica goes on by itself");
                }
                None
            }
        }
    }
}

impl RedisShared {
    /// Must be called inside a tokio runtime. Connects when first used.
    pub(super) fn connect(url: &SecretString, clock: &Clock) -> Result<Self, ConfigError> {
        // The error's text may quote the URL and with it the password.
        let bad = |_| ConfigError::one("shared.redis_url: not a Redis URL (redis://[:password@]host:port/db)");
        let client = Client::open(url.expose_secret()).map_err(bad)?;
        let config = ConnectionManagerConfig::new()
            .set_connection_timeout(Some(ANSWER_TIMEOUT))
            .set_response_timeout(Some(ANSWER_TIMEOUT))
            .set_number_of_retries(1)
            .set_max_delay(RECONNECT);
        let connection = ConnectionManager::new_lazy_with_config(client.clone(), config).map_err(bad)?;
        let local = Arc::new(InProcess::new(clock.clone()));
        let listener = tokio::spawn(listen(client, Arc::clone(&local), clock.clone())).abort_handle();
        Ok(Self { connection, count: Script::new(COUNT), local, listener, answers: Answers::default() })
    }
}

impl Drop for RedisShared {
    fn drop(&mut self) {
        self.listener.abort();
    }
}

/// Hands fan-out messages to this process' subscribers; reconnects for ever.
async fn listen(client: Client, local: Arc<InProcess>, clock: Clock) {
    let answers = Answers::default();
    loop {
        if let Some(subscription) = answers.note("live updates", subscribe(&client).await) {
            let mut messages = subscription.into_on_message();
            while let Some(message) = messages.next().await {
                let topic = message.get_channel_name().trim_start_matches(FANOUT).to_owned();
                local.deliver(Message { topic, body: message.get_payload_bytes().to_vec() });
            }
        }
        clock.sleep(RECONNECT).await;
    }
}

async fn subscribe(client: &Client) -> RedisResult<PubSub> {
    let mut subscription = client.get_async_pubsub().await?;
    subscription.psubscribe(format!("{FANOUT}*")).await?;
    Ok(subscription)
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX).max(1)
}

#[async_trait]
impl SharedState for RedisShared {
    async fn count(&self, key: &str, limit: u32, window: Duration) -> Allowance {
        let mut connection = self.connection.clone();
        let mut call = self.count.key(format!("{PREFIX}rate:{key}"));
        let counted: RedisResult<(u32, i64)> = call.arg(millis(window)).invoke_async(&mut connection).await;
        match self.answers.note("rate limits", counted) {
            Some((count, left)) => Allowance {
                allowed: count <= limit,
                remaining: limit.saturating_sub(count),
                reset_after: Duration::from_millis(u64::try_from(left).unwrap_or(0)),
            },
            None => self.local.count(key, limit, window).await,
        }
    }

    async fn claim(&self, key: &str, ttl: Duration) -> bool {
        let claimed: RedisResult<Option<String>> = ::redis::cmd("SET")
            .arg(format!("{PREFIX}claim:{key}"))
            .arg(1)
            .arg("NX")
            .arg("PX")
            .arg(millis(ttl))
            .query_async(&mut self.connection.clone())
            .await;
        match self.answers.note("throttle windows", claimed) {
            Some(answer) => answer.is_some(),
            None => self.local.claim(key, ttl).await,
        }
    }

    async fn put(&self, key: &str, value: &[u8], ttl: Duration) {
        let key_in_redis = format!("{PREFIX}cache:{key}");
        let stored: RedisResult<()> = self.connection.clone().pset_ex(key_in_redis, value, millis(ttl)).await;
        if self.answers.note("the cache", stored).is_none() {
            self.local.put(key, value, ttl).await;
        }
    }

    async fn get(&self, key: &str) -> Option<Vec<u8>> {
        let found: RedisResult<Option<Vec<u8>>> = self.connection.clone().get(format!("{PREFIX}cache:{key}")).await;
        match self.answers.note("the cache", found) {
            Some(value) => value,
            None => self.local.get(key).await,
        }
    }

    async fn publish(&self, topic: &str, message: &[u8]) {
        // Our own subscribers hear it from Redis too, so it is delivered here only when Redis cannot.
        let told: RedisResult<()> = self.connection.clone().publish(format!("{FANOUT}{topic}"), message).await;
        if self.answers.note("live updates", told).is_none() {
            self.local.publish(topic, message).await;
        }
    }

    fn messages(&self) -> broadcast::Receiver<Message> {
        self.local.messages()
    }
}
