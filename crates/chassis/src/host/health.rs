//! `/healthz`, `/readyz`, `/metrics`: alive, able to work, and how much waits.

use std::{
    collections::{BTreeMap, BTreeSet, HashSet},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use actix_web::{HttpResponse, get, web};
use futures_util::future::join_all;
use serde::Serialize;
use tokio_util::sync::CancellationToken;

use crate::{
    audit::{self, MAXIMUM_LAG},
    bus::Bus,
    clock::Clock,
    cx::Cx,
    housekeeping,
    telemetry::Metrics,
};

/// How often the gauges are read from the stores.
const GAUGES: Duration = Duration::from_secs(5);
/// How long a store may take to answer a probe: a little longer than it may take to give a connection, whose error says
/// more, and less than the 6 s that the probe in `deploy/` waits.
const PING: Duration = Duration::from_millis(5500);

#[derive(Clone)]
pub(super) struct Health {
    contexts: BTreeMap<&'static str, Cx>,
    buses: BTreeMap<&'static str, Bus>,
    metrics: Metrics,
    draining: Arc<AtomicBool>,
    /// What was last told; nothing before the first probe.
    told: Arc<Mutex<Option<State>>>,
    /// Services whose audit log is not folded in time.
    unfolded: Arc<Mutex<BTreeSet<&'static str>>>,
}

/// What an operator is told of when it changes, and not at each probe.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Ready,
    Degraded,
    NotReady,
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

impl Readiness {
    fn state(&self) -> State {
        match (self.ready, self.degraded.is_empty()) {
            (false, _) => State::NotReady,
            (true, false) => State::Degraded,
            (true, true) => State::Ready,
        }
    }
}

impl Health {
    pub(super) fn new(
        contexts: BTreeMap<&'static str, Cx>,
        buses: BTreeMap<&'static str, Bus>,
        metrics: Metrics,
    ) -> Self {
        Self { contexts, buses, metrics, draining: Arc::default(), told: Arc::default(), unfolded: Arc::default() }
    }

    pub(super) fn drain(&self) {
        self.draining.store(true, Ordering::SeqCst);
    }

    async fn readiness(&self) -> Readiness {
        let mut reasons = Vec::new();
        if self.draining.load(Ordering::SeqCst) {
            reasons.push("shutting down".to_owned());
        }
        let stores = join_all(self.contexts.iter().map(|(service, cx)| async move { (service, silence(cx).await) }));
        for (service, silence) in stores.await {
            reasons.extend(silence.map(|why| format!("{service}: store: {why}")));
        }
        let mut degraded = Vec::new();
        for (service, trouble) in self.buses.iter().filter_map(|(service, bus)| Some((service, bus.trouble()?))) {
            let list = if trouble.passing { &mut degraded } else { &mut reasons };
            list.push(format!("{service}: bus: {}", trouble.cause));
        }
        let unfolded = self.unfolded.lock().unwrap_or_else(PoisonError::into_inner).clone();
        degraded.extend(unfolded.into_iter().map(|service| {
            format!("{service}: audit: leaves have waited longer than {MAXIMUM_LAG:?} to be folded into the log")
        }));
        Readiness { ready: reasons.is_empty(), reasons, degraded }
    }

    /// Logs a change of state; probes come every few seconds, and their answers are no news.
    fn tell(&self, readiness: &Readiness) {
        let state = readiness.state();
        let before = self.told.lock().unwrap_or_else(PoisonError::into_inner).replace(state);
        let (reasons, degraded) = (readiness.reasons.join("; "), readiness.degraded.join("; "));
        match state {
            _ if before == Some(state) => {}
            // Starting up and shutting down are no trouble.
            State::NotReady if before.is_none() => tracing::info!(reasons, "not ready yet"),
            State::NotReady if self.draining.load(Ordering::SeqCst) => tracing::info!(reasons, "not ready any more"),
            State::NotReady => tracing::warn!(reasons, degraded, "not ready"),
            State::Degraded => tracing::warn!(degraded, "ready, but degraded"),
            State::Ready => tracing::info!("ready"),
        }
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
                match audit::lag(cx).await {
                    Ok(lag) => self.show_audit(service, lag),
                    Err(error) => {
                        tracing::debug!(service, error = %crate::chain(&error), "no figures of the audit log")
                    }
                }
            }
            tokio::select! {
                () = clock.sleep(GAUGES) => {}
                () = stop.cancelled() => {}
            }
        }
    }

    fn show_audit(&self, service: &'static str, lag: audit::Lag) {
        self.metrics.set_audit_lag(service, lag.unfolded, lag.seconds);
        let mut unfolded = self.unfolded.lock().unwrap_or_else(PoisonError::into_inner);
        if lag.is_too_long() {
            unfolded.insert(service)
        } else {
            unfolded.remove(service)
        };
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

/// Why the store does not answer; `None` when it does. A query that hangs is left to itself: cut off, it would leave a
/// connection of which nobody knows how far it got.
async fn silence(cx: &Cx) -> Option<String> {
    let store = cx.store().clone();
    match tokio::time::timeout(PING, tokio::spawn(async move { store.ping().await })).await {
        Ok(Ok(answer)) => answer.err().map(|error| crate::chain(&error)),
        Ok(Err(panic)) => Some(panic.to_string()),
        Err(_) => Some(format!("no answer within {PING:?}")),
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
    health.tell(&readiness);
    if readiness.ready { HttpResponse::Ok() } else { HttpResponse::ServiceUnavailable() }.json(readiness)
}

/// Prometheus text.
#[get("/metrics")]
pub(super) async fn scrape(health: web::Data<Health>) -> HttpResponse {
    HttpResponse::Ok().content_type("text/plain; version=0.0.4").body(health.metrics.render())
}
