//! Bytes that no client sends: each is refused or answered within its time, and the next caller is served as ever.

use std::{fs, time::Duration};

use anyhow::{Context as _, Result, ensure};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    time::timeout,
};

use super::fortress::Fortress;

/// Nothing here may take longer to be answered.
const SOON: Duration = Duration::from_secs(20);
/// What a long stream may add to the memory of the process, in MB.
const GROWTH: u64 = 64;
/// Length of that stream, in MB.
const LONG: usize = 256;

/// Sends bytes, and reads until the connection is closed or the body that the answer announces is there.
async fn exchange(port: u16, bytes: &[u8]) -> Result<String> {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).await?;
    // A refusal may come, and the connection be gone, before all is sent.
    let _ = stream.write_all(bytes).await;
    let mut answer = Vec::new();
    let read = async {
        let mut piece = [0; 4096];
        while !is_whole(&answer) {
            match stream.read(&mut piece).await {
                Ok(n @ 1..) => answer.extend_from_slice(&piece[..n]),
                _ => break,
            }
        }
    };
    timeout(SOON, read).await.context("no whole answer in time")?;
    Ok(String::from_utf8_lossy(&answer).into_owned())
}

fn is_whole(answer: &[u8]) -> bool {
    let text = String::from_utf8_lossy(answer);
    let Some((head, body)) = text.split_once("\r\n\r\n") else { return false };
    let length =
        head.lines().find_map(|line| line.to_lowercase().strip_prefix("content-length: ")?.parse::<usize>().ok());
    length.is_some_and(|length| body.len() >= length)
}

fn status(answer: &str) -> u16 {
    answer.split(' ').nth(1).and_then(|code| code.parse().ok()).unwrap_or_default()
}

#[tokio::test]
async fn what_is_no_http_is_refused_at_once_and_smuggles_nothing() -> Result<()> {
    let fortress = Fortress::start().await?;
    let key = fortress.key("owner")?;
    let post = |rest: &str| {
        format!(
            "POST /scoring/v1/replenishment/score HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {key}\r\n\
             Idempotency-Key: k\r\nContent-Type: application/json\r\nConnection: close\r\n{rest}"
        )
    };
    let get = |target: &str, rest: &str| {
        format!("GET {target} HTTP/1.1\r\nHost: x\r\nConnection: close\r\nAuthorization: Bearer {key}\r\n{rest}\r\n")
    };
    let many: String = (0..1000).map(|n| format!("X{n}: a\r\n")).collect();
    let deep = "[".repeat(100_000);
    let smuggled = "0\r\n\r\nGET /healthz HTTP/1.1\r\nHost: x\r\n\r\n";
    let cases: Vec<(&str, String, &[u16])> = vec![
        ("garbage", "\u{0}\u{1}\r\n\r\n".into(), &[400]),
        ("no host", "GET /healthz HTTP/1.1\r\n\r\n".into(), &[400]),
        ("two lengths", post("Content-Length: 2\r\nContent-Length: 5\r\n\r\n{}"), &[400]),
        (
            "length and chunks",
            post(&format!("Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n{smuggled}")),
            &[400],
        ),
        ("negative length", post("Content-Length: -1\r\n\r\n{}"), &[400]),
        ("length with a sign", post("Content-Length: +2\r\n\r\n{}"), &[400]),
        ("largest length", post("Content-Length: 9223372036854775807\r\n\r\n{}"), &[413]),
        ("unknown encoding", post("Transfer-Encoding: xchunked\r\n\r\n{}"), &[400]),
        ("chunk without size", post("Transfer-Encoding: chunked\r\n\r\nzz\r\n{}\r\n0\r\n\r\n"), &[400]),
        (
            "chunk beyond 64 bits",
            post("Transfer-Encoding: chunked\r\n\r\nFFFFFFFFFFFFFFFFFF\r\n{}\r\n0\r\n\r\n"),
            &[400],
        ),
        ("compressed body", post("Content-Encoding: gzip\r\nContent-Length: 2\r\n\r\n{}"), &[415]),
        ("deep nesting", post(&format!("Content-Length: {}\r\n\r\n{deep}", deep.len())), &[400, 422]),
        ("number beyond floats", post("Content-Length: 18\r\n\r\n{\"facts\": 1.0e999}"), &[400, 422]),
        ("body too large", post(&format!("Content-Length: 2000000\r\n\r\n{}", " ".repeat(2_000_000))), &[413]),
        ("a thousand headers", get("/supply/v1/audit", &many), &[431]),
        ("a megabyte of header", get("/supply/v1/audit", &format!("X: {}\r\n", "a".repeat(1_000_000))), &[431]),
        ("folded header", get("/supply/v1/audit", "X: a\r\n b\r\n"), &[400]),
        ("U+0000 in a query", get("/supply/v1/audit?subject=%00", ""), &[400]),
        ("U+0000 in a path", get("/notify/v1/messages/a%00b", ""), &[400]),
        ("no UTF-8 in a path", get("/supply/v1/facts/%ff/%fe", ""), &[400]),
        ("a path that climbs", get("/supply/../../../etc/passwd", ""), &[404]),
        ("a path that climbs in disguise", get("/supply/v1/%2e%2e/%2e%2e/etc/passwd", ""), &[404]),
        ("a proxy's request", "CONNECT example.com:443 HTTP/1.1\r\nHost: x\r\n\r\n".into(), &[404]),
        ("trace", "TRACE /supply/v1/audit HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n".into(), &[405]),
    ];
    for (name, bytes, expected) in cases {
        let answer = exchange(fortress.port, bytes.as_bytes()).await.with_context(|| name.to_owned())?;
        ensure!(expected.contains(&status(&answer)), "{name}: expected {expected:?}: {answer}");
        ensure!(answer.matches("HTTP/1.1 ").count() == 1, "{name}: more than one answer: {answer}");
    }
    let alive = exchange(fortress.port, get("/healthz", "").as_bytes()).await?;
    ensure!(status(&alive) == 200, "the next caller is answered {alive}");
    let errors = fortress.errors();
    ensure!(errors.is_empty(), "the log has errors:\n{}", errors.join("\n"));
    Ok(())
}

