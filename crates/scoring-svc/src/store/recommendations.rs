//! What was recommended.

use chassis::prelude::*;
use contracts::{LocationId, ProductId, events::RecommendationMade};
use models::{ModelRef, Score};
use serde::Serialize;
use serde_json::{json, value::RawValue};
use sqlx::{AnyConnection, FromRow, any::AnyRow};

use super::outcomes::Recorded;

/// What a model recommended.
#[derive(Clone, Debug, Serialize, utoipa::ToSchema)]
pub(crate) struct Recommendation {
    pub id: String,
    #[schema(example = "replenishment-priority@1")]
    pub model: String,
    #[schema(value_type = ProductId)]
    pub product: String,
    #[schema(value_type = LocationId)]
    pub location: String,
    /// Millionths.
    pub score: u32,
    /// `transfer`, `purchase` or `none`.
    pub action: String,
    pub quantity: f64,
    /// Hash of the facts that were judged.
    pub facts_hash: String,
    /// Who asked: `key:n8n`, `person:olga`.
    pub made_by: String,
    pub made_at: Timestamp,
    /// After this the facts are too old to act on it.
    pub valid_until: Timestamp,
    /// The whole answer as it was given; only when one recommendation is looked at.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Object>)]
    pub answer: Option<Box<RawValue>>,
    /// What became of it so far; only when one recommendation is looked at.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub outcomes: Vec<Recorded>,
}

/// What of an answer is kept in columns.
#[derive(Clone, Debug)]
pub(crate) struct Recommended {
    pub product: ProductId,
    pub location: LocationId,
    pub score: Score,
    /// `transfer`, `purchase` or `none`.
    pub action: &'static str,
    pub quantity: f64,
    pub model: ModelRef,
    pub input_hash: Digest,
    pub facts_hash: Digest,
    pub valid_until: Timestamp,
    /// Probability of a stock-out when nothing is done, and when it is followed.
    pub forecast: Option<(f64, f64)>,
}

impl<'r> FromRow<'r, AnyRow> for Recommendation {
    fn from_row(row: &'r AnyRow) -> Result<Self, sqlx::Error> {
        use sqlx::Row;
        let answer: Option<String> = row.try_get("answer")?;
        let answer = answer.map(RawValue::from_string).transpose();
        Ok(Self {
            id: row.try_get("id")?,
            model: row.try_get("model")?,
            product: row.try_get("product")?,
            location: row.try_get("location")?,
            score: u32::try_from(row.try_get::<i64, _>("score")?).unwrap_or_default(),
            action: row.try_get("action")?,
            quantity: row.try_get("quantity")?,
            facts_hash: row.try_get("facts_hash")?,
            made_by: row.try_get("made_by")?,
            made_at: instant(row.try_get("made_at")?),
            valid_until: instant(row.try_get("valid_until")?),
            answer: answer.map_err(|error| sqlx::Error::Decode(Box::new(error)))?,
            outcomes: Vec::new(),
        })
    }
}

/// Keeps a recommendation with the whole answer as JSON, tells of it, and returns its id.
pub(crate) async fn keep(
    tx: &mut Tx,
    actor: &str,
    recommended: &Recommended,
    answer: String,
) -> Result<String, StoreError> {
    let id = tx.new_id().to_string();
    let made = RecommendationMade {
        recommendation_id: id.clone(),
        model: format!("{}@{}", recommended.model.name, recommended.model.version),
        product: recommended.product.clone(),
        location: recommended.location.clone(),
        score: recommended.score.micros(),
        action: recommended.action.to_owned(),
        quantity: recommended.quantity,
        facts_hash: recommended.facts_hash.clone(),
    };
    sqlx::query(
        "INSERT INTO recommendations (id, model, product, location, score, action, quantity, facts_hash, answer, \
         made_by, made_at, valid_until, forecast, forecast_followed) \
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, NULLIF($13, -1.0), NULLIF($14, -1.0))",
    )
    .bind(id.as_str())
    .bind(made.model.as_str())
    .bind(made.product.as_str())
    .bind(made.location.as_str())
    .bind(i64::from(made.score))
    .bind(made.action.as_str())
    .bind(made.quantity)
    .bind(made.facts_hash.as_str())
    .bind(answer)
    .bind(actor)
    .bind(micros(tx.now()))
    .bind(micros(recommended.valid_until))
    // Probabilities. An absent float of 64 bits reaches PostgreSQL as one of 32, which spoils the prepared statement.
    .bind(recommended.forecast.map_or(-1.0, |(untouched, _)| untouched))
    .bind(recommended.forecast.map_or(-1.0, |(_, followed)| followed))
    .execute(tx.conn())
    .await?;
    let details = json!({
        "model": recommended.model,
        "input_hash": recommended.input_hash,
        "facts_hash": made.facts_hash,
        "score": made.score,
        "action": made.action,
        "quantity": made.quantity,
    });
    tx.audit(actor, "recommendation.made", &format!("recommendation:{id}"), details).await?;
    tx.emit(&made).await?;
    Ok(id)
}

/// The recommendation of that id, with the whole answer.
pub(crate) async fn find(conn: &mut AnyConnection, id: &str) -> Result<Option<Recommendation>, StoreError> {
    Ok(sqlx::query_as("SELECT * FROM recommendations WHERE id = $1").bind(id).fetch_optional(conn).await?)
}

/// Newest first, those before `before`, without their answers; one more than `limit`.
pub(crate) async fn list(
    conn: &mut AnyConnection,
    (product, location): (Option<&ProductId>, Option<&LocationId>),
    before: Option<String>,
    limit: u32,
) -> Result<Vec<Recommendation>, StoreError> {
    let query = sqlx::query_as(
        "SELECT id, model, product, location, score, action, quantity, facts_hash, CAST(NULL AS TEXT) AS answer, \
         made_by, made_at, valid_until FROM recommendations WHERE ($1 IS NULL OR product = $1) \
         AND ($2 IS NULL OR location = $2) AND ($3 IS NULL OR id < $3) ORDER BY id DESC LIMIT $4",
    );
    let query = query.bind(product.map(ProductId::to_string)).bind(location.map(LocationId::to_string)).bind(before);
    Ok(query.bind(i64::from(limit) + 1).fetch_all(conn).await?)
}
