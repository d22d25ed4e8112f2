use std::time::Duration;

use chassis::store::{Store, StoreError, Tx, instant, micros};
use contracts::events::{GrantConsumed, GrantRevoked};
use governance::{
    Grant,
    grant::{Jwk, Jwks},
};
use jiff::Timestamp;
use serde_json::json;

/// Keys are fetched this often, and sooner when a grant of an unknown key shows up.
const REFRESH: Duration = Duration::from_secs(60);
/// However many unknown keys are presented, approval-svc is asked at most this often for them.
const AT_MOST_EVERY: Duration = Duration::from_secs(5);

/// Revocations outlive their grants by so much.
const KEEP_REVOKED: Duration = Duration::from_secs(24 * 3600);

/// Whether a grant could be used up.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Consumption {
    Consumed,
    /// It was, by that operation.
    UsedBy(String),
    /// It was taken back, for that reason.
    Revoked(String),
}

/// Remembers that a grant was taken back, for as long as it could be presented.
pub(crate) async fn forget_grant(tx: &mut Tx, revoked: &GrantRevoked) -> Result<(), StoreError> {
    let insert = "INSERT INTO revoked_grants (grant_id, reason, revoked_by, expires_at) VALUES ($1, $2, $3, $4) \
                  ON CONFLICT DO NOTHING";
    sqlx::query(insert)
        .bind(revoked.grant_id.as_str())
        .bind(revoked.reason.as_str())
        .bind(revoked.revoked_by.as_str())
        .bind(micros(revoked.expires_at))
        .execute(tx.conn())
        .await?;
    // Expiry refuses the older ones; the margin is for executors whose clocks differ.
    let gone = micros(tx.now() - KEEP_REVOKED);
    sqlx::query("DELETE FROM revoked_grants WHERE expires_at < $1").bind(gone).execute(tx.conn()).await?;
    Ok(())
}

/// The keys as last published.
pub(crate) async fn published_keys(tx: &mut Tx) -> Result<Jwks, StoreError> {
    let rows: Vec<(String,)> = sqlx::query_as("SELECT jwk FROM grant_keys ORDER BY kid").fetch_all(tx.conn()).await?;
    let keys = rows.iter().map(|(jwk,)| serde_json::from_str::<Jwk>(jwk)).collect::<Result<_, _>>()?;
    Ok(Jwks { keys })
}

/// Whether it is time to fetch the keys.
pub(crate) async fn keys_are_due(store: &Store, now: Timestamp) -> Result<bool, StoreError> {
    let mut reader = store.read().await?;
    let row: Option<(i64, i64)> =
        sqlx::query_as("SELECT fetched_at, wanted_at FROM grant_key_refresh WHERE only_row = 1")
            .fetch_optional(&mut *reader)
            .await?;
    Ok(row.is_none_or(|(fetched, wanted)| {
        let wait = if wanted > fetched { AT_MOST_EVERY } else { REFRESH };
        now >= instant(fetched) + wait
    }))
}

/// Asks for fresh keys soon.
pub(crate) async fn want_keys(tx: &mut Tx) -> Result<(), StoreError> {
    let now = micros(tx.now());
    sqlx::query(
        "INSERT INTO grant_key_refresh (only_row, fetched_at, wanted_at) VALUES (1, 0, $1) \
         ON CONFLICT (only_row) DO UPDATE SET wanted_at = excluded.wanted_at",
    )
    .bind(now)
    .execute(tx.conn())
    .await?;
    Ok(())
}

/// Replaces the keys: one that is no longer published no longer opens anything.
pub(crate) async fn fetched_keys(tx: &mut Tx, keys: &Jwks) -> Result<(), StoreError> {
    let before = published_keys(tx).await?;
    let now = micros(tx.now());
    sqlx::query("DELETE FROM grant_keys").execute(tx.conn()).await?;
    for key in &keys.keys {
        sqlx::query("INSERT INTO grant_keys (kid, jwk) VALUES ($1, $2) ON CONFLICT DO NOTHING")
            .bind(key.kid.as_str())
            .bind(serde_json::to_string(key)?)
            .execute(tx.conn())
            .await?;
    }
    sqlx::query(
        "INSERT INTO grant_key_refresh (only_row, fetched_at, wanted_at) VALUES (1, $1, 0) \
         ON CONFLICT (only_row) DO UPDATE SET fetched_at = excluded.fetched_at",
    )
    .bind(now)
    .execute(tx.conn())
    .await?;
    let kids = |keys: &Jwks| {
        let mut kids: Vec<_> = keys.keys.iter().map(|key| key.kid.clone()).collect();
        kids.sort_unstable();
        kids
    };
    if kids(&before) != kids(keys) {
        let details = json!({"before": kids(&before), "now": kids(keys)});
        tx.audit("system:approvals", "grant_keys.changed", "grant_keys", details).await?;
    }
    Ok(())
}

/// Uses a grant up for an operation. The insert decides: of two at once one waits for the other and then finds it used.
pub(crate) async fn consume_grant(
    tx: &mut Tx,
    caller: &str,
    grant: &Grant,
    operation_id: &str,
) -> Result<Consumption, StoreError> {
    let now = tx.now();
    let revoked: Option<(String,)> = sqlx::query_as("SELECT reason FROM revoked_grants WHERE grant_id = $1")
        .bind(grant.grant_id.as_str())
        .fetch_optional(tx.conn())
        .await?;
    if let Some((reason,)) = revoked {
        return Ok(Consumption::Revoked(reason));
    }
    let inserted = sqlx::query(
        "INSERT INTO grants_used (grant_id, approval_id, operation_id, consumed_by, consumed_at) \
         VALUES ($1, $2, $3, $4, $5) ON CONFLICT DO NOTHING",
    )
    .bind(grant.grant_id.as_str())
    .bind(grant.approval_id.as_str())
    .bind(operation_id)
    .bind(caller)
    .bind(micros(now))
    .execute(tx.conn())
    .await?;
    if inserted.rows_affected() == 0 {
        let (used_by,): (String,) = sqlx::query_as("SELECT operation_id FROM grants_used WHERE grant_id = $1")
            .bind(grant.grant_id.as_str())
            .fetch_one(tx.conn())
            .await?;
        return Ok(Consumption::UsedBy(used_by));
    }
    let event = GrantConsumed {
        grant_id: grant.grant_id.clone(),
        approval_id: grant.approval_id.clone(),
        operation_id: operation_id.to_owned(),
        executor: caller.to_owned(),
        consumed_at: now,
    };
    tx.emit(&event).await?;
    let details = json!({"grant_id": grant.grant_id, "approval_id": grant.approval_id, "policy": grant.policy,
        "decided_by": grant.decided_by});
    tx.audit(caller, "grant.consumed", &format!("operation:{operation_id}"), details).await?;
    Ok(Consumption::Consumed)
}
