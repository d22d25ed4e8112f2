//! Events that arrive: taken once, in one transaction with what they cause.

use std::{collections::HashSet, sync::Arc, time::Duration};

use base64::{Engine, engine::general_purpose::STANDARD};
use contracts::{
    Digest, Envelope, Trace,
    envelope::routing_key,
    events::{DeadLettered, EventPayload},
};
use futures_util::future::BoxFuture;
use jiff::Timestamp;
use sqlx::{AssertSqlSafe, Row as _};
use tokio_util::sync::CancellationToken;
use tracing::Instrument;

use crate::{
    cx::Cx,
    relay::RetrySchedule,
    store::{Dialect, StoreError, Tx, micros, rows},
};

/// Events handled in one transaction: enough to share the cost of a commit, few enough to do again one by one.
pub(crate) const TOGETHER: usize = 128;

/// Why a handler could not do its work.
#[derive(Debug, thiserror::Error)]
pub enum HandleError {
    /// May work later: it is kept in the inbox and tried again from there.
    #[error("{0}")]
    Heal(String),
    /// Will never work: a dead letter now.
    #[error("{0}")]
    Poison(String),
    #[error("the store failed")]
    Store(#[from] StoreError),
}

impl From<sqlx::Error> for HandleError {
    fn from(error: sqlx::Error) -> Self {
        Self::Store(error.into())
    }
}

/// An event with its payload read.
#[derive(Clone, Debug)]
pub struct Received<E> {
    pub envelope: Envelope,
    pub payload: E,
}

pub(crate) type Handler =
    Arc<dyn for<'a> Fn(&'a Cx, &'a mut Tx, &'a Envelope) -> BoxFuture<'a, Result<(), HandleError>> + Send + Sync>;

/// Interest of a service in one event type, or in all.
#[derive(Clone)]
pub(crate) struct Subscription {
    /// `None` = every type.
    pub kind: Option<&'static str>,
    pub handler: Handler,
}

/// The receiving end of one service.
#[derive(Clone)]
pub(crate) struct Intake {
    cx: Cx,
    subscriptions: Arc<[Subscription]>,
    schedule: Arc<RetrySchedule>,
}

/// How a message stands in the inbox.
struct Standing<'a> {
    state: &'static str,
    message: &'a str,
    failure: Option<&'a str>,
    next_attempt: Timestamp,
}

// Of one subject only the oldest kept event may be claimed. Written as the outbox's claim is, and for its reasons.
macro_rules! claim_sql {
    ($lock:literal) => {
        concat!(
            "WITH due AS MATERIALIZED (SELECT i.seq FROM inbox i WHERE i.state = 'pending' AND i.finished_at IS NULL AND i.next_attempt_at <= $3 ",
            "AND (i.claimed_until IS NULL OR i.claimed_until <= $3) AND (SELECT 1 FROM inbox p ",
            "WHERE p.subject = i.subject AND p.state = 'pending' AND p.seq < i.seq LIMIT 1) IS NULL ",
            "ORDER BY i.seq + 0 LIMIT 1",
            $lock,
            ") UPDATE inbox SET claim = $1, claimed_until = $2, attempts = attempts + 1 ",
            "WHERE seq = (SELECT seq FROM due) RETURNING seq, message, attempts"
        )
    };
}

impl Intake {
    pub(crate) fn new(cx: Cx, subscriptions: Arc<[Subscription]>, schedule: Arc<RetrySchedule>) -> Self {
        Self { cx, subscriptions, schedule }
    }

