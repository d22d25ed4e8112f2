//! 100,000 armed timers of approvals, a fifth of which fall due within the minute that is measured: how late each is.
//!
//! The requests are copies of one that was asked over HTTP. Their times lie in their rows, as those of all requests do, so
//! copying the rows arms the timers. Lateness is what the database says: when the reminder was written, against when it
//! was due.

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use chassis::Clock;
use jiff::Timestamp;
use serde_json::json;
use sqlx::{Connection as _, PgConnection};
use testkit::{Program, Scratch};

use crate::{
    Report,
    command::across_regions,
    ground::{Hosted, durable_postgres},
    report::{Aim, Line},
};

const ARMED: i64 = 100_000;
/// Due while it is measured; the others wait for later, in the same index.
const DUE: i64 = 20_000;
/// Between the copying and the first timer that is due.
const HEAD_START: Duration = Duration::from_secs(60);
const WITHIN: Duration = Duration::from_secs(60);
/// Who decides: without anybody the request would not wait.
const PEOPLE: &str = "people: [{id: olga, name: Olga, roles: [{role: regional_ops}]}]";

pub(crate) async fn measure(report: &mut Report) -> Result<()> {
    let postgres = durable_postgres().await?;
    let database = postgres.create_database("timers").await?;
    let folder = Scratch::new("timers")?;
    let people = folder.path().join("people.yaml");
    std::fs::write(&people, PEOPLE)?;
    let settings = json!({"store": {"url": database}, "approvals": {
        "directory_file": people, "link_secret": "a-secret-of-at-least-thirty-two-bytes"}});
    // Two replicas, as in a cluster: whoever claims a timer, the other must pass over it.
    let first = Hosted::start(Program::built("approval-svc")?, &settings).await?;
    let second = Hosted::start(Program::built("approval-svc")?, &settings).await?;
    let asked = reqwest::Client::new()
        .post(first.url("/approvals/v1/approvals"))
        .bearer_auth(first.key())
        .header("idempotency-key", "pattern")
        .json(&across_regions()?)
        .send()
        .await?;
    ensure!(asked.status() == 201, "the pattern was refused: {}", asked.text().await?);
    let mut store = PgConnection::connect(&database).await?;
    let clock = Clock::system();
    let start = clock.now() + HEAD_START;
    arm(&mut store, start).await?;
    ensure!(clock.now() < start, "arming took longer than {HEAD_START:?}: this machine is too slow to measure on");
    let late = lateness(&clock, &mut store, start + WITHIN + Duration::from_secs(30)).await?;
    let share = |share: usize| late.get((late.len().saturating_sub(1)) * share / 100).copied().unwrap_or_default();
    report.note(format!(
        "{ARMED} timers armed, {} due in {WITHIN:?} at two replicas; late p50 {:.3} s, p99 {:.3} s, at most {:.3} s",
        late.len(),
        share(50),
        share(99),
        share(100)
    ));
    let line = |measure: &str, ours: f64, aim| Line { measure: measure.into(), unit: "s", ours, yardstick: None, aim };
    report.line(line("timers: how late, 99 % within", share(99), Aim::AtMost(1.0)));
    drop((first, second));
    Ok(())
}

/// Copies the one request, with its reminder spread over the minute; the copies that are not due come a day later. The id
/// of a copy ends with the instant at which it is due.
async fn arm(store: &mut PgConnection, start: Timestamp) -> Result<()> {
    let copies = r#"
        INSERT INTO approvals.requests SELECT (copy.request).* FROM (
            SELECT jsonb_populate_record(r, jsonb_build_object('id', r.id || '-' || due.at, 'wake_at', due.at,
                'state', replace(r.state, r.state::jsonb #>> '{phase,steps,0,remind_at}', to_char(
                    to_timestamp(due.at / 1e6) AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"')))) AS request
            FROM approvals.requests r, generate_series(1, $1) n, LATERAL (
                SELECT $3 + CASE WHEN n <= $2 THEN n * $4 / $2 ELSE 86400000000 + n END AS at) due
        ) copy"#;
    let copied = sqlx::query(copies)
        .bind(ARMED - 1)
        .bind(DUE)
        .bind(start.as_microsecond())
        .bind(i64::try_from(WITHIN.as_micros())?)
        .execute(&mut *store)
        .await
        .context("cannot copy the request")?;
    ensure!(copied.rows_affected() == u64::try_from(ARMED - 1)?, "{} rows were copied", copied.rows_affected());
    Ok(())
}

/// Seconds between when each reminder was due and when it was written, sorted. Each is there once.
async fn lateness(clock: &Clock, store: &mut PgConnection, until: Timestamp) -> Result<Vec<f64>> {
    loop {
        tokio::time::sleep(Duration::from_secs(2)).await;
        let told = "SELECT count(*), count(DISTINCT order_key) FROM approvals.outbox \
                    WHERE about = 'steward.approval.reminded.v1'";
        let (all, different): (i64, i64) = sqlx::query_as(told).fetch_one(&mut *store).await?;
        ensure!(all == different, "{} reminders came twice", all - different);
        if all >= DUE {
            break;
        }
        ensure!(clock.now() < until, "only {all} of {DUE} reminders came in time");
    }
    // approval:<five parts of a UUID>-<due>
    let late = "SELECT (created_at - split_part(order_key, '-', 6)::bigint)::double precision / 1e6 AS late \
                FROM approvals.outbox WHERE about = 'steward.approval.reminded.v1' ORDER BY late";
    let late: Vec<(f64,)> = sqlx::query_as(late).fetch_all(&mut *store).await?;
    Ok(late.into_iter().map(|(late,)| late).collect())
}
