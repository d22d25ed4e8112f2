//! The service in process, and facts to be judged.

#![expect(clippy::unwrap_used, reason = "helpers of tests; clippy exempts only the test functions themselves")]

use std::sync::{Arc, Mutex};

use chassis::{
    Clock, Ids, Settings,
    auth::{Grantee, KeysFile, Role, generate_key},
    host::{HostOptions, Running, start},
    prelude::Service,
};
use contracts::Envelope;
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use tokio::{
    io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader},
    net::TcpStream,
};

pub(crate) struct Scoring {
    pub(crate) running: Running,
    pub(crate) client: reqwest::Client,
    key: String,
    operator: String,
    pub(crate) told: Arc<Mutex<Vec<Envelope>>>,
    _folder: tempfile::TempDir,
}

impl Scoring {
    pub(crate) async fn start() -> Self {
        Self::start_on("data_dir: FOLDER").await
    }

    pub(crate) async fn start_on(store: &str) -> Self {
        Self::start_with(store, "").await
    }

    /// With more settings.
    pub(crate) async fn start_with(store: &str, more: &str) -> Self {
        testkit::install_tls_provider();
        let folder = tempfile::tempdir().unwrap();
        let made = |id: &str, roles: &[Role]| {
            let (key, mut entry) = generate_key(&Ids::default(), &id.to_owned().try_into().unwrap());
            entry.roles = roles.iter().copied().map(Grantee::everywhere).collect();
            (key, entry)
        };
        let (key, entry) = made("n8n", &[Role::Service, Role::Auditor]);
        let (operator, operators) = made("operator", &[Role::Operator]);
        let keys = folder.path().join("keys.yaml");
        std::fs::write(&keys, KeysFile { keys: vec![entry, operators] }.to_yaml().unwrap()).unwrap();
        let yaml = format!(
            "http: {{listen: '127.0.0.1:0', workers: 2}}\nstore: {{{store}}}\nauth: {{keys_file: FOLDER/keys.yaml}}\n{more}"
        );
        let settings = Settings::from_yaml(&yaml.replace("FOLDER", &folder.path().display().to_string()));
        let settings = settings.unwrap();
        let told: Arc<Mutex<Vec<Envelope>>> = Arc::default();
        let ears = Arc::clone(&told);
        let listener = Service::new("approvals", "Listener", "Hears what is told.").on_any(move |_, _, event| {
            ears.lock().unwrap().push(event.clone());
            Box::pin(async { Ok(()) })
        });
        let services = vec![scoring_svc::service(&settings).unwrap(), listener];
        let clock = Clock::manual("2026-11-23T08:00:00Z".parse().unwrap());
        let running = start(services, &settings, HostOptions { clock, ..HostOptions::default() }).await.unwrap();
        Self { running, client: reqwest::Client::new(), key, operator, told, _folder: folder }
    }

    pub(crate) fn request(&self, method: Method, path: &str) -> reqwest::RequestBuilder {
        self.client.request(method, format!("{}/scoring{path}", self.running.base_url())).bearer_auth(&self.key)
    }

    pub(crate) async fn get(&self, path: &str) -> (StatusCode, Value) {
        answer(self.request(Method::GET, path)).await
    }

    pub(crate) async fn post(&self, path: &str, body: &Value) -> (StatusCode, Value) {
        answer(self.request(Method::POST, path).json(body)).await
    }

    /// As [`Scoring::post`], by the operator.
    pub(crate) async fn operate(&self, path: &str, body: &Value) -> (StatusCode, Value) {
        self.operate_with(path, body.to_string()).await
    }

    /// As [`Scoring::operate`], with the body's very bytes.
    pub(crate) async fn operate_with(&self, path: &str, body: String) -> (StatusCode, Value) {
        let url = format!("{}/scoring{path}", self.running.base_url());
        let request = self.client.post(url).bearer_auth(&self.operator).header("content-type", "application/json");
        answer(request.body(body)).await
    }

    /// The status line of the answer to the head of a request alone: who announces too much is answered at once.
    pub(crate) async fn announce(&self, path: &str, bytes: usize) -> String {
        let mut stream = TcpStream::connect(self.running.base_url().trim_start_matches("http://")).await.unwrap();
        let key = &self.operator;
        let head = format!(
            "POST /scoring{path} HTTP/1.1\r\nhost: here\r\nauthorization: Bearer {key}\r\n\
             content-type: application/json\r\ncontent-length: {bytes}\r\n\r\n"
        );
        stream.write_all(head.as_bytes()).await.unwrap();
        let mut status = String::new();
        BufReader::new(stream).read_line(&mut status).await.unwrap();
        status
    }

    pub(crate) async fn score(&self, key: &str, body: &Value) -> (StatusCode, Value) {
        answer(self.request(Method::POST, "/v1/replenishment/score").header("idempotency-key", key).json(body)).await
    }

    pub(crate) async fn stream(&self, lines: &[String]) -> Vec<Value> {
        let request = self.request(Method::POST, "/v1/replenishment/stream");
        let request = request.header("content-type", "application/x-ndjson").body(lines.join("\n"));
        let response = request.send().await.unwrap();
        assert_eq!(response.status(), StatusCode::OK);
        response.text().await.unwrap().lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }
}

pub(crate) async fn answer(request: reqwest::RequestBuilder) -> (StatusCode, Value) {
    let response = request.send().await.unwrap();
    (response.status(), response.json().await.unwrap_or(Value::Null))
}

/// A fast seller with two days of stock left and a donor nearby.
pub(crate) fn facts() -> Value {
    json!({
        "product": "SKU-1", "location": "store-1", "as_of": "2026-11-23T07:00:00Z",
        "item": {"unit_cost": {"minor": 500, "currency": "EUR"}, "unit_price": {"minor": 900, "currency": "EUR"}, "pack": 6},
        "place": {"region": "north"},
        "stock": {"on_hand": 10.0, "observed_at": "2026-11-23T06:59:00Z"},
        "demand": {"first_day": "2026-09-24", "units": (0..60).map(|day| f64::from(4 + day % 4)).collect::<Vec<_>>()},
        "lead_time": {"supplier": "acme", "promised_days": 5.0, "seen_days": [4.0, 5.0, 6.0, 5.0, 7.0]},
        "donors": [{"location": "dc-1", "region": "north", "daily_demand": 2.0, "transfer_days": 1.0,
            "stock": {"on_hand": 400.0, "observed_at": "2026-11-23T06:59:00Z"}}],
    })
}

pub(crate) fn line(facts: &Value) -> String {
    json!({"facts": facts}).to_string()
}

/// The first event of the type.
pub(crate) async fn heard(scoring: &Scoring, kind: &str) -> Value {
    for _ in 0..200 {
        if let Some(event) = scoring.told.lock().unwrap().iter().find(|event| event.kind == kind) {
            return serde_json::from_str(event.data.get()).unwrap();
        }
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
    panic!("{kind} was not told");
}
