//! Receipts that are owed: a push was delivered, and nobody has said yet that its case is at an end.

use std::time::Duration;

use chassis::prelude::*;
use contracts::Trace;
use serde_json::json;
use sqlx::{AnyConnection, FromRow, any::AnyRow};

use super::{
    OURSELVES,
    exceptions::{self, Incident},
};

/// How often a case is pushed before a person is told: at first, and again after each silence.
const MOST_PUSHES: u32 = 4;
/// A row without a due time this old belongs to a push that was given up and discarded by a person.
const FORGOTTEN_AFTER: Duration = Duration::from_hours(30 * 24);

/// A push whose receiver owes a receipt.
#[derive(Clone, Debug)]
pub(crate) struct Owed {
    pub subscription: String,
    pub event: String,
    pub subject: String,
    pub body: String,
    pub thread: Trace,
    pub pushes: u32,
    pub last_sign: Option<String>,
    pub last_sign_at: Option<Timestamp>,
    pub created_at: Timestamp,
}

impl<'r> FromRow<'r, AnyRow> for Owed {
    fn from_row(row: &'r AnyRow) -> Result<Self, sqlx::Error> {
        use sqlx::Row;
        Ok(Self {
            subscription: row.try_get("subscription_id")?,
            event: row.try_get("event_id")?,
            subject: row.try_get("subject")?,
            body: row.try_get("body")?,
            thread: Trace {
                traceparent: row.try_get("traceparent")?,
                correlation_id: row.try_get("correlation_id")?,
                causation_id: None,
            },
            pushes: u32::try_from(row.try_get::<i64, _>("pushes")?).unwrap_or(u32::MAX),
            last_sign: row.try_get("last_sign")?,
            last_sign_at: instant_opt(row.try_get("last_sign_at")?),
            created_at: instant(row.try_get("created_at")?),
        })
    }
}

/// What is to be done about a silence.
pub(crate) enum Overdue {
    /// The receiver may have died with the case in its hands: told again, as at first.
    PushAgain(Box<Owed>),
    /// A person has been told.
    Stalled,
}

fn microseconds(duration: Duration) -> i64 {
    i64::try_from(duration.as_micros()).unwrap_or(i64::MAX)
}

/// Expects a receipt for a push that this transaction promises. The wait begins when the push is delivered.
pub(crate) async fn expect(
    tx: &mut Tx,
    subscription: &str,
    event: &contracts::Envelope,
    body: &str,
    patience: Duration,
) -> Result<(), StoreError> {
    sqlx::query(
        "INSERT INTO awaited (subscription_id, event_id, subject, body, traceparent, correlation_id, patience, pushes, \
         created_at) VALUES ($1, $2, $3, $4, $5, $6, $7, 1, $8) ON CONFLICT DO NOTHING",
    )
    .bind(subscription)
    .bind(event.id.as_str())
    .bind(event.subject.as_str())
    .bind(body)
    .bind(event.trace.traceparent.clone())
    .bind(event.trace.correlation_id.clone())
    .bind(microseconds(patience))
    .bind(micros(tx.now()))
    .execute(tx.conn())
    .await?;
    Ok(())
}

/// The push was delivered: from now on silence counts, unless the case is known to be with others.
pub(crate) async fn delivered(tx: &mut Tx, subscription: &str, event: &str) -> Result<(), StoreError> {
    sqlx::query(
        "UPDATE awaited SET due_at = patience + CASE WHEN quiet_until_at > $1 THEN quiet_until_at ELSE $1 END \
         WHERE subscription_id = $2 AND event_id = $3 AND due_at IS NULL",
    )
    .bind(micros(tx.now()))
    .bind(subscription)
    .bind(event)
    .execute(tx.conn())
    .await?;
    Ok(())
}

/// Something happened in a thread of business: whoever had the case was at work then, and it is with others until
/// `quiet_until`. News that are older than the latest change nothing: across subjects events keep no order.
pub(crate) async fn sign_of_life(
    tx: &mut Tx,
    correlation: &str,
    kind: &str,
    at: Timestamp,
    quiet_until: Timestamp,
) -> Result<(), StoreError> {
    sqlx::query(
        "UPDATE awaited SET last_sign = $1, last_sign_at = $2, quiet_until_at = $3, due_at = $3 + patience \
         WHERE correlation_id = $4 AND (last_sign_at IS NULL OR last_sign_at <= $2)",
    )
    .bind(kind)
    .bind(micros(at))
    .bind(micros(quiet_until))
    .bind(correlation)
    .execute(tx.conn())
    .await?;
    Ok(())
}

