//! Exceptions: what needs a person, once per thing, with its latest occurrences.

use chassis::prelude::*;
use contracts::events::{ExceptionOpened, ExceptionResolved};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use sqlx::{AnyConnection, FromRow, any::AnyRow};

/// Occurrences kept of one exception. A storm counts on; its details beyond this say nothing new.
const KEPT_OCCURRENCES: i64 = 100;

/// Whether somebody has dealt with it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Standing {
    Open,
    Resolved,
}

impl Standing {
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Open => "open",
            Self::Resolved => "resolved",
        }
    }
}

/// Something that needs a person.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
pub(crate) struct Exception {
    pub id: String,
    #[schema(example = "workflow_failed")]
    pub class: String,
    /// 1 (look when you can) to 4 (now); the worst so far.
    #[schema(minimum = 1, maximum = 4)]
    pub severity: u8,
    pub title: String,
    /// Role that owns it.
    pub owner: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub about: Option<String>,
    #[schema(inline)]
    pub state: Standing,
    /// How often it happened since it was opened.
    pub count: u64,
    pub opened_at: Timestamp,
    pub last_seen_at: Timestamp,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resolution: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resolved_by: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resolved_at: Option<Timestamp>,
    /// Newest first, at most 100; only when one exception is looked at.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub occurrences: Vec<Occurrence>,
}

/// One time that it happened.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
pub(crate) struct Occurrence {
    pub at: Timestamp,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub about: Option<String>,
    #[schema(value_type = Object)]
    pub details: Value,
}

impl<'r> FromRow<'r, AnyRow> for Exception {
    fn from_row(row: &'r AnyRow) -> Result<Self, sqlx::Error> {
        use sqlx::Row;
        let open = row.try_get::<String, _>("state")? == Standing::Open.as_str();
        Ok(Self {
            id: row.try_get("id")?,
            class: row.try_get("class")?,
            severity: u8::try_from(row.try_get::<i64, _>("severity")?).unwrap_or(u8::MAX),
            title: row.try_get("title")?,
            owner: row.try_get("owner")?,
            about: row.try_get("about")?,
            state: if open { Standing::Open } else { Standing::Resolved },
            count: u64::try_from(row.try_get::<i64, _>("occurrences")?).unwrap_or_default(),
            opened_at: instant(row.try_get("opened_at")?),
            last_seen_at: instant(row.try_get("last_seen_at")?),
            resolution: row.try_get("resolution")?,
            resolved_by: row.try_get("resolved_by")?,
            resolved_at: instant_opt(row.try_get("resolved_at")?),
            occurrences: Vec::new(),
        })
    }
}

impl<'r> FromRow<'r, AnyRow> for Occurrence {
    fn from_row(row: &'r AnyRow) -> Result<Self, sqlx::Error> {
        use sqlx::Row;
        let details: String = row.try_get("details")?;
        Ok(Self {
            at: instant(row.try_get("at")?),
            about: row.try_get("about")?,
            details: serde_json::from_str(&details).unwrap_or(Value::String(details)),
        })
    }
}

/// Something that happened and needs a person.
pub(crate) struct Incident {
    pub class: String,
    pub severity: u8,
    pub title: String,
    pub owner: String,
    pub about: Option<String>,
    pub details: Value,
    /// With the class, what "the same thing" is; default: `about`, else the title.
    pub same: Option<String>,
}

/// Opens an exception, or counts the open one about the same thing up; `true` when it was opened.
pub(crate) async fn raise(tx: &mut Tx, actor: &str, incident: Incident) -> Result<(Exception, bool), StoreError> {
    let same = incident.same.as_ref().or(incident.about.as_ref()).unwrap_or(&incident.title);
    let key = format!("{}|{same}", incident.class);
    let exception: Exception = sqlx::query_as(
        "INSERT INTO exceptions (id, about_key, class, severity, title, owner, about, state, occurrences, opened_at, \
         last_seen_at) VALUES ($1, $2, $3, $4, $5, $6, $7, 'open', 1, $8, $8) \
         ON CONFLICT (about_key) WHERE state = 'open' DO UPDATE SET occurrences = exceptions.occurrences + 1, \
         last_seen_at = excluded.last_seen_at, severity = CASE WHEN excluded.severity > exceptions.severity \
         THEN excluded.severity ELSE exceptions.severity END RETURNING *",
    )
    .bind(tx.new_id().to_string())
    .bind(key)
    .bind(incident.class)
    .bind(i64::from(incident.severity))
    .bind(incident.title)
    .bind(incident.owner)
    .bind(incident.about.clone())
    .bind(micros(tx.now()))
    .fetch_one(tx.conn())
    .await?;
    remember(tx, &exception.id, incident.about, &incident.details).await?;
    let opened = exception.count == 1;
    let verb = if opened { "exception.opened" } else { "exception.repeated" };
    let details = json!({"class": exception.class, "title": exception.title, "count": exception.count});
    tx.audit(actor, verb, &format!("exception:{}", exception.id), details).await?;
    if opened {
        tx.emit(&ExceptionOpened {
            exception_id: exception.id.clone(),
            class: exception.class.clone(),
            severity: exception.severity,
            title: exception.title.clone(),
            owner: exception.owner.clone(),
            opened_at: exception.opened_at,
        })
        .await?;
    }
    Ok((exception, opened))
}

