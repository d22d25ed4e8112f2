//! A caller of the fleet, through the gateway.

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use reqwest::{Client, RequestBuilder, StatusCode, header, redirect::Policy};
use serde_json::Value;

pub struct Api {
    base: String,
    key: Option<String>,
    http: Client,
}

/// Status, text, and where it leads.
#[derive(Debug, Clone)]
pub struct Answer {
    pub status: StatusCode,
    pub location: Option<String>,
    pub text: String,
}

impl Answer {
    /// The JSON of a 2xx.
    pub fn success(&self) -> Result<Value> {
        ensure!(self.status.is_success(), "answered {}: {}", self.status, self.text);
        serde_json::from_str(&self.text).with_context(|| format!("no JSON: {}", self.text))
    }
}

impl Api {
    pub(super) fn new(base: &str, key: Option<String>) -> Self {
        let http = Client::builder().redirect(Policy::none()).timeout(Duration::from_secs(30)).build();
        Self { base: base.to_owned(), key, http: http.unwrap_or_default() }
    }

    /// `path` may also be a whole URL.
    pub async fn get(&self, path: &str) -> Result<Answer> {
        self.send(self.http.get(self.url(path))).await
    }

    pub async fn post(&self, path: &str, body: &Value) -> Result<Answer> {
        self.send(self.http.post(self.url(path)).json(body)).await
    }

    /// A POST that names itself.
    pub async fn create(&self, path: &str, key: &str, body: &Value) -> Result<Answer> {
        self.send(self.http.post(self.url(path)).header("Idempotency-Key", key).json(body)).await
    }

    /// What the button of a page sends.
    pub async fn post_form(&self, url: &str, fields: &[(&str, &str)]) -> Result<Answer> {
        self.send(self.http.post(self.url(url)).form(fields)).await
    }

    pub async fn post_ndjson(&self, path: &str, lines: &str) -> Result<String> {
        let request = self.http.post(self.url(path)).header(header::CONTENT_TYPE, "application/x-ndjson");
        let answer = self.send(request.body(lines.to_owned())).await?;
        ensure!(answer.status.is_success(), "{path} answered {}: {}", answer.status, answer.text);
        Ok(answer.text)
    }

    fn url(&self, path: &str) -> String {
        if path.starts_with("http") { path.to_owned() } else { format!("{}{path}", self.base) }
    }

    async fn send(&self, request: RequestBuilder) -> Result<Answer> {
        let request = self.key.iter().fold(request, RequestBuilder::bearer_auth);
        let answer = request.send().await?;
        let status = answer.status();
        let location = answer.headers().get(header::LOCATION).and_then(|value| value.to_str().ok()).map(str::to_owned);
        Ok(Answer { status, location, text: answer.text().await? })
    }
}
