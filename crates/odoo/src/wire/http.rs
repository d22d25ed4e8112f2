use std::time::Duration;

use reqwest::{RequestBuilder, header, redirect};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::{Error, OdooConfig, pace::Pace};

/// Largest answer that is read, in bytes. A page of 500 records stays far below.
const MAX_ANSWER: usize = 16 * 1024 * 1024;
/// Waiting for the connection alone.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// HTTP to one Odoo: paced, bounded in time and size, never redirected (the key would travel along).
#[derive(Debug)]
pub(crate) struct Http {
    client: reqwest::Client,
    base: String,
    pace: Pace,
}

/// What came back, read to its end.
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) body: Vec<u8>,
    retry_after: Option<Duration>,
}

#[derive(Deserialize)]
struct RpcAnswer {
    result: Option<Value>,
    error: Option<RpcError>,
}

/// `debug`, the server's traceback, is left out on purpose: what is not read cannot leak.
#[derive(Deserialize)]
struct RpcError {
    #[serde(default)]
    message: String,
    data: Option<NamedError>,
}

/// How Odoo describes an error, in JSON-2 as the body, in JSON-RPC inside it. Again without `debug`.
#[derive(Deserialize)]
pub(crate) struct NamedError {
    pub(crate) name: String,
    #[serde(default)]
    pub(crate) message: String,
}

impl Http {
    pub(crate) fn new(config: &OdooConfig) -> Result<Self, Error> {
        let base = config.base_url.trim_end_matches('/').to_owned();
        let parsed = reqwest::Url::parse(&base).map_err(|e| Error::Config(format!("base_url is no URL: {e}")))?;
        if !matches!(parsed.scheme(), "http" | "https") || !parsed.username().is_empty() || parsed.password().is_some()
        {
            return Err(Error::Config("base_url must be http(s)://host[:port] without user and password".into()));
        }
        let client = reqwest::Client::builder()
            .redirect(redirect::Policy::none())
            .connect_timeout(CONNECT_TIMEOUT.min(config.timeout))
            .timeout(config.timeout)
            .build()
            .map_err(Error::Transport)?;
        Ok(Self { client, base, pace: Pace::new(config.max_calls_per_second, config.timeout)? })
    }

    pub(crate) async fn get(&self, path: &str) -> Result<Answer, Error> {
        self.send(self.client.get(format!("{}{path}", self.base))).await
    }

    pub(crate) fn post(&self, path: &str) -> RequestBuilder {
        self.client.post(format!("{}{path}", self.base))
    }

    /// Waits for its turn, sends, and reads the whole answer.
    pub(crate) async fn send(&self, request: RequestBuilder) -> Result<Answer, Error> {
        self.pace.turn().await?;
        // The URL is ours and known; an error need not carry it into logs.
        let lost = |error: reqwest::Error| Error::Transport(error.without_url());
        let mut response = request.send().await.map_err(lost)?;
        let retry_after = response
            .headers()
            .get(header::RETRY_AFTER)
            .and_then(|value| value.to_str().ok()?.parse().ok())
            .map(Duration::from_secs);
        let mut body = Vec::new();
        while let Some(chunk) = response.chunk().await.map_err(lost)? {
            if body.len() + chunk.len() > MAX_ANSWER {
                return Err(Error::TooLarge { limit: MAX_ANSWER });
            }
            body.extend_from_slice(&chunk);
        }
        Ok(Answer { status: response.status().as_u16(), body, retry_after })
    }

    /// One JSON-RPC call. The status is 200 whatever happens; the error is in the body.
    pub(crate) async fn json_rpc(&self, service: &str, method: &str, args: Value) -> Result<Value, Error> {
        let params = json!({"service": service, "method": method, "args": args});
        let body = json!({"jsonrpc": "2.0", "method": "call", "id": 1, "params": params});
        let answer = self.send(self.post("/jsonrpc").json(&body)).await?;
        let parsed: RpcAnswer = answer.json(&format!("jsonrpc {service}.{method}"))?;
        match parsed.error {
            None => Ok(parsed.result.unwrap_or(Value::Null)),
            Some(RpcError { data: Some(error), .. }) => Err(Error::named(&error.name, &error.message)),
            Some(error) => Err(Error::named("jsonrpc", &error.message)),
        }
    }
}

impl Answer {
    /// The gateway statuses that heal by themselves.
    pub(crate) fn refuse_unavailable(&self) -> Result<(), Error> {
        if matches!(self.status, 429 | 502 | 503 | 504) {
            let reason = format!("status {}", self.status);
            return Err(Error::Unavailable { reason, retry_after: self.retry_after });
        }
        Ok(())
    }

    /// The body of a success; everything else as the error that it is.
    pub(crate) fn json<T: serde::de::DeserializeOwned>(&self, call: &str) -> Result<T, Error> {
        self.refuse_unavailable()?;
        if (200..300).contains(&self.status) {
            return serde_json::from_slice(&self.body).map_err(|error| match self.looks_like_html() {
                true => self.page(),
                false => Error::unexpected(call, error.to_string()),
            });
        }
        if self.status == 401 {
            return Err(Error::Unauthorized);
        }
        match serde_json::from_slice::<NamedError>(&self.body) {
            Ok(error) => Err(Error::named(&error.name, &error.message)),
            Err(_) => Err(self.page()),
        }
    }

    fn looks_like_html(&self) -> bool {
        self.body.trim_ascii_start().starts_with(b"<")
    }

    fn page(&self) -> Error {
        let hint = match self.status {
            404 => "is the database name right, and is this Odoo 19 or later for JSON-2?",
            300..400 => "redirects are not followed: set base_url to the final address",
            _ => "is something else answering at base_url?",
        };
        Error::Html { status: self.status, hint }
    }
}
