//! One request on its way through the steps of its route.
//!
//! [`State`] is data and [`State::apply`] a pure function: the same state, command, time and directory give the same
//! transition, so a service stores the state with a compare-and-set on its version and tests replay whole lives.
//! Timers are data too: [`State::next_wake`] says when to come back with [`Command::Tick`].

mod apply;

use contracts::{PersonId, events::DecidedBy, events::Outcome};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::{
    Actor, Requester, Site,
    authority::Beyond,
    policy::{Step, Then},
};

/// What is known when a request is opened.
#[derive(Clone, Debug, PartialEq)]
pub struct Opening {
    pub requester: Requester,
    /// As in the [`crate::policy::Input`] that was routed.
    pub from: Site,
    pub to: Site,
    /// Name of the row and what it does, from the [`crate::Route`].
    pub row: String,
    pub then: Then,
}

/// Where a request stands.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct State {
    pub requester: Requester,
    pub from: Site,
    pub to: Site,
    /// Name of the policy row that asked.
    pub row: String,
    /// Empty when the policy decided without a person.
    pub steps: Vec<Step>,
    /// Grows by one with every transition; the ETag of the request.
    pub version: u32,
    pub decisions: Vec<Decision>,
    pub phase: Phase,
}

/// Waiting at a step, or over.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(tag = "phase", rename_all = "snake_case")]
pub enum Phase {
    Waiting(Waiting),
    Ended(Ended),
}

/// An open step.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Waiting {
    /// Index of the step, from 0.
    pub step: u32,
    pub opened_at: Timestamp,
    /// When the step times out; moved on by an escalation.
    pub decide_by: Timestamp,
    /// When those who have not decided are reminded; absent once they were.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub remind_at: Option<Timestamp>,
    pub escalated: bool,
    /// Who was told. Whether somebody may decide is judged by the directory at that moment, not by this list.
    pub asked: Vec<PersonId>,
}

/// How it ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Ended {
    pub how: End,
    pub at: Timestamp,
    pub by: DecidedBy,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub comment: Option<String>,
}

/// The ways in which a request ends. None of them is ever left.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum End {
    Approved,
    Denied,
    /// Nobody decided in time; counts as denied.
    Expired,
    /// A step has fewer people who may decide than it needs; counts as denied.
    NobodyToAsk,
    Withdrawn,
    /// Returned with a question; the requester may ask again with a new request.
    SentBack,
}

impl From<End> for Outcome {
    /// Events know fewer endings: whoever acts on them asks only whether the change may be made.
    fn from(end: End) -> Self {
        match end {
            End::Approved => Self::Approved,
            End::Denied | End::NobodyToAsk | End::SentBack => Self::Denied,
            End::Expired => Self::Expired,
            End::Withdrawn => Self::Withdrawn,
        }
    }
}

/// One person's word on one step.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Decision {
    pub person: PersonId,
    /// On whose authority, when it was not their own: the root of a delegation.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub authority: Option<PersonId>,
    pub step: u32,
    pub verdict: Verdict,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub comment: Option<String>,
    pub at: Timestamp,
}

impl Decision {
    /// Whether this person gave it, or it was given on their authority.
    #[must_use]
    pub fn involves(&self, person: &PersonId) -> bool {
        self.person == *person || self.authority.as_ref() == Some(person)
    }
}

/// What a person can say.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    Approve,
    Reject,
    /// Back to the requester with a question, which the comment asks.
    SendBack,
}

/// What can be done with a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Command {
    Decide {
        person: PersonId,
        verdict: Verdict,
        comment: Option<String>,
        /// The step that the person was shown (their link names it); `None` = whichever is open.
        step: Option<u32>,
        /// The version that the person was shown (`If-Match`); `None` = whichever is current.
        version: Option<u32>,
    },
    Withdraw {
        by: Actor,
        comment: Option<String>,
    },
    /// Time has passed.
    Tick,
}

/// A state and what happened on the way to it. Nothing happened = nothing to store.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Transition {
    pub state: State,
    pub happened: Vec<Happened>,
}

