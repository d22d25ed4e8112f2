//! Scarce stock of two stores and two givers: n8n has one plan made, asks for each of its transfers, once, and what is
//! allowed is drafted; what the givers must keep they keep.

use std::{collections::BTreeMap, time::Duration};

use anyhow::{Context as _, Result, ensure};
use jiff::{Timestamp, ToSpan as _, tz::TimeZone};
use serde_json::{Value, json};
use steward_e2e::bed::{Article, Bed, DONOR_ABROAD, DONOR_NEAR, SECOND_STORE, SOON, STORE, Shape, Twist, Who};
use testkit::poll;

const SKU: &str = "SCARCE";
/// Of both givers together the stores need more than these may give, and of neither alone enough.
const HELD: f64 = 60.0;
const ARTICLES: [Article; 2] = [
    Article { sku: SKU, category: "Dairy", donors: &[(DONOR_NEAR, HELD), (DONOR_ABROAD, HELD), (SECOND_STORE, 300.0)] },
    // Held elsewhere, but by somebody who needs it as much.
    Article { sku: "HOPELESS", category: "Dairy", donors: &[(DONOR_NEAR, 8.0)] },
];
/// What the shipped Config says.
const RISK_CAP: f64 = 0.1;
/// A few rounds on a busy machine.
const SOME_ROUNDS: Duration = Duration::from_secs(90);

/// Seconds between the rounds.
const EVERY: u32 = 8;

#[test]
fn scarce_stock_is_shared_out_once_within_the_givers_limits_and_what_cannot_be_served_is_reviewed() -> Result<()> {
    testkit::require!(Postgres, RabbitMq, Redis, N8n);
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    runtime.block_on(async {
        // Nobody pushes falls to n8n here.
        let settings = json!({"notify": {"subscriptions": []}});
        let shape = Shape { settings, ..Shape::default() };
        let twist = Twist { shape, watch_seconds: Some(EVERY), allocation: true, ..Twist::default() };
        let bed = Bed::start_with(&ARTICLES, &twist).await?;
        shared_out(&bed).await.with_context(|| bed.complaints())
    })
}

async fn shared_out(bed: &Bed) -> Result<()> {
    fall(bed).await?;
    let asked = asked(bed).await?;
    let planned = plans(bed).await?;
    ensure!(
        sorted(asked.iter().map(|one| &one["action"])) == sorted(&planned),
        "planned {planned:#?}, asked {asked:#?}"
    );
    let ends = |end: &str| asked.iter().map(|one| one["action"][end].clone()).collect::<Vec<_>>();
    for store in [STORE, SECOND_STORE] {
        ensure!(ends("to").contains(&json!(store)), "nothing for {store}: {asked:#?}");
    }
    for giver in [DONOR_NEAR, DONOR_ABROAD] {
        ensure!(ends("from").contains(&json!(giver)), "nothing from {giver}: {asked:#?}");
    }

    // Inside the region the policy passes it, and it stands in Odoo; across, its person is asked and nothing moves.
    let (near, far): (Vec<&Value>, Vec<&Value>) = asked.iter().partition(|one| one["action"]["from"] == DONOR_NEAR);
    drafted(bed, &near).await?;
    bed.mail("warehouse-north@shop.example", SKU).await?;
    for one in &far {
        let now = look(bed, one).await?;
        ensure!(now["status"] == "waiting" && now["policy"]["row"] == "cross-region-transfer", "across: {now}");
        let parts =
            now["score"]["contributions"].as_array().into_iter().flatten().filter_map(|part| part["micros"].as_i64());
        ensure!(now["score"]["recommendation_id"].is_string(), "what was recommended is not known: {now}");
        ensure!(now["score"]["micros"].as_i64() == Some(parts.sum()), "the evidence does not add up: {now}");
    }

    let task = bed.exception("shortage_unserved", "shortage:HOPELESS", SOME_ROUNDS).await?;
    ensure!(task["owner"] == "procurement_lead", "the task: {task}");
    ensure!(task["occurrences"][0]["details"]["left"][0]["location"] == STORE, "its details: {task}");

    another_round(bed).await?;
    let again = requests(bed).await?;
    ensure!(again.len() == asked.len(), "asked again: {again:#?}");
    let mails = bed.mails_to(&Who::Olga.address(), SKU);
    ensure!(mails == far.len(), "Olga was asked {mails} times for {} transfers", far.len());
    let tasks = bed.api(Who::Operator).get("/notify/v1/exceptions?limit=500").await?.success()?;
    let tasks: Vec<&Value> = tasks["items"].as_array().into_iter().flatten().collect();
    ensure!(tasks.len() == 1, "more than the one task: {tasks:#?}");

    for mail in bed.mails.messages().iter().filter(|mail| mail.to.contains(&Who::Olga.address())) {
        let link = mail.link("/approvals/decide/").context("the mail has no link")?;
        ensure!(bed.press(link, "approve", "").await? == 303, "the button does not work");
    }
    let all: Vec<&Value> = asked.iter().collect();
    drafted(bed, &all).await?;
    bed.mail("warehouse-south@shop.example", SKU).await?;
    Ok(())
}

