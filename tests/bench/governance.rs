//! Policies: judging one request under the largest table that is allowed, with the reasons, in process; and replaying the
//! latest 100,000 decisions under a draft of that size, over HTTP and PostgreSQL.

use std::time::Instant;

use anyhow::{Context as _, Result, ensure};
use governance::{
    Policy, Rulebook,
    policy::{
        Input, MAX_ROWS,
        simulate::{Asked, Outcome, Recorded},
    },
    request::End,
};
use serde_json::{Value, json};
use sqlx::{Connection as _, PgConnection};
use testkit::Program;

use crate::{
    Report,
    ground::{Hosted, durable_postgres},
    report::{Aim, Line},
    rounds::{ROUNDS, median},
};

const JUDGED: usize = 50_000;
const DECISIONS: usize = 100_000;
/// Different decisions; the others repeat them under other ids.
const KINDS_OF_PAST: usize = 500;

pub(crate) async fn measure(report: &mut Report) -> Result<()> {
    judging(report)?;
    replaying(report).await
}

fn judging(report: &mut Report) -> Result<()> {
    let book = Rulebook::new(Policy::from_json(table())?, [])?;
    let inputs: Vec<Input> = (0..JUDGED).map(input).collect::<Result<_>>()?;
    let mut passed_over = 0;
    let mut took: Vec<f64> = Vec::with_capacity(JUDGED);
    for input in &inputs {
        let began = Instant::now();
        let route = std::hint::black_box(book.route(input));
        took.push(began.elapsed().as_secs_f64() * 1e6);
        passed_over += route.trace.len();
    }
    took.sort_by(f64::total_cmp);
    report.note(format!("a request passes over {} of {MAX_ROWS} rows in the mean", passed_over / JUDGED));
    let mut line = |name: &str, share: usize, aim: f64| {
        report.line(Line {
            measure: format!("policy: judging by {MAX_ROWS} rows with trace, {name}"),
            unit: "us",
            ours: took[JUDGED * share / 100],
            yardstick: None,
            aim: Aim::AtMost(aim),
        });
    };
    line("p50", 50, 25.0);
    line("p99", 99, 100.0);
    Ok(())
}

async fn replaying(report: &mut Report) -> Result<()> {
    let postgres = durable_postgres().await?;
    let database = postgres.create_database("bench").await?;
    let approvals = Hosted::start(Program::built("approval-svc")?, &json!({"store": {"url": database}})).await?;
    remember(&database).await?;
    let body = json!({"policy": "default", "draft": table()});
    let (client, url) = (reqwest::Client::new(), approvals.url("/approvals/v1/policy-simulations"));
    let mut took = Vec::new();
    for _ in 0..ROUNDS {
        let began = Instant::now();
        let answer = client.post(&url).bearer_auth(approvals.key()).json(&body).send().await?;
        let seen: Value = answer.error_for_status()?.json().await?;
        took.push(began.elapsed().as_secs_f64());
        ensure!(seen["replayed"] == DECISIONS, "{} decisions were replayed", seen["replayed"]);
        ensure!(seen["changed"].as_u64().is_some_and(|changed| changed > 0), "the draft changes nothing");
    }
    report.line(Line {
        measure: format!("policy: what-if over {DECISIONS} decisions, {MAX_ROWS} rows, median of {ROUNDS}"),
        unit: "s",
        ours: median(&took, |seconds| *seconds),
        yardstick: None,
        aim: Aim::AtMost(5.0),
    });
    Ok(())
}

/// Writes the past where the service keeps it.
async fn remember(database: &str) -> Result<()> {
    let mut connection = PgConnection::connect(database).await?;
    let each = i64::try_from(DECISIONS / KINDS_OF_PAST)?;
    for n in 0..KINDS_OF_PAST {
        let record = serde_json::to_string(&past(n)?)?;
        sqlx::query(
            "INSERT INTO approvals.decided (request_id, ended_at, record) \
             SELECT $1 || '-' || n, 1767225600000000 + n * 1000000, replace($2, '\"ID\"', '\"' || $1 || '-' || n || '\"') \
             FROM generate_series(1, $3) AS n",
        )
        .bind(format!("past-{n}"))
        .bind(record)
        .bind(each)
        .execute(&mut connection)
        .await?;
    }
    Ok(connection.close().await?)
}

fn past(n: usize) -> Result<Recorded> {
    let seconds = Some(u32::try_from(600 + n * 7)?);
    let asked = Asked { who: "finance".to_owned(), quorum: 1, seconds };
    Ok(Recorded {
        id: "ID".to_owned(),
        input: input(n)?,
        row: "rest".to_owned(),
        outcome: if n.is_multiple_of(3) { Outcome::Passed } else { Outcome::Asked(vec![asked]) },
        requesters: Vec::new(),
        opened_at: "2026-01-01T08:00:00Z".parse()?,
        ended_at: "2026-01-01T12:00:00Z".parse()?,
        how: if n.is_multiple_of(7) { End::Denied } else { End::Approved },
    })
}

/// As many rows as are allowed, most of them about one category in one region, as a table becomes in years.
fn table() -> Value {
    let row = |n: usize| {
        let then = match n % 3 {
            0 => json!("auto_approve"),
            1 => json!("deny"),
            _ => json!({"steps": [{"ask": {"role": "finance"}, "decide_within": "4h"}]}),
        };
        json!({"name": format!("row-{n}"), "why": "As agreed with the buyers.", "then": then, "when": {
            "kind": [kind(n)], "category": [format!("category-{}", n % 97), format!("category-{}", n % 89)],
            "region": {"to": [format!("region-{}", n % 7)]},
            "value": {"currency": "EUR", "at_least": n * 10, "below": n * 10 + 40_000}}})
    };
    let mut rows: Vec<Value> = (0..MAX_ROWS - 1).map(row).collect();
    rows.push(json!({"name": "rest", "then": {"steps": [{"ask": {"role": "finance"}, "decide_within": "4h"}]}}));
    json!({"policy": "default", "version": 99, "grant_valid_for": "1h", "rows": rows,
        "money": {"base": "EUR", "as_of": "2026-01-01", "rates": {"USD": "0.9214"}}})
}

fn input(n: usize) -> Result<Input> {
    let site = json!({"location": format!("store-{}", n % 300), "region": format!("region-{}", n % 11)});
    let currency = if n.is_multiple_of(5) { "USD" } else { "EUR" };
    let input = json!({"kind": kind(n / 3), "value": {"minor": n * 37 % 60_000, "currency": currency},
        "category": format!("category-{}", n % 120), "from": site, "to": site, "score": n * 13 % 1_000_000,
        "band": "high", "promotion": n.is_multiple_of(4)});
    serde_json::from_value(input).context("an input of the policy")
}

fn kind(n: usize) -> &'static str {
    ["transfer", "purchase", "write_off", "substitution"][n % 4]
}
