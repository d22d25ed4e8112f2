use chassis::store::{Store, StoreError, Tx, instant, micros};
use contracts::ids::InvalidId;
use jiff::Timestamp;
use serde::Serialize;
use serde_json::json;
use sqlx::{FromRow, Row as _, any::AnyRow};

use crate::rules::observation::{Entity, XrefTold};

/// Name of the system in the cross-reference.
pub(crate) const ODOO: &str = "odoo";

/// Something of another system's that could not be mapped and was not guessed. An `xref` observation settles it.
#[derive(Clone, Debug, Serialize, utoipa::ToSchema)]
pub(crate) struct XrefConflict {
    #[schema(value_type = Entity)]
    pub entity: String,
    #[schema(example = "odoo")]
    pub system: String,
    /// What the other system calls it; the `external_id` of the observation.
    #[schema(example = "Acme Foods GmbH")]
    pub external_id: String,
    /// For people to read.
    pub reason: String,
    pub first_seen_at: Timestamp,
    pub last_seen_at: Timestamp,
}

/// Where a conflict stands in the list: since when, entity, system, external id.
pub(crate) type Position = (Timestamp, String, String, String);

impl XrefConflict {
    pub(crate) fn position(&self) -> Position {
        (self.first_seen_at, self.entity.clone(), self.system.clone(), self.external_id.clone())
    }
}

impl<'r> FromRow<'r, AnyRow> for XrefConflict {
    fn from_row(row: &'r AnyRow) -> Result<Self, sqlx::Error> {
        Ok(Self {
            entity: row.try_get("entity")?,
            system: row.try_get("system")?,
            external_id: row.try_get("external_id")?,
            reason: row.try_get("reason")?,
            first_seen_at: instant(row.try_get("first_seen_at")?),
            last_seen_at: instant(row.try_get("last_seen_at")?),
        })
    }
}

/// At most `limit` conflicts after that position, longest waiting first.
pub(crate) async fn conflicts(
    store: &Store,
    after: Option<Position>,
    limit: u32,
) -> Result<Vec<XrefConflict>, StoreError> {
    let (since, entity, system, external) = match after {
        Some((since, entity, system, external)) => (micros(since), entity, system, external),
        None => (i64::MIN, String::new(), String::new(), String::new()),
    };
    let mut reader = store.read().await?;
    let found = sqlx::query_as(
        "SELECT entity, system, external_id, reason, first_seen_at, last_seen_at FROM xref_conflicts \
         WHERE (first_seen_at, entity, system, external_id) > ($1, $2, $3, $4) \
         ORDER BY first_seen_at, entity, system, external_id LIMIT $5",
    );
    let found = found.bind(since).bind(entity).bind(system).bind(external).bind(i64::from(limit));
    Ok(found.fetch_all(&mut *reader).await?)
}

/// What another system calls our `id`.
pub(crate) async fn external_id(
    tx: &mut Tx,
    entity: Entity,
    system: &str,
    id: &str,
) -> Result<Option<String>, StoreError> {
    let found: Option<(String,)> =
        sqlx::query_as("SELECT external_id FROM xref WHERE entity = $1 AND system = $2 AND id = $3")
            .bind(entity.as_str())
            .bind(system)
            .bind(id)
            .fetch_optional(tx.conn())
            .await?;
    Ok(found.map(|(external,)| external))
}

/// Takes somebody's word for it: whatever was known of either side gives way, and a conflict about it is settled.
pub(super) async fn tell(tx: &mut Tx, told: &XrefTold) -> Result<(), StoreError> {
    let entity = told.entity.as_str();
    sqlx::query("DELETE FROM xref WHERE entity = $1 AND system = $2 AND id = $3")
        .bind(entity)
        .bind(told.system.as_str())
        .bind(told.id.as_str())
        .execute(tx.conn())
        .await?;
    sqlx::query(
        "INSERT INTO xref (entity, system, external_id, id, learned) VALUES ($1, $2, $3, $4, 0) \
         ON CONFLICT (entity, system, external_id) DO UPDATE SET id = excluded.id, learned = 0",
    )
    .bind(entity)
    .bind(told.system.as_str())
    .bind(told.external_id.as_str())
    .bind(told.id.as_str())
    .execute(tx.conn())
    .await?;
    sqlx::query("DELETE FROM xref_conflicts WHERE entity = $1 AND system = $2 AND external_id = $3")
        .bind(entity)
        .bind(told.system.as_str())
        .bind(told.external_id.as_str())
        .execute(tx.conn())
        .await?;
    Ok(())
}

/// Our identifier for Odoo's. An unknown one is taken over as it is, if it can be an identifier of ours and is not
/// somebody else's already; otherwise it becomes a conflict, and `None` says that nothing may be done with it.
pub(super) async fn learn<T>(
    tx: &mut Tx,
    entity: Entity,
    external: &str,
    parse: impl Fn(&str) -> Result<T, InvalidId>,
) -> Result<Option<T>, StoreError> {
    let known: Option<(String,)> =
        sqlx::query_as("SELECT id FROM xref WHERE entity = $1 AND system = $2 AND external_id = $3")
            .bind(entity.as_str())
            .bind(ODOO)
            .bind(external)
            .fetch_optional(tx.conn())
            .await?;
    let candidate = known.as_ref().map_or(external, |(id,)| id.as_str());
    let id = match parse(candidate) {
        Ok(id) => id,
        Err(invalid) => {
            conflict(tx, entity, external, &format!("{external:?} cannot be an identifier: {invalid}")).await?;
            return Ok(None);
        }
    };
    if known.is_some() {
        return Ok(Some(id));
    }
    let added = sqlx::query(
        "INSERT INTO xref (entity, system, external_id, id, learned) VALUES ($1, $2, $3, $3, 1) ON CONFLICT DO NOTHING",
    )
    .bind(entity.as_str())
    .bind(ODOO)
    .bind(external)
    .execute(tx.conn())
    .await?;
    if added.rows_affected() == 1 {
        tx.audit("system:odoo", "xref.learned", &format!("{}:{external}", entity.as_str()), json!({})).await?;
        return Ok(Some(id));
    }
    let reason = format!("{external:?} is our identifier of something that Odoo calls by another name");
    conflict(tx, entity, external, &reason).await?;
    Ok(None)
}

/// Keeps what could not be mapped, for a person to settle with an `xref` observation.
pub(super) async fn conflict(tx: &mut Tx, entity: Entity, external: &str, reason: &str) -> Result<(), StoreError> {
    let now = micros(tx.now());
    let known = sqlx::query(
        "UPDATE xref_conflicts SET last_seen_at = $1, reason = $2 \
         WHERE entity = $3 AND system = $4 AND external_id = $5",
    )
    .bind(now)
    .bind(reason)
    .bind(entity.as_str())
    .bind(ODOO)
    .bind(external)
    .execute(tx.conn())
    .await?;
    if known.rows_affected() == 1 {
        return Ok(());
    }
    sqlx::query(
        "INSERT INTO xref_conflicts (entity, system, external_id, reason, first_seen_at, last_seen_at) \
         VALUES ($1, $2, $3, $4, $5, $5) ON CONFLICT DO NOTHING",
    )
    .bind(entity.as_str())
    .bind(ODOO)
    .bind(external)
    .bind(reason)
    .bind(now)
    .execute(tx.conn())
    .await?;
    tracing::warn!(entity = entity.as_str(), external, reason, "something in Odoo cannot be mapped");
    let subject = format!("{}:{external}", entity.as_str());
    tx.audit("system:odoo", "xref.conflict", &subject, json!({"reason": reason})).await
}
