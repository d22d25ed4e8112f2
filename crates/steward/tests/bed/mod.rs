//! A fleet in this process over a temporary folder, with the console at its root, and a browser without scripts.

use std::{net::TcpListener, path::Path, time::Duration};

use chassis::{
    Clock, Ids, Settings,
    auth::{Auth, Grantee, KeyId, KeysFile, Role, generate_key},
    host::{HostOptions, Running, start},
    shared::Shared,
};
use contracts::{Facts, PersonId};
use reqwest::{Client, Response, StatusCode, redirect::Policy};
use serde_json::{Value, json};
use steward::{console, fleet};

/// The thread of business of everything the bed does.
pub(crate) const CASE: &str = "thread-1";

pub(crate) struct Bed {
    pub(crate) browser: Client,
    /// The key of a person who may do all that the console shows.
    pub(crate) olga: String,
    service: String,
    /// A store manager's key.
    mia: String,
    settings: Settings,
    running: Running,
    _folder: tempfile::TempDir,
}

pub(crate) struct Visitor<'a> {
    bed: &'a Bed,
    cookie: String,
}

impl Bed {
    pub(crate) async fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let [service, olga, mia, _] = keys(folder.path());
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let base_url = format!("http://{}", listener.local_addr().unwrap());
        let file = |name: &str| folder.path().join(name).display().to_string();
        std::fs::write(file("session"), "a secret that is long enough to be one").unwrap();
        std::fs::write(
            file("directory.yaml"),
            "people:
  - {id: olga, name: Olga, roles: [{role: regional_ops}, {role: operator}]}
  - {id: finn, name: Finn, roles: [{role: finance}, {role: procurement_lead}]}
limits: [{name: store, role: store_manager, per_request: {minor: 30000, currency: EUR}}]
overrides: [{role: operator, cap: {minor: 50000, currency: EUR}, reviewer: finance, review_within: 1d}]",
        )
        .unwrap();
        std::fs::write(
            file("contacts.yaml"),
            "contacts: [{id: desk, name: Desk, email: desk@example.com, roles: [warehouse]}]",
        )
        .unwrap();
        let settings = json!({
            "public_url": base_url,
            "http": {"workers": 2},
            "store": {"data_dir": file("store")},
            "auth": {"keys_file": file("keys.yaml"), "session_secret_file": file("session")},
            "outgoing": {"allow": ["127.0.0.1"]},
            "approvals": {"directory_file": file("directory.yaml")},
            "notify": {"contacts_file": file("contacts.yaml")},
        });
        let settings = Settings::from_yaml(&settings.to_string()).unwrap();
        let extra = Some(console::routes(&base_url, &settings).unwrap());
        let options = HostOptions { listener: Some(listener), extra, ..HostOptions::default() };
        let running = start(fleet::services(&settings).unwrap(), &settings, options).await.unwrap();
        let browser = Client::builder().no_proxy().redirect(Policy::none()).build().unwrap();
        Self { browser, olga, service, mia, settings, running, _folder: folder }
    }

    pub(crate) fn url(&self, path: &str) -> String {
        format!("{}{path}", self.running.base_url())
    }

    pub(crate) fn sign_in_token(&self) -> String {
        self.token("olga")
    }

    fn token(&self, person: &str) -> String {
        let clock = Clock::system();
        let auth = Auth::new(&self.settings.common.auth, clock.clone(), Shared::in_process(&clock)).unwrap();
        let key = KeyId::try_from(person.to_owned()).unwrap();
        auth.sign_in_token(&key, Some(&PersonId::new(person).unwrap()), Duration::from_secs(60)).unwrap()
    }

    pub(crate) async fn sign_in(&self) -> Visitor<'_> {
        self.sign_in_as("olga").await
    }

    pub(crate) async fn sign_in_as(&self, person: &str) -> Visitor<'_> {
        let form = [("token", self.token(person))];
        let answer = self.browser.post(self.url("/sign-in")).form(&form).send().await.unwrap();
        let cookie = answer.headers()["set-cookie"].to_str().unwrap();
        Visitor { bed: self, cookie: cookie.split(';').next().unwrap().to_owned() }
    }

    /// Asks for a transfer across regions, which the built-in policy lets regional operations decide.
    pub(crate) async fn waiting_approval(&self) -> String {
        let action =
            json!({"type": "transfer", "product": "SKU-1", "from": "store-7", "to": "store-1", "quantity": 24.0});
        let body = json!({"title": "Move 24 × Coffee", "action": action, "facts": facts()});
        let answer = self.act("/approvals/v1/approvals", &body).await;
        assert_eq!(answer["status"], "waiting", "{answer}");
        answer["id"].as_str().unwrap().to_owned()
    }

    /// As many more, each losing a euro an hour less by waiting than the one before; the first loses this many.
    pub(crate) async fn crowd(&self, euros: u32) {
        for euros in (1..=euros).rev() {
            let action =
                json!({"type": "transfer", "product": "SKU-1", "from": "store-7", "to": "store-1", "quantity": 24.0});
            let cost = json!({"minor": euros * 100, "currency": "EUR"});
            let title = format!("Loses {euros} euros");
            let body = json!({"title": title, "action": action, "facts": facts(), "cost_of_waiting_per_hour": cost});
            assert_eq!(self.act("/approvals/v1/approvals", &body).await["status"], "waiting");
        }
    }

    /// Olga breaks the glass for a request that waits.
    pub(crate) async fn overridden(&self) -> String {
        let id = self.waiting_approval().await;
        let why = json!({"reason": "The truck <leaves> now.", "ticket": "INC-4711"});
        let done = self.act_as(&self.olga, &format!("/approvals/v1/approvals/{id}/override"), &why).await;
        assert_eq!(done["status"], "approved", "{done}");
        id
    }

    /// Two purchases of one person, each just below a limit that they pass together; the ids in their order.
    pub(crate) async fn split_purchase(&self) -> [String; 2] {
        let mut ids = Vec::new();
        for quantity in [20.0, 22.0] {
            let action = json!({"type": "purchase", "product": "SKU-1", "to": "store-1", "supplier": "roaster",
                "quantity": quantity});
            let body = json!({"title": "Coffee", "action": action, "facts": facts()});
            let asked = self.act_as(&self.mia, "/approvals/v1/approvals", &body).await;
            ids.push(asked["id"].as_str().unwrap_or_else(|| panic!("{asked}")).to_owned());
        }
        ids.try_into().unwrap()
    }

    /// A mail that nobody can send, given up at once.
    pub(crate) async fn dead_letter(&self) -> String {
        let data = json!({"product": "SKU-1", "from": "store-7", "to": "store-1", "quantity": 24,
            "odoo_name": "S7/INT/00001", "projected_available": 28});
        let body = json!({"template": "transfer-drafted", "to": {"role": "warehouse"}, "data": data});
        let message = self.act("/notify/v1/messages", &body).await;
        assert_eq!(message["state"], "failed", "{message}");
        message["recipients"][0]["operation"].as_str().unwrap().to_owned()
    }

    pub(crate) async fn approval(&self, id: &str) -> Value {
        self.get(&format!("/approvals/v1/approvals/{id}")).await
    }

    /// Waits until a replayed dead letter has been given up again.
    pub(crate) async fn until_attempted_again(&self, id: &str) {
        for _ in 0..200 {
            let trail = self.get("/notify/v1/audit?limit=500").await;
            let replayed =
                trail["items"].as_array().unwrap().iter().any(|entry| entry["verb"] == "dead_letter.replayed");
            let letter = self.get(&format!("/notify/v1/operations/{id}")).await;
            if replayed && letter["state"] == "dead" && letter["attempts"] == 1 {
                return;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        panic!("the replayed letter was not attempted");
    }

    async fn get(&self, path: &str) -> Value {
        self.browser.get(self.url(path)).bearer_auth(&self.olga).send().await.unwrap().json().await.unwrap()
    }

    async fn act(&self, path: &str, body: &Value) -> Value {
        self.act_as(&self.service, path, body).await
    }

    async fn act_as(&self, key: &str, path: &str, body: &Value) -> Value {
        let request = self.browser.post(self.url(path)).bearer_auth(key).json(body);
        let key = Ids::default().next().to_string();
        let headed = request.header("Idempotency-Key", key).header("Correlation-Id", CASE).header("Prefer", "wait=10");
        headed.send().await.unwrap().json().await.unwrap()
    }
}

impl Visitor<'_> {
    pub(crate) async fn page(&self, path: &str) -> String {
        let answer = self.bed.browser.get(self.bed.url(path)).header("cookie", &self.cookie).send().await.unwrap();
        let (status, policy) = (answer.status(), answer.headers()["content-security-policy"].clone());
        let page = answer.text().await.unwrap();
        assert_eq!(status, StatusCode::OK, "{path}: {page}");
        assert!(policy.to_str().unwrap().starts_with("default-src 'none'"), "{path}");
        page
    }

    pub(crate) async fn post(&self, path: &str, form: &[(&str, &str)]) -> Response {
        let request = self.bed.browser.post(self.bed.url(path)).header("cookie", &self.cookie);
        request.form(form).send().await.unwrap()
    }
}

