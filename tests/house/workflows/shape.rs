//! Rules about the shape of a workflow file.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use super::model::{Node, Shipment, Workflow};

/// Node types and versions that n8n 2.41.1 knows, by its `export:nodes`. A version that n8n does not know is imported
/// all the same and runs as something else.
const KNOWN_NODES: [(&str, &[f64]); 12] = [
    ("webhook", &[2.0, 2.1]),
    ("set", &[3.4, 3.5]),
    ("if", &[2.2, 2.3]),
    ("switch", &[3.2, 3.4]),
    // 4.2 and older have no `details` on the error output.
    ("httpRequest", &[4.5]),
    ("executeWorkflow", &[1.2, 1.4]),
    ("executeWorkflowTrigger", &[1.1, 1.2]),
    ("wait", &[1.1]),
    ("scheduleTrigger", &[1.2, 1.4]),
    ("splitOut", &[1.0]),
    ("errorTrigger", &[1.0]),
    ("stickyNote", &[1.0]),
];
/// What an exported workflow consists of. The rest (`versionId`, `shared`, `staticData`, ...) is of one installation.
const KEYS: [&str; 8] = ["id", "name", "active", "nodes", "connections", "settings", "pinData", "tags"];

/// The same findings for every file.
fn each_file(shipment: &Shipment, rule: impl Fn(&Workflow) -> Vec<String>) -> Vec<String> {
    let of = |(file, workflow): (&String, &Workflow)| {
        rule(workflow).into_iter().map(|finding| format!("{file}: {finding}")).collect::<Vec<_>>()
    };
    shipment.workflows.iter().flat_map(of).collect()
}

fn when(bad: bool, finding: impl Into<String>) -> Option<String> {
    bad.then(|| finding.into())
}

pub(super) fn files_carry_no_noise(shipment: &Shipment) -> Vec<String> {
    let mut seen = BTreeSet::new();
    let mut found = each_file(shipment, |workflow| {
        let json = &workflow.json;
        let keys = json.as_object().into_iter().flat_map(|fields| fields.keys());
        let noise = keys.filter(|key| !KEYS.contains(&key.as_str())).map(|key| format!("has the noise {key:?}"));
        let pinned = json["pinData"].as_object().is_some_and(|pins| !pins.is_empty());
        let rules = [
            when(json["active"] != json!(false), "is not \"active\": false; n8n decides that at publishing"),
            when(pinned, "has pinned data"),
            when(json["settings"]["executionOrder"] != "v1", "settings.executionOrder is not \"v1\""),
            when(workflow.id().is_empty(), "has no id, so each import would make another copy"),
        ];
        noise.chain(rules.into_iter().flatten()).collect()
    });
    let twice = shipment.workflows.iter().filter(|(_, workflow)| !seen.insert(workflow.id().to_owned()));
    found.extend(twice.map(|(file, workflow)| format!("{file}: another file has the id {} too", workflow.id())));
    found
}

pub(super) fn nodes_are_named_and_known(shipment: &Shipment) -> Vec<String> {
    let mut found = each_file(shipment, |workflow| {
        let (mut ids, mut names) = (BTreeSet::new(), BTreeSet::new());
        let check = |node: Node<'_>| {
            let id = node.0["id"].as_str().unwrap_or_default();
            let twice = [
                when(id.is_empty(), format!("{}: has no id", node.name())),
                when(!ids.insert(id.to_owned()), format!("{}: another node has the id {id:?} too", node.name())),
                when(!names.insert(node.name().to_owned()), format!("two nodes are called {:?}", node.name())),
            ];
            twice.into_iter().flatten().collect::<Vec<_>>()
        };
        workflow.nodes().flat_map(check).collect()
    });
    found.extend(shipment.each_node(|_, node| {
        let version = node.0["typeVersion"].as_f64().unwrap_or_default();
        let known = KNOWN_NODES.iter().find(|(kind, _)| *kind == node.kind());
        let known = known.is_some_and(|(_, versions)| versions.contains(&version));
        when(!known, format!("{} {version} is not in the list of known nodes", node.kind())).into_iter().collect()
    }));
    found
}

