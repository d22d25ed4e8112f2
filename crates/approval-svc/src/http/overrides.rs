//! `/v1/approvals/{id}/override` and `/v1/overrides`: breaking the glass, and the review that is owed for it.

use actix_web::{get, post, web};
use chassis::{http::etag, prelude::*};
use serde::{Deserialize, Serialize};

use super::{OverrideApproval, ReadApprovals, ReviewOverride, may_hold_grant, person_of};
use crate::{
    desk::{Breaking, Desk, DeskError},
    rules::{proposal::MAX_TEXT, view::Approval},
    store::overrides::{self as ledger, Overridden, ReviewState, Verdict},
};

const MAX_TICKET: usize = 128;

/// Why one person approves alone.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct NewOverride {
    #[schema(min_length = 1, max_length = 2000)]
    reason: String,
    /// Where the emergency is on record.
    #[schema(min_length = 1, max_length = 128, example = "INC-4711")]
    ticket: String,
}

/// Approves a waiting request alone. Needs an override rule of the directory for a role of the caller, within its cap;
/// the second pair of eyes is told at once and owes a review. Duties hold: who asked does not override. The same
/// person twice is once.
#[utoipa::path(
    tag = "overrides",
    request_body = NewOverride,
    responses((status = 200, body = Approval), Problems)
)]
#[post("/v1/approvals/{id}/override")]
pub(crate) async fn override_approval(
    cx: Cx,
    caller: Caller<OverrideApproval>,
    id: PathOf<String>,
    desk: web::Data<Desk>,
    body: Body<NewOverride>,
) -> Result<Answer, ApiError> {
    let (NewOverride { reason, ticket }, person) = (body.into_inner(), person_of(&caller)?);
    let mut errors = Vec::new();
    for (pointer, text, most) in [("/reason", &reason, MAX_TEXT), ("/ticket", &ticket, MAX_TICKET)] {
        if text.trim().is_empty() || text.chars().count() > most {
            errors.push(FieldError::new(pointer, format!("must have 1 to {most} characters")));
        }
    }
    if !errors.is_empty() {
        return Err(ApiError::invalid(errors));
    }
    let breaking = Breaking { person, reason: reason.trim().to_owned(), ticket: ticket.trim().to_owned() };
    let request = desk.break_glass(&cx, &id, &breaking).await?;
    let mut view = Approval::of(&request, may_hold_grant(&caller, &request.requested_by));
    view.oversight = desk.oversight(&mut *cx.store().read().await?, &request.id, cx.clock().now()).await?;
    let etag = etag(view.version.into());
    Ok(Answer::new(&Reply::ok(view))?.etag(etag))
}

/// Which overrides to list.
#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(crate) struct OverrideFilter {
    #[param(inline)]
    state: Option<ReviewState>,
    /// Opaque, from `next_cursor`.
    cursor: Option<String>,
    /// Items on a page.
    #[param(minimum = 1, maximum = 500, default = 50)]
    limit: Option<u32>,
}

/// Overrides, the newest request first, with the reviews that are owed or done.
#[utoipa::path(tag = "overrides", params(OverrideFilter), responses((status = 200, body = Page<Overridden>), Problems))]
#[get("/v1/overrides")]
pub(crate) async fn list_overrides(
    cx: Cx,
    _caller: Caller<ReadApprovals>,
    filter: Params<OverrideFilter>,
) -> Result<web::Json<Page<Overridden>>, ApiError> {
    let paging = Paging::parse(filter.cursor.as_deref(), filter.limit)?;
    let (mut reader, now) = (cx.store().read().await?, cx.clock().now());
    let found = ledger::list(&mut reader, filter.state, paging.after()?, paging.limit + 1, now).await?;
    Ok(web::Json(Page::cut(found, paging.limit, |one: &Overridden| Paging::cursor(&one.approval_id))))
}

/// What the second pair of eyes found.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct NewReview {
    verdict: Verdict,
    #[schema(min_length = 1, max_length = 2000)]
    comment: String,
}

/// Reviews an override and so pays its debt. Somebody else than who overrode or asked does, in the reviewing role of
/// the rule. The same word twice is once.
#[utoipa::path(
    tag = "overrides",
    request_body = NewReview,
    responses((status = 200, body = Overridden), Problems)
)]
#[post("/v1/overrides/{id}/review")]
pub(crate) async fn review_override(
    cx: Cx,
    caller: Caller<ReviewOverride>,
    id: PathOf<String>,
    desk: web::Data<Desk>,
    body: Body<NewReview>,
) -> Result<web::Json<Overridden>, ApiError> {
    let (NewReview { verdict, comment }, person) = (body.into_inner(), person_of(&caller)?);
    if comment.trim().is_empty() || comment.chars().count() > MAX_TEXT {
        return Err(ApiError::invalid_field("/comment", format!("must have 1 to {MAX_TEXT} characters")));
    }
    match desk.review_override(&cx, &id, &person, verdict, comment.trim()).await {
        Ok(reviewed) => Ok(web::Json(reviewed)),
        Err(DeskError::Unknown) => Err(ApiError::not_found("override")),
        Err(other) => Err(other.into()),
    }
}
