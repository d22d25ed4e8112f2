//! What a service is hosted on, and a service whose far end and handler do what a test says.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex},
    time::Duration,
};

use async_trait::async_trait;
use chassis::{
    Clock, Cx, HandleError, Service, Settings,
    host::{self, HostOptions, Running},
    relay::{Attempt, Effect, EffectKind, Executor, Settled},
    store::{NewEffect, StoreError, Tx},
};
use contracts::{EventPayload, events::StockRanLow};
use futures_util::future::BoxFuture;
use serde_json::{Value, json};
use testkit::{Scratch, borrow_database, borrow_virtual_host, eventually};

/// A folder or borrowed servers, and the settings that lead to them.
pub(crate) struct Ground {
    settings: String,
    folder: Option<Arc<Scratch>>,
}

impl Ground {
    /// SQLite and the bus in process.
    pub(crate) fn laptop() -> Self {
        let folder = Scratch::new("chassis").unwrap();
        let settings = format!("store: {{data_dir: '{}'}}", folder.path().display());
        Self { settings, folder: Some(Arc::new(folder)) }
    }

    /// PostgreSQL and the bus in process: for what is about the store alone.
    pub(crate) async fn postgres() -> Self {
        let url = borrow_database().await.unwrap();
        Self { settings: format!("store: {{url: '{url}'}}"), folder: None }
    }

    /// PostgreSQL and RabbitMQ. Also answers with the broker's URL.
    pub(crate) async fn cluster() -> (Self, String) {
        let url = borrow_virtual_host().await.unwrap();
        (Self::postgres().await.with(&format!("bus: {{url: '{url}'}}")), url)
    }

    pub(crate) fn with(mut self, settings: &str) -> Self {
        self.settings = format!("{}\n{settings}", self.settings);
        self
    }

    /// One replica. Its clock stands until it is moved.
    pub(crate) async fn host(&self, service: Service) -> Replica {
        testkit::install_tls_provider();
        let settings = Settings::from_yaml(&format!("http: {{listen: '127.0.0.1:0'}}\n{}", self.settings)).unwrap();
        let clock = Clock::manual("2026-11-23T08:00:00Z".parse().unwrap());
        let options = HostOptions { clock: clock.clone(), ..HostOptions::default() };
        let running = host::start(vec![service], &settings, options).await.unwrap();
        Replica { running, clock, _folder: self.folder.clone() }
    }
}

pub(crate) struct Replica {
    pub(crate) running: Running,
    pub(crate) clock: Clock,
    /// What it stands on lasts as long as it does.
    _folder: Option<Arc<Scratch>>,
}

impl Replica {
    pub(crate) fn cx(&self) -> &Cx {
        self.running.cx("probe").unwrap()
    }

    pub(crate) async fn begin(&self) -> Tx {
        self.cx().store().begin().await.unwrap()
    }

    pub(crate) async fn promise(&self, order_key: &str) -> String {
        let mut tx = self.begin().await;
        let id = tx.effect(effect(order_key)).await.unwrap();
        tx.commit().await.unwrap();
        id
    }

    pub(crate) async fn emit(&self, product: &str, available: f64) {
        let mut tx = self.begin().await;
        let event = json!({"product": product, "location": "store-1", "available": available, "reorder_point": 5.0,
            "observed_at": tx.now()});
        tx.emit(&serde_json::from_value::<StockRanLow>(event).unwrap()).await.unwrap();
        tx.commit().await.unwrap();
    }

    pub(crate) async fn count(&self, sql: &'static str) -> i64 {
        let mut reader = self.cx().store().read().await.unwrap();
        let (count,): (i64,) = sqlx::query_as(sql).fetch_one(&mut *reader).await.unwrap();
        count
    }

    /// Lets time pass, `step` at a look, until the count is as wanted.
    pub(crate) async fn until(&self, step: Duration, what: &str, wanted: i64, sql: &'static str) {
        eventually(Duration::from_secs(20), what, async || {
            self.clock.advance(step);
            match self.count(sql).await {
                n if n == wanted => Ok(()),
                n => anyhow::bail!("{n}, wanted {wanted}"),
            }
        })
        .await;
    }

    /// Time that must pass without anything happening: a few looks of every loop.
    pub(crate) async fn idle(&self) {
        for _ in 0..5 {
            self.clock.advance(Duration::from_secs(2));
            tokio::time::sleep(Duration::from_millis(40)).await;
        }
    }
}

pub(crate) const STEP: Duration = Duration::from_millis(300);

pub(crate) fn effect(order_key: &str) -> NewEffect {
    NewEffect::new("ship", order_key, &json!({})).unwrap()
}

type Act = Arc<dyn Fn(Cx, Effect) -> BoxFuture<'static, Result<Value, Attempt>> + Send + Sync>;
type Settle = Arc<dyn Fn(&Effect) -> Result<(), StoreError> + Send + Sync>;
type Look = Arc<dyn Fn(&Effect) + Send + Sync>;

/// The executor of a test.
pub(crate) struct Ship {
    pub(crate) act: Act,
    pub(crate) settle: Settle,
    /// Called with the effect claimed and not yet attempted.
    pub(crate) look: Look,
    pub(crate) concurrency: usize,
    pub(crate) kind: EffectKind,
    /// What a probe finds, by the effect's id.
    pub(crate) found: Arc<Mutex<HashMap<String, Value>>>,
}

impl Ship {
    pub(crate) fn acting<F>(act: impl Fn(Cx, Effect) -> F + Send + Sync + 'static) -> Self
    where
        F: Future<Output = Result<Value, Attempt>> + Send + 'static,
    {
        Self {
            act: Arc::new(move |cx, effect| Box::pin(act(cx, effect))),
            settle: Arc::new(|_| Ok(())),
            look: Arc::new(|_| {}),
            concurrency: 4,
            kind: EffectKind::IdempotentPeer,
            found: Arc::default(),
        }
    }
}

#[async_trait]
impl Executor for Ship {
    fn name(&self) -> &'static str {
        "ship"
    }
    fn kind(&self) -> EffectKind {
        self.kind
    }
    async fn probe(&self, _: &Cx, effect: &Effect) -> Result<Option<Value>, Attempt> {
        Ok(self.found.lock().unwrap().get(&effect.id).cloned())
    }
    fn concurrency(&self) -> usize {
        self.concurrency
    }
    fn destination(&self, effect: &Effect) -> String {
        (self.look)(effect);
        "the far end".to_owned()
    }
    async fn perform(&self, cx: &Cx, effect: &Effect) -> Result<Value, Attempt> {
        (self.act)(cx.clone(), effect.clone()).await
    }
    async fn settled(&self, _: &Cx, tx: &mut Tx, effect: &Effect, settled: &Settled) -> Result<(), StoreError> {
        tx.audit("service:probe", "settled", &effect.order_key, json!({"end": format!("{settled:?}")})).await?;
        (self.settle)(effect)
    }
}

pub(crate) fn service() -> Service {
    Service::new("probe", "Probe", "A service for the tests of the chassis.")
}

/// Writes down that an event was heard.
pub(crate) async fn hear(tx: &mut Tx, event: &StockRanLow) -> Result<(), HandleError> {
    tx.audit("service:probe", "heard", &event.subject(), json!({"available": event.available})).await?;
    Ok(())
}
