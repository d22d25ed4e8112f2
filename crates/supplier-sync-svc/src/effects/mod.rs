//! Everything that leaves the service, and the jobs that look outside: the only code with clients.

pub(crate) mod approval;
pub(crate) mod grant_keys;
mod peer;
pub(crate) mod read_back;
pub(crate) mod reading;
pub(crate) mod reconcile;
pub(crate) mod transfer;

pub(crate) use peer::Peer;
