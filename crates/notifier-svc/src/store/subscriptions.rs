//! Subscriptions that callers made, and which receivers are gone.

use std::collections::HashMap;

use chassis::prelude::*;
use secrecy::{ExposeSecret, SecretString};
use serde_json::json;
use sqlx::{AnyConnection, FromRow, any::AnyRow};

use super::{
    OURSELVES,
    exceptions::{self, Incident},
    receipts,
};

/// A subscription with its secrets; never shown as it is.
#[derive(Clone, Debug)]
pub(crate) struct Stored {
    pub id: String,
    pub types: Vec<String>,
    pub url: String,
    pub secret: SecretString,
    pub header: Option<(String, SecretString)>,
    pub receipt_within_seconds: Option<u32>,
    pub created_at: Timestamp,
}

impl<'r> FromRow<'r, AnyRow> for Stored {
    fn from_row(row: &'r AnyRow) -> Result<Self, sqlx::Error> {
        use sqlx::Row;
        let types: String = row.try_get("types")?;
        let name: Option<String> = row.try_get("header_name")?;
        let value: Option<String> = row.try_get("header_value")?;
        Ok(Self {
            id: row.try_get("id")?,
            types: serde_json::from_str(&types).map_err(|error| sqlx::Error::Decode(Box::new(error)))?,
            url: row.try_get("url")?,
            secret: row.try_get::<String, _>("secret")?.into(),
            header: name.zip(value.map(SecretString::from)),
            receipt_within_seconds: row
                .try_get::<Option<i64>, _>("receipt_within_seconds")?
                .and_then(|seconds| u32::try_from(seconds).ok()),
            created_at: instant(row.try_get("created_at")?),
        })
    }
}

/// A receiver that said 410.
#[derive(Clone, Debug)]
pub(crate) struct Disabled {
    pub url: String,
    pub cause: String,
    pub at: Timestamp,
}

pub(crate) async fn create(tx: &mut Tx, actor: &str, new: &Stored) -> Result<(), StoreError> {
    let header = new.header.as_ref();
    sqlx::query(
        "INSERT INTO subscriptions (id, types, url, secret, header_name, header_value, \
         receipt_within_seconds, created_by, created_at) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)",
    )
    .bind(new.id.as_str())
    .bind(serde_json::to_string(&new.types)?)
    .bind(new.url.as_str())
    .bind(new.secret.expose_secret())
    .bind(header.map(|(name, _)| name.clone()))
    .bind(header.map(|(_, value)| value.expose_secret().to_owned()))
    .bind(new.receipt_within_seconds.map(i64::from))
    .bind(actor)
    .bind(micros(new.created_at))
    .execute(tx.conn())
    .await?;
    let details = json!({"types": new.types, "url": new.url});
    tx.audit(actor, "subscription.created", &format!("subscription:{}", new.id), details).await
}

/// `false` when there is none.
pub(crate) async fn delete(tx: &mut Tx, actor: &str, id: &str) -> Result<bool, StoreError> {
    let deleted = sqlx::query("DELETE FROM subscriptions WHERE id = $1").bind(id).execute(tx.conn()).await?;
    if deleted.rows_affected() == 0 {
        return Ok(false);
    }
    forget_disabled(tx, id).await?;
    receipts::waive(tx, id).await?;
    tx.audit(actor, "subscription.deleted", &format!("subscription:{id}"), json!({})).await?;
    Ok(true)
}

pub(crate) async fn find(conn: &mut AnyConnection, id: &str) -> Result<Option<Stored>, StoreError> {
    Ok(sqlx::query_as("SELECT * FROM subscriptions WHERE id = $1").bind(id).fetch_optional(conn).await?)
}

/// All of them, oldest first; there are at most [`MOST`].
pub(crate) async fn all(conn: &mut AnyConnection) -> Result<Vec<Stored>, StoreError> {
    Ok(sqlx::query_as("SELECT * FROM subscriptions ORDER BY id").fetch_all(conn).await?)
}

/// Most subscriptions: every event is held against each of them.
pub(crate) const MOST: usize = 200;

/// Who is gone, by subscription.
pub(crate) async fn disabled(conn: &mut AnyConnection) -> Result<HashMap<String, Disabled>, StoreError> {
    use sqlx::Row;
    let rows = sqlx::query("SELECT * FROM disabled_subscriptions").fetch_all(conn).await?;
    let read = |row: AnyRow| {
        let disabled = Disabled {
            url: row.try_get("url")?,
            cause: row.try_get("cause")?,
            at: instant(row.try_get("disabled_at")?),
        };
        Ok((row.try_get("subscription_id")?, disabled))
    };
    rows.into_iter().map(read).collect::<Result<_, sqlx::Error>>().map_err(Into::into)
}

/// Stops pushing to a receiver that said it is gone, and lets a person know: events would vanish silently otherwise.
pub(crate) async fn disable(tx: &mut Tx, id: &str, url: &str, cause: &str) -> Result<(), StoreError> {
    sqlx::query(
        "INSERT INTO disabled_subscriptions (subscription_id, url, cause, disabled_at) VALUES ($1, $2, $3, $4) \
         ON CONFLICT (subscription_id) DO UPDATE SET url = excluded.url, cause = excluded.cause, \
         disabled_at = excluded.disabled_at",
    )
    .bind(id)
    .bind(url)
    .bind(cause)
    .bind(micros(tx.now()))
    .execute(tx.conn())
    .await?;
    receipts::waive(tx, id).await?;
    let about = format!("subscription:{id}");
    tx.audit(OURSELVES, "subscription.disabled", &about, json!({"cause": cause})).await?;
    let incident = Incident {
        class: "subscription.disabled".into(),
        severity: 3,
        title: format!("Events are no longer pushed to subscription {id}"),
        owner: crate::OPERATOR.into(),
        about: Some(about),
        details: json!({"url": url, "cause": cause}),
        same: None,
    };
    exceptions::raise(tx, OURSELVES, incident).await?;
    Ok(())
}

/// Pushes again to a receiver that had been gone; `false` when it was not.
pub(crate) async fn enable(tx: &mut Tx, actor: &str, id: &str) -> Result<bool, StoreError> {
    if !forget_disabled(tx, id).await? {
        return Ok(false);
    }
    tx.audit(actor, "subscription.enabled", &format!("subscription:{id}"), json!({})).await?;
    Ok(true)
}

async fn forget_disabled(tx: &mut Tx, id: &str) -> Result<bool, StoreError> {
    let delete = sqlx::query("DELETE FROM disabled_subscriptions WHERE subscription_id = $1").bind(id);
    Ok(delete.execute(tx.conn()).await?.rows_affected() == 1)
}