/// What others have to be told, in order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Happened {
    /// These people are asked.
    StepOpened {
        step: u32,
        asked: Vec<PersonId>,
        decide_by: Timestamp,
    },
    Decided(Decision),
    /// These people have not decided yet.
    Reminded {
        step: u32,
        people: Vec<PersonId>,
        decide_by: Timestamp,
    },
    /// These people are asked in addition.
    Escalated {
        step: u32,
        asked: Vec<PersonId>,
        decide_by: Timestamp,
    },
    Ended(Ended),
}

/// Why a command was not carried out.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    #[error("{person} is not asked: the step needs {needs}")]
    NotAsked { person: PersonId, needs: String },
    #[error("{person} asked for this and so cannot approve it")]
    RequesterMayNotApprove { person: PersonId },
    #[error("{person} acts for {requester}, who asked for this, and so cannot approve it")]
    ActsForRequester { person: PersonId, requester: PersonId },
    #[error("{person} asked for the related request {related}: nobody asks and approves within one chain of documents")]
    AskedForRelated { person: PersonId, related: String },
    #[error("{person} approved the related request {related}: nobody asks and approves within one chain of documents")]
    ApprovedRelated { person: PersonId, related: String },
    /// The policy asks this person, and their limits do not reach.
    #[error(transparent)]
    BeyondAuthority(Box<Beyond>),
    #[error("{person} approved an earlier step; this one needs somebody else")]
    ApprovedEarlierStep { person: PersonId },
    /// A second click: answer it with the first decision.
    #[error("{} has already decided: {:?} at {}", .0.person, .0.verdict, .0.at)]
    AlreadyDecided(Decision),
    #[error("step {step} is not open; open is step {open}")]
    OtherStep { step: u32, open: u32 },
    #[error("the request has changed since: it is at version {current}, not {seen}")]
    Stale { seen: u32, current: u32 },
    #[error("the time to decide ended at {decide_by}")]
    TooLate { decide_by: Timestamp },
    #[error("the request is over: {:?} at {}", .0.how, .0.at)]
    Over(Ended),
    #[error("sending back needs a comment that says what is asked")]
    CommentNeeded,
    #[error("only who asked may withdraw")]
    NotTheRequester,
}

impl Refused {
    /// Stable word for problem documents and metrics.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::NotAsked { .. } => "not-asked",
            Self::RequesterMayNotApprove { .. } => "requester-may-not-approve",
            Self::ActsForRequester { .. } => "acts-for-requester",
            Self::AskedForRelated { .. } => "asked-for-related",
            Self::ApprovedRelated { .. } => "approved-related",
            Self::BeyondAuthority(_) => "beyond-authority",
            Self::ApprovedEarlierStep { .. } => "approved-earlier-step",
            Self::AlreadyDecided(_) => "already-decided",
            Self::OtherStep { .. } => "other-step",
            Self::Stale { .. } => "stale-version",
            Self::TooLate { .. } => "too-late",
            Self::Over(_) => "already-over",
            Self::CommentNeeded => "comment-needed",
            Self::NotTheRequester => "not-the-requester",
        }
    }
}

impl State {
    /// When a [`Command::Tick`] is due next; `None` once it is over.
    #[must_use]
    pub fn next_wake(&self) -> Option<Timestamp> {
        let waiting = self.waiting()?;
        Some(waiting.remind_at.map_or(waiting.decide_by, |remind| remind.min(waiting.decide_by)))
    }

    #[must_use]
    pub fn waiting(&self) -> Option<&Waiting> {
        match &self.phase {
            Phase::Waiting(waiting) => Some(waiting),
            Phase::Ended(_) => None,
        }
    }

    #[must_use]
    pub fn ended(&self) -> Option<&Ended> {
        match &self.phase {
            Phase::Waiting(_) => None,
            Phase::Ended(ended) => Some(ended),
        }
    }

    /// Who approved, in order, each once and after those on whose authority they did: the `decided_by` of the grant.
    #[must_use]
    pub fn approvers(&self) -> Vec<PersonId> {
        let mut people: Vec<PersonId> = Vec::new();
        for decision in self.decisions.iter().filter(|decision| decision.verdict == Verdict::Approve) {
            for person in decision.authority.iter().chain([&decision.person]) {
                if !people.contains(person) {
                    people.push(person.clone());
                }
            }
        }
        people
    }
}
