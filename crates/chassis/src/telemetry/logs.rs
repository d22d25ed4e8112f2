//! One JSON object per line: time, level, target, message, the event's fields, trace id, and the fields of all spans
//! around it, the inner one winning.

use std::fmt;

use serde_json::{Map, Value};
use tracing::{
    Event, Subscriber,
    field::{Field, Visit},
};
use tracing_subscriber::{
    fmt::{
        FmtContext, FormatEvent, FormatFields, FormattedFields,
        format::Writer,
        time::{FormatTime, SystemTime},
    },
    registry::LookupSpan,
};

/// The event format of `telemetry.log_format: json`.
pub(super) struct JsonLines;

impl<S, N> FormatEvent<S, N> for JsonLines
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    fn format_event(&self, ctx: &FmtContext<'_, S, N>, mut writer: Writer<'_>, event: &Event<'_>) -> fmt::Result {
        let metadata = event.metadata();
        let mut line = Map::new();
        let mut time = String::new();
        SystemTime.format_time(&mut Writer::new(&mut time))?;
        line.insert("time".to_owned(), time.into());
        line.insert("level".to_owned(), metadata.level().as_str().into());
        line.insert("target".to_owned(), metadata.target().into());
        if let Some(trace_id) = super::current_trace_id() {
            line.insert("trace_id".to_owned(), trace_id.into());
        }
        let mut fields = Fields(Map::new());
        if let Some(scope) = ctx.event_scope() {
            let mut innermost = "";
            for span in scope.from_root() {
                innermost = span.name();
                let extensions = span.extensions();
                let written = extensions.get::<FormattedFields<N>>().map_or("", |fields| fields.fields.as_str());
                if let Ok(Value::Object(of_span)) = serde_json::from_str(written) {
                    fields.0.extend(of_span.into_iter().filter(|(key, _)| !key.starts_with("otel.")));
                }
            }
            line.insert("span".to_owned(), innermost.into());
        }
        event.record(&mut fields);
        // A field never hides what the line itself says.
        fields.0.retain(|key, _| !line.contains_key(key));
        line.extend(fields.0);
        writeln!(writer, "{}", Value::Object(line))
    }
}

struct Fields(Map<String, Value>);

impl Fields {
    fn put(&mut self, field: &Field, value: impl Into<Value>) {
        self.0.insert(field.name().to_owned(), value.into());
    }
}

impl Visit for Fields {
    fn record_f64(&mut self, field: &Field, value: f64) {
        self.put(field, value);
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.put(field, value);
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.put(field, value);
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.put(field, value);
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.put(field, value);
    }

    /// The whole chain: an error's own text never repeats its source.
    fn record_error(&mut self, field: &Field, value: &(dyn std::error::Error + 'static)) {
        let chain = std::iter::successors(Some(value), |error| error.source()).map(ToString::to_string);
        self.put(field, chain.collect::<Vec<_>>().join(": "));
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.put(field, format!("{value:?}"));
    }
}

#[cfg(test)]
mod tests {
    use std::{
        io,
        sync::{Arc, Mutex},
    };

    use tracing_subscriber::{fmt::format::JsonFields, layer::SubscriberExt};

    use super::*;

    #[derive(Clone, Default)]
    struct Sink(Arc<Mutex<Vec<u8>>>);

    impl io::Write for Sink {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn a_line_holds_message_fields_and_the_fields_of_its_spans() {
        let sink = Sink::default();
        let writer = sink.clone();
        let layer = tracing_subscriber::fmt::layer()
            .event_format(JsonLines)
            .fmt_fields(JsonFields::new())
            .with_writer(move || writer.clone());
        let subscriber = tracing_subscriber::registry().with(layer);
        tracing::subscriber::with_default(subscriber, || {
            let _outer = tracing::info_span!("request", method = "GET", otel.kind = "server").entered();
            let _inner = tracing::info_span!("effect", executor = "webhook").entered();
            let error = io::Error::other("broken \"pipe\"");
            tracing::warn!(attempt = 3, level = "mine", error = &error as &(dyn std::error::Error + 'static), "again");
        });
        let text = String::from_utf8(sink.0.lock().unwrap().clone()).unwrap();
        let line: Value = serde_json::from_str(&text).unwrap();
        let expected = serde_json::json!({
            "level": "WARN", "target": line["target"], "time": line["time"], "message": "again", "span": "effect",
            "attempt": 3, "method": "GET", "executor": "webhook", "error": "broken \"pipe\"",
        });
        assert_eq!(line, expected);
    }
}
