//! A transaction and the promises that are written in it.

use contracts::{Envelope, EventPayload, Money, Trace};
use jiff::Timestamp;
use serde::Serialize;
use serde_json::Value;
use sqlx::{Any, AnyConnection, AssertSqlSafe, Transaction};
use tokio::sync::OwnedSemaphorePermit;
use uuid::Uuid;

use super::{Dialect, Store, StoreError, micros, rows};

/// Destination of events, as an executor's name is of its effects.
pub(crate) const BUS: &str = "bus";
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
    /// Promises and audit leaves, written with the commit: many of them cost two statements then, not two each.
    outbox: Vec<OutboxRow>,
    leaves: Vec<Leaf>,
    rings_outbox: bool,
    #[cfg(test)]
    step: Option<crate::simulation::OpenTx>,
}

/// A row of the outbox that is not written yet.
struct OutboxRow {
    id: String,
    kind: &'static str,
    destination: String,
    order_key: String,
    about: String,
    payload: String,
    trace: Trace,
    coalesce_key: Option<String>,
    at_stake: Option<Money>,
    next_attempt_at: i64,
    created_at: i64,
}

impl OutboxRow {
    const COLUMNS: &'static str = "outbox (id, kind, destination, order_key, about, payload, traceparent, \
         correlation_id, causation_id, coalesce_key, coalescing, at_stake_minor, at_stake_currency, next_attempt_at, \
         created_at)";

    fn bind<'q>(statement: rows::Statement<'q>, row: &'q Self) -> rows::Statement<'q> {
        statement
            .bind(row.id.as_str())
            .bind(row.kind)
            .bind(row.destination.as_str())
            .bind(row.order_key.as_str())
            .bind(row.about.as_str())
            .bind(row.payload.as_str())
            .bind(row.trace.traceparent.as_deref())
            .bind(row.trace.correlation_id.as_deref())
            .bind(row.trace.causation_id.as_deref())
            .bind(row.coalesce_key.as_deref())
            .bind(i64::from(row.coalesce_key.is_some()))
            .bind(row.at_stake.as_ref().map(|money| money.minor))
            .bind(row.at_stake.as_ref().map(|money| money.currency.as_str()))
            .bind(row.next_attempt_at)
            .bind(row.created_at)
    }
}

/// An audit leaf that is not written yet.
struct Leaf {
    id: String,
    at: i64,
    actor: String,
    verb: String,
    subject: String,
    trace_id: Option<String>,
    correlation_id: Option<String>,
    details: String,
}

impl Leaf {
    const COLUMNS: &'static str = "audit (id, at, actor, verb, subject, trace_id, correlation_id, details)";

