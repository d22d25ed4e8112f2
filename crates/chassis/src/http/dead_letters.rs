//! `/v1/dead-letters`: what was given up, by both ends of the reliable path. List, look, replay, discard.

use actix_web::{get, post, web};
use contracts::Page;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use sqlx::{FromRow, any::AnyRow};

use super::{
    ApiError, Body, IdempotencyKey, Paging, Params, PathOf, Problems, Reply, command::Answer, command::command,
};
use crate::{
    auth::{
        Caller,
        permissions::{ManageDeadLetters, ReadOperations},
    },
    cx::Cx,
    store::{StoreError, Tx, instant, instant_opt, micros},
};

/// A row that waits for a person.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
pub(crate) struct DeadLetter {
    /// Id of the effect or event.
    pub id: String,
    /// `outbox`: it could not leave. `inbox`: it could not be handled.
    pub side: String,
    /// Executor, `bus`, or the event type.
    pub destination: String,
    pub about: String,
    pub cause: String,
    pub attempts: u32,
    pub created_at: Timestamp,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub first_failed_at: Option<Timestamp>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_failed_at: Option<Timestamp>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub correlation_id: Option<String>,
    /// The payload, as JSON where it is JSON; only when one letter is looked at.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Object>)]
    pub payload: Option<Value>,
    #[serde(skip)]
    position: i64,
}

impl<'r> FromRow<'r, AnyRow> for DeadLetter {
    fn from_row(row: &'r AnyRow) -> Result<Self, sqlx::Error> {
        use sqlx::Row;
        let payload: Option<String> = row.try_get("payload")?;
        Ok(Self {
            id: row.try_get("id")?,
            side: row.try_get("side")?,
            destination: row.try_get("destination")?,
            about: row.try_get("about")?,
            cause: row.try_get::<Option<String>, _>("last_error")?.unwrap_or_default(),
            attempts: u32::try_from(row.try_get::<i64, _>("attempts")?).unwrap_or(u32::MAX),
            created_at: instant(row.try_get("created_at")?),
            first_failed_at: instant_opt(row.try_get("first_failed_at")?),
            last_failed_at: instant_opt(row.try_get("last_failed_at")?),
            correlation_id: row.try_get("correlation_id")?,
            payload: payload.map(|text| serde_json::from_str(&text).unwrap_or(Value::String(text))),
            position: row.try_get("position")?,
        })
    }
}

// Both tables as one list. `position` orders them by the time they were given up.
macro_rules! select_dead {
    ($payload_out:literal, $payload_in:literal, $rest:literal) => {
        concat!(
            "SELECT * FROM (SELECT id, 'outbox' AS side, destination, about, last_error, attempts, created_at, ",
            "first_failed_at, last_failed_at, correlation_id, ",
            $payload_out,
            " AS payload, ",
            "COALESCE(finished_at, 0) AS position FROM outbox WHERE state = 'dead' ",
            "UNION ALL SELECT event_id, 'inbox', type, subject, last_error, attempts, received_at, first_failed_at, ",
            "last_failed_at, NULL, ",
            $payload_in,
            ", COALESCE(finished_at, 0) FROM inbox WHERE state = 'dead') AS dead ",
            $rest
        )
    };
}

/// Which dead letters to list.
#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(crate) struct DeadLetterFilter {
    /// Executor, `bus` or event type.
    destination: Option<String>,
    /// Opaque, from `next_cursor`.
    cursor: Option<String>,
    /// Items on a page.
    #[param(minimum = 1, maximum = 500, default = 50)]
    limit: Option<u32>,
}

/// Dead letters, longest waiting first.
#[utoipa::path(tag = "dead letters", params(DeadLetterFilter), responses((status = 200, body = Page<DeadLetter>), Problems))]
#[get("/v1/dead-letters")]
pub(crate) async fn list_dead_letters(
    cx: Cx,
    _caller: Caller<ReadOperations>,
    filter: Params<DeadLetterFilter>,
) -> Result<web::Json<Page<DeadLetter>>, ApiError> {
    let paging = Paging::parse(filter.cursor.as_deref(), filter.limit)?;
    let (after, after_id): (i64, String) = paging.after()?.unwrap_or((i64::MIN, String::new()));
    let mut reader = cx.store().read().await?;
    let rows: Vec<DeadLetter> = sqlx::query_as(select_dead!(
        "CAST(NULL AS TEXT)",
        "CAST(NULL AS TEXT)",
        "WHERE (position > $1 OR (position = $1 AND id > $2)) AND ($3 IS NULL OR destination = $3) \
         ORDER BY position, id LIMIT $4"
    ))
    .bind(after)
    .bind(after_id)
    .bind(filter.destination.clone())
    .bind(i64::from(paging.limit) + 1)
    .fetch_all(&mut *reader)
    .await
    .map_err(StoreError::from)?;
    Ok(web::Json(Page::cut(rows, paging.limit, |letter| Paging::cursor(&(letter.position, &letter.id)))))
}

