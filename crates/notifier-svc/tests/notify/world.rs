//! One notifier, its callers, and a neighbour that publishes events and hears everything.

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use chassis::{
    Clock, Cx, Ids, Settings,
    auth::{Grantee, KeysFile, Role, generate_key},
    host::{HostOptions, Running, start},
    prelude::Service,
};
use contracts::{Envelope, EventPayload};
use reqwest::{Method, StatusCode};
use serde_json::Value;

const CONTACTS: &str = "
contacts:
  - {id: olga, name: Olga, email: olga@example.com, locale: de, roles: [regional_ops]}
  - {id: dc-desk, name: DC desk, email: dc@example.com, locale: de, roles: [warehouse], locations: [dc-1]}
  - {id: night-desk, name: Night desk, email: night@example.com, roles: [warehouse]}
  - {id: acme, name: Acme orders, email: orders@acme.example, suppliers: [supplier-acme]}
";

pub(crate) const START: &str = "2026-11-23T08:00:00Z";
pub(crate) const PATIENCE: Duration = Duration::from_secs(10);

pub(crate) struct World {
    running: Running,
    client: reqwest::Client,
    key: String,
    pub(crate) clock: Clock,
    told: Arc<Mutex<Vec<Envelope>>>,
    _folder: tempfile::TempDir,
}

impl World {
    /// `yaml` is added to the settings: the `notify` section, allow-lists, the retry schedule.
    pub(crate) async fn start(yaml: &str) -> Self {
        Self::start_on("data_dir: FOLDER", yaml).await
    }

    /// As [`World::start`], over another store.
    pub(crate) async fn start_on(store: &str, yaml: &str) -> Self {
        testkit::install_tls_provider();
        let folder = tempfile::tempdir().unwrap();
        let (key, mut entry) = generate_key(&Ids::default(), &"n8n".to_owned().try_into().unwrap());
        entry.roles = [Role::Service, Role::Operator].into_iter().map(Grantee::everywhere).collect();
        std::fs::write(folder.path().join("keys.yaml"), KeysFile { keys: vec![entry] }.to_yaml().unwrap()).unwrap();
        std::fs::write(folder.path().join("contacts.yaml"), CONTACTS).unwrap();
        let yaml = format!(
            "http: {{listen: '127.0.0.1:0', workers: 1}}\nstore: {{{store}}}\nauth: {{keys_file: FOLDER/keys.yaml}}\n{yaml}"
        );
        let yaml =
            yaml.replace("CONTACTS", "FOLDER/contacts.yaml").replace("FOLDER", &folder.path().display().to_string());
        let settings = Settings::from_yaml(&yaml);
        let settings = settings.unwrap();
        let told: Arc<Mutex<Vec<Envelope>>> = Arc::default();
        let ears = Arc::clone(&told);
        let neighbour = Service::new("approvals", "Neighbour", "Publishes and hears.").on_any(move |_, _, event| {
            ears.lock().unwrap().push(event.clone());
            Box::pin(async { Ok(()) })
        });
        let clock = Clock::manual(START.parse().unwrap());
        let options = HostOptions { clock: clock.clone(), ..HostOptions::default() };
        let services = vec![notifier_svc::service(&settings).unwrap(), neighbour];
        let running = start(services, &settings, options).await.unwrap();
        Self { running, client: reqwest::Client::new(), key, clock, told, _folder: folder }
    }

    pub(crate) fn request(&self, method: Method, path: &str) -> reqwest::RequestBuilder {
        self.client.request(method, format!("{}/notify/v1{path}", self.running.base_url())).bearer_auth(&self.key)
    }

    pub(crate) async fn get(&self, path: &str) -> Value {
        let (status, body) = answer(self.request(Method::GET, path)).await;
        assert_eq!(status, StatusCode::OK, "{path}: {body}");
        body
    }

    /// A POST whose key is new, as that of another business event.
    pub(crate) async fn post(&self, path: &str, body: &Value) -> (StatusCode, Value) {
        let key = Ids::default().next().to_string();
        answer(self.request(Method::POST, path).header("idempotency-key", key).json(body)).await
    }

    /// As [`World::post`], waiting for the end of what was accepted.
    pub(crate) async fn post_and_wait(&self, path: &str, body: &Value) -> (StatusCode, Value) {
        let key = Ids::default().next().to_string();
        let request = self.request(Method::POST, path).header("idempotency-key", key);
        answer(request.header("prefer", "wait=10").json(body)).await
    }

    pub(crate) fn neighbour(&self) -> &Cx {
        self.running.cx("approvals").unwrap()
    }

    /// Publishes an event as the neighbour, and returns its id.
    pub(crate) async fn publish<E: EventPayload>(&self, payload: &E) -> String {
        let mut tx = self.neighbour().store().begin().await.unwrap();
        let id = tx.emit(payload).await.unwrap();
        tx.commit().await.unwrap();
        id
    }

    /// Payloads of one type that were published so far.
    pub(crate) fn heard<E: EventPayload>(&self) -> Vec<E> {
        let told = self.told.lock().unwrap();
        told.iter().filter(|event| event.kind == E::TYPE).map(|event| event.payload().unwrap()).collect()
    }

    /// Once `count` payloads of one type were published.
    pub(crate) async fn hears<E: EventPayload>(&self, count: usize) -> Vec<E> {
        testkit::eventually(PATIENCE, E::TYPE, async || {
            let heard = self.heard::<E>();
            anyhow::ensure!(heard.len() >= count, "{} of {count} heard", heard.len());
            Ok(heard)
        })
        .await
    }

    /// The exceptions, once there are `count`.
    pub(crate) async fn exceptions(&self, count: usize) -> Vec<Value> {
        testkit::eventually(PATIENCE, "the exceptions", async || {
            let listed = self.get("/exceptions").await;
            let items = listed["items"].as_array().cloned().unwrap_or_default();
            anyhow::ensure!(items.len() == count, "{listed}");
            Ok(items)
        })
        .await
    }

    /// What the audit trail says about a subject, oldest first.
    pub(crate) async fn verbs(&self, subject: &str) -> Vec<String> {
        let leaves = self.get(&format!("/audit?subject={subject}")).await;
        leaves["items"].as_array().unwrap().iter().map(|leaf| leaf["verb"].as_str().unwrap().to_owned()).collect()
    }
}

pub(crate) async fn answer(request: reqwest::RequestBuilder) -> (StatusCode, Value) {
    let response = request.send().await.unwrap();
    (response.status(), response.json().await.unwrap_or(Value::Null))
}

/// Pointers of a problem's errors.
pub(crate) fn pointers(problem: &Value) -> Vec<&str> {
    problem["errors"].as_array().unwrap().iter().map(|error| error["pointer"].as_str().unwrap()).collect()
}
