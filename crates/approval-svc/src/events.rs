//! What this service does when an event arrives.

use chassis::prelude::{HandleError, Received, Tx};
use contracts::events::GrantConsumed;

use crate::store;

/// A grant was used: what was approved is on its way.
pub(crate) async fn used(tx: &mut Tx, event: Received<GrantConsumed>) -> Result<(), HandleError> {
    store::forget_unused(tx, &event.payload.grant_id).await?;
    Ok(())
}
