//! A lint that cannot fail is a defect: each rule finds what it is for in a file that was made wrong.

use serde_json::{Value, json};

use super::{findings, model::Shipment};

/// File, JSON pointer below the node of that name (or below the file when the name is empty), new value, and a part of
/// the finding that must appear. `Value::Null` removes the field.
type Case = (&'static str, &'static str, &'static str, Value, &'static str);

const TRIAGE: &str = "low-stock-triage.json";
const APPROVE: &str = "approve-and-wait.json";
const ERRORS: &str = "error-handler.json";
const ALLOCATION: &str = "constrained-allocation.json";

fn set(target: &mut Value, pointer: &str, value: Value) {
    let (parent, key) = pointer.rsplit_once('/').expect("a pointer has a slash");
    let parent = target.pointer_mut(parent).unwrap_or_else(|| panic!("nothing at {parent}"));
    match (parent, value) {
        (Value::Object(fields), Value::Null) => drop(fields.remove(key)),
        (Value::Object(fields), value) => drop(fields.insert(key.to_owned(), value)),
        (Value::Array(items), value) => items[key.parse::<usize>().expect("an index")] = value,
        (other, _) => panic!("{pointer} leads into {other}"),
    }
}

fn doctored(case: &Case) -> Shipment {
    let (file, node, pointer, value, _) = case;
    let mut shipment = Shipment::read(&crate::root());
    let json = &mut shipment.workflows.get_mut(*file).expect("the file").json;
    let target = match *node {
        "" => json,
        name => {
            let nodes = json["nodes"].as_array_mut().expect("nodes");
            nodes.iter_mut().find(|one| one["name"] == name).unwrap_or_else(|| panic!("no node {name}"))
        }
    };
    set(target, pointer, value.clone());
    shipment
}

fn assert_found(cases: &[Case]) {
    for case in cases {
        let (file, node, pointer, value, expected) = case;
        let found = findings(&doctored(case));
        let hit = found.iter().any(|finding| finding.starts_with(file) && finding.contains(expected));
        assert!(hit, "{file}, {node:?}, {pointer} = {value}: no finding says {expected:?}, but: {found:#?}");
    }
}

/// The first header of a node is Correlation-Id, the second Idempotency-Key, the third Prefer.
const CORRELATION: &str = "/parameters/headerParameters/parameters/0/value";
const KEY: &str = "/parameters/headerParameters/parameters/1/value";

#[test]
fn noise_and_identity_of_files() {
    assert_found(&[
        (TRIAGE, "", "/versionId", json!("1"), "noise \"versionId\""),
        (TRIAGE, "", "/active", json!(true), "active"),
        (TRIAGE, "", "/pinData", json!({"Facts": []}), "pinned"),
        (TRIAGE, "", "/settings/executionOrder", json!("v0"), "executionOrder"),
        (TRIAGE, "", "/id", json!("stwErrors0000001"), "another file has the id"),
        (ERRORS, "", "/id", Value::Null, "has no id"),
    ]);
}

#[test]
fn nodes_and_connections() {
    assert_found(&[
        (TRIAGE, "Score", "/id", json!("lst-facts"), "another node has the id"),
        (TRIAGE, "Score", "/id", Value::Null, "has no id"),
        (TRIAGE, "Purchase?", "/name", json!("Score"), "two nodes are called"),
        (TRIAGE, "Score", "/typeVersion", json!(4.2), "httpRequest 4.2 is not in the list"),
        (TRIAGE, "Score", "/type", json!("n8n-nodes-base.rabbitmq"), "is not in the list"),
        (TRIAGE, "", "/connections/Facts/main/0/0/node", json!("Scorn"), "no node is called \"Scorn\""),
        (TRIAGE, "", "/connections/Facts", Value::Null, "nothing leads to \"Score\""),
    ]);
}

#[test]
fn doors_and_credentials() {
    assert_found(&[
        (TRIAGE, "Low stock", "/parameters/authentication", json!("none"), "authentication is not headerAuth"),
        (
            APPROVE,
            "Wait for the decision",
            "/parameters/incomingAuthentication",
            json!("none"),
            "incomingAuthentication",
        ),
        (APPROVE, "Wait for the decision", "/webhookId", Value::Null, "no webhookId"),
        (TRIAGE, "Score", "/credentials/httpHeaderAuth/name", json!("Mine"), "not in credentials.example.json"),
        (TRIAGE, "Score", "/credentials", Value::Null, "does not authenticate"),
        (TRIAGE, "Score", "/parameters/authentication", json!("none"), "does not authenticate"),
    ]);
    let mut twins = Shipment::read(&crate::root());
    let mut twin = twins.workflows[TRIAGE].clone();
    twin.json["id"] = json!("stwLowStock00002");
    twins.workflows.insert("twin.json".to_owned(), twin);
    assert!(findings(&twins).iter().any(|finding| finding.contains("another webhook has the path")));
}

#[test]
fn error_handlers_and_sub_workflows() {
    assert_found(&[
        (TRIAGE, "", "/settings/errorWorkflow", Value::Null, "is no error handler of ours"),
        (TRIAGE, "", "/settings/errorWorkflow", json!("stwApprove000001"), "is no error handler of ours"),
        (ERRORS, "", "/settings/errorWorkflow", json!("stwErrors0000001"), "an error handler has an error handler"),
        (TRIAGE, "Ask for approval", "/parameters/workflowId/value", json!("gone"), "no workflow of ours"),
        (
            TRIAGE,
            "Ask for approval",
            "/parameters/workflowInputs/value/title",
            Value::Null,
            "but stwApprove000001 takes",
        ),
    ]);
}