/// Tills tell what the stores sell, and that two of them have next to nothing left, both in one breath.
async fn fall(bed: &Bed) -> Result<()> {
    #[expect(clippy::disallowed_methods, reason = "the services under test live by the machine's clock")]
    let now = Timestamp::now();
    let today = now.to_zoned(TimeZone::UTC).date();
    let mut lines = Vec::new();
    for back in 1..=28 {
        let day = today.checked_sub(back.days())?.to_string();
        let sold = |sku: &str, at: &str, units: i64| json!({"kind": "sales", "product": sku, "location": at, "day": day, "units": units + back % 3});
        lines.extend([sold(SKU, DONOR_NEAR, 5), sold(SKU, DONOR_ABROAD, 5), sold(SKU, SECOND_STORE, 19)]);
        lines.push(sold("HOPELESS", DONOR_NEAR, 4));
    }
    lines.push(json!({"kind": "reorder_point", "product": SKU, "location": SECOND_STORE, "units": 30}));
    let level = |sku: &str, at: &str, on_hand: u32| {
        json!({"kind": "stock", "product": sku, "location": at, "on_hand": on_hand,
        "observed_at": now.to_string(), "system": "pos"})
    };
    let fallen = [level(SKU, STORE, 5), level(SKU, SECOND_STORE, 4), level("HOPELESS", STORE, 3)];
    for lines in [&lines[..], &fallen] {
        let text: Vec<String> = lines.iter().map(Value::to_string).collect();
        let answer = bed.api(Who::N8n).post_ndjson("/supply/v1/observations", &text.join("\n")).await?;
        ensure!(!answer.contains("problem"), "refused: {answer}");
    }
    Ok(())
}

/// All requests for approval there are.
async fn requests(bed: &Bed) -> Result<Vec<Value>> {
    let page = bed.api(Who::Operator).get("/approvals/v1/approvals?limit=500").await?.success()?;
    Ok(page["items"].as_array().cloned().unwrap_or_default())
}

/// Those of the round that asked, once it is through.
async fn asked(bed: &Bed) -> Result<Vec<Value>> {
    poll(SOME_ROUNDS, "approvals are asked", async || {
        ensure!(!requests(bed).await?.is_empty(), "nobody has asked");
        Ok(())
    })
    .await?;
    another_round(bed).await?;
    requests(bed).await
}

/// Waits for a round to begin and to be over.
async fn another_round(bed: &Bed) -> Result<()> {
    let rounds = || bed.gateway.passed(|one| one.path.contains("/supply/v1/shortages")).len();
    let before = rounds();
    poll(SOME_ROUNDS, "two more rounds begin", async || {
        ensure!(rounds() > before + 1, "{} rounds", rounds());
        Ok(())
    })
    .await
}

/// What the model answers to the questions that n8n asked of the scarce article: the actions of all its transfers. On
/// the way, that no giver is left with a higher risk than allowed, whoever asks.
async fn plans(bed: &Bed) -> Result<Vec<Value>> {
    let questions = bed.gateway.passed(|one| one.path.ends_with("/allocation/plans") && one.body.contains(SKU));
    let mut actions = Vec::new();
    let mut given: BTreeMap<String, f64> = BTreeMap::new();
    for question in questions {
        let plan =
            bed.api(Who::N8n).post("/scoring/v1/allocation/score", &serde_json::from_str(&question.body)?).await?;
        for transfer in plan.success()?["transfers"].as_array().into_iter().flatten() {
            let risk = transfer["donor_risk_after"].as_f64().context("no risk")?;
            ensure!(risk <= RISK_CAP, "the giver is left with {risk}: {transfer}");
            *given.entry(transfer["from"].to_string()).or_default() +=
                transfer["quantity"].as_f64().unwrap_or_default();
            actions.push(transfer["proposal"].clone());
        }
    }
    // Five to seven a day, and two days to cover.
    ensure!(given.values().all(|units| HELD - units >= 12.0), "a giver gives what it needs: {given:?}");
    Ok(actions)
}

async fn look(bed: &Bed, approval: &Value) -> Result<Value> {
    let path = format!("/approvals/v1/approvals/{}", approval["id"].as_str().unwrap_or_default());
    bed.api(Who::Operator).get(&path).await?.success()
}

/// Exactly these transfers stand in Odoo, as drafts of the right size.
async fn drafted(bed: &Bed, approvals: &[&Value]) -> Result<()> {
    let quantities = |values: Vec<f64>| {
        let mut values = values;
        values.sort_by(f64::total_cmp);
        values
    };
    let wanted = approvals.iter().filter_map(|one| one["action"]["quantity"].as_f64()).collect();
    let wanted: Vec<f64> = quantities(wanted);
    let stand = async || {
        let found = bed.transfers(SKU).await?;
        ensure!(found.iter().all(|one| one["state"] == "draft"), "not drafts: {found:#?}");
        let found = quantities(found.iter().filter_map(|one| one["moves"][0]["product_uom_qty"].as_f64()).collect());
        ensure!(found == wanted, "Odoo has {found:?}, allowed were {wanted:?}");
        Ok(())
    };
    poll(SOON, "what is allowed is drafted", stand).await
}

fn sorted<'a>(values: impl IntoIterator<Item = &'a Value>) -> Vec<String> {
    let mut texts: Vec<String> = values.into_iter().map(Value::to_string).collect();
    texts.sort();
    texts
}
