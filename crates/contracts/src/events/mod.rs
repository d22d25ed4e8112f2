//! Event payloads: past tense, versioned, one file per service that publishes them.
//!
//! Consumers ignore unknown fields and never break on a new optional one; a breaking change is a new version beside
//! the old. [`catalogue`] is the single list from which the AsyncAPI document is generated.

mod approval;
mod notify;
mod platform;
mod scoring;
mod supply;

pub use approval::{
    AnswerRefused, ApprovalDecided, ApprovalOverridden, ApprovalReminded, ApprovalRequested, ApprovalSentBack,
    ApprovalSuspected, AskedPerson, DecidedBy, GrantLapsed, GrantRevoked, Outcome, OverrideUnreviewed,
};
pub use notify::{ExceptionOpened, ExceptionResolved, MessageFailed, MessageSent};
pub use platform::DeadLettered;
pub use scoring::{ModelActivated, RecommendationMade};
use serde::{Serialize, de::DeserializeOwned};
pub use supply::{ApprovalAnswered, GrantConsumed, Said, StockChanged, StockRanLow, TransferDrafted};
use utoipa::ToSchema;

/// A payload that may travel in an envelope.
pub trait EventPayload: Serialize + DeserializeOwned + ToSchema + Send + Sync + 'static {
    /// `steward.<thing>.<past tense>.v<n>`.
    const TYPE: &'static str;
    /// Prefix of the service that publishes it: the CloudEvents `source`.
    const SOURCE: &'static str;
    /// One sentence for the AsyncAPI document.
    const SUMMARY: &'static str;

    /// What it is about; events of one subject keep their order.
    fn subject(&self) -> String;
}

/// One entry of the catalogue.
pub struct CatalogueEntry {
    pub kind: &'static str,
    pub source: &'static str,
    pub summary: &'static str,
    pub schema_name: String,
    pub schema: utoipa::openapi::RefOr<utoipa::openapi::Schema>,
    /// Schemas that `schema` refers to, by name.
    pub references: Vec<(String, utoipa::openapi::RefOr<utoipa::openapi::Schema>)>,
}

fn entry<E: EventPayload>() -> CatalogueEntry {
    let mut references = Vec::new();
    E::schemas(&mut references);
    CatalogueEntry {
        kind: E::TYPE,
        source: E::SOURCE,
        summary: E::SUMMARY,
        schema_name: E::name().into_owned(),
        schema: E::schema(),
        references,
    }
}

/// Every event that exists, by publishing service.
#[must_use]
pub fn catalogue() -> Vec<CatalogueEntry> {
    vec![
        entry::<StockChanged>(),
        entry::<StockRanLow>(),
        entry::<TransferDrafted>(),
        entry::<GrantConsumed>(),
        entry::<ApprovalAnswered>(),
        entry::<RecommendationMade>(),
        entry::<ModelActivated>(),
        entry::<ApprovalRequested>(),
        entry::<ApprovalReminded>(),
        entry::<ApprovalSentBack>(),
        entry::<ApprovalDecided>(),
        entry::<GrantLapsed>(),
        entry::<ApprovalSuspected>(),
        entry::<ApprovalOverridden>(),
        entry::<OverrideUnreviewed>(),
        entry::<AnswerRefused>(),
        entry::<GrantRevoked>(),
        entry::<MessageSent>(),
        entry::<MessageFailed>(),
        entry::<ExceptionOpened>(),
        entry::<ExceptionResolved>(),
        entry::<DeadLettered>(),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_type_is_unique_and_well_formed() {
        let mut kinds: Vec<_> = catalogue().into_iter().map(|entry| entry.kind).collect();
        for kind in &kinds {
            let words: Vec<_> = kind.split('.').collect();
            assert_eq!(words.len(), 4, "{kind}");
            assert_eq!(words[0], "steward", "{kind}");
            assert!(words[3].starts_with('v') && words[3][1..].parse::<u32>().is_ok(), "{kind}");
        }
        kinds.sort_unstable();
        kinds.dedup();
        assert_eq!(kinds.len(), catalogue().len());
    }
}
