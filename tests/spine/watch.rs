//! The demand watch: n8n asks what was sold, has each article judged, and opens a task for what stands out.

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use jiff::{Timestamp, ToSpan as _, civil::Date, tz::TimeZone};
use serde_json::{Value, json};
use steward_e2e::bed::{Bed, STORE, Who};
use testkit::poll;

use crate::ground::case;

/// A few rounds of the watch on a busy machine.
const SOME_ROUNDS: Duration = Duration::from_secs(90);

/// Some days from now, or before it.
fn day(from_now: i64) -> Result<Date> {
    #[expect(clippy::disallowed_methods, reason = "the services under test live by the machine's clock")]
    let today = Timestamp::now().to_zoned(TimeZone::UTC).date();
    Ok(today.checked_add(from_now.days())?)
}

#[test]
fn a_day_that_stands_out_becomes_one_task_with_its_reasons_and_ordinary_days_none() -> Result<()> {
    case(async |bed| {
        let yesterday = day(-1)?;
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

/// The question that the watch asked about an article, once it knew of its latest day.
async fn judged(bed: &Bed, sku: &str, units: f64) -> Result<Value> {
    let asked = async || {
        let calls = bed.gateway.passed(|one| one.path.ends_with("/demand-signal/batch") && one.body.contains(sku));
        let calls: Vec<Value> = calls.iter().map(|one| serde_json::from_str(&one.body)).collect::<Result<_, _>>()?;
        let mut items = calls.iter().flat_map(|call| call["items"].as_array().into_iter().flatten());
        let latest = |item: &Value| item["series"]["units"].as_array().and_then(|days| days.last()?.as_f64());
        items.rfind(|item| item["product"] == sku && latest(item) == Some(units)).cloned().context("not asked yet")
    };
    poll(SOME_ROUNDS, &format!("the watch asks about {sku}"), asked).await
}

#[test]
fn sales_that_price_and_advertising_explain_are_no_spike_and_planned_ones_are_ordered_for() -> Result<()> {
    case(async |bed| {
        let api = bed.api(Who::N8n);
        let at = |kind: &str, day: Date| json!({"kind": kind, "product": "PROMOTED", "location": STORE, "day": day.to_string()});
        let facts = format!("/supply/v1/facts/PROMOTED/{STORE}");
        let plain = api.get(&facts).await?.success()?;
        let mut sold = at("sales", day(-1)?);
        for (name, value) in [
            ("units", json!(100)),
            ("promotion", json!(true)),
            ("price_share", json!(0.4)),
            ("advertised", json!(true)),
        ] {
            sold[name] = value;
        }
        api.post_ndjson("/supply/v1/observations", &sold.to_string()).await?;

        let question = judged(bed, "PROMOTED", 100.0).await?;
        let event = async |series: &Value| -> Result<Value> {
            let body =
                json!({"product": "PROMOTED", "location": STORE, "series": series, "options": question["options"]});
            Ok(api.post("/scoring/v1/demand-signal/score", &body).await?.success()?["signal"]["event"].clone())
        };
        let series = &question["series"];
        ensure!(event(series).await? == "ordinary", "with all that is known: {series}");
        let mut unexplained = series.clone();
        (unexplained["price_share"], unexplained["promotion"]) = (json!([]), json!([]));
        ensure!(event(&unexplained).await? == "spike", "the same units without a reason: {unexplained}");

        let mut lines = Vec::new();
        for ahead in 1..=10 {
            let mut planned = at("planned_promotion", day(ahead)?);
            (planned["price_share"], planned["advertised"]) = (json!(0.5), json!(true));
            lines.push(planned.to_string());
        }
        api.post_ndjson("/supply/v1/observations", &lines.join("\n")).await?;
        let expected = async |key: &str, facts: &Value| -> Result<f64> {
            let answer =
                api.create("/scoring/v1/replenishment/score", key, &json!({"facts": facts})).await?.success()?;
            answer["demand"]["mean"].as_f64().with_context(|| format!("no demand in {answer}"))
        };
        let planned = api.get(&facts).await?.success()?;
        let (before, after) = (expected("plain", &plain).await?, expected("planned", &planned).await?);
        ensure!(after > 1.5 * before, "{before} units expected without, {after} with ten days at half the price");
        Ok(())
    })
}