pub(super) fn connections_lead_somewhere(shipment: &Shipment) -> Vec<String> {
    each_file(shipment, |workflow| {
        let connections = workflow.connections();
        let ends = connections.iter().flat_map(|(from, _, to)| [*from, *to]);
        let loose = ends.filter(|end| workflow.node(end).is_none()).map(|end| format!("no node is called {end:?}"));
        let fed: BTreeSet<&str> = connections.iter().map(|(_, _, to)| *to).collect();
        let starts =
            |node: &Node<'_>| node.kind().ends_with("rigger") || matches!(node.kind(), "webhook" | "stickyNote");
        let alone = workflow.nodes().filter(|node| !starts(node) && !fed.contains(node.name()));
        loose.chain(alone.map(|node| format!("nothing leads to {:?}", node.name()))).collect()
    })
}

/// Whoever knows the address of a webhook or of a parked execution must still bring a secret.
pub(super) fn doors_are_locked(shipment: &Shipment) -> Vec<String> {
    let mut paths = BTreeSet::new();
    let mut found = shipment.each_node(|_, node| {
        let lock = match node.kind() {
            "webhook" => "authentication",
            "wait" if node.parameter("resume") == "webhook" => "incomingAuthentication",
            _ => return Vec::new(),
        };
        let open = node.parameter(lock) != "headerAuth" || node.0["credentials"]["httpHeaderAuth"].is_null();
        let nameless = node.0["webhookId"].as_str().is_none();
        let rules = [
            when(open, format!("{lock} is not headerAuth with a credential")),
            when(nameless, "has no webhookId, so its address changes with each import"),
        ];
        rules.into_iter().flatten().collect()
    });
    // n8n lets the second of two webhooks with one path shadow the first, without a word.
    for (file, workflow) in &shipment.workflows {
        let hooks = workflow.nodes().filter(|node| node.kind() == "webhook");
        for path in hooks.map(|node| node.parameter("path")) {
            found.extend(when(!paths.insert(path), format!("{file}: another webhook has the path {path:?} too")));
        }
    }
    found.extend(shipment.each_node(|_, node| {
        let of = |(kind, named): (&String, &Value)| {
            let mut shipped = shipment.credentials.as_array().into_iter().flatten();
            let known = shipped.any(|one| {
                one["id"] == named["id"] && one["name"] == named["name"] && one["type"].as_str() == Some(kind.as_str())
            });
            when(!known, format!("its credential {named} is not in credentials.example.json"))
        };
        node.0["credentials"].as_object().into_iter().flatten().filter_map(of).collect()
    }));
    found
}

pub(super) fn error_workflows_and_sub_workflows_exist(shipment: &Shipment) -> Vec<String> {
    let mut found = each_file(shipment, |workflow| {
        let handles_errors = workflow.trigger().is_some_and(|trigger| trigger.kind() == "errorTrigger");
        let handler = workflow.json["settings"]["errorWorkflow"].as_str();
        let exists = handler.and_then(|id| shipment.by_id(id)).and_then(Workflow::trigger);
        let exists = exists.is_some_and(|trigger| trigger.kind() == "errorTrigger");
        // An error handler that called itself would run for ever.
        let rules = [
            when(!handles_errors && !exists, format!("settings.errorWorkflow {handler:?} is no error handler of ours")),
            when(handles_errors && handler.is_some(), "an error handler has an error handler"),
        ];
        rules.into_iter().flatten().collect()
    });
    found.extend(shipment.each_node(|_, node| {
        if node.kind() != "executeWorkflow" {
            return Vec::new();
        }
        let target = node.parameters()["workflowId"]["value"].as_str().unwrap_or_default();
        let Some(trigger) = shipment.by_id(target).and_then(Workflow::trigger) else {
            return vec![format!("no workflow of ours has the id {target:?}")];
        };
        let declared = trigger.parameters()["workflowInputs"]["values"].as_array().into_iter().flatten();
        let declared: BTreeSet<&str> = declared.filter_map(|input| input["name"].as_str()).collect();
        let given = node.parameters()["workflowInputs"]["value"].as_object().into_iter().flatten();
        let given: BTreeSet<&str> = given.map(|(name, _)| name.as_str()).collect();
        when(declared != given, format!("gives {given:?}, but {target} takes {declared:?}")).into_iter().collect()
    }));
    found
}
