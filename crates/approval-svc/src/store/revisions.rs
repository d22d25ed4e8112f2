//! What requests were before they were edited.

use chassis::prelude::{StoreError, Tx, micros};
use contracts::{LocationId, RegionId};

use super::Stored;
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
    let (input, cost) = (&now.case.input, now.case.cost_of_waiting_per_hour);
    sqlx::query(
        "UPDATE requests SET document = $1, from_location = $2, from_region = $3, to_location = $4, to_region = $5, \
         at_stake_minor = $6, at_stake_currency = $7, waiting_costs_minor = $8, waiting_costs_currency = $9 WHERE id = $10",
    )
    .bind(serde_json::to_string(&now.case)?)
    .bind(input.from.location.as_ref().map(LocationId::to_string))
    .bind(input.from.region.as_ref().map(RegionId::to_string))
    .bind(input.to.location.as_ref().map(LocationId::to_string))
    .bind(input.to.region.as_ref().map(RegionId::to_string))
    .bind(input.value.map(|money| money.minor))
    .bind(input.value.map(|money| money.currency.as_str().to_owned()))
    .bind(cost.map(|money| money.minor))
    .bind(cost.map(|money| money.currency.as_str().to_owned()))
    .bind(now.id.clone())
    .execute(tx.conn())
    .await?;
    Ok(())
}
