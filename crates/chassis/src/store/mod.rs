//! The store: SQLite or PostgreSQL behind one SQL text.
//!
//! There is one verb that opens a transaction, [`Store::begin`], and a [`Tx`] is the only place from which events,
//! effects and audit leaves are written. So whatever a service does, its state and its promises commit together.

#[cfg(test)]
mod conformance;
mod dialect;
mod error;
mod migrate;
pub(crate) mod rows;
mod tx;

use std::{sync::Arc, time::Duration};

use contracts::Trace;
pub use dialect::{Dialect, instant, instant_opt, micros};
pub use error::StoreError;
pub use migrate::MigrationText;
use sqlx::{
    Any, AnyConnection, AnyPool,
    any::{AnyPoolOptions, install_default_drivers},
    pool::PoolConnection,
};
use tokio::{
    runtime::Handle,
    sync::{OwnedSemaphorePermit, Semaphore, watch},
};
pub(crate) use tx::BUS;
pub use tx::{NewEffect, Tx};

use crate::clock::{Clock, Ids};

/// How long to wait for a connection, and on SQLite for the one writer's turn. A caller is better told 503 than kept.
const ACQUIRE: Duration = Duration::from_secs(5);

/// An autocommit connection for reads; dereferences to a connection that sqlx executes on.
pub type Reader = PoolConnection<Any>;

/// How to reach the store of one service.
#[derive(Clone, Debug)]
pub struct StoreOptions {
    /// `postgres://...` or `sqlite:///path/to/folder`.
    pub url: String,
    /// The same database for the role that owns the tables and migrates them; PostgreSQL only.
    pub owner_url: Option<String>,
    /// Schema (PostgreSQL) or file name (SQLite): the service's prefix.
    pub schema: &'static str,
    pub max_connections: u32,
}

/// One service's database. Clones share the pool.
#[derive(Clone)]
pub struct Store(Arc<Inner>);

struct Inner {
    pool: AnyPool,
    dialect: Dialect,
    schema: &'static str,
    clock: Clock,
    ids: Ids,
    /// Connections are opened on this runtime, because a connection dies with the reactor that opened it and actix
    /// workers end before the relay does.
    runtime: Handle,
    /// SQLite has one writer: waiting for it here is fair, waiting inside SQLite is a busy loop.
    writer: Option<Arc<Semaphore>>,
    /// Counts commits that left rows for the relay. A counter and not a bell: a loop that is busy sees it afterwards.
    outbox: watch::Sender<u64>,
    /// Counts effects that reached their end: whoever waits for an operation looks again.
    finished: watch::Sender<u64>,
    /// Where a simulation stops this store.
    #[cfg(test)]
    steps: std::sync::OnceLock<crate::simulation::Steps>,
}

impl Store {
    /// Opens the database, creating the SQLite file or the PostgreSQL schema if need be, and runs the migrations.
    ///
    /// # Errors
    /// When it cannot be reached or a migration fails.
    pub async fn open(
        options: &StoreOptions,
        migrations: &[MigrationText],
        clock: Clock,
        ids: Ids,
    ) -> Result<Self, StoreError> {
        install_default_drivers();
        let dialect = Dialect::of(&options.url)?;
        let url = dialect.url(options)?;
        let schema = options.schema;
        migrate::prepare_schema(dialect, &url, options, migrations).await?;
        let pool = AnyPoolOptions::new()
            .max_connections(options.max_connections)
            .acquire_timeout(ACQUIRE)
            .after_connect(move |connection, _| Box::pin(dialect.prepare(connection, schema)))
            .connect(&url)
            .await
            .map_err(StoreError::unavailable)?;
        let turn = dialect.turn_to_migrate(options).await?;
        if !migrate::is_done(&pool, migrations).await? {
            migrate::run(&pool, dialect, migrations).await?;
        }
        drop(turn);
        Ok(Self(Arc::new(Inner {
            pool,
            dialect,
            schema,
            clock,
            ids,
            runtime: Handle::current(),
            writer: (dialect == Dialect::Sqlite).then(|| Arc::new(Semaphore::new(1))),
            outbox: watch::Sender::new(0),
            finished: watch::Sender::new(0),
            #[cfg(test)]
            steps: std::sync::OnceLock::new(),
        })))
    }

