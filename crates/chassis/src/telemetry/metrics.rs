//! The numbers at `/metrics`. Names are what dashboards and alert rules in `deploy/` use.

use std::sync::Arc;

use opentelemetry::{
    KeyValue,
    metrics::{Counter, Gauge, Histogram, MeterProvider},
};
use opentelemetry_prometheus_text_exporter::PrometheusExporter;
use opentelemetry_sdk::metrics::SdkMeterProvider;

/// Instruments of one process (of one host in tests, so that two do not add up). Cheap to clone.
#[derive(Clone, Debug)]
pub struct Metrics(Arc<Instruments>);

#[derive(Debug)]
struct Instruments {
    exporter: PrometheusExporter,
    http_duration: Histogram<f64>,
    backlog: Gauge<u64>,
    oldest_message_age: Gauge<f64>,
    dead_letters: Gauge<u64>,
    effects: Counter<u64>,
    events_published: Counter<u64>,
    events_consumed: Counter<u64>,
    in_doubt: Counter<u64>,
    idempotent_replays: Counter<u64>,
    webhook_signature_failures: Counter<u64>,
    rate_limited: Counter<u64>,
    hints: Counter<u64>,
    events_lost: Counter<u64>,
    audit_lag: Gauge<f64>,
    audit_unfolded: Gauge<u64>,
    audit_sound: Gauge<u64>,
    /// Keeps the meters alive: instruments only hold weak references.
    _provider: SdkMeterProvider,
}

/// Upper bounds in seconds: fine around the 20 ms that an intake may take, up to the 30 s of `Prefer: wait`.
const DURATION_BUCKETS: [f64; 12] = [0.001, 0.0025, 0.005, 0.01, 0.02, 0.05, 0.1, 0.25, 1.0, 5.0, 15.0, 30.0];

impl Default for Metrics {
    fn default() -> Self {
        let exporter = PrometheusExporter::builder().without_units().without_target_info().without_scope_info().build();
        let provider = SdkMeterProvider::builder().with_reader(exporter.clone()).build();
        let meter = provider.meter("steward");
        let counter = |name: &'static str, about: &'static str| meter.u64_counter(name).with_description(about).build();
        let gauge = |name: &'static str, about: &'static str| meter.u64_gauge(name).with_description(about).build();
        Self(Arc::new(Instruments {
            http_duration: meter
                .f64_histogram("http_request_duration_seconds")
                .with_description("Time to answer, by method, route template and status")
                .with_boundaries(DURATION_BUCKETS.to_vec())
                .build(),
            backlog: gauge("queue_backlog", "Rows of outbox and inbox that are not done"),
            oldest_message_age: meter
                .f64_gauge("oldest_message_age_seconds")
                .with_description("Age of the oldest unfinished row of a queue")
                .build(),
            dead_letters: gauge("dead_letters", "Rows that wait for a person"),
            effects: counter("effects", "Attempts of effects by outcome"),
            events_published: counter("events_published", "Events confirmed by the bus"),
            events_consumed: counter("events_consumed", "Events taken in by outcome"),
            in_doubt: counter("in_doubt", "Effects that may have happened twice"),
            idempotent_replays: counter("idempotent_replays", "Requests answered from a stored answer"),
            webhook_signature_failures: counter("webhook_signature_failures", "Incoming webhooks not believed"),
            rate_limited: counter("rate_limited", "Requests refused by the rate limit"),
            hints: counter("hints", "Webhooks that say where to look, by what became of them"),
            events_lost: counter("events_lost", "Changes in Odoo that no webhook had announced"),
            audit_lag: meter
                .f64_gauge("audit_lag_seconds")
                .with_description("Age of the oldest audit leaf that is in no checkpoint")
                .build(),
            audit_sound: gauge("audit_sound", "1 when the last check found the audit log as it was signed, else 0"),
            audit_unfolded: gauge("audit_unfolded", "Audit leaves that are in no checkpoint"),
            exporter,
            _provider: provider,
        }))
    }
}

impl Metrics {
    /// Everything in Prometheus text format.
    #[must_use]
    pub fn render(&self) -> String {
        let mut text = Vec::new();
        if let Err(error) = self.0.exporter.export(&mut text) {
            tracing::error!(%error, "metrics cannot be written");
        }
        String::from_utf8_lossy(&text).into_owned()
    }

    /// One answered request; `route` is the template, never the path, or each id would be its own time series.
    pub fn http_request(&self, method: &str, route: &str, status: u16, seconds: f64) {
        let labels = [label("method", method), label("route", route), KeyValue::new("status", i64::from(status))];
        self.0.http_duration.record(seconds, &labels);
    }

    /// Rows of a queue (`bus`, `inbox` or an executor) that are not done, and the age of the oldest in seconds.
    pub fn set_backlog(&self, service: &str, queue: &str, rows: u64, oldest: f64) {
        let labels = [label("service", service), label("queue", queue)];
        self.0.backlog.record(rows, &labels);
        self.0.oldest_message_age.record(oldest, &labels);
    }

