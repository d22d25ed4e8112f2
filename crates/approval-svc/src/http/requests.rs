//! `/v1/approvals`: ask, list, look.

use std::sync::Arc;

use actix_web::{HttpResponse, get, post, web};
use chassis::{http::etag, prelude::*};
use serde::Deserialize;
use url::Url;

use super::{ReadApprovals, RequestApproval, actor_of, may_hold_grant, scope_of};
use crate::{
    desk::{Desk, Fresh},
    rules::{
        proposal::NewApproval,
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
    let case = match new.judge(&desk.in_force()) {
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
        if let Some(request) = store::lock(&mut tx, &first.id).await? {
            desk.attach(&mut tx, &request, &callback.url).await?;
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
    filter: Params<ApprovalFilter>,
) -> Result<web::Json<Page<Approval>>, ApiError> {
    let paging = Paging::parse(filter.cursor.as_deref(), filter.limit)?;
    let wanted = Wanted { id: None, status: filter.status, before: paging.after()?, limit: paging.limit + 1 };
    let found = store::list(&mut cx.store().read().await?, &scope_of(&caller), &wanted).await?;
    let view = |request: &store::Stored| Approval::of(request, may_hold_grant(&caller, &request.requested_by));
    let views = found.iter().map(view).collect();
    Ok(web::Json(Page::cut(views, paging.limit, |approval: &Approval| Paging::cursor(&approval.id))))
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
