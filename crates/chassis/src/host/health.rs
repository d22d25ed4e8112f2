//! `/healthz`, `/readyz`, `/metrics`: alive, able to work, and how much waits.

use std::{
    collections::{BTreeMap, HashSet},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use actix_web::{HttpResponse, get, web};
use serde::Serialize;
use tokio_util::sync::CancellationToken;

use crate::{bus::Bus, clock::Clock, cx::Cx, housekeeping, telemetry::Metrics};

/// How often the gauges are read from the stores.
const GAUGES: Duration = Duration::from_secs(5);

#[derive(Clone)]
pub(super) struct Health {
    contexts: BTreeMap<&'static str, Cx>,
    buses: BTreeMap<&'static str, Bus>,
    metrics: Metrics,
    draining: Arc<AtomicBool>,
}

/// What readiness says of one service.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub(crate) struct Readiness {
    ready: bool,
    /// Why it is not ready; empty when it is.
    reasons: Vec<String>,
    /// What does not work although commands are taken: a bus that went away, whose events wait in the outbox.
    degraded: Vec<String>,
}

impl Health {
    pub(super) fn new(
        contexts: BTreeMap<&'static str, Cx>,
        buses: BTreeMap<&'static str, Bus>,
        metrics: Metrics,
    ) -> Self {
        Self { contexts, buses, metrics, draining: Arc::default() }
    }

    pub(super) fn drain(&self) {
        self.draining.store(true, Ordering::SeqCst);
    }

    async fn readiness(&self) -> Readiness {
        let mut reasons = Vec::new();
        if self.draining.load(Ordering::SeqCst) {
            reasons.push("shutting down".to_owned());
        }
        for (service, cx) in &self.contexts {
            if let Err(error) = cx.store().ping().await {
                reasons.push(format!("{service}: store: {}", crate::chain(&error)));
            }
        }
        let mut degraded = Vec::new();
        for (service, trouble) in self.buses.iter().filter_map(|(service, bus)| Some((service, bus.trouble()?))) {
            let list = if trouble.passing { &mut degraded } else { &mut reasons };
            list.push(format!("{service}: bus: {}", trouble.cause));
        }
        Readiness { ready: reasons.is_empty(), reasons, degraded }
    }

    /// Keeps the backlog gauges current; a queue that emptied shows zero and does not stand still at its last value.
    pub(super) async fn run_gauges(self, clock: Clock, stop: CancellationToken) {
        let mut seen_waiting = HashSet::new();
        let mut seen_dead = HashSet::new();
        while !stop.is_cancelled() {
            for (service, cx) in &self.contexts {
                match housekeeping::backlog(cx).await {
                    Ok(backlog) => self.show(service, &backlog, &mut seen_waiting, &mut seen_dead),
                    Err(error) => tracing::debug!(service, error = %crate::chain(&error), "no backlog figures"),
                }
            }
            tokio::select! {
                () = clock.sleep(GAUGES) => {}
                () = stop.cancelled() => {}
            }
        }
    }

    fn show(
        &self,
        service: &'static str,
        backlog: &housekeeping::Backlog,
        seen_waiting: &mut HashSet<(&'static str, String)>,
        seen_dead: &mut HashSet<(&'static str, String)>,
    ) {
        let rows = |count: i64| u64::try_from(count).unwrap_or(0);
        for (_, queue) in seen_waiting.iter().filter(|(owner, _)| *owner == service) {
            self.metrics.set_backlog(service, queue, 0, 0.0);
        }
        for (queue, waiting, age) in &backlog.waiting {
            self.metrics.set_backlog(service, queue, rows(*waiting), *age);
            seen_waiting.insert((service, queue.clone()));
        }
        for (_, destination) in seen_dead.iter().filter(|(owner, _)| *owner == service) {
            self.metrics.set_dead_letters(service, destination, 0);
        }
        for (destination, dead) in &backlog.dead {
            self.metrics.set_dead_letters(service, destination, rows(*dead));
            seen_dead.insert((service, destination.clone()));
        }
    }
}

/// The process is alive.
#[get("/healthz")]
pub(super) async fn healthz() -> HttpResponse {
    HttpResponse::Ok().json(serde_json::json!({"alive": true}))
}

/// The process can take work: its stores answer, it has reached its bus, and it is not shutting down. 503 says why not.
#[get("/readyz")]
pub(super) async fn readyz(health: web::Data<Health>) -> HttpResponse {
    let readiness = health.readiness().await;
    if readiness.ready { HttpResponse::Ok() } else { HttpResponse::ServiceUnavailable() }.json(readiness)
}

/// Prometheus text.
#[get("/metrics")]
pub(super) async fn scrape(health: web::Data<Health>) -> HttpResponse {
    HttpResponse::Ok().content_type("text/plain; version=0.0.4").body(health.metrics.render())
}
