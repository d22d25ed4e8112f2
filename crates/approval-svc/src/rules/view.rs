//! A request as it is told to programs.

use chassis::prelude::Timestamp;
use contracts::{Action, Digest, Facts, Money, PersonId, events::DecidedBy};
use governance::{
    PolicyRef, Role, Route, State,
    authority::Suspicion,
    policy::{Step, Who},
    request::{Added, Decision, End, Question, Remark},
};
use serde::{Deserialize, Serialize};

use super::proposal::Scored;
use crate::{
    reask::AsksAgain,
    store::{Stored, overrides::Overridden},
};

/// Where a request stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Status {
    Waiting,
    Approved,
    Denied,
    /// Nobody decided or answered in time; counts as denied.
    Expired,
    Withdrawn,
    /// An approver asked a question; who asked for the approval answers it, and the request goes on.
    SentBack,
}

impl Status {
    pub(crate) fn of(state: &State) -> Self {
        match state.ended().map(|ended| ended.how) {
            None if state.question().is_some() => Self::SentBack,
            None => Self::Waiting,
            Some(End::Approved) => Self::Approved,
            Some(End::Denied | End::NobodyToAsk) => Self::Denied,
            Some(End::Expired) => Self::Expired,
            Some(End::Withdrawn) => Self::Withdrawn,
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
    /// Grows with every edit of what is asked.
    pub revision: u32,
    pub status: Status,
    pub title: String,
    pub action: Action,
    /// Of the facts that are shown; they are repeated only when one request is looked at.
    pub facts_hash: Digest,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub facts: Option<Facts>,
    /// What was approved before, and what of it no longer holds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub asks_again: Option<AsksAgain>,
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
    /// What its place in an inbox depends on; only while it waits.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub urgency: Option<Urgency>,
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
    /// While it is sent back: what is asked, and until when.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub question: Option<Question>,
    /// Comments, answers and edits, in order.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub remarks: Vec<Remark>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub watchers: Vec<PersonId>,
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

/// What the place of a waiting request in an inbox depends on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(tag = "by", rename_all = "snake_case")]
pub enum Urgency {
    /// Waiting loses so much per hour and approval that is still needed, in the currency of the policy and by its rates.
    Money { per_hour: Money },
    /// The deadline alone: nobody said what waiting costs.
    Deadline,
    /// The deadline alone: the policy states no rate for the currency in which waiting costs.
    DeadlineForWantOfARate,
}

impl Urgency {
    fn of(stored: &Stored) -> Self {
        match (stored.loses(), stored.case.cost_of_waiting_per_hour) {
            (Some(per_hour), _) => Self::Money { per_hour },
            (None, None) => Self::Deadline,
            (None, Some(_)) => Self::DeadlineForWantOfARate,
        }
    }
}

/// The version of the policy and its row that judged.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct JudgedBy {
    pub id: String,
    pub version: u32,
    pub digest: Digest,
    #[schema(example = "cross-region-transfer")]
    pub row: String,
    /// The overlay of the request's business unit, where it judged as well.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub overlay: Option<PolicyRef>,
    /// For people.
    pub reason: String,
}

/// One step of the route.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct StepView {
    /// Who is asked, in words.
    #[schema(example = "regional_ops of the place it comes from")]
    pub asks: String,
    /// The role that is asked; absent when it is not a single one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub role: Option<Role>,
    /// Who was told, or is asked by name.
    pub people: Vec<PersonId>,
    /// Opens together with the step before it.
    pub with_previous: bool,
    pub quorum: u32,
    /// How many approvals count towards the quorum.
    pub approvals: u32,
    /// Who must approve besides the quorum, because another approver asked for it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub added: Vec<Added>,
    pub state: StepState,
    /// Those included that count no more; see `superseded_at`.
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
    /// Waits for the answer to a question.
    SentBack,
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
            revision: state.revision,
            status: Status::of(state),
            title: case.title.clone(),
            action: case.action.clone(),
            facts_hash: case.facts_hash.clone(),
            facts: None,
            asks_again: case.asks_again.clone(),
            policy: JudgedBy::of(&case.route),
            steps: steps(state),
            requested_by: stored.requested_by.clone(),
            on_behalf_of: state.requester.on_behalf_of.clone(),
            reference: stored.reference.clone(),
            score: case.score.clone(),
            at_stake: case.input.value,
            cost_of_waiting_per_hour: case.cost_of_waiting_per_hour,
            urgency: waiting.map(|_| Urgency::of(stored)),
            decide_by: waiting.map(|waiting| waiting.decide_by),
            decided_at: ended.map(|ended| ended.at),
            decided_by: decided_by(state),
            comment: ended.and_then(|ended| ended.comment.clone()),
            oversight: None,
            question: state.question().cloned(),
            remarks: state.remarks.clone(),
            watchers: state.watchers.clone(),
            grant: stored.grant.as_ref().filter(|_| with_grant).map(|grant| grant.token.clone()),
            created_at: stored.created_at,
        }
    }
}

impl JudgedBy {
    fn of(route: &Route) -> Self {
        let PolicyRef { id, version, digest } = route.policy.clone();
        let reason = route.why.as_ref().unwrap_or(&route.row).clone();
        Self { id, version, digest, row: route.row.clone(), overlay: route.overlay.clone(), reason }
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
    let mut view = |(index, step): (u32, &Step)| {
        let here = state.open_steps().iter().find(|waiting| waiting.step == index);
        let asks_back = state.question().is_some_and(|question| question.step == index);
        let standing = match (state.passed(index), here.is_some(), asks_back, state.ended().is_some()) {
            (true, ..) => StepState::Passed,
            (_, true, ..) => StepState::Open,
            (_, _, true, _) => StepState::SentBack,
            (_, _, _, true) if !open_seen => StepState::Ended,
            (_, _, _, true) => StepState::Skipped,
            _ => StepState::Ahead,
        };
        open_seen |= standing != StepState::Passed;
        let (role, named) = match &step.ask {
            Who::Role(role) => (Some(role.role.clone()), Vec::new()),
            Who::People(named) => (None, named.people.clone()),
            Who::AnyOf(_) => (None, Vec::new()),
        };
        StepView {
            asks: step.ask.to_string(),
            role,
            people: here.map_or(named, |waiting| waiting.asked.clone()),
            with_previous: step.with_previous,
            quorum: step.quorum,
            approvals: u32::try_from(state.counted(index)).unwrap_or(u32::MAX),
            added: state.added.iter().filter(|added| added.step == index).cloned().collect(),
            state: standing,
            decisions: state.decisions.iter().filter(|decision| decision.step == index).cloned().collect(),
            decide_by: here.map(|waiting| waiting.decide_by),
            escalated: here.is_some_and(|waiting| waiting.escalated),
        }
    };
    (0_u32..).zip(&state.steps).map(&mut view).collect()
}
