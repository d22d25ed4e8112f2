//! `/v1/approvals`: ask, list, look.

use std::sync::Arc;

use actix_web::{HttpResponse, get, post, put, web};
use chassis::{http::etag, prelude::*};
use serde::{Deserialize, Serialize};
use url::Url;

use super::{
    ReadApprovals, RequestApproval, actor_of,
    decisions::{answer, too_long, version_of, way_of},
    may_hold_grant, scope_of,
};
use crate::{
    desk::{Desk, Fresh, edit::Edition},
    rules::{
        proposal::{MAX_TEXT, NewApproval},
        view::{Approval, Status},
    },
    store::{self, Wanted},
};

/// Asks for an approval. What the policy decides by itself is decided in the answer, grant included. A repeat by
/// `reference` with another key returns the first request; its callback is added and served if all is decided.
#[utoipa::path(
    tag = "approvals",
    params(IdempotencyKey),
    request_body = NewApproval,
    responses((status = 201, body = Approval), (status = 200, description = "The reference is known", body = Approval), Problems)
)]
#[post("/v1/approvals")]
pub(crate) async fn request_approval(
    cx: Cx,
    caller: Caller<RequestApproval>,
    key: IdempotencyKey,
    desk: web::Data<Desk>,
    body: Body<NewApproval>,
) -> Result<Answer, ApiError> {
    let new = body.into_inner();
    let mut errors = callback_errors(&cx, &new);
    let case = match new.judge(&*desk.policies().in_force(&cx).await?) {
        Ok(case) if errors.is_empty() => case,
        Ok(_) => return Err(ApiError::invalid(errors)),
        Err(more) => {
            errors.extend(more);
            return Err(ApiError::invalid(errors));
        }
    };
    let (work, by, asks) = (Arc::clone(&desk), actor_of(&caller), new.clone());
    let principal = Principal::clone(&caller);
    let answer = command(&cx, &caller, "approvals.create", &key, &new.fingerprint(), move |tx| {
        Box::pin(async move {
            let (request, fresh) = work.open(tx, by, &asks, case).await?;
            let view = Approval::of(&request, may_hold_grant(&principal, &request.requested_by));
            Ok(if fresh == Fresh::Yes { Reply::created(view) } else { Reply::ok(view) })
        })
    })
    .await?;
    let first: Approval = answer.body_as()?;
    if let (true, Some(callback)) = (answer.replayed, &new.callback) {
        // A retried workflow waits at a new address; the stored answer knows only the old one.
        let mut tx = cx.store().begin().await?;
        if let Some(mut request) = store::lock(&mut tx, &first.id).await? {
            desk.attach(&mut tx, &mut request, &callback.url).await?;
        }
        tx.commit().await?;
    }
    Ok(answer.etag(etag(first.version.into())))
}

/// Asked before an address is stored, because a caller brings it.
fn callback_errors(cx: &Cx, new: &NewApproval) -> Vec<FieldError> {
    let Some(callback) = &new.callback else { return Vec::new() };
    let checked = Url::parse(&callback.url).map_err(|error| format!("is no URL: {error}"));
    let checked = checked.and_then(|url| cx.outgoing().check_callback(&url));
    checked.err().map(|why| FieldError::new("/callback/url", why)).into_iter().collect()
}

/// Which requests to list.
#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(crate) struct ApprovalFilter {
    #[param(inline)]
    status: Option<Status>,
    /// Only what the caller can decide now, in their own right or for somebody else, the dearest first: by the money that
    /// waiting loses per hour and approval that is still needed, in the currency of the policy in force, converted by the
    /// rates of the policy that judged. Then, by the deadline alone, what has no cost or no rate: `urgency` says which. A
    /// page may be short, or empty, and still have a next one. Does not go with `status`.
    #[serde(default)]
    inbox: bool,
    /// Opaque, from `next_cursor`.
    cursor: Option<String>,
    /// Items on a page.
    #[param(minimum = 1, maximum = 500, default = 50)]
    limit: Option<u32>,
}