    fn bind<'q>(statement: rows::Statement<'q>, leaf: &'q Self) -> rows::Statement<'q> {
        statement
            .bind(leaf.id.as_str())
            .bind(leaf.at)
            .bind(leaf.actor.as_str())
            .bind(leaf.verb.as_str())
            .bind(leaf.subject.as_str())
            .bind(leaf.trace_id.as_deref())
            .bind(leaf.correlation_id.as_deref())
            .bind(leaf.details.as_str())
    }
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
        let (outbox, leaves) = Default::default();
        Self {
            transaction,
            _writer: writer,
            store,
            now,
            trace,
            outbox,
            leaves,
            rings_outbox: false,
            #[cfg(test)]
            step: None,
        }
    }

    #[cfg(test)]
    pub(super) fn in_step(self, step: Option<crate::simulation::OpenTx>) -> Self {
        Self { step, ..self }
    }

    /// The connection, for `sqlx::query(..).execute(tx.conn())`. Promises and audit leaves of this transaction cannot be
    /// seen through it: they are written with the commit.
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

    /// Turns to another thread of business: for what handles many events or effects in one transaction.
    pub fn turn_to(&mut self, trace: Trace) {
        self.trace = trace;
    }

    /// Promises an event and returns its id. Events of one subject leave in the order in which their transactions
    /// commit, and within one in the order in which they are promised here; so lock what the event is about first:
    /// whoever decides first must also commit first.
    ///
    /// # Errors
    /// When the payload has no JSON form.
    pub async fn emit<E: EventPayload>(&mut self, payload: &E) -> Result<String, StoreError> {
        self.emit_as(self.new_id(), payload).await
    }

    /// As [`Tx::emit`] with an id of the caller's: an event of the same id is the same event and is not added again.
    ///
    /// # Errors
    /// When the payload has no JSON form.
    #[expect(clippy::unused_async, reason = "a promise may cost a statement, as an effect's does")]
    pub async fn emit_as<E: EventPayload>(&mut self, id: Uuid, payload: &E) -> Result<String, StoreError> {
        let source = format!("/{}", self.store.service());
        let event = Envelope::wrap(id, &source, self.now, payload, self.trace.clone())?;
        let correlation_id = self.trace.correlation_id.clone().or_else(|| Some(event.id.clone()));
        self.promise(OutboxRow {
            id: event.id.clone(),
            kind: "event",
            destination: BUS.to_owned(),
            order_key: event.subject,
            about: event.kind,
            payload: event.data.get().to_owned(),
            trace: Trace { correlation_id, ..self.trace.clone() },
            coalesce_key: None,
            at_stake: None,
            next_attempt_at: micros(self.now),
            created_at: micros(self.now),
        });
        Ok(event.id)
    }

    /// Promises an effect and returns its id, under which `/operations/{id}` shows it. With a coalescing key, it may be
    /// the id of the effect that was there already; that one is then not carried out before this transaction has ended,
    /// or it would miss what is written here.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn effect(&mut self, effect: NewEffect) -> Result<String, StoreError> {
        let row = OutboxRow {
            id: self.new_id().to_string(),
            kind: "effect",
            destination: effect.executor.to_owned(),
            about: effect.about.unwrap_or_else(|| effect.order_key.clone()),
            order_key: effect.order_key,
            payload: effect.payload,
            trace: self.trace.clone(),
            coalesce_key: effect.coalesce_key,
            at_stake: effect.at_stake,
            next_attempt_at: micros(effect.not_before.unwrap_or(self.now)),
            created_at: micros(self.now),
        };
        if row.coalesce_key.is_some() {
            return self.coalesced(row).await;
        }
        let id = row.id.clone();
        self.promise(row);
        Ok(id)
    }

    fn promise(&mut self, row: OutboxRow) {
        self.rings_outbox = true;
        self.outbox.push(row);
    }

    /// Writes the effect now, or finds the one that does the same.
    async fn coalesced(&mut self, row: OutboxRow) -> Result<String, StoreError> {
        // What was promised before it stays before it.
        self.write_promises().await?;
        self.rings_outbox = true;
        let insert = format!(
            "INSERT INTO {} VALUES {} ON CONFLICT DO NOTHING",
            OutboxRow::COLUMNS,
            rows::placeholders(&[None; 15], 1, 0)
        );
        for _ in 0..COALESCE_TRIES {
            let statement = OutboxRow::bind(sqlx::query(AssertSqlSafe(insert.clone())), &row);
            if statement.execute(self.conn()).await?.rows_affected() == 1 {
                return Ok(row.id);
            }
            // Shared: two who coalesce need not wait for each other, only the relay's claim must pass over the row.
            let select = self.dialect().pick(
                "SELECT id FROM outbox WHERE destination = $1 AND coalesce_key = $2 AND state = 'pending' AND coalescing = 1",
                "SELECT id FROM outbox WHERE destination = $1 AND coalesce_key = $2 AND state = 'pending' AND coalescing = 1 \
                 FOR SHARE",
            );
            let existing: Option<(String,)> = sqlx::query_as(select)
                .bind(row.destination.as_str())
                .bind(row.coalesce_key.as_deref())
                .fetch_optional(self.conn())
                .await?;
            if let Some((id,)) = existing {
                return Ok(id);
            }
            // Claimed between the two statements: it does not count as the same any more.
        }
        Err(StoreError::Busy(sqlx::Error::RowNotFound))
    }

    async fn write_promises(&mut self) -> Result<(), StoreError> {
        let promised = std::mem::take(&mut self.outbox);
        rows::insert(self.conn(), OutboxRow::COLUMNS, &promised, OutboxRow::bind).await
    }

    /// Adds an audit leaf: who (`key:n8n`, `person:olga`, `policy:...`) did what (`approved`) to what
    /// (`approval:<id>`).
    ///
    /// # Errors
    /// None today; a leaf is written with the commit.
    #[expect(clippy::unused_async, reason = "a leaf belongs to the store, whenever it is written")]
    pub async fn audit(&mut self, actor: &str, verb: &str, subject: &str, details: Value) -> Result<(), StoreError> {
        let trace_id = self.trace.traceparent.as_deref().and_then(|parent| parent.split('-').nth(1)).map(str::to_owned);
        let leaf = Leaf {
            id: self.new_id().to_string(),
            at: micros(self.now),
            actor: actor.to_owned(),
            verb: verb.to_owned(),
            subject: subject.to_owned(),
            trace_id,
            correlation_id: self.trace.correlation_id.clone(),
            details: details.to_string(),
        };
        self.leaves.push(leaf);
        Ok(())
    }

    /// Writes what was promised, commits, and wakes the relay.
    ///
    /// # Errors
    /// When the store fails; nothing of the transaction remains then.
    pub async fn commit(mut self) -> Result<(), StoreError> {
        self.write_promises().await?;
        let leaves = std::mem::take(&mut self.leaves);
        rows::insert(self.conn(), Leaf::COLUMNS, &leaves, Leaf::bind).await?;
        #[cfg(test)]
        self.step.as_ref().map_or(Ok(()), crate::simulation::OpenTx::before_commit)?;
        self.transaction.commit().await?;
        #[cfg(test)]
        self.step.as_ref().map_or(Ok(()), crate::simulation::OpenTx::after_commit)?;
        if self.rings_outbox {
            self.store.outbox_commits().send_modify(|commits| *commits += 1);
        }
        Ok(())
    }
}
