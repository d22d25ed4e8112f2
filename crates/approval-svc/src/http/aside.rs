//! `/v1/approvals/{id}/comments`, `/answers`, `/approvers` and `/watchers`: what is said and done beside deciding.

use actix_web::{post, web};
use chassis::prelude::*;
use contracts::PersonId;
use governance::Command;
use serde::{Deserialize, Serialize};

use super::{
    DecideApproval, ReadApprovals, RequestApproval, actor_of,
    decisions::{answer, person_of, too_long, way_of},
    scope_of,
};
use crate::{
    desk::Desk,
    rules::{proposal::MAX_TEXT, view::Approval},
    store::{self, Wanted},
};

/// Words.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct NewRemark {
    #[schema(min_length = 1, max_length = 2000)]
    text: String,
}

impl NewRemark {
    fn text(self) -> Result<String, ApiError> {
        let text = self.text.trim();
        if text.is_empty() || text.chars().count() > MAX_TEXT { Err(too_long("/text")) } else { Ok(text.to_owned()) }
    }
}

/// One more approver.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct NewApprover {
    person: PersonId,
    /// Index of the step, from 0; left out = the one that the caller may decide.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    step: Option<u32>,
}

/// One more watcher.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct NewWatcher {
    person: PersonId,
}

/// Says something about a request and decides nothing. At most 200 remarks are kept with a request.
#[utoipa::path(tag = "approvals", request_body = NewRemark, responses((status = 200, body = Approval), Problems))]
#[post("/v1/approvals/{id}/comments")]
pub(crate) async fn comment_on_approval(
    cx: Cx,
    caller: Caller<ReadApprovals>,
    id: PathOf<String>,
    desk: web::Data<Desk>,
    body: Body<NewRemark>,
) -> Result<Answer, ApiError> {
    let text = body.into_inner().text()?;
    in_sight(&cx, &caller, &id).await?;
    let command = Command::Comment { by: actor_of(&caller), text };
    answer(&desk.command(&cx, &id, &command, way_of(&caller)).await?, &caller)
}

/// Answers the question with which a request was sent back; only who asked for the approval may. The steps that were
/// open open again with all their time, and what others approved stands, because it was about the same facts. To change
/// the request itself, edit it, which answers too.
#[utoipa::path(tag = "approvals", request_body = NewRemark, responses((status = 200, body = Approval), Problems))]
#[post("/v1/approvals/{id}/answers")]
pub(crate) async fn answer_question(
    cx: Cx,
    caller: Caller<RequestApproval>,
    id: PathOf<String>,
    desk: web::Data<Desk>,
    body: Body<NewRemark>,
) -> Result<Answer, ApiError> {
    let command = Command::Answer { by: actor_of(&caller), text: body.into_inner().text()? };
    answer(&desk.command(&cx, &id, &command, way_of(&caller)).await?, &caller)
}

/// Asks one more person to approve a step that the caller may decide. It only tightens: the step needs this approval
/// besides its quorum. At most 20 people are added to a request.
#[utoipa::path(tag = "approvals", request_body = NewApprover, responses((status = 200, body = Approval), Problems))]
#[post("/v1/approvals/{id}/approvers")]
pub(crate) async fn add_approver(
    cx: Cx,
    caller: Caller<DecideApproval>,
    id: PathOf<String>,
    desk: web::Data<Desk>,
    body: Body<NewApprover>,
) -> Result<Answer, ApiError> {
    let NewApprover { person, step } = body.into_inner();
    let command = Command::AddApprover { by: person_of(&caller)?, person, step };
    answer(&desk.command(&cx, &id, &command, way_of(&caller)).await?, &caller)
}

/// Lets a person look at a request and tells them of its end; whoever sees the request may. It gives no right to decide,
/// and twice is once. At most 50 people watch a request.
#[utoipa::path(tag = "approvals", request_body = NewWatcher, responses((status = 200, body = Approval), Problems))]
#[post("/v1/approvals/{id}/watchers")]
pub(crate) async fn add_watcher(
    cx: Cx,
    caller: Caller<ReadApprovals>,
    id: PathOf<String>,
    desk: web::Data<Desk>,
    body: Body<NewWatcher>,
) -> Result<Answer, ApiError> {
    in_sight(&cx, &caller, &id).await?;
    let command = Command::Watch { person: body.into_inner().person };
    answer(&desk.command(&cx, &id, &command, way_of(&caller)).await?, &caller)
}

/// What somebody may not see does not exist for them.
async fn in_sight(cx: &Cx, caller: &Principal, id: &str) -> Result<(), ApiError> {
    let wanted = Wanted { id: Some(id.to_owned()), limit: 1, ..Wanted::default() };
    let found = store::list(&mut cx.store().read().await?, &scope_of(caller), &wanted).await?;
    if found.is_empty() { Err(ApiError::not_found("approval")) } else { Ok(()) }
}
