//! The reliable path, over both adapters of store and bus: what is committed happens, once, in order, or ends as a dead
//! letter that can be replayed.

#![expect(clippy::unwrap_used, reason = "a test says what it expects by unwrapping it")]

use std::{
    collections::HashMap,
    sync::{Arc, Mutex},
    time::Duration,
};

use async_trait::async_trait;
use chassis::{
    Clock, Cx, HandleError, Service, Settings,
    host::{self, HostOptions, Running},
    relay::{Attempt, DeadHead, Effect, EffectKind, Executor, Settled},
    store::{NewEffect, StoreError, Tx},
};
use contracts::{EventPayload, events::StockRanLow};
use serde_json::{Value, json};
use testkit::{Scratch, borrow_database, borrow_virtual_host, eventually, require};

/// What the far end saw, and what it is told to answer.
#[derive(Default)]
struct FarEnd {
    calls: Mutex<Vec<(String, u32)>>,
    script: Mutex<HashMap<String, Vec<Attempt>>>,
    happened: Mutex<HashMap<String, Value>>,
}

impl FarEnd {
    fn answers(&self, order_key: &str, failures: Vec<Attempt>) {
        self.script.lock().unwrap().insert(order_key.to_owned(), failures);
    }

    fn calls(&self, order_key: &str) -> Vec<(String, u32)> {
        self.calls.lock().unwrap().iter().filter(|(about, _)| about.starts_with(order_key)).cloned().collect()
    }
}

struct Ship(Arc<FarEnd>);

#[async_trait]
impl Executor for Ship {
    fn name(&self) -> &'static str {
        "ship"
    }
    fn kind(&self) -> EffectKind {
        EffectKind::Probeable
    }
    fn dead_head(&self) -> DeadHead {
        DeadHead::Hold
    }
    /// One breaker per order key, so that one test's failures are not another's.
    fn destination(&self, effect: &Effect) -> String {
        effect.order_key.clone()
    }
    async fn probe(&self, _: &Cx, effect: &Effect) -> Result<Option<Value>, Attempt> {
        Ok(self.0.happened.lock().unwrap().get(&effect.id).cloned())
    }
    async fn perform(&self, _: &Cx, effect: &Effect) -> Result<Value, Attempt> {
        self.0.calls.lock().unwrap().push((effect.about.clone(), effect.attempt));
        let mut script = self.0.script.lock().unwrap();
        match script.get_mut(&effect.order_key).filter(|failures| !failures.is_empty()) {
            Some(failures) => {
                let failure = failures.remove(0);
                if failure == lost_answer() {
                    self.0.happened.lock().unwrap().insert(effect.id.clone(), json!({"found": true}));
                }
                Err(failure)
            }
            None => Ok(json!({"shipped": effect.about})),
        }
    }
    async fn settled(&self, _: &Cx, tx: &mut Tx, effect: &Effect, settled: &Settled) -> Result<(), StoreError> {
        let details = json!({"done": matches!(settled, Settled::Done(_))});
        tx.audit("service:probe", "settled", &effect.about, details).await
    }
}

fn lost_answer() -> Attempt {
    Attempt::retry("the answer was lost")
}

async fn note(tx: &mut Tx, event: &StockRanLow) -> Result<(), HandleError> {
    if event.product.as_str() == "poison" {
        return Err(HandleError::Poison("cannot be read".into()));
    }
    if event.product.as_str() == "ill" && event.available > 0.0 {
        let seen = "SELECT 1 FROM audit WHERE verb = 'cured'";
        if sqlx::query(seen).fetch_optional(tx.conn()).await?.is_none() {
            return Err(HandleError::Heal("not yet".into()));
        }
    }
    tx.audit("service:probe", "heard", &event.subject(), json!({"available": event.available})).await?;
    Ok(())
}

struct Bed {
    running: Running,
    clock: Clock,
    far_end: Arc<FarEnd>,
    _folder: Option<Scratch>,
}

