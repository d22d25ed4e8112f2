//! Summaries of exceptions and the receipts of what left the house for them.

use chassis::prelude::*;
use models::summary::Dropped;
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use sqlx::{AnyConnection, FromRow, Row as _, any::AnyRow};

/// What left the house. Written before it leaves, with the promise to send it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
#[schema(as = SummaryReceipt)]
pub(crate) struct Receipt {
    /// Fields of the exception: `class`, `severity`, `about`, and the ids of facts.
    pub fields: Vec<String>,
    /// SHA-256 of the bytes that were sent.
    pub hash: Digest,
    pub bytes: usize,
    /// Address that they were sent to.
    pub to: String,
    pub model: String,
    pub at: Timestamp,
}

/// What became of a text that was asked for.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Written {
    /// What is left of it; `None` when the template stands.
    pub text: Option<String>,
    pub dropped: Vec<Dropped>,
    pub fallback: Option<String>,
}

/// A summary as it is kept.
#[derive(Clone, Debug)]
pub(crate) struct Kept {
    pub id: String,
    /// The request as JSON.
    pub request: String,
    pub pending: bool,
    pub by_template: bool,
    pub text: String,
    pub dropped: Vec<Dropped>,
    pub fallback: Option<String>,
    pub receipt: Option<Receipt>,
    pub operation_id: Option<String>,
    pub made_by: String,
    pub made_at: Timestamp,
}

impl<'r> FromRow<'r, AnyRow> for Kept {
    fn from_row(row: &'r AnyRow) -> Result<Self, sqlx::Error> {
        Ok(Self {
            id: row.try_get("id")?,
            request: row.try_get("request")?,
            pending: row.try_get::<String, _>("state")? == "pending",
            by_template: row.try_get::<String, _>("source")? == "template",
            text: row.try_get("text")?,
            dropped: json(row.try_get("dropped")?)?,
            fallback: row.try_get("fallback")?,
            receipt: row.try_get::<Option<String>, _>("receipt")?.map(json).transpose()?,
            operation_id: row.try_get("operation_id")?,
            made_by: row.try_get("made_by")?,
            made_at: instant(row.try_get("made_at")?),
        })
    }
}

fn json<T: DeserializeOwned>(text: String) -> Result<T, sqlx::Error> {
    serde_json::from_str(&text).map_err(|error| sqlx::Error::Decode(Box::new(error)))
}

pub(crate) async fn add(tx: &mut Tx, new: &Kept) -> Result<(), StoreError> {
    let receipt = new.receipt.as_ref().map(serde_json::to_string).transpose()?;
    sqlx::query(
        "INSERT INTO summaries (id, request, state, source, text, dropped, fallback, receipt, operation_id, made_by, \
         made_at) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)",
    )
    .bind(new.id.as_str())
    .bind(new.request.as_str())
    .bind(if new.pending { "pending" } else { "done" })
    .bind("template")
    .bind(new.text.as_str())
    .bind(serde_json::to_string(&new.dropped)?)
    .bind(new.fallback.as_deref())
    .bind(receipt)
    .bind(new.operation_id.as_deref())
    .bind(new.made_by.as_str())
    .bind(micros(new.made_at))
    .execute(tx.conn())
    .await?;
    Ok(())
}

/// Ends a pending one: with the text that was written, or with the template that stands already.
pub(crate) async fn finish(tx: &mut Tx, id: &str, written: &Written) -> Result<(), StoreError> {
    sqlx::query(
        "UPDATE summaries SET state = 'done', source = CASE WHEN $1 IS NULL THEN source ELSE 'endpoint' END, \
         text = COALESCE($1, text), dropped = $2, fallback = $3 WHERE id = $4 AND state = 'pending'",
    )
    .bind(written.text.as_deref())
    .bind(serde_json::to_string(&written.dropped)?)
    .bind(written.fallback.as_deref())
    .bind(id)
    .execute(tx.conn())
    .await?;
    Ok(())
}

pub(crate) async fn find(conn: &mut AnyConnection, id: &str) -> Result<Option<Kept>, StoreError> {
    Ok(sqlx::query_as("SELECT * FROM summaries WHERE id = $1").bind(id).fetch_optional(conn).await?)
}

/// Newest first, those before `before`; one more than `limit`.
pub(crate) async fn list(
    conn: &mut AnyConnection,
    before: Option<String>,
    limit: u32,
) -> Result<Vec<Kept>, StoreError> {
    let select = "SELECT * FROM summaries WHERE ($1 IS NULL OR id < $1) ORDER BY id DESC LIMIT $2";
    Ok(sqlx::query_as(select).bind(before).bind(i64::from(limit) + 1).fetch_all(conn).await?)
}
