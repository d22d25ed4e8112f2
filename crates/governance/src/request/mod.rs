//! One request on its way through the steps of its route.
//!
//! [`State`] is data and [`State::apply`] a pure function: the same state, command, time and directory give the same
//! transition, so a service stores the state with a compare-and-set on its version and tests replay whole lives.
//! Timers are data too: [`State::next_wake`] says when to come back with [`Command::Tick`].

mod apply;
mod quorum;
mod timing;
mod walk;

pub use timing::Timing;

use contracts::{PersonId, events::DecidedBy, events::Outcome};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::{
    Actor, Requester, Site,
    authority::Beyond,
    policy::{Edited, Step, Then},
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
    pub timing: Timing,
    pub watchers: Vec<PersonId>,
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
    /// Grows by one with every edit: what people are shown.
    #[serde(default)]
    pub revision: u32,
    /// Everything that was ever said, in order; see [`Decision::superseded_at`].
    pub decisions: Vec<Decision>,
    /// People whom approvers asked in addition: their step passes only with their approval too.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub added: Vec<Added>,
    /// They may look and are told of the end; they decide nothing by that.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub watchers: Vec<PersonId>,
    /// Comments, answers and edits, in order.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub remarks: Vec<Remark>,
    #[serde(default, skip_serializing_if = "Timing::is_default")]
    pub timing: Timing,
    pub phase: Phase,
}

/// Waiting for approvers, waiting for who asked, or over.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(tag = "phase", rename_all = "snake_case")]
pub enum Phase {
    Waiting(Open),
    /// Nothing can be decided before the question is answered; then the steps that were open open again.
    SentBack(Question),
    Ended(Ended),
}

/// The steps that are open: one, or several that were opened together. Never none.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Open {
    pub steps: Vec<Waiting>,
}

/// An open step.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Waiting {
    /// Index of the step, from 0.
    pub step: u32,
    pub opened_at: Timestamp,
    /// When the step times out; moved on by an escalation.
    pub decide_by: Timestamp,
    /// When those who have not decided are reminded next; absent once there is no reminder left.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub remind_at: Option<Timestamp>,
    pub escalated: bool,
    /// Who was told. Whether somebody may decide is judged by the directory at that moment, not by this list.
    pub asked: Vec<PersonId>,
}

/// What an approver wants to know before deciding.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Question {
    /// Index of the step whose approver asks.
    pub step: u32,
    pub by: PersonId,
    pub question: String,
    pub at: Timestamp,
    /// As long as the step gives for deciding; a request that is not answered by then expires.
    pub answer_by: Timestamp,
}

/// An approver who was asked by another one.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Added {
    pub step: u32,
    pub person: PersonId,
    pub by: PersonId,
    pub at: Timestamp,
}

/// Something that was said without deciding.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Remark {
    pub by: Actor,
    pub at: Timestamp,
    pub kind: RemarkKind,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub text: Option<String>,
    /// What was edited.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub edited: Vec<Edited>,
}

/// What kind of remark it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum RemarkKind {
    Comment,
    Answer,
    Edit,
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
    /// Nobody decided or answered in time; counts as denied.
    Expired,
    /// A step has fewer people who may decide than it needs; counts as denied.
    NobodyToAsk,
    Withdrawn,
}

