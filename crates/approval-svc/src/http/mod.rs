//! The HTTP surface, one file per resource.

mod aside;
mod decisions;
mod delegations;
mod evidence;
mod grants;
mod keys;
mod limits;
mod overrides;
mod page;
mod policies;
mod policy;
mod requests;
mod simulations;

use chassis::prelude::*;
use contracts::PersonId;
use governance::{Actor, authority::OverrideRefused, request::Refused};

use crate::{
    desk::{DeskError, ReviewRefused},
    store::Scope,
};

permission!(pub RequestApproval = "approvals:request" for [Service, StoreManager, RegionalOps, ProcurementLead]);
permission!(
    pub ReadApprovals = "approvals:read" for
    [Service, StoreManager, RegionalOps, Finance, ProcurementLead, Auditor, Operator, Admin]
);
permission!(
    pub ReadPolicies = "policies:read" for
    [Service, StoreManager, RegionalOps, Finance, ProcurementLead, PolicyOwner, Auditor, Operator, Admin]
);
// Not for administrators: who hands out keys should not also write what the holders may do.
permission!(pub PublishPolicies = "policies:publish" for [PolicyOwner]);
permission!(pub SimulatePolicies = "policies:simulate" for [Finance, PolicyOwner, Auditor]);
// Who may decide what is the policy's and the directory's to say; this only keeps programs and readers out.
permission!(
    pub DecideApproval = "approvals:decide" for
    [StoreManager, RegionalOps, Finance, ProcurementLead, Operator, Admin]
);
permission!(
    pub DelegateApproval = "approvals:delegate" for
    [StoreManager, RegionalOps, Finance, ProcurementLead, Operator, Admin]
);
// Which roles may, and up to what, is the directory's to say.
permission!(
    pub OverrideApproval = "approvals:override" for
    [StoreManager, RegionalOps, Finance, ProcurementLead, Operator, Admin]
);
permission!(
    pub ReviewOverride = "approvals:review" for
    [StoreManager, RegionalOps, Finance, ProcurementLead, Auditor, Operator, Admin]
);

pub(crate) use simulations::Turns;

pub(crate) fn routes(config: &mut ServiceConfig<'_>) {
    config
        .service(requests::request_approval)
        .service(requests::list_approvals)
        .service(requests::get_approval)
        .service(decisions::decide_approval)
        .service(decisions::withdraw_approval)
        .service(delegations::create_delegation)
        .service(delegations::list_delegations)
        .service(delegations::revoke_delegation)
        .service(limits::get_limits)
        .service(overrides::override_approval)
        .service(overrides::list_overrides)
        .service(overrides::review_override)
        .service(requests::edit_approval)
        .service(aside::comment_on_approval)
        .service(aside::answer_question)
        .service(aside::add_approver)
        .service(aside::add_watcher)
        .service(evidence::get_evidence)
        .service(grants::revoke_grant)
        .service(policy::get_policy)
        .service(policies::list_policies)
        .service(policies::list_policy_versions)
        .service(policies::get_policy_version)
        .service(policies::publish_policy)
        .service(policies::activate_policy)
        .service(policies::preview_policy)
        .service(simulations::simulate_policy)
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

/// Auditors and operators look at everybody's authority, others at their own.
fn oversees(caller: &Principal) -> bool {
    [Role::Auditor, Role::Operator, Role::Admin].into_iter().any(|role| caller.has(role))
}

/// The person who calls, for what only people do.
fn person_of(caller: &Principal) -> Result<PersonId, ApiError> {
    caller.person.clone().ok_or_else(|| {
        let problem = Problem::new("not-a-person", 403, "Only a person does this");
        ApiError::problem(problem.detail("the key belongs to a program; use a person's key or session"))
    })
}

/// The person who calls, who may also name themselves and nobody else.
fn self_or(caller: &Principal, named: &Option<PersonId>) -> Result<PersonId, ApiError> {
    let person = person_of(caller)?;
    match named {
        Some(other) if *other != person => {
            let problem = Problem::new("not-yours", 403, "This is not yours to see");
            Err(ApiError::problem(problem.detail("auditors and operators see the authority of others")))
        }
        _ => Ok(person),
    }
}

/// The requester holds the grant; a service holds it for its workflows.
fn may_hold_grant(caller: &Principal, requested_by: &str) -> bool {
    caller.has(Role::Service) || requested_by == actor_of(caller).to_string()
}

/// What the caller may see: the places of the roles they hold, what they asked for and what they were asked.
fn scope_of(caller: &Principal) -> Scope {
    Scope {
        everywhere: caller.roles.iter().any(|held| held.regions.is_empty() && held.locations.is_empty()),
        regions: caller.roles.iter().flat_map(|held| &held.regions).map(ToString::to_string).collect(),
        locations: caller.roles.iter().flat_map(|held| &held.locations).map(ToString::to_string).collect(),
        actor: actor_of(caller).to_string(),
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
            DeskError::Refused(refused) | DeskError::Override(OverrideRefused::Duty(refused)) => refusal(&refused),
            DeskError::Override(refused) => {
                let slug = match &refused {
                    OverrideRefused::OverCap { .. } => "over-override-cap",
                    OverrideRefused::NobodyReviews(_) => "nobody-reviews",
                    _ => "no-override",
                };
                Self::problem(Problem::new(slug, 403, "You cannot override this").detail(refused.to_string()))
            }
            DeskError::Review(refused) => {
                let (slug, status) = review_status(&refused);
                Self::problem(Problem::new(slug, status, "You cannot review this").detail(refused.to_string()))
            }
            DeskError::Store(error) => error.into(),
            DeskError::Key(error) => Self::internal(error),
        }
    }
}

/// Word and HTTP status, for problems and pages alike.
fn review_status(refused: &ReviewRefused) -> (&'static str, u16) {
    match refused {
        ReviewRefused::OwnOverride(_) => ("own-override", 403),
        ReviewRefused::NotReviewer { .. } => ("not-a-reviewer", 403),
        ReviewRefused::CommentNeeded => ("comment-needed", 422),
        ReviewRefused::Reviewed(_) => ("already-reviewed", 409),
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
        Refused::ActsForRequester { .. } => (403, "Who acts for the requester cannot approve"),
        Refused::AskedForRelated { .. } => (403, "Who asked for a related document cannot approve"),
        Refused::ApprovedRelated { .. } => (403, "Who approved a related document cannot ask"),
        Refused::ApprovalFallsShort(_) => (409, "An approval does not reach for that"),
        Refused::BeyondAuthority(_) => (403, "That is beyond your authority"),
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
