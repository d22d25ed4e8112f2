//! Decision models: pure functions from facts to a judgement that explains itself.
//!
//! No I/O, no clock, no randomness: the same request gives the same answer online, in a batch and in a backtest. The
//! request and answer types here *are* the API's types. [`judge`] says what a model is, [`score`] holds what every
//! model's answer shares, [`counts`] the distributions of demand, [`metrics`] what a backtest measures, and each model
//! has a module of its own.

pub mod allocation;
pub mod catalogue;
pub mod counts;
pub mod demand_signal;
pub mod ensemble;
mod explain;
pub mod inventory_exception;
pub mod judge;
pub mod metrics;
pub mod outcomes;
pub mod replenishment;
pub mod replenishment_snapshot;
pub mod score;
mod search;
pub mod summary;
pub mod supplier_risk;

pub use judge::{Case, FitError, Judge, ParameterError};
pub use score::{Band, Contribution, Counterfactual, Missing, ModelRef, Score};
