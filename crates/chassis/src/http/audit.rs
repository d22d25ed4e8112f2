//! `/v1/audit`: who did what, by subject or by thread of business.

use actix_web::{get, web};
use contracts::{Page, audit::AuditLeaf};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use sqlx::{FromRow, any::AnyRow};

use super::{ApiError, Paging, Params, Problems};
use crate::{
    audit::leaf_of,
    auth::{Caller, permissions::ReadAudit},
    cx::Cx,
    store::StoreError,
};

/// One append-only leaf, and its number.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
pub(crate) struct AuditEntry {
    pub seq: i64,
    pub id: String,
    pub at: Timestamp,
    /// `key:n8n`, `person:olga`, `policy:...`, `service:supply`.
    pub actor: String,
    #[schema(example = "approval.approved")]
    pub verb: String,
    #[schema(example = "approval:0192f0c1-...")]
    pub subject: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trace_id: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub correlation_id: Option<String>,
    #[schema(value_type = Object)]
    pub details: Value,
}

impl<'r> FromRow<'r, AnyRow> for AuditEntry {
    fn from_row(row: &'r AnyRow) -> Result<Self, sqlx::Error> {
        use sqlx::Row;
        // Read as it is hashed: what is listed is what was signed for.
        let AuditLeaf { id, at, actor, verb, subject, trace_id, correlation_id, details } = leaf_of(row)?;
        Ok(Self { seq: row.try_get("seq")?, id, at, actor, verb, subject, trace_id, correlation_id, details })
    }
}

/// Which leaves to list; all of them when nothing is given.
#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(crate) struct AuditFilter {
    /// Exactly this subject.
    subject: Option<String>,
    /// Everything of one thread of business, across subjects.
    correlation_id: Option<String>,
    /// Opaque, from `next_cursor`.
    cursor: Option<String>,
    /// Items on a page.
    #[param(minimum = 1, maximum = 500, default = 50)]
    limit: Option<u32>,
}

/// The audit trail, oldest first.
#[utoipa::path(tag = "audit", params(AuditFilter), responses((status = 200, body = Page<AuditEntry>), Problems))]
#[get("/v1/audit")]
pub(crate) async fn list_audit(
    cx: Cx,
    _caller: Caller<ReadAudit>,
    filter: Params<AuditFilter>,
) -> Result<web::Json<Page<AuditEntry>>, ApiError> {
    let paging = Paging::parse(filter.cursor.as_deref(), filter.limit)?;
    let after: i64 = paging.after()?.unwrap_or(0);
    let mut reader = cx.store().read().await?;
    let rows: Vec<AuditEntry> = sqlx::query_as(
        "SELECT seq, id, at, actor, verb, subject, trace_id, correlation_id, details FROM audit \
         WHERE seq > $1 AND ($2 IS NULL OR subject = $2) AND ($3 IS NULL OR correlation_id = $3) ORDER BY seq LIMIT $4",
    )
    .bind(after)
    .bind(filter.subject.clone())
    .bind(filter.correlation_id.clone())
    .bind(i64::from(paging.limit) + 1)
    .fetch_all(&mut *reader)
    .await
    .map_err(StoreError::from)?;
    Ok(web::Json(Page::cut(rows, paging.limit, |entry| Paging::cursor(&entry.seq))))
}
