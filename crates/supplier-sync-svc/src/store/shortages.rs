use std::collections::HashMap;

use chassis::store::{Store, StoreError, instant};
use contracts::{LocationId, ProductId};
use jiff::Timestamp;
use serde::Serialize;
use uuid::Uuid;

use crate::rules::level::name_id;

/// Most locations told of a product in either list: with both of them an allocation is still asked in one request.
const MOST_PLACES: usize = 200;

/// A product that is short at some locations while others hold some.
#[derive(Clone, Debug, PartialEq, Serialize, utoipa::ToSchema)]
pub(crate) struct Shortage {
    pub product: ProductId,
    /// Where it is at or below its reorder point, the longest first.
    #[schema(max_items = 200)]
    pub short: Vec<Short>,
    /// Where there is some that nobody was promised, and not at or below a reorder point; the most first.
    #[schema(max_items = 200)]
    pub holders: Vec<LocationId>,
}

/// One location's side of it.
#[derive(Clone, Debug, PartialEq, Serialize, utoipa::ToSchema)]
pub(crate) struct Short {
    /// Names this shortage: the same until stock has been above the reorder point again, so whatever is asked because
    /// of it is asked once.
    pub id: Uuid,
    pub location: LocationId,
    /// When the fall was seen.
    pub since: Timestamp,
}

/// A row of stock: product, location, available, whether it is low, since when.
type Level = (String, String, f64, i64, i64);

/// Products that are short somewhere and held elsewhere, in their order, after one. Two queries, whatever the page.
pub(crate) async fn shortages(store: &Store, after: Option<String>, limit: u32) -> Result<Vec<Shortage>, StoreError> {
    let mut reader = store.read().await?;
    let products: Vec<(String,)> = sqlx::query_as(
        "SELECT product FROM stock WHERE product > $1 GROUP BY product HAVING MAX(told_low) = 1 \
         AND MAX(CASE WHEN told_low = 0 AND on_hand > reserved THEN 1 ELSE 0 END) = 1 ORDER BY product LIMIT $2",
    )
    .bind(after.unwrap_or_default())
    .bind(i64::from(limit))
    .fetch_all(&mut *reader)
    .await?;
    let products: Vec<String> = products.into_iter().map(|(product,)| product).collect();
    let select = store.dialect().pick(
        "SELECT product, location, on_hand - reserved, told_low, low_since FROM stock \
         WHERE product IN (SELECT value FROM json_each($1)) ORDER BY product, location",
        "SELECT product, location, on_hand - reserved, told_low, low_since FROM stock \
         WHERE product IN (SELECT jsonb_array_elements_text(CAST($1 AS jsonb))) ORDER BY product, location",
    );
    let levels: Vec<Level> =
        sqlx::query_as(select).bind(serde_json::to_string(&products)?).fetch_all(&mut *reader).await?;
    let mut by_product: HashMap<String, Vec<Level>> = HashMap::new();
    for level in levels {
        by_product.entry(level.0.clone()).or_default().push(level);
    }
    let mut found = Vec::with_capacity(products.len());
    for product in products {
        let levels = by_product.remove(&product).unwrap_or_default();
        let Ok(product) = ProductId::new(product) else { continue };
        found.push(shortage(product, levels)?);
    }
    Ok(found)
}

fn shortage(product: ProductId, levels: Vec<Level>) -> Result<Shortage, StoreError> {
    let (mut short, mut holders) = (Vec::new(), Vec::new());
    for (_, location, available, low, since) in levels {
        let Ok(location) = LocationId::new(location) else { continue };
        if low == 1 {
            let since = instant(since);
            short.push(Short { id: name_id("shortage", &(&product, &location, since))?, location, since });
        } else if available > 0.0 {
            holders.push((available, location));
        }
    }
    // Among equals they stay in the order of their names.
    short.sort_by_key(|short| short.since);
    holders.sort_by(|a, b| b.0.total_cmp(&a.0));
    short.truncate(MOST_PLACES);
    holders.truncate(MOST_PLACES);
    Ok(Shortage { product, short, holders: holders.into_iter().map(|(_, location)| location).collect() })
}
