//! `/v1/operations/{id}`: how an effect stands, and its result when it has one.

use std::time::Duration;

use actix_web::{get, web};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use sqlx::{FromRow, any::AnyRow};

use super::{ApiError, PathOf, Prefer, Problems};
use crate::{
    auth::{Caller, permissions::ReadOperations},
    cx::Cx,
    store::{StoreError, instant, instant_opt},
};

/// Look again at least this often while waiting, for ends that another replica wrote.
const LOOK_AGAIN: Duration = Duration::from_millis(250);

/// How an effect stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum OperationState {
    /// Waits for its first or next attempt.
    Pending,
    Done,
    /// Given up; a person must look.
    Dead,
    /// Ended without success, and nobody need look.
    Discarded,
}

/// An effect that was promised.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Operation {
    pub id: String,
    pub state: OperationState,
    /// Who carries it out: `odoo.transfer`, `smtp`, ...
    pub executor: String,
    pub about: String,
    pub attempts: u32,
    pub created_at: Timestamp,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub finished_at: Option<Timestamp>,
    /// When it will be tried again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next_attempt_at: Option<Timestamp>,
    /// What the executor answered; its shape is the executor's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Object>)]
    pub result: Option<Value>,
    /// Why the last attempt failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cause: Option<String>,
}

impl Operation {
    #[must_use]
    pub fn is_finished(&self) -> bool {
        self.state != OperationState::Pending
    }
}

impl<'r> FromRow<'r, AnyRow> for Operation {
    fn from_row(row: &'r AnyRow) -> Result<Self, sqlx::Error> {
        use sqlx::Row;
        let state = match row.try_get::<String, _>("state")?.as_str() {
            "done" => OperationState::Done,
            "dead" => OperationState::Dead,
            "discarded" => OperationState::Discarded,
            _ => OperationState::Pending,
        };
        let result: Option<String> = row.try_get("result")?;
        let pending = state == OperationState::Pending;
        Ok(Self {
            id: row.try_get("id")?,
            state,
            executor: row.try_get("destination")?,
            about: row.try_get("about")?,
            attempts: u32::try_from(row.try_get::<i64, _>("attempts")?).unwrap_or(u32::MAX),
            created_at: instant(row.try_get("created_at")?),
            finished_at: instant_opt(row.try_get("finished_at")?),
            next_attempt_at: pending.then_some(instant(row.try_get("next_attempt_at")?)),
            result: result.and_then(|text| serde_json::from_str(&text).ok()),
            cause: row.try_get("last_error")?,
        })
    }
}

/// The effect of that id, `None` when there is none.
///
/// # Errors
/// When the store fails.
pub async fn operation(cx: &Cx, id: &str) -> Result<Option<Operation>, StoreError> {
    let mut reader = cx.store().read().await?;
    Ok(sqlx::query_as(
        "SELECT id, state, destination, about, attempts, created_at, finished_at, next_attempt_at, result, last_error \
         FROM outbox WHERE id = $1 AND kind = 'effect'",
    )
    .bind(id)
    .fetch_optional(&mut *reader)
    .await?)
}

/// The effect of that id, finished if that happens while the caller wishes to wait (`Prefer: wait=10`).
///
/// # Errors
/// When the store fails.
pub async fn wait_for_operation(cx: &Cx, id: &str, prefer: &Prefer) -> Result<Option<Operation>, StoreError> {
    let mut finished = cx.store().finished_effects().subscribe();
    let deadline = tokio::time::Instant::now() + prefer.wait.unwrap_or_default();
    loop {
        finished.borrow_and_update();
        let found = operation(cx, id).await?;
        let over = found.as_ref().is_none_or(Operation::is_finished) || tokio::time::Instant::now() >= deadline;
        if over {
            return Ok(found);
        }
        let look_again = (tokio::time::Instant::now() + LOOK_AGAIN).min(deadline);
        tokio::select! {
            _ = finished.changed() => {}
            () = tokio::time::sleep_until(look_again) => {}
        }
    }
}

/// An operation: whether what was accepted has happened, and its result.
#[utoipa::path(tag = "operations", params(Prefer), responses((status = 200, body = Operation), Problems))]
#[get("/v1/operations/{id}")]
pub(crate) async fn get_operation(
    cx: Cx,
    _caller: Caller<ReadOperations>,
    id: PathOf<String>,
    prefer: Prefer,
) -> Result<web::Json<Operation>, ApiError> {
    let found = wait_for_operation(&cx, &id, &prefer).await?;
    found.map(web::Json).ok_or_else(|| ApiError::not_found("operation"))
}
