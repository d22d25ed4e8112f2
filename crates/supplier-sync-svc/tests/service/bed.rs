//! The service in process, over SQLite in a temporary folder, with a clock that is moved by hand and the replayed Odoo.

use std::{collections::HashMap, net::TcpListener, sync::Arc, time::Duration};

use chassis::{
    Clock, Cx, Ids, Settings,
    auth::{KeyEntry, KeyId, KeysFile, generate_key},
    host::{HostOptions, Running, start},
};
use contracts::{Action, Digest, EventPayload, Facts, PersonId};
use governance::{
    Grant, GrantSigner,
    drift::{Allowed, Tolerance, bind},
    grant::Jwks,
    policy::{PolicyRef, RequesterExecutes},
};
use jiff::Timestamp;
use odoo::replay::{OrderpointSeed, ProductSeed, ReplayOdoo, Scene, StockSeed, WarehouseSeed, Webhook};
use reqwest::{Response, StatusCode};
use serde_json::{Value, json};
use wiremock::{Mock, MockServer, ResponseTemplate, matchers::path};

pub(crate) const NOW: &str = "2026-11-23T08:00:00Z";
pub(crate) const HOOK_SECRET: &str = "hook-secret";

pub(crate) struct Bed {
    pub(crate) running: Running,
    pub(crate) odoo: ReplayOdoo,
    pub(crate) clock: Clock,
    pub(crate) signer: GrantSigner,
    pub(crate) http: reqwest::Client,
    /// API keys by their id.
    keys: HashMap<&'static str, String>,
    _keys: MockServer,
    _folder: tempfile::TempDir,
}

pub(crate) struct Setting {
    /// PostgreSQL; `None` is SQLite.
    pub(crate) store: Option<String>,
    pub(crate) sweep_seconds: u64,
    pub(crate) with_odoo: bool,
    pub(crate) scene: Scene,
    /// Callers beside n8n, whose roles hold everywhere: id of the key and its roles.
    pub(crate) callers: Vec<(&'static str, Value)>,
    /// People who call with a key of their own, whose id is theirs; their roles hold everywhere.
    pub(crate) people: Vec<&'static str>,
}

/// The caller when none is named.
const N8N: &str = "n8n";

impl Default for Setting {
    /// A sweep at the start, which learns what there is, and none after it.
    fn default() -> Self {
        Self {
            store: None,
            sweep_seconds: 86_400,
            with_odoo: true,
            scene: scene(),
            callers: Vec::new(),
            people: Vec::new(),
        }
    }
}

/// Store S1 runs on OAT-1 with a reorder point of 10; S2 could give.
pub(crate) fn scene() -> Scene {
    let warehouse = |code: &str, name: &str| WarehouseSeed { code: code.into(), name: name.into() };
    let product = |sku: &str, name: &str| ProductSeed {
        sku: sku.into(),
        name: name.into(),
        category: Some("Breakfast".into()),
        cost: 1.2,
        price: 2.49,
    };
    let stock = |sku: &str, warehouse: &str, on_hand: f64| StockSeed {
        sku: sku.into(),
        warehouse: warehouse.into(),
        on_hand,
        reserved: 0.0,
    };
    let rule = OrderpointSeed { sku: "OAT-1".into(), warehouse: "S1".into(), min: 10.0, max: 40.0 };
    Scene {
        currency: "EUR".into(),
        products: vec![product("OAT-1", "Oat flakes"), product("no identifier", "Loose nuts")],
        warehouses: vec![warehouse("S1", "Store 1"), warehouse("S2", "Store 2")],
        stock: vec![stock("OAT-1", "S1", 20.0), stock("OAT-1", "S2", 80.0), stock("no identifier", "S1", 3.0)],
        orderpoints: vec![rule],
        users: vec!["olga@shop.example".into(), "clerk@shop.example".into()],
        ..Scene::default()
    }
}

impl Bed {
    pub(crate) async fn start() -> Self {
        Self::with(Setting::default()).await
    }

