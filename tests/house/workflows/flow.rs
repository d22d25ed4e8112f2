//! Rules about what flows between nodes: every field that is read has been put there by somebody.

use std::collections::BTreeSet;

use serde_json::Value;

use super::{
    calls, expression,
    model::{Node, Shipment, Workflow},
};

type Fields = BTreeSet<String>;

/// The body of a push by notifier-svc (`POST /notify/v1/subscriptions`).
pub(super) const PUSH: [&str; 8] =
    ["type", "timestamp", "id", "subject", "correlation_id", "traceparent", "subscription", "data"];

fn names(fields: &[&str]) -> Fields {
    fields.iter().map(|&field| field.to_owned()).collect()
}

/// What is common to all ways into a node: only that may be relied on.
fn common(sets: impl Iterator<Item = Fields>) -> Fields {
    sets.reduce(|a, b| a.intersection(&b).cloned().collect()).unwrap_or_default()
}

/// The fields of the items that come into a node.
fn incoming(shipment: &Shipment, workflow: &Workflow, node: Node<'_>, seen: &mut Vec<String>) -> Fields {
    let mut sets = Vec::new();
    for (from, output) in workflow.feeding(node.name()) {
        if is_error_output(from, output) {
            sets.push(names(&["details"]));
        } else if !seen.iter().any(|name| name == from.name()) {
            // Round a loop there is nothing new to learn.
            sets.push(outgoing(shipment, workflow, from, seen));
        }
    }
    common(sets.into_iter())
}

/// The fields of the items that a node puts out when all goes well.
fn outgoing(shipment: &Shipment, workflow: &Workflow, node: Node<'_>, seen: &mut Vec<String>) -> Fields {
    seen.push(node.name().to_owned());
    let fields = match node.kind() {
        "webhook" => names(&["body", "headers", "params", "query"]),
        "wait" if node.parameter("resume") == "webhook" => names(&["body", "headers", "params", "query"]),
        "scheduleTrigger" => names(&["timestamp"]),
        "splitOut" => {
            let list = node.parameter("fieldToSplitOut");
            let sources = workflow.feeding(node.name()).into_iter();
            common(sources.map(|(from, _)| calls::element_fields(shipment, from, list)))
        }
        "errorTrigger" => names(&["execution", "workflow", "trigger"]),
        "executeWorkflowTrigger" => {
            let inputs = node.parameters()["workflowInputs"]["values"].as_array().into_iter().flatten();
            inputs.filter_map(|input| input["name"].as_str().map(str::to_owned)).collect()
        }
        "httpRequest" => calls::response_fields(shipment, node),
        "executeWorkflow" => results(shipment, node),
        "set" => {
            let mut own = assigned(node);
            if node.parameters()["includeOtherFields"] == true {
                own.extend(incoming(shipment, workflow, node, seen));
            }
            own
        }
        _ => incoming(shipment, workflow, node, seen),
    };
    seen.pop();
    fields
}

/// The first part of each name that a Set node assigns: `config.base_url` makes `config`.
fn assigned(node: Node<'_>) -> Fields {
    let assignments = node.parameters()["assignments"]["assignments"].as_array().into_iter().flatten();
    let names = assignments.filter_map(|one| one["name"].as_str());
    names.map(|name| name.split('.').next().unwrap_or(name).to_owned()).collect()
}

/// What a sub-workflow answers, at whichever of its ends.
fn results(shipment: &Shipment, node: Node<'_>) -> Fields {
    let target = node.parameters()["workflowId"]["value"].as_str().unwrap_or_default();
    let Some(target) = shipment.by_id(target) else { return Fields::new() };
    let connections = target.connections();
    let is_end =
        |node: &Node<'_>| node.kind() != "stickyNote" && !connections.iter().any(|(from, ..)| *from == node.name());
    let ends: Vec<Node<'_>> = target.nodes().filter(is_end).collect();
    common(ends.into_iter().map(|end| outgoing(shipment, target, end, &mut Vec::new())))
}

fn is_error_output(node: Node<'_>, output: usize) -> bool {
    output == 1 && node.0["onError"] == "continueErrorOutput"
}

