//! What a person is asked to allow and an executor then does: the one description that request, grant and effect share.

use serde::{Deserialize, Serialize};

use crate::{LocationId, OrderRef, ProductId, SupplierId};

/// A change in Odoo that needs judgement.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(tag = "type", rename_all = "snake_case", deny_unknown_fields)]
pub enum Action {
    /// Move units between two locations of the company.
    Transfer { product: ProductId, from: LocationId, to: LocationId, quantity: f64 },
    /// Buy units for a location.
    Purchase { product: ProductId, to: LocationId, supplier: SupplierId, quantity: f64 },
    /// Remove units that are gone or spoilt.
    WriteOff { product: ProductId, location: LocationId, quantity: f64 },
    /// Take another supplier for the rest of an order.
    Substitution { product: ProductId, order: OrderRef, supplier: SupplierId, quantity: f64 },
}

impl Action {
    /// The tag as it stands in JSON and in policy tables.
    #[must_use]
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Transfer { .. } => "transfer",
            Self::Purchase { .. } => "purchase",
            Self::WriteOff { .. } => "write_off",
            Self::Substitution { .. } => "substitution",
        }
    }

    #[must_use]
    pub fn product(&self) -> &ProductId {
        match self {
            Self::Transfer { product, .. }
            | Self::Purchase { product, .. }
            | Self::WriteOff { product, .. }
            | Self::Substitution { product, .. } => product,
        }
    }

    #[must_use]
    pub fn quantity(&self) -> f64 {
        match self {
            Self::Transfer { quantity, .. }
            | Self::Purchase { quantity, .. }
            | Self::WriteOff { quantity, .. }
            | Self::Substitution { quantity, .. } => *quantity,
        }
    }

    /// The location whose stock the action serves or changes; a substitution has none of its own.
    #[must_use]
    pub fn location(&self) -> Option<&LocationId> {
        match self {
            Self::Transfer { to, .. } | Self::Purchase { to, .. } => Some(to),
            Self::WriteOff { location, .. } => Some(location),
            Self::Substitution { .. } => None,
        }
    }
}
