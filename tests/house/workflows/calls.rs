//! Rules about HTTP calls: what the OpenAPI documents promise is what the workflows ask for.

use std::collections::BTreeSet;

use serde_json::Value;

use super::{
    expression, flow,
    model::{Node, Shipment, Workflow},
};

/// n8n's own limits (it clamps silently): at most 5 tries, at most 5 s between them.
const MOST_TRIES: u64 = 5;
const LONGEST_PAUSE_MS: u64 = 5000;
/// Longer than the longest `Prefer: wait` that a workflow may ask for, shorter than what a person would sit through.
const LONGEST_TIMEOUT_MS: u64 = 20_000;
/// Different at each run or each retry, so a key made of it protects nothing.
const CHANGING: [&str; 6] = ["$execution", "$now", "$today", "$runIndex", "Date", "random"];

/// An operation of a document.
struct Operation<'a> {
    document: &'a Value,
    json: &'a Value,
    parameters: Vec<&'a Value>,
}

/// The path of a URL expression, each `{{ ... }}` in it as `{}`; `None` when it does not begin with the base URL.
fn path_of(url: &str) -> Option<String> {
    let rest = url.strip_prefix("={{")?;
    let (base, mut rest) = rest.split_once("}}")?;
    base.trim().ends_with("base_url").then_some(())?;
    let mut path = String::new();
    while let Some((literal, after)) = rest.split_once("{{") {
        path.push_str(literal);
        path.push_str("{}");
        rest = after.split_once("}}")?.1;
    }
    path.push_str(rest);
    Some(path)
}

/// Whether a path of a document (`/a/{id}`) is the one called (`/a/{}`).
fn is_path(template: &str, called: &str) -> bool {
    let parts = |path: &str| path.split('/').map(str::to_owned).collect::<Vec<_>>();
    let (template, called) = (parts(template), parts(called));
    let same = |(a, b): (&String, &String)| if a.starts_with('{') { b == "{}" } else { a == b };
    template.len() == called.len() && template.iter().zip(&called).all(same)
}

fn operation<'a>(shipment: &'a Shipment, node: Node<'_>) -> Result<Operation<'a>, String> {
    let url = node.parameter("url");
    let called = path_of(url).ok_or_else(|| format!("its URL {url:?} does not begin with the base URL of Config"))?;
    let method = node.parameters()["method"].as_str().unwrap_or("GET").to_lowercase();
    for document in shipment.documents.values() {
        let mut paths = document["paths"].as_object().into_iter().flatten();
        let Some((template, item)) = paths.find(|(template, _)| is_path(template, &called)) else { continue };
        let json = item.get(&method).ok_or_else(|| format!("{template} has no {}", method.to_uppercase()))?;
        let shared = item["parameters"].as_array().into_iter().flatten();
        let parameters = shared.chain(json["parameters"].as_array().into_iter().flatten()).collect();
        return Ok(Operation { document, json, parameters });
    }
    Err(format!("no document in openapi/ has {} {called}", method.to_uppercase()))
}

/// The top-level fields of every success body of the operation that a node calls.
pub(super) fn response_fields(shipment: &Shipment, node: Node<'_>) -> BTreeSet<String> {
    let Ok(operation) = operation(shipment, node) else { return BTreeSet::new() };
    let responses = operation.json["responses"].as_object().into_iter().flatten();
    let good = responses.filter(|(status, _)| status.starts_with('2'));
    let schemas = good.map(|(_, response)| &response["content"]["application/json"]["schema"]);
    schemas.flat_map(|schema| flow::properties(operation.document, schema)).collect()
}

/// The fields of the elements of a list in those bodies.
pub(super) fn element_fields(shipment: &Shipment, node: Node<'_>, list: &str) -> BTreeSet<String> {
    let Ok(operation) = operation(shipment, node) else { return BTreeSet::new() };
    let schema = &operation.json["responses"]["200"]["content"]["application/json"]["schema"];
    flow::element_properties(operation.document, schema, list)
}

pub(super) fn calls_fit_the_documents(shipment: &Shipment) -> Vec<String> {
    let mut found = shipment.each_node(|workflow, node| {
        if node.kind() != "httpRequest" {
            return Vec::new();
        }
        let mut found = patience(node);
        found.extend(identity(workflow, node));
        match operation(shipment, node) {
            Ok(operation) => found.extend(agreement(node, &operation)),
            Err(finding) => found.push(finding),
        }
        found
    });
    for (file, workflow) in &shipment.workflows {
        let mut seen = BTreeSet::new();
        let keys = workflow.nodes().filter_map(|node| Some((node.name(), node.header("Idempotency-Key")?)));
        let twice = keys.filter(|(_, key)| !seen.insert(*key));
        found.extend(
            twice.map(|(name, key)| format!("{file}: {name}: another node has the Idempotency-Key {key:?} too")),
        );
    }
    found
}

