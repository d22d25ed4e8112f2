//! All SQL of this service: one file per resource, each a few verbs that do the whole of a thing.

pub(crate) mod exceptions;
pub(crate) mod messages;
pub(crate) mod receipts;
pub(crate) mod subscriptions;

/// Who acts when nobody called.
pub(crate) const OURSELVES: &str = "service:notify";
