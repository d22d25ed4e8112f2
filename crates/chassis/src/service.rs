//! A service is a value: its table of contents. One way to wire it, on the laptop and in the cluster.

use std::{sync::Arc, time::Duration};

use contracts::{Envelope, EventPayload};
use futures_util::future::BoxFuture;
use utoipa_actix_web::service_config::ServiceConfig;

use crate::{
    cx::Cx,
    inbox::{HandleError, Received, Subscription},
    jobs::Job,
    relay::Executor,
    store::{MigrationText, Tx},
};

pub(crate) type Routes = Arc<dyn Fn(&mut ServiceConfig<'_>) + Send + Sync>;

/// Everything that makes a service: routes, subscriptions, executors, jobs, migrations.
#[derive(Clone)]
pub struct Service {
    pub(crate) name: &'static str,
    pub(crate) title: &'static str,
    pub(crate) summary: &'static str,
    pub(crate) routes: Routes,
    pub(crate) migrations: &'static [MigrationText],
    pub(crate) subscriptions: Vec<Subscription>,
    pub(crate) executors: Vec<Arc<dyn Executor>>,
    pub(crate) jobs: Vec<Job>,
}

impl Service {
    /// `name` is the prefix of its paths, the name of its schema and the source of its events.
    #[must_use]
    pub fn new(name: &'static str, title: &'static str, summary: &'static str) -> Self {
        Self {
            name,
            title,
            summary,
            routes: Arc::new(|_| {}),
            migrations: &[],
            subscriptions: Vec::new(),
            executors: Vec::new(),
            jobs: Vec::new(),
        }
    }

    /// The service's tables; see [`crate::migrations!`].
    #[must_use]
    pub fn migrations(mut self, migrations: &'static [MigrationText]) -> Self {
        self.migrations = migrations;
        self
    }

    /// Registers handlers and their state. Called once per HTTP worker, and once to write the OpenAPI document.
    #[must_use]
    pub fn routes(mut self, routes: impl Fn(&mut ServiceConfig<'_>) + Send + Sync + 'static) -> Self {
        self.routes = Arc::new(routes);
        self
    }

    /// Handles one type of event, in the transaction that takes it in.
    #[must_use]
    pub fn on<E: EventPayload>(
        self,
        handler: impl for<'a> Fn(&'a Cx, &'a mut Tx, Received<E>) -> BoxFuture<'a, Result<(), HandleError>>
        + Send
        + Sync
        + 'static,
    ) -> Self {
        let handler = Arc::new(handler);
        self.subscribe(Some(E::TYPE), move |cx, tx, envelope| {
            let handler = Arc::clone(&handler);
            Box::pin(async move {
                let payload = envelope
                    .payload::<E>()
                    .map_err(|error| HandleError::Poison(format!("{} is not readable: {error}", E::TYPE)))?;
                handler(cx, tx, Received { envelope: envelope.clone(), payload }).await
            })
        })
    }

    /// Handles every event, unread.
    #[must_use]
    pub fn on_any(
        self,
        handler: impl for<'a> Fn(&'a Cx, &'a mut Tx, &'a Envelope) -> BoxFuture<'a, Result<(), HandleError>>
        + Send
        + Sync
        + 'static,
    ) -> Self {
        self.subscribe(None, handler)
    }

    fn subscribe(
        mut self,
        kind: Option<&'static str>,
        handler: impl for<'a> Fn(&'a Cx, &'a mut Tx, &'a Envelope) -> BoxFuture<'a, Result<(), HandleError>>
        + Send
        + Sync
        + 'static,
    ) -> Self {
        self.subscriptions.push(Subscription { kind, handler: Arc::new(handler) });
        self
    }

    #[must_use]
    pub fn executor(mut self, executor: Arc<dyn Executor>) -> Self {
        self.executors.push(executor);
        self
    }

    #[must_use]
    pub fn job(mut self, job: Job) -> Self {
        self.jobs.push(job);
        self
    }

    /// The prefix.
    #[must_use]
    pub fn name(&self) -> &'static str {
        self.name
    }

    /// Whether the service receives events of that type.
    #[must_use]
    pub fn consumes(&self, kind: &str) -> bool {
        self.subscriptions.iter().any(|subscription| subscription.kind.is_none_or(|wanted| wanted == kind))
    }

    /// Jobs that the chassis adds to every service.
    pub(crate) fn housekeeping(mut self) -> Self {
        self.jobs.push(Job::every("chassis.housekeeping", Duration::from_secs(60), |cx, lease| {
            Box::pin(crate::housekeeping::turn(cx, lease))
        }));
        self.jobs.push(Job::every("chassis.audit_check", crate::audit::CHECKED_EVERY, |cx, _| {
            Box::pin(crate::audit::check_turn(cx))
        }));
        self
    }
}
