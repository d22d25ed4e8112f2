//! What leaves the service: the only code with a client.

pub(crate) mod callback;
