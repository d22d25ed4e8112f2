//! Stands in for n8n: takes the pushes of notify and the callbacks of approvals on a port of its own, and believes
//! neither without its signature.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use actix_web::{App, HttpRequest, HttpResponse, HttpServer, dev::ServerHandle, post, web};
use anyhow::Context;
use chassis::{Clock, webhooks};
use contracts::events::StockRanLow;
use jiff::Timestamp;
use secrecy::SecretString;
use serde::Deserialize;
use serde_json::json;
use tokio::sync::{mpsc, oneshot};

/// A low-stock event as it is pushed.
#[derive(Debug, Deserialize)]
pub(super) struct Push {
    pub id: String,
    pub timestamp: Timestamp,
    pub correlation_id: String,
    pub traceparent: Option<String>,
    pub data: StockRanLow,
}

/// How an approval ended, as it is called back.
#[derive(Debug, Deserialize)]
pub(super) struct Decision {
    pub outcome: String,
    #[serde(default)]
    pub decided_by: Vec<String>,
    pub comment: Option<String>,
    pub grant: Option<String>,
    pub decided_at: Timestamp,
}

#[derive(Deserialize)]
struct Callback {
    data: Decision,
}

/// What signs each of the two.
#[derive(Clone)]
pub(super) struct Secrets {
    pub push: SecretString,
    pub callback: SecretString,
}

struct State {
    secrets: Secrets,
    clock: Clock,
    pushes: mpsc::UnboundedSender<Push>,
    /// Those who wait, by the key in the address they gave: n8n's parked executions.
    parked: Mutex<HashMap<String, oneshot::Sender<Decision>>>,
}

pub(super) struct StandIn {
    base_url: String,
    server: ServerHandle,
    state: Arc<State>,
    pushes: mpsc::UnboundedReceiver<Push>,
}

impl StandIn {
    pub(super) fn start(secrets: Secrets) -> anyhow::Result<Self> {
        let (sender, pushes) = mpsc::unbounded_channel();
        let state = Arc::new(State { secrets, clock: Clock::system(), pushes: sender, parked: Mutex::default() });
        let data = web::Data::from(Arc::clone(&state));
        let server = HttpServer::new(move || App::new().app_data(data.clone()).service(low_stock).service(resume))
            .workers(1)
            .disable_signals()
            .bind(("127.0.0.1", 0))
            .context("no port for the stand-in of n8n")?;
        let address = server.addrs().first().copied().context("the stand-in of n8n has no address")?;
        let running = server.run();
        let handle = running.handle();
        tokio::spawn(running);
        Ok(Self { base_url: format!("http://{address}"), server: handle, state, pushes })
    }

    pub(super) fn base_url(&self) -> &str {
        &self.base_url
    }

    /// Where low-stock events are to be pushed.
    pub(super) fn webhook_url(&self) -> String {
        format!("{}/webhook/steward-low-stock", self.base_url)
    }

    /// The next event, once it is there.
    pub(super) async fn next_push(&mut self, patience: Duration) -> anyhow::Result<Push> {
        let push = tokio::time::timeout(patience, self.pushes.recv()).await;
        push.context("no low-stock event was pushed in time")?.context("the stand-in of n8n has ended")
    }

    /// An address to be called back at, and the decision when it comes.
    pub(super) fn park(&self, key: &str) -> (String, oneshot::Receiver<Decision>) {
        let (sender, receiver) = oneshot::channel();
        self.state.parked.lock().unwrap_or_else(PoisonError::into_inner).insert(key.to_owned(), sender);
        (format!("{}/webhook-waiting/{key}", self.base_url), receiver)
    }

    pub(super) async fn stop(self) {
        self.server.stop(true).await;
    }
}

fn believed(state: &State, secret: &SecretString, request: &HttpRequest, body: &[u8]) -> Result<(), HttpResponse> {
    let header = |name| request.headers().get(name).and_then(|value| value.to_str().ok());
    let verified = webhooks::verify(std::slice::from_ref(secret), header, body, state.clock.now());
    verified.map(drop).map_err(|error| HttpResponse::Unauthorized().json(json!({"message": error.to_string()})))
}

#[post("/webhook/steward-low-stock")]
async fn low_stock(state: web::Data<State>, request: HttpRequest, body: web::Bytes) -> HttpResponse {
    if let Err(refused) = believed(&state, &state.secrets.push, &request, &body) {
        return refused;
    }
    match serde_json::from_slice(&body).map(|push| state.pushes.send(push).is_ok()) {
        Ok(true) => HttpResponse::Accepted().finish(),
        Ok(false) => HttpResponse::ServiceUnavailable().finish(),
        Err(error) => HttpResponse::BadRequest().json(json!({"message": error.to_string()})),
    }
}

#[post("/webhook-waiting/{key}")]
async fn resume(
    state: web::Data<State>,
    request: HttpRequest,
    key: web::Path<String>,
    body: web::Bytes,
) -> HttpResponse {
    if let Err(refused) = believed(&state, &state.secrets.callback, &request, &body) {
        return refused;
    }
    let Ok(Callback { data }) = serde_json::from_slice(&body) else { return HttpResponse::BadRequest().finish() };
    let parked = state.parked.lock().unwrap_or_else(PoisonError::into_inner).remove(key.as_str());
    match parked.map(|sender| sender.send(data)) {
        Some(Ok(())) => HttpResponse::Ok().json(json!({"message": "Workflow was resumed"})),
        // In n8n's words, which approvals understands: nobody waits here any more.
        _ => HttpResponse::Conflict().json(json!({"message": "The execution has finished already."})),
    }
}
