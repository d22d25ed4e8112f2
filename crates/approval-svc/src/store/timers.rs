//! What time has something to do with. The timers are the rows themselves (`wake_at`), so a restart forgets none.

use chassis::prelude::{StoreError, Timestamp, Tx, micros};
use jiff::SignedDuration;

use super::{Stored, select};

/// Claims the requests that are due by `now`, the longest overdue first. They stay locked until the transaction ends, and
/// other replicas pass over them: no two do one at the same time.
///
/// # Errors
/// When the store fails.
pub(crate) async fn claim_due(tx: &mut Tx, now: Timestamp, limit: u32) -> Result<Vec<Stored>, StoreError> {
    let select = tx.dialect().pick(
        select!("WHERE wake_at <= $1 ORDER BY wake_at, id LIMIT $2"),
        select!("WHERE wake_at <= $1 ORDER BY wake_at, id LIMIT $2 FOR UPDATE SKIP LOCKED"),
    );
    Ok(sqlx::query_as(select).bind(micros(now)).bind(i64::from(limit)).fetch_all(tx.conn()).await?)
}

/// Whether anything is due by `now`: what an idle replica asks, several times a second.
///
/// # Errors
/// When the store fails.
pub(crate) async fn any_due(reader: &mut chassis::store::Reader, now: Timestamp) -> Result<bool, StoreError> {
    // In this order PostgreSQL takes the index; without it, a table that was never analysed is read from end to end.
    let due = sqlx::query("SELECT 1 FROM requests WHERE wake_at <= $1 ORDER BY wake_at LIMIT 1").bind(micros(now));
    Ok(due.fetch_optional(&mut **reader).await?.is_some())
}

/// Puts off a request whose turn failed, so that it does not hold up those behind it.
///
/// # Errors
/// When the store fails.
pub(crate) async fn put_off(tx: &mut Tx, id: &str, by: SignedDuration) -> Result<(), StoreError> {
    let later = tx.now().checked_add(by).unwrap_or(Timestamp::MAX);
    sqlx::query("UPDATE requests SET wake_at = $1 WHERE id = $2 AND wake_at IS NOT NULL")
        .bind(micros(later))
        .bind(id.to_owned())
        .execute(tx.conn())
        .await?;
    Ok(())
}
