//! Commands: one transaction with the claim of the idempotency key, the work, and the answer that a repeat will get.

use std::time::Duration;

use actix_web::{
    HttpRequest, HttpResponse, Responder,
    body::BoxBody,
    http::{
        StatusCode,
        header::{self, ContentType},
    },
};
use contracts::Digest;
use futures_util::future::BoxFuture;
use serde::Serialize;
use sqlx::Row as _;

use super::{ApiError, IdempotencyKey};
use crate::{
    auth::Principal,
    cx::Cx,
    store::{StoreError, Tx, micros},
};

/// How long a key is remembered. Behind it, natural keys of the business hold for ever.
const KEEP_KEY: Duration = Duration::from_secs(7 * 24 * 3600);

/// What a command's work answers.
#[derive(Debug)]
pub struct Reply<T> {
    status: StatusCode,
    body: T,
}

impl<T: Serialize> Reply<T> {
    pub fn ok(body: T) -> Self {
        Self { status: StatusCode::OK, body }
    }

    pub fn created(body: T) -> Self {
        Self { status: StatusCode::CREATED, body }
    }

    pub fn accepted(body: T) -> Self {
        Self { status: StatusCode::ACCEPTED, body }
    }
}

/// A finished answer: JSON text with its status, the same for the first request and for every repeat of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    status: StatusCode,
    body: String,
    etag: Option<String>,
    /// Whether it was answered from memory.
    pub replayed: bool,
}

impl Answer {
    /// An answer outside a command.
    ///
    /// # Errors
    /// When the body has no JSON form.
    pub fn new<T: Serialize>(reply: &Reply<T>) -> Result<Self, ApiError> {
        let body = serde_json::to_string(&reply.body).map_err(StoreError::from)?;
        Ok(Self { status: reply.status, body, etag: None, replayed: false })
    }

    #[must_use]
    pub fn etag(mut self, etag: String) -> Self {
        self.etag = Some(etag);
        self
    }

    /// The body in its type, for a handler that waits for what it promised.
    ///
    /// # Errors
    /// When the body is of another shape.
    pub fn body_as<T: serde::de::DeserializeOwned>(&self) -> Result<T, ApiError> {
        Ok(serde_json::from_str(&self.body).map_err(StoreError::from)?)
    }
}

impl Responder for Answer {
    type Body = BoxBody;

    fn respond_to(self, _: &HttpRequest) -> HttpResponse {
        let mut response = HttpResponse::build(self.status);
        response.insert_header(ContentType::json());
        if let Some(etag) = self.etag {
            response.insert_header((header::ETAG, etag));
        }
        if self.replayed {
            response.insert_header(("Idempotency-Replayed", "true"));
        }
        response.body(self.body)
    }
}

/// Runs a command once per key.
///
/// `fingerprint` holds the business fields that make it this request and no other; a repeat with the same key and
/// other fields is refused (422). The key is scoped by the caller and the route. When `work` fails, nothing is kept, and
/// the key is free for the corrected request.
///
/// # Errors
/// What `work` answers; 409 while a twin is running; 422 for a key that was used for another request.
pub async fn command<T, F>(
    cx: &Cx,
    caller: &Principal,
    route: &'static str,
    key: &IdempotencyKey,
    fingerprint: &(impl Serialize + Sync),
    work: F,
) -> Result<Answer, ApiError>
where
    T: Serialize,
    F: for<'t> FnOnce(&'t mut Tx) -> BoxFuture<'t, Result<Reply<T>, ApiError>>,
{
    let scope = format!("{}|{route}", caller.actor());
    let fingerprint = Digest::of(fingerprint).map_err(StoreError::from)?;
    let mut tx = cx.store().begin().await?;
    if let Some(correlation) = caller.correlation_id() {
        tx.correlate(correlation);
    }
    if let Some(answer) = claim(&mut tx, &scope, key, &fingerprint).await? {
        cx.metrics().idempotent_replay(route);
        return Ok(answer);
    }
    let reply = work(&mut tx).await?;
    let answer = Answer::new(&reply)?;
    sqlx::query("UPDATE idempotency SET status = $1, body = $2 WHERE scope = $3 AND idempotency_key = $4")
        .bind(i64::from(answer.status.as_u16()))
        .bind(answer.body.as_str())
        .bind(scope)
        .bind(key.as_str())
        .execute(tx.conn())
        .await
        .map_err(StoreError::from)?;
    tx.commit().await?;
    Ok(answer)
}

/// Claims the key, or returns the answer of the request that had it first. A twin that is still running holds the row:
/// on PostgreSQL the insert waits for it up to the lock timeout, which becomes 409; on SQLite writers queue anyway.
async fn claim(
    tx: &mut Tx,
    scope: &str,
    key: &IdempotencyKey,
    fingerprint: &Digest,
) -> Result<Option<Answer>, ApiError> {
    let now = tx.now();
    let twin = |error: sqlx::Error| match StoreError::from(error) {
        StoreError::Busy(_) => ApiError::still_running(),
        other => other.into(),
    };
    // An expired key is as good as none.
    let claimed = sqlx::query(
        "INSERT INTO idempotency (scope, idempotency_key, fingerprint, status, body, expires_at) \
         VALUES ($1, $2, $3, 0, '', $4) ON CONFLICT (scope, idempotency_key) DO UPDATE SET \
         fingerprint = excluded.fingerprint, expires_at = excluded.expires_at WHERE idempotency.expires_at <= $5",
    )
    .bind(scope)
    .bind(key.as_str())
    .bind(fingerprint.as_str())
    .bind(micros(now + KEEP_KEY))
    .bind(micros(now))
    .execute(tx.conn())
    .await
    .map_err(twin)?;
    if claimed.rows_affected() == 1 {
        return Ok(None);
    }
    let first =
        sqlx::query("SELECT fingerprint, status, body FROM idempotency WHERE scope = $1 AND idempotency_key = $2")
            .bind(scope)
            .bind(key.as_str())
            .fetch_one(tx.conn())
            .await
            .map_err(StoreError::from)?;
    let read = |error: sqlx::Error| ApiError::from(StoreError::from(error));
    if first.try_get::<String, _>("fingerprint").map_err(read)? != fingerprint.as_str() {
        return Err(ApiError::key_reused());
    }
    let status: i64 = first.try_get("status").map_err(read)?;
    let status = u16::try_from(status).ok().and_then(|code| StatusCode::from_u16(code).ok());
    let body = first.try_get("body").map_err(read)?;
    let status = status.unwrap_or(StatusCode::OK);
    Ok(Some(Answer { status, body, etag: None, replayed: true }))
}
