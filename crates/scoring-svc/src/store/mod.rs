//! All SQL of this service, written once; one file per table.

pub(crate) mod deliveries;
pub(crate) mod learned;
pub(crate) mod outcomes;
pub(crate) mod recommendations;
pub(crate) mod series;
pub(crate) mod summaries;
pub(crate) mod versions;
