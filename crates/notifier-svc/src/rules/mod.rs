//! What is pure and belongs to this service alone: who is meant, what they read, what is pushed.

pub(crate) mod contacts;
pub(crate) mod push;
pub(crate) mod templates;
