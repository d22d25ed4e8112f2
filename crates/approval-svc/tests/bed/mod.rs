//! The test bed: a running service, people with keys, and a clock in the test's hand.

use std::{
    fs,
    path::Path,
    sync::atomic::{AtomicU32, Ordering},
    time::Duration,
};

use chassis::{
    Clock, Settings,
    host::{self, HostOptions, Running},
};
use contracts::{EventPayload, Facts};
use governance::{GrantSigner, Jwks};
use reqwest::{Client, Method, RequestBuilder, redirect::Policy};
use serde_json::{Value, json};
use sqlx::Row;
use tempfile::TempDir;

const PUBLIC_URL: &str = "http://steward.test";
const PEOPLE: &str = "
people:
  - {id: olga, name: Olga Ruiz, email: olga@shop.test, roles: [{role: regional_ops, region: south}]}
  - {id: sven, name: Sven Berg, roles: [{role: regional_ops, region: south}]}
  - {id: opal, name: Opal Kim, roles: [{role: operator}]}
  - {id: finn, name: Finn Low, roles: [{role: finance}]}
  - {id: mia, name: Mia Wolf, roles: [{role: store_manager, location: store-1}]}
";
/// Id, person, role and where it counts.
const CALLERS: [(&str, &str, &str); 9] = [
    ("n8n", "", "role: service"),
    ("olga", "olga", "role: regional_ops, regions: [south]"),
    ("sven", "sven", "role: regional_ops, regions: [south]"),
    ("opal", "opal", "role: operator"),
    ("finn", "finn", "role: finance"),
    ("mia", "mia", "role: store_manager, locations: [store-1]"),
    ("wim", "wim", "role: regional_ops, regions: [west]"),
    ("audra", "audra", "role: auditor"),
    ("petra", "petra", "role: policy_owner"),
];

/// What a test wants other than usual.
#[derive(Clone, Copy, Default)]
pub(crate) struct Wish<'a> {
    /// YAML instead of the policy that comes with Steward.
    pub(crate) policy: Option<&'a str>,
    /// Address allowed as callback.
    pub(crate) callbacks: Option<&'a str>,
    /// More of the directory than its people: limits, overrides.
    pub(crate) authority: Option<&'a str>,
    /// URL of PostgreSQL; two beds on one are two replicas.
    pub(crate) store: Option<&'a str>,
    /// YAML of opening hours.
    pub(crate) calendars: Option<&'a str>,
}

pub(crate) struct Bed {
    pub(crate) clock: Clock,
    running: Running,
    settings: Settings,
    client: Client,
    folder: TempDir,
    keys: AtomicU32,
}

/// An answer, its body as JSON where it is JSON.
#[derive(Debug)]
pub(crate) struct Seen {
    pub(crate) status: u16,
    pub(crate) etag: Option<String>,
    pub(crate) body: Value,
}

impl Seen {
    /// The slug of a problem document.
    pub(crate) fn problem(&self) -> &str {
        self.body["type"].as_str().unwrap_or_default().rsplit('/').next().unwrap_or_default()
    }
}

/// A signing key that is the same in every run.
pub(crate) fn key(number: u8) -> GrantSigner {
    GrantSigner::from_seed(&[number; 32]).unwrap()
}

impl Bed {
    pub(crate) async fn start() -> Self {
        Self::with(&Wish::default()).await
    }

    pub(crate) async fn with(wish: &Wish<'_>) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let settings = Settings::from_yaml(&settings(folder.path(), wish)).unwrap();
        let clock = Clock::manual("2026-11-23T08:00:00Z".parse().unwrap());
        let running = run(&settings, &clock).await;
        let client = Client::builder().redirect(Policy::none()).build().unwrap();
        Self { clock, running, settings, client, folder, keys: AtomicU32::new(0) }
    }

    /// The same store under a new process.
    pub(crate) async fn restart(self) -> Self {
        let Self { clock, running, settings, client, folder, keys } = self;
        running.shutdown().await;
        let running = run(&settings, &clock).await;
        Self { clock, running, settings, client, folder, keys }
    }

    pub(crate) async fn stop(self) {
        self.running.shutdown().await;
    }

    /// Signs with `fresh` from now on and keeps publishing the old keys.
    pub(crate) fn rotate_key(&self, old: &Jwks, fresh: &GrantSigner) {
        fs::write(self.folder.path().join("published/retired.json"), serde_json::to_vec(old).unwrap()).unwrap();
        fs::write(self.folder.path().join("signing.der"), fresh.pkcs8_der()).unwrap();
    }

