//! Redis. Each verb is one command or one script, so it is atomic; an error falls back to this process' own memory.

use std::{sync::Arc, time::Duration};

use ::redis::{
    AsyncCommands, Client, Script,
    aio::{ConnectionManager, ConnectionManagerConfig},
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
        Ok(Self { connection, count: Script::new(COUNT), local, listener })
    }
}

impl Drop for RedisShared {
    fn drop(&mut self) {
        self.listener.abort();
    }
}

/// Hands fan-out messages to this process' subscribers; reconnects for ever.
async fn listen(client: Client, local: Arc<InProcess>, clock: Clock) {
    loop {
        if let Err(error) = relay_messages(&client, &local).await {
            tracing::warn!(%error, "no live updates from Redis, trying again");
        }
        clock.sleep(RECONNECT).await;
    }
}

async fn relay_messages(client: &Client, local: &InProcess) -> ::redis::RedisResult<()> {
    let mut subscription = client.get_async_pubsub().await?;
    subscription.psubscribe(format!("{FANOUT}*")).await?;
    let mut messages = subscription.into_on_message();
    while let Some(message) = messages.next().await {
        let topic = message.get_channel_name().trim_start_matches(FANOUT).to_owned();
        local.deliver(Message { topic, body: message.get_payload_bytes().to_vec() });
    }
    Ok(())
}

fn degraded(error: &::redis::RedisError) {
    tracing::warn!(%error, "Redis does not answer, this replica goes on by itself");
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX).max(1)
}

#[async_trait]
impl SharedState for RedisShared {
    async fn count(&self, key: &str, limit: u32, window: Duration) -> Allowance {
        let mut connection = self.connection.clone();
        let mut call = self.count.key(format!("{PREFIX}rate:{key}"));
        let counted: ::redis::RedisResult<(u32, i64)> = call.arg(millis(window)).invoke_async(&mut connection).await;
        match counted {
            Ok((count, left)) => Allowance {
                allowed: count <= limit,
                remaining: limit.saturating_sub(count),
                reset_after: Duration::from_millis(u64::try_from(left).unwrap_or(0)),
            },
            Err(error) => {
                degraded(&error);
                self.local.count(key, limit, window).await
            }
        }
    }

    async fn claim(&self, key: &str, ttl: Duration) -> bool {
        let claimed: ::redis::RedisResult<Option<String>> = ::redis::cmd("SET")
            .arg(format!("{PREFIX}claim:{key}"))
            .arg(1)
            .arg("NX")
            .arg("PX")
            .arg(millis(ttl))
            .query_async(&mut self.connection.clone())
            .await;
        match claimed {
            Ok(answer) => answer.is_some(),
            Err(error) => {
                degraded(&error);
                self.local.claim(key, ttl).await
            }
        }
    }

    async fn put(&self, key: &str, value: &[u8], ttl: Duration) {
        let key_in_redis = format!("{PREFIX}cache:{key}");
        let stored: ::redis::RedisResult<()> = self.connection.clone().pset_ex(key_in_redis, value, millis(ttl)).await;
        if let Err(error) = stored {
            degraded(&error);
            self.local.put(key, value, ttl).await;
        }
    }

    async fn get(&self, key: &str) -> Option<Vec<u8>> {
        let found: ::redis::RedisResult<Option<Vec<u8>>> =
            self.connection.clone().get(format!("{PREFIX}cache:{key}")).await;
        match found {
            Ok(value) => value,
            Err(error) => {
                degraded(&error);
                self.local.get(key).await
            }
        }
    }

    async fn publish(&self, topic: &str, message: &[u8]) {
        // Our own subscribers hear it from Redis too, so it is delivered here only when Redis cannot.
        let told: ::redis::RedisResult<()> = self.connection.clone().publish(format!("{FANOUT}{topic}"), message).await;
        if let Err(error) = told {
            degraded(&error);
            self.local.publish(topic, message).await;
        }
    }

    fn messages(&self) -> broadcast::Receiver<Message> {
        self.local.messages()
    }
}
