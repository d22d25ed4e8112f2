//! What is pure and belongs to this service alone; the models are a crate of their own.

pub(crate) mod series;