    /// A request below the service's prefix, or to a whole path that begins with it.
    pub(crate) fn http(&self, method: Method, path: &str) -> RequestBuilder {
        let path = path.strip_prefix("/approvals").unwrap_or(path);
        self.client.request(method, format!("{}/approvals{path}", self.running.base_url()))
    }

    async fn call(&self, caller: &str, request: RequestBuilder) -> Seen {
        let request = if caller.is_empty() { request } else { request.bearer_auth(token(caller)) };
        let response = request.send().await.unwrap();
        let status = response.status().as_u16();
        let etag = response.headers().get("etag").map(|etag| etag.to_str().unwrap().to_owned());
        let text = response.text().await.unwrap();
        Seen { status, etag, body: serde_json::from_str(&text).unwrap_or(Value::String(text)) }
    }

    pub(crate) async fn get(&self, caller: &str, path: &str) -> Seen {
        self.call(caller, self.http(Method::GET, path)).await
    }

    pub(crate) async fn post(&self, caller: &str, path: &str, key: Option<&str>, body: &Value) -> Seen {
        let request = self.http(Method::POST, path).json(body);
        let request = match key {
            Some(key) => request.header("idempotency-key", key),
            None => request,
        };
        self.call(caller, request).await
    }

    /// A document as its author has it.
    pub(crate) async fn post_yaml(&self, caller: &str, path: &str, text: &str) -> Seen {
        let request = self.http(Method::POST, path).header("content-type", "application/yaml").body(text.to_owned());
        self.call(caller, request).await
    }

    /// A new request by n8n.
    pub(crate) async fn ask(&self, body: &Value) -> Value {
        let key = format!("key-{}", self.keys.fetch_add(1, Ordering::Relaxed));
        let seen = self.post("n8n", "/v1/approvals", Some(&key), body).await;
        assert_eq!(seen.status, 201, "{}", seen.body);
        seen.body
    }

    pub(crate) async fn ask_id(&self, body: &Value) -> String {
        self.ask(body).await["id"].as_str().unwrap().to_owned()
    }

    pub(crate) async fn decide(&self, caller: &str, id: &str, body: Value) -> Seen {
        self.post(caller, &format!("/v1/approvals/{id}/decisions"), None, &body).await
    }

    pub(crate) async fn decide_seeing(&self, caller: &str, id: &str, etag: &str, body: Value) -> Seen {
        let request = self.http(Method::POST, &format!("/v1/approvals/{id}/decisions"));
        self.call(caller, request.header("if-match", etag).json(&body)).await
    }

    pub(crate) async fn put(&self, caller: &str, path: &str, etag: Option<&str>, body: &Value) -> Seen {
        let request = self.http(Method::PUT, path).json(body);
        let request = match etag {
            Some(etag) => request.header("if-match", etag),
            None => request,
        };
        self.call(caller, request).await
    }

    /// Everything that a look must not change: the requests, their trail, and what was promised.
    pub(crate) async fn rows(&self) -> Vec<String> {
        let mut reader = self.running.cx("approvals").unwrap().store().read().await.unwrap();
        let mut rows = Vec::new();
        for select in [
            "SELECT id, state FROM requests ORDER BY id",
            "SELECT id, verb FROM audit ORDER BY seq",
            "SELECT id, about FROM outbox ORDER BY seq",
            "SELECT request_id, person FROM asked ORDER BY request_id, person",
        ] {
            let found = sqlx::query(select).fetch_all(&mut *reader).await.unwrap();
            rows.extend(found.iter().map(|row| format!("{} {}", row.get::<String, _>(0), row.get::<String, _>(1))));
        }
        rows
    }

    /// Type and payload of every event, in order.
    pub(crate) async fn events(&self) -> Vec<(String, Value)> {
        let mut reader = self.running.cx("approvals").unwrap().store().read().await.unwrap();
        let rows = sqlx::query("SELECT about, payload FROM outbox WHERE kind = 'event' ORDER BY seq");
        let rows = rows.fetch_all(&mut *reader).await.unwrap();
        rows.iter().map(|row| (row.get("about"), serde_json::from_str(row.get("payload")).unwrap())).collect()
    }

    /// The evidence of a request, byte for byte.
    pub(crate) async fn evidence(&self, caller: &str, id: &str, query: &str) -> Vec<u8> {
        let request = self.http(Method::GET, &format!("/v1/approvals/{id}/evidence{query}"));
        let response = request.bearer_auth(token(caller)).send().await.unwrap();
        assert_eq!(response.status().as_u16(), 200);
        response.bytes().await.unwrap().to_vec()
    }

