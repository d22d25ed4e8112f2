//! What n8n's workflow does with a push, to the last repeat: ask for approval, wait for the decision, spend the grant.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use anyhow::{Context as _, Result, bail, ensure};
use reqwest::{RequestBuilder, StatusCode};
use serde_json::{Value, json};
use steward_e2e::bed::{DONOR_ABROAD, STORE, Who};
use testkit::Taken;
use tokio::{
    sync::watch,
    task::JoinSet,
    time::{Instant, sleep},
};

use crate::ground::{Ground, PATIENCE, Stream};

/// As long as n8n's HTTP node waits for an answer.
const ANSWER: Duration = Duration::from_secs(30);
const PAUSE: Duration = Duration::from_millis(200);
const QUANTITY: f64 = 40.0;

impl Ground {
    pub(crate) fn url(&self, path: &str) -> String {
        format!("{}{path}", self.gateway.base_url())
    }

    pub(crate) fn as_n8n(&self, request: RequestBuilder) -> RequestBuilder {
        request.bearer_auth(&self.n8n_key)
    }

    /// Asks again until there is an answer: no connection, 5xx, 429 and 409 "still running" are none, and neither is
    /// `also`. Any other refusal is an error.
    pub(crate) async fn insist(&self, what: &str, also: u16, ask: impl Fn() -> RequestBuilder) -> Result<String> {
        let deadline = Instant::now() + PATIENCE;
        let mut last = String::from("never asked");
        while Instant::now() < deadline {
            match ask().timeout(ANSWER).send().await {
                Ok(answer) => {
                    let status = answer.status();
                    // An answer that breaks off is none.
                    let text = answer.text().await;
                    match text {
                        Ok(text) if status.is_success() || status == StatusCode::SEE_OTHER => return Ok(text),
                        Ok(text) if is_no_answer(status, &text) || status.as_u16() == also => {
                            last = format!("{status}: {text}");
                        }
                        Ok(text) => bail!("{what} was answered {status}: {text}"),
                        Err(error) => last = format!("{error:#}"),
                    }
                }
                Err(error) => last = format!("{error:#}"),
            }
            sleep(PAUSE).await;
        }
        bail!("{what} was not answered within {PATIENCE:?}; last: {last}")
    }

    /// Tells supply something; the whole is told again until every line was accepted.
    pub(crate) async fn observe(&self, lines: &[Value]) -> Result<()> {
        let body: String = lines.iter().map(|line| format!("{line}\n")).collect();
        let deadline = Instant::now() + PATIENCE;
        let ask = || {
            let request = self.as_n8n(self.http.post(self.url("/supply/v1/observations")));
            request.header("content-type", "application/x-ndjson").body(body.clone())
        };
        while Instant::now() < deadline {
            let answer = self.insist("observations", 0, ask).await?;
            // A store that went away in mid-stream is told line by line.
            if answer.lines().filter(|line| line.contains("\"accepted\":true")).count() == lines.len() {
                return Ok(());
            }
            sleep(PAUSE).await;
        }
        bail!("observations were not accepted within {PATIENCE:?}")
    }
}

fn is_no_answer(status: StatusCode, text: &str) -> bool {
    let busy = status == StatusCode::CONFLICT && text.contains("still");
    busy || status.is_server_error() || status == StatusCode::TOO_MANY_REQUESTS
}

/// The grants that have come back, by article.
type Grants = Arc<watch::Sender<BTreeMap<String, String>>>;