/// Requests, the newest first: those at the caller's places, and those the caller asked for or was asked about.
#[utoipa::path(tag = "approvals", params(ApprovalFilter), responses((status = 200, body = Page<Approval>), Problems))]
#[get("/v1/approvals")]
pub(crate) async fn list_approvals(
    cx: Cx,
    caller: Caller<ReadApprovals>,
    desk: web::Data<Desk>,
    filter: Params<ApprovalFilter>,
) -> Result<web::Json<Page<Approval>>, ApiError> {
    let paging = Paging::parse(filter.cursor.as_deref(), filter.limit)?;
    if filter.inbox {
        return inbox(&cx, &caller, &desk, filter.status, &paging).await;
    }
    let wanted =
        Wanted { status: filter.status, before: paging.after()?, limit: paging.limit + 1, ..Wanted::default() };
    let found = store::list(&mut cx.store().read().await?, &scope_of(&caller), &wanted).await?;
    let view = |request: &store::Stored| Approval::of(request, may_hold_grant(&caller, &request.requested_by));
    let views = found.iter().map(view).collect();
    Ok(web::Json(Page::cut(views, paging.limit, |approval: &Approval| Paging::cursor(&approval.id))))
}

async fn inbox(
    cx: &Cx,
    caller: &Principal,
    desk: &Desk,
    status: Option<Status>,
    paging: &Paging,
) -> Result<web::Json<Page<Approval>>, ApiError> {
    if status.is_some() {
        let detail = "does not go with status: it shows what waits";
        return Err(ApiError::invalid(vec![FieldError::new("/inbox", detail)]));
    }
    let after = paging.after()?;
    let Some(person) = &caller.person else { return Ok(web::Json(Page { items: Vec::new(), next_cursor: None })) };
    let found = desk.inbox(cx, person, &scope_of(caller), after, paging.limit as usize).await?;
    let view = |request: &store::Stored| Approval::of(request, may_hold_grant(caller, &request.requested_by));
    let items = found.items.iter().map(view).collect();
    Ok(web::Json(Page { items, next_cursor: found.next.as_ref().map(Paging::cursor) }))
}

/// A request as it is to be from now on.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct EditedApproval {
    /// All of it, as if it were asked for the first time. Action type, product, reference and `on_behalf_of` stay.
    request: NewApproval,
    /// Why; answers the question, when one waits for it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(min_length = 1, max_length = 2000)]
    comment: Option<String>,
}

/// Edits a request that is not over; only who asked may. The policy in force judges it again, and says for each step
/// which edits leave its approvals alone (`none`), leave them while the same steps are asked (`re_evaluate`), or void
/// them, which is the default. Void decisions stay in sight, superseded.
#[utoipa::path(
    tag = "approvals",
    params(IfMatch),
    request_body = EditedApproval,
    responses((status = 200, body = Approval), Problems)
)]
#[put("/v1/approvals/{id}")]
pub(crate) async fn edit_approval(
    cx: Cx,
    caller: Caller<RequestApproval>,
    id: PathOf<String>,
    seen: IfMatch,
    desk: web::Data<Desk>,
    body: Body<EditedApproval>,
) -> Result<Answer, ApiError> {
    let EditedApproval { request: new, comment } = body.into_inner();
    if comment.as_ref().is_some_and(|text| text.trim().is_empty() || text.chars().count() > MAX_TEXT) {
        return Err(too_long("/comment"));
    }
    let below = |error: FieldError| FieldError { pointer: format!("/request{}", error.pointer), ..error };
    let judged = new.judge(&*desk.policies().in_force(&cx).await?);
    let case = judged.map_err(|errors| ApiError::invalid(errors.into_iter().map(below).collect()))?;
    let (by, how) = (actor_of(&caller), way_of(&caller));
    let edition = Edition { by: &by, new: &new, case, comment, version: version_of(&seen), how };
    let request = desk.edit(&cx, &id, edition).await?;
    answer(&request, &caller)
}

/// One request, with the facts that it is about.
#[utoipa::path(tag = "approvals", responses((status = 200, body = Approval), Problems))]
#[get("/v1/approvals/{id}")]
pub(crate) async fn get_approval(
    cx: Cx,
    caller: Caller<ReadApprovals>,
    id: PathOf<String>,
    desk: web::Data<Desk>,
) -> Result<HttpResponse, ApiError> {
    let wanted = Wanted { id: Some(id.into_inner()), limit: 1, ..Wanted::default() };
    let found = store::list(&mut cx.store().read().await?, &scope_of(&caller), &wanted).await?;
    let request = found.into_iter().next().ok_or_else(|| ApiError::not_found("approval"))?;
    let mut view = Approval::of(&request, may_hold_grant(&caller, &request.requested_by));
    view.facts = Some(request.case.facts);
    view.oversight = desk.oversight(&mut *cx.store().read().await?, &request.id, cx.clock().now()).await?;
    Ok(HttpResponse::Ok().insert_header(("etag", etag(view.version.into()))).json(view))
}
