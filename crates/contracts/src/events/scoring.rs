//! Published by scoring-svc.

use serde::{Deserialize, Serialize};

use super::EventPayload;
use crate::{Digest, LocationId, ProductId};

/// A model recommended something; the outcome is matched to it later.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct RecommendationMade {
    pub recommendation_id: String,
    /// `replenishment-priority@1`.
    pub model: String,
    pub product: ProductId,
    pub location: LocationId,
    /// Millionths.
    pub score: u32,
    /// `transfer`, `purchase` or `none`.
    pub action: String,
    pub quantity: f64,
    pub facts_hash: Digest,
}

impl EventPayload for RecommendationMade {
    const TYPE: &'static str = "steward.recommendation.made.v1";
    const SOURCE: &'static str = "/scoring";
    const SUMMARY: &'static str = "A model scored the facts and recommended an action.";
    fn subject(&self) -> String {
        format!("{}@{}", self.product, self.location)
    }
}

/// Another version of a model judges from now on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct ModelActivated {
    #[schema(example = "replenishment-priority")]
    pub model: String,
    #[schema(example = "2")]
    pub version: String,
    /// Hash of its parameters.
    pub parameters: Digest,
    /// The version that judged before.
    pub previous: String,
    /// Why, where a person said so: an older version again, or a worse one by force.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// `key:operator`, `person:olga`.
    pub activated_by: String,
}

impl EventPayload for ModelActivated {
    const TYPE: &'static str = "steward.model.activated.v1";
    const SOURCE: &'static str = "/scoring";
    const SUMMARY: &'static str = "Another version of a model judges from now on.";
    fn subject(&self) -> String {
        format!("model:{}", self.model)
    }
}