impl Bed {
    async fn start(settings: &str, folder: Option<Scratch>) -> Self {
        testkit::install_tls_provider();
        let far_end = Arc::new(FarEnd::default());
        let service = Service::new("probe", "Probe", "A service for the tests of the chassis.")
            .executor(Arc::new(Ship(Arc::clone(&far_end))))
            .on::<StockRanLow>(|_, tx, event| Box::pin(async move { note(tx, &event.payload).await }));
        let settings = Settings::from_yaml(&format!("http: {{listen: '127.0.0.1:0'}}\n{settings}")).unwrap();
        let clock = Clock::manual("2026-11-23T08:00:00Z".parse().unwrap());
        let options = HostOptions { clock: clock.clone(), ..HostOptions::default() };
        let running = host::start(vec![service], &settings, options).await.unwrap();
        Self { running, clock, far_end, _folder: folder }
    }

    /// SQLite and the bus in process.
    async fn laptop() -> Self {
        let folder = Scratch::new("chassis").unwrap();
        let settings = format!("store: {{data_dir: '{}'}}", folder.path().display());
        Self::start(&settings, Some(folder)).await
    }

    /// PostgreSQL and RabbitMQ.
    async fn cluster() -> Self {
        let (store, bus) = (borrow_database().await.unwrap(), borrow_virtual_host().await.unwrap());
        Self::start(&format!("store: {{url: '{store}'}}\nbus: {{url: '{bus}'}}"), None).await
    }

    fn cx(&self) -> &Cx {
        self.running.cx("probe").unwrap()
    }

    async fn promise(&self, order_key: &str, about: &str) -> String {
        let mut tx = self.cx().store().begin().await.unwrap();
        let effect = NewEffect::new("ship", order_key, &json!({})).unwrap().about(format!("{order_key}/{about}"));
        let id = tx.effect(effect).await.unwrap();
        tx.commit().await.unwrap();
        id
    }

    async fn emit(&self, product: &str, available: f64) -> String {
        let mut tx = self.cx().store().begin().await.unwrap();
        let event: StockRanLow = serde_json::from_value(json!({"product": product, "location": "store-1",
            "available": available, "reorder_point": 5.0, "observed_at": tx.now()}))
        .unwrap();
        let id = tx.emit(&event).await.unwrap();
        tx.commit().await.unwrap();
        id
    }

    async fn count(&self, sql: &'static str) -> i64 {
        let mut reader = self.cx().store().read().await.unwrap();
        let (count,): (i64,) = sqlx::query_as(sql).fetch_one(&mut *reader).await.unwrap();
        count
    }

    async fn until(&self, what: &str, wanted: i64, sql: &'static str) {
        eventually(Duration::from_secs(20), what, async || {
            self.clock.advance(Duration::from_millis(300));
            match self.count(sql).await {
                n if n == wanted => Ok(()),
                n => anyhow::bail!("{n} rows, wanted {wanted}"),
            }
        })
        .await;
    }
}

async fn all_laws(bed: Bed) {
    effects_of_one_key_keep_their_order_and_happen_once(&bed).await;
    a_lost_answer_is_probed_before_it_is_repeated(&bed).await;
    what_is_refused_becomes_a_dead_letter_that_holds_its_key(&bed).await;
    an_event_is_heard_once_however_often_it_is_sent(&bed).await;
    a_handler_s_failure_is_kept_and_cured_in_order(&bed).await;
    poison_becomes_a_dead_letter_and_is_announced(&bed).await;
    bed.running.shutdown().await;
}

async fn effects_of_one_key_keep_their_order_and_happen_once(bed: &Bed) {
    for about in ["first", "second", "third"] {
        bed.promise("calm", about).await;
    }
    bed.until("three settled", 3, "SELECT COUNT(*) FROM audit WHERE verb = 'settled' AND subject LIKE 'calm/%'").await;
    let calls = bed.far_end.calls("calm");
    assert_eq!(calls, [("calm/first".to_owned(), 1), ("calm/second".into(), 1), ("calm/third".into(), 1)]);
}

async fn a_lost_answer_is_probed_before_it_is_repeated(bed: &Bed) {
    bed.far_end.answers("lost", vec![lost_answer()]);
    bed.promise("lost", "once").await;
    bed.until("settled", 1, "SELECT COUNT(*) FROM audit WHERE verb = 'settled' AND subject LIKE 'lost/%'").await;
    assert_eq!(bed.far_end.calls("lost").len(), 1, "it had happened and was not repeated");
    let found = "SELECT COUNT(*) FROM outbox WHERE about = 'lost/once' AND state = 'done' AND result LIKE '%found%'";
    assert_eq!(bed.count(found).await, 1);
}

