//! Published by notifier-svc.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::EventPayload;

/// A channel accepted a message.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct MessageSent {
    pub message_id: String,
    pub channel: String,
    pub template: String,
    /// Who was meant; the address stays with the notifier.
    pub recipient: String,
    pub sent_at: Timestamp,
    /// What it is about, as its owner names it: `approval:...`. Absent for what somebody sent by hand or workflow.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub about: Option<String>,
}

impl EventPayload for MessageSent {
    const TYPE: &'static str = "steward.message.sent.v1";
    const SOURCE: &'static str = "/notify";
    const SUMMARY: &'static str = "A channel accepted a message.";
    fn subject(&self) -> String {
        format!("message:{}", self.message_id)
    }
}

/// A message could not be handed over on any channel.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct MessageFailed {
    pub message_id: String,
    pub channel: String,
    pub template: String,
    pub recipient: String,
    pub reason: String,
    /// As in a message that was sent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub about: Option<String>,
}

impl EventPayload for MessageFailed {
    const TYPE: &'static str = "steward.message.failed.v1";
    const SOURCE: &'static str = "/notify";
    const SUMMARY: &'static str = "A message could not be handed over.";
    fn subject(&self) -> String {
        format!("message:{}", self.message_id)
    }
}

/// Something needs a person.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct ExceptionOpened {
    pub exception_id: String,
    /// `workflow_failed`, `effect_failed`, ...
    pub class: String,
    /// 1 (look when you can) to 4 (now).
    pub severity: u8,
    pub title: String,
    /// Role that owns it.
    pub owner: String,
    pub opened_at: Timestamp,
}

impl EventPayload for ExceptionOpened {
    const TYPE: &'static str = "steward.exception.opened.v1";
    const SOURCE: &'static str = "/notify";
    const SUMMARY: &'static str = "Something needs a person; it has an owner.";
    fn subject(&self) -> String {
        format!("exception:{}", self.exception_id)
    }
}

/// A person closed an exception.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct ExceptionResolved {
    pub exception_id: String,
    pub resolution: String,
    pub by: String,
    pub resolved_at: Timestamp,
}

impl EventPayload for ExceptionResolved {
    const TYPE: &'static str = "steward.exception.resolved.v1";
    const SOURCE: &'static str = "/notify";
    const SUMMARY: &'static str = "A person resolved an exception.";
    fn subject(&self) -> String {
        format!("exception:{}", self.exception_id)
    }
}