pub(super) fn fields_read_exist(shipment: &Shipment) -> Vec<String> {
    let mut found = shipment.each_node(|workflow, node| {
        let reads = node.texts().into_iter().flat_map(expression::reads);
        let check = |read: expression::Read<'_>| {
            let fields = match read.node {
                None => incoming(shipment, workflow, node, &mut Vec::new()),
                Some(name) => match workflow.node(name) {
                    Some(source) => outgoing(shipment, workflow, source, &mut Vec::new()),
                    None => return Some(format!("reads of {name:?}, which is no node")),
                },
            };
            let field = read.field?;
            let of = read.node.unwrap_or("what comes in");
            (!fields.contains(field)).then(|| format!("reads {field:?} of {of}, which has {fields:?}"))
        };
        reads.filter_map(check).collect()
    });
    found.extend(shipment.each_node(|workflow, node| {
        let of_webhook = |name: &str| workflow.node(name).is_some_and(|source| source.kind() == "webhook");
        let bodies = node
            .texts()
            .into_iter()
            .flat_map(|text| text.match_indices(".item.json.body.").map(move |hit| (text, hit)));
        let check = |(text, (at, hit)): (&str, (usize, &str))| {
            let name = text[..at].rsplit_once("$('")?.1.strip_suffix("')")?;
            let rest = &text[at + hit.len()..];
            let field = &rest[..rest.find(|c: char| !(c.is_ascii_alphanumeric() || c == '_')).unwrap_or(rest.len())];
            (of_webhook(name) && !PUSH.contains(&field))
                .then(|| format!("reads {field:?} of a push, which has {PUSH:?}"))
        };
        bodies.filter_map(check).collect()
    }));
    found
}

/// On an error output `$json.error` holds the request with its Authorization header in clear text; `details` does not.
pub(super) fn error_branches_read_details_only(shipment: &Shipment) -> Vec<String> {
    shipment.each_node(|workflow, node| {
        if !carries_an_error(workflow, node, &mut Vec::new()) {
            return Vec::new();
        }
        let reads = node.texts().into_iter().flat_map(expression::reads);
        let bad = reads.filter(|read| read.node.is_none() && read.field != Some("details"));
        let mut found: Vec<String> =
            bad.map(|read| format!("on an error branch it reads {:?} of $json", read.field.unwrap_or("all"))).collect();
        if node.kind() == "set" && node.parameters()["includeOtherFields"] == true {
            found.push("on an error branch it passes on the whole item".to_owned());
        }
        found
    })
}

/// Whether a failed item reaches the node, directly or through nodes that only pass it on.
fn carries_an_error(workflow: &Workflow, node: Node<'_>, seen: &mut Vec<String>) -> bool {
    seen.push(node.name().to_owned());
    workflow.feeding(node.name()).into_iter().any(|(from, output)| {
        let passes_on = matches!(from.kind(), "if" | "switch" | "wait") && !seen.iter().any(|name| name == from.name());
        is_error_output(from, output) || (passes_on && carries_an_error(workflow, from, seen))
    })
}

/// n8n's expressions turn `a?.[b]` into nothing at all, without a word.
pub(super) fn nothing_is_indexed_optionally(shipment: &Shipment) -> Vec<String> {
    shipment.each_node(|_, node| {
        let hit = node.texts().iter().any(|text| text.contains("?.["));
        hit.then(|| "has `?.[`, which n8n evaluates to nothing; say (a ?? [])[b]".to_owned()).into_iter().collect()
    })
}

/// `$env` is blocked on a default n8n, and `$vars` is empty without a licence.
pub(super) fn nothing_reads_the_environment(shipment: &Shipment) -> Vec<String> {
    shipment.each_node(|_, node| {
        let banned = ["$env", "$vars", "$secrets"];
        let hits = banned.iter().filter(|word| node.texts().iter().any(|text| text.contains(*word)));
        hits.map(|word| format!("reads {word}, which a default n8n does not give; use the Config node")).collect()
    })
}

/// Properties of a schema, through references and alternatives.
pub(super) fn properties(document: &Value, schema: &Value) -> Fields {
    let parts = parts(document, schema).into_iter();
    parts.flat_map(|part| part["properties"].as_object().into_iter().flatten()).map(|(name, _)| name.clone()).collect()
}

/// Properties of the elements of a list that some alternative of the schema has.
pub(super) fn element_properties(document: &Value, schema: &Value, list: &str) -> Fields {
    let lists = parts(document, schema).into_iter().map(|part| &part["properties"][list]["items"]);
    lists.flat_map(|elements| properties(document, elements)).collect()
}

/// Everything that a schema says of an object itself, each part without the others.
fn parts<'a>(document: &'a Value, schema: &'a Value) -> Vec<&'a Value> {
    let (mut parts, mut left) = (Vec::new(), vec![schema]);
    while let Some(schema) = left.pop() {
        assert!(parts.len() < 1000, "the schema refers to itself at its top level");
        parts.push(schema);
        for word in ["allOf", "oneOf", "anyOf"] {
            left.extend(schema[word].as_array().into_iter().flatten());
        }
        left.extend(schema["$ref"].as_str().and_then(|at| document.pointer(at.trim_start_matches('#'))));
    }
    parts
}
