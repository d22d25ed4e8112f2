//! What the services wrote down about one thread of business.

use std::collections::BTreeSet;

use anyhow::Result;

use super::Api;

/// One audit entry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Leaf {
    pub service: &'static str,
    pub actor: String,
    pub verb: String,
    pub trace_id: Option<String>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Trail(pub Vec<Leaf>);

impl Trail {
    pub(super) async fn read(api: &Api, case: &str) -> Result<Self> {
        let mut leaves = Vec::new();
        for service in ["supply", "scoring", "approvals", "notify"] {
            let page = api.get(&format!("/{service}/v1/audit?limit=500&correlation_id={case}")).await?.success()?;
            for item in page["items"].as_array().into_iter().flatten() {
                let text = |field: &str| item[field].as_str().unwrap_or_default().to_owned();
                let trace_id = item["trace_id"].as_str().map(str::to_owned);
                leaves.push(Leaf { service, actor: text("actor"), verb: text("verb"), trace_id });
            }
        }
        Ok(Self(leaves))
    }

    /// How often a service wrote down that verb.
    pub fn count(&self, service: &str, verb: &str) -> usize {
        self.0.iter().filter(|leaf| leaf.service == service && leaf.verb == verb).count()
    }

    /// `service verb` of every entry without a trace id.
    pub fn untraced(&self) -> BTreeSet<String> {
        self.0
            .iter()
            .filter(|leaf| leaf.trace_id.is_none())
            .map(|leaf| format!("{} {}", leaf.service, leaf.verb))
            .collect()
    }
}