/// A store that is nearly out of coffee, and one in another region that has plenty.
fn facts() -> Facts {
    let facts: Facts = serde_json::from_value(json!({
        "product": "SKU-1", "location": "store-1", "as_of": "2026-11-23T08:00:00Z",
        "item": {"name": "Coffee", "unit_cost": {"minor": 1200, "currency": "EUR"}}, "place": {"region": "north"},
        "stock": {"on_hand": 4.0, "observed_at": "2026-11-23T07:59:00Z"},
        "demand": {"first_day": "2026-11-20", "units": [3.0, 2.0, 5.0]},
        "lead_time": {"seen_days": [2.0, 3.0]},
        "donors": [{"location": "store-7", "region": "south", "daily_demand": 1.0, "transfer_days": 1.0,
            "stock": {"on_hand": 90.0, "observed_at": "2026-11-23T07:59:00Z"}}]
    }))
    .unwrap();
    facts.seal().unwrap()
}

/// The value of a hidden field.
pub(crate) fn hidden<'p>(page: &'p str, name: &str) -> &'p str {
    let field = format!("name=\"{name}\" value=\"");
    page.split_once(&field).unwrap_or_else(|| panic!("no field {name}: {page}")).1.split('"').next().unwrap()
}

/// A program, a person who may do everything, one who manages a store, and one of finance.
fn keys(folder: &Path) -> [String; 4] {
    let ids = Ids::default();
    let wanted: [(&str, &[Role], bool); 4] = [
        ("n8n", &[Role::Service], false),
        ("olga", &[Role::RegionalOps, Role::Operator, Role::Auditor, Role::Admin], true),
        ("mia", &[Role::StoreManager], true),
        ("finn", &[Role::Finance], true),
    ];
    let mut entries = Vec::new();
    let plain = wanted.map(|(id, roles, person)| {
        let (plain, mut entry) = generate_key(&ids, &KeyId::try_from(id.to_owned()).unwrap());
        entry.roles = roles.iter().copied().map(Grantee::everywhere).collect();
        entry.person = person.then(|| PersonId::new(id).unwrap());
        entries.push(entry);
        plain
    });
    std::fs::write(folder.join("keys.yaml"), KeysFile { keys: entries }.to_yaml().unwrap()).unwrap();
    plain
}
