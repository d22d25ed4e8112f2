//! Published by every service, through the chassis.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::EventPayload;

/// An effect or an event was given up and waits for a person.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct DeadLettered {
    /// Id of the outbox or inbox row.
    pub row_id: String,
    /// Service prefix without the slash: `supply`.
    pub service: String,
    /// Executor (`odoo.transfer`, `webhook`) or event type.
    pub destination: String,
    /// What the row was about.
    pub about: String,
    pub cause: String,
    pub attempts: u32,
    pub first_failed_at: Timestamp,
}

impl EventPayload for DeadLettered {
    const TYPE: &'static str = "steward.effect.dead_lettered.v1";
    const SOURCE: &'static str = "/platform";
    const SUMMARY: &'static str = "An effect or event was given up; it can be inspected and replayed.";
    fn subject(&self) -> String {
        self.about.clone()
    }
}
