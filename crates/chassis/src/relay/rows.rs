//! Claiming and finishing outbox rows.

use std::{collections::HashSet, time::Duration};

use contracts::Trace;
use jiff::Timestamp;
use sqlx::{AssertSqlSafe, FromRow, any::AnyRow};

use crate::store::{BUS, Dialect, Store, StoreError, Tx, instant, instant_opt, micros, rows};

/// A claimed row.
#[derive(Clone, Debug)]
pub(crate) struct Row {
    pub seq: i64,
    pub id: String,
    pub order_key: String,
    pub about: String,
    pub payload: String,
    pub trace: Trace,
    pub attempts: u32,
    /// Attempts whose end is not known.
    pub doubts: u32,
    pub created_at: Timestamp,
    pub first_failed_at: Option<Timestamp>,
    claim: String,
}

impl<'r> FromRow<'r, AnyRow> for Row {
    fn from_row(row: &'r AnyRow) -> Result<Self, sqlx::Error> {
        use sqlx::Row as _;
        let count = |name| row.try_get::<i64, _>(name).map(|n| u32::try_from(n).unwrap_or(u32::MAX));
        Ok(Self {
            seq: row.try_get("seq")?,
            id: row.try_get("id")?,
            order_key: row.try_get("order_key")?,
            about: row.try_get("about")?,
            payload: row.try_get("payload")?,
            trace: Trace {
                traceparent: row.try_get("traceparent")?,
                correlation_id: row.try_get("correlation_id")?,
                causation_id: row.try_get("causation_id")?,
            },
            attempts: count("attempts")?,
            doubts: count("doubts")?,
            created_at: instant(row.try_get("created_at")?),
            first_failed_at: instant_opt(row.try_get("first_failed_at")?),
            claim: row.try_get("claim")?,
        })
    }
}

// Of one order key only the lowest unfinished row may be claimed. A dead row holds its key where $5 says so.
// Written so that PostgreSQL has no choice: with a backlog and no fresh statistics, `NOT EXISTS` became a join of the
// backlog with itself (two minutes for 20,000 rows). A scalar subquery is looked up once per row; `CASE` hides from the
// planner that the index of what waits would do for that, too; `seq + 0` is the order of one index only; MATERIALIZED, because a subquery may otherwise run once per outer row, and each run would lock and
// claim up to the limit again.
macro_rules! claim_sql {
    ($lock:literal, $one_of:literal) => {
        concat!(
            "WITH due AS MATERIALIZED (SELECT o.seq FROM outbox o WHERE o.destination = $3 AND o.state = 'pending' AND o.next_attempt_at <= $4 ",
            "AND (o.claimed_until IS NULL OR o.claimed_until <= $4) AND (SELECT 1 FROM outbox p ",
            "WHERE p.destination = o.destination AND p.order_key = o.order_key AND p.seq < o.seq ",
            "AND (p.state = 'pending' OR p.state = 'dead') AND CASE WHEN p.state = 'dead' THEN $5 ELSE 1 END = 1 LIMIT 1) IS NULL ",
            "ORDER BY o.seq + 0 LIMIT $6",
            $lock,
            ") UPDATE outbox SET claim = $1, claimed_until = $2, attempts = attempts + 1, coalescing = 0, ",
            "doubts = doubts + CASE WHEN claim IS NULL THEN 0 ELSE 1 END WHERE seq ",
            $one_of,
            " RETURNING seq, id, order_key, about, payload, traceparent, correlation_id, causation_id, attempts, ",
            "doubts, created_at, first_failed_at, claim"
        )
    };
}

impl Row {
    /// Claims up to `limit` rows that are due, for `hold`. The claim of an event may be forgotten: it goes out twice then,
    /// which the inbox knows. An effect's may not, or an attempt whose end is in doubt would go uncounted.
    pub(crate) async fn claim(
        store: &Store,
        destination: &str,
        dead_holds: bool,
        limit: usize,
        hold: Duration,
    ) -> Result<Vec<Self>, StoreError> {
        let mut tx = if destination == BUS { store.begin_relaxed().await? } else { store.begin().await? };
        let sql = match tx.dialect() {
            Dialect::Sqlite => claim_sql!("", "IN (SELECT seq FROM due)"),
            Dialect::Postgres => claim_sql!(" FOR UPDATE SKIP LOCKED", "= ANY (ARRAY (SELECT seq FROM due))"),
        };
        let mut rows: Vec<Self> = sqlx::query_as(sql)
            .bind(tx.new_id().to_string())
            .bind(micros(tx.now() + hold))
            .bind(destination)
            .bind(micros(tx.now()))
            .bind(i64::from(dead_holds))
            .bind(i64::try_from(limit).unwrap_or(i64::MAX))
            .fetch_all(tx.conn())
            .await?;
        tx.commit().await?;
        rows.sort_by_key(|row| row.seq);
        Ok(rows)
    }

