//! `/v1/delegations`: lending one's own standing, and taking it back.

use actix_web::{get, post, web};
use chassis::prelude::*;
use contracts::{Money, PersonId};
use governance::authority::{Delegation, Scope};
use serde::{Deserialize, Serialize};

use super::{DelegateApproval, ReadApprovals, oversees, person_of};
use crate::{desk::Desk, store::authority as book};

/// Another person acts for the caller.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct NewDelegation {
    /// Who acts for the caller.
    delegate: PersonId,
    /// A delegation to the caller that is passed on, once at most. Absent: the caller's own authority.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(max_length = 64)]
    parent: Option<String>,
    #[serde(default)]
    scope: Scope,
    /// Highest value of one request, inclusive.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    value_cap: Option<Money>,
    /// Absent: now.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    starts_at: Option<Timestamp>,
    /// First instant at which it counts no longer; at most 366 days after the start.
    ends_at: Timestamp,
    /// The caller is not told of requests meanwhile, and may still decide.
    #[serde(default)]
    out_of_office: bool,
}

/// Lends the caller's standing. What the delegate decides is judged as if the caller did, by what the caller may at
/// that moment, and by the delegate's own duties; it counts on both budgets.
#[utoipa::path(
    tag = "authority",
    params(IdempotencyKey),
    request_body = NewDelegation,
    responses((status = 201, body = Delegation), Problems)
)]
#[post("/v1/delegations")]
pub(crate) async fn create_delegation(
    cx: Cx,
    caller: Caller<DelegateApproval>,
    key: IdempotencyKey,
    desk: web::Data<Desk>,
    body: Body<NewDelegation>,
) -> Result<Answer, ApiError> {
    let (new, delegator) = (body.into_inner(), person_of(&caller)?);
    if let Some(list) = new.scope.too_long() {
        return Err(ApiError::invalid_field(format!("/scope/{list}"), "must have at most 100 items"));
    }
    let (fingerprint, directory, actor) = (new.clone(), desk.directory(), caller.actor());
    command(&cx, &caller, "delegations.create", &key, &fingerprint, move |tx| {
        Box::pin(async move {
            let NewDelegation { delegate, parent, scope, value_cap, starts_at, ends_at, out_of_office } = new;
            // One at a time, so that no two of them close a circle that neither sees.
            book::lock_names(tx, &["delegations".to_owned()].into()).await?;
            let delegation = Delegation {
                id: tx.new_id().to_string(),
                delegator,
                delegate,
                parent,
                scope,
                value_cap,
                starts_at: starts_at.unwrap_or_else(|| tx.now()),
                ends_at,
                out_of_office,
                revoked_at: None,
            };
            let now = tx.now();
            let alive = book::delegations_alive(tx.conn(), now).await?;
            delegation
                .admit(&alive, &directory, now)
                .map_err(|refused| ApiError::invalid_field(refused.pointer(), refused.to_string()))?;
            book::add_delegation(tx, &delegation).await?;
            let details = serde_json::to_value(&delegation).map_err(StoreError::from)?;
            tx.audit(&actor, "delegation.created", &format!("delegation:{}", delegation.id), details).await?;
            Ok(Reply::created(delegation))
        })
    })
    .await
}

/// Which delegations to list.
#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(crate) struct DelegationFilter {
    /// Those by or for this person. Absent: the caller's, and everybody's for auditors and operators.
    #[param(inline)]
    person: Option<PersonId>,
    /// Opaque, from `next_cursor`.
    cursor: Option<String>,
    /// Items on a page.
    #[param(minimum = 1, maximum = 500, default = 50)]
    limit: Option<u32>,
}

/// Delegations, the newest first: those by or for the caller; auditors and operators see all.
#[utoipa::path(tag = "authority", params(DelegationFilter), responses((status = 200, body = Page<Delegation>), Problems))]
#[get("/v1/delegations")]
pub(crate) async fn list_delegations(
    cx: Cx,
    caller: Caller<ReadApprovals>,
    filter: Params<DelegationFilter>,
) -> Result<web::Json<Page<Delegation>>, ApiError> {
    let paging = Paging::parse(filter.cursor.as_deref(), filter.limit)?;
    let person = if oversees(&caller) { filter.person.clone() } else { Some(super::self_or(&caller, &filter.person)?) };
    let mut reader = cx.store().read().await?;
    let found = book::delegations(&mut reader, person.as_ref(), paging.after()?, paging.limit + 1).await?;
    Ok(web::Json(Page::cut(found, paging.limit, |one: &Delegation| Paging::cursor(&one.id))))
}

/// Takes a delegation back at once; what was passed on from it ends with it. Twice is once. The delegator may, and
/// operators may.
#[utoipa::path(tag = "authority", responses((status = 200, body = Delegation), Problems))]
#[post("/v1/delegations/{id}/revocation")]
pub(crate) async fn revoke_delegation(
    cx: Cx,
    caller: Caller<DelegateApproval>,
    id: PathOf<String>,
) -> Result<web::Json<Delegation>, ApiError> {
    let mut tx = cx.store().begin().await?;
    let operator = caller.has(Role::Operator) || caller.has(Role::Admin);
    let found = book::lock_delegation(&mut tx, &id).await?;
    let concerns = |one: &Delegation| {
        let own = |person: &PersonId| *person == one.delegator || *person == one.delegate;
        oversees(&caller) || caller.person.as_ref().is_some_and(own)
    };
    let mut found = found.filter(concerns).ok_or_else(|| ApiError::not_found("delegation"))?;
    if !operator && caller.person.as_ref() != Some(&found.delegator) {
        let problem = Problem::new("not-the-delegator", 403, "Only who lent it, or an operator, takes it back");
        return Err(ApiError::problem(problem));
    }
    if found.revoked_at.is_none() {
        let (actor, now) = (caller.actor(), tx.now());
        book::revoke(&mut tx, &found.id, &actor).await?;
        let details = serde_json::json!({"delegator": found.delegator, "delegate": found.delegate});
        tx.audit(&actor, "delegation.revoked", &format!("delegation:{}", found.id), details).await?;
        found.revoked_at = Some(now);
        tx.commit().await?;
    }
    Ok(web::Json(found))
}
