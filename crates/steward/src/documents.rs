//! The documents in `openapi/`: one OpenAPI 3.1 file per service, one AsyncAPI 3 file for the bus. Generated from the
//! types that serve them; the files are checked in, and a test fails when they differ from this.

use std::collections::BTreeMap;

use chassis::{Service, host};
use contracts::{catalogue, envelope::routing_key, events::CatalogueEntry};
use serde_json::{Map, Value, json};

/// File name and text of every generated document.
///
/// # Errors
/// When a document cannot be written as text.
pub fn all(services: &[Service]) -> anyhow::Result<BTreeMap<String, String>> {
    let mut files = BTreeMap::new();
    for service in services {
        let text = host::openapi(service).to_pretty_json()?;
        files.insert(format!("{}.v1.json", service.name()), text + "\n");
    }
    files.insert("events.v1.yaml".to_owned(), serde_saphyr::to_string(&asyncapi(services))?);
    Ok(files)
}

fn asyncapi(services: &[Service]) -> Value {
    let events = catalogue();
    let mut schemas = Map::new();
    for event in &events {
        schemas.insert(event.schema_name.clone(), to_value(&event.schema));
        schemas.extend(event.references.iter().map(|(name, schema)| (name.clone(), to_value(schema))));
    }
    let channels: Map<String, Value> = events.iter().map(|event| (event.schema_name.clone(), channel(event))).collect();
    let messages: Map<String, Value> = events.iter().map(|event| (event.schema_name.clone(), message(event))).collect();
    json!({
        "asyncapi": "3.0.0",
        "info": {
            "title": "Steward: events",
            "version": env!("CARGO_PKG_VERSION"),
            "description": "CloudEvents 1.0 in binary mode on the topic exchange `steward.events`. The routing key is \
                the type without its first word. Messages are persistent; a consumer may see one twice and in order of \
                each subject. Consumers ignore unknown fields."
        },
        "defaultContentType": "application/json",
        "servers": {"rabbitmq": {"host": "rabbitmq:5672", "protocol": "amqp"}},
        "channels": channels,
        "operations": operations(services, &events),
        "components": {
            "messages": messages,
            "schemas": schemas,
            "messageTraits": {"cloudEvent": {"headers": headers()}}
        }
    })
}

fn channel(event: &CatalogueEntry) -> Value {
    json!({
        "address": routing_key(event.kind),
        "messages": {&event.schema_name: {"$ref": format!("#/components/messages/{}", event.schema_name)}},
        "bindings": {"amqp": {"is": "routingKey", "exchange": {"name": "steward.events", "type": "topic", "durable": true}}}
    })
}

fn message(event: &CatalogueEntry) -> Value {
    json!({
        "name": event.kind,
        "summary": event.summary,
        "contentType": "application/json",
        "payload": {"$ref": format!("#/components/schemas/{}", event.schema_name)},
        "traits": [{"$ref": "#/components/messageTraits/cloudEvent"}]
    })
}

/// Who sends and who receives. The chassis of every service sends the platform's own event.
fn operations(services: &[Service], events: &[CatalogueEntry]) -> Map<String, Value> {
    let mut operations = Map::new();
    for service in services {
        let source = format!("/{}", service.name());
        for event in events {
            let channel = json!({"$ref": format!("#/channels/{}", event.schema_name)});
            let name = |verb: &str| format!("{}.{verb}.{}", service.name(), event.schema_name);
            if event.source == source || event.source == "/platform" {
                operations.insert(name("send"), json!({"action": "send", "channel": channel}));
            }
            if service.consumes(event.kind) {
                operations.insert(name("receive"), json!({"action": "receive", "channel": channel}));
            }
        }
    }
    operations
}

fn headers() -> Value {
    let text = |about: &str| json!({"type": "string", "description": about});
    json!({
        "type": "object",
        "required": ["cloudEvents_specversion", "cloudEvents_id", "cloudEvents_source", "cloudEvents_type",
            "cloudEvents_time", "cloudEvents_subject"],
        "properties": {
            "cloudEvents_specversion": {"const": "1.0"},
            "cloudEvents_id": text("Also the AMQP message-id; a repeat of an event has the same."),
            "cloudEvents_source": text("Prefix of the publishing service."),
            "cloudEvents_type": text("steward.<thing>.<past tense>.v<n>"),
            "cloudEvents_time": text("RFC 3339, when it was written to the outbox."),
            "cloudEvents_subject": text("What it is about; events of one subject keep their order."),
            "cloudEvents_partitionkey": text("The subject."),
            "cloudEvents_traceparent": text("W3C trace context of the cause."),
            "cloudEvents_correlationid": text("Shared by all events of one business case."),
            "cloudEvents_causationid": text("Id of the event or effect that caused this one.")
        }
    })
}

fn to_value(schema: &impl serde::Serialize) -> Value {
    serde_json::to_value(schema).unwrap_or(Value::Null)
}
