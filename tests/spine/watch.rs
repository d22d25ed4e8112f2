//! The demand watch: n8n asks what was sold, has each article judged, and opens a task for what stands out.

use std::time::Duration;

use anyhow::{Result, ensure};
use jiff::{Timestamp, ToSpan as _, tz::TimeZone};
use serde_json::json;
use steward_e2e::bed::{STORE, Who};

use crate::ground::case;

/// A few rounds of the watch on a busy machine.
const SOME_ROUNDS: Duration = Duration::from_secs(90);

#[test]
fn a_day_that_stands_out_becomes_one_task_with_its_reasons_and_ordinary_days_none() -> Result<()> {
    case(async |bed| {
        #[expect(clippy::disallowed_methods, reason = "the services under test live by the machine's clock")]
        let yesterday = Timestamp::now().to_zoned(TimeZone::UTC).date().checked_sub(1.day())?;
        let sold =
            json!({"kind": "sales", "product": "SPIKE", "location": STORE, "day": yesterday.to_string(), "units": 240});
        bed.api(Who::N8n).post_ndjson("/supply/v1/observations", &sold.to_string()).await?;

        let about = format!("demand:SPIKE@{STORE}");
        let task = bed.exception("demand_spike", &about, SOME_ROUNDS).await?;
        ensure!(task["owner"] == "procurement_lead" && task["severity"].as_u64() >= Some(2), "the task: {task}");
        let details = &task["occurrences"][0]["details"];
        ensure!(details["observed"] == 240.0 && details["trigger"] == "review_replenishment", "its details: {details}");
        let parts =
            details["contributions"].as_array().into_iter().flatten().filter_map(|part| part["micros"].as_i64());
        ensure!(details["score"].as_i64() == Some(parts.sum()), "the parts do not add up: {details}");

        // Another round judges the same evidence, and opens nothing new.
        tokio::time::sleep(Duration::from_secs(12)).await;
        let page = bed.api(Who::Operator).get("/notify/v1/exceptions?limit=500").await?.success()?;
        let tasks = page["items"].as_array().into_iter().flatten();
        let tasks: Vec<_> =
            tasks.filter(|one| one["class"].as_str().is_some_and(|class| class.starts_with("demand_"))).collect();
        ensure!(tasks.len() == 1, "ordinary articles have tasks: {tasks:#?}");
        ensure!(tasks[0]["count"] == 1, "counted again: {:#?}", tasks[0]);
        Ok(())
    })
}