    /// Path of the link in the last message to this person.
    pub(crate) async fn link(&self, person: &str) -> String {
        let events = self.events().await.into_iter().rev();
        let told = events.flat_map(|(_, event)| {
            let people =
                ["asked", "watchers", "reviewers"].map(|people| event[people].as_array().cloned().unwrap_or_default());
            people.concat()
        });
        let link =
            told.filter(|told| told["person"] == person).find_map(|told| told["link"].as_str().map(str::to_owned));
        link.unwrap().strip_prefix(PUBLIC_URL).unwrap().to_owned()
    }

    /// Actor and verb of each audit leaf of a request.
    pub(crate) async fn audit(&self, id: &str) -> Vec<(String, String)> {
        self.audited(&format!("approval:{id}")).await
    }

    /// Actor and verb of each audit leaf about this.
    pub(crate) async fn audited(&self, subject: &str) -> Vec<(String, String)> {
        let mut reader = self.running.cx("approvals").unwrap().store().read().await.unwrap();
        let rows = sqlx::query("SELECT actor, verb FROM audit WHERE subject = $1 ORDER BY seq");
        let rows = rows.bind(subject.to_owned()).fetch_all(&mut *reader).await.unwrap();
        rows.iter().map(|row| (row.get("actor"), row.get("verb"))).collect()
    }

    pub(crate) fn advance(&self, seconds: u64) {
        self.clock.advance(Duration::from_secs(seconds));
    }

    /// Tells an event as its service would, through the bus to whoever listens.
    pub(crate) async fn publish<E: EventPayload>(&self, payload: &E) {
        let mut tx = self.running.cx("approvals").unwrap().store().begin().await.unwrap();
        let id = tx.emit(payload).await.unwrap();
        tx.commit().await.unwrap();
        for _ in 0..500 {
            let mut reader = self.running.cx("approvals").unwrap().store().read().await.unwrap();
            let done = sqlx::query("SELECT 1 FROM outbox WHERE id = $1 AND state = 'done'").bind(id.clone());
            if done.fetch_optional(&mut *reader).await.unwrap().is_some() {
                return;
            }
            drop(reader);
            self.tick().await;
        }
        panic!("the event was not taken");
    }

    /// Lets that many seconds pass.
    pub(crate) async fn turns(&self, seconds: u32) {
        for _ in 0..seconds {
            self.tick().await;
        }
    }

    /// Lets the timers run until there are this many events.
    pub(crate) async fn until_events(&self, count: usize) {
        for _ in 0..500 {
            if self.events().await.len() >= count {
                return;
            }
            self.tick().await;
        }
        panic!("{count} events expected, there are {:#?}", self.events().await);
    }

    /// Lets effects run until the audit says so.
    pub(crate) async fn until_audited(&self, id: &str, verb: &str) {
        for _ in 0..500 {
            if self.audit(id).await.iter().any(|(_, found)| found == verb) {
                return;
            }
            self.tick().await;
        }
        panic!("{verb} expected, there is {:#?}", self.audit(id).await);
    }