/// The receiver has brought the case to an end; `false` when nobody waited for that any more.
pub(crate) async fn give(tx: &mut Tx, actor: &str, subscription: &str, event: &str) -> Result<bool, StoreError> {
    let delete = sqlx::query("DELETE FROM awaited WHERE subscription_id = $1 AND event_id = $2");
    let deleted = delete.bind(subscription).bind(event).execute(tx.conn()).await?;
    let awaited = deleted.rows_affected() == 1;
    let details = json!({"event": event, "awaited": awaited});
    tx.audit(actor, "receipt.given", &format!("subscription:{subscription}"), details).await?;
    Ok(awaited)
}

/// A subscription that ended owes nothing.
pub(crate) async fn waive(tx: &mut Tx, subscription: &str) -> Result<(), StoreError> {
    sqlx::query("DELETE FROM awaited WHERE subscription_id = $1").bind(subscription).execute(tx.conn()).await?;
    Ok(())
}

/// Who has been silent for too long, the longest first.
pub(crate) async fn overdue(conn: &mut AnyConnection, now: Timestamp, limit: u32) -> Result<Vec<Owed>, StoreError> {
    let select = "SELECT * FROM awaited WHERE due_at <= $1 ORDER BY due_at, event_id LIMIT $2";
    Ok(sqlx::query_as(select).bind(micros(now)).bind(i64::from(limit)).fetch_all(conn).await?)
}

/// Decides about one silence; `None` when it was broken meanwhile.
pub(crate) async fn chase(tx: &mut Tx, owed: &Owed) -> Result<Option<Overdue>, StoreError> {
    let again: Option<Owed> = sqlx::query_as(
        "UPDATE awaited SET pushes = pushes + 1, due_at = NULL WHERE subscription_id = $1 AND event_id = $2 \
         AND due_at <= $3 AND pushes < $4 RETURNING *",
    )
    .bind(owed.subscription.as_str())
    .bind(owed.event.as_str())
    .bind(micros(tx.now()))
    .bind(i64::from(MOST_PUSHES))
    .fetch_optional(tx.conn())
    .await?;
    if let Some(again) = again {
        let details = json!({"event": again.event, "push": again.pushes, "last_sign": again.last_sign});
        tx.audit(OURSELVES, "event.pushed_again", &format!("subscription:{}", again.subscription), details).await?;
        return Ok(Some(Overdue::PushAgain(Box::new(again))));
    }
    let given_up: Option<Owed> = sqlx::query_as(
        "DELETE FROM awaited WHERE subscription_id = $1 AND event_id = $2 AND due_at <= $3 AND pushes >= $4 RETURNING *",
    )
    .bind(owed.subscription.as_str())
    .bind(owed.event.as_str())
    .bind(micros(tx.now()))
    .bind(i64::from(MOST_PUSHES))
    .fetch_optional(tx.conn())
    .await?;
    let Some(given_up) = given_up else { return Ok(None) };
    exceptions::raise(tx, OURSELVES, stalled(&given_up)).await?;
    Ok(Some(Overdue::Stalled))
}

fn stalled(owed: &Owed) -> Incident {
    Incident {
        class: "case_stalled".into(),
        severity: 3,
        title: format!(
            "{} was told {} times of {} and did not finish the case",
            owed.subscription, owed.pushes, owed.subject
        ),
        owner: crate::OPERATOR.into(),
        about: Some(owed.subject.clone()),
        details: json!({
            "subscription": owed.subscription,
            "event": owed.event,
            "correlation_id": owed.thread.correlation_id,
            "first_told_at": owed.created_at,
            "last_sign": owed.last_sign,
            "last_sign_at": owed.last_sign_at,
        }),
        same: None,
    }
}

/// Drops rows that nothing will ever end.
pub(crate) async fn forget(tx: &mut Tx) -> Result<(), StoreError> {
    let before = micros(tx.now() - FORGOTTEN_AFTER);
    let delete = sqlx::query("DELETE FROM awaited WHERE due_at IS NULL AND created_at < $1");
    delete.bind(before).execute(tx.conn()).await?;
    Ok(())
}
