//! What is pure and belongs to this service alone: reading a proposal, the claims of a grant, how a request is shown,
//! and what is remembered of it.

mod grant;
pub(crate) mod page;
pub(crate) mod past;
pub(crate) mod proposal;
pub(crate) mod view;

pub(crate) use grant::claims;
