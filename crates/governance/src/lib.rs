//! Who may do what to the stock, and how that is proved afterwards.
//!
//! The crate is pure: no I/O, no clock, no randomness. Time, ids and key material are parameters, so approval-svc,
//! the executors, the operator's CLI and every test run the same code and get the same answer.
//!
//! The way of a request through the modules: [`policy`] turns an action and its facts into a route; [`request`] walks
//! the route with the people of the [`directory`], as far as their [`authority`] goes, whom a [`link`] lets in; an
//! approval becomes a [`grant`], bound to the facts by [`drift`]; every step leaves a leaf of `contracts::audit`, and all
//! of them together are its [`evidence`].

pub mod actor;
pub mod authority;
pub mod calendar;
pub mod directory;
pub mod drift;
pub mod evidence;
pub mod grant;
pub mod kind;
pub mod link;
pub mod policy;
pub mod request;
pub mod span;

pub use actor::{Actor, Requester, Role, Site};
pub use directory::{Directory, Person};
pub use grant::{Grant, GrantRefused, GrantSigner, GrantVerifier, Jwks};
pub use kind::Kind;
pub use policy::{Policy, PolicyRef, Route, Rulebook};
pub use request::{Command, State};
pub use span::{Span, Within};