async fn what_is_refused_becomes_a_dead_letter_that_holds_its_key(bed: &Bed) {
    bed.far_end.answers("bad", vec![Attempt::refused("no such place")]);
    bed.promise("bad", "head").await;
    bed.promise("bad", "tail").await;
    bed.until("one dead", 1, "SELECT COUNT(*) FROM outbox WHERE about = 'bad/head' AND state = 'dead'").await;
    bed.until(
        "announced",
        1,
        "SELECT COUNT(*) FROM outbox WHERE about = 'steward.effect.dead_lettered.v1' AND order_key = 'bad'",
    )
    .await;
    for _ in 0..5 {
        bed.clock.advance(Duration::from_secs(2));
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    assert_eq!(bed.far_end.calls("bad").len(), 1, "the dead head holds its key");
}

async fn an_event_is_heard_once_however_often_it_is_sent(bed: &Bed) {
    let id = bed.emit("calm", 3.0).await;
    bed.until("heard", 1, "SELECT COUNT(*) FROM audit WHERE verb = 'heard' AND subject = 'calm@store-1'").await;
    // The relay lost its memory of having published it.
    let mut tx = bed.cx().store().begin().await.unwrap();
    let again = "UPDATE outbox SET state = 'pending', next_attempt_at = 0 WHERE id = $1";
    sqlx::query(again).bind(id).execute(tx.conn()).await.unwrap();
    tx.commit().await.unwrap();
    bed.until(
        "published again",
        0,
        "SELECT COUNT(*) FROM outbox WHERE state = 'pending' AND destination = 'bus' AND order_key = 'calm@store-1'",
    )
    .await;
    tokio::time::sleep(Duration::from_millis(300)).await;
    assert_eq!(bed.count("SELECT COUNT(*) FROM audit WHERE verb = 'heard' AND subject = 'calm@store-1'").await, 1);
}

async fn a_handler_s_failure_is_kept_and_cured_in_order(bed: &Bed) {
    bed.emit("ill", 2.0).await;
    bed.until("kept", 1, "SELECT COUNT(*) FROM inbox WHERE state = 'pending' AND subject = 'ill@store-1'").await;
    bed.emit("ill", 0.0).await;
    bed.until("queued behind it", 2, "SELECT COUNT(*) FROM inbox WHERE state = 'pending' AND subject = 'ill@store-1'")
        .await;
    let mut tx = bed.cx().store().begin().await.unwrap();
    tx.audit("person:doctor", "cured", "ill", json!({})).await.unwrap();
    tx.commit().await.unwrap();
    eventually(Duration::from_secs(20), "both heard", async || {
        bed.clock.advance(Duration::from_secs(30));
        match bed.count("SELECT COUNT(*) FROM audit WHERE verb = 'heard' AND subject = 'ill@store-1'").await {
            2 => Ok(()),
            n => anyhow::bail!("{n} heard"),
        }
    })
    .await;
    let mut reader = bed.cx().store().read().await.unwrap();
    let order: Vec<(String,)> =
        sqlx::query_as("SELECT details FROM audit WHERE verb = 'heard' AND subject = 'ill@store-1' ORDER BY seq")
            .fetch_all(&mut *reader)
            .await
            .unwrap();
    assert_eq!(order[0].0, r#"{"available":2.0}"#, "the earlier event first");
}

async fn poison_becomes_a_dead_letter_and_is_announced(bed: &Bed) {
    bed.emit("poison", 1.0).await;
    bed.until("dead", 1, "SELECT COUNT(*) FROM inbox WHERE state = 'dead' AND subject = 'poison@store-1'").await;
    let announced =
        "SELECT COUNT(*) FROM outbox WHERE about = 'steward.effect.dead_lettered.v1' AND order_key = 'poison@store-1'";
    bed.until("announced", 1, announced).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_laws_hold_on_sqlite_and_in_process() {
    all_laws(Bed::laptop().await).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_laws_hold_on_postgresql_and_rabbitmq() {
    require!(Postgres, RabbitMq);
    all_laws(Bed::cluster().await).await;
}