/// Follows the ledger of what n8n was told until every case of the stream has its transfer.
pub(crate) async fn follow(ground: &Arc<Ground>, stream: Stream) -> Result<()> {
    let wanted: Vec<String> = stream.cases().collect();
    let (mut read, mut begun) = (0, 0);
    let grants: Grants = Arc::default();
    let mut cases: JoinSet<Result<()>> = JoinSet::new();
    let deadline = Instant::now() + PATIENCE;
    while begun < wanted.len() || !cases.is_empty() {
        ensure!(Instant::now() < deadline, "{begun} of {} cases began, {} go on", wanted.len(), cases.len());
        for taken in ground.ears.taken_since(read) {
            read += 1;
            match heard(&taken)? {
                Heard::Decision { sku, grant } => grants.send_modify(|known| drop(known.insert(sku, grant))),
                Heard::Fall { sku, case } if wanted.contains(&sku) => {
                    begun += 1;
                    let (ground, grants) = (Arc::clone(ground), Arc::clone(&grants));
                    cases.spawn(async move {
                        let what = format!("the case of {sku}");
                        run(&ground, &grants, &sku, &taken.key, &case).await.context(what)
                    });
                }
                Heard::Fall { .. } => {}
            }
        }
        while let Some(ended) = cases.try_join_next() {
            ended??;
        }
        sleep(PAUSE).await;
    }
    Ok(())
}

enum Heard {
    Fall { sku: String, case: String },
    Decision { sku: String, grant: String },
}

fn heard(taken: &Taken) -> Result<Heard> {
    let body: Value = serde_json::from_slice(&taken.body)?;
    let text = |value: &Value| value.as_str().map(str::to_owned).with_context(|| format!("heard {body}"));
    Ok(match taken.path.strip_prefix("/resume/") {
        Some(sku) => Heard::Decision { sku: sku.to_owned(), grant: text(&body["data"]["grant"])? },
        None => Heard::Fall { sku: text(&body["data"]["product"])?, case: text(&body["correlation_id"])? },
    })
}

/// One case. Keys come from the event, as in the shipped workflow, so every repeat is the same command.
async fn run(ground: &Ground, grants: &Grants, sku: &str, event: &str, case: &str) -> Result<()> {
    let post = |path: &str, key: &str, body: &Value| {
        let request = ground.as_n8n(ground.http.post(ground.url(path))).json(body);
        request.header("idempotency-key", format!("{key}-{event}")).header("correlation-id", case)
    };
    let facts = ground.as_n8n(ground.http.get(ground.url(&format!("/supply/v1/facts/{sku}/{STORE}"))));
    let ask = || facts.try_clone().unwrap_or_else(|| ground.http.get("http://127.0.0.1:9/"));
    let facts: Value = serde_json::from_str(&ground.insist("facts", 0, ask).await?)?;
    let action = json!({"type": "transfer", "product": sku, "from": DONOR_ABROAD, "to": STORE, "quantity": QUANTITY});
    let wish = json!({"title": format!("{QUANTITY} x {sku}"), "action": action, "facts": facts, "reference": event,
        "callback": {"url": format!("{}/resume/{sku}", ground.ears.base_url())}});
    ground.insist("the request", 0, || post("/approvals/v1/approvals", "approval", &wish)).await?;
    decide(ground, sku).await?;
    let mut known = grants.subscribe();
    let decided = tokio::time::timeout(PATIENCE, known.wait_for(|grants| grants.contains_key(sku))).await;
    let grant = decided.context("no decision came back")??.get(sku).cloned();
    let order = json!({"action": action, "grant": grant, "note": format!("for {sku}")});
    ground.insist("the transfer", 0, || post("/supply/v1/transfers", "transfer", &order)).await?;
    Ok(())
}

/// A person reads the mail and presses the button behind its link.
async fn decide(ground: &Ground, sku: &str) -> Result<()> {
    let olga = Who::Olga.address();
    let deadline = Instant::now() + PATIENCE;
    let mail = loop {
        if let Some(mail) = ground.mails.find(|mail| mail.subject.contains(sku) && mail.to.contains(&olga)) {
            break mail;
        }
        ensure!(Instant::now() < deadline, "nobody was asked");
        sleep(PAUSE).await;
    };
    let link = mail.link("/approvals/decide/").context("the mail has no link")?;
    let form = [("decision", "approve"), ("comment", "")];
    ground.insist("the decision", 0, || ground.http.post(link).form(&form)).await?;
    Ok(())
}