    /// A second of the service's time in a few milliseconds of ours.
    async fn tick(&self) {
        self.advance(1);
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

async fn run(settings: &Settings, clock: &Clock) -> Running {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let options = HostOptions { clock: clock.clone(), listener: Some(listener), ..HostOptions::default() };
    host::start(vec![approval_svc::service(settings).unwrap()], settings, options).await.unwrap()
}

/// A scenario, played on each store.
macro_rules! on_both_stores {
    ($($scenario:ident)+) => {$(
        mod $scenario {
            #[tokio::test]
            async fn on_sqlite() {
                super::$scenario(None).await;
            }

            #[tokio::test]
            async fn on_postgresql() {
                testkit::require!(Postgres);
                let postgres = testkit::Postgres::start().await.unwrap();
                super::$scenario(Some(&postgres.url())).await;
            }
        }
    )+};
}

pub(crate) use on_both_stores;

/// Writes the files that the settings name.
fn settings(folder: &Path, wish: &Wish<'_>) -> String {
    let path = |name: &str| folder.join(name).display().to_string();
    fs::write(folder.join("people.yaml"), format!("{PEOPLE}{}", wish.authority.unwrap_or_default())).unwrap();
    fs::write(folder.join("signing.der"), key(1).pkcs8_der()).unwrap();
    fs::write(folder.join("audit.der"), key(2).pkcs8_der()).unwrap();
    fs::create_dir(folder.join("published")).unwrap();
    fs::write(folder.join("keys.yaml"), callers()).unwrap();
    let policy_file = wish.policy.map(|text| {
        fs::write(folder.join("policy.yaml"), text).unwrap();
        path("policy.yaml")
    });
    let calendar_file = wish.calendars.map(|text| {
        fs::write(folder.join("calendars.yaml"), text).unwrap();
        path("calendars.yaml")
    });
    let settings = json!({
        "public_url": PUBLIC_URL,
        "http": {"workers": 2, "rate_limit_per_minute": 0},
        "store": {"data_dir": path("data"), "url": wish.store},
        "auth": {"keys_file": path("keys.yaml")},
        "audit": {"signing_key_file": path("audit.der")},
        "outgoing": {"callback_allow": wish.callbacks.into_iter().collect::<Vec<_>>()},
        "approvals": {
            "directory_file": path("people.yaml"),
            "policy_file": policy_file,
            "calendar_file": calendar_file,
            "signing_key_file": path("signing.der"),
            "published_keys_dir": path("published"),
            "link_secret": "a-secret-of-at-least-thirty-two-bytes",
            "callback_secret": "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",
            "callback_header": {"name": "x-steward", "value": "sesame"},
        },
    });
    settings.to_string()
}

fn token(caller: &str) -> String {
    format!("stw_{caller}_{}", secret(caller))
}

fn secret(caller: &str) -> String {
    format!("secret-of-{caller}-long-enough-to-be-one")
}

fn callers() -> String {
    let entry = |(id, person, roles): &(&str, &str, &str)| {
        let hash = contracts::Digest::of_bytes(secret(id).as_bytes());
        let person = if person.is_empty() { String::new() } else { format!(", person: {person}") };
        format!("\n  - {{id: {id}, name: {id}, hash: \"{hash}\", roles: [{{{roles}}}]{person}}}")
    };
    format!("keys:{}", CALLERS.iter().map(entry).collect::<String>())
}

/// Facts that say more is on hand, sealed.
pub(crate) fn facts_with(on_hand: f64) -> Value {
    let mut facts: Facts = serde_json::from_value(facts()).unwrap();
    facts.stock.on_hand = on_hand;
    facts.hash = None;
    serde_json::to_value(facts.seal().unwrap()).unwrap()
}

/// Sealed facts of SKU-1 at store-1 in the north, with a donor beside it and one in the south.
fn facts() -> Value {
    let facts: Facts = serde_json::from_value(json!({
        "product": "SKU-1", "location": "store-1", "as_of": "2026-11-23T07:59:00Z",
        "item": {"name": "Coffee 500 g", "unit_cost": {"minor": 500, "currency": "EUR"}},
        "place": {"name": "Store 1", "region": "north", "time_zone": "Europe/Berlin"},
        "stock": {"on_hand": 4.0, "reserved": 1.0, "observed_at": "2026-11-23T07:58:00Z"},
        "demand": {"first_day": "2026-11-19", "units": [3.0, 2.0, 0.0, 5.0], "out_of_stock": [0.0, 0.0, 1.0, 0.0]},
        "incoming": [{"order": "P00042", "due": "2026-11-30", "quantity": 48.0}],
        "lead_time": {"seen_days": [6.0, 7.0]},
        "donors": [
            {"location": "store-2", "region": "north", "daily_demand": 1.0, "transfer_days": 1.0,
             "stock": {"on_hand": 60.0, "observed_at": "2026-11-23T07:58:00Z"}},
            {"location": "store-7", "name": "Store 7", "region": "south", "daily_demand": 1.0, "transfer_days": 2.0,
             "stock": {"on_hand": 90.0, "observed_at": "2026-11-23T07:58:00Z"}},
        ],
    }))
    .unwrap();
    serde_json::to_value(facts.seal().unwrap()).unwrap()
}

/// Facts that a test has changed, as supply would have sealed them.
pub(crate) fn sealed(facts: Value) -> Value {
    let facts: Facts = serde_json::from_value(facts).unwrap();
    serde_json::to_value(facts.seal().unwrap()).unwrap()
}

/// Needs regional operations of the south, where the stock comes from.
pub(crate) fn cross_region() -> Value {
    json!({
        "title": "Coffee for Store 1 <b>urgent</b>",
        "action": {"type": "transfer", "product": "SKU-1", "from": "store-7", "to": "store-1", "quantity": 24.0},
        "facts": facts(),
        "score": {
            "micros": 870_000, "band": "high", "model": "replenishment-priority@1",
            "contributions": [{"name": "stock-out probability", "micros": 700_000}, {"name": "incoming", "micros": -130_000}],
            "counterfactual": "would leave the top band if lead time <= 3 d",
        },
    })
}

/// Stays inside the region and is worth little.
pub(crate) fn routine() -> Value {
    let mut body = cross_region();
    body["action"]["from"] = json!("store-2");
    body
}