/// A call ends, and a short outage is bridged; a longer one is for the error workflow.
fn patience(node: Node<'_>) -> Vec<String> {
    let timeout = node.parameters()["options"]["timeout"].as_u64().unwrap_or(u64::MAX);
    let tries = node.0["maxTries"].as_u64().unwrap_or_default();
    let pause = node.0["waitBetweenTries"].as_u64().unwrap_or_default();
    let retries = node.0["retryOnFail"] == true
        && (2..=MOST_TRIES).contains(&tries)
        && (1000..=LONGEST_PAUSE_MS).contains(&pause);
    let rules = [
        (timeout > LONGEST_TIMEOUT_MS, format!("options.timeout is not set or above {LONGEST_TIMEOUT_MS} ms")),
        (!retries, "retryOnFail with maxTries 2 to 5 and waitBetweenTries 1000 to 5000 ms is not set".to_owned()),
    ];
    rules.into_iter().filter(|(bad, _)| *bad).map(|(_, finding)| finding).collect()
}

/// Who calls, in which business thread, and as which one of all its calls.
fn identity(workflow: &Workflow, node: Node<'_>) -> Vec<String> {
    let mut found = Vec::new();
    let authenticated = node.parameter("authentication") == "genericCredentialType"
        && node.parameter("genericAuthType") == "httpHeaderAuth"
        && !node.0["credentials"]["httpHeaderAuth"].is_null();
    if !authenticated {
        found.push("does not authenticate with a header credential".to_owned());
    }
    if node.header("Correlation-Id").is_none_or(|value| !value.contains("{{")) {
        found.push("has no Correlation-Id of the case".to_owned());
    }
    if node.parameter("method") == "POST" {
        let key = node.header("Idempotency-Key").unwrap_or_default();
        // A failed execution is itself the business event of the error handler.
        let own_event = workflow.trigger().is_some_and(|trigger| trigger.kind() == "errorTrigger");
        let changing = CHANGING.iter().find(|word| key.contains(**word));
        match changing {
            _ if !key.contains("{{") => found.push("has no Idempotency-Key made from the business event".to_owned()),
            Some(word) if !own_event => found.push(format!("its Idempotency-Key depends on {word}")),
            _ => {}
        }
    }
    found
}

/// Headers and body are those that the document asks for.
fn agreement(node: Node<'_>, operation: &Operation<'_>) -> Vec<String> {
    let required = operation.parameters.iter().filter(|one| one["in"] == "header" && one["required"] == true);
    let names = required.filter_map(|one| one["name"].as_str());
    let missing = names.filter(|name| node.header(name).is_none());
    let mut found: Vec<String> =
        missing.map(|name| format!("lacks the header {name}, which the document requires")).collect();
    let schema = &operation.json["requestBody"]["content"]["application/json"]["schema"];
    if node.parameters()["sendBody"] != true {
        found.extend((!schema.is_null()).then(|| "sends no body, though the document has one".to_owned()));
        return found;
    }
    match expression::literal_keys(node.parameter("jsonBody")) {
        Err(finding) => found.push(finding),
        Ok(keys) => {
            let known = flow::properties(operation.document, schema);
            let unknown = keys.iter().filter(|key| !known.contains(*key));
            found.extend(unknown.map(|key| format!("sends {key:?}, which the document does not have: {known:?}")));
            let needed = required_fields(operation.document, schema);
            let missing = needed.iter().filter(|field| !keys.contains(field));
            found.extend(missing.map(|field| format!("does not send {field:?}, which the document requires")));
        }
    }
    found
}

fn required_fields(document: &Value, schema: &Value) -> Vec<String> {
    let referred = schema["$ref"].as_str().and_then(|at| document.pointer(at.trim_start_matches('#')));
    let schema = referred.unwrap_or(schema);
    schema["required"].as_array().into_iter().flatten().filter_map(|name| name.as_str().map(str::to_owned)).collect()
}

#[test]
fn urls_become_paths() {
    let url = "={{ $('Config').item.json.config.base_url }}/supply/v1/facts/{{ $json.product }}/{{ $json.location }}";
    assert_eq!(path_of(url).as_deref(), Some("/supply/v1/facts/{}/{}"));
    assert_eq!(path_of("http://127.0.0.1:8080/supply/v1/facts"), None);
    assert!(is_path("/supply/v1/facts/{product}/{location}", "/supply/v1/facts/{}/{}"));
    assert!(!is_path("/supply/v1/facts/batch", "/supply/v1/facts/{}"));
}
