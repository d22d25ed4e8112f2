//! Taking webhooks in, beside n8n's own webhook node that answers at once.

use std::time::Duration;

use anyhow::Result;
use chassis::Clock;
use odoo::replay::{ReplayOdoo, Scene};
use serde_json::json;
use testkit::{N8n, N8nConfig, Program};

use crate::{
    Report,
    ground::{Hosted, durable_postgres},
    load::{self, Outcome, Until},
    report::{Aim, Line},
    rounds::{in_turns, median},
};

/// Senders at a time. An Odoo posts from its workers, of which it has about that many.
const CLIENTS: u32 = 8;
const UNTIL: Until = Until::Time { warm_up: Duration::from_secs(2), measured: Duration::from_secs(8) };
const PATH: &str = "bench-hint";

pub(crate) async fn measure(report: &mut Report) -> Result<()> {
    let postgres = durable_postgres().await?;
    let clock = Clock::system();
    let now = clock.now();
    let odoo = ReplayOdoo::start(Scene::default(), std::sync::Arc::new(move || clock.now())).await?;
    // Odoo is read back at the pace that it is shipped with: one call a second, while the hints pile up.
    let settings = json!({
        "store": {"url": postgres.create_database("bench").await?},
        "outgoing": {"allow": ["127.0.0.1"]},
        "supply": {"odoo": {"url": odoo.base_url(), "database": odoo::replay::DATABASE,
            "api_key": odoo::replay::API_KEY, "hook_secret": "bench-hook-secret"}},
    });
    let supply = Hosted::start(Program::built("supplier-sync-svc")?, &settings).await?;
    let n8n = N8n::start(N8nConfig { workflows: vec![answers_at_once()], ..N8nConfig::default() }).await?;
    let n8n_port: u16 = n8n.base_url().rsplit(':').next().unwrap_or_default().parse()?;

    let at = now.strftime("%F %T%.6f").to_string();
    let hint = |n: u64| json!({"_model": "stock.quant", "_id": n, "_action": "Stock moved(#412)", "write_date": at});
    let basic = "authorization: Basic b2RvbzpiZW5jaC1ob29rLXNlY3JldA==\r\ncontent-type: application/json\r\n";
    let mut sent = 0;
    let ours = async || {
        let first = sent;
        sent += 1_000_000;
        let request = |n| load::post("/supply/v1/hooks/odoo", basic, &hint(first + n).to_string());
        load::drive(supply.port(), CLIENTS, UNTIL, request).await
    };
    let theirs = async || {
        let json = "content-type: application/json\r\n";
        let request = |n| load::post(&format!("/webhook/{PATH}"), json, &hint(n).to_string());
        load::drive(n8n_port, CLIENTS, UNTIL, request).await
    };
    let (ours, theirs) = in_turns(ours, theirs).await?;
    lines(report, &ours, &theirs);
    odoo.stop().await;
    Ok(())
}

fn lines(report: &mut Report, ours: &[Outcome], theirs: &[Outcome]) {
    let figures = |figure: fn(&Outcome) -> f64| (median(ours, figure), median(theirs, figure));
    let mut line = |measure: &str, unit, (ours, theirs): (f64, f64), aim| {
        let yardstick = Some(("n8n's webhook node", theirs));
        report.line(Line { measure: measure.to_owned(), unit, ours, yardstick, aim });
    };
    line("hook: hints taken in", "requests/s", figures(|turn| turn.per_second), Aim::RatioAtLeast(10.0));
    line("hook: half are answered within", "ms", figures(|turn| turn.percentile(0.5)), Aim::None);
    line("hook: 99 % are answered within", "ms", figures(|turn| turn.percentile(0.99)), Aim::AtMost(20.0));
}

/// The smallest workflow that takes a webhook. It keeps its executions, as n8n does unless told otherwise.
fn answers_at_once() -> serde_json::Value {
    json!({
        "id": "benchHint0000001", "name": "Bench: hint", "active": false, "settings": {"executionOrder": "v1"},
        "nodes": [
            {"id": "w", "name": "Webhook", "type": "n8n-nodes-base.webhook", "typeVersion": 2, "position": [0, 0],
             "webhookId": "8c7f6f5e-0000-4000-8000-000000000001",
             "parameters": {"httpMethod": "POST", "path": PATH, "responseMode": "onReceived", "options": {}}},
            {"id": "n", "name": "Taken", "type": "n8n-nodes-base.noOp", "typeVersion": 1, "position": [200, 0], "parameters": {}},
        ],
        "connections": {"Webhook": {"main": [[{"node": "Taken", "type": "main", "index": 0}]]}},
    })
}
