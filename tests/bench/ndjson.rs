//! Bulk streams: rows a second beside one call per row, and memory that does not grow with the rows.

use std::{
    convert::Infallible,
    time::{Duration, Instant},
};

use actix_web::web::Bytes;
use anyhow::{Context as _, Result, bail, ensure};
use futures_util::{StreamExt as _, stream};
use memchr::{memchr_iter, memmem};
use reqwest::Body;
use serde_json::{Value, json};
use testkit::{Program, Scratch};

use crate::{
    Report,
    cost::{forget_peak, resident},
    ground::{Hosted, durable_postgres},
    inputs::question,
    load::{self, Until},
    report::{Aim, Line},
    rounds::{in_turns, median},
};

/// Different rows of a body.
const DIFFERENT: usize = 10_000;
/// Rows of a piece of the request body.
const PIECE: usize = 100;
/// Bytes of the stream that is far larger than the memory of what answers it.
const ENDLESS: usize = 10 << 30;
/// MiB that a service may keep while it answers that stream.
const MOST_RESIDENT: f64 = 256.0;
/// Callers at a time where each row is a call.
const CLIENTS: u32 = 8;
const EACH: Until = Until::Time { warm_up: Duration::from_secs(1), measured: Duration::from_secs(4) };
/// A peak of memory may differ by what the allocator happens to keep.
const FLAT: f64 = 1.25;

/// A stream and the call that does the same for one row.
struct Kind {
    name: &'static str,
    /// Rows of the short stream; the long one has ten times as many.
    rows: usize,
    stream: &'static str,
    single: &'static str,
    row: fn(u64) -> Value,
    /// The body of the single call.
    alone: fn(Value) -> Value,
}

/// Rows as they are sent, made before the clock runs and sent again and again: making them costs more than judging.
pub(crate) struct Pieces {
    texts: Vec<Bytes>,
    /// Rows of each.
    rows: usize,
}

impl Pieces {
    /// As many rows as fill whole pieces.
    pub(crate) fn of(lines: &[String], rows: usize) -> Self {
        let text = |lines: &[String]| Bytes::from(lines.join("\n") + "\n");
        Self { texts: lines.chunks_exact(rows).map(text).collect(), rows }
    }
}

impl Kind {
    fn pieces(&self) -> Pieces {
        let lines: Vec<String> = (0..DIFFERENT as u64).map(|n| (self.row)(n).to_string()).collect();
        Pieces::of(&lines, PIECE)
    }
}

const KINDS: [(&str, Kind); 2] = [
    (
        "supplier-sync-svc",
        Kind {
            name: "observations",
            rows: 10_000,
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
            // Some two seconds: earlier, the allocator has not met all that will be under way at a time.
            rows: 300_000,
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
        let pieces = kind.pieces();
        compare(report, &service, kind, &pieces).await?;
        let mut peaks = Vec::new();
        for rows in [kind.rows, 10 * kind.rows] {
            forget_peak(pid)?;
            post(&service, kind.stream, &pieces, rows).await?;
            peaks.push(resident(pid).context("the service has ended")?.1);
        }
        report.line(Line {
            measure: format!("ndjson: peak memory of {} {}", 10 * kind.rows, kind.name),
            unit: "MiB",
            ours: peaks[1],
            yardstick: Some(("a tenth of the rows", peaks[0])),
            aim: Aim::RatioAtMost(FLAT),
        });
    }
    Ok(())
}

/// Ten gigabytes of questions through one connection, answered by a process of a few megabytes.
pub(crate) async fn endless(report: &mut Report) -> Result<()> {
    let (binary, kind) = &KINDS[1];
    let folder = Scratch::new("endless")?;
    let store = json!({"store": {"data_dir": folder.path()}});
    let mut service = Hosted::start(Program::built(binary)?, &store).await?;
    let pid = service.pid()?;
    let pieces = kind.pieces();
    post(&service, kind.stream, &pieces, kind.rows).await?;
    let after_a_little = resident(pid).context("the service has ended")?.1;
    forget_peak(pid)?;
    let row = (kind.row)(DIFFERENT as u64 / 2).to_string().len() + 1;
    let rows = (ENDLESS / row / PIECE + 1) * PIECE;
    let rate = post(&service, kind.stream, &pieces, rows).await?;
    let peak = resident(pid).context("the service has ended")?.1;
    report.line(Line {
        measure: format!("stream-10g: {rows} {} of {row} bytes", kind.name),
        unit: "rows/s",
        ours: rate,
        yardstick: None,
        aim: Aim::None,
    });
    report.line(Line {
        measure: "stream-10g: peak memory".to_owned(),
        unit: "MiB",
        ours: peak,
        yardstick: Some(("100,000 rows", after_a_little)),
        aim: Aim::AtMost(MOST_RESIDENT),
    });
    ensure!(peak <= MOST_RESIDENT, "memory grew with the stream: {peak:.0} MiB");
    Ok(())
}

async fn compare(report: &mut Report, service: &Hosted, kind: &Kind, pieces: &Pieces) -> Result<()> {
    post(service, kind.stream, pieces, kind.rows / 10).await?;
    let streamed = async || post(service, kind.stream, pieces, kind.rows).await;
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

/// Sends that many rows while reading the answers, of which none may be a refusal; returns rows per second.
#[expect(clippy::cast_precision_loss, reason = "far below 2^52")]
pub(crate) async fn post(service: &Hosted, path: &str, pieces: &Pieces, rows: usize) -> Result<f64> {
    let texts = pieces.texts.clone();
    let sent = (0..rows / pieces.rows).map(move |n| Ok::<_, Infallible>(texts[n % texts.len()].clone()));
    let (began, body) = (Instant::now(), Body::wrap_stream(stream::iter(sent)));
    let request = reqwest::Client::new().post(service.url(path)).bearer_auth(service.key());
    let answer = request.header("content-type", "application/x-ndjson").body(body).send().await?;
    ensure!(answer.status().is_success(), "{path} answered {}", answer.status());
    let mut answers = answer.bytes_stream();
    let mut lines = 0;
    while let Some(piece) = answers.next().await {
        let piece = piece?;
        for refusal in [&b"\"problem\""[..], b"\"insufficient_data\""] {
            if let Some(at) = memmem::find(&piece, refusal) {
                bail!("a row was refused: {}", String::from_utf8_lossy(&piece[at..]));
            }
        }
        lines += memchr_iter(b'\n', &piece).count();
    }
    ensure!(lines == rows, "{lines} answers to {rows} rows");
    Ok(rows as f64 / began.elapsed().as_secs_f64())
}

/// What a till tells: units of an article on a day.
fn sale(n: u64) -> Value {
    let day = format!("2026-{:02}-{:02}", 1 + n / 28 % 10, 1 + n % 28);
    let product = format!("SKU-{:05}", n / 280 % 100_000);
    json!({"kind": "sales", "product": product, "location": "N1", "day": day, "units": 3.0})
}
