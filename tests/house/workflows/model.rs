//! What is linted: the workflows, the credentials they name, and the OpenAPI documents they call.

use std::{collections::BTreeMap, fs, path::Path};

use serde_json::Value;

/// All that is shipped for n8n.
#[derive(Clone)]
pub(super) struct Shipment {
    /// By file name.
    pub(super) workflows: BTreeMap<String, Workflow>,
    /// Contents of `credentials.example.json`.
    pub(super) credentials: Value,
    /// OpenAPI documents by service prefix.
    pub(super) documents: BTreeMap<String, Value>,
}

#[derive(Clone)]
pub(super) struct Workflow {
    pub(super) json: Value,
}

/// One node, with the accessors that the rules share.
#[derive(Clone, Copy)]
pub(super) struct Node<'a>(pub(super) &'a Value);

fn json_files(folder: &Path) -> BTreeMap<String, Value> {
    let entries = fs::read_dir(folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
    let files = entries.flatten().filter(|entry| entry.path().extension().is_some_and(|end| end == "json"));
    let read = |path: &Path| {
        let text = fs::read_to_string(path).unwrap_or_default();
        serde_json::from_str(&text).unwrap_or_else(|error| panic!("{} is not JSON: {error}", path.display()))
    };
    files.map(|entry| (entry.file_name().to_string_lossy().into_owned(), read(&entry.path()))).collect()
}

impl Shipment {
    pub(super) fn read(root: &Path) -> Self {
        let mut files = json_files(&root.join("n8n-workflows"));
        let credentials = files.remove("credentials.example.json").expect("n8n-workflows/credentials.example.json");
        let workflows = files.into_iter().map(|(name, json)| (name, Workflow { json })).collect();
        let documents = json_files(&root.join("openapi"));
        let documents = documents.into_iter().map(|(name, json)| (name.trim_end_matches(".v1.json").to_owned(), json));
        Self { workflows, credentials, documents: documents.collect() }
    }

    /// The workflow with that id, wherever its file is.
    pub(super) fn by_id(&self, id: &str) -> Option<&Workflow> {
        self.workflows.values().find(|workflow| workflow.id() == id)
    }

    /// Applies `rule` to every node; a finding is prefixed with file and node.
    pub(super) fn each_node(&self, rule: impl Fn(&Workflow, Node<'_>) -> Vec<String>) -> Vec<String> {
        let of = |(file, workflow): (&String, &Workflow)| {
            let findings = workflow.nodes().flat_map(|node| {
                let place = format!("{file}: {}: ", node.name());
                rule(workflow, node).into_iter().map(move |finding| format!("{place}{finding}"))
            });
            findings.collect::<Vec<_>>()
        };
        self.workflows.iter().flat_map(of).collect()
    }
}

impl Workflow {
    pub(super) fn id(&self) -> &str {
        self.json["id"].as_str().unwrap_or_default()
    }

    pub(super) fn nodes(&self) -> impl Iterator<Item = Node<'_>> {
        self.json["nodes"].as_array().into_iter().flatten().map(Node)
    }

    pub(super) fn node(&self, name: &str) -> Option<Node<'_>> {
        self.nodes().find(|node| node.name() == name)
    }

    pub(super) fn trigger(&self) -> Option<Node<'_>> {
        self.nodes().find(|node| matches!(node.kind(), "webhook" | "executeWorkflowTrigger" | "errorTrigger"))
    }

    /// `(from, output, to)` of every connection.
    pub(super) fn connections(&self) -> Vec<(&str, usize, &str)> {
        let sources = self.json["connections"].as_object().into_iter().flatten();
        sources
            .flat_map(|(from, kinds)| {
                let outputs = kinds["main"].as_array().into_iter().flatten().enumerate();
                outputs.flat_map(move |(index, ends)| {
                    let ends = ends.as_array().into_iter().flatten();
                    ends.map(move |end| (from.as_str(), index, end["node"].as_str().unwrap_or_default()))
                })
            })
            .collect()
    }

    /// The nodes that feed `name`, each with the output that does.
    pub(super) fn feeding(&self, name: &str) -> Vec<(Node<'_>, usize)> {
        let into = self.connections().into_iter().filter(|(_, _, to)| *to == name);
        into.filter_map(|(from, output, _)| Some((self.node(from)?, output))).collect()
    }
}

impl<'a> Node<'a> {
    pub(super) fn name(self) -> &'a str {
        self.0["name"].as_str().unwrap_or_default()
    }

    /// The type without n8n's package name.
    pub(super) fn kind(self) -> &'a str {
        let kind = self.0["type"].as_str().unwrap_or_default();
        kind.strip_prefix("n8n-nodes-base.").unwrap_or(kind)
    }

    pub(super) fn parameters(self) -> &'a Value {
        &self.0["parameters"]
    }

    pub(super) fn parameter(self, name: &str) -> &'a str {
        self.parameters()[name].as_str().unwrap_or_default()
    }

    /// The value of a request header, by name in any case.
    pub(super) fn header(self, name: &str) -> Option<&'a str> {
        let headers = self.parameters()["headerParameters"]["parameters"].as_array()?;
        let wanted = headers.iter().find(|one| one["name"].as_str().is_some_and(|own| own.eq_ignore_ascii_case(name)));
        wanted?["value"].as_str()
    }

    /// Every text in its parameters: that is where expressions are.
    pub(super) fn texts(self) -> Vec<&'a str> {
        let (mut texts, mut left) = (Vec::new(), vec![self.parameters()]);
        while let Some(value) = left.pop() {
            match value {
                Value::String(text) => texts.push(text.as_str()),
                Value::Array(items) => left.extend(items),
                Value::Object(fields) => left.extend(fields.values()),
                _ => {}
            }
        }
        texts
    }
}