    pub(crate) fn service(&self) -> &'static str {
        self.cx.service()
    }

    pub(crate) fn wants(&self, kind: &str) -> bool {
        self.subscriptions.iter().any(|subscription| subscription.kind.is_none_or(|wanted| wanted == kind))
    }

    /// Routing keys to bind.
    pub(crate) fn bindings(&self) -> Vec<&'static str> {
        self.subscriptions.iter().map(|subscription| subscription.kind.map_or("#", routing_key)).collect()
    }

    /// Takes events in their order, each as [`Intake::take`] does; in one transaction where nothing stands against it.
    ///
    /// # Errors
    /// As [`Intake::take`]; some of them may be taken then, and a repeat of all does no harm.
    pub(crate) async fn take_all(&self, events: &[Envelope]) -> Result<(), StoreError> {
        for batch in events.chunks(TOGETHER) {
            if !self.take_together(batch).await {
                for event in batch {
                    self.take(event).await?;
                }
            }
        }
        Ok(())
    }

    /// Takes at most [`TOGETHER`] events in one transaction. `false`: that cannot be done, for whatever reason; nothing
    /// is taken then, and one by one will tell which of them it is.
    pub(crate) async fn take_together(&self, events: &[Envelope]) -> bool {
        if events.len() < 2 {
            return false;
        }
        let outcomes = match self.try_together(events).await {
            Ok(Some(outcomes)) => outcomes,
            Ok(None) => return false,
            Err(failure) => {
                tracing::debug!(cause = %crate::chain(&failure), "a batch of events is taken one by one");
                return false;
            }
        };
        for (event, outcome) in events.iter().zip(outcomes) {
            self.cx.metrics().event_consumed(&event.kind, outcome);
        }
        true
    }

    async fn try_together(&self, events: &[Envelope]) -> Result<Option<Vec<&'static str>>, HandleError> {
        let mut tx = self.cx.store().begin().await?;
        let mut fresh = insert_all(&mut tx, events).await?;
        if any_waits(&mut tx, events).await? {
            return Ok(None);
        }
        let mut outcomes = Vec::with_capacity(events.len());
        for event in events {
            // Taken out, because the same event may stand in a batch twice.
            if !fresh.remove(&event.id) {
                outcomes.push("duplicate");
                continue;
            }
            let span = span_of(event);
            tx.turn_to(span.in_scope(|| thread_of(event)));
            self.handle(&mut tx, event).instrument(span).await?;
            outcomes.push("done");
        }
        tx.commit().await?;
        Ok(Some(outcomes))
    }

    /// Takes an event: handled, or kept for later, or a dead letter; in every case committed when this returns.
    ///
    /// # Errors
    /// Only when the store cannot commit; the event is not taken then.
    pub(crate) async fn take(&self, event: &Envelope) -> Result<(), StoreError> {
        let span = span_of(event);
        async {
            match self.try_handle(event).await {
                Ok(outcome) => {
                    self.cx.metrics().event_consumed(&event.kind, outcome);
                    Ok(())
                }
                Err(HandleError::Store(error)) if error.is_unavailable() => Err(error),
                Err(failure) => self.keep(event, &failure).await,
            }
        }
        .instrument(span)
        .await
    }

    async fn try_handle(&self, event: &Envelope) -> Result<&'static str, HandleError> {
        let mut tx = self.cx.store().begin_in(thread_of(event)).await?;
        let message = serde_json::to_string(event).map_err(StoreError::from)?;
        let now = tx.now();
        let done = Standing { state: "done", message: "", failure: None, next_attempt: now };
        if !insert(&mut tx, event, &done).await? {
            return Ok("duplicate");
        }
        let earlier = sqlx::query("SELECT 1 FROM inbox WHERE subject = $1 AND state = 'pending'")
            .bind(event.subject.as_str())
            .fetch_optional(tx.conn())
            .await?;
        if earlier.is_some() {
            // An earlier event of this subject waits for another attempt; this one queues up behind it.
            let update = "UPDATE inbox SET state = 'pending', attempts = 0, message = $1, finished_at = NULL \
                          WHERE event_id = $2";
            sqlx::query(update).bind(message).bind(event.id.as_str()).execute(tx.conn()).await?;
            tx.commit().await?;
            return Ok("queued");
        }
        self.handle(&mut tx, event).await?;
        tx.commit().await?;
        Ok("done")
    }

    async fn handle(&self, tx: &mut Tx, event: &Envelope) -> Result<(), HandleError> {
        for subscription in self.subscriptions.iter() {
            if subscription.kind.is_none_or(|kind| kind == event.kind) {
                // A panic must not end whoever delivers: in process that is the relay of another service.
                crate::caught((subscription.handler)(&self.cx, tx, event)).await.map_err(HandleError::Heal)??;
            }
        }
        Ok(())
    }

    /// Keeps an event whose handler failed: for later, or as a dead letter.
    async fn keep(&self, event: &Envelope, failure: &HandleError) -> Result<(), StoreError> {
        let cause = crate::chain(failure);
        let store = self.cx.store();
        let mut tx = store.begin_in(thread_of(event)).await?;
        let message = serde_json::to_string(event)?;
        let later = match failure {
            HandleError::Poison(_) => None,
            HandleError::Heal(_) | HandleError::Store(_) => self.schedule.after(1, None, store.ids().jitter()),
        };
        let state = if later.is_some() { "pending" } else { "dead" };
        let next_attempt = tx.now() + later.unwrap_or_default();
        let standing = Standing { state, message: &message, failure: Some(&cause), next_attempt };
        if insert(&mut tx, event, &standing).await? && later.is_none() {
            announce(&mut tx, event, &cause, 1).await?;
        }
        tx.commit().await?;
        tracing::warn!(kind = %event.kind, id = %event.id, cause, state, "an event could not be handled");
        self.cx.metrics().event_consumed(&event.kind, state);
        Ok(())
    }

    /// Takes an event that the broker gave up.
    pub(crate) async fn take_dead(&self, event: &Envelope, cause: &str) -> Result<(), StoreError> {
        let mut tx = self.cx.store().begin_in(thread_of(event)).await?;
        let message = serde_json::to_string(event)?;
        let next_attempt = tx.now();
        let dead = Standing { state: "dead", message: &message, failure: Some(cause), next_attempt };
        if insert(&mut tx, event, &dead).await? {
            announce(&mut tx, event, cause, 1).await?;
        }
        tx.commit().await
    }

    /// Takes bytes that are no event: a dead letter with the raw bytes, known by their digest.
    pub(crate) async fn take_undecodable(&self, raw: &[u8], cause: &str) -> Result<(), StoreError> {
        let store = self.cx.store();
        let mut tx = store.begin().await?;
        let event = Envelope {
            id: Digest::of_bytes(raw).to_string(),
            source: "unknown".into(),
            kind: "undecodable".into(),
            time: tx.now(),
            subject: "undecodable".into(),
            trace: Trace::default(),
            data: serde_json::value::to_raw_value(&())?,
        };
        let message = STANDARD.encode(raw);
        let next_attempt = tx.now();
        let dead = Standing { state: "dead", message: &message, failure: Some(cause), next_attempt };
        if insert(&mut tx, &event, &dead).await? {
            announce(&mut tx, &event, cause, 1).await?;
        }
        tx.commit().await
    }

    /// Tries kept events again, the oldest of each subject first, until stopped.
    pub(crate) async fn run_retries(self, stop: CancellationToken) {
        while !stop.is_cancelled() {
            match self.retry_one().await {
                Ok(true) => continue,
                Ok(false) => {}
                Err(error) => tracing::warn!(error = %crate::chain(&error), "the inbox cannot be read"),
            }
            tokio::select! {
                () = self.cx.clock().sleep(Duration::from_secs(1)) => {}
                () = stop.cancelled() => {}
            }
        }
    }

    /// One kept event that is due, if there is one.
    async fn retry_one(&self) -> Result<bool, StoreError> {
        let Some(kept) = self.claim_kept().await? else { return Ok(false) };
        let event: Envelope = serde_json::from_str(&kept.message)?;
        let span = span_of(&event);
        self.retry(&kept, &event).instrument(span).await?;
        Ok(true)
    }

    async fn retry(&self, kept: &Kept, event: &Envelope) -> Result<(), StoreError> {
        let store = self.cx.store();
        let mut tx = store.begin_in(thread_of(event)).await?;
        let outcome = async {
            self.handle(&mut tx, event).await?;
            finish(&mut tx, kept, "done", None).await?;
            Ok::<_, HandleError>(())
        };
        let failure = match outcome.await {
            Ok(()) => {
                tx.commit().await?;
                self.cx.metrics().event_consumed(&event.kind, "done");
                return Ok(());
            }
            Err(failure) => failure,
        };
        drop(tx);
        let cause = crate::chain(&failure);
        let mut tx = store.begin_in(thread_of(event)).await?;
        let delay = match failure {
            HandleError::Poison(_) => None,
            _ => self.schedule.after(kept.attempts, None, store.ids().jitter()),
        };
        match delay {
            Some(delay) => finish(&mut tx, kept, "pending", Some((&cause, kept.claimed_at + delay))).await?,
            None => {
                finish(&mut tx, kept, "dead", Some((&cause, kept.claimed_at))).await?;
                announce(&mut tx, event, &cause, kept.attempts).await?;
            }
        }
        tx.commit().await
    }

    async fn claim_kept(&self) -> Result<Option<Kept>, StoreError> {
        let mut tx = self.cx.store().begin().await?;
        let claim = tx.new_id().to_string();
        let now = tx.now();
        let sql = match tx.dialect() {
            Dialect::Sqlite => claim_sql!(""),
            Dialect::Postgres => claim_sql!(" FOR UPDATE SKIP LOCKED"),
        };
        let row = sqlx::query(sql)
            .bind(claim.as_str())
            .bind(micros(now + Duration::from_secs(120)))
            .bind(micros(now))
            .fetch_optional(tx.conn())
            .await?;
        let kept = match row {
            Some(row) => Some(Kept {
                seq: row.try_get("seq")?,
                message: row.try_get("message")?,
                attempts: u32::try_from(row.try_get::<i64, _>("attempts")?).unwrap_or(u32::MAX),
                claim,
                claimed_at: now,
            }),
            None => None,
        };
        tx.commit().await?;
        Ok(kept)
    }
}

