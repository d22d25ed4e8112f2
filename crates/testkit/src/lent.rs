//! Servers that all tests of one binary share: each test borrows a database or a virtual host that nobody else uses. For
//! tests that leave the server itself alone; whoever stops or breaks one starts its own.

use crate::{Postgres, RabbitMq};
use anyhow::Result;
use std::sync::atomic::{AtomicU32, Ordering};
use tokio::sync::OnceCell;

static LENT: AtomicU32 = AtomicU32::new(0);

fn next_name() -> String {
    format!("lent{}", LENT.fetch_add(1, Ordering::Relaxed))
}

/// The URL of an empty database.
pub async fn borrow_database() -> Result<String> {
    static POSTGRES: OnceCell<Postgres> = OnceCell::const_new();
    POSTGRES.get_or_try_init(Postgres::start).await?.create_database(&next_name()).await
}

/// The URL of an empty virtual host.
pub async fn borrow_virtual_host() -> Result<String> {
    static RABBITMQ: OnceCell<RabbitMq> = OnceCell::const_new();
    RABBITMQ.get_or_try_init(RabbitMq::start).await?.create_virtual_host(&next_name()).await
}
