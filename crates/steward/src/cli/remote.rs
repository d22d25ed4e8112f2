//! Commands that ask a running fleet over its own API, with the caller's own key.

use std::time::Duration;

use anyhow::{Context, bail};
use chassis::Ids;
use clap::Subcommand;
use contracts::Problem;
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use super::{RemoteArgs, operator_key, tell};
use crate::fleet::PREFIXES;

/// How long one call may take.
const PATIENCE: Duration = Duration::from_secs(15);

/// What to do with dead letters.
#[derive(Clone, Debug, Subcommand)]
pub(super) enum DeadLetterVerb {
    /// All services' dead letters, longest waiting first.
    List,
    /// One with its payload.
    Show { service: String, id: String },
    /// Put one back into its queue.
    Replay {
        service: String,
        id: String,
        /// Kept in the audit trail.
        #[arg(long)]
        reason: String,
    },
    /// End one without doing it.
    Discard {
        service: String,
        id: String,
        /// Kept in the audit trail.
        #[arg(long)]
        reason: String,
    },
}

/// A fleet and the key to speak to it.
pub(super) struct Remote<'a> {
    args: &'a RemoteArgs,
    key: String,
    client: reqwest::Client,
}

impl<'a> Remote<'a> {
    pub(super) fn new(args: &'a RemoteArgs, patience: Duration) -> anyhow::Result<Self> {
        let client = reqwest::Client::builder().timeout(patience).build()?;
        Ok(Self { args, key: operator_key(args)?, client })
    }

    pub(super) async fn call(&self, method: Method, path: &str, body: Option<Value>) -> anyhow::Result<Value> {
        let url = format!("{}{path}", self.args.url.trim_end_matches('/'));
        let mut request = self.client.request(method, &url).bearer_auth(&self.key);
        if let Some(body) = body {
            // A new key each time: the same letter may die again and be replayed again.
            request = request.header("Idempotency-Key", format!("cli:{}", Ids::default().next())).json(&body);
        }
        let response = request.send().await.with_context(|| {
            format!("nothing answers at {url}; is the fleet running (`steward up`), or is --url wrong?")
        })?;
        let (status, text) = (response.status(), response.text().await?);
        match serde_json::from_str(&text) {
            Ok(value) if status.is_success() || status == StatusCode::SERVICE_UNAVAILABLE => Ok(value),
            Ok(value) => Err(refusal(&url, value)),
            Err(_) => bail!("{url} answered {status} with something that is not JSON; is it a Steward fleet?"),
        }
    }
}

/// A name as one segment of a path.
pub(super) fn segment(name: &str) -> String {
    name.bytes()
        .map(|byte| match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' | b'.' => char::from(byte).to_string(),
            _ => format!("%{byte:02X}"),
        })
        .collect()
}

fn refusal(url: &str, value: Value) -> anyhow::Error {
    match serde_json::from_value::<Problem>(value) {
        Ok(problem) => {
            let fields = problem.errors.iter().map(|field| format!("\n  {}: {}", field.pointer, field.detail));
            let detail = problem.detail.map_or(String::new(), |detail| format!(": {detail}"));
            anyhow::anyhow!("{}{detail}{} ({url})", problem.title, fields.collect::<String>())
        }
        Err(_) => anyhow::anyhow!("{url} refused"),
    }
}

pub(super) async fn status(args: &RemoteArgs) -> anyhow::Result<()> {
    let remote = Remote::new(args, PATIENCE)?;
    let readiness = remote.call(Method::GET, "/readyz", None).await?;
    let letters = all_dead_letters(&remote).await?;
    if args.json {
        tell(&serde_json::to_string_pretty(&json!({"readiness": readiness, "dead_letters": letters}))?);
        return Ok(());
    }
    match readiness["ready"].as_bool() {
        Some(true) => tell("ready"),
        _ => {
            tell("NOT ready:");
            readiness["reasons"].as_array().into_iter().flatten().for_each(|reason| tell(&format!("  {reason}")));
        }
    }
    readiness["degraded"].as_array().into_iter().flatten().for_each(|what| tell(&format!("degraded: {what}")));
    tell(&format!(
        "{} dead letter(s){}",
        letters.len(),
        if letters.is_empty() { "" } else { "; see `steward deadletters list`" }
    ));
    Ok(())
}

pub(super) async fn dead_letters(args: &RemoteArgs, verb: DeadLetterVerb) -> anyhow::Result<()> {
    let remote = Remote::new(args, PATIENCE)?;
    let answer = match verb {
        DeadLetterVerb::List => {
            let letters = all_dead_letters(&remote).await?;
            if !args.json {
                letters.iter().for_each(|letter| tell(&line(letter)));
                tell(&format!("{} dead letter(s)", letters.len()));
                return Ok(());
            }
            Value::Array(letters)
        }
        DeadLetterVerb::Show { service, id } => {
            remote.call(Method::GET, &format!("/{service}/v1/dead-letters/{id}"), None).await?
        }
        DeadLetterVerb::Replay { service, id, reason } => end(&remote, &service, &id, "replay", reason).await?,
        DeadLetterVerb::Discard { service, id, reason } => end(&remote, &service, &id, "discard", reason).await?,
    };
    tell(&serde_json::to_string_pretty(&answer)?);
    Ok(())
}

async fn end(remote: &Remote<'_>, service: &str, id: &str, verb: &str, reason: String) -> anyhow::Result<Value> {
    let path = format!("/{service}/v1/dead-letters/{id}/{verb}");
    remote.call(Method::POST, &path, Some(json!({"reason": reason}))).await
}

/// Every page of every service, each letter with the name of its service.
async fn all_dead_letters(remote: &Remote<'_>) -> anyhow::Result<Vec<Value>> {
    let mut all = Vec::new();
    for service in PREFIXES {
        let mut cursor = String::new();
        loop {
            let page = remote.call(Method::GET, &format!("/{service}/v1/dead-letters?limit=500{cursor}"), None).await?;
            for letter in page["items"].as_array().into_iter().flatten() {
                let mut letter = letter.clone();
                letter["service"] = json!(service);
                all.push(letter);
            }
            match page["next_cursor"].as_str() {
                Some(next) => cursor = format!("&cursor={next}"),
                None => break,
            }
        }
    }
    Ok(all)
}

fn line(letter: &Value) -> String {
    let text = |name: &str| letter[name].as_str().unwrap_or("").to_owned();
    format!(
        "{:<9} {}  {:<24} {:<32} {} attempt(s)  {}",
        text("service"),
        text("id"),
        text("destination"),
        text("about"),
        letter["attempts"],
        text("cause")
    )
}