async fn remember(tx: &mut Tx, id: &str, about: Option<String>, details: &Value) -> Result<(), StoreError> {
    sqlx::query("INSERT INTO occurrences (exception_id, at, about, details) VALUES ($1, $2, $3, $4)")
        .bind(id)
        .bind(micros(tx.now()))
        .bind(about)
        .bind(details.to_string())
        .execute(tx.conn())
        .await?;
    sqlx::query(
        "DELETE FROM occurrences WHERE exception_id = $1 AND seq <= \
         (SELECT seq FROM occurrences WHERE exception_id = $1 ORDER BY seq DESC LIMIT 1 OFFSET $2)",
    )
    .bind(id)
    .bind(KEPT_OCCURRENCES)
    .execute(tx.conn())
    .await?;
    Ok(())
}

/// Why an exception was not resolved.
pub(crate) enum Unresolved {
    Unknown,
    /// Somebody was first.
    Already(Box<Exception>),
}

/// Closes an open exception.
pub(crate) async fn resolve(
    tx: &mut Tx,
    actor: &str,
    id: &str,
    resolution: &str,
) -> Result<Result<Exception, Unresolved>, StoreError> {
    let now = tx.now();
    let resolved: Option<Exception> = sqlx::query_as(
        "UPDATE exceptions SET state = 'resolved', resolution = $1, resolved_by = $2, resolved_at = $3 \
         WHERE id = $4 AND state = 'open' RETURNING *",
    )
    .bind(resolution)
    .bind(actor)
    .bind(micros(now))
    .bind(id)
    .fetch_optional(tx.conn())
    .await?;
    let Some(exception) = resolved else {
        let found = find(tx.conn(), id).await?;
        return Ok(Err(found.map_or(Unresolved::Unknown, |found| Unresolved::Already(Box::new(found)))));
    };
    tx.audit(actor, "exception.resolved", &format!("exception:{id}"), json!({"resolution": resolution})).await?;
    tx.emit(&ExceptionResolved {
        exception_id: id.to_owned(),
        resolution: resolution.to_owned(),
        by: actor.to_owned(),
        resolved_at: now,
    })
    .await?;
    Ok(Ok(exception))
}

/// The exception of that id, with its occurrences.
pub(crate) async fn find(conn: &mut AnyConnection, id: &str) -> Result<Option<Exception>, StoreError> {
    let found: Option<Exception> =
        sqlx::query_as("SELECT * FROM exceptions WHERE id = $1").bind(id).fetch_optional(&mut *conn).await?;
    let Some(mut exception) = found else { return Ok(None) };
    let select = "SELECT at, about, details FROM occurrences WHERE exception_id = $1 ORDER BY seq DESC";
    exception.occurrences = sqlx::query_as(select).bind(id).fetch_all(conn).await?;
    Ok(Some(exception))
}

/// Newest first, those before `before`; one more than `limit`.
pub(crate) async fn list(
    conn: &mut AnyConnection,
    state: Option<Standing>,
    owner: Option<String>,
    before: Option<String>,
    limit: u32,
) -> Result<Vec<Exception>, StoreError> {
    let select = "SELECT * FROM exceptions WHERE ($1 IS NULL OR state = $1) AND ($2 IS NULL OR owner = $2) \
                  AND ($3 IS NULL OR id < $3) ORDER BY id DESC LIMIT $4";
    let query = sqlx::query_as(select).bind(state.map(Standing::as_str)).bind(owner).bind(before);
    Ok(query.bind(i64::from(limit) + 1).fetch_all(conn).await?)
}
