//! Versions of models, which of them is active, and the cases that they are compared on.

use chassis::prelude::*;
use serde_json::value::RawValue;
use sqlx::{AnyConnection, FromRow, any::AnyRow};

/// A published version as it is kept.
#[derive(Clone, Debug)]
pub(crate) struct Published {
    pub version: String,
    /// The whole file; empty in a list.
    pub parameters: String,
    pub digest: String,
    pub comparison: Box<RawValue>,
    pub reason: Option<String>,
    pub published_by: String,
    pub published_at: Timestamp,
}

impl<'r> FromRow<'r, AnyRow> for Published {
    fn from_row(row: &'r AnyRow) -> Result<Self, sqlx::Error> {
        use sqlx::Row;
        let comparison = RawValue::from_string(row.try_get("comparison")?);
        Ok(Self {
            version: row.try_get("version")?,
            parameters: row.try_get("parameters")?,
            digest: row.try_get("digest")?,
            comparison: comparison.map_err(|error| sqlx::Error::Decode(Box::new(error)))?,
            reason: row.try_get("reason")?,
            published_by: row.try_get("published_by")?,
            published_at: instant(row.try_get("published_at")?),
        })
    }
}

/// Adds a version; `false` when its name is taken, and then nothing was added.
pub(crate) async fn add(tx: &mut Tx, model: &str, new: &Published) -> Result<bool, StoreError> {
    let added = sqlx::query(
        "INSERT INTO model_versions (model, version, parameters, digest, comparison, reason, published_by, published_at) \
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8) ON CONFLICT DO NOTHING",
    )
    .bind(model)
    .bind(new.version.as_str())
    .bind(new.parameters.as_str())
    .bind(new.digest.as_str())
    .bind(new.comparison.get())
    .bind(new.reason.as_deref())
    .bind(new.published_by.as_str())
    .bind(micros(new.published_at))
    .execute(tx.conn())
    .await?;
    Ok(added.rows_affected() == 1)
}

pub(crate) async fn find(
    conn: &mut AnyConnection,
    model: &str,
    version: &str,
) -> Result<Option<Published>, StoreError> {
    let select = "SELECT version, parameters, digest, comparison, reason, published_by, published_at \
        FROM model_versions WHERE model = $1 AND version = $2";
    Ok(sqlx::query_as(select).bind(model).bind(version).fetch_optional(conn).await?)
}

/// The latest first, at most 500, without their parameters.
pub(crate) async fn list(conn: &mut AnyConnection, model: &str) -> Result<Vec<Published>, StoreError> {
    let select = "SELECT version, '' AS parameters, digest, comparison, reason, published_by, published_at \
        FROM model_versions WHERE model = $1 ORDER BY published_at DESC, version DESC LIMIT 500";
    Ok(sqlx::query_as(select).bind(model).fetch_all(conn).await?)
}

/// The version that answers; `None` for the shipped one.
pub(crate) async fn active(conn: &mut AnyConnection, model: &str) -> Result<Option<String>, StoreError> {
    let select = "SELECT version FROM model_active WHERE model = $1";
    let row: Option<(String,)> = sqlx::query_as(select).bind(model).fetch_optional(conn).await?;
    Ok(row.map(|(version,)| version))
}

/// Makes a version the one that answers, if `seen` still is: of two who change it at once, one is told so.
pub(crate) async fn activate(tx: &mut Tx, model: &str, seen: Option<&str>, version: &str) -> Result<bool, StoreError> {
    let statement = match seen {
        None => "INSERT INTO model_active (model, version, since) VALUES ($1, $2, $3) ON CONFLICT DO NOTHING",
        Some(_) => "UPDATE model_active SET version = $2, since = $3 WHERE model = $1 AND version = $4",
    };
    let query = sqlx::query(statement).bind(model).bind(version).bind(micros(tx.now()));
    let query = if seen.is_some() { query.bind(seen) } else { query };
    Ok(query.execute(tx.conn()).await?.rows_affected() == 1)
}

/// Adds cases to a set.
pub(crate) async fn keep_cases(
    tx: &mut Tx,
    actor: &str,
    (model, set): (&str, &str),
    cases: &[Box<RawValue>],
) -> Result<(), StoreError> {
    for case in cases {
        let id = tx.new_id().to_string();
        sqlx::query(
            "INSERT INTO model_cases (id, model, case_set, body, kept_by, kept_at) VALUES ($1, $2, $3, $4, $5, $6)",
        )
        .bind(id)
        .bind(model)
        .bind(set)
        .bind(case.get())
        .bind(actor)
        .bind(micros(tx.now()))
        .execute(tx.conn())
        .await?;
    }
    Ok(())
}

pub(crate) async fn count_cases(conn: &mut AnyConnection, model: &str, set: &str) -> Result<u64, StoreError> {
    let select = "SELECT COUNT(*) FROM model_cases WHERE model = $1 AND case_set = $2";
    let (count,): (i64,) = sqlx::query_as(select).bind(model).bind(set).fetch_one(conn).await?;
    Ok(count.unsigned_abs())
}

/// The cases of a set in the order in which they were kept.
pub(crate) async fn cases(conn: &mut AnyConnection, model: &str, set: &str) -> Result<Vec<String>, StoreError> {
    let select = "SELECT body FROM model_cases WHERE model = $1 AND case_set = $2 ORDER BY id";
    let rows: Vec<(String,)> = sqlx::query_as(select).bind(model).bind(set).fetch_all(conn).await?;
    Ok(rows.into_iter().map(|(body,)| body).collect())
}
