//! What is pure and belongs to this service alone: reading a proposal, the claims of a grant, and how a
//! request is shown.

mod grant;
pub(crate) mod page;
pub(crate) mod proposal;
pub(crate) mod view;

pub(crate) use grant::claims;
