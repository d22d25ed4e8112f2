//! The demo's calls to the fleet: plain HTTP with an API key, as n8n makes them.

use std::time::Duration;

use anyhow::{Context, bail};
use contracts::Problem;
use reqwest::{
    RequestBuilder, Response, StatusCode,
    header::{CONTENT_TYPE, RETRY_AFTER},
};
use serde_json::Value;

/// Above the 10 s that a call may wait for an operation.
const TIMEOUT: Duration = Duration::from_secs(20);
/// As the HTTP Request nodes of the workflows are set.
const TRIES: usize = 3;
/// Nobody in front of a demo waits longer for a service that says "later".
const LONGEST_PAUSE: Duration = Duration::from_secs(6);

/// One caller.
#[derive(Clone, Debug)]
pub(super) struct Api {
    client: reqwest::Client,
    base_url: String,
    key: String,
}

/// What makes a creating call repeatable and findable.
#[derive(Clone, Copy, Debug)]
pub(super) struct Thread<'a> {
    /// Id of the event that started it; idempotency keys are made of it.
    pub event: &'a str,
    pub correlation: &'a str,
}

impl Api {
    pub(super) fn new(base_url: &str, key: String) -> anyhow::Result<Self> {
        let client = reqwest::Client::builder().timeout(TIMEOUT).no_proxy().build()?;
        Ok(Self { client, base_url: base_url.to_owned(), key })
    }

    pub(super) async fn get(&self, path: &str) -> anyhow::Result<Value> {
        self.json(path, || self.client.get(self.url(path))).await
    }

    /// A GET in the thread of a case.
    pub(super) async fn look(&self, path: &str, thread: Thread<'_>) -> anyhow::Result<Value> {
        self.json(path, || self.client.get(self.url(path)).header("Correlation-Id", thread.correlation)).await
    }

    /// A POST that creates nothing.
    pub(super) async fn ask(&self, path: &str, body: &Value) -> anyhow::Result<Value> {
        self.json(path, || self.client.post(self.url(path)).json(body)).await
    }

    /// A creating POST; `step` completes its idempotency key. It waits up to ten seconds for what it causes.
    pub(super) async fn act(&self, path: &str, thread: Thread<'_>, step: &str, body: &Value) -> anyhow::Result<Value> {
        let request = || {
            self.client
                .post(self.url(path))
                .header("Correlation-Id", thread.correlation)
                .header("Idempotency-Key", format!("{}:{step}", thread.event))
                .header("Prefer", "wait=10")
                .json(body)
        };
        self.json(path, request).await
    }

    /// Sends observations as one stream; a line that is not taken is an error.
    pub(super) async fn observe(&self, lines: &[Value]) -> anyhow::Result<()> {
        let path = "/supply/v1/observations";
        let body: String = lines.iter().map(|line| format!("{line}\n")).collect();
        let request =
            || self.client.post(self.url(path)).header(CONTENT_TYPE, "application/x-ndjson").body(body.clone());
        let answers = self.send(path, request).await?.text().await?;
        let refused = answers.lines().find(|answer| answer.contains("\"problem\""));
        if let Some(refused) = refused {
            bail!("an observation was not taken: {refused}");
        }
        Ok(())
    }

    /// Every item of a list, page by page.
    pub(super) async fn all(&self, path: &str) -> anyhow::Result<Vec<Value>> {
        let (mut items, mut cursor) = (Vec::new(), String::new());
        loop {
            let between = if path.contains('?') { '&' } else { '?' };
            let mut page = self.get(&format!("{path}{between}limit=500{cursor}")).await?;
            if let Some(more) = page["items"].as_array_mut() {
                items.append(more);
            }
            match page["next_cursor"].as_str() {
                Some(next) => cursor = format!("&cursor={next}"),
                None => return Ok(items),
            }
        }
    }

    pub(super) async fn text(&self, path: &str) -> anyhow::Result<String> {
        Ok(self.send(path, || self.client.get(self.url(path))).await?.text().await?)
    }

    fn url(&self, path: &str) -> String {
        format!("{}{path}", self.base_url)
    }

    async fn json(&self, path: &str, request: impl Fn() -> RequestBuilder) -> anyhow::Result<Value> {
        let answer = self.send(path, request).await?;
        answer.json().await.with_context(|| format!("{path} answered with something that is not JSON"))
    }

    async fn send(&self, path: &str, request: impl Fn() -> RequestBuilder) -> anyhow::Result<Response> {
        let mut tried = 0;
        loop {
            tried += 1;
            let answer =
                request().bearer_auth(&self.key).send().await.with_context(|| format!("{path} does not answer"))?;
            match answer.status() {
                StatusCode::SERVICE_UNAVAILABLE | StatusCode::TOO_MANY_REQUESTS if tried < TRIES => {
                    tokio::time::sleep(pause(&answer)).await;
                }
                status if status.is_success() => return Ok(answer),
                status => return Err(refusal(path, status, &answer.text().await.unwrap_or_default())),
            }
        }
    }
}

fn pause(answer: &Response) -> Duration {
    let seconds = answer.headers().get(RETRY_AFTER).and_then(|value| value.to_str().ok()?.parse().ok());
    Duration::from_secs(seconds.unwrap_or(1)).min(LONGEST_PAUSE)
}

fn refusal(path: &str, status: StatusCode, body: &str) -> anyhow::Error {
    let Ok(problem) = serde_json::from_str::<Problem>(body) else {
        return anyhow::anyhow!("{path} answered {status}");
    };
    let fields: String = problem.errors.iter().map(|field| format!("; {}: {}", field.pointer, field.detail)).collect();
    let detail = problem.detail.map_or(String::new(), |detail| format!(": {detail}"));
    anyhow::anyhow!("{path} answered {status}, {}{detail}{fields}", problem.title)
}
