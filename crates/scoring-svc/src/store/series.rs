//! Series of sales that are judged as they grow.

use chassis::prelude::*;
use sqlx::AnyConnection;

use crate::rules::series::{Key, Series};

/// `None` before the first bucket.
pub(crate) async fn find(conn: &mut AnyConnection, key: &Key) -> Result<Option<Series>, StoreError> {
    let select = "SELECT series FROM demand_series WHERE product = $1 AND location = $2 AND grain = $3 \
                  AND series <> ''";
    let query = sqlx::query_as(select).bind(key.product.as_str()).bind(key.location.as_str()).bind(key.grain.as_str());
    let row: Option<(String,)> = query.fetch_optional(conn).await?;
    Ok(row.map(|(series,)| serde_json::from_str(&series)).transpose()?)
}

/// The series, held until the transaction ends, so that of two who tell of it the second goes on from the first. Who
/// holds several takes them in the order of their keys, so that no two wait for each other.
pub(crate) async fn hold(tx: &mut Tx, key: &Key) -> Result<Option<Series>, StoreError> {
    let insert = "INSERT INTO demand_series (product, location, grain, parameters, series, updated_at) \
                  VALUES ($1, $2, $3, '', '', $4) ON CONFLICT DO NOTHING";
    let now = micros(tx.now());
    let query = sqlx::query(insert).bind(key.product.as_str()).bind(key.location.as_str()).bind(key.grain.as_str());
    query.bind(now).execute(tx.conn()).await?;
    let select = "SELECT series FROM demand_series WHERE product = $1 AND location = $2 AND grain = $3";
    let select = tx.dialect().for_update(select);
    let query = sqlx::query_as(select).bind(key.product.as_str()).bind(key.location.as_str()).bind(key.grain.as_str());
    let (series,): (String,) = query.fetch_one(tx.conn()).await?;
    Ok(if series.is_empty() { None } else { Some(serde_json::from_str(&series)?) })
}

/// Writes a series that was held.
pub(crate) async fn keep(tx: &mut Tx, key: &Key, series: &Series) -> Result<(), StoreError> {
    let update = "UPDATE demand_series SET parameters = $1, series = $2, updated_at = $3 \
                  WHERE product = $4 AND location = $5 AND grain = $6";
    let now = micros(tx.now());
    sqlx::query(update)
        .bind(series.model.parameters.as_str())
        .bind(serde_json::to_string(series)?)
        .bind(now)
        .bind(key.product.as_str())
        .bind(key.location.as_str())
        .bind(key.grain.as_str())
        .execute(tx.conn())
        .await?;
    Ok(())
}
