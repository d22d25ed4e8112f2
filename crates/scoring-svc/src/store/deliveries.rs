//! What was told of order lines, and the judgements that are measured by it.

use chassis::prelude::*;
use contracts::SupplierId;
use jiff::{ToSpan, civil::Date};
use models::supplier_risk::purchase::{End, Line, Telling};
use serde::{Deserialize, Serialize};
use sqlx::AnyConnection;

/// What became of an ordered line. The same line may be told of again: what is told the same changes nothing, what is
/// told otherwise replaces what was told before it from the day after it became known.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Delivery {
    /// As in a request for judgement; supplier and id name it. `slack_days` and `cost_per_day` are not kept.
    pub line: Line,
    /// Day on which its last units came; absent while none has.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub received: Option<Date>,
    /// Day on which it, or the rest of it, was cancelled.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cancelled: Option<Date>,
    /// Units ordered; above 0.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(exclusive_minimum = 0, maximum = 1_000_000_000)]
    pub units: Option<f64>,
    /// Units received by `received`. Fewer than `units`: the line stays open until the rest is received or cancelled.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(minimum = 0, maximum = 1_000_000_000)]
    pub units_received: Option<f64>,
    /// Day on which this became known. When absent: the day of what it tells, or today when it corrects what was told
    /// before of the same day or a later one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub known: Option<Date>,
}

impl Delivery {
    pub(crate) fn end(&self) -> End {
        let partly = self.units.zip(self.units_received).is_some_and(|(units, received)| received < units);
        match (self.cancelled, self.received) {
            (Some(day), _) => End::Cancelled(day),
            (None, Some(day)) if !partly => End::Received(day),
            _ => End::Open,
        }
    }

    /// The latest day that it tells of.
    pub(crate) fn latest(&self) -> Date {
        [self.received, self.cancelled].into_iter().flatten().fold(self.line.ordered, Date::max)
    }
}

/// A delivery as it was told.
#[derive(Clone, Debug, Serialize, utoipa::ToSchema)]
#[schema(as = ToldDelivery)]
pub(crate) struct Told {
    /// Counts up when a line is told otherwise.
    pub telling: i64,
    pub delivery: Delivery,
    pub told_by: String,
    pub told_at: Timestamp,
}

impl Told {
    fn of((telling, known, body, told_by, told_at): (i64, String, String, String, i64)) -> Result<Self, StoreError> {
        let known = known.parse::<Date>().map_err(|error| sqlx::Error::Decode(Box::new(error)))?;
        let delivery = Delivery { known: Some(known), ..serde_json::from_str(&body)? };
        Ok(Self { telling, delivery, told_by, told_at: instant(told_at) })
    }

    pub(crate) fn known(&self) -> Date {
        self.delivery.known.unwrap_or(Date::MAX)
    }

    fn telling(self) -> Telling {
        Telling { end: self.delivery.end(), known: self.known(), line: self.delivery.line }
    }
}

/// How often something was told; `None` before the first time.
pub(crate) async fn changes(conn: &mut AnyConnection) -> Result<Option<i64>, StoreError> {
    let row: Option<(i64,)> = sqlx::query_as("SELECT changes FROM deliveries_told").fetch_optional(conn).await?;
    Ok(row.map(|(changes,)| changes))
}

/// Lets nobody else tell until the transaction ends, so that each sees what the one before told of a line.
pub(crate) async fn hold(tx: &mut Tx) -> Result<(), StoreError> {
    let insert = "INSERT INTO deliveries_told (only_row, changes, kept) VALUES (1, 0, 0) ON CONFLICT DO NOTHING";
    sqlx::query(insert).execute(tx.conn()).await?;
    let select = tx.dialect().for_update("SELECT changes FROM deliveries_told");
    sqlx::query(select).fetch_one(tx.conn()).await?;
    Ok(())
}

/// Everything told of one line, in order.
pub(crate) async fn of_line(
    conn: &mut AnyConnection,
    supplier: &SupplierId,
    line: &str,
) -> Result<Vec<Told>, StoreError> {
    let select = "SELECT telling, known, body, told_by, told_at FROM deliveries WHERE supplier = $1 AND line = $2 \
                  ORDER BY telling";
    let rows = sqlx::query_as(select).bind(supplier.as_str()).bind(line).fetch_all(conn).await?;
    rows.into_iter().map(Told::of).collect()
}

/// Adds a telling; its delivery says when it became known.
pub(crate) async fn add(tx: &mut Tx, new: &Told) -> Result<(), StoreError> {
    let body = serde_json::to_string(&Delivery { known: None, ..new.delivery.clone() })?;
    sqlx::query(
        "INSERT INTO deliveries (supplier, line, telling, known, body, told_by, told_at) \
         VALUES ($1, $2, $3, $4, $5, $6, $7)",
    )
    .bind(new.delivery.line.supplier.as_str())
    .bind(new.delivery.line.id.as_str())
    .bind(new.telling)
    .bind(new.known().to_string())
    .bind(body)
    .bind(new.told_by.as_str())
    .bind(micros(new.told_at))
    .execute(tx.conn())
    .await?;
    Ok(())
}

