//! What every service stands on: configuration, telemetry, HTTP, permissions, store, bus, shared state, jobs,
//! lifecycle, and the one reliable path between them.
//!
//! A service is a [`Service`] value; [`host::start`] hosts any number of them in one process. Handlers, event handlers
//! and jobs get a [`Cx`]; whatever must not be lost is written through a [`store::Tx`]; whatever leaves the process
//! leaves through the relay.

pub mod audit;
pub mod auth;
mod bus;
pub mod clock;
pub mod config;
mod cx;
pub mod host;
mod housekeeping;
pub mod http;
mod inbox;
mod jobs;
pub mod outgoing;
pub mod relay;
pub mod reload;
mod service;
pub mod shared;
#[cfg(test)]
mod simulation;
pub mod store;
pub mod telemetry;
pub mod webhooks;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

pub use clock::{Clock, Ids};
pub use config::{ConfigError, Settings};
pub use cx::Cx;
pub use inbox::{HandleError, Received};
pub use jobs::{Job, JobError, Lease};
pub use service::Service;

/// What a service's code uses on every page.
pub mod prelude {
    pub use contracts::{Digest, FieldError, Page, Problem};
    pub use jiff::Timestamp;
    pub use utoipa_actix_web::service_config::ServiceConfig;

    pub use crate::{
        ConfigError, Cx, HandleError, Job, JobError, Lease, Received, Service, Settings,
        auth::{Caller, Principal, Role},
        http::{
            Answer, ApiError, Body, IdempotencyKey, IfMatch, LargeBody, Operation, Paging, Params, PathOf, Prefer,
            Problems, Reply, command, wait_for_operation,
        },
        permission,
        relay::{Attempt, DeadHead, Effect, EffectKind, Executor, Settled},
        store::{NewEffect, StoreError, Tx, instant, instant_opt, micros},
    };
}

/// An error with its whole source chain in one line. Our errors never repeat their source in their own text, so this is
/// how a log line gets all of it; what others' errors repeat is said once.
pub fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        let told = cause.to_string();
        if !text.ends_with(&told) {
            text.push_str(": ");
            text.push_str(&told);
        }
        source = cause.source();
    }
    text
}

/// A moment between two batches.
const LINGER: std::time::Duration = std::time::Duration::from_millis(5);

/// Waits a moment after a batch that was not full: under load the next one fills meanwhile and shares its commit among
/// more; at rest nobody waits for it. Real time, whatever clock the service lives by.
pub(crate) async fn linger(taken: usize, full: usize) {
    if taken < full {
        tokio::time::sleep(LINGER).await;
    }
}

/// Runs work that is not ours; a panic in it becomes its message. The loops that must never end call handlers,
/// executors and jobs through this.
pub(crate) async fn caught<T>(work: impl Future<Output = T>) -> Result<T, String> {
    let work = std::panic::AssertUnwindSafe(work);
    futures_util::FutureExt::catch_unwind(work).await.map_err(|panic| {
        let text = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
        let text = text.or_else(|| panic.downcast_ref::<String>().cloned()).unwrap_or_default();
        format!("panicked: {text}")
    })
}
