//! One ground for all cases, started by the first of them. n8n dies on it once, before anything else is tried.

use std::{io, sync::LazyLock, time::Duration};

use anyhow::{Context as _, Result, ensure};
use serde_json::{Value, json};
use steward_e2e::bed::{Article, Bed, DONOR_ABROAD, SOON, STORE, Shape, Trail, Twist, Who};
use testkit::poll;
use tokio::{runtime::Runtime, sync::OnceCell};

use crate::outage::strike;

/// Every case has an article of its own. Each needs the word of somebody in the region south.
const ARTICLES: [Article; 8] = [
    article("PARKED"),
    article("DECIDED"),
    article("UNASKED"),
    article("GRANTED"),
    article("POSTING"),
    article("FELL"),
    article("TWICE"),
    article("RESUMED"),
];

const fn article(sku: &'static str) -> Article {
    Article { sku, category: "Dairy", donors: &[(DONOR_ABROAD, 300.0)] }
}

/// How fast time passes.
pub(crate) struct Pace {
    /// How long n8n is away.
    pub(crate) outage: Duration,
    /// The silence that Steward bears about a case.
    receipt: Duration,
    /// By when the slowest case is through.
    pub(crate) patience: Duration,
    settings: fn() -> Value,
}

pub(crate) static PACE: LazyLock<Pace> = LazyLock::new(|| match std::env::var_os("STEWARD_LONG") {
    Some(_) => Pace {
        outage: Duration::from_mins(10),
        receipt: Duration::from_mins(15),
        patience: Duration::from_mins(60),
        settings: || json!({}),
    },
    None => Pace {
        outage: Duration::from_secs(10),
        receipt: Duration::from_secs(15),
        patience: Duration::from_secs(120),
        // The shipped one, sixty times as fast.
        settings: || json!({"relay": {"retry_seconds": [0, 0.17, 1, 5, 30, 120]}}),
    },
});

/// Outlives the tests: the ground's own servers run on it.
static RUNTIME: LazyLock<io::Result<Runtime>> =
    LazyLock::new(|| tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build());
static GROUND: OnceCell<Result<Bed, String>> = OnceCell::const_new();

/// Runs a case on the ground, which has lived through the outage.
pub(crate) fn case(work: impl AsyncFnOnce(&Bed) -> Result<()>) -> Result<()> {
    testkit::require!(Postgres, RabbitMq, Redis, N8n);
    let runtime = RUNTIME.as_ref().map_err(|error| anyhow::anyhow!("no runtime: {error}"))?;
    runtime.block_on(async {
        let ground = GROUND.get_or_init(async || start().await.map_err(|error| format!("{error:#}"))).await;
        let bed = ground.as_ref().map_err(|error| anyhow::anyhow!("before or during the outage: {error}"))?;
        work(bed).await.with_context(|| bed.complaints())
    })
}

async fn start() -> Result<Bed> {
    let mut settings = (PACE.settings)();
    settings["notify"]["subscriptions"] = json!([]);
    let shape = Shape { settings, ..Shape::default() };
    let mut bed =
        Bed::start_with(&ARTICLES, &Twist { shape, n8n_minutes: Some("seconds"), ..Twist::default() }).await?;
    bed.subscribe_n8n(PACE.receipt).await?;
    strike(&mut bed).await.with_context(|| bed.complaints())?;
    Ok(bed)
}

/// Somebody who may say so approves the transfer of this article.
pub(crate) async fn approve(bed: &Bed, sku: &str) -> Result<()> {
    let id = bed.approval_of(sku).await?["id"].as_str().unwrap_or_default().to_owned();
    let path = format!("/approvals/v1/approvals/{id}/decisions");
    bed.api(Who::Olga).post(&path, &json!({"decision": "approve"})).await?.success()?;
    Ok(())
}

/// What every case must have come to: one question to each approver, one grant, one draft in Odoo, one mail to the
/// warehouse, a receipt, and nothing that a person would have to look after.
pub(crate) async fn went_through_once(bed: &Bed, sku: &str) -> Result<Trail> {
    let case = bed.case_of(sku).await?;
    let over = async || {
        let trail = bed.trail(&case).await?;
        ensure!(trail.count("notify", "receipt.given") > 0, "there is {:#?}", trail.0);
        let told = bed.mails_to("warehouse-south@shop.example", sku);
        ensure!(told > 0, "the warehouse has no mail");
        Ok(trail)
    };
    let trail = poll(PACE.patience, &format!("the case of {sku} is at an end"), over).await?;
    for (service, verb) in [
        ("scoring", "recommendation.made"),
        ("approvals", "approval.requested"),
        ("approvals", "approval.approved"),
        ("approvals", "grant.issued"),
        ("supply", "grant.consumed"),
        ("supply", "transfer.drafted"),
    ] {
        ensure!(
            trail.count(service, verb) == 1,
            "{service} {verb} {} times: {:#?}",
            trail.count(service, verb),
            trail.0
        );
    }
    let drafts = bed.transfers(sku).await?;
    ensure!(drafts.len() == 1, "{} transfers stand in Odoo: {drafts:?}", drafts.len());
    let mails =
        ["warehouse-south@shop.example", "olga@shop.example", "otto@shop.example"].map(|to| bed.mails_to(to, sku));
    ensure!(mails == [1, 1, 1], "mails to the warehouse and to who was asked: {mails:?}");
    let stalled = bed.exception("case_stalled", &format!("{sku}@{STORE}"), Duration::ZERO).await;
    ensure!(stalled.is_err(), "a person was told: {stalled:?}");
    Ok(trail)
}

/// As often as each status was answered to a request that contains both.
pub(crate) fn answers(bed: &Bed, path: &str, about: &str) -> Vec<u16> {
    let passed = bed.gateway.passed(|one| one.path.starts_with(path) && one.body.contains(about));
    passed.into_iter().map(|one| one.status).collect()
}

/// Until that many executions that ask about the article wait at their Wait node.
pub(crate) async fn until_parked(bed: &Bed, sku: &str, count: usize) -> Result<()> {
    let parked = async || {
        let mut parked = 0;
        for execution in bed.n8n.executions("stwApprove000001").await? {
            let waits = execution.status() == "waiting";
            parked +=
                usize::from(waits && bed.n8n.execution(&execution.id()?, true).await?.0.to_string().contains(sku));
        }
        ensure!(parked >= count, "{parked} of {count} executions are parked");
        Ok(())
    };
    poll(SOON, &format!("an execution of {sku} waits at its Wait node"), parked).await
}
