use std::collections::HashMap;

use chassis::store::{Store, StoreError};
use contracts::{LocationId, RegionId};

/// The regions of these locations, as far as they have one.
pub(crate) async fn regions(
    store: &Store,
    locations: &[&LocationId],
) -> Result<HashMap<LocationId, RegionId>, StoreError> {
    let select = store.dialect().pick(
        "SELECT location, region FROM locations WHERE region IS NOT NULL \
         AND location IN (SELECT value FROM json_each($1))",
        "SELECT location, region FROM locations WHERE region IS NOT NULL \
         AND location IN (SELECT jsonb_array_elements_text(CAST($1 AS jsonb)))",
    );
    let mut reader = store.read().await?;
    let rows: Vec<(String, String)> =
        sqlx::query_as(select).bind(serde_json::to_string(locations)?).fetch_all(&mut *reader).await?;
    let region = |(location, region)| Some((LocationId::new(location).ok()?, RegionId::new(region).ok()?));
    Ok(rows.into_iter().filter_map(region).collect())
}