    /// Marks rows done, each with its result, and says of each whether it was: the claim of the others had run out, and
    /// somebody else has them now.
    pub(crate) async fn all_done(tx: &mut Tx, ended: &[(&Self, String)]) -> Result<Vec<bool>, StoreError> {
        let columns = [Some("BIGINT"), Some("TEXT"), Some("TEXT")];
        let now = micros(tx.now());
        let mut done = HashSet::with_capacity(ended.len());
        for piece in rows::pieces(ended) {
            let update = format!(
                "WITH ended (row_seq, row_claim, row_result) AS (VALUES {}) UPDATE outbox SET state = 'done', claim = NULL, \
                 claimed_until = NULL, result = ended.row_result, finished_at = $1 FROM ended \
                 WHERE outbox.seq = ended.row_seq AND outbox.claim = ended.row_claim RETURNING outbox.seq",
                rows::placeholders(&columns, piece.len(), 1)
            );
            let mut query = sqlx::query_as(AssertSqlSafe(update)).bind(now);
            for (row, result) in piece {
                query = query.bind(row.seq).bind(row.claim.as_str()).bind(result.as_str());
            }
            let seqs: Vec<(i64,)> = query.fetch_all(tx.conn()).await?;
            done.extend(seqs.into_iter().map(|(seq,)| seq));
        }
        // "Somebody else" may be the same process, and both its claims of the row in one batch.
        let is_latest =
            |row: &Self| ended.iter().all(|(other, _)| other.seq != row.seq || other.attempts <= row.attempts);
        Ok(ended.iter().map(|(row, _)| done.contains(&row.seq) && is_latest(row)).collect())
    }

    /// Ends it without success: `dead` (a person must look) or `discarded` (nobody need). `false`: the claim had run
    /// out and somebody else has the row now.
    pub(crate) async fn give_up(&self, tx: &mut Tx, state: &str, cause: &str) -> Result<bool, StoreError> {
        let ended = sqlx::query(
            "UPDATE outbox SET state = $1, claim = NULL, claimed_until = NULL, finished_at = $2, last_error = $3, \
             last_failed_at = $2, first_failed_at = COALESCE(first_failed_at, $2) WHERE seq = $4 AND claim = $5",
        )
        .bind(state)
        .bind(micros(tx.now()))
        .bind(cause)
        .bind(self.seq)
        .bind(self.claim.as_str())
        .execute(tx.conn())
        .await?;
        Ok(ended.rows_affected() == 1)
    }

    /// Puts it back for another attempt at `next`. `doubtful`: the end of this one is not known.
    pub(crate) async fn put_back(
        &self,
        tx: &mut Tx,
        cause: &str,
        next: Timestamp,
        doubtful: bool,
    ) -> Result<(), StoreError> {
        sqlx::query(
            "UPDATE outbox SET claim = NULL, claimed_until = NULL, next_attempt_at = $1, last_error = $2, \
             last_failed_at = $3, first_failed_at = COALESCE(first_failed_at, $3), doubts = doubts + $4 \
             WHERE seq = $5 AND claim = $6",
        )
        .bind(micros(next))
        .bind(cause)
        .bind(micros(tx.now()))
        .bind(i64::from(doubtful))
        .bind(self.seq)
        .bind(self.claim.as_str())
        .execute(tx.conn())
        .await?;
        Ok(())
    }

    /// Gives the claim back as if it had not been made: nothing was attempted. Where an effect with the same coalescing
    /// key was added meanwhile, that one keeps the key: two unattempted rows cannot have it.
    pub(crate) async fn unclaim(&self, tx: &mut Tx, next: Timestamp) -> Result<(), StoreError> {
        sqlx::query(
            "UPDATE outbox SET claim = NULL, claimed_until = NULL, attempts = attempts - 1, next_attempt_at = $1, \
             coalescing = CASE WHEN coalesce_key IS NULL OR EXISTS (SELECT 1 FROM outbox twin \
             WHERE twin.destination = outbox.destination AND twin.coalesce_key = outbox.coalesce_key \
             AND twin.state = 'pending' AND twin.coalescing = 1) THEN 0 ELSE 1 END WHERE seq = $2 AND claim = $3",
        )
        .bind(micros(next))
        .bind(self.seq)
        .bind(self.claim.as_str())
        .execute(tx.conn())
        .await?;
        Ok(())
    }
}
