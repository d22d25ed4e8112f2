use chassis::store::{StoreError, Tx};

use super::{
    OURS,
    inbound::{Ahead, add_incoming, set_promise},
    stock::{look_again, see_stock, set_reorder_point},
    xref,
};
use crate::rules::{
    history::day_number,
    level::Sight,
    observation::{
        DaySold, HolidayTold, LaneSeen, LeadTimePromised, LeadTimeSeen, LocationSeen, Observation, ProductSeen,
        PromotionPlanned, ReceiptAhead, StockSeen,
    },
};

/// The share of the regular price that the regular price is.
const REGULAR: f64 = 1.0;

/// Keeps one observation; every kind is an upsert. `actor` is who told it.
pub(crate) async fn record_observation(tx: &mut Tx, actor: &str, observation: &Observation) -> Result<(), StoreError> {
    match observation {
        Observation::Product(seen) => product(tx, seen).await,
        Observation::Location(seen) => location(tx, seen).await,
        Observation::Sales(sold) => sales(tx, sold).await,
        Observation::PlannedPromotion(planned) => promotion(tx, planned).await,
        Observation::Holiday(told) => holiday(tx, told).await,
        Observation::Stock(seen) => stock(tx, actor, seen).await,
        Observation::Incoming(ahead) => incoming(tx, ahead).await,
        Observation::LeadTime(seen) => lead_time(tx, seen).await,
        Observation::PromisedLeadTime(promised) => promised_lead_time(tx, promised).await,
        Observation::Lane(lane) => self::lane(tx, lane).await,
        Observation::ReorderPoint(point) => {
            set_reorder_point(tx, &point.product, &point.location, OURS, Some(point.units)).await?;
            look_again(tx, actor, &point.product, &point.location).await
        }
        Observation::Xref(told) => xref::tell(tx, told).await,
    }
}

async fn product(tx: &mut Tx, seen: &ProductSeen) -> Result<(), StoreError> {
    sqlx::query(
        "INSERT INTO products (product, name, category, cost_minor, cost_currency, price_minor, price_currency, pack, \
         moq, shelf_life_days, salvage_minor, salvage_currency, unit_volume_litres) \
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, NULLIF($13, -1.0)) ON CONFLICT (product) DO UPDATE SET \
         name = COALESCE(excluded.name, products.name), category = COALESCE(excluded.category, products.category), \
         cost_minor = COALESCE(excluded.cost_minor, products.cost_minor), \
         cost_currency = COALESCE(excluded.cost_currency, products.cost_currency), \
         price_minor = COALESCE(excluded.price_minor, products.price_minor), \
         price_currency = COALESCE(excluded.price_currency, products.price_currency), \
         pack = COALESCE(excluded.pack, products.pack), moq = COALESCE(excluded.moq, products.moq), \
         shelf_life_days = COALESCE(excluded.shelf_life_days, products.shelf_life_days), \
         salvage_minor = COALESCE(excluded.salvage_minor, products.salvage_minor), \
         salvage_currency = COALESCE(excluded.salvage_currency, products.salvage_currency), \
         unit_volume_litres = COALESCE(excluded.unit_volume_litres, products.unit_volume_litres)",
    )
    .bind(seen.product.as_str())
    .bind(seen.name.as_deref())
    .bind(seen.category.as_deref())
    .bind(seen.unit_cost.map(|money| money.minor))
    .bind(seen.unit_cost.map(|money| money.currency.as_str().to_owned()))
    .bind(seen.unit_price.map(|money| money.minor))
    .bind(seen.unit_price.map(|money| money.currency.as_str().to_owned()))
    .bind(seen.pack.map(i64::from))
    .bind(seen.moq.map(i64::from))
    .bind(seen.shelf_life_days.map(i64::from))
    .bind(seen.salvage_value.map(|money| money.minor))
    .bind(seen.salvage_value.map(|money| money.currency.as_str().to_owned()))
    // Never negative. An absent float of 64 bits reaches PostgreSQL as one of 32, which spoils the prepared statement.
    .bind(seen.unit_volume_litres.unwrap_or(-1.0))
    .execute(tx.conn())
    .await?;
    Ok(())
}

async fn location(tx: &mut Tx, seen: &LocationSeen) -> Result<(), StoreError> {
    sqlx::query(
        "INSERT INTO locations (location, name, region, time_zone) VALUES ($1, $2, $3, $4) \
         ON CONFLICT (location) DO UPDATE SET name = COALESCE(excluded.name, locations.name), \
         region = COALESCE(excluded.region, locations.region), \
         time_zone = COALESCE(excluded.time_zone, locations.time_zone)",
    )
    .bind(seen.location.as_str())
    .bind(seen.name.as_deref())
    .bind(seen.region.as_ref().map(|region| region.as_str().to_owned()))
    .bind(seen.time_zone.as_deref())
    .execute(tx.conn())
    .await?;
    Ok(())
}

