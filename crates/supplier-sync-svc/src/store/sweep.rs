use std::time::Duration;

use chassis::store::{Store, StoreError, Tx, instant, micros};
use jiff::Timestamp;

use crate::effects::reading::Reading;

/// Hints are only needed to recognise repeats (seconds) and lost ones (the sweep's overlap, at most a day).
const KEEP_HINTS: Duration = Duration::from_secs(2 * 24 * 3600);
/// How much earlier than Odoo's own time of writing a webhook may seem to arrive, because clocks differ.
const CLOCK_SKEW: Duration = Duration::from_secs(5);

/// How far Odoo has been read; `None` before the first sweep.
pub(crate) async fn watermark(store: &Store) -> Result<Option<Timestamp>, StoreError> {
    let mut reader = store.read().await?;
    let row: Option<(i64,)> =
        sqlx::query_as("SELECT watermark_at FROM sweep WHERE only_row = 1").fetch_optional(&mut *reader).await?;
    Ok(row.map(|(at,)| instant(at)))
}

/// Moves the watermark and counts, in the transaction of what was read. It never moves back.
pub(crate) async fn advance(tx: &mut Tx, to: Timestamp, changes: usize, lost: usize) -> Result<(), StoreError> {
    let count = |number: usize| i64::try_from(number).unwrap_or(i64::MAX);
    sqlx::query(
        "INSERT INTO sweep (only_row, watermark_at, changes, events_lost) VALUES (1, $1, $2, $3) \
         ON CONFLICT (only_row) DO UPDATE SET changes = sweep.changes + excluded.changes, \
         events_lost = sweep.events_lost + excluded.events_lost, watermark_at = \
         CASE WHEN sweep.watermark_at > excluded.watermark_at THEN sweep.watermark_at ELSE excluded.watermark_at END",
    )
    .bind(micros(to))
    .bind(count(changes))
    .bind(count(lost))
    .execute(tx.conn())
    .await?;
    Ok(())
}

/// Whether a webhook told of this state. A rule need not send the time of writing; the time of arrival then stands in
/// for it.
pub(crate) async fn was_announced(tx: &mut Tx, reading: &Reading) -> Result<bool, StoreError> {
    let found = sqlx::query(
        "SELECT 1 FROM hints WHERE model = $1 AND record_id = $2 AND COALESCE(written_at, received_at + $3) >= $4",
    )
    .bind(reading.model.as_str())
    .bind(reading.record_id)
    .bind(i64::try_from(CLOCK_SKEW.as_micros()).unwrap_or(i64::MAX))
    .bind(micros(reading.written_at))
    .fetch_optional(tx.conn())
    .await?;
    Ok(found.is_some())
}

pub(crate) async fn forget_hints(tx: &mut Tx) -> Result<(), StoreError> {
    let before = micros(tx.now() - KEEP_HINTS);
    sqlx::query("DELETE FROM hints WHERE received_at < $1").bind(before).execute(tx.conn()).await?;
    Ok(())
}
