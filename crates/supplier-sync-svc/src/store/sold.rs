use chassis::store::{Store, StoreError};
use contracts::{LocationId, ProductId};
use jiff::civil::Date;
use serde::Serialize;

use crate::rules::history::{day_number, day_of};

/// A product at a location, and until when its sales are known.
#[derive(Clone, Debug, PartialEq, Serialize, utoipa::ToSchema)]
pub(crate) struct Sold {
    pub product: ProductId,
    pub location: LocationId,
    /// Last day with reported sales.
    #[schema(value_type = String, format = Date)]
    pub last_day: Date,
}

impl Sold {
    /// Where a page goes on.
    pub(crate) fn position(&self) -> (&str, &str) {
        (self.product.as_str(), self.location.as_str())
    }
}

/// Products at locations with sales reported on that day or later, in order of both, after a position.
pub(crate) async fn sold_since(
    store: &Store,
    day: Date,
    after: Option<(String, String)>,
    limit: u32,
) -> Result<Vec<Sold>, StoreError> {
    let (product, location) = after.unwrap_or_default();
    let mut reader = store.read().await?;
    let rows: Vec<(String, String, i64)> = sqlx::query_as(
        "SELECT product, location, MAX(day) FROM sales WHERE (product, location) > ($1, $2) \
         GROUP BY product, location HAVING MAX(day) >= $3 ORDER BY product, location LIMIT $4",
    )
    .bind(product)
    .bind(location)
    .bind(day_number(day))
    .bind(i64::from(limit))
    .fetch_all(&mut *reader)
    .await?;
    let sold = |(product, location, day)| {
        Some(Sold {
            product: ProductId::new(product).ok()?,
            location: LocationId::new(location).ok()?,
            last_day: day_of(day),
        })
    };
    Ok(rows.into_iter().filter_map(sold).collect())
}
