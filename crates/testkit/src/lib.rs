//! The test ground: real servers, started privately for one test and gone after it.
//!
//! Every server here is a value. It listens on a free port of 127.0.0.1, keeps its files in a temporary folder, and
//! ends with its last process and its folder when the value is dropped, when the test panics, and (see [`Scratch`]) when
//! the whole test process is killed. Nothing that the distribution may have started is used or touched.
//!
//! `tests/setup/install.sh` installs what is needed. A test names its needs first:
//!
//! ```no_run
//! # async fn example() -> anyhow::Result<()> {
//! testkit::require!(Postgres, RabbitMq);
//! let postgres = testkit::Postgres::start().await?;
//! let database = postgres.create_database("scoring").await?;
//! # Ok(()) }
//! ```

mod browser;
mod family;
mod lent;
mod n8n;
mod n8n_execution;
mod odoo;
mod odoo_api;
mod odoo_scene;
mod peer;
mod port;
mod postgres;
mod process;
mod program;
mod proxy;
mod rabbitmq;
mod reaper;
mod redis;
mod smtp;
mod tool;
mod wait;

pub use browser::Browser;
pub use lent::{borrow_database, borrow_virtual_host};
pub use n8n::{N8n, N8nConfig};
pub use n8n_execution::Execution;
pub use odoo::Odoo;
pub use odoo_api::{OdooApi, OdooUser};
pub use peer::{Answer, Asked, Deed, Peer, Taken};
pub use port::free_port;
pub use postgres::Postgres;
pub use process::Process;
pub use program::Program;
pub use proxy::{Proxy, Way};
pub use rabbitmq::RabbitMq;
pub use reaper::Scratch;
pub use redis::Redis;
pub use smtp::{Mail, SmtpSink};
pub use tool::{Skipped, Tool, all_installed};
pub use wait::{eventually, poll};

/// Chooses the TLS provider of this process. Two are compiled in, and rustls panics at its first use when none was
/// chosen. Servers of this crate call it themselves; a test with its own client may call it as often as it likes.
pub fn install_tls_provider() {
    // An error says that somebody chose before us, which is what we want.
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
}
