//! What became of recommendations.

use std::collections::HashMap;

use chassis::prelude::*;
use contracts::{LocationId, ProductId};
use models::outcomes::{Approved, Closed, Executed, Realised};
use serde::{Deserialize, Serialize};
use sqlx::{AnyConnection, FromRow, Row as _, any::AnyRow};

/// A stage and what is known at it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(tag = "stage", rename_all = "snake_case")]
pub(crate) enum Outcome {
    /// People or the policy decided.
    Approved(Approved),
    /// It was done.
    Executed(Executed),
    /// The time it was for is over.
    Realised(Realised),
}

impl Outcome {
    pub(crate) fn stage(&self) -> &'static str {
        match self {
            Self::Approved(_) => "approved",
            Self::Executed(_) => "executed",
            Self::Realised(_) => "realised",
        }
    }
}

/// An outcome as it was told.
#[derive(Clone, Debug, PartialEq, Serialize, utoipa::ToSchema)]
pub(crate) struct Recorded {
    pub recommendation_id: String,
    /// When it was so, by who told it.
    pub at: Timestamp,
    pub outcome: Outcome,
    pub recorded_by: String,
    pub recorded_at: Timestamp,
}

impl<'r> FromRow<'r, AnyRow> for Recorded {
    fn from_row(row: &'r AnyRow) -> Result<Self, sqlx::Error> {
        let body: String = row.try_get("body")?;
        Ok(Self {
            recommendation_id: row.try_get("recommendation_id")?,
            at: instant(row.try_get("at")?),
            outcome: serde_json::from_str(&body).map_err(|error| sqlx::Error::Decode(Box::new(error)))?,
            recorded_by: row.try_get("recorded_by")?,
            recorded_at: instant(row.try_get("recorded_at")?),
        })
    }
}

/// Adds an outcome; `false` when the recommendation has one of its stage, and then nothing was added.
pub(crate) async fn add(tx: &mut Tx, recorded: &Recorded) -> Result<bool, StoreError> {
    let added = sqlx::query(
        "INSERT INTO outcomes (recommendation_id, stage, at, body, recorded_by, recorded_at) \
         VALUES ($1, $2, $3, $4, $5, $6) ON CONFLICT DO NOTHING",
    )
    .bind(recorded.recommendation_id.as_str())
    .bind(recorded.outcome.stage())
    .bind(micros(recorded.at))
    .bind(serde_json::to_string(&recorded.outcome)?)
    .bind(recorded.recorded_by.as_str())
    .bind(micros(recorded.recorded_at))
    .execute(tx.conn())
    .await?;
    Ok(added.rows_affected() == 1)
}

/// The outcomes of one recommendation; the stages' names happen to sort in their order.
pub(crate) async fn of(conn: &mut AnyConnection, recommendation: &str) -> Result<Vec<Recorded>, StoreError> {
    let select = "SELECT * FROM outcomes WHERE recommendation_id = $1 ORDER BY stage";
    Ok(sqlx::query_as(select).bind(recommendation).fetch_all(conn).await?)
}

/// Which recommendations a report is about.
#[derive(Clone, Debug)]
pub(crate) struct Wanted {
    pub from: Timestamp,
    pub to: Timestamp,
    pub product: Option<ProductId>,
    pub location: Option<LocationId>,
    pub model: Option<String>,
}

/// What recommendations and outcomes are chosen by; bound by [`chosen`].
macro_rules! chosen {
    ($before:literal, $after:literal) => {
        concat!(
            $before,
            " WHERE r.made_at >= $1 AND r.made_at < $2 AND ($3 IS NULL OR r.product = $3) \
             AND ($4 IS NULL OR r.location = $4) AND ($5 IS NULL OR r.model = $5 OR r.model LIKE $6) ",
            $after
        )
    };
}

/// Recommendations made in the time, oldest first, at most `limit` and one more, with what became of them.
pub(crate) async fn closed(
    conn: &mut AnyConnection,
    wanted: &Wanted,
    now: Timestamp,
    limit: u32,
) -> Result<Vec<Closed>, StoreError> {
    let outcomes = chosen!("SELECT o.* FROM outcomes o JOIN recommendations r ON r.id = o.recommendation_id", "");
    let mut by_recommendation: HashMap<String, Vec<Recorded>> = HashMap::new();
    for row in bind(sqlx::query(outcomes), wanted).fetch_all(&mut *conn).await? {
        let recorded = Recorded::from_row(&row)?;
        by_recommendation.entry(recorded.recommendation_id.clone()).or_default().push(recorded);
    }
    let made = chosen!(
        "SELECT r.id, r.action, r.score, r.quantity, r.made_at, r.forecast, r.forecast_followed FROM recommendations r",
        "ORDER BY r.made_at, r.id LIMIT $7"
    );
    let rows = bind(sqlx::query(made), wanted).bind(i64::from(limit) + 1).fetch_all(conn).await?;
    let close = |row: &AnyRow| {
        let id: String = row.try_get("id")?;
        close(row, by_recommendation.remove(&id).unwrap_or_default(), now)
    };
    Ok(rows.iter().map(close).collect::<Result<_, sqlx::Error>>()?)
}

type Query<'q> = sqlx::query::Query<'q, sqlx::Any, <sqlx::Any as sqlx::Database>::Arguments>;

fn bind<'q>(query: Query<'q>, wanted: &Wanted) -> Query<'q> {
    // A model without a version means all of its versions. Its name holds no character that LIKE reads.
    let model = wanted.model.clone();
    query
        .bind(micros(wanted.from))
        .bind(micros(wanted.to))
        .bind(wanted.product.as_ref().map(ProductId::to_string))
        .bind(wanted.location.as_ref().map(LocationId::to_string))
        .bind(model.clone())
        .bind(model.map(|name| format!("{name}@%")))
}

fn close(row: &AnyRow, outcomes: Vec<Recorded>, now: Timestamp) -> Result<Closed, sqlx::Error> {
    let made_at = instant(row.try_get("made_at")?);
    let forecast: Option<f64> = row.try_get("forecast")?;
    let followed: Option<f64> = row.try_get("forecast_followed")?;
    let mut closed = Closed {
        action: row.try_get("action")?,
        score: u32::try_from(row.try_get::<i64, _>("score")?).unwrap_or_default(),
        quantity: row.try_get("quantity")?,
        month: made_at.strftime("%Y-%m").to_string(),
        forecast: forecast.zip(followed),
        hours: 0.0,
        approved: None,
        executed: None,
        realised: None,
    };
    let mut ended = now;
    for recorded in outcomes {
        match recorded.outcome {
            Outcome::Approved(approved) => {
                if approved.action == "none" {
                    ended = recorded.at;
                }
                closed.approved = Some(approved);
            }
            Outcome::Executed(executed) => {
                ended = recorded.at;
                closed.executed = Some(executed);
            }
            Outcome::Realised(realised) => closed.realised = Some(realised),
        }
    }
    closed.hours = ended.duration_since(made_at).as_secs_f64() / 3600.0;
    Ok(closed)
}
