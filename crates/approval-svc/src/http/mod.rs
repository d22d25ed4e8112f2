//! The HTTP surface, one file per resource.

mod aside;
mod decisions;
mod keys;
mod page;
mod policy;
mod requests;

use chassis::prelude::*;
use governance::{Actor, request::Refused};

use crate::{desk::DeskError, store::Scope};

permission!(pub RequestApproval = "approvals:request" for [Service, StoreManager, RegionalOps, ProcurementLead]);
permission!(
    pub ReadApprovals = "approvals:read" for
    [Service, StoreManager, RegionalOps, Finance, ProcurementLead, Auditor, Operator, Admin]
);
// Who may decide what is the policy's and the directory's to say; this only keeps programs and readers out.
permission!(
    pub DecideApproval = "approvals:decide" for
    [StoreManager, RegionalOps, Finance, ProcurementLead, Operator, Admin]
);

pub(crate) fn routes(config: &mut ServiceConfig<'_>) {
    config
        .service(requests::request_approval)
        .service(requests::list_approvals)
        .service(requests::get_approval)
        .service(decisions::decide_approval)
        .service(decisions::withdraw_approval)
        .service(requests::edit_approval)
        .service(aside::comment_on_approval)
        .service(aside::answer_question)
        .service(aside::add_approver)
        .service(aside::add_watcher)
        .service(policy::get_policy)
        .service(policy::preview_policy)
        .service(keys::get_grant_keys)
        .service(page::show_decision_page)
        .service(page::submit_decision);
}

/// Who the caller is to the state machine: a person, or a program with its key.
fn actor_of(caller: &Principal) -> Actor {
    match &caller.person {
        Some(person) => Actor::Person { person: person.clone() },
        None => Actor::Service { key: caller.id.clone() },
    }
}

/// The requester holds the grant; a service holds it for its workflows.
fn may_hold_grant(caller: &Principal, requested_by: &str) -> bool {
    caller.has(Role::Service) || requested_by == crate::desk::name_of(&actor_of(caller))
}

/// What the caller may see: the places of the roles they hold, what they asked for and what they were asked.
fn scope_of(caller: &Principal) -> Scope {
    Scope {
        everywhere: caller.roles.iter().any(|held| held.regions.is_empty() && held.locations.is_empty()),
        regions: caller.roles.iter().flat_map(|held| &held.regions).map(ToString::to_string).collect(),
        locations: caller.roles.iter().flat_map(|held| &held.locations).map(ToString::to_string).collect(),
        actor: crate::desk::name_of(&actor_of(caller)),
        person: caller.person.as_ref().map(ToString::to_string),
    }
}

impl From<DeskError> for ApiError {
    fn from(error: DeskError) -> Self {
        match error {
            DeskError::Unknown => Self::not_found("approval"),
            DeskError::Invalid(errors) => Self::invalid(errors),
            DeskError::ReferenceTaken { first } => Self::conflict(
                "reference-taken",
                "The reference belongs to another action",
                format!("approval {first} has this reference; a reference names one action for ever"),
            ),
            DeskError::Refused(refused) => refusal(&refused),
            DeskError::Store(error) => error.into(),
            DeskError::Key(error) => Self::internal(error),
        }
    }
}

/// The problem that a refusal of the state machine is.
fn refusal(refused: &Refused) -> ApiError {
    if matches!(refused, Refused::CommentNeeded) {
        return ApiError::invalid(vec![FieldError::new("/comment", refused.to_string())]);
    }
    if matches!(refused, Refused::UnknownPerson { .. }) {
        return ApiError::invalid(vec![FieldError::new("/person", refused.to_string())]);
    }
    let (status, title) = status_of(refused);
    ApiError::problem(Problem::new(refused.code(), status, title).detail(refused.to_string()))
}

/// HTTP status and title, for problems and pages alike.
fn status_of(refused: &Refused) -> (u16, &'static str) {
    match refused {
        Refused::NotAsked { .. } => (403, "You are not asked"),
        Refused::RequesterMayNotApprove { .. } => (403, "Who asks cannot approve"),
        Refused::ApprovedEarlierStep { .. } => (403, "This step needs somebody else"),
        Refused::NotTheRequester => (403, "Only who asked may do this"),
        Refused::RoleHasSpoken => (403, "Your role has approved already"),
        Refused::AlreadyDecided(_) => (409, "You have decided already"),
        Refused::OtherStep { .. } => (409, "Another step is open"),
        Refused::TooLate { .. } => (409, "The time to decide is over"),
        Refused::Over(_) => (409, "The request is over"),
        Refused::WaitsForAnswer(_) => (409, "A question waits for its answer"),
        Refused::NothingAsked => (409, "No question waits for an answer"),
        Refused::AskedAlready { .. } => (409, "This person is asked already"),
        Refused::TooMany { .. } => (409, "There are too many"),
        Refused::Stale { .. } | Refused::Edited { .. } => (412, "The request has changed since"),
        Refused::CommentNeeded => (422, "A comment is needed"),
        Refused::UnknownPerson { .. } => (422, "The directory does not know this person"),
        Refused::Unchanged => (422, "Nothing is changed"),
    }
}
