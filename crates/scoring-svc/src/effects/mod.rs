//! What leaves the house: the facts of an exception that may, for a summary.

pub(crate) mod summary;
