//! Durable commands over HTTP against `pgbench -N`: a transaction each, committed to disk before the answer.

use std::time::Duration;

use anyhow::{Context as _, Result};
use contracts::Facts;
use serde_json::{Value, json};
use testkit::{Postgres, Program, Tool};

use crate::{
    Report,
    cost::Cost,
    ground::{Hosted, durable_postgres, ourselves},
    load::{self, Outcome, Until},
    report::{Aim, Line},
    rounds::median,
};

/// Callers at a time, of ours and of pgbench.
const CLIENTS: u32 = 16;
const WARM_UP: Duration = Duration::from_secs(2);
const MEASURED: Duration = Duration::from_secs(8);
const TURNS: usize = crate::rounds::ROUNDS;

pub(crate) async fn measure(report: &mut Report) -> Result<()> {
    let postgres = durable_postgres().await?;
    let database = postgres.create_database("bench").await?;
    let store = json!({"store": {"url": database}});
    let probe = Hosted::start(ourselves("probe")?, &store).await?;
    let approvals = Hosted::start(Program::built("approval-svc")?, &store).await?;
    let pgbench = Pgbench::prepare(&postgres).await?;
    let (note, routine) = (json!({"text": "a note"}).to_string(), routine()?.to_string());
    let mut requests = 0;
    let (mut small, mut typical, mut bare) = (Vec::new(), Vec::new(), Vec::new());
    for turn in 0..TURNS {
        small.push(drive(&probe, "/probe/v1/notes", &mut requests, &note, report, turn).await?);
        bare.push(pgbench.run().await?);
        typical.push(drive(&approvals, "/approvals/v1/approvals", &mut requests, &routine, report, turn).await?);
    }
    let bare = median(&bare, |rate| *rate);
    let rate = |turns: &[Outcome]| median(turns, |turn| turn.per_second);
    let mut line = |measure: &str, ours: f64, aim: Aim| {
        let yardstick = Some(("pgbench -N", bare));
        report.line(Line { measure: measure.to_owned(), unit: "commits/s", ours, yardstick, aim });
    };
    line("command: one row of state", rate(&small), Aim::RatioAtLeast(0.4));
    line("command: approval asked, policy grants it", rate(&typical), Aim::RatioAtLeast(0.4));
    Ok(())
}

async fn drive(
    service: &Hosted,
    path: &str,
    requests: &mut u64,
    body: &str,
    report: &mut Report,
    turn: usize,
) -> Result<Outcome> {
    let (first, headers) = (*requests, service.headers());
    let request = |n: u64| {
        let n = first + n;
        load::post(path, &format!("{headers}idempotency-key: key-{n}\r\n"), body)
    };
    let before = Cost::now();
    let until = Until::Time { warm_up: WARM_UP, measured: MEASURED };
    let outcome = load::drive(service.port(), CLIENTS, until, request).await?;
    // More than will have been sent: keys are not to meet again.
    *requests += 1_000_000;
    if turn == 0 {
        let sent = (outcome.per_second * (WARM_UP + MEASURED).as_secs_f64()).round();
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a count")]
        let costs = Cost::now().since(&before, sent as u64);
        report.note(format!("POST {path}, per request: {costs}; p99 {:.1} ms", outcome.percentile(0.99)));
    }
    Ok(outcome)
}

/// A transfer of little value inside a region, which the shipped policy grants at once: policy, request, audit, a
/// signed grant and its event in one transaction.
fn routine() -> Result<Value> {
    transfer("store-2")
}

/// A transfer out of another region, about which a person is asked.
pub(crate) fn across_regions() -> Result<Value> {
    transfer("store-7")
}

fn transfer(from: &str) -> Result<Value> {
    let stock = json!({"on_hand": 60.0, "observed_at": "2026-11-23T07:58:00Z"});
    let donor = |location: &str, region: &str| json!({"location": location, "region": region, "daily_demand": 1.0, "transfer_days": 1.0, "stock": stock});
    let facts = json!({
        "product": "SKU-1", "location": "store-1", "as_of": "2026-11-23T07:59:00Z",
        "item": {"name": "Coffee 500 g", "unit_cost": {"minor": 500, "currency": "EUR"}},
        "place": {"name": "Store 1", "region": "north", "time_zone": "Europe/Berlin"},
        "stock": {"on_hand": 4.0, "reserved": 1.0, "observed_at": "2026-11-23T07:58:00Z"},
        "demand": {"first_day": "2026-11-19", "units": [3.0, 2.0, 0.0, 5.0]},
        "lead_time": {"seen_days": [6.0, 7.0]},
        "donors": [donor("store-2", "north"), donor("store-7", "south")],
    });
    let facts = serde_json::from_value::<Facts>(facts)?.seal()?;
    let action = json!({"type": "transfer", "product": "SKU-1", "from": from, "to": "store-1", "quantity": 24.0});
    Ok(json!({"title": "Coffee for Store 1", "action": action, "facts": facts}))
}

/// PostgreSQL's own benchmark: one update, one select and one insert in a transaction.
struct Pgbench(Program);

impl Pgbench {
    async fn prepare(postgres: &Postgres) -> Result<Self> {
        let server = Tool::Postgres.find().context("PostgreSQL is not installed")?;
        postgres.create_database("pgbench").await?;
        let port = postgres.port().to_string();
        let program = Program::new(server.with_file_name("pgbench"));
        let program = program.args(["-h", "127.0.0.1", "-p", &port, "-U", "steward"]);
        program.clone().args(["-i", "-q", "-s", "10", "pgbench"]).run(Duration::from_secs(120)).await?;
        Ok(Self(program))
    }

    /// Transactions per second.
    async fn run(&self) -> Result<f64> {
        let (clients, seconds) = (CLIENTS.to_string(), MEASURED.as_secs().to_string());
        let args = ["-N", "-n", "-c", &clients, "-j", "2", "-T", &seconds, "pgbench"];
        let printed = self.0.clone().args(args).run(MEASURED + Duration::from_secs(60)).await?;
        let rate = printed.lines().find_map(|line| line.strip_prefix("tps = "));
        let rate = rate.and_then(|rest| rest.split(' ').next()).context("pgbench printed no rate")?;
        Ok(rate.parse()?)
    }
}
