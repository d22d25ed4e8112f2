//! Published by supplier-sync-svc.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::EventPayload;
use crate::{LocationId, PersonId, ProductId};

/// Stock was read back and differs from what was known.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct StockChanged {
    pub product: ProductId,
    pub location: LocationId,
    pub on_hand: f64,
    pub reserved: f64,
    pub observed_at: Timestamp,
    /// Where it was seen: `odoo`, `pos`, `wms`, ...
    pub system: String,
}

impl EventPayload for StockChanged {
    const TYPE: &'static str = "steward.stock.changed.v1";
    const SOURCE: &'static str = "/supply";
    const SUMMARY: &'static str = "Stock of a product at a location was read back and differs from what was known.";
    fn subject(&self) -> String {
        format!("{}@{}", self.product, self.location)
    }
}

/// Available stock fell to or below the reorder point.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct StockRanLow {
    pub product: ProductId,
    pub location: LocationId,
    /// On hand less reserved, in units.
    pub available: f64,
    /// The threshold that was crossed, in units.
    pub reorder_point: f64,
    pub observed_at: Timestamp,
}

impl EventPayload for StockRanLow {
    const TYPE: &'static str = "steward.stock.ran_low.v1";
    const SOURCE: &'static str = "/supply";
    const SUMMARY: &'static str = "Available stock fell to or below the reorder point; told once per fall.";
    fn subject(&self) -> String {
        format!("{}@{}", self.product, self.location)
    }
}

/// A transfer stands in Odoo as a draft, read back.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct TransferDrafted {
    /// The effect that drafted it; also the operation's id.
    pub operation_id: String,
    /// Approval request behind the grant.
    pub approval_id: String,
    pub grant_id: String,
    pub product: ProductId,
    pub from: LocationId,
    pub to: LocationId,
    pub quantity: f64,
    /// Odoo's record id and name of the picking.
    pub odoo_id: i64,
    pub odoo_name: String,
    /// Available at the receiver plus everything incoming and this transfer, in units.
    pub projected_available: f64,
}

impl EventPayload for TransferDrafted {
    const TYPE: &'static str = "steward.transfer.drafted.v1";
    const SOURCE: &'static str = "/supply";
    const SUMMARY: &'static str = "A transfer stands in Odoo as a draft and was read back.";
    fn subject(&self) -> String {
        format!("transfer:{}", self.operation_id)
    }
}

/// A grant was used up: the same transaction holds the effect it allowed.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct GrantConsumed {
    pub grant_id: String,
    pub approval_id: String,
    pub operation_id: String,
    /// The caller that presented it.
    pub executor: String,
    pub consumed_at: Timestamp,
}

impl EventPayload for GrantConsumed {
    const TYPE: &'static str = "steward.grant.consumed.v1";
    const SOURCE: &'static str = "/supply";
    const SUMMARY: &'static str = "A grant was presented, verified and used up.";
    fn subject(&self) -> String {
        format!("approval:{}", self.approval_id)
    }
}

/// What somebody says to a request for approval.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Said {
    Approve,
    Reject,
    /// Sent back with questions.
    SendBack,
}

/// Somebody who was asked to decide has answered in Odoo. It is a word, not yet a decision: approval-svc judges whether
/// this person may decide, as for any other way of answering.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct ApprovalAnswered {
    pub approval_id: String,
    pub step: u32,
    /// Revision of the request that the to-do was about.
    pub revision: u32,
    /// Whose to-do it was; Odoo says that this person's user closed it.
    pub person: PersonId,
    pub said: Said,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub comment: Option<String>,
    /// Id of Odoo's `mail.activity`.
    pub odoo_id: i64,
    /// When Odoo wrote it, to the second.
    pub answered_at: Timestamp,
}

impl EventPayload for ApprovalAnswered {
    const TYPE: &'static str = "steward.approval.answered.v1";
    const SOURCE: &'static str = "/supply";
    const SUMMARY: &'static str = "A person who was asked to decide has answered in Odoo.";
    fn subject(&self) -> String {
        format!("approval:{}", self.approval_id)
    }
}