struct Kept {
    seq: i64,
    message: String,
    attempts: u32,
    claim: String,
    claimed_at: Timestamp,
}

fn span_of(event: &Envelope) -> tracing::Span {
    let span = tracing::info_span!("event", kind = %event.kind, id = %event.id);
    crate::telemetry::span_from(event.trace.traceparent.as_deref(), span)
}

/// The thread of business that everything caused by this event belongs to.
fn thread_of(event: &Envelope) -> Trace {
    Trace {
        traceparent: crate::telemetry::current_traceparent().or_else(|| event.trace.traceparent.clone()),
        correlation_id: Some(event.trace.correlation_id.clone().unwrap_or_else(|| event.id.clone())),
        causation_id: Some(event.id.clone()),
    }
}

/// Inserts events as handled, and returns the ids of those that were not there already.
async fn insert_all(tx: &mut Tx, events: &[Envelope]) -> Result<HashSet<String>, StoreError> {
    let now = micros(tx.now());
    let mut fresh = HashSet::with_capacity(events.len());
    for piece in rows::pieces(events) {
        let insert = format!(
            "INSERT INTO inbox (event_id, type, subject, message, state, attempts, next_attempt_at, received_at, \
             finished_at) VALUES {} ON CONFLICT DO NOTHING RETURNING event_id",
            rows::placeholders(&[None; 9], piece.len(), 0)
        );
        let mut query = sqlx::query_as(AssertSqlSafe(insert));
        for event in piece {
            let text = query.bind(event.id.as_str()).bind(event.kind.as_str()).bind(event.subject.as_str());
            query = text.bind("").bind("done").bind(1_i64).bind(now).bind(now).bind(now);
        }
        let ids: Vec<(String,)> = query.fetch_all(tx.conn()).await?;
        fresh.extend(ids.into_iter().map(|(id,)| id));
    }
    Ok(fresh)
}

