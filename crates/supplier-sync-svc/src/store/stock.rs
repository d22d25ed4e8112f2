use std::str::FromStr;

use chassis::store::{StoreError, Tx, instant, micros};
use contracts::{
    LocationId, ProductId,
    events::{StockChanged, StockRanLow},
};
use serde_json::json;
use sqlx::Row as _;

use super::{
    inbound::take_inbound,
    xref::{self, ODOO},
};
use crate::{
    effects::reading::{Reading, Trouble},
    rules::{
        level::{Known, Sight, judge, name_id},
        observation::Entity,
    },
};

/// What became of a reading.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    Changed,
    Unchanged,
    /// It could not be mapped and is kept as a conflict.
    Conflict,
}

/// Takes what was read of Odoo: maps it, learns what is new, keeps the level and tells what follows. Read-back and
/// sweep both end here, so the same state read twice is one event.
pub(crate) async fn take_reading(tx: &mut Tx, reading: &Reading) -> Result<Outcome, StoreError> {
    let (sku, warehouse) = match &reading.trouble {
        None => (reading.sku.as_str(), reading.warehouse.as_str()),
        Some(Trouble { entity, external, reason }) => {
            xref::conflict(tx, *entity, external, reason).await?;
            return Ok(Outcome::Conflict);
        }
    };
    let product = xref::learn(tx, Entity::Product, sku, ProductId::from_str).await?;
    let location = xref::learn(tx, Entity::Location, warehouse, LocationId::from_str).await?;
    let (Some(product), Some(location)) = (product, location) else { return Ok(Outcome::Conflict) };
    learn_names(tx, &product, &location, reading).await?;
    set_reorder_point(tx, &product, &location, ODOO, reading.reorder_point).await?;
    take_inbound(tx, &product, &location, reading).await?;
    let sight = Sight {
        product,
        location,
        on_hand: reading.on_hand,
        reserved: reading.reserved,
        observed_at: reading.written_at,
        system: ODOO.to_owned(),
    };
    let name = (&reading.model, reading.record_id, &sight.product, &sight.location, reading.digest()?);
    let changed = see_stock(tx, "system:odoo", &sight, &name).await?;
    Ok(if changed { Outcome::Changed } else { Outcome::Unchanged })
}

/// Master data that nobody has told yet is taken from Odoo; what was told is never overwritten by it.
async fn learn_names(
    tx: &mut Tx,
    product: &ProductId,
    location: &LocationId,
    reading: &Reading,
) -> Result<(), StoreError> {
    sqlx::query(
        "INSERT INTO products (product, name, category, cost_minor, cost_currency, price_minor, price_currency) \
         VALUES ($1, $2, $3, $4, $5, $6, $7) ON CONFLICT DO NOTHING",
    )
    .bind(product.as_str())
    .bind(reading.product_name.as_str())
    .bind(reading.category.as_deref())
    .bind(reading.unit_cost.map(|money| money.minor))
    .bind(reading.unit_cost.map(|money| money.currency.as_str().to_owned()))
    .bind(reading.unit_price.map(|money| money.minor))
    .bind(reading.unit_price.map(|money| money.currency.as_str().to_owned()))
    .execute(tx.conn())
    .await?;
    sqlx::query("INSERT INTO locations (location, name) VALUES ($1, $2) ON CONFLICT DO NOTHING")
        .bind(location.as_str())
        .bind(reading.warehouse_name.as_str())
        .execute(tx.conn())
        .await?;
    Ok(())
}

/// Sets or, with `None`, removes one system's reorder point.
pub(super) async fn set_reorder_point(
    tx: &mut Tx,
    product: &ProductId,
    location: &LocationId,
    system: &str,
    units: Option<f64>,
) -> Result<(), StoreError> {
    let sql = match units {
        Some(_) => {
            "INSERT INTO reorder_points (product, location, system, units) VALUES ($1, $2, $3, $4) \
             ON CONFLICT (product, location, system) DO UPDATE SET units = excluded.units"
        }
        None => "DELETE FROM reorder_points WHERE product = $1 AND location = $2 AND system = $3",
    };
    let query = sqlx::query(sql).bind(product.as_str()).bind(location.as_str()).bind(system);
    let query = if let Some(units) = units { query.bind(units) } else { query };
    query.execute(tx.conn()).await?;
    Ok(())
}

