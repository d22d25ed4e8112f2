//! Published by approval-svc.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::EventPayload;
use crate::{Action, Digest, PersonId};

/// A person who is asked, and how to reach them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct AskedPerson {
    pub person: PersonId,
    pub name: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub email: Option<String>,
    /// Signed, expiring link to the decision page, bound to this person. Opening it decides nothing.
    pub link: String,
}

/// A step of a request opened: these people are asked.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct ApprovalRequested {
    pub approval_id: String,
    pub title: String,
    pub action: Action,
    /// Name of the policy row that asked for it, for people.
    pub reason: String,
    pub step: u32,
    pub asked: Vec<AskedPerson>,
    /// How often the request had been edited: a decision is about one revision.
    #[serde(default)]
    pub revision: u32,
    /// When the step times out.
    pub decide_by: Timestamp,
    /// Millionths.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub score: Option<u32>,
}

impl EventPayload for ApprovalRequested {
    const TYPE: &'static str = "steward.approval.requested.v1";
    const SOURCE: &'static str = "/approvals";
    const SUMMARY: &'static str = "A step of an approval request opened and these people are asked to decide.";
    fn subject(&self) -> String {
        format!("approval:{}", self.approval_id)
    }
}

/// Time is running out (reminder) or has run out and others are asked (escalation).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct ApprovalReminded {
    pub approval_id: String,
    pub title: String,
    pub step: u32,
    pub escalated: bool,
    pub asked: Vec<AskedPerson>,
    pub decide_by: Timestamp,
}

impl EventPayload for ApprovalReminded {
    const TYPE: &'static str = "steward.approval.reminded.v1";
    const SOURCE: &'static str = "/approvals";
    const SUMMARY: &'static str = "A waiting request was reminded of, or escalated to the next people.";
    fn subject(&self) -> String {
        format!("approval:{}", self.approval_id)
    }
}

/// An approver wants to know something before deciding. Nothing is decided: the request goes on with the answer, for
/// which `steward.approval.requested.v1` asks the approvers again; without one it expires.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct ApprovalSentBack {
    pub approval_id: String,
    pub title: String,
    pub action: Action,
    pub step: u32,
    /// Who asks.
    pub by: PersonId,
    pub question: String,
    /// The person who asked for the approval, or for whom a service did, with a link to answer; empty when it is
    /// nobody whom the directory knows.
    pub asked: Vec<AskedPerson>,
    /// When the request expires unanswered.
    pub answer_by: Timestamp,
    pub sent_back_at: Timestamp,
}

impl EventPayload for ApprovalSentBack {
    const TYPE: &'static str = "steward.approval.sent_back.v1";
    const SOURCE: &'static str = "/approvals";
    const SUMMARY: &'static str = "An approver sent a request back with a question, and it waits for the answer.";
    fn subject(&self) -> String {
        format!("approval:{}", self.approval_id)
    }
}

/// How a request ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    Approved,
    Denied,
    /// Nobody decided, or answered a question, in time; counts as denied.
    Expired,
    Withdrawn,
}

/// Who decided.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum DecidedBy {
    /// These people, in the order in which they decided.
    People { people: Vec<PersonId> },
    /// The policy, without a person (auto-approve, deny, timeout).
    Policy { row: String },
    /// The service that had asked, by its key; it can only withdraw.
    Service { key: String },
}

/// A request reached its end.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct ApprovalDecided {
    pub approval_id: String,
    /// One line for people.
    #[serde(default)]
    pub title: String,
    pub outcome: Outcome,
    pub by: DecidedBy,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub comment: Option<String>,
    pub action: Action,
    /// Hash of the facts that were shown.
    pub facts_hash: Digest,
    /// Id of the grant; the grant itself goes only to the requester.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub grant_id: Option<String>,
    pub decided_at: Timestamp,
    /// Who watches the request, each with a link to look at it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub watchers: Vec<AskedPerson>,
}

impl EventPayload for ApprovalDecided {
    const TYPE: &'static str = "steward.approval.decided.v1";
    const SOURCE: &'static str = "/approvals";
    const SUMMARY: &'static str = "An approval request reached its end: approved, denied, expired or withdrawn.";
    fn subject(&self) -> String {
        format!("approval:{}", self.approval_id)
    }
}