/// Whether an earlier event of one of these subjects waits for another attempt.
async fn any_waits(tx: &mut Tx, events: &[Envelope]) -> Result<bool, StoreError> {
    for piece in rows::pieces(events) {
        let list = (1..=piece.len()).map(|number| format!("${number}")).collect::<Vec<_>>().join(", ");
        let select = format!("SELECT 1 FROM inbox WHERE state = 'pending' AND subject IN ({list}) LIMIT 1");
        let mut query = sqlx::query(AssertSqlSafe(select));
        for event in piece {
            query = query.bind(event.subject.as_str());
        }
        if query.fetch_optional(tx.conn()).await?.is_some() {
            return Ok(true);
        }
    }
    Ok(false)
}

/// `false`: it was there already.
async fn insert(tx: &mut Tx, event: &Envelope, standing: &Standing<'_>) -> Result<bool, StoreError> {
    let now = micros(tx.now());
    let ended = matches!(standing.state, "done" | "dead").then_some(now);
    let inserted = sqlx::query(
        "INSERT INTO inbox (event_id, type, subject, message, state, attempts, next_attempt_at, first_failed_at, \
         last_failed_at, last_error, received_at, finished_at) \
         VALUES ($1, $2, $3, $4, $5, 1, $6, $7, $7, $8, $9, $10) ON CONFLICT DO NOTHING",
    )
    .bind(event.id.as_str())
    .bind(event.kind.as_str())
    .bind(event.subject.as_str())
    .bind(standing.message)
    .bind(standing.state)
    .bind(micros(standing.next_attempt))
    .bind(standing.failure.map(|_| now))
    .bind(standing.failure)
    .bind(now)
    .bind(ended)
    .execute(tx.conn())
    .await?;
    Ok(inserted.rows_affected() == 1)
}

