use anyhow::{Context as _, Result};
use serde_json::Value;

/// One run of a workflow, as `GET /api/v1/executions/{id}` of n8n tells it.
#[derive(Debug, Clone)]
pub struct Execution(pub Value);

impl Execution {
    pub fn id(&self) -> Result<String> {
        match &self.0["id"] {
            Value::String(id) => Ok(id.clone()),
            Value::Number(id) => Ok(id.to_string()),
            other => anyhow::bail!("/id of an execution is {other}"),
        }
    }

    /// `success`, `error`, `waiting`, `running`, `crashed` or `canceled`; empty if n8n named none.
    pub fn status(&self) -> &str {
        self.0["status"].as_str().unwrap_or_default()
    }

    /// Whether it will go no further by itself or by a callback.
    pub fn is_final(&self) -> bool {
        matches!(self.status(), "success" | "error" | "crashed" | "canceled")
    }

    /// The names of the nodes that ran, in no particular order. Needs the data of the execution.
    pub fn nodes(&self) -> Vec<&str> {
        let nodes = self.0["data"]["resultData"]["runData"].as_object();
        nodes.into_iter().flatten().map(|(name, _)| name.as_str()).collect()
    }

    pub fn ran(&self, node: &str) -> bool {
        self.nodes().contains(&node)
    }

    /// The JSON of the first item that a node put out in its last run, at its first output that has one.
    ///
    /// # Errors
    /// When the node did not run or put nothing out; the message names those that ran, and the error of the run.
    pub fn output(&self, node: &str) -> Result<&Value> {
        let run = self.0["data"]["resultData"]["runData"][node].as_array().and_then(|runs| runs.last());
        let outputs = run.and_then(|run| run["data"]["main"].as_array());
        let item = outputs.into_iter().flatten().find_map(|output| output.get(0)).map(|item| &item["json"]);
        item.with_context(|| format!("{node} put nothing out; ran: {:?}; error: {}", self.nodes(), self.error()))
    }

    /// The error that ended it, or null.
    pub fn error(&self) -> &Value {
        &self.0["data"]["resultData"]["error"]
    }
}