/// Keeps a sight of stock if it is not older than what is known, and tells a change and a fall. `name` is what the
/// events' ids are made of. Answers whether the level changed.
pub(super) async fn see_stock(
    tx: &mut Tx,
    actor: &str,
    sight: &Sight,
    name: &(impl serde::Serialize + Sync),
) -> Result<bool, StoreError> {
    let known = known(tx, &sight.product, &sight.location).await?;
    let point = reorder_point(tx, &sight.product, &sight.location).await?;
    let verdict = judge(known.as_ref(), sight.on_hand, sight.reserved, sight.observed_at, point);
    if !verdict.counts {
        return Ok(false);
    }
    sqlx::query(
        "INSERT INTO stock (product, location, on_hand, reserved, observed_at, system, told_low, low_since) \
         VALUES ($1, $2, $3, $4, $5, $6, $7, $5) ON CONFLICT (product, location) DO UPDATE SET \
         on_hand = excluded.on_hand, reserved = excluded.reserved, observed_at = excluded.observed_at, \
         system = excluded.system, told_low = excluded.told_low, \
         low_since = CASE WHEN stock.told_low = 1 THEN stock.low_since ELSE excluded.low_since END",
    )
    .bind(sight.product.as_str())
    .bind(sight.location.as_str())
    .bind(sight.on_hand)
    .bind(sight.reserved)
    .bind(micros(sight.observed_at))
    .bind(sight.system.as_str())
    .bind(i64::from(verdict.told_low))
    .execute(tx.conn())
    .await?;
    if verdict.changed {
        let event = StockChanged {
            product: sight.product.clone(),
            location: sight.location.clone(),
            on_hand: sight.on_hand,
            reserved: sight.reserved,
            observed_at: sight.observed_at,
            system: sight.system.clone(),
        };
        tx.emit_as(name_id("stock.changed", name)?, &event).await?;
        let subject = format!("stock:{}@{}", sight.product, sight.location);
        let before = known.map(|known| json!({"on_hand": known.on_hand, "reserved": known.reserved}));
        let details = json!({"before": before, "on_hand": sight.on_hand, "reserved": sight.reserved});
        tx.audit(actor, "stock.changed", &subject, details).await?;
    }
    if let (true, Some(point)) = (verdict.fell, point) {
        tell_low(tx, actor, sight, point, name).await?;
    }
    Ok(verdict.changed)
}

/// Looks again whether what is known is low, after its reorder point moved.
pub(super) async fn look_again(
    tx: &mut Tx,
    actor: &str,
    product: &ProductId,
    location: &LocationId,
) -> Result<(), StoreError> {
    let Some(known) = known(tx, product, location).await? else { return Ok(()) };
    let sight = Sight {
        product: product.clone(),
        location: location.clone(),
        on_hand: known.on_hand,
        reserved: known.reserved,
        observed_at: known.observed_at,
        system: system(tx, product, location).await?,
    };
    let point = reorder_point(tx, product, location).await?;
    let name = ("reorder_point", product, location, known.observed_at, point);
    see_stock(tx, actor, &sight, &name).await.map(drop)
}

async fn tell_low(
    tx: &mut Tx,
    actor: &str,
    sight: &Sight,
    point: f64,
    name: &(impl serde::Serialize + Sync),
) -> Result<(), StoreError> {
    let event = StockRanLow {
        product: sight.product.clone(),
        location: sight.location.clone(),
        available: (sight.on_hand - sight.reserved).max(0.0),
        reorder_point: point,
        observed_at: sight.observed_at,
    };
    tx.emit_as(name_id("stock.ran_low", name)?, &event).await?;
    let subject = format!("stock:{}@{}", sight.product, sight.location);
    let details = json!({"available": event.available, "reorder_point": point});
    tx.audit(actor, "stock.ran_low", &subject, details).await
}

async fn known(tx: &mut Tx, product: &ProductId, location: &LocationId) -> Result<Option<Known>, StoreError> {
    let select = tx
        .dialect()
        .for_update("SELECT on_hand, reserved, observed_at, told_low FROM stock WHERE product = $1 AND location = $2");
    let row = sqlx::query(select).bind(product.as_str()).bind(location.as_str()).fetch_optional(tx.conn()).await?;
    let Some(row) = row else { return Ok(None) };
    Ok(Some(Known {
        on_hand: row.try_get("on_hand")?,
        reserved: row.try_get("reserved")?,
        observed_at: instant(row.try_get("observed_at")?),
        told_low: row.try_get::<i64, _>("told_low")? == 1,
    }))
}

async fn system(tx: &mut Tx, product: &ProductId, location: &LocationId) -> Result<String, StoreError> {
    let (system,): (String,) = sqlx::query_as("SELECT system FROM stock WHERE product = $1 AND location = $2")
        .bind(product.as_str())
        .bind(location.as_str())
        .fetch_one(tx.conn())
        .await?;
    Ok(system)
}

/// Ours (`steward`) goes before Odoo's, which is what the descending order of their names gives.
async fn reorder_point(tx: &mut Tx, product: &ProductId, location: &LocationId) -> Result<Option<f64>, StoreError> {
    let found: Option<(f64,)> = sqlx::query_as(
        "SELECT units FROM reorder_points WHERE product = $1 AND location = $2 ORDER BY system DESC LIMIT 1",
    )
    .bind(product.as_str())
    .bind(location.as_str())
    .fetch_optional(tx.conn())
    .await?;
    Ok(found.map(|(units,)| units))
}

/// Available at a location and everything on its way there, in units.
pub(crate) async fn projected_available(
    reader: &mut sqlx::AnyConnection,
    product: &ProductId,
    location: &LocationId,
) -> Result<f64, StoreError> {
    let stock: Option<(f64, f64)> =
        sqlx::query_as("SELECT on_hand, reserved FROM stock WHERE product = $1 AND location = $2")
            .bind(product.as_str())
            .bind(location.as_str())
            .fetch_optional(&mut *reader)
            .await?;
    let (incoming,): (f64,) = sqlx::query_as(
        "SELECT COALESCE(SUM(quantity), 0.0) FROM incoming_counted WHERE product = $1 AND location = $2",
    )
    .bind(product.as_str())
    .bind(location.as_str())
    .fetch_one(reader)
    .await?;
    Ok(stock.map_or(0.0, |(on_hand, reserved)| (on_hand - reserved).max(0.0)) + incoming)
}