async fn sales(tx: &mut Tx, sold: &DaySold) -> Result<(), StoreError> {
    sqlx::query(
        "INSERT INTO sales (product, location, day, units, out_of_stock, promotion, price_share, advertised) \
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8) \
         ON CONFLICT (product, location, day) DO UPDATE SET units = excluded.units, \
         out_of_stock = excluded.out_of_stock, promotion = excluded.promotion, \
         price_share = excluded.price_share, advertised = excluded.advertised",
    )
    .bind(sold.product.as_str())
    .bind(sold.location.as_str())
    .bind(day_number(sold.day))
    .bind(sold.units)
    .bind(sold.out_of_stock)
    .bind(i64::from(sold.promotion))
    .bind(sold.price_share.unwrap_or(REGULAR))
    .bind(i64::from(sold.advertised))
    .execute(tx.conn())
    .await?;
    Ok(())
}

async fn promotion(tx: &mut Tx, planned: &PromotionPlanned) -> Result<(), StoreError> {
    sqlx::query(
        "INSERT INTO planned_promotions (product, location, day, price_share, advertised) VALUES ($1, $2, $3, $4, $5) \
         ON CONFLICT (product, location, day) DO UPDATE SET price_share = excluded.price_share, \
         advertised = excluded.advertised",
    )
    .bind(planned.product.as_str())
    .bind(planned.location.as_str())
    .bind(day_number(planned.day))
    .bind(planned.price_share.unwrap_or(REGULAR))
    .bind(i64::from(planned.advertised))
    .execute(tx.conn())
    .await?;
    Ok(())
}

async fn holiday(tx: &mut Tx, told: &HolidayTold) -> Result<(), StoreError> {
    sqlx::query(
        "INSERT INTO holidays (location, day, holiday) VALUES ($1, $2, $3) \
         ON CONFLICT (location, day) DO UPDATE SET holiday = excluded.holiday",
    )
    .bind(told.location.as_str())
    .bind(day_number(told.day))
    .bind(i64::from(told.holiday))
    .execute(tx.conn())
    .await?;
    Ok(())
}

async fn stock(tx: &mut Tx, actor: &str, seen: &StockSeen) -> Result<(), StoreError> {
    let sight = Sight {
        product: seen.product.clone(),
        location: seen.location.clone(),
        on_hand: seen.on_hand,
        reserved: seen.reserved,
        observed_at: seen.observed_at,
        system: seen.system.clone(),
    };
    let name = (&sight.product, &sight.location, &sight.system, sight.observed_at, sight.on_hand, sight.reserved);
    see_stock(tx, actor, &sight, &name).await.map(drop)
}

async fn incoming(tx: &mut Tx, ahead: &ReceiptAhead) -> Result<(), StoreError> {
    let name = "DELETE FROM incoming WHERE product = $1 AND location = $2 AND order_ref = $3 AND system = $4";
    sqlx::query(name)
        .bind(ahead.product.as_str())
        .bind(ahead.location.as_str())
        .bind(ahead.order.as_str())
        .bind(OURS)
        .execute(tx.conn())
        .await?;
    if ahead.quantity > 0.0 {
        let (due, quantity) = (day_number(ahead.due), ahead.quantity);
        add_incoming(tx, &ahead.product, &ahead.location, OURS, &Ahead { order: ahead.order.clone(), due, quantity })
            .await?;
    }
    Ok(())
}

async fn lead_time(tx: &mut Tx, seen: &LeadTimeSeen) -> Result<(), StoreError> {
    sqlx::query(
        "INSERT INTO lead_times (product, location, supplier, order_ref, days) VALUES ($1, $2, $3, $4, $5) \
         ON CONFLICT (product, location, order_ref) WHERE order_ref IS NOT NULL \
         DO UPDATE SET supplier = excluded.supplier, days = excluded.days",
    )
    .bind(seen.product.as_str())
    .bind(seen.location.as_str())
    .bind(seen.supplier.as_ref().map(|supplier| supplier.as_str().to_owned()))
    .bind(seen.order.as_ref().map(|order| order.as_str().to_owned()))
    .bind(seen.days)
    .execute(tx.conn())
    .await?;
    Ok(())
}

async fn promised_lead_time(tx: &mut Tx, promised: &LeadTimePromised) -> Result<(), StoreError> {
    let promise = (promised.supplier.as_ref(), promised.days);
    set_promise(tx, &promised.product, &promised.location, OURS, Some(promise)).await
}

async fn lane(tx: &mut Tx, lane: &LaneSeen) -> Result<(), StoreError> {
    sqlx::query(
        "INSERT INTO lanes (from_location, to_location, transfer_days, cost_minor, cost_currency) \
         VALUES ($1, $2, $3, $4, $5) ON CONFLICT (from_location, to_location) DO UPDATE SET \
         transfer_days = excluded.transfer_days, cost_minor = excluded.cost_minor, \
         cost_currency = excluded.cost_currency",
    )
    .bind(lane.from.as_str())
    .bind(lane.to.as_str())
    .bind(lane.transfer_days)
    .bind(lane.transfer_cost.map(|money| money.minor))
    .bind(lane.transfer_cost.map(|money| money.currency.as_str().to_owned()))
    .execute(tx.conn())
    .await?;
    Ok(())
}
