//! Words on the wire.
//!
//! Everything that crosses a process boundary is spelled here, once: the event envelope and its payloads, the facts
//! that models and people look at, the audit log, the problem document, pages, money and identifiers. The crate knows how to read
//! and write these words and nothing else: no I/O, no clock, no randomness.

pub mod action;
pub mod audit;
pub mod canonical;
pub mod envelope;
pub mod events;
pub mod facts;
pub mod ids;
pub mod money;
pub mod page;
pub mod problem;

pub use action::Action;
pub use audit::{AuditLeaf, Jwk, Jwks, TreeHash};
pub use canonical::{Digest, append_json, canonical_json};
pub use envelope::{Envelope, Trace};
pub use events::{EventPayload, catalogue};
pub use facts::Facts;
pub use ids::{LocationId, OrderRef, PersonId, ProductId, RegionId, SupplierId};
pub use money::Money;
pub use page::Page;
pub use problem::{FieldError, Problem};
