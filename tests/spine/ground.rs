//! One ground for all cases, started by the first of them.

use std::{io, sync::LazyLock};

use anyhow::{Context as _, Result};
use steward_e2e::bed::{Article, Bed, DONOR_ABROAD, DONOR_NEAR, Twist};
use tokio::{runtime::Runtime, sync::OnceCell};

/// Every case has articles of its own, so that cases do not meet.
const ARTICLES: [Article; 13] = [
    // So little that the store stays short.
    article("HAPPY", "Dairy", &[(DONOR_ABROAD, 60.0)]),
    article("REJECT", "Dairy", ABROAD),
    article("QUESTION", "Dairy", ABROAD),
    article("ROUTINE", "Dairy", &[(DONOR_NEAR, 300.0)]),
    article("HASTY", "Hasty", ABROAD),
    article("CLICKS", "Dairy", ABROAD),
    article("CROWD", "Dairy", ABROAD),
    article("RACE", "Dairy", ABROAD),
    article("ECHO", "Dairy", ABROAD),
    article("OUTAGE", "Dairy", ABROAD),
    article("DRIFT", "Dairy", ABROAD),
    article("SPIKE", "Dairy", &[]),
    article("PROMOTED", "Dairy", &[]),
];
const ABROAD: &[(&str, f64)] = &[(DONOR_ABROAD, 300.0)];

const fn article(sku: &'static str, category: &'static str, donors: &'static [(&'static str, f64)]) -> Article {
    Article { sku, category, donors }
}

/// Outlives the tests: the ground's own servers run on it.
static RUNTIME: LazyLock<io::Result<Runtime>> =
    LazyLock::new(|| tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build());
static GROUND: OnceCell<Bed> = OnceCell::const_new();

/// Runs a case on the ground; when it fails, says what the services complained of.
pub(crate) fn case(work: impl AsyncFnOnce(&Bed) -> Result<()>) -> Result<()> {
    testkit::require!(Postgres, RabbitMq, Redis, N8n);
    let runtime = RUNTIME.as_ref().map_err(|error| anyhow::anyhow!("no runtime: {error}"))?;
    runtime.block_on(async {
        let twist = Twist { watch_seconds: Some(10), ..Twist::default() };
        let bed = GROUND.get_or_try_init(|| Bed::start_with(&ARTICLES, &twist)).await?;
        work(bed).await.with_context(|| bed.complaints())
    })
}
