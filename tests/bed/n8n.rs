//! n8n with the workflows of `n8n-workflows/`, changed only where a user would change them: the base URL
//! (and how long they wait, where a test has less patience).

use std::{fs, path::Path};

use anyhow::{Context as _, Result};
use serde_json::{Value, json};
use testkit::{N8n, N8nConfig};

use super::{Secrets, Twist};

/// Boots n8n behind the gateway, so that its resume URLs lead through it.
pub(super) async fn start(port: u16, gateway: &str, secrets: &Secrets, twist: &Twist) -> Result<N8n> {
    let env = vec![("N8N_WEBHOOK_URL".to_owned(), format!("{gateway}/"))];
    let config =
        N8nConfig { port: Some(port), workflows: workflows(gateway, twist)?, credentials: credentials(secrets)?, env };
    N8n::start(config).await
}

fn shipped(name: &str) -> Result<Value> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../n8n-workflows").join(name);
    let text = fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))?;
    Ok(serde_json::from_str(&text)?)
}

fn workflows(base_url: &str, twist: &Twist) -> Result<Vec<Value>> {
    const EVENTS: [&str; 3] = ["approve-and-wait.json", "low-stock-triage.json", "demand-watch.json"];
    // Both look after what is short: on one ground each would find the other's cases asked already.
    const ALLOCATION: [&str; 2] = ["constrained-allocation.json", "transfer-decided.json"];
    let files = if twist.allocation { &ALLOCATION[..] } else { &EVENTS[..] };
    let adapted = |file: &&str| {
        let workflow = with_minutes(with_base_url(shipped(file)?, base_url), twist.n8n_minutes);
        Ok(with_schedule(workflow, twist.watch_seconds))
    };
    ["error-handler.json"].iter().chain(files).map(adapted).collect()
}

/// Lets what runs by the clock run more often, and turn pages.
fn with_schedule(mut workflow: Value, seconds: Option<u32>) -> Value {
    let nodes = workflow["nodes"].as_array_mut().into_iter().flatten();
    for (node, seconds) in nodes.zip(seconds.into_iter().cycle()) {
        if node["type"] == "n8n-nodes-base.scheduleTrigger" {
            node["parameters"]["rule"] = json!({"interval": [{"field": "seconds", "secondsInterval": seconds}]});
        }
        let parameters = node["parameters"]["queryParameters"]["parameters"].as_array_mut().into_iter().flatten();
        // Only a node that turns pages: the others take one as long as it is.
        for limit in parameters.filter(|one| one["name"] == "limit" && one["value"] != "500") {
            limit["value"] = json!("5");
        }
    }
    workflow
}

/// Lets time pass faster for nodes that wait some minutes.
fn with_minutes(mut workflow: Value, unit: Option<&str>) -> Value {
    let nodes = workflow["nodes"].as_array_mut().into_iter().flatten();
    for (node, unit) in nodes.filter(|node| node["parameters"]["unit"] == "minutes").zip(unit.into_iter().cycle()) {
        node["parameters"]["unit"] = json!(unit);
    }
    workflow
}

/// Sets `config.base_url` in the Config node, if the workflow has one.
fn with_base_url(mut workflow: Value, base_url: &str) -> Value {
    let nodes = workflow["nodes"].as_array_mut().into_iter().flatten();
    for config in nodes.filter(|node| node["name"] == "Config") {
        let assignments = config["parameters"]["assignments"]["assignments"].as_array_mut().into_iter().flatten();
        for assignment in assignments.filter(|one| one["name"] == "config.base_url") {
            assignment["value"] = json!(base_url);
        }
    }
    workflow
}

fn credentials(secrets: &Secrets) -> Result<Vec<Value>> {
    let Value::Array(mut credentials) = shipped("credentials.example.json")? else {
        anyhow::bail!("credentials.example.json is not a list")
    };
    for credential in &mut credentials {
        let secret = match credential["name"].as_str() {
            Some("Steward API key") => format!("Bearer {}", secrets.n8n_key()),
            Some("Steward webhook") => secrets.webhook.clone(),
            Some("Steward resume") => secrets.callback.clone(),
            other => anyhow::bail!("nobody knows the secret of credential {other:?}"),
        };
        credential["data"]["value"] = json!(secret);
    }
    Ok(credentials)
}
