//! Taking a grant back: because a person thought again, or because the request was asked anew.

use chassis::prelude::{StoreError, Tx};
use contracts::events::GrantRevoked;
use serde_json::json;

use crate::{
    desk::subject,
    store::{
        self,
        grants::{self, Revoked},
    },
};

/// Why there is nothing to take back.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum NotRevoked {
    #[error("the request was not approved, or not yet")]
    NoGrant,
    #[error("what it allowed is on its way")]
    Used,
    #[error("it ran out unused")]
    Expired,
}

/// Takes the request's grant back; the first revocation counts.
///
/// # Errors
/// When the store fails.
pub(crate) async fn revoke(
    tx: &mut Tx,
    request: &str,
    by: &str,
    reason: &str,
) -> Result<Result<Revoked, NotRevoked>, StoreError> {
    let Some(request) = store::lock(tx, request).await? else { return Ok(Err(NotRevoked::NoGrant)) };
    if let Some(first) = grants::revoked(tx.conn(), &request.id).await? {
        return Ok(Ok(first));
    }
    let Some(grant) = request.grant else { return Ok(Err(NotRevoked::NoGrant)) };
    let expires_at = match grants::unused_until(tx.conn(), &grant.id).await? {
        None if grants::was_used(tx.conn(), &subject(&request.id)).await? => return Ok(Err(NotRevoked::Used)),
        None => return Ok(Err(NotRevoked::Expired)),
        Some(at) if at <= tx.now() => return Ok(Err(NotRevoked::Expired)),
        Some(at) => at,
    };
    if let Some(correlation) = request.thread.correlation_id {
        tx.correlate(correlation);
    }
    let (reason, by, at) = (reason.to_owned(), by.to_owned(), tx.now());
    let revoked = Revoked { grant_id: grant.id, token: grant.token, reason, by, at, expires_at };
    grants::revoke(tx, &request.id, &revoked).await?;
    let details = json!({"grant_id": revoked.grant_id, "reason": revoked.reason});
    tx.audit(&revoked.by, "grant.revoked", &subject(&request.id), details).await?;
    tx.emit(&GrantRevoked {
        grant_id: revoked.grant_id.clone(),
        approval_id: request.id,
        revoked_by: revoked.by.clone(),
        reason: revoked.reason.clone(),
        revoked_at: at,
        expires_at,
    })
    .await?;
    Ok(Ok(revoked))
}
