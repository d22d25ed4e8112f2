//! A typed client of Odoo 17, 18 and 19.
//!
//! Two transports stand behind one [`Client`]: JSON-2 (`/json/2/<model>/<method>`, Odoo 19 and later) and JSON-RPC
//! (`/jsonrpc`, Odoo 17 and 18; removed in 22). Which one is used is found out at [`Client::connect`].
//!
//! Four habits of Odoo shape this crate, all observed on running servers:
//!
//! * **A 200 proves nothing.** `load` reports failure inside a success, actions return `true` and do something else,
//!   JSON-RPC answers 200 to everything. Errors are typed by their *name*, and every verb that writes reads back.
//! * **500 is often our own mistake** (an unknown field is a 500), so retrying is decided by [`Error::is_retryable`],
//!   never by the status.
//! * **Error bodies carry a server traceback** in `debug`. It is not part of any type here, so it cannot be kept.
//! * **A webhook is a hint, not a fact**: unsigned, tried once, sent several times. [`Hint`] says only where to look.
//!
//! With the feature `replay` the crate also brings [`replay`], an Odoo 19 in memory for demonstrations and tests.

pub mod activity;
mod client;
mod config;
mod domain;
mod error;
pub mod hint;
mod pace;
#[cfg(feature = "replay")]
pub mod replay;
mod schema;
pub mod stock;
pub mod transfer;
pub mod value;
mod version;
mod wire;

pub use activity::Activity;
pub use client::{Client, LoadRows, Record};
pub use config::{OdooConfig, TransportChoice};
pub use domain::Domain;
pub use error::Error;
pub use hint::{Hint, HintError};
pub use schema::{Field, Schema};
pub use value::Ref;
pub use version::Version;
