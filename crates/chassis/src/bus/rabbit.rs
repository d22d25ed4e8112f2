//! RabbitMQ (>= 3.10): one topic exchange, one quorum queue per service, one dead-letter queue beside it.
//!
//! lapin's auto-recovery is off and the reconnect loop is ours: after a break the whole session (topology, prefetch,
//! consumers) is made anew, so nothing depends on what a recovered channel remembers.

use std::{
    collections::BTreeMap,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use async_trait::async_trait;
use contracts::{Envelope, envelope::routing_key};
use futures_util::{StreamExt, future::join_all};
use lapin::{
    BasicProperties, Channel, Confirmation, Connection, ConnectionProperties, Consumer, ExchangeKind,
    message::Delivery,
    options::{
        BasicCancelOptions, BasicConsumeOptions, BasicPublishOptions, BasicQosOptions, ConfirmSelectOptions,
        ExchangeDeclareOptions, QueueBindOptions, QueueDeclareOptions,
    },
    types::{AMQPValue, FieldTable, LongString, ShortString},
};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::{BusPort, PublishError, Trouble, acks::Acks};
use crate::inbox::{Intake, TOGETHER};

const EVENTS: &str = "steward.events";
const DEAD: &str = "steward.dead";
/// A confirm may never come; after this long the batch counts as not taken and the connection as broken.
const CONFIRM_TIMEOUT: Duration = Duration::from_secs(10);
/// For a connection with everything that is declared on it: a broker that is half gone may never answer.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// Messages handled at the same time. One subject always goes the same lane, so its order is kept.
const LANES: usize = 4;
/// Deliveries after which a message that kills its consumer is dead-lettered by the broker. Failures that we see
/// ourselves never get there: they are counted in the inbox.
const DELIVERY_LIMIT: i64 = 20;

/// Publisher and consumer sessions of one service.
pub(crate) struct RabbitBus {
    url: String,
    name: &'static str,
    prefetch: u16,
    publisher: tokio::sync::Mutex<Option<Arc<Publisher>>>,
    trouble: Mutex<BTreeMap<&'static str, String>>,
    /// Whether the consumer has been connected before.
    was_connected: AtomicBool,
}

struct Publisher {
    connection: Connection,
    channel: Channel,
}

impl RabbitBus {
    pub(crate) fn new(url: &str, service: &'static str, prefetch: u16) -> Self {
        let starting = BTreeMap::from([("consumer", "not connected yet".to_owned())]);
        Self {
            url: url.to_owned(),
            name: service,
            prefetch,
            publisher: tokio::sync::Mutex::new(None),
            trouble: Mutex::new(starting),
            was_connected: AtomicBool::new(false),
        }
    }

    fn note(&self, part: &'static str, trouble: Option<String>) {
        let mut map = self.trouble.lock().unwrap_or_else(PoisonError::into_inner);
        match trouble {
            Some(text) => map.insert(part, text),
            None => map.remove(part),
        };
    }

    async fn connect(&self, part: &str) -> Result<(Connection, Channel), lapin::Error> {
        let label = LongString::from(format!("steward.{}.{part}", self.name));
        let properties = ConnectionProperties::default().with_connection_name(label);
        let connection = Connection::connect(&self.url, properties).await?;
        let channel = connection.create_channel().await?;
        let durable = ExchangeDeclareOptions { durable: true, ..ExchangeDeclareOptions::default() };
        channel.exchange_declare(EVENTS.into(), ExchangeKind::Topic, durable, FieldTable::default()).await?;
        channel.exchange_declare(DEAD.into(), ExchangeKind::Direct, durable, FieldTable::default()).await?;
        Ok((connection, channel))
    }

    /// The session to publish in, begun anew when it must be.
    async fn publisher(&self) -> Result<Arc<Publisher>, lapin::Error> {
        let mut session = self.publisher.lock().await;
        match session.as_ref() {
            // It reads nothing from us until the alarm is over; what we send meanwhile would only pile up, and a new
            // connection would be one more that it does not read from.
            Some(publisher) if is_blocked(&publisher.connection) => Err(blocked()),
            Some(publisher) if publisher.connection.status().connected() => Ok(Arc::clone(publisher)),
            _ => {
                let connecting = async {
                    let (connection, channel) = self.connect("publisher").await?;
                    channel.confirm_select(ConfirmSelectOptions::default()).await?;
                    Ok(Arc::new(Publisher { connection, channel }))
                };
                Ok(Arc::clone(session.insert(in_time(CONNECT_TIMEOUT, connecting).await?)))
            }
        }
    }

    /// Several batches may be under way in one session.
    async fn publish_batch(&self, events: &[Envelope]) -> Result<Vec<Result<(), PublishError>>, lapin::Error> {
        let publisher = self.publisher().await?;
        let sent = in_time(CONFIRM_TIMEOUT, async {
            let mut confirms = Vec::with_capacity(events.len());
            for event in events {
                confirms.push(send(&publisher.channel, event).await?);
            }
            Ok(join_all(confirms).await)
        });
        match sent.await {
            Ok(confirms) => Ok(confirms.into_iter().map(judge).collect()),
            Err(_) if is_blocked(&publisher.connection) => Err(blocked()),
            Err(error) => {
                // Another batch may have begun a new session since.
                self.publisher.lock().await.take_if(|current| Arc::ptr_eq(current, &publisher));
                Err(error)
            }
        }
    }

    /// One consumer session: ends with an error when the connection breaks.
    async fn session(&self, intake: &Intake, stop: &CancellationToken) -> Result<(), lapin::Error> {
        let (connection, mut inflow) = in_time(CONNECT_TIMEOUT, self.subscribe(intake)).await?;
        self.note("consumer", None);
        self.was_connected.store(true, Ordering::SeqCst);
        // Lanes that wait for the store give up with the session: what they hold comes again in the next one.
        let ended = stop.child_token();
        let _ends_lanes = ended.clone().drop_guard();
        let lanes: Vec<_> = (0..LANES).map(|_| lane(intake.clone(), Arc::clone(&inflow.acks), ended.clone())).collect();
        let pumped = inflow.pump(intake, &lanes, stop).await;
        if pumped.is_ok() {
            inflow.channel.basic_cancel(inflow.events.tag(), BasicCancelOptions::default()).await?;
            for (sender, task) in lanes {
                drop(sender);
                if task.await.is_err() {
                    tracing::error!("a consumer lane panicked");
                }
            }
        }
        // Also after an error: a consumer that the broker still counts as alive would keep its messages.
        let closed = in_time(CONNECT_TIMEOUT, connection.close(200, "end of session".into())).await;
        pumped.and(closed)
    }

    async fn subscribe(&self, intake: &Intake) -> Result<(Connection, Inflow), lapin::Error> {
        let (connection, channel) = self.connect("consumer").await?;
        let queue = declare(&channel, intake).await?;
        channel.basic_qos(self.prefetch, BasicQosOptions::default()).await?;
        let consume = |name: String, tag: &str| {
            let channel = channel.clone();
            let tag = ShortString::from(format!("{}-{tag}", self.name));
            async move {
                channel.basic_consume(name.into(), tag, BasicConsumeOptions::default(), FieldTable::default()).await
            }
        };
        let events = consume(queue.clone(), "events").await?;
        let dead = consume(format!("{queue}.dead"), "dead").await?;
        let acks = Arc::new(Acks::new(channel.clone(), self.prefetch));
        Ok((connection, Inflow { channel, acks, events, dead }))
    }
}

/// What arrives in one session: events, and those that the broker gave up.
struct Inflow {
    channel: Channel,
    acks: Arc<Acks>,
    events: Consumer,
    dead: Consumer,
}

impl Inflow {
    /// Hands what arrives to the lanes until stopped.
    async fn pump(&mut self, intake: &Intake, lanes: &[Lane], stop: &CancellationToken) -> Result<(), lapin::Error> {
        let cut = || lapin::Error::from(std::io::Error::from(std::io::ErrorKind::ConnectionAborted));
        loop {
            tokio::select! {
                () = stop.cancelled() => return Ok(()),
                delivery = self.events.next() => {
                    let delivery = delivery.ok_or_else(cut)??;
                    self.acks.arrived(delivery.delivery_tag).await;
                    forward(lanes, delivery).await?;
                }
                delivery = self.dead.next() => {
                    let delivery = delivery.ok_or_else(cut)??;
                    self.acks.arrived(delivery.delivery_tag).await;
                    bury(intake, delivery, &self.acks, stop).await?;
                }
            }
        }
    }
}

/// The broker has told us (`connection.blocked`) that it takes nothing more for now.
fn is_blocked(connection: &Connection) -> bool {
    let status = connection.status();
    status.connected() && status.blocked()
}

fn blocked() -> lapin::Error {
    std::io::Error::other("RabbitMQ blocks who publishes: a resource alarm (memory or disk) stands").into()
}

/// lapin has no timeouts of its own, and an answer may never come (its issues 245, 246, 409).
async fn in_time<T>(limit: Duration, work: impl Future<Output = Result<T, lapin::Error>>) -> Result<T, lapin::Error> {
    let timed_out = || std::io::Error::from(std::io::ErrorKind::TimedOut).into();
    tokio::time::timeout(limit, work).await.unwrap_or_else(|_| Err(timed_out()))
}

#[async_trait]
impl BusPort for RabbitBus {
    async fn publish(&self, events: &[Envelope]) -> Vec<Result<(), PublishError>> {
        match self.publish_batch(events).await {
            Ok(outcomes) => {
                self.note("publisher", None);
                outcomes
            }
            Err(error) => {
                let cause = crate::chain(&error);
                tracing::warn!(cause, "RabbitMQ did not take a batch");
                self.note("publisher", Some(cause.clone()));
                events.iter().map(|_| Err(PublishError::Away(cause.clone()))).collect()
            }
        }
    }

    async fn look_again(&self) {
        let failed = self.trouble.lock().unwrap_or_else(PoisonError::into_inner).contains_key("publisher");
        if failed {
            let trouble = self.publisher().await.err().map(|error| crate::chain(&error));
            self.note("publisher", trouble);
        }
    }

    async fn consume(&self, intake: Intake, stop: CancellationToken) {
        let mut pause = Duration::from_millis(250);
        while !stop.is_cancelled() {
            let started = tokio::time::Instant::now();
            if let Err(error) = self.session(&intake, &stop).await {
                let cause = crate::chain(&error);
                tracing::warn!(cause, "the consumer lost RabbitMQ and connects anew");
                self.note("consumer", Some(cause));
            }
            // A session that lasted ends the series of failures.
            pause = if started.elapsed() > Duration::from_secs(30) { Duration::from_millis(250) } else { pause };
            tokio::select! { () = tokio::time::sleep(pause) => {}, () = stop.cancelled() => {} }
            pause = (pause * 2).min(Duration::from_secs(10));
        }
    }

    fn no_consumer(&self) {
        self.note("consumer", None);
        self.was_connected.store(true, Ordering::SeqCst);
    }

    fn trouble(&self) -> Option<Trouble> {
        let map = self.trouble.lock().unwrap_or_else(PoisonError::into_inner);
        let causes: Vec<_> = map.iter().map(|(part, text)| format!("{part}: {text}")).collect();
        let passing = self.was_connected.load(Ordering::SeqCst);
        (!causes.is_empty()).then(|| Trouble { cause: causes.join("; "), passing })
    }
}

async fn send(channel: &Channel, event: &Envelope) -> Result<lapin::PublisherConfirm, lapin::Error> {
    let mut headers = FieldTable::default();
    for (name, value) in event.headers() {
        headers.insert(name.into(), AMQPValue::LongString(value.into()));
    }
    let mut properties = BasicProperties::default()
        .with_delivery_mode(2)
        .with_content_type("application/json".into())
        .with_message_id(event.id.as_str().into())
        .with_type(event.kind.as_str().into())
        .with_app_id(event.source.as_str().into())
        .with_timestamp(event.time.as_second().unsigned_abs())
        .with_headers(headers);
    if let Some(correlation) = &event.trace.correlation_id {
        properties = properties.with_correlation_id(correlation.as_str().into());
    }
    let options = BasicPublishOptions { mandatory: true, ..BasicPublishOptions::default() };
    let key = ShortString::from(routing_key(&event.kind));
    channel.basic_publish(EVENTS.into(), key, options, event.data.get().as_bytes(), properties).await
}

fn judge(confirm: Result<Confirmation, lapin::Error>) -> Result<(), PublishError> {
    match confirm {
        Ok(Confirmation::Ack(None)) => Ok(()),
        Ok(Confirmation::Ack(Some(returned)) | Confirmation::Nack(Some(returned))) => {
            Err(PublishError::Refused(format!("returned: {} {}", returned.reply_code, returned.reply_text)))
        }
        Ok(Confirmation::Nack(None)) => Err(PublishError::Refused("the broker rejected it".into())),
        Ok(Confirmation::NotRequested) => Err(PublishError::Away("confirms are off".into())),
        Err(error) => Err(PublishError::Away(crate::chain(&error))),
    }
}

/// Declares the service's queue, its dead-letter queue and the bindings; returns the queue's name.
async fn declare(channel: &Channel, intake: &Intake) -> Result<String, lapin::Error> {
    let service = intake.service();
    let queue = format!("steward.{service}");
    let dead_queue = format!("{queue}.dead");
    let durable = QueueDeclareOptions { durable: true, ..QueueDeclareOptions::default() };
    let text = |value: &str| AMQPValue::LongString(value.into());
    let mut quorum = FieldTable::default();
    quorum.insert("x-queue-type".into(), text("quorum"));
    channel.queue_declare(dead_queue.as_str().into(), durable, quorum.clone()).await?;
    let bind = QueueBindOptions::default();
    channel.queue_bind(dead_queue.as_str().into(), DEAD.into(), service.into(), bind, FieldTable::default()).await?;
    // Two replicas that take turns at one queue would overtake each other: one consumes, the next takes over when it is
    // gone. Whatever else a service does, all of its replicas do.
    quorum.insert("x-single-active-consumer".into(), AMQPValue::Boolean(true));
    // At-least-once dead-lettering needs both the strategy and reject-publish, or the broker silently drops.
    quorum.insert("x-delivery-limit".into(), AMQPValue::LongLongInt(DELIVERY_LIMIT));
    quorum.insert("x-dead-letter-exchange".into(), text(DEAD));
    quorum.insert("x-dead-letter-routing-key".into(), text(service));
    quorum.insert("x-dead-letter-strategy".into(), text("at-least-once"));
    quorum.insert("x-overflow".into(), text("reject-publish"));
    channel.queue_declare(queue.as_str().into(), durable, quorum).await?;
    for key in intake.bindings() {
        channel.queue_bind(queue.as_str().into(), EVENTS.into(), key.into(), bind, FieldTable::default()).await?;
    }
    Ok(queue)
}

type Lane = (mpsc::Sender<Delivery>, tokio::task::JoinHandle<()>);

fn lane(intake: Intake, acks: Arc<Acks>, stop: CancellationToken) -> Lane {
    let (sender, mut receiver) = mpsc::channel::<Delivery>(TOGETHER);
    let task = tokio::spawn(async move {
        let mut waiting = Vec::with_capacity(TOGETHER);
        while receiver.recv_many(&mut waiting, TOGETHER).await > 0 {
            // A failed ack means that the session is over; the messages come again and the inbox knows them.
            if !take_and_ack(&intake, &acks, &waiting, &stop).await {
                return;
            }
            crate::linger(waiting.len(), TOGETHER).await;
            waiting.clear();
        }
    });
    (sender, task)
}

/// Takes messages in their order, together if that can be done. `false` = the session is over.
async fn take_and_ack(intake: &Intake, acks: &Acks, deliveries: &[Delivery], stop: &CancellationToken) -> bool {
    let read = |delivery: &Delivery| Envelope::from_headers(&headers(delivery), &delivery.data);
    let events: Result<Vec<_>, _> = deliveries.iter().map(read).collect();
    let together = match events {
        Ok(events) => intake.take_together(&events).await,
        Err(_) => false,
    };
    if together {
        return acks.done(deliveries.iter().map(|delivery| delivery.delivery_tag)).await.is_ok();
    }
    for delivery in deliveries {
        if !take(intake, delivery, stop).await || acks.done([delivery.delivery_tag]).await.is_err() {
            return false;
        }
    }
    true
}

/// An error when the lane is gone: its messages come again in the next session, so there must be a next one.
async fn forward(lanes: &[Lane], delivery: Delivery) -> Result<(), lapin::Error> {
    use std::hash::{DefaultHasher, Hash, Hasher};
    let mut hasher = DefaultHasher::new();
    header(&delivery, "cloudEvents_subject").hash(&mut hasher);
    let lane = usize::try_from(hasher.finish() % LANES as u64).unwrap_or(0);
    let gone = |_| lapin::Error::from(std::io::Error::other("a consumer lane ended"));
    lanes[lane].0.send(delivery).await.map_err(gone)
}

/// Takes one message into the inbox. While the store is away it waits, rejecting nothing, because every rejection
/// would count towards the delivery limit. `false` = stopped before it was taken.
async fn take(intake: &Intake, delivery: &Delivery, stop: &CancellationToken) -> bool {
    loop {
        let taken = match Envelope::from_headers(&headers(delivery), &delivery.data) {
            Ok(event) => match intake.take(&event).await {
                // The store works and will never hold this message (a NUL in a header, say): a dead letter like bytes
                // that are no event, or its lane would stand still for ever.
                Err(error) if !error.is_unavailable() => {
                    intake.take_undecodable(&delivery.data, &crate::chain(&error)).await
                }
                taken => taken,
            },
            Err(error) => intake.take_undecodable(&delivery.data, &error.to_string()).await,
        };
        match taken {
            Ok(()) => return true,
            Err(error) => {
                tracing::warn!(error = %crate::chain(&error), "the store is away; consuming waits");
                tokio::select! {
                    () = tokio::time::sleep(Duration::from_secs(1)) => {}
                    () = stop.cancelled() => return false,
                }
            }
        }
    }
}

/// A message that the broker gave up becomes a dead letter of ours, where people can see and replay it.
async fn bury(intake: &Intake, delivery: Delivery, acks: &Acks, stop: &CancellationToken) -> Result<(), lapin::Error> {
    let cause = header(&delivery, "x-first-death-reason").unwrap_or_else(|| "dead-lettered by the broker".into());
    loop {
        let buried = match Envelope::from_headers(&headers(&delivery), &delivery.data) {
            Ok(event) => intake.take_dead(&event, &cause).await,
            Err(_) => intake.take_undecodable(&delivery.data, &cause).await,
        };
        match buried {
            Ok(()) => return acks.done([delivery.delivery_tag]).await,
            Err(_) if stop.is_cancelled() => return Ok(()),
            Err(_) => tokio::time::sleep(Duration::from_secs(1)).await,
        }
    }
}

fn headers(delivery: &Delivery) -> BTreeMap<String, String> {
    let table = delivery.properties.headers().as_ref();
    let texts = table.into_iter().flat_map(|table| table.inner());
    texts.filter_map(|(name, value)| Some((name.to_string(), text(value)?))).collect()
}

fn header(delivery: &Delivery, name: &str) -> Option<String> {
    delivery.properties.headers().as_ref()?.inner().get(name).and_then(text)
}

fn text(value: &AMQPValue) -> Option<String> {
    match value {
        AMQPValue::LongString(text) => Some(text.to_string()),
        AMQPValue::ShortString(text) => Some(text.to_string()),
        _ => None,
    }
}
