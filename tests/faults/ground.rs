//! One ground for all faults, started by the first of them: the fleet twice over, its servers, and far ends that keep
//! ledgers. There is no n8n: the test plays it, so that its part is known to the last request.

use std::{
    io,
    sync::{Arc, LazyLock},
    time::Duration,
};

use anyhow::{Context as _, Result};
use chassis::Clock;
use odoo::replay::ReplayOdoo;
use serde_json::{Value, json};
use steward_e2e::bed::{DONOR_ABROAD, Fleet, Gateway, Peers, STORE, Secrets, Shape, Who};
use testkit::{Peer, Postgres, Program, Proxy, RabbitMq, Redis, SmtpSink, Tool};
use tokio::{
    runtime::Runtime,
    sync::{Mutex, OnceCell},
};

/// The longest that anything may take: a claim of a killed replica runs out after two and a half minutes at most.
pub(crate) const PATIENCE: Duration = Duration::from_secs(300);
/// Of how many falls one becomes a case with people and a transfer, and how many cases a stream has at most.
const PER_CASE: usize = 50;
const MOST_CASES: usize = 60;

/// Each stream has its own articles, so that streams do not meet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Stream(pub(crate) &'static str);

impl Stream {
    pub(crate) const ALL: [Self; 7] =
        [Self("KILL"), Self("ROLL"), Self("BUS"), Self("ALARM"), Self("BASE"), Self("CACHE"), Self("LIES")];

    /// Falls in stock, each of which is one event that must be pushed.
    pub(crate) fn events() -> usize {
        std::env::var("STEWARD_FAULT_EVENTS").ok().and_then(|text| text.parse().ok()).unwrap_or(2000)
    }

    pub(crate) fn sku(self, number: usize) -> String {
        format!("{}-{number:05}", self.0)
    }

    /// All articles.
    pub(crate) fn skus(self) -> impl Iterator<Item = String> {
        (0..Self::events()).map(move |number| self.sku(number))
    }

    /// Those of which a fall becomes a transfer, spread over the stream.
    pub(crate) fn cases(self) -> impl Iterator<Item = String> {
        let cases = (Self::events() / PER_CASE).clamp(1, MOST_CASES);
        (0..cases).map(move |case| self.sku(case * Self::events() / cases))
    }
}

pub(crate) struct Ground {
    pub(crate) gateway: Gateway,
    pub(crate) odoo: ReplayOdoo,
    /// Stands before Odoo.
    pub(crate) odoo_face: Peer,
    pub(crate) mails: SmtpSink,
    /// Takes the pushes and the decisions, as n8n would.
    pub(crate) ears: Peer,
    pub(crate) fleet: Mutex<Fleet>,
    pub(crate) postgres: Mutex<Postgres>,
    pub(crate) rabbitmq: Mutex<RabbitMq>,
    /// Stands before RabbitMQ.
    pub(crate) wire: Proxy,
    pub(crate) redis: Mutex<Redis>,
    pub(crate) database: String,
    /// Of every replica: its service and base URL.
    pub(crate) addresses: Vec<(&'static str, String)>,
    pub(crate) http: reqwest::Client,
    pub(crate) n8n_key: String,
    pub(crate) operator_key: String,
}

impl Ground {
    async fn start() -> Result<Self> {
        testkit::install_tls_provider();
        let clock = Clock::system();
        let odoo = ReplayOdoo::start(serde_json::from_value(scene())?, Arc::new(move || clock.now())).await?;
        let odoo_face = Peer::before(&odoo.base_url()).await?;
        let (mails, ears, gateway) = (SmtpSink::start().await?, Peer::ledger().await?, Gateway::start().await?);
        let (postgres, rabbitmq, redis) = tokio::try_join!(Postgres::start(), RabbitMq::start(), Redis::start())?;
        let wire = Proxy::before(rabbitmq.port()).await?;
        let database = postgres.create_database("steward").await?;
        let mut odoo_config = odoo.config();
        odoo_config.base_url = odoo_face.base_url();
        let peers = Peers {
            database: database.clone(),
            bus: format!("amqp://guest:guest@127.0.0.1:{}/%2f", wire.port()),
            redis: redis.url(),
            smtp: mails.url(),
            odoo: odoo_config,
        };
        let shape = Shape { replicas: 2, settings: settings(&ears.base_url()) };
        let fleet = Fleet::of(shape, &gateway, &Secrets::new()?, &peers).await?;
        let key = |who| fleet.key(who).context("no key");
        let ground = Self {
            n8n_key: key(Who::N8n)?,
            operator_key: key(Who::Operator)?,
            addresses: fleet.addresses().into_iter().map(|((service, _), url)| (service, url)).collect(),
            http: reqwest::Client::builder().redirect(reqwest::redirect::Policy::none()).no_proxy().build()?,
            fleet: Mutex::new(fleet),
            postgres: Mutex::new(postgres),
            rabbitmq: Mutex::new(rabbitmq),
            redis: Mutex::new(redis),
            gateway,
            odoo,
            odoo_face,
            mails,
            ears,
            wire,
            database,
        };
        ground.furnish().await?;
        Ok(ground)
    }

