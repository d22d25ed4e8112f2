//! A transaction and the promises that are written in it.

use contracts::{Envelope, EventPayload, Money, Trace};
use jiff::Timestamp;
use serde::Serialize;
use serde_json::Value;
use sqlx::{Any, AnyConnection, Transaction};
use tokio::sync::OwnedSemaphorePermit;
use uuid::Uuid;

use super::{Dialect, Store, StoreError, micros};

/// How often an effect may find its coalescing key taken and a moment later free; each time a claim came between.
const COALESCE_TRIES: usize = 3;

/// An open transaction. Dropped without [`Tx::commit`], it leaves nothing behind.
pub struct Tx {
    // Declared before the permit, so that the roll-back is under way before the next writer is let in.
    transaction: Transaction<'static, Any>,
    _writer: Option<OwnedSemaphorePermit>,
    store: Store,
    now: Timestamp,
    trace: Trace,
    rings_outbox: bool,
}

/// An effect to be carried out after the commit by the executor of that name.
#[derive(Clone, Debug)]
pub struct NewEffect {
    pub(crate) executor: &'static str,
    pub(crate) order_key: String,
    about: Option<String>,
    payload: String,
    not_before: Option<Timestamp>,
    coalesce_key: Option<String>,
    at_stake: Option<Money>,
}

impl NewEffect {
    /// `order_key`: effects of one executor and key are carried out one after another, in this order.
    ///
    /// # Errors
    /// When the payload has no JSON form.
    pub fn new(
        executor: &'static str,
        order_key: impl Into<String>,
        payload: &impl Serialize,
    ) -> Result<Self, StoreError> {
        Ok(Self {
            executor,
            order_key: order_key.into(),
            about: None,
            payload: serde_json::to_string(payload)?,
            not_before: None,
            coalesce_key: None,
            at_stake: None,
        })
    }

    /// What it is about, for people who look at dead letters. Default: the order key.
    #[must_use]
    pub fn about(mut self, about: impl Into<String>) -> Self {
        self.about = Some(about.into());
        self
    }

    /// First attempt not before this instant.
    #[must_use]
    pub fn not_before(mut self, instant: Timestamp) -> Self {
        self.not_before = Some(instant);
        self
    }

    /// While an effect of this executor with this key has not been attempted, another one is not added: it would do
    /// the same.
    #[must_use]
    pub fn coalesce(mut self, key: impl Into<String>) -> Self {
        self.coalesce_key = Some(key.into());
        self
    }

    /// Money that waits for it, shown beside a dead letter.
    #[must_use]
    pub fn at_stake(mut self, money: Money) -> Self {
        self.at_stake = Some(money);
        self
    }
}

impl Tx {
    pub(super) fn new(
        store: Store,
        transaction: Transaction<'static, Any>,
        writer: Option<OwnedSemaphorePermit>,
        trace: Trace,
    ) -> Self {
        let now = store.clock().now();
        Self { transaction, _writer: writer, store, now, trace, rings_outbox: false }
    }

    /// The connection, for `sqlx::query(..).execute(tx.conn())`.
    pub fn conn(&mut self) -> &mut AnyConnection {
        &mut self.transaction
    }

    #[must_use]
    pub fn dialect(&self) -> Dialect {
        self.store.dialect()
    }

