//! What is pure and belongs to this service alone.

pub(crate) mod answer;
pub(crate) mod basic_auth;
pub(crate) mod history;
pub(crate) mod level;
pub(crate) mod observation;
