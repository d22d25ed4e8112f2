//! The load generator of all measures: a closed loop of clients over plain sockets.
//!
//! It shares two cores with what it measures, so it does as little as HTTP/1.1 allows: one connection per client, the
//! request prepared as bytes, of the answer only the status and the length read. What it costs is a measure of its own.

use std::{
    sync::atomic::{AtomicU64, Ordering},
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, bail, ensure};
use futures_util::future::try_join_all;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};

/// How long to go on.
#[derive(Clone, Copy)]
pub(crate) enum Until {
    /// So many requests altogether, all of them measured.
    Count(u64),
    /// Answers that began after the warm-up and ended within the time are measured.
    Time { warm_up: Duration, measured: Duration },
}

/// What the clients saw. An answer other than 2xx is no outcome but an error.
pub(crate) struct Outcome {
    pub(crate) per_second: f64,
    /// Microseconds, ascending.
    latencies: Vec<u32>,
}

impl Outcome {
    /// The latency that this share of the requests stayed within, in milliseconds.
    pub(crate) fn percentile(&self, share: f64) -> f64 {
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            clippy::cast_precision_loss,
            reason = "an index"
        )]
        let at = ((self.latencies.len() as f64 * share) as usize).min(self.latencies.len().saturating_sub(1));
        self.latencies.get(at).map_or(f64::NAN, |micros| f64::from(*micros) / 1000.0)
    }
}

/// A POST as it goes over the wire. `headers`: complete lines, each with its line end.
pub(crate) fn post(path: &str, headers: &str, body: &str) -> Vec<u8> {
    let length = body.len();
    format!("POST {path} HTTP/1.1\r\nhost: bench\r\n{headers}content-length: {length}\r\n\r\n{body}").into_bytes()
}

/// `clients` send, each its next request when it has the answer to its last; `request` makes the n-th of all.
pub(crate) async fn drive(
    port: u16,
    clients: u32,
    until: Until,
    request: impl Fn(u64) -> Vec<u8> + Sync,
) -> Result<Outcome> {
    let (next, began) = (AtomicU64::new(0), Instant::now());
    let (measured_from, end) = match until {
        Until::Count(_) => (began, None),
        Until::Time { warm_up, measured } => (began + warm_up, Some(began + warm_up + measured)),
    };
    let one = async || {
        let mut client = Client::connect(port).await?;
        let mut latencies = Vec::new();
        loop {
            let n = next.fetch_add(1, Ordering::Relaxed);
            if matches!(until, Until::Count(count) if n >= count) {
                return anyhow::Ok(latencies);
            }
            let sent = Instant::now();
            client.exchange(&request(n)).await?;
            let answered = Instant::now();
            if end.is_some_and(|end| answered > end) {
                return Ok(latencies);
            }
            if sent >= measured_from {
                latencies.push(u32::try_from((answered - sent).as_micros()).unwrap_or(u32::MAX));
            }
        }
    };
    let seen = try_join_all((0..clients).map(|_| one())).await?;
    let seconds = end.unwrap_or_else(Instant::now).duration_since(measured_from).as_secs_f64();
    let mut latencies: Vec<u32> = seen.into_iter().flatten().collect();
    ensure!(!latencies.is_empty(), "no request was answered in time");
    latencies.sort_unstable();
    #[expect(clippy::cast_precision_loss, reason = "far below 2^52")]
    let per_second = latencies.len() as f64 / seconds;
    Ok(Outcome { per_second, latencies })
}

/// One connection, kept for as long as the server keeps it.
struct Client {
    port: u16,
    stream: TcpStream,
    read: Vec<u8>,
}

impl Client {
    async fn connect(port: u16) -> Result<Self> {
        let stream = TcpStream::connect(("127.0.0.1", port)).await?;
        stream.set_nodelay(true)?;
        Ok(Self { port, stream, read: Vec::with_capacity(16 * 1024) })
    }

    async fn exchange(&mut self, request: &[u8]) -> Result<()> {
        self.stream.write_all(request).await?;
        self.read.clear();
        let head = loop {
            if let Some(end) = self.read.windows(4).position(|window| window == b"\r\n\r\n") {
                break end + 4;
            }
            self.more().await?;
        };
        let text = std::str::from_utf8(&self.read[..head])?.to_ascii_lowercase();
        let header = |name: &str| text.lines().find_map(|line| line.strip_prefix(name)).map(str::trim);
        match header("content-length:") {
            Some(length) => {
                let length: usize = length.parse()?;
                while self.read.len() < head + length {
                    self.more().await?;
                }
            }
            None if header("transfer-encoding:") == Some("chunked") => {
                while !self.read.ends_with(b"0\r\n\r\n") {
                    self.more().await?;
                }
            }
            None => bail!("an answer without a length: {text}"),
        }
        let success = text.split(' ').nth(1).is_some_and(|status| status.starts_with('2'));
        ensure!(success, "refused: {}", String::from_utf8_lossy(&self.read));
        if header("connection:") == Some("close") {
            *self = Self::connect(self.port).await?;
        }
        Ok(())
    }

    async fn more(&mut self) -> Result<()> {
        let read = self.stream.read_buf(&mut self.read).await.context("while reading an answer")?;
        ensure!(read > 0, "the connection was closed in an answer");
        Ok(())
    }
}
