//! What requests were before they were edited.

use chassis::prelude::{StoreError, Tx, micros};

use super::{Stored, bind_case};
use crate::rules::proposal::Case;

/// Keeps what the request was, and writes what it is now. The transition itself is recorded beside it.
///
/// # Errors
/// When the store fails.
pub(crate) async fn replace(tx: &mut Tx, before: (&Case, u32), now: &Stored, by: &str) -> Result<(), StoreError> {
    let (case, revision) = before;
    sqlx::query(
        "INSERT INTO revisions (request_id, revision, document, edited_by, edited_at) VALUES ($1, $2, $3, $4, $5)",
    )
    .bind(now.id.clone())
    .bind(i64::from(revision))
    .bind(serde_json::to_string(case)?)
    .bind(by.to_owned())
    .bind(micros(tx.now()))
    .execute(tx.conn())
    .await?;
    let update = sqlx::query(
        "UPDATE requests SET from_location = $1, from_region = $2, to_location = $3, to_region = $4, at_stake_minor = $5, \
         at_stake_currency = $6, waiting_costs_minor = $7, waiting_costs_currency = $8, document = $9 WHERE id = $10",
    );
    bind_case(update, &now.case)?.bind(now.id.clone()).execute(tx.conn()).await?;
    Ok(())
}
