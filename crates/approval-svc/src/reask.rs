//! Asking again, because the facts have moved further than was approved: people see only what changed, and the earlier
//! grant is taken back, so that one change cannot be made by two grants.

use chassis::prelude::{StoreError, Timestamp, Tx};
use contracts::{FieldError, PersonId};
use governance::drift::{Drifted, drift};
use serde::{Deserialize, Serialize};

use crate::{
    desk::DeskError,
    revocation::{self, NotRevoked},
    rules::{
        proposal::NewApproval,
        view::{Status, decided_by},
    },
    store,
};

/// What was approved before, and what of it no longer holds.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct AsksAgain {
    pub approval_id: String,
    pub approved_at: Timestamp,
    /// Empty when the policy did.
    pub approved_by: Vec<PersonId>,
    /// The facts that moved further than was approved, as they were and as they are.
    pub changed: Vec<Drifted>,
}

/// What a new request asks again, if it does.
///
/// # Errors
/// [`DeskError::Invalid`] when there is nothing of the caller's to ask again: no such approval, another action, or its
/// grant was used.
pub(crate) async fn since(tx: &mut Tx, new: &NewApproval, by: &str) -> Result<Option<AsksAgain>, DeskError> {
    let Some(id) = &new.asks_again else { return Ok(None) };
    let invalid = |why: &str| DeskError::Invalid(vec![FieldError::new("/asks_again", why)]);
    let earlier = store::lock(tx, id).await?.filter(|earlier| earlier.requested_by == by);
    let earlier = earlier.ok_or_else(|| invalid("is no request of the caller's"))?;
    if earlier.case.action != new.action {
        return Err(invalid("was about another action; ask without it"));
    }
    let ended = earlier.state.ended().filter(|_| Status::of(&earlier.state) == Status::Approved);
    let approved_at = ended.ok_or_else(|| invalid("was not approved"))?.at;
    let facts = serde_json::to_value(&new.facts).map_err(StoreError::from)?;
    let changed = drift(&earlier.case.bounds, &facts).map_err(|error| invalid(&error.to_string()))?;
    match revocation::revoke(tx, &earlier.id, by, "the facts have moved, and it was asked again").await? {
        Err(NotRevoked::Used) => Err(invalid("has been carried out")),
        Ok(_) | Err(_) => {
            let approved_by = decided_by(&earlier.state);
            Ok(Some(AsksAgain { approval_id: earlier.id, approved_at, approved_by, changed }))
        }
    }
}
