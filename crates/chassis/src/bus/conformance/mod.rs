//! What must be true of the bus, in process and over RabbitMQ. Each law has its own subscribers and subjects, so all of
//! them share one bus.

mod broker;

use std::{sync::Arc, time::Duration};

use contracts::{EventPayload, Trace, events::StockRanLow};
use serde_json::json;
use testkit::{Scratch, borrow_virtual_host, eventually, require};
use tokio::task::JoinHandle;

use super::*;
use crate::{
    clock::{Clock, Ids},
    cx::Cx,
    inbox::HandleError,
    relay::RetrySchedule,
    service::Service,
    store::{Store, StoreOptions},
    telemetry::Metrics,
};

const PATIENCE: Duration = Duration::from_secs(40);

/// A bus, and a folder for the stores of its subscribers.
struct Bed {
    in_process: Bus,
    broker: Option<String>,
    folder: Scratch,
    ids: Ids,
}

impl Bed {
    fn over(broker: Option<String>) -> Self {
        let folder = Scratch::new("bus").unwrap();
        Self { in_process: Arc::new(InProcessBus::default()), broker, folder, ids: Ids::default() }
    }

    /// What one service has of the bus.
    fn bus(&self, service: &'static str) -> Bus {
        match &self.broker {
            Some(url) => Arc::new(RabbitBus::new(url, service, 50)),
            None => Arc::clone(&self.in_process),
        }
    }

    /// A service that writes down what it hears, and cannot read what is about `poison`.
    async fn subscriber(&self, service: &'static str) -> Subscriber {
        let url = format!("sqlite:{}", self.folder.path().display());
        let options = StoreOptions { url, owner_url: None, schema: service, max_connections: 5 };
        let store = Store::open(&options, &[], Clock::system(), self.ids.clone()).await.unwrap();
        let listener = Service::new(service, "Probe", "A subscriber.").on::<StockRanLow>(|_, tx, event| {
            Box::pin(async move {
                let subject = event.payload.subject();
                if subject.starts_with("poison") {
                    return Err(HandleError::Poison("cannot be read".into()));
                }
                tx.audit("service:probe", "heard", &subject, json!(event.payload.available)).await?;
                Ok(())
            })
        });
        let schedule = Arc::new(RetrySchedule::default());
        let cx = Cx::over(store, Metrics::default());
        let intake = Intake::new(cx.clone(), listener.subscriptions.into(), schedule);
        let mut subscriber =
            Subscriber { cx, intake, bus: self.bus(service), stop: CancellationToken::new(), consumes: None };
        subscriber.consume(self).await;
        subscriber
    }

    fn events(&self, subject: &str, numbers: std::ops::Range<u32>) -> Vec<Envelope> {
        numbers.map(|number| event(&self.ids, subject, number)).collect()
    }

    /// Publishes as the relay does: what is not taken comes again, in its order.
    async fn publish(&self, bus: &Bus, events: &[Envelope]) {
        eventually(PATIENCE, "it is published", async || {
            let outcomes = bus.publish(events).await;
            anyhow::ensure!(outcomes.iter().all(Result::is_ok), "{outcomes:?}");
            Ok(())
        })
        .await;
    }
}

fn event(ids: &Ids, product: &str, number: u32) -> Envelope {
    let at = Clock::system().now();
    let payload = json!({"product": product, "location": "store-1", "available": number, "reorder_point": 5.0,
        "observed_at": at});
    let payload: StockRanLow = serde_json::from_value(payload).unwrap();
    Envelope::wrap(ids.next(), "/probe", at, &payload, Trace::default()).unwrap()
}

struct Subscriber {
    cx: Cx,
    intake: Intake,
    bus: Bus,
    stop: CancellationToken,
    consumes: Option<JoinHandle<()>>,
}

impl Subscriber {
    /// Returns when the bus knows of it.
    async fn consume(&mut self, bed: &Bed) {
        self.stop = CancellationToken::new();
        let (bus, intake, stop) = (Arc::clone(&self.bus), self.intake.clone(), self.stop.clone());
        let consuming = async move { bus.consume(intake, stop).await };
        match bed.broker {
            Some(_) => self.consumes = Some(tokio::spawn(consuming)),
            None => return consuming.await,
        }
        eventually(PATIENCE, "it consumes", async || {
            anyhow::ensure!(self.bus.trouble().is_none(), "{:?}", self.bus.trouble());
            Ok(())
        })
        .await;
    }

    async fn rest(&mut self) {
        self.stop.cancel();
        if let Some(consumes) = self.consumes.take() {
            consumes.await.unwrap();
        }
    }

