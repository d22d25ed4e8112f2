use std::str::FromStr;

use chassis::store::{StoreError, Tx};
use contracts::{LocationId, OrderRef, ProductId, SupplierId};
use serde::Serialize;
use serde_json::json;

use super::xref::{self, ODOO};
use crate::{
    effects::reading::Reading,
    rules::{
        history::{day_at, day_number},
        observation::Entity,
    },
};

/// A receipt on its way, as it is kept.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(super) struct Ahead {
    pub order: OrderRef,
    /// Day since 1970-01-01 at the location.
    pub due: i64,
    pub quantity: f64,
}

/// Takes over what Odoo has on its way to a location and what its main supplier promises. What it no longer has is
/// gone; what was observed stays. Two readings may be settled in the other order than they were made: the sweep's
/// overlap reads a changed order again, so the newer one has the last word.
pub(super) async fn take_inbound(
    tx: &mut Tx,
    product: &ProductId,
    location: &LocationId,
    reading: &Reading,
) -> Result<(), StoreError> {
    let zone = if reading.incoming.is_empty() { None } else { time_zone(tx, location).await? };
    let mut now: Vec<Ahead> = Vec::new();
    for receipt in &reading.incoming {
        let due = day_number(day_at(receipt.due, zone.as_deref()));
        match now.iter_mut().find(|known| known.order == receipt.order && known.due == due) {
            // Two lines of one order for one day are one receipt.
            Some(known) => known.quantity += receipt.quantity,
            None => now.push(Ahead { order: receipt.order.clone(), due, quantity: receipt.quantity }),
        }
    }
    now.sort_by(|a, b| (&a.order, a.due).cmp(&(&b.order, b.due)));
    replace_incoming(tx, product, location, &now).await?;
    let Some(promise) = &reading.promise else { return set_promise(tx, product, location, ODOO, None).await };
    let supplier = xref::learn(tx, Entity::Supplier, &promise.supplier, SupplierId::from_str).await?;
    set_promise(tx, product, location, ODOO, Some((supplier.as_ref(), promise.days))).await
}

async fn replace_incoming(
    tx: &mut Tx,
    product: &ProductId,
    location: &LocationId,
    now: &[Ahead],
) -> Result<(), StoreError> {
    let rows: Vec<(String, i64, f64)> = sqlx::query_as(
        "SELECT order_ref, due, quantity FROM incoming WHERE product = $1 AND location = $2 AND system = $3",
    )
    .bind(product.as_str())
    .bind(location.as_str())
    .bind(ODOO)
    .fetch_all(tx.conn())
    .await?;
    let known = |(order, due, quantity)| Some(Ahead { order: OrderRef::new(order).ok()?, due, quantity });
    let mut before: Vec<Ahead> = rows.into_iter().filter_map(known).collect();
    // Sorted here, because databases differ in how they order text.
    before.sort_by(|a, b| (&a.order, a.due).cmp(&(&b.order, b.due)));
    if before == now {
        return Ok(());
    }
    sqlx::query("DELETE FROM incoming WHERE product = $1 AND location = $2 AND system = $3")
        .bind(product.as_str())
        .bind(location.as_str())
        .bind(ODOO)
        .execute(tx.conn())
        .await?;
    for ahead in now {
        add_incoming(tx, product, location, ODOO, ahead).await?;
    }
    let details = json!({"before": before, "now": now});
    tx.audit("system:odoo", "incoming.changed", &format!("stock:{product}@{location}"), details).await
}

/// Adds a receipt. One of the same order and day gives way: on PostgreSQL two readings may be settled at once.
pub(super) async fn add_incoming(
    tx: &mut Tx,
    product: &ProductId,
    location: &LocationId,
    system: &str,
    ahead: &Ahead,
) -> Result<(), StoreError> {
    sqlx::query(
        "INSERT INTO incoming (product, location, system, order_ref, due, quantity) VALUES ($1, $2, $3, $4, $5, $6) \
         ON CONFLICT (product, location, system, order_ref, due) DO UPDATE SET quantity = excluded.quantity",
    )
    .bind(product.as_str())
    .bind(location.as_str())
    .bind(system)
    .bind(ahead.order.as_str())
    .bind(ahead.due)
    .bind(ahead.quantity)
    .execute(tx.conn())
    .await?;
    Ok(())
}

/// Sets or, with `None`, removes what one system knows of the promised lead time: supplier and days.
pub(super) async fn set_promise(
    tx: &mut Tx,
    product: &ProductId,
    location: &LocationId,
    system: &str,
    promise: Option<(Option<&SupplierId>, f64)>,
) -> Result<(), StoreError> {
    let sql = match promise {
        Some(_) => {
            "INSERT INTO promised_lead_times (product, location, system, supplier, days) VALUES ($1, $2, $3, $4, $5) \
             ON CONFLICT (product, location, system) DO UPDATE SET supplier = excluded.supplier, days = excluded.days"
        }
        None => "DELETE FROM promised_lead_times WHERE product = $1 AND location = $2 AND system = $3",
    };
    let query = sqlx::query(sql).bind(product.as_str()).bind(location.as_str()).bind(system);
    let query = match promise {
        Some((supplier, days)) => query.bind(supplier.map(|id| id.as_str().to_owned())).bind(days),
        None => query,
    };
    query.execute(tx.conn()).await?;
    Ok(())
}

async fn time_zone(tx: &mut Tx, location: &LocationId) -> Result<Option<String>, StoreError> {
    let zone: Option<(Option<String>,)> = sqlx::query_as("SELECT time_zone FROM locations WHERE location = $1")
        .bind(location.as_str())
        .fetch_optional(tx.conn())
        .await?;
    Ok(zone.and_then(|(zone,)| zone))
}
