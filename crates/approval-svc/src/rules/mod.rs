//! What is pure and belongs to this service alone: reading a proposal, the business's own deadline, the claims of a
//! grant, and how a request is shown.

pub(crate) mod deadline;
mod grant;
pub(crate) mod page;
pub(crate) mod proposal;
pub(crate) mod view;

pub(crate) use grant::claims;