#[tokio::test]
async fn head_is_get_without_a_body_and_allow_says_so() -> Result<()> {
    let fortress = Fortress::start().await?;
    let key = fortress.key("owner")?;
    let http = reqwest::Client::new();
    for path in ["/supply/v1/audit", "/healthz", "/notify/docs/", "/approvals/.well-known/jwks.json"] {
        let url = format!("{}{path}", fortress.base_url());
        let (got, head) =
            tokio::try_join!(http.get(&url).bearer_auth(&key).send(), http.head(&url).bearer_auth(&key).send())?;
        ensure!(
            (got.status(), got.headers()["content-type"].clone())
                == (head.status(), head.headers()["content-type"].clone()),
            "{path}: {head:?}"
        );
        ensure!(head.bytes().await?.is_empty(), "HEAD {path} has a body");
    }
    let url = format!("{}/supply/v1/audit", fortress.base_url());
    let refused = http.request(reqwest::Method::OPTIONS, url).bearer_auth(&key).send().await?;
    ensure!(refused.status() == 405 && refused.headers()["allow"] == "GET, HEAD", "{refused:?}");
    Ok(())
}

#[tokio::test]
async fn who_sends_blank_lines_without_end_keeps_nobody_waiting() -> Result<()> {
    let fortress = Fortress::start().await?;
    let mut stream = TcpStream::connect(("127.0.0.1", fortress.port)).await?;
    let head = format!(
        "POST /scoring/v1/replenishment/stream HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {}\r\n\
         Content-Type: application/x-ndjson\r\nContent-Length: 999999999999\r\n\r\n",
        fortress.key("n8n")?
    );
    stream.write_all(head.as_bytes()).await?;
    let flood = tokio::spawn(async move {
        let blank = vec![b'\n'; 1 << 20];
        while stream.write_all(&blank).await.is_ok() {}
    });
    // Connections are dealt out to the workers in turn: each is asked.
    for _ in 0..20 {
        let alive = exchange(fortress.port, b"GET /healthz HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").await?;
        ensure!(status(&alive) == 200, "answered {alive}");
    }
    ensure!(!flood.is_finished(), "the stream ended early, so nothing was shown");
    flood.abort();
    Ok(())
}

/// Resident memory of the process, in MB.
fn resident(pid: u32) -> Result<u64> {
    let text = fs::read_to_string(format!("/proc/{pid}/status"))?;
    let line = text.lines().find_map(|line| line.strip_prefix("VmRSS:")).context("no VmRSS")?;
    Ok(line.trim().trim_end_matches(" kB").parse::<u64>()? / 1024)
}

#[tokio::test]
async fn a_stream_of_one_endless_line_is_answered_once_and_costs_no_memory() -> Result<()> {
    let mut fortress = Fortress::start().await?;
    let pid = fortress.process.pid().context("it runs")?;
    let before = resident(pid)?;
    let mut stream = TcpStream::connect(("127.0.0.1", fortress.port)).await?;
    let head = format!(
        "POST /scoring/v1/replenishment/stream HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {}\r\nConnection: close\r\n\
         Content-Type: application/x-ndjson\r\nContent-Length: {}\r\n\r\n",
        fortress.key("n8n")?,
        (LONG << 20) + 3
    );
    stream.write_all(head.as_bytes()).await?;
    let (mut answers, mut lines) = stream.split();
    let send = async {
        let piece = vec![b'a'; 1 << 20];
        let mut most = before;
        for _ in 0..LONG {
            lines.write_all(&piece).await?;
            most = most.max(resident(pid)?);
        }
        lines.write_all(b"\n{}").await?;
        anyhow::Ok(most)
    };
    let mut answer = String::new();
    let (most, _) =
        timeout(Duration::from_secs(120), async { tokio::join!(send, answers.read_to_string(&mut answer)) }).await?;
    ensure!(most? < before + GROWTH, "memory grew from {before} MB");
    let told: Vec<&str> = answer.lines().filter(|line| line.starts_with("{\"line\"")).collect();
    ensure!(
        told.len() == 2 && told[0].contains("line-too-long") && told[1].contains("\"line\":2"),
        "answered {answer}"
    );
    Ok(())
}
