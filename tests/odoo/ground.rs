//! One ground for all cases, started by the first of them, and what the cases ask of it.

use std::{io, sync::LazyLock, time::Duration};

use anyhow::{Context as _, Result, ensure};
use serde_json::{Value, json};
use steward_e2e::bed::{Answer, Article, Bed, DONOR_ABROAD, SOON, STORE, Shape, Twist, Who};
use testkit::poll;
use tokio::{
    runtime::Runtime,
    sync::{OnceCell, RwLock},
};

/// Every case has articles of its own, so that cases do not meet.
const ARTICLES: [&str; 12] = [
    "ANSWERED", "HAPPY", "THRICE", "EDITED", "RULED", "AWAY-1", "AWAY-2", "KILLED", "USED", "FOREIGN", "OTHER", "DRIFT",
];
/// What a transfer of a case moves.
pub(crate) const UNITS: f64 = 24.0;
/// What was promised while Odoo was away, retries and the circuit breaker's rest included.
pub(crate) const LATER: Duration = Duration::from_secs(90);
/// How Steward makes a draft.
pub(crate) const DRAFT: (&str, &str) = ("POST", "/json/2/stock.picking/load");

/// Outlives the tests: the ground's own servers run on it.
static RUNTIME: LazyLock<io::Result<Runtime>> =
    LazyLock::new(|| tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build());
static GROUND: OnceCell<Bed> = OnceCell::const_new();
/// Cases share the one Odoo, unless they take it away.
static ODOO: RwLock<()> = RwLock::const_new(());

async fn ground() -> Result<&'static Bed> {
    let donors: &[(&str, f64)] = &[(DONOR_ABROAD, 300.0)];
    let articles = ARTICLES.map(|sku| Article { sku, category: "Dairy", donors });
    // Retries that come as often as a test has patience for; their number is the usual one and more.
    // No sweep but the first, so that what is found is found by hints.
    let settings =
        json!({"relay": {"retry_seconds": [0, 2, 4, 5, 5, 5, 5, 5, 5, 60]}, "supply": {"sweep_seconds": 3600}});
    let twist = Twist { real_odoo: true, shape: Shape { settings, ..Shape::default() }, ..Twist::default() };
    GROUND.get_or_try_init(|| Bed::start_with(&articles, &twist)).await
}

fn run(work: impl Future<Output = Result<()>>) -> Result<()> {
    RUNTIME.as_ref().map_err(|error| anyhow::anyhow!("no runtime: {error}"))?.block_on(work)
}

/// Runs a case beside others; when it fails, says what the services complained of.
pub(crate) fn case(work: impl AsyncFnOnce(&Bed) -> Result<()>) -> Result<()> {
    testkit::require!(Postgres, RabbitMq, Redis, N8n, Odoo);
    run(async {
        let bed = ground().await?;
        let _beside_others = ODOO.read().await;
        work(bed).await.with_context(|| bed.complaints())
    })
}

/// Runs a case that stops Odoo, or holds up everybody's calls.
pub(crate) fn alone(work: impl AsyncFnOnce(&Bed) -> Result<()>) -> Result<()> {
    testkit::require!(Postgres, RabbitMq, Redis, N8n, Odoo);
    run(async {
        let bed = ground().await?;
        let _alone = ODOO.write().await;
        work(bed).await.with_context(|| bed.complaints())
    })
}

pub(crate) fn action(sku: &str) -> Value {
    json!({"type": "transfer", "product": sku, "from": DONOR_ABROAD, "to": STORE, "quantity": UNITS})
}

/// A grant for [`action`], as a workflow gets it: asked for with the facts of now, allowed by Olga.
pub(crate) async fn granted(bed: &Bed, sku: &str) -> Result<String> {
    let workflow = bed.api(Who::N8n);
    let facts = workflow.get(&format!("/supply/v1/facts/{sku}/{STORE}")).await?.success()?;
    let wish = json!({"title": format!("{UNITS} x {sku}"), "action": action(sku), "facts": facts});
    let asked = workflow.create("/approvals/v1/approvals", &format!("ask-{sku}"), &wish).await?.success()?;
    let path = format!("/approvals/v1/approvals/{}", asked["id"].as_str().unwrap_or_default());
    bed.api(Who::Olga).post(&format!("{path}/decisions"), &json!({"decision": "approve"})).await?.success()?;
    let approval = workflow.get(&path).await?.success()?;
    approval["grant"].as_str().map(str::to_owned).with_context(|| format!("no grant: {approval}"))
}

/// Asks supply for the transfer, under an idempotency key.
pub(crate) async fn ask(bed: &Bed, sku: &str, key: &str, grant: &str) -> Result<Answer> {
    let wish = json!({"action": action(sku), "grant": grant});
    bed.api(Who::N8n).create("/supply/v1/transfers", key, &wish).await
}

/// The operation of a transfer that was accepted.
pub(crate) async fn promised(bed: &Bed, sku: &str, grant: &str) -> Result<String> {
    let operation = ask(bed, sku, &format!("draft-{sku}"), grant).await?.success()?;
    operation["id"].as_str().map(str::to_owned).context("an operation has an id")
}

pub(crate) async fn operation(bed: &Bed, id: &str) -> Result<Value> {
    bed.api(Who::N8n).get(&format!("/supply/v1/operations/{id}")).await?.success()
}

/// The operation once it has ended.
pub(crate) async fn ended(bed: &Bed, id: &str) -> Result<Value> {
    let ended = async || {
        let operation = operation(bed, id).await?;
        ensure!(operation["state"] != "pending", "it is {operation}");
        Ok(operation)
    };
    poll(LATER, &format!("operation {id} has ended"), ended).await
}

/// The draft itself, as soon as Odoo has it and whatever Steward knows of it.
pub(crate) async fn drafted(bed: &Bed, sku: &str) -> Result<Value> {
    let first = async || bed.transfers(sku).await?.into_iter().next().context("nothing is drafted yet");
    poll(SOON, &format!("Odoo has drafted {sku}"), first).await
}