async fn finish(tx: &mut Tx, kept: &Kept, state: &str, failure: Option<(&str, Timestamp)>) -> Result<(), StoreError> {
    let now = micros(tx.now());
    let (cause, next) = failure.map_or((None, now), |(cause, next)| (Some(cause), micros(next)));
    let finished = sqlx::query(
        "UPDATE inbox SET state = $1, claim = NULL, claimed_until = NULL, next_attempt_at = $2, \
         last_error = COALESCE($3, last_error), \
         last_failed_at = CASE WHEN $3 IS NULL THEN last_failed_at ELSE $4 END, \
         first_failed_at = CASE WHEN $3 IS NULL THEN first_failed_at ELSE COALESCE(first_failed_at, $4) END, \
         message = CASE WHEN $1 = 'done' THEN '' ELSE message END, \
         finished_at = CASE WHEN $1 = 'pending' THEN NULL ELSE $4 END WHERE seq = $5 AND claim = $6",
    )
    .bind(state)
    .bind(next)
    .bind(cause)
    .bind(now)
    .bind(kept.seq)
    .bind(kept.claim.as_str())
    .execute(tx.conn())
    .await?;
    match finished.rows_affected() {
        1 => Ok(()),
        // Another replica took it over; our work must not commit beside its.
        _ => Err(StoreError::Busy(sqlx::Error::RowNotFound)),
    }
}

async fn announce(tx: &mut Tx, event: &Envelope, cause: &str, attempts: u32) -> Result<(), StoreError> {
    if event.kind == DeadLettered::TYPE {
        return Ok(());
    }
    let dead_letter = DeadLettered {
        row_id: event.id.clone(),
        service: tx.service().to_owned(),
        destination: event.kind.clone(),
        about: event.subject.clone(),
        cause: cause.to_owned(),
        attempts,
        first_failed_at: tx.now(),
    };
    tx.emit(&dead_letter).await?;
    Ok(())
}