    pub(crate) async fn with(setting: Setting) -> Self {
        let clock = Clock::manual(NOW.parse().unwrap());
        let odoo_clock = clock.clone();
        let odoo = ReplayOdoo::start(setting.scene.clone(), Arc::new(move || odoo_clock.now())).await.unwrap();
        let signer = GrantSigner::from_seed(&[7; 32]).unwrap();
        let keys = MockServer::start().await;
        let published = Jwks { keys: vec![signer.jwk()] };
        let answer = ResponseTemplate::new(200).set_body_json(&published);
        Mock::given(path("/jwks.json")).respond_with(answer).mount(&keys).await;
        let folder = tempfile::tempdir().unwrap();
        let n8n = (N8N, json!([{"role": "service"}, {"role": "operator"}]));
        let mut keys_of: Vec<_> = setting.callers.iter().chain([&n8n]).map(api_key).collect();
        keys_of.extend(setting.people.iter().map(|person| {
            let (key, entry) = api_key(&(person, json!([{"role": "operator"}])));
            (key, KeyEntry { person: Some(PersonId::new(*person).unwrap()), ..entry })
        }));
        let (ids, entries): (Vec<_>, Vec<_>) = keys_of.into_iter().unzip();
        let keys_file = folder.path().join("keys.yaml");
        std::fs::write(&keys_file, KeysFile { keys: entries }.to_yaml().unwrap()).unwrap();
        let config = odoo.config();
        let odoo_section = json!({"url": config.base_url, "database": config.database,
            "api_key": odoo::replay::API_KEY, "calls_per_second": 1000.0, "hook_secret": HOOK_SECRET});
        let settings = json!({
            "store": {"data_dir": folder.path(), "url": setting.store},
            "auth": {"keys_file": keys_file},
            "http": {"workers": 2},
            "outgoing": {"allow": ["127.0.0.1"]},
            "supply": {"grant_keys_url": format!("{}/jwks.json", keys.uri()), "sweep_seconds": setting.sweep_seconds,
                "odoo": if setting.with_odoo { odoo_section } else { Value::Null}},
        });
        let settings = Settings::from_yaml(&settings.to_string()).unwrap();
        let services = vec![supplier_sync_svc::service(&settings).unwrap()];
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let options = HostOptions { clock: clock.clone(), listener: Some(listener), ..HostOptions::default() };
        let running = start(services, &settings, options).await.unwrap();
        let http = reqwest::Client::builder().no_proxy().build().unwrap();
        let bed =
            Self { running, odoo, clock, signer, http, keys: ids.into_iter().collect(), _keys: keys, _folder: folder };
        if setting.with_odoo {
            bed.until("the first sweep has learnt the stock", async |bed| bed.count("sweep").await == 1).await;
            bed.until("the keys of grants are there", async |bed| bed.count("grant_keys").await == 1).await;
        }
        bed
    }

    pub(crate) fn cx(&self) -> &Cx {
        self.running.cx("supply").unwrap()
    }

    pub(crate) fn url(&self, path: &str) -> String {
        format!("{}/supply/v1{path}", self.running.base_url())
    }

    /// Lets Odoo post its webhooks here.
    pub(crate) fn hooked(&self, copies: usize) {
        let authority = self.running.base_url().trim_start_matches("http://");
        let url = format!("http://odoo:{HOOK_SECRET}@{authority}/supply/v1/hooks/odoo");
        self.odoo.set_webhook(Some(Webhook { copies, ..Webhook::to(&url) }));
    }

