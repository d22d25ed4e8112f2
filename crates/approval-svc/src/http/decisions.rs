//! `/v1/approvals/{id}/decisions` and `/withdrawal`.

use actix_web::{post, web};
use chassis::{http::etag, prelude::*};
use contracts::PersonId;
use governance::{
    Command,
    request::{Refused, Verdict},
};
use serde::{Deserialize, Serialize};

use super::{DecideApproval, RequestApproval, actor_of, may_hold_grant, refusal};
use crate::{
    desk::{Desk, DeskError},
    rules::{
        proposal::MAX_TEXT,
        view::{Approval, Status},
    },
    store::{self, Stored},
};

/// A person's word.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct NewDecision {
    pub(crate) decision: Verdict,
    /// Needed to send back: what is asked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(max_length = 2000)]
    pub(crate) comment: Option<String>,
}

/// Why nobody need decide any more.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Withdrawal {
    #[schema(min_length = 1, max_length = 2000)]
    reason: String,
}

/// Decides the open step as the calling person. The same word twice is one decision and gets the same answer.
#[utoipa::path(
    tag = "approvals",
    params(IfMatch),
    request_body = NewDecision,
    responses((status = 200, body = Approval), Problems)
)]
#[post("/v1/approvals/{id}/decisions")]
pub(crate) async fn decide_approval(
    cx: Cx,
    caller: Caller<DecideApproval>,
    id: PathOf<String>,
    seen: IfMatch,
    desk: web::Data<Desk>,
    body: Body<NewDecision>,
) -> Result<Answer, ApiError> {
    let NewDecision { decision: verdict, comment } = body.into_inner();
    let comment = comment.filter(|text| !text.trim().is_empty());
    if comment.as_ref().is_some_and(|text| text.chars().count() > MAX_TEXT) {
        return Err(too_long("/comment"));
    }
    let person = person_of(&caller)?;
    let command = Command::Decide { person, verdict, comment, step: None, version: version_of(&seen), revision: None };
    let request = match desk.command(&cx, &id, &command, way_of(&caller)).await {
        Err(DeskError::Refused(Refused::AlreadyDecided(first))) if first.verdict == verdict => {
            current(&cx, &id).await?
        }
        Err(DeskError::Refused(refused)) => return Err(refusal(&refused)),
        other => other?,
    };
    answer(&request, &caller)
}

/// Withdraws a request; only who asked may. Twice is once.
#[utoipa::path(tag = "approvals", request_body = Withdrawal, responses((status = 200, body = Approval), Problems))]
#[post("/v1/approvals/{id}/withdrawal")]
pub(crate) async fn withdraw_approval(
    cx: Cx,
    caller: Caller<RequestApproval>,
    id: PathOf<String>,
    desk: web::Data<Desk>,
    body: Body<Withdrawal>,
) -> Result<Answer, ApiError> {
    let reason = body.into_inner().reason;
    if reason.trim().is_empty() || reason.chars().count() > MAX_TEXT {
        return Err(too_long("/reason"));
    }
    let by = actor_of(&caller);
    let asker = by.to_string();
    let command = Command::Withdraw { by, comment: Some(reason) };
    let request = match desk.command(&cx, &id, &command, way_of(&caller)).await {
        Err(DeskError::Refused(refused @ Refused::Over(_))) => {
            let request = current(&cx, &id).await?;
            if Status::of(&request.state) != Status::Withdrawn || request.requested_by != asker {
                return Err(refusal(&refused));
            }
            request
        }
        other => other?,
    };
    answer(&request, &caller)
}

/// The calling person; programs do not decide.
pub(super) fn person_of(caller: &Principal) -> Result<PersonId, ApiError> {
    caller.person.clone().ok_or_else(|| {
        let problem = Problem::new("not-a-person", 403, "Only a person decides");
        ApiError::problem(problem.detail("the key belongs to a program; decide with a person's key or session"))
    })
}

/// A version that no request can have was not read from us: it is refused as stale.
pub(super) fn version_of(seen: &IfMatch) -> Option<u32> {
    seen.0.map(|version| u32::try_from(version).unwrap_or(u32::MAX))
}

/// How a command reached us, for the audit.
pub(super) fn way_of(caller: &Principal) -> &'static str {
    if caller.session { "session" } else { "key" }
}

async fn current(cx: &Cx, id: &str) -> Result<Stored, ApiError> {
    let found = store::find(&mut cx.store().read().await?, id).await?;
    found.ok_or_else(|| ApiError::not_found("approval"))
}

pub(super) fn answer(request: &Stored, caller: &Principal) -> Result<Answer, ApiError> {
    let view = Approval::of(request, may_hold_grant(caller, &request.requested_by));
    let etag = etag(view.version.into());
    Ok(Answer::new(&Reply::ok(view))?.etag(etag))
}

pub(super) fn too_long(pointer: &str) -> ApiError {
    ApiError::invalid(vec![FieldError::new(pointer, format!("must have 1 to {MAX_TEXT} characters"))])
}
