//! Logs, traces and metrics. The only module that knows OpenTelemetry: a second version of one of its crates compiles
//! and yields empty trace ids (tracing-actix-web issue 135), so nobody else depends on them.

mod logs;
mod metrics;

use std::{sync::OnceLock, time::Duration};

use opentelemetry::{
    Context,
    propagation::{Extractor, Injector, TextMapPropagator},
    trace::{TraceContextExt, TracerProvider},
};
use opentelemetry_otlp::WithExportConfig;
use opentelemetry_sdk::{
    Resource,
    propagation::TraceContextPropagator,
    trace::{Sampler, SdkTracerProvider},
};
use tracing::{Level, Span};
use tracing_opentelemetry::OpenTelemetrySpanExt;
use tracing_subscriber::{
    EnvFilter, Layer,
    filter::{FilterFn, LevelFilter},
    layer::SubscriberExt,
    util::SubscriberInitExt,
};

pub use self::metrics::Metrics;
use crate::config::{ConfigError, LogFormat, TelemetrySettings};

/// How long the last spans may take to leave at shutdown. The exporter retries by itself, so it needs a bound.
const FLUSH: Duration = Duration::from_secs(5);
/// Name of the W3C trace context header.
const TRACEPARENT: &str = "traceparent";

static INSTALLED: OnceLock<()> = OnceLock::new();

/// Keeps the exporter until the process ends.
#[must_use = "call shutdown() at the end, or the last spans are lost"]
#[derive(Debug)]
pub struct TelemetryGuard(Option<SdkTracerProvider>);

impl TelemetryGuard {
    /// Sends what is left, for at most five seconds, off the async threads: the exporter blocks.
    pub async fn shutdown(self) {
        let Some(provider) = self.0 else { return };
        let flushed = tokio::task::spawn_blocking(move || provider.shutdown_with_timeout(FLUSH)).await;
        if let Ok(Err(error)) = flushed {
            tracing::warn!(%error, "the last spans could not be sent");
        }
    }
}

/// Installs logs and traces for the process. A second call changes nothing, so every test may call it.
///
/// # Errors
/// When the filter or the endpoint cannot be used.
pub fn init(settings: &TelemetrySettings) -> Result<TelemetryGuard, ConfigError> {
    let mut guard = TelemetryGuard(None);
    let mut failed = None;
    INSTALLED.get_or_init(|| match install(settings) {
        Ok(provider) => guard = TelemetryGuard(Some(provider)),
        Err(error) => failed = Some(error),
    });
    failed.map_or(Ok(guard), Err)
}

fn install(settings: &TelemetrySettings) -> Result<SdkTracerProvider, ConfigError> {
    let filter = EnvFilter::try_new(&settings.log_filter)
        .map_err(|error| ConfigError::one(format!("telemetry.log_filter: {error}")))?;
    let provider = provider(settings)?;
    // The exporter's own HTTP client must not be traced, or every export would cause the next one. The hint is needed:
    // filters per layer remember what they denied on a thread (tracing issue 2448). Without it the spans that followed a
    // statement of sqlx on PostgreSQL, which asks whether its debug output is wanted, were lost and rows had no trace.
    // Only what is above the hint is denied before it reaches the filters. The end-to-end test sees to it.
    let ours = FilterFn::new(|metadata| {
        *metadata.level() <= Level::INFO
            && !["hyper", "reqwest", "h2", "opentelemetry"].iter().any(|name| metadata.target().starts_with(name))
    })
    .with_max_level_hint(LevelFilter::INFO);
    let traces = tracing_opentelemetry::layer().with_tracer(provider.tracer("steward")).with_filter(ours);
    let registry = tracing_subscriber::registry().with(traces);
    let installed = match settings.log_format {
        LogFormat::Json => {
            let lines = tracing_subscriber::fmt::layer()
                .event_format(logs::JsonLines)
                .fmt_fields(tracing_subscriber::fmt::format::JsonFields::new())
                .with_writer(std::io::stderr);
            registry.with(lines.with_filter(filter)).try_init()
        }
        LogFormat::Text => {
            let colours = std::io::IsTerminal::is_terminal(&std::io::stderr());
            let lines =
                tracing_subscriber::fmt::layer().with_ansi(colours).with_target(false).with_writer(std::io::stderr);
            registry.with(lines.with_filter(filter)).try_init()
        }
    };
    installed.map_err(|error| ConfigError::one(format!("telemetry: {error}")))?;
    Ok(provider)
}

