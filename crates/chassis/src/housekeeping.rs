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
/// Rows per transaction, so that none holds a lock for long.
const CHUNK: i64 = 5_000;

/// A table whose finished rows go after a while. Its oldest rows come first, so no index is needed to find them.
struct Chore {
    keep: Duration,
    /// Of the next rows after `$1`: the last, and when the youngest of them came.
    window: &'static str,
    delete: &'static str,
}

const CHORES: [Chore; 2] = [
    Chore {
        keep: KEEP_OUTBOX,
        window: "SELECT MAX(seq), MAX(came_at) FROM (SELECT seq, created_at AS came_at FROM outbox WHERE seq > $1 \
                 ORDER BY seq LIMIT $2) AS oldest",
        delete: "DELETE FROM outbox WHERE seq > $1 AND seq <= $2 AND (state = 'done' OR state = 'discarded') \
                 AND finished_at < $3",
    },
    Chore {
        keep: KEEP_INBOX,
        window: "SELECT MAX(seq), MAX(came_at) FROM (SELECT seq, received_at AS came_at FROM inbox WHERE seq > $1 \
                 ORDER BY seq LIMIT $2) AS oldest",
        delete: "DELETE FROM inbox WHERE seq > $1 AND seq <= $2 AND (state = 'done' OR state = 'discarded') \
                 AND finished_at < $3",
    },
];

pub(crate) async fn turn(cx: &Cx, lease: &Lease) -> Result<(), JobError> {
    for chore in &CHORES {
        tidy(cx, lease, chore).await?;
    }
    let now = micros(cx.clock().now());
    loop {
        let mut tx = cx.store().begin().await?;
        lease.guard(&mut tx).await?;
        let delete = "DELETE FROM idempotency WHERE idempotency_key IN (SELECT idempotency_key FROM idempotency \
                      WHERE expires_at < $1 LIMIT $2) AND expires_at < $1";
        let deleted = sqlx::query(delete).bind(now).bind(CHUNK).execute(tx.conn()).await?;
        tx.commit().await?;
        if deleted.rows_affected() < CHUNK.unsigned_abs() {
            return Ok(());
        }
    }
}

async fn tidy(cx: &Cx, lease: &Lease, chore: &Chore) -> Result<(), JobError> {
    let before = micros(cx.clock().now() - chore.keep);
    let mut after = 0;
    loop {
        let mut tx = cx.store().begin().await?;
        lease.guard(&mut tx).await?;
        let window: (Option<i64>, Option<i64>) =
            sqlx::query_as(chore.window).bind(after).bind(CHUNK).fetch_one(tx.conn()).await?;
        let (Some(last), Some(youngest)) = window else { return Ok(()) };
        sqlx::query(chore.delete).bind(after).bind(last).bind(before).execute(tx.conn()).await?;
        tx.commit().await?;
        // Whatever came later than that cannot have been finished before it.
        if youngest >= before {
            return Ok(());
        }
        after = last;
    }
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
