//! Grants that were taken back.

use chassis::prelude::{StoreError, Timestamp, Tx, instant, micros};
use sqlx::{AnyConnection, FromRow, Row, any::AnyRow};

/// A grant that was taken back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Revoked {
    pub(crate) grant_id: String,
    pub(crate) token: String,
    pub(crate) reason: String,
    /// `key:n8n`, `person:olga`.
    pub(crate) by: String,
    pub(crate) at: Timestamp,
    pub(crate) expires_at: Timestamp,
}

impl<'r> FromRow<'r, AnyRow> for Revoked {
    fn from_row(row: &'r AnyRow) -> Result<Self, sqlx::Error> {
        Ok(Self {
            grant_id: row.try_get("grant_id")?,
            token: row.try_get("token")?,
            reason: row.try_get("reason")?,
            by: row.try_get("revoked_by")?,
            at: instant(row.try_get("revoked_at")?),
            expires_at: instant(row.try_get("expires_at")?),
        })
    }
}

/// When the unused grant runs out; `None` when it was used or taken back, or ran out and that was told.
///
/// # Errors
/// When the store fails.
pub(crate) async fn unused_until(connection: &mut AnyConnection, grant: &str) -> Result<Option<Timestamp>, StoreError> {
    let select = "SELECT expires_at FROM unused_grants WHERE grant_id = $1";
    let found: Option<(i64,)> = sqlx::query_as(select).bind(grant.to_owned()).fetch_optional(connection).await?;
    Ok(found.map(|(at,)| instant(at)))
}

/// Whether the audit trail knows of this request that its grant was used: who waits for a use is forgotten also when
/// none came.
///
/// # Errors
/// When the store fails.
pub(crate) async fn was_used(connection: &mut AnyConnection, subject: &str) -> Result<bool, StoreError> {
    let select = "SELECT 1 FROM audit WHERE subject = $1 AND verb = 'grant.consumed'";
    Ok(sqlx::query(select).bind(subject.to_owned()).fetch_optional(connection).await?.is_some())
}

/// Takes a grant back: the request has it no longer, and nobody waits for its use.
///
/// # Errors
/// When the store fails.
pub(crate) async fn revoke(tx: &mut Tx, request: &str, revoked: &Revoked) -> Result<(), StoreError> {
    sqlx::query(
        "INSERT INTO revoked_grants (grant_id, request_id, token, reason, revoked_by, revoked_at, expires_at) \
         VALUES ($1, $2, $3, $4, $5, $6, $7)",
    )
    .bind(revoked.grant_id.clone())
    .bind(request.to_owned())
    .bind(revoked.token.clone())
    .bind(revoked.reason.clone())
    .bind(revoked.by.clone())
    .bind(micros(revoked.at))
    .bind(micros(revoked.expires_at))
    .execute(tx.conn())
    .await?;
    for statement in
        ["DELETE FROM unused_grants WHERE grant_id = $1", "UPDATE requests SET grant_token = NULL WHERE grant_id = $1"]
    {
        sqlx::query(statement).bind(revoked.grant_id.clone()).execute(tx.conn()).await?;
    }
    Ok(())
}

/// The grant of a request that was taken back.
///
/// # Errors
/// When the store fails.
pub(crate) async fn revoked(connection: &mut AnyConnection, request: &str) -> Result<Option<Revoked>, StoreError> {
    let select = "SELECT grant_id, token, reason, revoked_by, revoked_at, expires_at FROM revoked_grants \
                  WHERE request_id = $1";
    Ok(sqlx::query_as(select).bind(request.to_owned()).fetch_optional(connection).await?)
}