/// A grant was taken back: no executor accepts it from here on.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct GrantRevoked {
    pub grant_id: String,
    pub approval_id: String,
    /// `person:olga`, `key:n8n`.
    pub revoked_by: String,
    pub reason: String,
    pub revoked_at: Timestamp,
    /// When it would have run out by itself: an executor may forget it then.
    pub expires_at: Timestamp,
}

impl EventPayload for GrantRevoked {
    const TYPE: &'static str = "steward.grant.revoked.v1";
    const SOURCE: &'static str = "/approvals";
    const SUMMARY: &'static str = "A grant was taken back before anybody used it.";
    fn subject(&self) -> String {
        format!("approval:{}", self.approval_id)
    }
}

/// An approval came to nothing: its grant ran out and nobody had used it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct GrantLapsed {
    pub grant_id: String,
    pub approval_id: String,
    pub title: String,
    pub action: Action,
    pub expired_at: Timestamp,
}

impl EventPayload for GrantLapsed {
    const TYPE: &'static str = "steward.grant.lapsed.v1";
    const SOURCE: &'static str = "/approvals";
    const SUMMARY: &'static str = "A grant ran out unused: what was approved has not been done.";
    fn subject(&self) -> String {
        format!("approval:{}", self.approval_id)
    }
}

/// Several requests together look wrong. Nothing was refused for it; somebody who audits should look.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct ApprovalSuspected {
    pub approval_id: String,
    pub title: String,
    #[schema(example = "split_purchase")]
    pub pattern: String,
    /// One sentence for people.
    pub summary: String,
    /// The requests that form the pattern, this one included.
    pub approvals: Vec<String>,
}

impl EventPayload for ApprovalSuspected {
    const TYPE: &'static str = "steward.approval.suspected.v1";
    const SOURCE: &'static str = "/approvals";
    const SUMMARY: &'static str =
        "Requests form a suspicious pattern: split below a limit, mutual, edited once approved.";
    fn subject(&self) -> String {
        format!("approval:{}", self.approval_id)
    }
}

/// One person approved alone what others should have been asked about.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct ApprovalOverridden {
    pub approval_id: String,
    pub title: String,
    pub action: Action,
    pub person: PersonId,
    /// In which role.
    pub role: String,
    pub reason: String,
    pub ticket: String,
    /// The second pair of eyes: each is told, and one of them reviews.
    pub reviewers: Vec<AskedPerson>,
    pub review_by: Timestamp,
}

impl EventPayload for ApprovalOverridden {
    const TYPE: &'static str = "steward.approval.overridden.v1";
    const SOURCE: &'static str = "/approvals";
    const SUMMARY: &'static str = "Somebody broke the glass and approved alone; others are told and owe a review.";
    fn subject(&self) -> String {
        format!("approval:{}", self.approval_id)
    }
}

/// Nobody has reviewed an override in time. The cap of the role is lowered until somebody does.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct OverrideUnreviewed {
    pub approval_id: String,
    pub title: String,
    pub person: PersonId,
    pub role: String,
    /// The role whose holders owe the review.
    pub reviewer_role: String,
    pub review_by: Timestamp,
}

impl EventPayload for OverrideUnreviewed {
    const TYPE: &'static str = "steward.override.unreviewed.v1";
    const SOURCE: &'static str = "/approvals";
    const SUMMARY: &'static str =
        "The review of an override is overdue, and the role may override less until it is done.";
    fn subject(&self) -> String {
        format!("approval:{}", self.approval_id)
    }
}

/// An answer that came from elsewhere does not count, and its author should hear why.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct AnswerRefused {
    pub approval_id: String,
    pub step: u32,
    pub person: PersonId,
    /// Why, for the person.
    pub reason: String,
    /// Whether the same person may still answer.
    pub open: bool,
    /// Revision of the request that an answer must be about now.
    pub revision: u32,
}

impl EventPayload for AnswerRefused {
    const TYPE: &'static str = "steward.approval.answer_refused.v1";
    const SOURCE: &'static str = "/approvals";
    const SUMMARY: &'static str = "An answer that a person gave in another system was not accepted as a decision.";
    fn subject(&self) -> String {
        format!("approval:{}", self.approval_id)
    }
}