    /// Opens a transaction. Nobody else begins: a cancelled `begin` leaves a connection in the pool that is inside a
    /// broken transaction (sqlx issue 4385, not yet released), so it runs in a task that cannot be cancelled.
    ///
    /// # Errors
    /// When the store cannot be reached within 5 s.
    pub async fn begin(&self) -> Result<Tx, StoreError> {
        let trace = Trace { traceparent: crate::telemetry::current_traceparent(), ..Trace::default() };
        self.begin_in(trace).await
    }

    /// Opens a transaction whose rows belong to the given thread of business.
    ///
    /// # Errors
    /// As [`Store::begin`].
    pub async fn begin_in(&self, trace: Trace) -> Result<Tx, StoreError> {
        self.transaction(trace, self.0.dialect.begin()).await
    }

    /// As [`Store::begin`], for bookkeeping that is safely done again: when PostgreSQL crashes, what was committed in its
    /// last moments may be gone, as a whole. Nobody waits for the disk meanwhile.
    ///
    /// # Errors
    /// As [`Store::begin`].
    pub(crate) async fn begin_relaxed(&self) -> Result<Tx, StoreError> {
        self.transaction(Trace::default(), self.0.dialect.begin_relaxed()).await
    }

    async fn transaction(&self, trace: Trace, begin: &'static str) -> Result<Tx, StoreError> {
        #[cfg(test)]
        let step = crate::simulation::Steps::begin(self.0.steps.get()).await?;
        let permit = self.writer_permit().await?;
        let store = self.clone();
        // The permit goes along: who gives up waiting must not let the next writer in beside a transaction that begins.
        let begun = self.0.runtime.spawn(async move {
            #[expect(clippy::disallowed_methods, reason = "this is the one verb that the ban points to")]
            let transaction = store.0.pool.begin_with(begin).await;
            transaction.map(|transaction| (transaction, permit))
        });
        let (transaction, permit) = begun.await.map_err(|_| StoreError::Closed)?.map_err(StoreError::unavailable)?;
        let tx = Tx::new(self.clone(), transaction, permit, trace);
        #[cfg(test)]
        let tx = tx.in_step(step);
        Ok(tx)
    }

    async fn writer_permit(&self) -> Result<Option<OwnedSemaphorePermit>, StoreError> {
        let Some(writer) = &self.0.writer else { return Ok(None) };
        let turn = tokio::time::timeout(ACQUIRE, Arc::clone(writer).acquire_owned()).await;
        let turn = turn.map_err(|_| StoreError::Busy(sqlx::Error::PoolTimedOut))?;
        Ok(Some(turn.map_err(|_| StoreError::Closed)?))
    }

    /// A connection for reading outside a transaction.
    ///
    /// # Errors
    /// When the store cannot be reached within 5 s.
    pub async fn read(&self) -> Result<Reader, StoreError> {
        let pool = self.0.pool.clone();
        let acquired = self.0.runtime.spawn(async move { pool.acquire().await });
        acquired.await.map_err(|_| StoreError::Closed)?.map_err(StoreError::unavailable)
    }

    /// Whether it answers; what readiness asks.
    ///
    /// # Errors
    /// When it does not.
    pub async fn ping(&self) -> Result<(), StoreError> {
        let mut reader = self.read().await?;
        let connection: &mut AnyConnection = &mut reader;
        sqlx::query("SELECT 1").execute(connection).await?;
        Ok(())
    }

    /// Closes the pool and waits for what is under way.
    pub async fn close(&self) {
        self.0.pool.close().await;
    }

    #[must_use]
    pub fn dialect(&self) -> Dialect {
        self.0.dialect
    }

    /// The service's prefix.
    #[must_use]
    pub fn service(&self) -> &'static str {
        self.0.schema
    }

    pub(crate) fn clock(&self) -> &Clock {
        &self.0.clock
    }

    pub(crate) fn ids(&self) -> &Ids {
        &self.0.ids
    }

    /// From here on it can be stopped at each step.
    #[cfg(test)]
    pub(crate) fn step_by_step(&self, steps: crate::simulation::Steps) {
        assert!(self.0.steps.set(steps).is_ok(), "a store has one set of steps");
    }

    pub(crate) fn outbox_commits(&self) -> &watch::Sender<u64> {
        &self.0.outbox
    }

    pub(crate) fn finished_effects(&self) -> &watch::Sender<u64> {
        &self.0.finished
    }
}
