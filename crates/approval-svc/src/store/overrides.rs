//! Overrides and the reviews that they owe.

use chassis::prelude::{StoreError, Timestamp, Tx, instant, micros};
use contracts::{Money, PersonId, money::Currency};
use governance::{Role, authority::OverrideRule};
use serde::{Deserialize, Serialize};
use sqlx::{AnyConnection, Row, any::AnyRow};

use super::authority::person_of;

/// Whether the debt of an override is paid.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum ReviewState {
    Owed,
    /// Owed and past its deadline: it lowers the cap of the role.
    Overdue,
    Reviewed,
}

/// What a reviewer finds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
#[schema(as = ReviewVerdict)]
pub(crate) enum Verdict {
    Justified,
    Unjustified,
}

impl Verdict {
    fn as_str(self) -> &'static str {
        match self {
            Self::Justified => "justified",
            Self::Unjustified => "unjustified",
        }
    }
}

/// An override and its review.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Overridden {
    /// Of the request; there is one override of it at most.
    pub(crate) approval_id: String,
    pub(crate) person: PersonId,
    pub(crate) role: Role,
    /// Whose holders owe the review.
    pub(crate) reviewer_role: Role,
    pub(crate) reason: String,
    pub(crate) ticket: String,
    pub(crate) value: Money,
    pub(crate) overridden_at: Timestamp,
    pub(crate) review_by: Timestamp,
    pub(crate) state: ReviewState,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) review: Option<Review>,
}

/// A review that was done.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub(crate) struct Review {
    pub(crate) person: PersonId,
    pub(crate) verdict: Verdict,
    pub(crate) comment: String,
    pub(crate) at: Timestamp,
}

fn decoded<T, E: std::error::Error + Send + Sync + 'static>(value: Result<T, E>) -> Result<T, sqlx::Error> {
    value.map_err(|error| sqlx::Error::Decode(Box::new(error)))
}

fn word<T, E: Into<Box<dyn std::error::Error + Send + Sync>>>(value: Result<T, E>) -> Result<T, sqlx::Error> {
    value.map_err(|error| sqlx::Error::Decode(error.into()))
}

fn overridden(row: &AnyRow, now: Timestamp) -> Result<Overridden, StoreError> {
    let review_by = instant(row.try_get("review_by_at")?);
    let review = match row.try_get::<Option<i64>, _>("reviewed_at")? {
        None => None,
        Some(at) => Some(Review {
            person: person_of(row.try_get("reviewed_by")?)?,
            verdict: decoded(serde_json::from_value(serde_json::Value::String(row.try_get("verdict")?)))?,
            comment: row.try_get("comment")?,
            at: instant(at),
        }),
    };
    let currency: String = row.try_get("value_currency")?;
    Ok(Overridden {
        approval_id: row.try_get("request_id")?,
        person: person_of(row.try_get("person")?)?,
        role: word(Role::new(row.try_get::<String, _>("role")?))?,
        reviewer_role: word(Role::new(row.try_get::<String, _>("reviewer_role")?))?,
        reason: row.try_get("reason")?,
        ticket: row.try_get("ticket")?,
        value: Money::new(row.try_get("value_minor")?, word(Currency::new(&currency))?),
        overridden_at: instant(row.try_get("overridden_at")?),
        review_by,
        state: match (&review, review_by <= now) {
            (Some(_), _) => ReviewState::Reviewed,
            (None, true) => ReviewState::Overdue,
            (None, false) => ReviewState::Owed,
        },
        review,
    })
}

/// The columns of [`Overridden`].
macro_rules! select {
    ($rest:literal) => {
        concat!(
            "SELECT request_id, person, role, reviewer_role, reason, ticket, value_minor, value_currency, \
             overridden_at, review_by_at, reviewed_at, reviewed_by, verdict, comment FROM overrides ",
            $rest
        )
    };
}

/// Adds an override with its debt.
///
/// # Errors
/// When the store fails.
pub(crate) async fn add(
    tx: &mut Tx,
    id: &str,
    (person, reason, ticket): (&PersonId, &str, &str),
    rule: &OverrideRule,
    value: Money,
) -> Result<Timestamp, StoreError> {
    let (now, review_by) = (tx.now(), rule.review_within.after(tx.now()));
    sqlx::query(
        "INSERT INTO overrides (request_id, person, role, reviewer_role, reason, ticket, value_minor, value_currency, \
         overridden_at, review_by_at) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)",
    )
    .bind(id.to_owned())
    .bind(person.to_string())
    .bind(rule.role.as_str().to_owned())
    .bind(rule.reviewer.as_str().to_owned())
    .bind(reason.to_owned())
    .bind(ticket.to_owned())
    .bind(value.minor)
    .bind(value.currency.as_str().to_owned())
    .bind(micros(now))
    .bind(micros(review_by))
    .execute(tx.conn())
    .await?;
    Ok(review_by)
}

