//! Replenishment priority: how likely stock runs out before more can arrive, what that costs, and what to do.

mod parameters;
mod types;

pub use parameters::{Model, ParameterError, Parameters};
pub use types::{
    Answer, Assessment, DemandOutlook, LeftOut, Options, RankRequest, RankedLine, Ranking, Recommendation, Request,
    Source, Verb,
};
