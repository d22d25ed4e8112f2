//! What every service tidies up: rows that nobody can ask for any more.

use std::time::Duration;

use crate::{
    cx::Cx,
    jobs::{JobError, Lease},
    store::micros,
};

/// Finished outbox rows are kept this long, so that `/operations/{id}` still answers.
const KEEP_OUTBOX: Duration = Duration::from_secs(30 * 24 * 3600);
/// Inbox rows outlive the longest replay: dead letters are replayed within a quarter.
const KEEP_INBOX: Duration = Duration::from_secs(90 * 24 * 3600);
/// Rows per statement, so that no transaction holds a lock for long.
const CHUNK: i64 = 5_000;

pub(crate) async fn turn(cx: &Cx, lease: &Lease) -> Result<(), JobError> {
    let now = cx.clock().now();
    let chores = [
        (
            "DELETE FROM outbox WHERE seq IN (SELECT seq FROM outbox WHERE (state = 'done' OR state = 'discarded') \
             AND finished_at < $1 LIMIT $2)",
            now - KEEP_OUTBOX,
        ),
        (
            "DELETE FROM inbox WHERE seq IN (SELECT seq FROM inbox WHERE (state = 'done' OR state = 'discarded') \
             AND finished_at < $1 LIMIT $2)",
            now - KEEP_INBOX,
        ),
        (
            "DELETE FROM idempotency WHERE idempotency_key IN (SELECT idempotency_key FROM idempotency \
             WHERE expires_at < $1 LIMIT $2) AND expires_at < $1",
            now,
        ),
    ];
    for (statement, before) in chores {
        loop {
            let mut tx = cx.store().begin().await?;
            lease.guard(&mut tx).await?;
            let deleted = sqlx::query(statement).bind(micros(before)).bind(CHUNK).execute(tx.conn()).await?;
            tx.commit().await?;
            if deleted.rows_affected() < CHUNK.unsigned_abs() {
                break;
            }
        }
    }
    Ok(())
}

/// How much waits, for the metrics: `(destination, rows, age of the oldest in seconds)` and dead letters by
/// destination.
pub(crate) async fn backlog(cx: &Cx) -> Result<Backlog, crate::store::StoreError> {
    let mut reader = cx.store().read().await?;
    let now = micros(cx.clock().now());
    let waiting: Vec<(String, i64, i64)> = sqlx::query_as(
        "SELECT destination, COUNT(*), MIN(created_at) FROM outbox WHERE state = 'pending' GROUP BY destination \
         UNION ALL SELECT 'inbox', COUNT(*), MIN(received_at) FROM inbox WHERE state = 'pending' HAVING COUNT(*) > 0",
    )
    .fetch_all(&mut *reader)
    .await?;
    let dead: Vec<(String, i64)> = sqlx::query_as(
        "SELECT destination, COUNT(*) FROM outbox WHERE state = 'dead' GROUP BY destination \
         UNION ALL SELECT type, COUNT(*) FROM inbox WHERE state = 'dead' GROUP BY type",
    )
    .fetch_all(&mut *reader)
    .await?;
    #[expect(clippy::cast_precision_loss, reason = "an age in seconds needs no 53 bits")]
    let age = |since: i64| (now - since).max(0) as f64 / 1e6;
    let waiting = waiting.into_iter().map(|(queue, rows, since)| (queue, rows, age(since))).collect();
    Ok(Backlog { waiting, dead })
}

pub(crate) struct Backlog {
    pub waiting: Vec<(String, i64, f64)>,
    pub dead: Vec<(String, i64)>,
}