    /// Prefix of the service whose transaction it is.
    #[must_use]
    pub fn service(&self) -> &'static str {
        self.store.service()
    }

    /// One instant for everything in this transaction.
    #[must_use]
    pub fn now(&self) -> Timestamp {
        self.now
    }

    #[must_use]
    pub fn new_id(&self) -> Uuid {
        self.store.ids().next()
    }

    /// The thread of business that this transaction belongs to.
    #[must_use]
    pub fn trace(&self) -> &Trace {
        &self.trace
    }

    /// Puts the transaction into a thread of business: what it writes from here on carries this correlation id.
    pub fn correlate(&mut self, correlation_id: impl Into<String>) {
        self.trace.correlation_id = Some(correlation_id.into());
    }

    /// Writes an event to the outbox and returns its id. Events of one subject leave in the order in which they are
    /// written here, so lock what the event is about first: whoever writes first must also commit first.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn emit<E: EventPayload>(&mut self, payload: &E) -> Result<String, StoreError> {
        self.emit_as(self.new_id(), payload).await
    }

    /// As [`Tx::emit`] with an id of the caller's: an event of the same id is the same event and is not added again.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn emit_as<E: EventPayload>(&mut self, id: Uuid, payload: &E) -> Result<String, StoreError> {
        let source = format!("/{}", self.store.service());
        let event = Envelope::wrap(id, &source, self.now, payload, self.trace.clone())?;
        let correlation = self.trace.correlation_id.clone().unwrap_or_else(|| event.id.clone());
        sqlx::query(
            "INSERT INTO outbox (id, kind, destination, order_key, about, payload, traceparent, correlation_id, \
             causation_id, next_attempt_at, created_at) VALUES ($1, 'event', 'bus', $2, $3, $4, $5, $6, $7, $8, $8) \
             ON CONFLICT DO NOTHING",
        )
        .bind(event.id.clone())
        .bind(event.subject)
        .bind(event.kind)
        .bind(event.data.get())
        .bind(self.trace.traceparent.clone())
        .bind(correlation)
        .bind(self.trace.causation_id.clone())
        .bind(micros(self.now))
        .execute(self.conn())
        .await?;
        self.rings_outbox = true;
        Ok(event.id)
    }

    /// Writes an effect to the outbox and returns its id, under which `/operations/{id}` shows it. With a coalescing
    /// key, it may be the id of the effect that was there already; that one is then not carried out before this
    /// transaction has ended, or it would miss what is written here.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn effect(&mut self, effect: NewEffect) -> Result<String, StoreError> {
        let id = self.new_id().to_string();
        self.rings_outbox = true;
        for _ in 0..COALESCE_TRIES {
            if self.insert_effect(&id, &effect).await? {
                return Ok(id);
            }
            // Shared: two who coalesce need not wait for each other, only the relay's claim must pass over the row.
            let select = self.dialect().pick(
                "SELECT id FROM outbox WHERE destination = $1 AND coalesce_key = $2 AND state = 'pending' AND attempts = 0",
                "SELECT id FROM outbox WHERE destination = $1 AND coalesce_key = $2 AND state = 'pending' AND attempts = 0 \
                 FOR SHARE",
            );
            let existing: Option<(String,)> = sqlx::query_as(select)
                .bind(effect.executor)
                .bind(effect.coalesce_key.as_deref())
                .fetch_optional(self.conn())
                .await?;
            if let Some((id,)) = existing {
                return Ok(id);
            }
            // Claimed between the two statements: it does not count as the same any more.
        }
        Err(StoreError::Busy(sqlx::Error::RowNotFound))
    }

    /// `false`: one with its coalescing key waits already.
    async fn insert_effect(&mut self, id: &str, effect: &NewEffect) -> Result<bool, StoreError> {
        let inserted = sqlx::query(
            "INSERT INTO outbox (id, kind, destination, order_key, about, payload, traceparent, correlation_id, \
             causation_id, coalesce_key, at_stake_minor, at_stake_currency, next_attempt_at, created_at) \
             VALUES ($1, 'effect', $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13) ON CONFLICT DO NOTHING",
        )
        .bind(id)
        .bind(effect.executor)
        .bind(effect.order_key.as_str())
        .bind(effect.about.as_deref().unwrap_or(&effect.order_key))
        .bind(effect.payload.as_str())
        .bind(self.trace.traceparent.clone())
        .bind(self.trace.correlation_id.clone())
        .bind(self.trace.causation_id.clone())
        .bind(effect.coalesce_key.as_deref())
        .bind(effect.at_stake.as_ref().map(|money| money.minor))
        .bind(effect.at_stake.as_ref().map(|money| money.currency.as_str().to_owned()))
        .bind(micros(effect.not_before.unwrap_or(self.now)))
        .bind(micros(self.now))
        .execute(self.conn())
        .await?;
        Ok(inserted.rows_affected() == 1)
    }

    /// Writes an audit leaf: who (`key:n8n`, `person:olga`, `policy:...`) did what (`approved`) to what
    /// (`approval:<id>`).
    ///
    /// # Errors
    /// When the store fails.
    pub async fn audit(&mut self, actor: &str, verb: &str, subject: &str, details: Value) -> Result<(), StoreError> {
        let trace_id = self.trace.traceparent.as_deref().and_then(|parent| parent.split('-').nth(1)).map(str::to_owned);
        sqlx::query(
            "INSERT INTO audit (id, at, actor, verb, subject, trace_id, correlation_id, details) \
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8)",
        )
        .bind(self.new_id().to_string())
        .bind(micros(self.now))
        .bind(actor)
        .bind(verb)
        .bind(subject)
        .bind(trace_id)
        .bind(self.trace.correlation_id.clone())
        .bind(details.to_string())
        .execute(self.conn())
        .await?;
        Ok(())
    }

    /// Commits and wakes the relay.
    ///
    /// # Errors
    /// When the store fails; nothing of the transaction remains then.
    pub async fn commit(self) -> Result<(), StoreError> {
        self.transaction.commit().await?;
        if self.rings_outbox {
            self.store.outbox_commits().send_modify(|commits| *commits += 1);
        }
        Ok(())
    }
}