#[test]
fn expressions() {
    let send = |body: &str| json!(format!("={{{{ JSON.stringify({{ {body} }}) }}}}"));
    assert_found(&[
        (TRIAGE, "Score", KEY, json!("={{ $env.KEY }}"), "reads $env"),
        (TRIAGE, "Score", KEY, json!("={{ $vars.KEY }}"), "reads $vars"),
        (TRIAGE, "Score", KEY, json!("={{ $('Facts').item.json.donors?.[0] }}"), "has `?.[`"),
        (TRIAGE, "Score", KEY, json!("={{ $('Lost stock').item.json.id }}"), "which is no node"),
        (TRIAGE, "Score", KEY, json!("={{ $('Low stock').item.json.body.ident }}"), "of a push"),
        (
            TRIAGE,
            "Score",
            "/parameters/jsonBody",
            send("facts: $('Facts').item.json.fakts"),
            "reads \"fakts\" of Facts",
        ),
        (
            TRIAGE,
            "Urgent?",
            "/parameters/conditions/conditions/0/leftValue",
            json!("={{ $json.points }}"),
            "reads \"points\"",
        ),
        (
            TRIAGE,
            "Approved?",
            "/parameters/conditions/conditions/0/leftValue",
            json!("={{ $json.grunt }}"),
            "reads \"grunt\"",
        ),
        (
            TRIAGE,
            "Drafted?",
            "/parameters/conditions/conditions/0/leftValue",
            json!("={{ $json.stat }}"),
            "reads \"stat\"",
        ),
        (ALLOCATION, "Ask for approval", KEY, json!("={{ $json.lanes }}"), "reads \"lanes\" of what comes in"),
        (TRIAGE, "Transfer refused", "/parameters/jsonBody", send("details: $json.error"), "reads \"error\" of $json"),
        (TRIAGE, "Transfer refused", "/parameters/jsonBody", send("details: $json"), "reads \"all\" of $json"),
    ]);
}

#[test]
fn calls() {
    let base = "={{ $('Config').item.json.config.base_url }}";
    assert_found(&[
        (TRIAGE, "Score", "/parameters/options/timeout", Value::Null, "options.timeout"),
        (TRIAGE, "Score", "/parameters/options/timeout", json!(60_000), "options.timeout"),
        (TRIAGE, "Score", "/retryOnFail", json!(false), "retryOnFail"),
        (TRIAGE, "Score", "/maxTries", json!(9), "retryOnFail"),
        (TRIAGE, "Score", CORRELATION, json!("fixed"), "no Correlation-Id"),
        (TRIAGE, "Score", KEY, json!("fixed"), "no Idempotency-Key"),
        (TRIAGE, "Score", KEY, json!("={{ $execution.id }}:score"), "depends on $execution"),
        (TRIAGE, "Tell procurement", KEY, json!("={{ $('Low stock').item.json.body.id }}:score"), "too"),
        (
            TRIAGE,
            "Score",
            "/parameters/headerParameters/parameters/1/name",
            json!("X"),
            "lacks the header Idempotency-Key",
        ),
        (TRIAGE, "Score", "/parameters/url", json!("http://localhost/scoring"), "does not begin with the base URL"),
        (
            TRIAGE,
            "Score",
            "/parameters/url",
            json!(format!("{base}/scoring/v1/score")),
            "no document in openapi/ has POST",
        ),
        (TRIAGE, "Facts", "/parameters/method", json!("PUT"), "has no PUT"),
        (
            TRIAGE,
            "Score",
            "/parameters/jsonBody",
            json!("={{ JSON.stringify({ facts: 1, fact: 2 }) }}"),
            "sends \"fact\"",
        ),
        (
            TRIAGE,
            "Score",
            "/parameters/jsonBody",
            json!("={{ JSON.stringify({ options: {} }) }}"),
            "does not send \"facts\"",
        ),
        (TRIAGE, "Score", "/parameters/jsonBody", json!("={{ $json }}"), "not of the form"),
        (TRIAGE, "Score", "/parameters/sendBody", json!(false), "sends no body"),
    ]);
}

/// What carries an error on is an error branch too, and a Set node that keeps other fields keeps the credential.
#[test]
fn error_branches_behind_nodes_that_pass_items_on() {
    let mut shipment = Shipment::read(&crate::root());
    let json = &mut shipment.workflows.get_mut(TRIAGE).expect("the file").json;
    let nodes = json["nodes"].as_array_mut().expect("nodes");
    nodes.extend([
        json!({"id": "x1", "name": "Which?", "type": "n8n-nodes-base.if", "typeVersion": 2.2, "parameters": {}}),
        json!({"id": "x2", "name": "Keep", "type": "n8n-nodes-base.set", "typeVersion": 3.4,
            "parameters": {"includeOtherFields": true}}),
    ]);
    json["connections"]["Draft transfer"]["main"][1] = json!([{"node": "Which?", "type": "main", "index": 0}]);
    json["connections"]["Which?"] = json!({"main": [[{"node": "Keep", "type": "main", "index": 0}]]});
    let found = findings(&shipment);
    let expected = "low-stock-triage.json: Keep: on an error branch it passes on the whole item";
    assert!(found.iter().any(|finding| finding == expected), "{found:#?}");
}
