//! Bulk streams: rows a second beside one call per row, and memory that does not grow with the rows.

use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use futures_util::{StreamExt as _, stream};
use reqwest::Body;
use serde_json::{Value, json};
use testkit::Program;

use crate::{
    Report,
    cost::{forget_peak, resident},
    ground::{Hosted, durable_postgres},
    load::{self, Until},
    report::{Aim, Line},
    rounds::{in_turns, median},
};

/// Rows of the short stream; the long one has ten times as many.
const ROWS: u64 = 10_000;
/// Rows of a piece of the request body.
const PIECE: u64 = 100;
/// Callers at a time where each row is a call.
const CLIENTS: u32 = 8;
const EACH: Until = Until::Time { warm_up: Duration::from_secs(1), measured: Duration::from_secs(4) };
/// A peak of memory may differ by what the allocator happens to keep.
const FLAT: f64 = 1.25;

/// A stream and the call that does the same for one row.
struct Kind {
    name: &'static str,
    stream: &'static str,
    single: &'static str,
    row: fn(u64) -> Value,
    /// The body of the single call.
    alone: fn(Value) -> Value,
}

const KINDS: [(&str, Kind); 2] = [
    (
        "supplier-sync-svc",
        Kind {
            name: "observations",
            stream: "/supply/v1/observations",
            single: "/supply/v1/observations",
            row: sale,
            alone: |row| row,
        },
    ),
    (
        "scoring-svc",
        Kind {
            name: "scores",
            stream: "/scoring/v1/replenishment/stream",
            single: "/scoring/v1/replenishment/batch",
            row: question,
            alone: |row| json!({"items": [row]}),
        },
    ),
];

pub(crate) async fn measure(report: &mut Report) -> Result<()> {
    let postgres = durable_postgres().await?;
    let store = json!({"store": {"url": postgres.create_database("bench").await?}});
    for (binary, kind) in &KINDS {
        let mut service = Hosted::start(Program::built(binary)?, &store).await?;
        let pid = service.pid()?;
        compare(report, &service, kind).await?;
        let mut peaks = Vec::new();
        for rows in [ROWS, 10 * ROWS] {
            forget_peak(pid)?;
            post(&service, kind, rows).await?;
            peaks.push(resident(pid).context("the service has ended")?.1);
        }
        report.line(Line {
            measure: format!("ndjson: peak memory of {} {}", 10 * ROWS, kind.name),
            unit: "MiB",
            ours: peaks[1],
            yardstick: Some(("a tenth of the rows", peaks[0])),
            aim: Aim::RatioAtMost(FLAT),
        });
    }
    Ok(())
}

async fn compare(report: &mut Report, service: &Hosted, kind: &Kind) -> Result<()> {
    post(service, kind, ROWS / 10).await?;
    let streamed = async || post(service, kind, ROWS).await;
    let single = async || {
        let ndjson = if kind.single == kind.stream { "content-type: application/x-ndjson\r\n" } else { "" };
        let headers = service.headers();
        let headers = match ndjson {
            "" => headers,
            ndjson => headers.replace("content-type: application/json\r\n", ndjson),
        };
        let request = |n| load::post(kind.single, &headers, &(kind.alone)((kind.row)(n)).to_string());
        load::drive(service.port(), CLIENTS, EACH, request).await
    };
    let (streamed, single) = in_turns(streamed, single).await?;
    report.line(Line {
        measure: format!("ndjson: {} through the stream", kind.name),
        unit: "rows/s",
        ours: median(&streamed, |rate| *rate),
        yardstick: Some(("a call per row", median(&single, |turn| turn.per_second))),
        aim: Aim::None,
    });
    Ok(())
}

/// Sends that many rows while reading the answers; returns rows per second.
#[expect(clippy::cast_precision_loss, reason = "far below 2^52")]
async fn post(service: &Hosted, kind: &Kind, rows: u64) -> Result<f64> {
    let (began, row) = (Instant::now(), kind.row);
    let piece = move |n: u64| {
        let lines = (n * PIECE..(n + 1) * PIECE).map(|n| format!("{}\n", row(n)));
        Ok::<_, std::io::Error>(lines.collect::<String>())
    };
    let body = Body::wrap_stream(stream::iter((0..rows / PIECE).map(piece)));
    let request = reqwest::Client::new().post(service.url(kind.stream)).bearer_auth(service.key());
    let answer = request.header("content-type", "application/x-ndjson").body(body).send().await?;
    ensure!(answer.status().is_success(), "{} answered {}", kind.stream, answer.status());
    let mut answers = answer.bytes_stream();
    let mut lines = 0;
    while let Some(piece) = answers.next().await {
        let piece = piece?;
        let text = String::from_utf8_lossy(&piece);
        ensure!(!text.contains("\"problem\""), "a row was refused: {text}");
        lines += piece.iter().filter(|byte| **byte == b'\n').count();
    }
    ensure!(u64::try_from(lines)? == rows, "{lines} answers to {rows} rows");
    Ok(rows as f64 / began.elapsed().as_secs_f64())
}

/// What a till tells: units of an article on a day.
fn sale(n: u64) -> Value {
    let day = format!("2026-{:02}-{:02}", 1 + n / 28 % 10, 1 + n % 28);
    let product = format!("SKU-{:05}", n / 280 % 100_000);
    json!({"kind": "sales", "product": product, "location": "N1", "day": day, "units": 3.0})
}

/// A question with two months of daily sales.
fn question(n: u64) -> Value {
    let units: Vec<f64> = (0..60).map(|day| [3.0, 2.0, 0.0, 5.0, 4.0, 7.0, 1.0][(day + n as usize) % 7]).collect();
    json!({"facts": {
        "product": format!("SKU-{n}"), "location": "N1", "as_of": "2026-11-23T07:59:00Z",
        "item": {"unit_cost": {"minor": 500, "currency": "EUR"}, "unit_price": {"minor": 900, "currency": "EUR"}},
        "place": {"region": "north", "time_zone": "Europe/Berlin"},
        "stock": {"on_hand": 4.0, "reserved": 1.0, "observed_at": "2026-11-23T07:58:00Z"},
        "demand": {"first_day": "2026-09-24", "units": units},
        "lead_time": {"seen_days": [6.0, 7.0, 6.0, 9.0]},
        "donors": [{"location": "N2", "region": "north", "daily_demand": 1.0, "transfer_days": 1.0,
            "stock": {"on_hand": 60.0, "observed_at": "2026-11-23T07:58:00Z"}}],
    }})
}
