//! Decision models: pure functions from facts to a judgement that explains itself.
//!
//! No I/O, no clock, no randomness: the same request gives the same answer online, in a batch and in a backtest. The
//! request and answer types here *are* the API's types. [`score`] holds what every model's answer shares, [`counts`]
//! the distributions of demand, and each model has a module of its own.

pub mod counts;
pub mod replenishment;
pub mod score;

pub use score::{Band, Contribution, Counterfactual, Missing, ModelRef, Score};