    pub fn set_dead_letters(&self, service: &str, destination: &str, rows: u64) {
        self.0.dead_letters.record(rows, &[label("service", service), label("destination", destination)]);
    }

    /// `outcome` is `done`, `retry`, `gone`, or of those that became dead letters `refused` (the peer said no) or `dead`
    /// (no attempts left).
    pub fn effect(&self, executor: &str, outcome: &str) {
        self.0.effects.add(1, &[label("executor", executor), label("outcome", outcome)]);
    }

    pub fn event_published(&self, kind: &str) {
        self.0.events_published.add(1, &[label("type", kind)]);
    }

    /// `outcome` is `done`, `duplicate`, `queued` (behind an earlier one of its subject), `pending` (to be tried again)
    /// or `dead`.
    pub fn event_consumed(&self, kind: &str, outcome: &str) {
        self.0.events_consumed.add(1, &[label("type", kind), label("outcome", outcome)]);
    }

    pub fn in_doubt(&self, executor: &str) {
        self.0.in_doubt.add(1, &[label("executor", executor)]);
    }

    pub fn idempotent_replay(&self, route: &str) {
        self.0.idempotent_replays.add(1, &[label("route", route)]);
    }

    pub fn webhook_signature_failure(&self, provider: &str) {
        self.0.webhook_signature_failures.add(1, &[label("provider", provider)]);
    }

    pub fn rate_limited(&self, caller: &str) {
        self.0.rate_limited.add(1, &[label("caller", caller)]);
    }

    /// `outcome` is `taken`, `duplicate` or `ignored`.
    pub fn hint(&self, outcome: &str) {
        self.0.hints.add(1, &[label("outcome", outcome)]);
    }

    /// Changes of records of that model that the reconciler found and no webhook had announced.
    pub fn events_lost(&self, model: &str, events: u64) {
        self.0.events_lost.add(events, &[label("model", model)]);
    }

    /// What the last check of the whole audit log found.
    pub fn set_audit_sound(&self, service: &str, sound: bool) {
        self.0.audit_sound.record(u64::from(sound), &[label("service", service)]);
    }

    /// How far the sequencer of the audit log is behind: leaves, and the age of the oldest in seconds.
    pub fn set_audit_lag(&self, service: &str, leaves: u64, seconds: f64) {
        self.0.audit_unfolded.record(leaves, &[label("service", service)]);
        self.0.audit_lag.record(seconds, &[label("service", service)]);
    }
}

fn label(key: &'static str, value: &str) -> KeyValue {
    KeyValue::new(key, value.to_owned())
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn each_instrument_appears_under_its_documented_name() {
        let metrics = Metrics::default();
        metrics.http_request("GET", "/supply/v1/facts/{product}", 200, 0.004);
        metrics.set_backlog("notify", "webhook", 7, 9.0);
        metrics.set_backlog("notify", "webhook", 3, 1.5);
        metrics.set_dead_letters("supply", "odoo.transfer", 2);
        metrics.effect("webhook", "done");
        metrics.effect("webhook", "done");
        metrics.event_published("steward.stock.ran_low.v1");
        metrics.event_consumed("steward.stock.ran_low.v1", "duplicate");
        metrics.in_doubt("smtp");
        metrics.idempotent_replay("transfers");
        metrics.webhook_signature_failure("odoo");
        metrics.rate_limited("n8n");
        metrics.hint("duplicate");
        metrics.events_lost("stock.quant", 3);
        let text = metrics.render();
        for line in [
            "http_request_duration_seconds_bucket{method=\"GET\",route=\"/supply/v1/facts/{product}\",status=\"200\",le=\"0.005\"} 1",
            "queue_backlog{queue=\"webhook\",service=\"notify\"} 3",
            "oldest_message_age_seconds{queue=\"webhook\",service=\"notify\"} 1.5",
            "dead_letters{destination=\"odoo.transfer\",service=\"supply\"} 2",
            "effects_total{executor=\"webhook\",outcome=\"done\"} 2",
            "events_published_total{type=\"steward.stock.ran_low.v1\"} 1",
            "events_consumed_total{outcome=\"duplicate\",type=\"steward.stock.ran_low.v1\"} 1",
            "in_doubt_total{executor=\"smtp\"} 1",
            "idempotent_replays_total{route=\"transfers\"} 1",
            "webhook_signature_failures_total{provider=\"odoo\"} 1",
            "rate_limited_total{caller=\"n8n\"} 1",
            "hints_total{outcome=\"duplicate\"} 1",
            "events_lost_total{model=\"stock.quant\"} 3",
        ] {
            assert!(text.lines().any(|found| parts(found) == parts(line)), "{line}\nis not in\n{text}");
        }
    }

    /// Name, labels in any order, value.
    fn parts(line: &str) -> (&str, BTreeSet<&str>, &str) {
        let (name, rest) = line.split_once('{').unwrap_or((line, "}"));
        let (labels, value) = rest.rsplit_once('}').unwrap_or_default();
        (name, labels.split(',').collect(), value)
    }
}
