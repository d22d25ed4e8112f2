//! The whole reliable path against the bare broker: outbox, RabbitMQ, inbox, effect, and at the other side of the scale
//! one publisher with confirms and one consumer that acknowledges.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use anyhow::{Result, ensure};
use chassis::{Clock, Ids};
use contracts::{Envelope, Trace, events::StockRanLow};
use serde_json::json;
use sqlx::{Connection as _, PgConnection};
use testkit::{RabbitMq, poll};

use crate::{
    Report,
    broker::Broker,
    cost::Cost,
    ground::{Hosted, durable_postgres, ourselves},
    load::{self, Until},
    probe::Falls,
    report::{Aim, Line},
    rounds::{in_turns, median},
};

/// Events of a turn.
const EVENTS: u64 = 20_000;
const WARM_UP: u64 = 2_000;
/// Events of one transaction: what one page of a sweep finds fallen.
const PER_COMMAND: u64 = 10;
/// Callers at a time.
const CLIENTS: u32 = 8;
/// Product-locations that the events are about. Of one, they keep their order.
const SUBJECTS: u64 = 5_000;
const PATIENCE: Duration = Duration::from_secs(300);

pub(crate) async fn measure(report: &mut Report) -> Result<()> {
    let (postgres, rabbit) = tokio::try_join!(durable_postgres(), RabbitMq::start())?;
    let database = postgres.create_database("bench").await?;
    let settings = json!({"store": {"url": database}, "bus": {"url": rabbit.url()}});
    let probe = Hosted::start(ourselves("probe")?, &settings).await?;
    let mut store = PgConnection::connect(&database).await?;
    let broker = Broker::connect(&rabbit.url()).await?;
    let clock = Clock::system();

    let mut so_far = 0;
    travel(&probe, &mut store, &clock, &mut so_far, WARM_UP).await?;
    broker.carry(envelopes(&clock, WARM_UP)?).await?;
    let (before, counted) = (Cost::now(), Counts::now(&mut store).await?);
    travel(&probe, &mut store, &clock, &mut so_far, EVENTS).await?;
    let costs = Cost::now().since(&before, EVENTS);
    report.note(format!("path, per event: {costs}; {}", Counts::now(&mut store).await?.since(&counted, EVENTS)));
    let before = Cost::now();
    broker.carry(envelopes(&clock, EVENTS)?).await?;
    report.note(format!("bare broker, per event: {}", Cost::now().since(&before, EVENTS)));

    let ours = async || travel(&probe, &mut store, &clock, &mut so_far, EVENTS).await;
    let theirs = async || broker.carry(envelopes(&clock, EVENTS)?).await;
    let (ours, theirs) = in_turns(ours, theirs).await?;
    let rate = |took: &Duration| f64::from(u32::try_from(EVENTS).unwrap_or(u32::MAX)) / took.as_secs_f64();
    report.line(Line {
        measure: "path: outbox, RabbitMQ, inbox, effect".to_owned(),
        unit: "events/s",
        ours: median(&ours, rate),
        yardstick: Some(("bare broker", median(&theirs, rate))),
        aim: Aim::RatioAtLeast(0.5),
    });
    Ok(())
}

/// From the first command until the store says of the last effect that it is done.
async fn travel(
    probe: &Hosted,
    store: &mut PgConnection,
    clock: &Clock,
    so_far: &mut u64,
    events: u64,
) -> Result<Duration> {
    let headers = probe.headers();
    let first = *so_far;
    let command = |n: u64| {
        let falls = (0..PER_COMMAND).map(|i| fall(clock, first + n * PER_COMMAND + i)).collect();
        let body = serde_json::to_string(&Falls { falls }).unwrap_or_default();
        let key = format!("{headers}idempotency-key: falls-{}\r\n", first + n);
        load::post("/probe/v1/falls", &key, &body)
    };
    let began = Instant::now();
    load::drive(probe.port(), CLIENTS, Until::Count(events / PER_COMMAND), command).await?;
    *so_far += events;
    let http = reqwest::Client::new();
    let carried_out = async || {
        let done: u64 = http.get(probe.url("/probe/v1/done")).send().await?.json().await?;
        ensure!(done >= *so_far, "{done} of {so_far} effects are carried out");
        Ok(())
    };
    poll(PATIENCE, "all effects are carried out", carried_out).await?;
    let recorded = async || {
        let open = "SELECT COUNT(*) FROM probe.outbox WHERE state = 'pending' OR state = 'dead'";
        let (open,): (i64,) = sqlx::query_as(open).fetch_one(&mut *store).await?;
        ensure!(open == 0, "{open} rows are not done");
        Ok(())
    };
    poll(PATIENCE, "all rows are done", recorded).await?;
    let took = began.elapsed();
    let done = "SELECT COUNT(*) FROM probe.outbox WHERE destination = 'note' AND state = 'done'";
    let (done,): (i64,) = sqlx::query_as(done).fetch_one(&mut *store).await?;
    ensure!(u64::try_from(done)? == *so_far, "{done} effects for {so_far} events");
    Ok(took)
}

fn fall(clock: &Clock, n: u64) -> StockRanLow {
    // A stride that meets every subject before it comes back to the first.
    let subject = n * 1_237 % SUBJECTS;
    let fall = json!({"product": format!("SKU-{:06}", subject / 10), "location": format!("store-{:03}", subject % 10),
        "available": 3.5, "reorder_point": 12.0, "observed_at": clock.now()});
    serde_json::from_value(fall).unwrap_or_else(|_| unreachable!("a fall of that shape"))
}

/// The same events as they would go over the wire.
fn envelopes(clock: &Clock, events: u64) -> Result<Vec<Arc<Envelope>>> {
    let ids = Ids::default();
    let wrap = |n| {
        let trace = Trace {
            traceparent: Some("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01".to_owned()),
            correlation_id: Some(ids.next().to_string()),
            causation_id: None,
        };
        Ok(Arc::new(Envelope::wrap(ids.next(), "/probe", clock.now(), &fall(clock, n), trace)?))
    };
    (0..events).map(wrap).collect()
}

/// What PostgreSQL has counted.
struct Counts {
    commits: i64,
    wal_bytes: i64,
    wal_syncs: i64,
}

impl Counts {
    async fn now(store: &mut PgConnection) -> Result<Self> {
        // A backend reports what it did with a second's delay.
        tokio::time::sleep(Duration::from_millis(1_500)).await;
        let sql = "SELECT (SELECT SUM(xact_commit)::BIGINT FROM pg_stat_database), wal_bytes::BIGINT, wal_sync FROM pg_stat_wal";
        let (commits, wal_bytes, wal_syncs) = sqlx::query_as(sql).fetch_one(store).await?;
        Ok(Self { commits, wal_bytes, wal_syncs })
    }

    #[expect(clippy::cast_precision_loss, reason = "far below 2^52")]
    fn since(&self, earlier: &Self, events: u64) -> String {
        let per = |now: i64, then: i64| (now - then) as f64 / events as f64;
        format!(
            "{:.2} commits, {:.2} syncs and {:.1} KiB of write-ahead log",
            per(self.commits, earlier.commits),
            per(self.wal_syncs, earlier.wal_syncs),
            per(self.wal_bytes, earlier.wal_bytes) / 1024.0
        )
    }
}