impl From<End> for Outcome {
    /// Events know fewer endings: whoever acts on them asks only whether the change may be made.
    fn from(end: End) -> Self {
        match end {
            End::Approved => Self::Approved,
            End::Denied | End::NobodyToAsk => Self::Denied,
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
    /// [`State::revision`] that it is about.
    #[serde(default)]
    pub revision: u32,
    /// The groups of the step that the person stood for, where the quorum wants different ones: the alternatives of
    /// `ask`, then those of the escalation, from 0.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub stands_for: Vec<u32>,
    /// The person was asked by another approver only, and does not count towards the quorum.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub ad_hoc: bool,
    /// Since when it counts no more: the request was edited, or the question was answered. Kept for the record.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub superseded_at: Option<Timestamp>,
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
    /// Back to the requester with a question, which the comment asks. The request goes on with the answer.
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
        /// The revision that the person was shown (the form of the page); `None` = whichever is current.
        revision: Option<u32>,
    },
    /// Says something and decides nothing.
    Comment {
        by: Actor,
        text: String,
    },
    /// The requester answers the question, and the request goes on.
    Answer {
        by: Actor,
        text: String,
    },
    /// The requester changes what is asked; also an answer, when a question waits for one.
    Edit {
        by: Actor,
        edit: Edit,
        text: Option<String>,
        /// As in `Decide`.
        version: Option<u32>,
    },
    /// An approver wants one more person to approve a step; `None` = the open one.
    AddApprover {
        by: PersonId,
        person: PersonId,
        step: Option<u32>,
    },
    /// Somebody may look, and is told of the end.
    Watch {
        person: PersonId,
    },
    Withdraw {
        by: Actor,
        comment: Option<String>,
    },
    /// Time has passed.
    Tick,
}

/// A changed request, judged anew.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Edit {
    /// What differs; not empty.
    pub changed: Vec<Edited>,
    pub from: Site,
    pub to: Site,
    pub row: String,
    pub then: Then,
    pub deadline: Option<Timestamp>,
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
    SentBack(Question),
    /// Answered, edited or commented on. After an answer, `StepOpened` follows for each step that opens again; so it
    /// does after an edit, where approvals were lost.
    Remarked {
        remark: Remark,
        /// How many decisions count no more.
        superseded: u32,
    },
    /// This person is asked in addition, by an approver.
    ApproverAdded {
        added: Added,
        decide_by: Timestamp,
    },
    WatcherAdded {
        person: PersonId,
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
    AlreadyDecided(Box<Decision>),
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
    #[error("only who asked may do this")]
    NotTheRequester,
    #[error("a question of {} waits for an answer", .0.by)]
    WaitsForAnswer(Question),
    #[error("no question waits for an answer")]
    NothingAsked,
    #[error("it shows revision {seen}; the request has been edited since and is at revision {current}")]
    Edited { seen: u32, current: u32 },
    #[error("somebody of the same role has approved this step; it needs another role too")]
    RoleHasSpoken,
    #[error("the directory knows no {person}")]
    UnknownPerson { person: PersonId },
    #[error("{person} is asked already")]
    AskedAlready { person: PersonId },
    #[error("at most {most} {what} are kept with a request")]
    TooMany { what: &'static str, most: usize },
    #[error("nothing differs from what is asked already")]
    Unchanged,
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
            Self::WaitsForAnswer(_) => "waits-for-answer",
            Self::NothingAsked => "nothing-asked",
            Self::Edited { .. } => "stale-revision",
            Self::RoleHasSpoken => "role-has-spoken",
            Self::UnknownPerson { .. } => "unknown-person",
            Self::AskedAlready { .. } => "asked-already",
            Self::TooMany { .. } => "too-many",
            Self::Unchanged => "unchanged",
        }
    }
}

impl State {
    /// When a [`Command::Tick`] is due next; `None` once it is over.
    #[must_use]
    pub fn next_wake(&self) -> Option<Timestamp> {
        match &self.phase {
            Phase::Waiting(open) => {
                let wake =
                    |waiting: &Waiting| waiting.remind_at.map_or(waiting.decide_by, |at| at.min(waiting.decide_by));
                open.steps.iter().map(wake).min()
            }
            Phase::SentBack(question) => Some(question.answer_by),
            Phase::Ended(_) => None,
        }
    }

    /// The steps that can be decided now.
    #[must_use]
    pub fn open_steps(&self) -> &[Waiting] {
        match &self.phase {
            Phase::Waiting(open) => &open.steps,
            Phase::SentBack(_) | Phase::Ended(_) => &[],
        }
    }

    /// The open step, the one that times out first where several are open.
    #[must_use]
    pub fn waiting(&self) -> Option<&Waiting> {
        self.open_steps().iter().min_by_key(|waiting| waiting.decide_by)
    }

    /// The question that waits for an answer.
    #[must_use]
    pub fn question(&self) -> Option<&Question> {
        match &self.phase {
            Phase::SentBack(question) => Some(question),
            Phase::Waiting(_) | Phase::Ended(_) => None,
        }
    }

    #[must_use]
    pub fn ended(&self) -> Option<&Ended> {
        match &self.phase {
            Phase::Ended(ended) => Some(ended),
            Phase::Waiting(_) | Phase::SentBack(_) => None,
        }
    }

    /// Who approved, in order, each once and after those on whose authority they did: the `decided_by` of the grant.
    #[must_use]
    pub fn approvers(&self) -> Vec<PersonId> {
        let mut people: Vec<PersonId> = Vec::new();
        for decision in self.approvals() {
            for person in decision.authority.iter().chain([&decision.person]) {
                if !people.contains(person) {
                    people.push(person.clone());
                }
            }
        }
        people
    }
}