/// Counts what was added, and lets the lines go that have been known for longest when there are more than `most`.
pub(crate) async fn count(tx: &mut Tx, added: usize, most: i64) -> Result<(), StoreError> {
    let added = i64::try_from(added).unwrap_or(i64::MAX);
    sqlx::query("UPDATE deliveries_told SET changes = changes + 1, kept = kept + $1")
        .bind(added)
        .execute(tx.conn())
        .await?;
    let (kept,): (i64,) = sqlx::query_as("SELECT kept FROM deliveries_told").fetch_one(tx.conn()).await?;
    if kept > most {
        // Whole lines, so that none loses its corrections' beginning.
        let delete = "DELETE FROM deliveries WHERE (supplier, line) IN (SELECT supplier, line FROM deliveries \
                      GROUP BY supplier, line ORDER BY MAX(known), supplier, line LIMIT $1)";
        let gone = sqlx::query(delete).bind(kept - most).execute(tx.conn()).await?.rows_affected();
        let gone = i64::try_from(gone).unwrap_or(i64::MAX);
        sqlx::query("UPDATE deliveries_told SET kept = kept - $1").bind(gone).execute(tx.conn()).await?;
    }
    Ok(())
}

/// Everything told of every line.
pub(crate) async fn all(conn: &mut AnyConnection) -> Result<Vec<Vec<Telling>>, StoreError> {
    let select = "SELECT telling, known, body, told_by, told_at FROM deliveries ORDER BY supplier, line, telling";
    let rows: Vec<(i64, String, String, String, i64)> = sqlx::query_as(select).fetch_all(conn).await?;
    let mut lines: Vec<Vec<Telling>> = Vec::new();
    for row in rows {
        let told = Told::of(row)?;
        let telling = told.telling;
        match lines.last_mut() {
            // A line's tellings follow one another, and each line begins with its first.
            Some(line) if telling > 1 => line.push(told.telling()),
            _ => lines.push(vec![told.telling()]),
        }
    }
    Ok(lines)
}

/// The last telling of each line of a supplier, the latest known first, at most `limit` and one more.
pub(crate) async fn of_supplier(
    conn: &mut AnyConnection,
    supplier: &SupplierId,
    limit: u32,
) -> Result<Vec<Delivery>, StoreError> {
    let select = "SELECT telling, known, body, told_by, told_at FROM deliveries d WHERE supplier = $1 AND telling = \
                  (SELECT MAX(telling) FROM deliveries l WHERE l.supplier = d.supplier AND l.line = d.line) \
                  ORDER BY known DESC, line LIMIT $2";
    let rows = sqlx::query_as(select).bind(supplier.as_str()).bind(i64::from(limit) + 1).fetch_all(conn).await?;
    rows.into_iter().map(|row| Told::of(row).map(|told| told.delivery)).collect()
}

/// A judgement that is to be measured.
#[derive(Clone, Debug)]
pub(crate) struct Forecast {
    pub line: Line,
    pub day: Date,
    pub model: String,
    /// Millionths.
    pub score: u32,
    pub made_by: String,
}

/// Keeps a forecast; `false` when that line was judged by that version on that day before.
pub(crate) async fn keep_forecast(tx: &mut Tx, forecast: &Forecast) -> Result<bool, StoreError> {
    let added = sqlx::query(
        "INSERT INTO delivery_forecasts (supplier, line, day, model, score, promised, slack_days, made_by, made_at) \
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9) ON CONFLICT DO NOTHING",
    )
    .bind(forecast.line.supplier.as_str())
    .bind(forecast.line.id.as_str())
    .bind(forecast.day.to_string())
    .bind(forecast.model.as_str())
    .bind(i64::from(forecast.score))
    .bind(forecast.line.promised.to_string())
    .bind(i64::from(forecast.line.slack_days))
    .bind(forecast.made_by.as_str())
    .bind(micros(tx.now()))
    .execute(tx.conn())
    .await?;
    Ok(added.rows_affected() == 1)
}

/// A forecast and what became of its line.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Measured {
    /// Month in which it was made, as `2026-11`.
    pub month: String,
    pub probability: f64,
    /// `None` where it cannot be known: not due yet, cancelled, or nothing was told of the line.
    pub late: Option<bool>,
}

/// The forecasts made in a time, oldest first, at most `limit` and one more; `model` is a name or a name with a version.
pub(crate) async fn measured(
    conn: &mut AnyConnection,
    (from, to): (Timestamp, Timestamp),
    model: Option<&str>,
    today: Date,
    limit: u32,
) -> Result<Vec<Measured>, StoreError> {
    let select = "SELECT f.score, f.promised, f.slack_days, f.made_at, COALESCE(d.body, '') \
                  FROM delivery_forecasts f LEFT JOIN deliveries d ON d.supplier = f.supplier AND d.line = f.line \
                  AND d.telling = (SELECT MAX(l.telling) FROM deliveries l WHERE l.supplier = f.supplier AND l.line = f.line) \
                  WHERE f.made_at >= $1 AND f.made_at < $2 AND ($3 IS NULL OR f.model = $3 OR f.model LIKE $4) \
                  ORDER BY f.made_at, f.supplier, f.line LIMIT $5";
    let query = sqlx::query_as(select).bind(micros(from)).bind(micros(to)).bind(model);
    let query = query.bind(model.map(|name| format!("{name}@%"))).bind(i64::from(limit) + 1);
    let rows: Vec<(i64, String, i64, i64, String)> = query.fetch_all(conn).await?;
    rows.into_iter()
        .map(|(score, promised, slack, made_at, body)| {
            let promised = promised.parse::<Date>().map_err(|error| sqlx::Error::Decode(Box::new(error)))?;
            let due = promised.checked_add(slack.days()).unwrap_or(Date::MAX);
            let told = if body.is_empty() { None } else { Some(serde_json::from_str::<Delivery>(&body)?.end()) };
            // What came early is known before what comes late is: only lines whose day has passed are compared.
            let late = match told.filter(|_| due < today) {
                Some(End::Received(day)) => Some(day > due),
                Some(End::Open) => Some(true),
                Some(End::Cancelled(_)) | None => None,
            };
            let month = instant(made_at).strftime("%Y-%m").to_string();
            Ok(Measured { month, probability: score as f64 / 1e6, late })
        })
        .collect()
}