    /// Tells where the places lie, and waits until Odoo's articles are known.
    async fn furnish(&self) -> Result<()> {
        let place = |id: &str, region: &str| json!({"kind": "location", "location": id, "region": region});
        // Odoo tells of a place only where it has stock.
        let store = json!({"kind": "xref", "entity": "location", "id": STORE, "system": "odoo", "external_id": STORE});
        self.observe(&[place(STORE, "north"), place(DONOR_ABROAD, "south"), store]).await?;
        for sku in Stream::ALL.into_iter().flat_map(Stream::cases) {
            let path = format!("/supply/v1/facts/{sku}/{DONOR_ABROAD}");
            self.insist(&format!("the facts of {sku}"), 404, || self.as_n8n(self.http.get(self.url(&path)))).await?;
        }
        Ok(())
    }

    /// What the database itself says.
    pub(crate) async fn sql(&self, statement: &str) -> Result<String> {
        let server = Tool::Postgres.find().context("PostgreSQL is not installed")?;
        let psql = Program::new(server.with_file_name("psql")).args([self.database.as_str(), "-Atc", statement]);
        Ok(psql.run(Duration::from_secs(20)).await?.trim().to_owned())
    }
}

/// Retries soon: how long they wait in earnest is tested where the clock can be turned. Two seconds are a long time for
/// a peer here.
fn settings(ears: &str) -> Value {
    let delays = [0.1, 0.3, 0.5, 1.0, 1.0, 1.0, 2.0, 2.0, 2.0, 2.0, 2.0, 2.0, 2.0, 2.0, 2.0, 2.0, 2.0, 2.0, 2.0, 2.0];
    json!({
        "relay": {"retry_seconds": delays},
        "outgoing": {"timeout_seconds": 2, "callback_allow": [ears]},
        "http": {"rate_limit_per_minute": 100_000, "drain_seconds": 20},
        "supply": {"odoo": {"timeout_seconds": 2}},
        "notify": {"subscriptions": [{
            "id": "n8n", "types": ["steward.stock.ran_low.v1"], "url": format!("{ears}/pushes"),
            "secret": "whsec_bm90LXNlY3JldC1idXQtbG9uZy1lbm91Z2g=",
        }]},
    })
}

/// Odoo knows the articles that may be transferred, and that the donor has plenty.
fn scene() -> Value {
    let (mut products, mut stock) = (Vec::new(), Vec::new());
    for sku in Stream::ALL.into_iter().flat_map(Stream::cases) {
        products.push(json!({"sku": sku, "name": sku, "category": "Dairy", "cost": 1.1, "price": 2.3}));
        stock.push(json!({"sku": sku, "warehouse": DONOR_ABROAD, "on_hand": 400.0}));
    }
    let warehouses = json!([{"code": STORE, "name": "North 1"}, {"code": DONOR_ABROAD, "name": "South 1"}]);
    json!({"currency": "EUR", "products": products, "warehouses": warehouses, "stock": stock})
}

/// Outlives the tests: the ground's own servers run on it.
static RUNTIME: LazyLock<io::Result<Runtime>> =
    LazyLock::new(|| tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build());
static GROUND: OnceCell<Arc<Ground>> = OnceCell::const_new();

/// Runs a case on the ground; when it fails, says what the services complained of.
pub(crate) fn case(work: impl AsyncFnOnce(&Arc<Ground>) -> Result<()>) -> Result<()> {
    testkit::require!(Postgres, RabbitMq, Redis);
    let runtime = RUNTIME.as_ref().map_err(|error| anyhow::anyhow!("no runtime: {error}"))?;
    runtime.block_on(async {
        let ground = GROUND.get_or_try_init(async || Ground::start().await.map(Arc::new)).await?;
        match work(ground).await {
            Ok(()) => Ok(()),
            Err(error) => {
                let complaints = ground.fleet.lock().await.complaints();
                Err(error.context(complaints))
            }
        }
    })
}

#[expect(clippy::print_stderr, reason = "what a run with faults went through is worth reading")]
pub(crate) fn say(line: &str) {
    eprintln!("{line}");
}
