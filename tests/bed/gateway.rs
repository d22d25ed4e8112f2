//! The Ingress of the test: one base URL, prefixes to backends, of which a prefix may have several that take turns. It
//! keeps a log of what passed, and can make a prefix unreachable for a while.

use std::{
    collections::{HashMap, HashSet},
    net::{SocketAddr, TcpListener},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use actix_web::{App, HttpRequest, HttpResponse, HttpServer, http::StatusCode, web};
use anyhow::{Context as _, Result};
use serde_json::json;

/// Of one hop only (RFC 9110, 7.6.1), or set anew by whoever sends.
const HOP: [&str; 4] = ["connection", "transfer-encoding", "content-length", "host"];
const MAX_BODY: usize = 16 * 1024 * 1024;

pub struct Gateway {
    base_url: String,
    state: Arc<State>,
}

struct State {
    http: reqwest::Client,
    /// Prefix and backend.
    routes: Mutex<Vec<(String, String)>>,
    turn: AtomicUsize,
    outages: Mutex<HashMap<String, Instant>>,
    delays: Mutex<HashMap<String, Duration>>,
    /// Prefix, and a part of the body.
    doubled: Mutex<HashSet<(String, String)>>,
    log: Mutex<Vec<Exchange>>,
}

/// A request that passed, or was kept from passing.
#[derive(Debug, Clone)]
pub struct Exchange {
    pub method: String,
    /// With the query.
    pub path: String,
    pub idempotency_key: Option<String>,
    pub body: String,
    pub status: u16,
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Gateway {
    pub async fn start() -> Result<Self> {
        let listener = TcpListener::bind(SocketAddr::from(([127, 0, 0, 1], testkit::free_port())))?;
        let base_url = format!("http://{}", listener.local_addr()?);
        let http = reqwest::Client::builder().redirect(reqwest::redirect::Policy::none()).build()?;
        let (routes, turn, outages, delays, doubled, log) = Default::default();
        let state = Arc::new(State { http, routes, turn, outages, delays, doubled, log });
        let data = web::Data::from(Arc::clone(&state));
        let server = HttpServer::new(move || {
            let limit = web::PayloadConfig::new(MAX_BODY);
            App::new().app_data(data.clone()).app_data(limit).default_service(web::to(forward))
        });
        tokio::spawn(server.workers(2).disable_signals().listen(listener)?.run());
        Ok(Self { base_url, state })
    }

    /// Without a slash at its end.
    pub fn base_url(&self) -> &str {
        &self.base_url
    }

    /// A further backend for the prefix.
    pub(super) fn route(&self, prefix: &str, backend: &str) {
        locked(&self.state.routes).push((prefix.to_owned(), backend.to_owned()));
    }

    /// Answers 503 for everything under the prefix until that much time is over.
    pub fn fail(&self, prefix: &str, during: Duration) {
        locked(&self.state.outages).insert(prefix.to_owned(), Instant::now() + during);
    }

    /// Keeps back answers to this method and path for that long: what was asked is done, but who asked does not know it.
    pub fn answer_late(&self, method: &str, path: &str, by: Duration) {
        locked(&self.state.delays).insert(format!("{method} {path}"), by);
    }

    /// Passes on twice at once what comes under the prefix with this in its body, and answers with the worse of both
    /// answers: so it looks when a sender dies between sending and writing down that it has sent.
    pub fn double(&self, prefix: &str, about: &str) {
        locked(&self.state.doubled).insert((prefix.to_owned(), about.to_owned()));
    }

    /// What passed so far and fits.
    pub fn passed(&self, fits: impl Fn(&Exchange) -> bool) -> Vec<Exchange> {
        locked(&self.state.log).iter().filter(|exchange| fits(exchange)).cloned().collect()
    }
}

impl State {
    fn is_out(&self, path: &str) -> bool {
        locked(&self.outages).iter().any(|(prefix, until)| path.starts_with(prefix) && Instant::now() < *until)
    }

    fn is_doubled(&self, path: &str, body: &str) -> bool {
        locked(&self.doubled).iter().any(|(prefix, about)| path.starts_with(prefix) && body.contains(about))
    }

    /// Passes it to the backend whose turn it is. One that cannot be connected to has not seen the request, so the next
    /// may have it; one that breaks off may have done what was asked, and only the caller can ask again.
    async fn send(&self, request: &HttpRequest, body: web::Bytes) -> Result<HttpResponse> {
        let mut backends = locked(&self.routes).clone();
        backends.retain(|(prefix, _)| request.path().starts_with(prefix.as_str()));
        anyhow::ensure!(!backends.is_empty(), "no such prefix");
        let first = self.turn.fetch_add(1, Ordering::Relaxed) % backends.len();
        backends.rotate_left(first);
        let mut refused = None;
        for (_, backend) in backends {
            match self.onward(request, &backend, body.clone())?.send().await {
                Err(error) if error.is_connect() => refused = Some(error),
                Err(error) => return Err(error.into()),
                Ok(answer) => return back(answer).await,
            }
        }
        Err(refused.context("no backend")?.into())
    }

    async fn pass(&self, request: &HttpRequest, body: web::Bytes) -> HttpResponse {
        let answer = self.send(request, body).await;
        answer.unwrap_or_else(|error| HttpResponse::BadGateway().body(format!("{error:#}")))
    }

    fn onward(&self, request: &HttpRequest, backend: &str, body: web::Bytes) -> Result<reqwest::RequestBuilder> {
        let method = reqwest::Method::from_bytes(request.method().as_str().as_bytes())?;
        let mut onward = self.http.request(method, format!("{backend}{}", request.uri())).body(body);
        for (name, value) in request.headers().iter().filter(|(name, _)| !HOP.contains(&name.as_str())) {
            onward = onward.header(name.as_str(), value.as_bytes());
        }
        Ok(onward)
    }
}

async fn back(answer: reqwest::Response) -> Result<HttpResponse> {
    let mut response = HttpResponse::build(StatusCode::from_u16(answer.status().as_u16())?);
    for (name, value) in answer.headers().iter().filter(|(name, _)| !HOP.contains(&name.as_str())) {
        response.append_header((name.as_str(), value.as_bytes()));
    }
    Ok(response.body(answer.bytes().await?))
}

async fn forward(state: web::Data<State>, request: HttpRequest, body: web::Bytes) -> HttpResponse {
    let header = |name: &str| request.headers().get(name).and_then(|value| value.to_str().ok()).map(str::to_owned);
    let mut exchange = Exchange {
        method: request.method().to_string(),
        path: request.uri().to_string(),
        idempotency_key: header("idempotency-key"),
        body: String::from_utf8_lossy(&body).into_owned(),
        status: 0,
    };
    let response = if state.is_out(request.path()) {
        let body = json!({"type": "about:blank", "title": "Service Unavailable", "status": 503});
        HttpResponse::ServiceUnavailable().content_type("application/problem+json").body(body.to_string())
    } else if state.is_doubled(request.path(), &exchange.body) {
        let (one, other) = tokio::join!(state.pass(&request, body.clone()), state.pass(&request, body));
        let (better, worse) = if one.status() < other.status() { (one, other) } else { (other, one) };
        locked(&state.log).push(Exchange { status: better.status().as_u16(), ..exchange.clone() });
        worse
    } else {
        state.pass(&request, body).await
    };
    let delay = locked(&state.delays).get(&format!("{} {}", exchange.method, exchange.path)).copied();
    tokio::time::sleep(delay.unwrap_or_default()).await;
    exchange.status = response.status().as_u16();
    locked(&state.log).push(exchange);
    response
}
