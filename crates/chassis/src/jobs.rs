//! Work that happens by itself, every so often: on one replica at a time, or on all of them.

use std::{sync::Arc, time::Duration};

use futures_util::future::BoxFuture;
use tokio_util::sync::CancellationToken;

use crate::{
    cx::Cx,
    store::{Store, StoreError, Tx, micros},
};

type Work = Arc<dyn for<'a> Fn(&'a Cx, &'a Lease) -> BoxFuture<'a, Result<(), JobError>> + Send + Sync>;
type SharedWork = Arc<dyn for<'a> Fn(&'a Cx) -> BoxFuture<'a, Result<(), JobError>> + Send + Sync>;

/// Who does the work.
#[derive(Clone)]
enum Hands {
    /// The replica that holds the job's lease.
    One(Work),
    /// Every replica.
    All(SharedWork),
}

/// A job's failure: logged, and tried again at the next turn.
#[derive(Debug, thiserror::Error)]
pub enum JobError {
    #[error("the store failed")]
    Store(#[from] StoreError),
    #[error("{0}")]
    Other(String),
}

impl From<sqlx::Error> for JobError {
    fn from(error: sqlx::Error) -> Self {
        Self::Store(error.into())
    }
}

/// A periodic job of a service.
#[derive(Clone)]
pub struct Job {
    pub(crate) name: &'static str,
    pub(crate) interval: Duration,
    work: Hands,
}

impl Job {
    /// `work` recomputes from what the store says and takes no input, so a missed turn costs only time.
    pub fn every(
        name: &'static str,
        interval: Duration,
        work: impl for<'a> Fn(&'a Cx, &'a Lease) -> BoxFuture<'a, Result<(), JobError>> + Send + Sync + 'static,
    ) -> Self {
        Self { name, interval, work: Hands::One(Arc::new(work)) }
    }

    /// On all replicas at once: for work that claims what it takes, row by row, and that must not wait for a lease to
    /// run out when its holder dies.
    pub fn everywhere(
        name: &'static str,
        interval: Duration,
        work: impl for<'a> Fn(&'a Cx) -> BoxFuture<'a, Result<(), JobError>> + Send + Sync + 'static,
    ) -> Self {
        Self { name, interval, work: Hands::All(Arc::new(work)) }
    }

    pub(crate) async fn run(self, cx: Cx, stop: CancellationToken) {
        // A turn may take several intervals; the lease must outlive it, and not much longer, or a dead holder would
        // keep the job from everybody.
        let hold = (self.interval * 3).max(Duration::from_secs(30));
        let holder = cx.ids().next().to_string();
        while !stop.is_cancelled() {
            if let Err(error) = self.turn(&cx, &holder, hold).await {
                tracing::warn!(job = self.name, error = %crate::chain(&error), "a job's turn failed");
            }
            tokio::select! {
                () = cx.clock().sleep(self.interval) => {}
                () = stop.cancelled() => {}
            }
        }
        if matches!(self.work, Hands::All(_)) {
            return;
        }
        if let Err(error) = Lease::release(cx.store(), self.name, &holder).await {
            tracing::debug!(job = self.name, error = %crate::chain(&error), "the lease runs out by itself");
        }
    }

    async fn turn(&self, cx: &Cx, holder: &str, hold: Duration) -> Result<(), JobError> {
        match &self.work {
            Hands::All(work) => crate::caught(work(cx)).await.map_err(JobError::Other)?,
            Hands::One(work) => match Lease::take(cx.store(), self.name, holder, hold).await? {
                Some(lease) => crate::caught(work(cx, &lease)).await.map_err(JobError::Other)?,
                None => Ok(()),
            },
        }
    }
}

/// The right to do a named piece of work, until somebody else holds a higher fence.
#[derive(Clone, Debug)]
pub struct Lease {
    name: String,
    /// Grows with every new holder.
    pub fence: i64,
}

impl Lease {
    /// Takes or renews the lease; `None` while another holder's has not run out.
    pub(crate) async fn take(
        store: &Store,
        name: &str,
        holder: &str,
        hold: Duration,
    ) -> Result<Option<Self>, StoreError> {
        let mut tx = store.begin().await?;
        let taken: Option<(i64,)> = sqlx::query_as(
            "INSERT INTO leases (name, holder, fence, expires_at) VALUES ($1, $2, 1, $3) \
             ON CONFLICT (name) DO UPDATE SET holder = excluded.holder, expires_at = excluded.expires_at, \
             fence = leases.fence + CASE WHEN leases.holder = excluded.holder THEN 0 ELSE 1 END \
             WHERE leases.holder = excluded.holder OR leases.expires_at <= $4 RETURNING fence",
        )
        .bind(name)
        .bind(holder)
        .bind(micros(tx.now() + hold))
        .bind(micros(tx.now()))
        .fetch_optional(tx.conn())
        .await?;
        tx.commit().await?;
        Ok(taken.map(|(fence,)| Self { name: name.to_owned(), fence }))
    }

    /// Inside a transaction: makes sure that nobody took over meanwhile. A holder that slept through its lease finds
    /// out here, before it commits.
    ///
    /// # Errors
    /// [`StoreError::Busy`] when somebody did.
    pub async fn guard(&self, tx: &mut Tx) -> Result<(), StoreError> {
        let select = tx.dialect().for_update("SELECT fence FROM leases WHERE name = $1");
        let (fence,): (i64,) = sqlx::query_as(select).bind(self.name.as_str()).fetch_one(tx.conn()).await?;
        if fence == self.fence { Ok(()) } else { Err(StoreError::Busy(sqlx::Error::RowNotFound)) }
    }

    pub(crate) async fn release(store: &Store, name: &str, holder: &str) -> Result<(), StoreError> {
        let mut tx = store.begin().await?;
        sqlx::query("UPDATE leases SET expires_at = 0 WHERE name = $1 AND holder = $2")
            .bind(name)
            .bind(holder)
            .execute(tx.conn())
            .await?;
        tx.commit().await
    }
}
