//! A request as it is told to programs.

use chassis::prelude::Timestamp;
use contracts::{Action, Digest, Facts, Money, PersonId, events::DecidedBy};
use governance::{
    PolicyRef, Role, State,
    authority::Suspicion,
    policy::{Step, Who},
    request::{Decision, End, Verdict},
};
use serde::{Deserialize, Serialize};

use super::proposal::Scored;
use crate::store::{Stored, overrides::Overridden};

/// Where a request stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Status {
    Waiting,
    Approved,
    Denied,
    /// Nobody decided in time; counts as denied.
    Expired,
    Withdrawn,
    /// Returned with a question; ask again with a new request.
    SentBack,
}

impl Status {
    pub(crate) fn of(state: &State) -> Self {
        match state.ended().map(|ended| ended.how) {
            None => Self::Waiting,
            Some(End::Approved) => Self::Approved,
            Some(End::Denied | End::NobodyToAsk) => Self::Denied,
            Some(End::Expired) => Self::Expired,
            Some(End::Withdrawn) => Self::Withdrawn,
            Some(End::SentBack) => Self::SentBack,
        }
    }

    /// As in JSON, in the store and in the callback.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Waiting => "waiting",
            Self::Approved => "approved",
            Self::Denied => "denied",
            Self::Expired => "expired",
            Self::Withdrawn => "withdrawn",
            Self::SentBack => "sent_back",
        }
    }
}

/// An approval request.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Approval {
    pub id: String,
    /// Grows with every change; the ETag.
    pub version: u32,
    pub status: Status,
    pub title: String,
    pub action: Action,
    /// Of the facts that are shown; they are repeated only when one request is looked at.
    pub facts_hash: Digest,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub facts: Option<Facts>,
    pub policy: JudgedBy,
    pub steps: Vec<StepView>,
    #[schema(example = "key:n8n")]
    pub requested_by: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub on_behalf_of: Option<PersonId>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reference: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub score: Option<Scored>,
    /// What the moved, bought or lost units cost.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub at_stake: Option<Money>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cost_of_waiting_per_hour: Option<Money>,
    /// When the open step times out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub decide_by: Option<Timestamp>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub decided_at: Option<Timestamp>,
    /// Who decided, in order; empty when the policy did, or time.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub decided_by: Vec<PersonId>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub comment: Option<String>,
    /// What stands out: an override, suspicious patterns. Shown when one request is looked at.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub oversight: Option<Oversight>,
    /// Signed permission for the executor; only for who asked, and only once approved.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub grant: Option<String>,
    pub created_at: Timestamp,
}

/// What somebody who audits should know of a request.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Oversight {
    /// One person approved it alone.
    #[serde(rename = "override", default, skip_serializing_if = "Option::is_none")]
    pub overridden: Option<Overridden>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub suspicions: Vec<Suspicion>,
}

/// The version of the policy and its row that judged.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct JudgedBy {
    pub id: String,
    pub version: u32,
    pub digest: Digest,
    #[schema(example = "cross-region-transfer")]
    pub row: String,
    /// For people.
    pub reason: String,
}

/// One step of the route.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct StepView {
    /// The role that is asked; absent when people are asked by name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub role: Option<Role>,
    /// Who was told, or is asked by name.
    pub people: Vec<PersonId>,
    pub quorum: u32,
    pub state: StepState,
    pub decisions: Vec<Decision>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub decide_by: Option<Timestamp>,
    /// Time ran out once, and further people were asked.
    #[serde(default)]
    pub escalated: bool,
}

/// Where a step stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum StepState {
    Passed,
    Open,
    /// The request ended here; its status says how.
    Ended,
    /// Comes after the open one.
    Ahead,
    /// The request ended before it.
    Skipped,
}

impl Approval {
    /// `with_grant`: the reader is the one who asked.
    pub(crate) fn of(stored: &Stored, with_grant: bool) -> Self {
        let (case, state) = (&stored.case, &stored.state);
        let (waiting, ended) = (state.waiting(), state.ended());
        Self {
            id: stored.id.clone(),
            version: state.version,
            status: Status::of(state),
            title: case.title.clone(),
            action: case.action.clone(),
            facts_hash: case.facts_hash.clone(),
            facts: None,
            policy: JudgedBy::of(&case.route.policy, &case.route.row, case.route.why.as_ref()),
            steps: steps(state),
            requested_by: stored.requested_by.clone(),
            on_behalf_of: state.requester.on_behalf_of.clone(),
            reference: stored.reference.clone(),
            score: case.score.clone(),
            at_stake: case.input.value,
            cost_of_waiting_per_hour: case.cost_of_waiting_per_hour,
            decide_by: waiting.map(|waiting| waiting.decide_by),
            decided_at: ended.map(|ended| ended.at),
            decided_by: decided_by(state),
            comment: ended.and_then(|ended| ended.comment.clone()),
            oversight: None,
            grant: stored.grant.as_ref().filter(|_| with_grant).map(|grant| grant.token.clone()),
            created_at: stored.created_at,
        }
    }
}

impl JudgedBy {
    fn of(policy: &PolicyRef, row: &str, why: Option<&String>) -> Self {
        let PolicyRef { id, version, digest } = policy.clone();
        Self { id, version, digest, row: row.to_owned(), reason: why.map_or(row, String::as_str).to_owned() }
    }
}

/// The people behind the end of a request; nobody when the policy or time ended it.
pub(crate) fn decided_by(state: &State) -> Vec<PersonId> {
    match state.ended().map(|ended| &ended.by) {
        Some(DecidedBy::People { people }) => people.clone(),
        _ => Vec::new(),
    }
}

fn steps(state: &State) -> Vec<StepView> {
    let mut open_seen = false;
    let mut view = |(index, step): (usize, &Step)| {
        let decisions: Vec<_> =
            state.decisions.iter().filter(|decision| decision.step as usize == index).cloned().collect();
        let approvals = decisions.iter().filter(|decision| decision.verdict == Verdict::Approve).count();
        let here = state.waiting().filter(|waiting| waiting.step as usize == index);
        let standing = match (approvals >= step.quorum as usize, open_seen, state.ended().is_some()) {
            (true, ..) => StepState::Passed,
            (_, false, false) => StepState::Open,
            (_, false, true) => StepState::Ended,
            (_, true, false) => StepState::Ahead,
            (_, true, true) => StepState::Skipped,
        };
        open_seen |= standing != StepState::Passed;
        let (role, named) = match &step.ask {
            Who::Role(role) => (Some(role.role.clone()), Vec::new()),
            Who::People(named) => (None, named.people.clone()),
        };
        StepView {
            role,
            people: here.map_or(named, |waiting| waiting.asked.clone()),
            quorum: step.quorum,
            state: standing,
            decisions,
            decide_by: here.map(|waiting| waiting.decide_by),
            escalated: here.is_some_and(|waiting| waiting.escalated),
        }
    };
    state.steps.iter().enumerate().map(&mut view).collect()
}
