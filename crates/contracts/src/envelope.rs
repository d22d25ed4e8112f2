//! CloudEvents 1.0 envelope, binary mode: attributes travel as `cloudEvents_*` headers, data as the body.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::events::EventPayload;

/// Routing key of a type: the type without its first word (`steward.approval.decided.v1` -> `approval.decided.v1`).
#[must_use]
pub fn routing_key(event_type: &str) -> &str {
    event_type.split_once('.').map_or(event_type, |(_, rest)| rest)
}

/// Where an event came from and belongs to: W3C trace context and the business thread.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Trace {
    /// `00-<trace id>-<span id>-<flags>`.
    pub traceparent: Option<String>,
    /// The id that all events of one business case share: that of the first event of the case.
    pub correlation_id: Option<String>,
    /// Id of the event or command that directly caused this one.
    pub causation_id: Option<String>,
}

/// One event: attributes and its data as raw JSON.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Envelope {
    /// UUIDv7, or derived from natural keys where a repeat must have the same id.
    pub id: String,
    /// `/supply`, `/approvals`, `/scoring`, `/notify`.
    pub source: String,
    /// `steward.<thing>.<past tense>.v<n>`.
    #[serde(rename = "type")]
    pub kind: String,
    pub time: Timestamp,
    /// What it is about; also the order key: events of one subject keep their order.
    pub subject: String,
    #[serde(flatten)]
    pub trace: Trace,
    /// JSON text of the payload, untouched between producer and consumer.
    pub data: Box<serde_json::value::RawValue>,
}

/// Why headers and body are not an event.
#[derive(Debug, thiserror::Error)]
pub enum NotAnEvent {
    #[error("attribute {0} is missing")]
    Missing(&'static str),
    #[error("specversion is {0:?}, expected \"1.0\"")]
    Version(String),
    #[error("time is not an RFC 3339 instant: {0:?}")]
    Time(String),
    #[error("data is not JSON")]
    Data(#[source] serde_json::Error),
}

impl Envelope {
    /// Wraps a payload. `source` is the service's prefix.
    ///
    /// # Errors
    /// When the payload cannot be JSON.
    pub fn wrap<E: EventPayload>(
        id: Uuid,
        source: &str,
        time: Timestamp,
        payload: &E,
        trace: Trace,
    ) -> Result<Self, serde_json::Error> {
        Ok(Self {
            id: id.to_string(),
            source: source.to_owned(),
            kind: E::TYPE.to_owned(),
            time,
            subject: payload.subject(),
            trace,
            data: serde_json::value::to_raw_value(payload)?,
        })
    }

    /// Reads the payload.
    ///
    /// # Errors
    /// When the data is not of that shape.
    pub fn payload<E: EventPayload>(&self) -> Result<E, serde_json::Error> {
        serde_json::from_str(self.data.get())
    }

    /// Attributes as message headers (CloudEvents AMQP binding, `cloudEvents_` prefix, on AMQP 0-9-1's header table).
    #[must_use]
    pub fn headers(&self) -> BTreeMap<&'static str, String> {
        let mut headers = BTreeMap::from([
            ("cloudEvents_specversion", "1.0".to_owned()),
            ("cloudEvents_id", self.id.clone()),
            ("cloudEvents_source", self.source.clone()),
            ("cloudEvents_type", self.kind.clone()),
            ("cloudEvents_time", self.time.to_string()),
            ("cloudEvents_subject", self.subject.clone()),
            ("cloudEvents_partitionkey", self.subject.clone()),
        ]);
        let optional = [
            ("cloudEvents_traceparent", &self.trace.traceparent),
            ("cloudEvents_correlationid", &self.trace.correlation_id),
            ("cloudEvents_causationid", &self.trace.causation_id),
        ];
        headers.extend(optional.into_iter().filter_map(|(name, value)| Some((name, value.clone()?))));
        headers
    }

    /// Reads an event from message headers and body; unknown headers are ignored.
    ///
    /// # Errors
    /// When a required attribute is missing or wrong, or the body is not JSON.
    pub fn from_headers(headers: &BTreeMap<String, String>, body: &[u8]) -> Result<Self, NotAnEvent> {
        let get = |name: &str| headers.get(name).cloned();
        let need = |name: &'static str| get(name).ok_or(NotAnEvent::Missing(name));
        match need("cloudEvents_specversion")?.as_str() {
            "1.0" => {}
            other => return Err(NotAnEvent::Version(other.to_owned())),
        }
        let time = need("cloudEvents_time")?;
        Ok(Self {
            id: need("cloudEvents_id")?,
            source: need("cloudEvents_source")?,
            kind: need("cloudEvents_type")?,
            time: time.parse().map_err(|_| NotAnEvent::Time(time))?,
            subject: need("cloudEvents_subject")?,
            trace: Trace {
                traceparent: get("cloudEvents_traceparent"),
                correlation_id: get("cloudEvents_correlationid"),
                causation_id: get("cloudEvents_causationid"),
            },
            data: serde_json::from_slice(body).map_err(NotAnEvent::Data)?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_event_survives_its_headers() {
        let event = Envelope {
            id: "0192".into(),
            source: "/supply".into(),
            kind: "steward.stock.ran_low.v1".into(),
            time: "2026-11-23T08:00:00Z".parse().unwrap(),
            subject: "SKU-1@store-1".into(),
            trace: Trace { correlation_id: Some("c".into()), ..Trace::default() },
            data: serde_json::value::to_raw_value(&serde_json::json!({"a": 1})).unwrap(),
        };
        let mut headers: BTreeMap<String, String> =
            event.headers().into_iter().map(|(k, v)| (k.to_owned(), v)).collect();
        headers.insert("x-something".into(), "else".into());
        let body = event.data.get().as_bytes();
        let back = Envelope::from_headers(&headers, body).unwrap();
        assert_eq!(serde_json::to_value(&back).unwrap(), serde_json::to_value(&event).unwrap());
        headers.remove("cloudEvents_id");
        assert!(matches!(Envelope::from_headers(&headers, body), Err(NotAnEvent::Missing("cloudEvents_id"))));
        assert_eq!(routing_key(&event.kind), "stock.ran_low.v1");
    }
}