/// How many reviews of overrides in each role are overdue.
///
/// # Errors
/// When the store fails.
pub(crate) async fn overdue(conn: &mut AnyConnection, now: Timestamp) -> Result<Vec<(String, u32)>, StoreError> {
    let rows: Vec<(String, i64)> = sqlx::query_as(
        "SELECT role, COUNT(*) FROM overrides WHERE reviewed_at IS NULL AND review_by_at <= $1 GROUP BY role",
    )
    .bind(micros(now))
    .fetch_all(conn)
    .await?;
    Ok(rows.into_iter().map(|(role, count)| (role, u32::try_from(count).unwrap_or(u32::MAX))).collect())
}

/// # Errors
/// When the store fails.
pub(crate) async fn find(conn: &mut AnyConnection, id: &str, now: Timestamp) -> Result<Option<Overridden>, StoreError> {
    let row = sqlx::query(select!("WHERE request_id = $1")).bind(id.to_owned()).fetch_optional(conn).await?;
    row.as_ref().map(|row| overridden(row, now)).transpose()
}

/// Locks an override until the transaction ends.
///
/// # Errors
/// When the store fails.
pub(crate) async fn lock(tx: &mut Tx, id: &str) -> Result<Option<Overridden>, StoreError> {
    let (select, now) = (tx.dialect().for_update(select!("WHERE request_id = $1")), tx.now());
    let row = sqlx::query(select).bind(id.to_owned()).fetch_optional(tx.conn()).await?;
    row.as_ref().map(|row| overridden(row, now)).transpose()
}

/// The newest request first, before an id.
///
/// # Errors
/// When the store fails.
pub(crate) async fn list(
    conn: &mut AnyConnection,
    state: Option<ReviewState>,
    before: Option<String>,
    limit: u32,
    now: Timestamp,
) -> Result<Vec<Overridden>, StoreError> {
    let select = match state {
        None => select!("WHERE ($1 = '' OR request_id < $1) AND overridden_at <= $2 ORDER BY request_id DESC LIMIT $3"),
        Some(ReviewState::Reviewed) => {
            select!("WHERE ($1 = '' OR request_id < $1) AND reviewed_at <= $2 ORDER BY request_id DESC LIMIT $3")
        }
        Some(ReviewState::Overdue) => select!(
            "WHERE ($1 = '' OR request_id < $1) AND reviewed_at IS NULL AND review_by_at <= $2 \
             ORDER BY request_id DESC LIMIT $3"
        ),
        Some(ReviewState::Owed) => select!(
            "WHERE ($1 = '' OR request_id < $1) AND reviewed_at IS NULL AND review_by_at > $2 \
             ORDER BY request_id DESC LIMIT $3"
        ),
    };
    let rows = sqlx::query(select).bind(before.unwrap_or_default()).bind(micros(now)).bind(i64::from(limit));
    rows.fetch_all(conn).await?.iter().map(|row| overridden(row, now)).collect()
}

/// Pays the debt.
///
/// # Errors
/// When the store fails.
pub(crate) async fn review(
    tx: &mut Tx,
    id: &str,
    person: &PersonId,
    verdict: Verdict,
    comment: &str,
) -> Result<(), StoreError> {
    let now = micros(tx.now());
    sqlx::query(
        "UPDATE overrides SET reviewed_at = $1, reviewed_by = $2, verdict = $3, comment = $4 \
         WHERE request_id = $5 AND reviewed_at IS NULL",
    )
    .bind(now)
    .bind(person.to_string())
    .bind(verdict.as_str())
    .bind(comment.to_owned())
    .bind(id.to_owned())
    .execute(tx.conn())
    .await?;
    Ok(())
}

/// Ids of overdue debts of which nobody has been told.
///
/// # Errors
/// When the store fails.
pub(crate) async fn untold(conn: &mut AnyConnection, now: Timestamp, limit: u32) -> Result<Vec<String>, StoreError> {
    let rows: Vec<(String,)> = sqlx::query_as(
        "SELECT request_id FROM overrides WHERE reviewed_at IS NULL AND overdue_told_at IS NULL AND review_by_at <= $1 \
         ORDER BY review_by_at LIMIT $2",
    )
    .bind(micros(now))
    .bind(i64::from(limit))
    .fetch_all(conn)
    .await?;
    Ok(rows.into_iter().map(|(id,)| id).collect())
}

/// Claims the telling; `false` when another replica did, or the debt was paid meanwhile.
///
/// # Errors
/// When the store fails.
pub(crate) async fn claim_telling(tx: &mut Tx, id: &str) -> Result<bool, StoreError> {
    let now = micros(tx.now());
    let claimed = sqlx::query(
        "UPDATE overrides SET overdue_told_at = $1 WHERE request_id = $2 AND overdue_told_at IS NULL \
         AND reviewed_at IS NULL",
    )
    .bind(now)
    .bind(id.to_owned())
    .execute(tx.conn())
    .await?;
    Ok(claimed.rows_affected() == 1)
}
