//! What leaves this service: mails and pushes.

pub(crate) mod smtp;
pub(crate) mod webhook;