/// One dead letter with its payload.
#[utoipa::path(tag = "dead letters", responses((status = 200, body = DeadLetter), Problems))]
#[get("/v1/dead-letters/{id}")]
pub(crate) async fn get_dead_letter(
    cx: Cx,
    _caller: Caller<ManageDeadLetters>,
    id: PathOf<String>,
) -> Result<web::Json<DeadLetter>, ApiError> {
    let mut reader = cx.store().read().await?;
    let found: Option<DeadLetter> = sqlx::query_as(select_dead!("payload", "message", "WHERE id = $1"))
        .bind(id.as_str())
        .fetch_optional(&mut *reader)
        .await
        .map_err(StoreError::from)?;
    found.map(web::Json).ok_or_else(|| ApiError::not_found("dead letter"))
}

/// Why somebody replays or discards.
#[derive(Debug, Clone, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Reason {
    /// Kept in the audit trail.
    #[schema(min_length = 3, max_length = 1000)]
    reason: String,
}

/// Where a letter is now.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub(crate) struct LetterMoved {
    id: String,
    /// `pending` or `discarded`.
    #[schema(example = "pending")]
    state: &'static str,
}

/// Puts a dead letter back into its queue: it is attempted now, with its attempts counted from the start.
#[utoipa::path(tag = "dead letters", params(IdempotencyKey), request_body = Reason,
    responses((status = 202, description = "It is on its way again", body = LetterMoved), Problems))]
#[post("/v1/dead-letters/{id}/replay")]
pub(crate) async fn replay_dead_letter(
    cx: Cx,
    caller: Caller<ManageDeadLetters>,
    key: IdempotencyKey,
    id: PathOf<String>,
    body: Body<Reason>,
) -> Result<Answer, ApiError> {
    end_letter(cx, caller, key, id.into_inner(), body.into_inner(), "replayed").await
}

/// Ends a dead letter without doing it.
#[utoipa::path(tag = "dead letters", params(IdempotencyKey), request_body = Reason,
    responses((status = 202, description = "It is discarded", body = LetterMoved), Problems))]
#[post("/v1/dead-letters/{id}/discard")]
pub(crate) async fn discard_dead_letter(
    cx: Cx,
    caller: Caller<ManageDeadLetters>,
    key: IdempotencyKey,
    id: PathOf<String>,
    body: Body<Reason>,
) -> Result<Answer, ApiError> {
    end_letter(cx, caller, key, id.into_inner(), body.into_inner(), "discarded").await
}

async fn end_letter(
    cx: Cx,
    caller: Caller<ManageDeadLetters>,
    key: IdempotencyKey,
    id: String,
    reason: Reason,
    verb: &'static str,
) -> Result<Answer, ApiError> {
    if !(3..=1000).contains(&reason.reason.chars().count()) {
        return Err(ApiError::invalid_field("/reason", "must have 3 to 1000 characters"));
    }
    let route = if verb == "replayed" { "dead-letters.replay" } else { "dead-letters.discard" };
    let actor = caller.actor();
    let fingerprint = (id.clone(), reason.clone());
    let answer = command(&cx, &caller, route, &key, &fingerprint, |tx| {
        Box::pin(async move {
            let state = if verb == "replayed" { "pending" } else { "discarded" };
            if !move_letter(tx, &id, state).await? {
                return Err(ApiError::not_found("dead letter"));
            }
            tx.audit(
                &actor,
                &format!("dead_letter.{verb}"),
                &format!("dead-letter:{id}"),
                json!({"reason": reason.reason}),
            )
            .await?;
            Ok(Reply::accepted(LetterMoved { id, state }))
        })
    });
    let answer = answer.await?;
    cx.store().outbox_commits().send_modify(|n| *n += 1);
    Ok(answer)
}

/// Moves a dead row of either table; a message that cannot be decoded can only be discarded.
async fn move_letter(tx: &mut Tx, id: &str, state: &str) -> Result<bool, StoreError> {
    let now = micros(tx.now());
    let outbox = sqlx::query(
        "UPDATE outbox SET state = $1, attempts = CASE WHEN $1 = 'pending' THEN 0 ELSE attempts END, \
         doubts = doubts + 1, coalesce_key = NULL, next_attempt_at = $2, finished_at = CASE WHEN $1 = 'pending' THEN NULL ELSE $2 END \
         WHERE id = $3 AND state = 'dead'",
    );
    let inbox = sqlx::query(
        "UPDATE inbox SET state = $1, attempts = CASE WHEN $1 = 'pending' THEN 0 ELSE attempts END, \
         next_attempt_at = $2, finished_at = CASE WHEN $1 = 'pending' THEN NULL ELSE $2 END \
         WHERE event_id = $3 AND state = 'dead' AND (type <> 'undecodable' OR $1 = 'discarded')",
    );
    for update in [outbox, inbox] {
        let moved = update.bind(state).bind(now).bind(id).execute(tx.conn()).await?;
        if moved.rows_affected() == 1 {
            return Ok(true);
        }
    }
    Ok(false)
}
