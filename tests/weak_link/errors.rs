//! A workflow fails, and its error workflow tells Steward of it.

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use serde_json::Value;
use steward_e2e::bed::{Bed, Who};
use testkit::poll;

use crate::ground::{PACE, answers, case};

const TRIAGE: &str = "stwLowStock00001";
const HANDLER: &str = "stwErrors0000001";
const REPORT: &str = "/notify/v1/exceptions";
/// What one run of the reporting node tries; more means that the error workflow itself did not give up.
const TRIES_OF_A_NODE: usize = 5;

/// Times that this execution was reported, over all exceptions about failed workflows.
async fn reports(bed: &Bed, execution: &str) -> Result<Vec<Value>> {
    let api = bed.api(Who::Operator);
    let page = api.get(&format!("{REPORT}?limit=500")).await?.success()?;
    let mut found = Vec::new();
    for one in page["items"].as_array().into_iter().flatten().filter(|one| one["class"] == "workflow_failed") {
        let exception = api.get(&format!("{REPORT}/{}", one["id"].as_str().unwrap_or_default())).await?.success()?;
        let occurrences = exception["occurrences"].as_array().cloned().unwrap_or_default().into_iter();
        let ours = occurrences.filter(|one| one["details"]["execution_id"] == execution).count();
        found.extend(std::iter::repeat_n(exception, ours));
    }
    Ok(found)
}

/// The failed execution of an article that does not exist.
async fn failed(bed: &Bed) -> Result<String> {
    for execution in bed.n8n.executions(TRIAGE).await? {
        let id = execution.id()?;
        let run = bed.n8n.execution(&id, true).await?;
        if run.status() == "error" && run.0.to_string().contains("NOWHERE") {
            return Ok(id);
        }
    }
    anyhow::bail!("no execution has failed yet")
}

#[test]
fn a_failed_execution_is_told_once_and_without_secrets_although_steward_was_away() -> Result<()> {
    case(async |bed| {
        bed.gateway.fail(REPORT, PACE.patience);
        bed.push_ran_low("NOWHERE").await?;
        let id = poll(PACE.patience, "the execution has failed", || failed(bed)).await?;
        let refused = async || {
            let refused = answers(bed, REPORT, &format!("\"execution_id\":\"{id}\"")).len();
            ensure!(refused > TRIES_OF_A_NODE, "reported {refused} times in vain");
            Ok(())
        };
        let tried = poll(PACE.patience, "the error workflow does not give up", refused).await;
        bed.gateway.fail(REPORT, Duration::ZERO);
        tried?;
        let told = async || {
            let told = reports(bed, &id).await?;
            told.first().cloned().context("not told yet")
        };
        let exception = poll(PACE.patience, "it is told", told).await?;
        ensure!(exception["owner"] == "operator", "owned by {}", exception["owner"]);
        ensure!(reports(bed, &id).await?.len() == 1, "told more than once: {exception}");
        ensure!(is_free_of_secrets(&exception), "the exception tells secrets: {exception}");
        for run in bed.n8n.executions(HANDLER).await? {
            let run = bed.n8n.execution(&run.id()?, true).await?;
            ensure!(is_free_of_secrets(&run.0), "n8n keeps secrets of its error workflow: {}", run.0);
        }
        Ok(())
    })
}

fn is_free_of_secrets(told: &Value) -> bool {
    let told = told.to_string();
    !told.contains("stw_") && !told.contains("Bearer ")
}