    /// Moves the clock, a second at a time, until it holds.
    pub(crate) async fn until(&self, what: &str, holds: impl AsyncFn(&Self) -> bool) {
        for _ in 0..600 {
            if holds(self).await {
                return;
            }
            self.clock.advance(Duration::from_secs(1));
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        panic!("never: {what}");
    }

    /// Lets everything that is due happen, and shows that nothing more does.
    pub(crate) async fn rest(&self) {
        for _ in 0..30 {
            self.clock.advance(Duration::from_secs(1));
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    pub(crate) async fn count(&self, table: &str) -> i64 {
        self.number(format!("SELECT COUNT(*) FROM {table}")).await
    }

    pub(crate) async fn number(&self, sql: String) -> i64 {
        let mut reader = self.cx().store().read().await.unwrap();
        let (number,): (i64,) = sqlx::query_as(sqlx::AssertSqlSafe(sql)).fetch_one(&mut *reader).await.unwrap();
        number
    }

    /// Payloads of the events of a type about a subject, oldest first.
    pub(crate) async fn events(&self, kind: &str, subject: &str) -> Vec<Value> {
        let mut reader = self.cx().store().read().await.unwrap();
        let rows: Vec<(String,)> = sqlx::query_as(
            "SELECT payload FROM outbox WHERE kind = 'event' AND about = $1 AND order_key LIKE $2 ORDER BY seq",
        )
        .bind(kind)
        .bind(subject)
        .fetch_all(&mut *reader)
        .await
        .unwrap();
        rows.iter().map(|(payload,)| serde_json::from_str(payload).unwrap()).collect()
    }

    /// Posts a webhook's body as Odoo would; answers with the status.
    pub(crate) async fn hook(&self, body: &Value) -> u16 {
        let request = self.http.post(self.url("/hooks/odoo")).basic_auth("odoo", Some(HOOK_SECRET)).json(body);
        request.send().await.unwrap().status().as_u16()
    }

    /// Tells an event as its service would, through the bus to whoever listens.
    pub(crate) async fn publish<E: EventPayload>(&self, payload: &E) {
        let mut tx = self.cx().store().begin().await.unwrap();
        tx.emit(payload).await.unwrap();
        tx.commit().await.unwrap();
    }

    pub(crate) async fn get(&self, path: &str) -> (StatusCode, Value) {
        self.get_as(N8N, path).await
    }

    pub(crate) async fn get_as(&self, caller: &str, path: &str) -> (StatusCode, Value) {
        read(self.http.get(self.url(path)).bearer_auth(&self.keys[caller]).send().await.unwrap()).await
    }

    pub(crate) async fn post(&self, path: &str, body: &Value) -> (StatusCode, Value) {
        self.post_as(N8N, path, "", body).await
    }

    /// `key` is the idempotency key, empty for none.
    pub(crate) async fn post_as(&self, caller: &str, path: &str, key: &str, body: &Value) -> (StatusCode, Value) {
        let request = self.http.post(self.url(path)).bearer_auth(&self.keys[caller]).json(body);
        let request = if key.is_empty() { request } else { request.header("Idempotency-Key", key) };
        read(request.send().await.unwrap()).await
    }

    pub(crate) async fn post_keyed(&self, path: &str, key: &str, body: &Value) -> (StatusCode, Value) {
        self.post_as(N8N, path, key, body).await
    }

    /// What `/metrics` says of a time series, 0 when it is not there.
    pub(crate) async fn metric(&self, series: &str) -> f64 {
        let text = self.http.get(format!("{}/metrics", self.running.base_url())).send().await.unwrap();
        let text = text.text().await.unwrap();
        let line = text.lines().find_map(|line| line.strip_prefix(series));
        line.map_or(0.0, |value| value.trim().parse().unwrap())
    }

    /// Sends observations and answers with the lines that came back.
    pub(crate) async fn observe(&self, lines: &str) -> Vec<Value> {
        let request = self.http.post(self.url("/observations")).bearer_auth(&self.keys[N8N]);
        let answer =
            request.header("content-type", "application/x-ndjson").body(lines.to_owned()).send().await.unwrap();
        assert_eq!(answer.status(), 200);
        answer.text().await.unwrap().lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }

    pub(crate) async fn facts(&self, product: &str, location: &str) -> Facts {
        let (status, body) = self.get(&format!("/facts/{product}/{location}")).await;
        assert_eq!(status, 200, "{body}");
        serde_json::from_value(body).unwrap()
    }

    /// Asks for a transfer of OAT-1 from S2 to S1.
    pub(crate) async fn transfer(
        &self,
        key: &str,
        quantity: f64,
        grant: Option<&str>,
        wait: Option<u64>,
    ) -> (StatusCode, Value) {
        let mut body = json!({"action": transfer(quantity)});
        if let Some(grant) = grant {
            body["grant"] = json!(grant);
        }
        let request =
            self.http.post(self.url("/transfers")).bearer_auth(&self.keys[N8N]).header("Idempotency-Key", key);
        let request = request.header("Prefer", format!("wait={}", wait.unwrap_or(0)));
        read(request.json(&body).send().await.unwrap()).await
    }

    /// A grant as approval-svc gives it for a transfer of 24, changed as the test wants.
    pub(crate) async fn grant(&self, change: impl FnOnce(&mut Grant)) -> String {
        let facts = self.facts("OAT-1", "S1").await;
        let tolerance = |pointer: &str, rise, fall| Tolerance { pointer: pointer.into(), rise, fall };
        let tolerances = [
            tolerance("/donors/[location={from}]/stock/on_hand", Allowed::Any, Allowed::Relative(0.2)),
            tolerance("/stock/on_hand", Allowed::Absolute(5.0), Allowed::Any),
        ];
        let action = transfer(24.0);
        let bounds = bind(&serde_json::to_value(&facts).unwrap(), &action, &tolerances).unwrap();
        let now = self.clock.now();
        let mut grant = Grant {
            issuer: "steward/approvals".into(),
            audience: supplier_sync_svc::AUDIENCE.into(),
            approval_id: "approval-1".into(),
            grant_id: "grant-1".into(),
            issued_at: now,
            not_before: now,
            expires_at: now + Duration::from_secs(24 * 3600),
            action,
            facts_hash: facts.hash.unwrap(),
            bounds,
            policy: PolicyRef { id: "default".into(), version: 1, digest: Digest::of_bytes(b"policy") },
            requested_by: None,
            requester_executes: RequesterExecutes::default(),
            stand_ins: Vec::new(),
            more_stand_ins: false,
            decided_by: Vec::new(),
            by_override: None,
        };
        change(&mut grant);
        self.signer.sign(&grant).unwrap()
    }
}

/// A key with these roles, and its entry in the keys file.
fn api_key((name, roles): &(&'static str, Value)) -> ((&'static str, String), KeyEntry) {
    let id = KeyId::try_from((*name).to_owned()).unwrap();
    let (key, entry) = generate_key(&Ids::default(), &id);
    ((*name, key), KeyEntry { roles: serde_json::from_value(roles.clone()).unwrap(), ..entry })
}

pub(crate) fn transfer(quantity: f64) -> Action {
    serde_json::from_value(
        json!({"type": "transfer", "product": "OAT-1", "from": "S2", "to": "S1", "quantity": quantity}),
    )
    .unwrap()
}

pub(crate) fn at(text: &str) -> Timestamp {
    text.parse().unwrap()
}

async fn read(answer: Response) -> (StatusCode, Value) {
    let status = answer.status();
    let text = answer.text().await.unwrap();
    (status, serde_json::from_str(&text).unwrap_or(Value::String(text)))
}
