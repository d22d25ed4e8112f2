//! Versions of policies and overlays, which of them judge, and the decisions of the past.

use chassis::prelude::{Digest, StoreError, Timestamp, Tx, instant, micros};
use governance::{
    PolicyRef,
    policy::{Document, Finding, simulate::Recorded},
};
use sqlx::{AnyConnection, FromRow, Row, any::AnyRow};

/// Most versions of one list, and most documents that judge together.
const LISTED: i64 = 500;

/// A version as it is kept.
#[derive(Clone, Debug)]
pub(crate) struct Published {
    pub(crate) reference: PolicyRef,
    pub(crate) findings: Vec<Finding>,
    /// `person:olga`, `key:ci`, or `file`.
    pub(crate) published_by: String,
    pub(crate) published_at: Timestamp,
}

impl<'r> FromRow<'r, AnyRow> for Published {
    fn from_row(row: &'r AnyRow) -> Result<Self, sqlx::Error> {
        let version: i64 = row.try_get("version")?;
        let digest: String = row.try_get("digest")?;
        Ok(Self {
            reference: PolicyRef {
                id: row.try_get("policy")?,
                version: u32::try_from(version).map_err(|error| sqlx::Error::Decode(error.into()))?,
                digest: Digest::try_from(digest).map_err(|error| sqlx::Error::Decode(error.to_string().into()))?,
            },
            findings: super::json(row, "findings")?,
            published_by: row.try_get("published_by")?,
            published_at: instant(row.try_get("published_at")?),
        })
    }
}

/// A version with its document.
#[derive(Clone, Debug)]
pub(crate) struct Kept {
    pub(crate) published: Published,
    pub(crate) document: Document,
}

impl<'r> FromRow<'r, AnyRow> for Kept {
    fn from_row(row: &'r AnyRow) -> Result<Self, sqlx::Error> {
        let document = Document::from_json(super::json(row, "document")?);
        let document = document.map_err(|error| sqlx::Error::Decode(error.into()))?;
        Ok(Self { published: Published::from_row(row)?, document })
    }
}

/// How often policies have changed.
///
/// # Errors
/// When the store fails.
pub(crate) async fn generation(conn: &mut AnyConnection) -> Result<i64, StoreError> {
    let (generation,): (i64,) = sqlx::query_as("SELECT generation FROM policy_generation").fetch_one(conn).await?;
    Ok(generation)
}

/// Announces a change; `false` when another one came between since `seen`.
///
/// # Errors
/// When the store fails.
pub(crate) async fn change(tx: &mut Tx, seen: i64) -> Result<bool, StoreError> {
    let update = "UPDATE policy_generation SET generation = generation + 1 WHERE generation = $1";
    Ok(sqlx::query(update).bind(seen).execute(tx.conn()).await?.rows_affected() == 1)
}

/// Keeps a version; `false` when its number is taken, and then nothing was kept.
///
/// # Errors
/// When the store fails.
pub(crate) async fn add(tx: &mut Tx, published: &Published, document: &Document) -> Result<bool, StoreError> {
    let added = sqlx::query(
        "INSERT INTO policy_versions (policy, version, digest, document, findings, published_by, published_at) \
         VALUES ($1, $2, $3, $4, $5, $6, $7) ON CONFLICT DO NOTHING",
    )
    .bind(published.reference.id.clone())
    .bind(i64::from(published.reference.version))
    .bind(published.reference.digest.to_string())
    .bind(serde_json::to_string(document)?)
    .bind(serde_json::to_string(&published.findings)?)
    .bind(published.published_by.clone())
    .bind(micros(published.published_at))
    .execute(tx.conn())
    .await?;
    Ok(added.rows_affected() == 1)
}

/// # Errors
/// When the store fails.
pub(crate) async fn find(conn: &mut AnyConnection, policy: &str, version: u32) -> Result<Option<Kept>, StoreError> {
    let select = "SELECT policy, version, digest, document, findings, published_by, published_at \
        FROM policy_versions WHERE policy = $1 AND version = $2";
    Ok(sqlx::query_as(select).bind(policy.to_owned()).bind(i64::from(version)).fetch_optional(conn).await?)
}

/// The versions of a policy, the latest first, at most 500.
///
/// # Errors
/// When the store fails.
pub(crate) async fn list(conn: &mut AnyConnection, policy: &str) -> Result<Vec<Published>, StoreError> {
    let select = "SELECT policy, version, digest, findings, published_by, published_at \
        FROM policy_versions WHERE policy = $1 ORDER BY version DESC LIMIT $2";
    Ok(sqlx::query_as(select).bind(policy.to_owned()).bind(LISTED).fetch_all(conn).await?)
}

/// The versions that were activated, by id.
///
/// # Errors
/// When the store fails.
pub(crate) async fn active(conn: &mut AnyConnection) -> Result<Vec<Kept>, StoreError> {
    let select = "SELECT v.policy, v.version, v.digest, v.document, v.findings, v.published_by, v.published_at \
        FROM policy_versions v JOIN policy_active a ON a.policy = v.policy AND a.version = v.version \
        ORDER BY v.policy LIMIT $1";
    Ok(sqlx::query_as(select).bind(LISTED).fetch_all(conn).await?)
}

/// Makes a version judge.
///
/// # Errors
/// When the store fails.
pub(crate) async fn activate(tx: &mut Tx, policy: &PolicyRef) -> Result<(), StoreError> {
    sqlx::query(
        "INSERT INTO policy_active (policy, version, since) VALUES ($1, $2, $3) \
         ON CONFLICT (policy) DO UPDATE SET version = excluded.version, since = excluded.since",
    )
    .bind(policy.id.clone())
    .bind(i64::from(policy.version))
    .bind(micros(tx.now()))
    .execute(tx.conn())
    .await?;
    Ok(())
}

/// Keeps what a replay needs of a request that ended.
///
/// # Errors
/// When the store fails.
pub(crate) async fn remember(tx: &mut Tx, past: &Recorded) -> Result<(), StoreError> {
    // A request that is opened anew after its end is remembered as it ended last.
    sqlx::query(
        "INSERT INTO decided (request_id, ended_at, record) VALUES ($1, $2, $3) \
         ON CONFLICT (request_id) DO UPDATE SET ended_at = excluded.ended_at, record = excluded.record",
    )
    .bind(past.id.clone())
    .bind(micros(past.ended_at))
    .bind(serde_json::to_string(past)?)
    .execute(tx.conn())
    .await?;
    Ok(())
}

/// A page of the past: those that ended within `[from, until)`, before the one that `after` names, the latest first.
///
/// # Errors
/// When the store fails.
pub(crate) async fn past(
    conn: &mut AnyConnection,
    (from, until): (Timestamp, Timestamp),
    after: Option<&(i64, String)>,
    limit: u32,
) -> Result<Vec<(i64, String, String)>, StoreError> {
    let (at, id) = after.cloned().unwrap_or((i64::MAX, String::new()));
    let select = "SELECT ended_at, request_id, record FROM decided \
        WHERE ended_at >= $1 AND ended_at < $2 AND (ended_at < $3 OR (ended_at = $3 AND request_id < $4)) \
        ORDER BY ended_at DESC, request_id DESC LIMIT $5";
    let query = sqlx::query_as(select).bind(micros(from)).bind(micros(until)).bind(at).bind(id);
    Ok(query.bind(i64::from(limit)).fetch_all(conn).await?)
}
