//! Where a caller's roles reach. The one place that asks.

use chassis::{auth::Permission, prelude::*};
use contracts::{LocationId, RegionId};

use crate::store;

/// Whether the roles for which the caller has this permission reach each of the places, in their order. A role without
/// regions and locations reaches every place, known or not; the region of a place is what was observed.
///
/// # Errors
/// When the store fails.
pub(super) async fn reaches<P: Permission>(
    cx: &Cx,
    caller: &Caller<P>,
    places: &[&LocationId],
) -> Result<Vec<bool>, StoreError> {
    let may = |region: Option<&RegionId>, place: Option<&LocationId>| {
        P::ROLES.iter().any(|role| caller.may_at(*role, region, place))
    };
    if may(None, None) {
        return Ok(vec![true; places.len()]);
    }
    let regions = store::regions(cx.store(), places).await?;
    let reached: Vec<bool> = places.iter().map(|place| may(regions.get(*place), Some(place))).collect();
    if reached.contains(&false) {
        tracing::warn!(permission = P::NAME, caller = caller.actor(), "asks for places that its roles do not reach");
    }
    Ok(reached)
}

/// The refusal. It says nothing of the places that the caller did not say.
pub(super) fn outside(places: &[&LocationId]) -> Problem {
    let places: Vec<&str> = places.iter().map(|place| place.as_str()).collect();
    Problem::new("out-of-scope", 403, "Not allowed at this place")
        .detail(format!("the caller's roles do not reach {}", places.join(" or ")))
}