    /// The numbers it heard of a subject, in the order of hearing.
    async fn heard(&self, subject: &str) -> Vec<u32> {
        let mut reader = self.cx.store().read().await.unwrap();
        let select = "SELECT details FROM audit WHERE verb = 'heard' AND subject = $1 ORDER BY seq";
        let heard: Vec<(String,)> =
            sqlx::query_as(select).bind(format!("{subject}@store-1")).fetch_all(&mut *reader).await.unwrap();
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "it was a small whole number")]
        heard.iter().map(|(number,)| number.parse::<f64>().unwrap() as u32).collect()
    }

    async fn until_heard(&self, subject: &str, numbers: &[u32]) {
        eventually(PATIENCE, "it is heard", async || {
            let heard = self.heard(subject).await;
            anyhow::ensure!(heard == numbers, "{subject}: {heard:?}");
            Ok(())
        })
        .await;
    }

    /// Dead letters: what they hold, and why.
    async fn dead(&self) -> Vec<(String, String)> {
        let mut reader = self.cx.store().read().await.unwrap();
        let select = "SELECT message, last_error FROM inbox WHERE state = 'dead' ORDER BY seq";
        sqlx::query_as(select).fetch_all(&mut *reader).await.unwrap()
    }
}

async fn conforms(bed: &Bed) {
    every_subscriber_hears_everything_once_and_in_order(bed).await;
    what_is_published_twice_is_heard_once(bed).await;
    poison_is_a_dead_letter_with_all_it_was(bed).await;
    a_subscriber_without_its_store_loses_nothing(bed).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn in_process_conforms() {
    conforms(&Bed::over(None)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn rabbitmq_conforms() {
    require!(RabbitMq);
    conforms(&Bed::over(Some(borrow_virtual_host().await.unwrap()))).await;
}

async fn every_subscriber_hears_everything_once_and_in_order(bed: &Bed) {
    let (mut one, mut two) = (bed.subscriber("one").await, bed.subscriber("two").await);
    let publisher = bed.bus("publisher");
    let subjects: Vec<String> = (0..12).map(|number| format!("many-{number}")).collect();
    // Interleaved: one of each subject in every batch.
    for turn in 0..10 {
        let batch: Vec<_> = subjects.iter().map(|subject| event(&bed.ids, subject, turn)).collect();
        bed.publish(&publisher, &batch).await;
    }
    let all: Vec<u32> = (0..10).collect();
    for subscriber in [&one, &two] {
        for subject in &subjects {
            subscriber.until_heard(subject, &all).await;
        }
    }
    one.rest().await;
    two.rest().await;
}

async fn what_is_published_twice_is_heard_once(bed: &Bed) {
    let mut subscriber = bed.subscriber("twice").await;
    let publisher = bed.bus("publisher");
    let events = bed.events("twice", 0..3);
    for _ in 0..3 {
        bed.publish(&publisher, &events).await;
    }
    bed.publish(&publisher, &[events[2].clone(), events[2].clone(), event(&bed.ids, "twice", 3)]).await;
    subscriber.until_heard("twice", &[0, 1, 2, 3]).await;
    subscriber.rest().await;
}

async fn poison_is_a_dead_letter_with_all_it_was(bed: &Bed) {
    let mut subscriber = bed.subscriber("poisoned").await;
    let publisher = bed.bus("publisher");
    let poison = event(&bed.ids, "poison", 7);
    bed.publish(&publisher, &[event(&bed.ids, "good", 1), poison.clone(), event(&bed.ids, "good", 2)]).await;
    subscriber.until_heard("good", &[1, 2]).await;
    eventually(PATIENCE, "it is dead", async || {
        let dead = subscriber.dead().await;
        anyhow::ensure!(dead.len() == 1, "{dead:?}");
        Ok(())
    })
    .await;
    let (message, cause) = subscriber.dead().await.remove(0);
    let kept: Envelope = serde_json::from_str(&message).unwrap();
    assert_eq!((kept.id, kept.data.get()), (poison.id, poison.data.get()));
    assert_eq!(cause, "cannot be read");
    subscriber.rest().await;
}

/// Its store refuses work for longer than anybody waits for a connection. Nothing is rejected, and then all goes on.
async fn a_subscriber_without_its_store_loses_nothing(bed: &Bed) {
    let mut subscriber = bed.subscriber("away").await;
    let publisher = bed.bus("publisher");
    let occupied = subscriber.cx.store().begin().await.unwrap();
    let freed = tokio::spawn(async move {
        tokio::time::sleep(Duration::from_millis(6_500)).await;
        drop(occupied);
    });
    for number in 0..3 {
        bed.publish(&publisher, &[event(&bed.ids, "away", number)]).await;
    }
    if bed.broker.is_some() {
        assert!(!freed.is_finished() && subscriber.heard("away").await.is_empty(), "the broker keeps it meanwhile");
    }
    subscriber.until_heard("away", &[0, 1, 2]).await;
    assert!(freed.is_finished(), "not before the store was back");
    assert!(subscriber.dead().await.is_empty());
    subscriber.rest().await;
}
