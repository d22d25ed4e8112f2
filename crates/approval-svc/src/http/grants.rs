//! `/v1/approvals/{id}/revocation`: taking an approval's grant back.

use actix_web::{post, web};
use chassis::prelude::*;
use serde::{Deserialize, Serialize};

use super::{actor_of, scope_of};
use crate::{
    revocation::{self, NotRevoked},
    rules::proposal::MAX_TEXT,
    store::{self, Wanted},
};

permission!(
    pub RevokeGrant = "grants:revoke" for [StoreManager, RegionalOps, Finance, ProcurementLead, Operator, Admin]
);

/// Why the grant must not be used.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct NewRevocation {
    #[schema(min_length = 1, max_length = 2000)]
    reason: String,
}

/// A grant that no executor accepts any more.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub(crate) struct Revocation {
    grant_id: String,
    approval_id: String,
    reason: String,
    #[schema(example = "person:olga")]
    revoked_by: String,
    revoked_at: Timestamp,
}

/// Takes the grant of an approved request back, as long as nobody has used it. Executors learn of it by
/// `steward.grant.revoked.v1`: a grant that is presented before that arrives is still used, and the evidence shows both.
/// Twice is once. 409 says whether there is no grant, or it was used, or it ran out.
#[utoipa::path(tag = "approvals", request_body = NewRevocation, responses((status = 200, body = Revocation), Problems))]
#[post("/v1/approvals/{id}/revocation")]
pub(crate) async fn revoke_grant(
    cx: Cx,
    caller: Caller<RevokeGrant>,
    id: PathOf<String>,
    body: Body<NewRevocation>,
) -> Result<web::Json<Revocation>, ApiError> {
    let reason = body.into_inner().reason;
    if reason.trim().is_empty() || reason.chars().count() > MAX_TEXT {
        return Err(ApiError::invalid_field("/reason", format!("must have 1 to {MAX_TEXT} characters")));
    }
    let wanted = Wanted { id: Some(id.into_inner()), limit: 1, ..Wanted::default() };
    let seen = store::list(&mut cx.store().read().await?, &scope_of(&caller), &wanted).await?;
    let seen = seen.into_iter().next().ok_or_else(|| ApiError::not_found("approval"))?;
    let mut tx = cx.store().begin().await?;
    let revoked = revocation::revoke(&mut tx, &seen.id, &actor_of(&caller).to_string(), &reason).await?;
    let revoked = revoked.map_err(refusal)?;
    tx.commit().await?;
    Ok(web::Json(Revocation {
        grant_id: revoked.grant_id,
        approval_id: seen.id,
        reason: revoked.reason,
        revoked_by: revoked.by,
        revoked_at: revoked.at,
    }))
}

fn refusal(why: NotRevoked) -> ApiError {
    let (slug, title) = match why {
        NotRevoked::NoGrant => ("no-grant", "There is no grant to take back"),
        NotRevoked::Used => ("grant-used", "The grant has been used"),
        NotRevoked::Expired => ("grant-expired", "The grant has expired"),
    };
    ApiError::conflict(slug, title, why.to_string())
}
