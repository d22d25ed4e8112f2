//! The services, asked with the visitor's own session.

use std::{collections::BTreeMap, time::Duration};

use chassis::telemetry;
use contracts::Problem;
use reqwest::{Method, RequestBuilder, StatusCode, header::COOKIE};
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use serde_json::Value;

use super::visitor::Visitor;

pub(super) struct Fleet {
    client: reqwest::Client,
    base_url: String,
}

/// Why there is no answer, in words for the visitor.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Trouble {
    pub title: String,
    pub detail: String,
    /// `pointer: detail` of each bad field.
    pub fields: Vec<String>,
    pub trace_id: Option<String>,
    #[serde(skip)]
    pub status: u16,
}

/// What a page shows of one question: its answer, or why there is none.
#[derive(Debug, Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Shown<T> {
    Answer(T),
    Trouble(Trouble),
}

impl<T> From<Result<T, Trouble>> for Shown<T> {
    fn from(result: Result<T, Trouble>) -> Self {
        result.map_or_else(Self::Trouble, Self::Answer)
    }
}

/// What `/readyz` says.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Readiness {
    ready: bool,
    reasons: Vec<String>,
}

#[derive(Deserialize)]
struct Items {
    items: Vec<Value>,
}

impl Fleet {
    pub(super) fn new(base_url: &str, timeout: Duration) -> Result<Self, reqwest::Error> {
        let client = reqwest::Client::builder().timeout(timeout).no_proxy().build()?;
        Ok(Self { client, base_url: base_url.trim_end_matches('/').to_owned() })
    }

    pub(super) async fn get(&self, visitor: &Visitor, path: &str, query: &[(&str, &str)]) -> Result<Value, Trouble> {
        let request = self.request(Method::GET, path).header(COOKIE, &visitor.cookie).query(query);
        read(request).await
    }

    /// The first page of a list.
    pub(super) async fn list(
        &self,
        visitor: &Visitor,
        path: &str,
        query: &[(&str, &str)],
    ) -> Result<Vec<Value>, Trouble> {
        let request = self.request(Method::GET, path).header(COOKIE, &visitor.cookie).query(query);
        read::<Items>(request).await.map(|page| page.items)
    }

    pub(super) async fn post(
        &self,
        visitor: &Visitor,
        path: &str,
        headers: BTreeMap<&str, String>,
        body: &Value,
    ) -> Result<Value, Trouble> {
        let request = self.request(Method::POST, path).header(COOKIE, &visitor.cookie).json(body);
        read(headers.into_iter().fold(request, |request, (name, value)| request.header(name, value))).await
    }

    /// Not ready is an answer too.
    pub(super) async fn readiness(&self) -> Result<Readiness, Trouble> {
        let answer = self.request(Method::GET, "/readyz").send().await.map_err(|error| unreachable(&error))?;
        answer.json().await.map_err(|error| unreachable(&error))
    }

    fn request(&self, method: Method, path: &str) -> RequestBuilder {
        let request = self.client.request(method, format!("{}{path}", self.base_url));
        // What the visitor caused is one trace, from the page to the effect.
        match telemetry::current_traceparent() {
            Some(traceparent) => request.header("traceparent", traceparent),
            None => request,
        }
    }
}

async fn read<T: DeserializeOwned>(request: RequestBuilder) -> Result<T, Trouble> {
    let answer = request.send().await.map_err(|error| unreachable(&error))?;
    let status = answer.status();
    if status.is_success() {
        return answer.json().await.map_err(|error| unreachable(&error));
    }
    let text = answer.text().await.unwrap_or_default();
    Err(serde_json::from_str(&text).map_or_else(|_| unexplained(status), refused))
}

fn refused(problem: Problem) -> Trouble {
    let field = |error: &contracts::FieldError| format!("{}: {}", error.pointer.trim_start_matches('/'), error.detail);
    Trouble {
        fields: problem.errors.iter().map(field).collect(),
        title: problem.title,
        detail: problem.detail.unwrap_or_default(),
        trace_id: problem.trace_id,
        status: problem.status,
    }
}

fn unexplained(status: StatusCode) -> Trouble {
    let detail = format!("It answered {status} without an explanation.");
    Trouble {
        title: "The service did not understand".to_owned(),
        detail,
        fields: Vec::new(),
        trace_id: None,
        status: 502,
    }
}

fn unreachable(error: &reqwest::Error) -> Trouble {
    tracing::warn!(error = %chassis::chain(error), "a service does not answer the console");
    Trouble {
        title: "The service does not answer".to_owned(),
        detail: "It may be restarting. Load the page again in a moment.".to_owned(),
        fields: Vec::new(),
        trace_id: telemetry::current_trace_id(),
        status: 502,
    }
}