/// Without an endpoint there is no exporter, but spans still get their ids: logs and problem documents quote them.
fn provider(settings: &TelemetrySettings) -> Result<SdkTracerProvider, ConfigError> {
    let sampler = Sampler::ParentBased(Box::new(Sampler::TraceIdRatioBased(settings.sample_ratio)));
    let resource = Resource::builder().with_service_name("steward").build();
    let builder = SdkTracerProvider::builder().with_sampler(sampler).with_resource(resource);
    let Some(endpoint) = &settings.otlp_endpoint else { return Ok(builder.build()) };
    let exporter = opentelemetry_otlp::SpanExporter::builder()
        .with_http()
        .with_endpoint(format!("{}/v1/traces", endpoint.trim_end_matches('/')))
        .build()
        .map_err(|error| ConfigError::one(format!("telemetry.otlp_endpoint: {error}")))?;
    Ok(builder.with_batch_exporter(exporter).build())
}

/// Trace id of the current span, 32 hexadecimal digits.
#[must_use]
pub fn current_trace_id() -> Option<String> {
    let context = Context::current();
    let span = context.span().span_context().clone();
    span.is_valid().then(|| span.trace_id().to_string())
}

/// `traceparent` of the current span, to be kept in a row or sent along.
#[must_use]
pub fn current_traceparent() -> Option<String> {
    let mut carrier = Carrier(None);
    TraceContextPropagator::new().inject_context(&Span::current().context(), &mut carrier);
    carrier.0
}

/// Makes the span behind `traceparent` the parent of `span`, which must not have been entered yet. A malformed value
/// is ignored, as the W3C recommendation asks: the span then starts a new trace.
#[must_use]
pub fn span_from(traceparent: Option<&str>, span: Span) -> Span {
    if let Some(traceparent) = traceparent {
        let carrier = Carrier(Some(traceparent.to_owned()));
        let parent = TraceContextPropagator::new().extract_with_context(&Context::new(), &carrier);
        if parent.span().span_context().is_valid() {
            // Fails only when no trace layer is installed or it filters this span out: then there is nothing to link.
            let _not_traced = span.set_parent(parent);
        }
    }
    span
}

/// Carries one header. `http` 0.2 (actix) and 1 (reqwest) both are around, so neither's map is used.
struct Carrier(Option<String>);

impl Injector for Carrier {
    fn set(&mut self, key: &str, value: String) {
        if key == TRACEPARENT {
            self.0 = Some(value);
        }
    }
}

impl Extractor for Carrier {
    fn get(&self, key: &str) -> Option<&str> {
        self.0.as_deref().filter(|_| key == TRACEPARENT)
    }

    fn keys(&self) -> Vec<&str> {
        vec![TRACEPARENT]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ready() {
        let settings = crate::config::Settings::from_yaml("telemetry: {log_filter: warn}").unwrap();
        let _guard = init(&settings.common.telemetry).unwrap();
    }

    #[test]
    fn trace_ids_exist_without_a_collector_and_a_second_init_is_harmless() {
        ready();
        ready();
        let _span = tracing::info_span!("work").entered();
        let id = current_trace_id().unwrap();
        assert_eq!(id.len(), 32);
        assert!(current_traceparent().unwrap().contains(&id));
    }

    #[test]
    fn a_remote_parent_gives_its_trace_id_to_the_span() {
        ready();
        let parent = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
        let span = span_from(Some(parent), tracing::info_span!("consume")).entered();
        assert_eq!(current_trace_id().as_deref(), Some("4bf92f3577b34da6a3ce929d0e0e4736"));
        let child = tracing::info_span!("inner").entered();
        let own = current_traceparent().unwrap();
        assert!(own.starts_with("00-4bf92f3577b34da6a3ce929d0e0e4736-") && own != parent, "{own}");
        drop((child, span));
    }

    #[test]
    fn a_malformed_parent_starts_a_new_trace() {
        ready();
        let _span = span_from(Some("00-zz"), tracing::info_span!("consume")).entered();
        assert_eq!(current_trace_id().map(|id| id.len()), Some(32));
    }

    #[test]
    fn only_one_opentelemetry_is_compiled_in() {
        let lock = include_str!("../../../../Cargo.lock");
        for name in ["opentelemetry", "opentelemetry_sdk"] {
            assert_eq!(lock.matches(&format!("name = \"{name}\"\n")).count(), 1, "{name}");
        }
    }
}
