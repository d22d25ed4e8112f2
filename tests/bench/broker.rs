//! The yardstick of the path: RabbitMQ with the queue, the properties and the windows that the chassis uses, and
//! nothing else. What a message waits for here, it waits for in any program that wants to be sure.

use std::{
    collections::VecDeque,
    sync::Arc,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, ensure};
use contracts::{Envelope, envelope::routing_key};
use futures_util::StreamExt as _;
use lapin::{
    BasicProperties, Channel, Confirmation, Connection, ConnectionProperties, Consumer, ExchangeKind,
    options::{
        BasicAckOptions, BasicConsumeOptions, BasicPublishOptions, BasicQosOptions, ConfirmSelectOptions,
        ExchangeDeclareOptions, QueueBindOptions, QueueDeclareOptions,
    },
    types::{AMQPValue, FieldTable, ShortString},
};

const EXCHANGE: &str = "bench.events";
const QUEUE: &str = "bench";
/// Unconfirmed messages, as many as the relay publishes at a time; here they slide.
const WINDOW: usize = 256;
/// `bus.prefetch`, by default.
const PREFETCH: u16 = 100;
const PATIENCE: Duration = Duration::from_secs(120);

pub(crate) struct Broker {
    publisher: Channel,
    consumer: tokio::sync::Mutex<Consumer>,
    _connections: [Connection; 2],
}

impl Broker {
    pub(crate) async fn connect(url: &str) -> Result<Self> {
        let connect = async || Connection::connect(url, ConnectionProperties::default()).await;
        let connections = [connect().await?, connect().await?];
        let publisher = connections[0].create_channel().await?;
        publisher.confirm_select(ConfirmSelectOptions::default()).await?;
        let durable = ExchangeDeclareOptions { durable: true, ..ExchangeDeclareOptions::default() };
        publisher.exchange_declare(EXCHANGE.into(), ExchangeKind::Topic, durable, FieldTable::default()).await?;
        let durable = QueueDeclareOptions { durable: true, ..QueueDeclareOptions::default() };
        publisher.queue_declare(QUEUE.into(), durable, queue_arguments()).await?;
        let bind = QueueBindOptions::default();
        publisher.queue_bind(QUEUE.into(), EXCHANGE.into(), "#".into(), bind, FieldTable::default()).await?;
        let channel = connections[1].create_channel().await?;
        channel.basic_qos(PREFETCH, BasicQosOptions::default()).await?;
        let consume = BasicConsumeOptions::default();
        let consumer = channel.basic_consume(QUEUE.into(), "bench".into(), consume, FieldTable::default()).await?;
        Ok(Self { publisher, consumer: consumer.into(), _connections: connections })
    }

    /// From the first publish until the last message is confirmed and acknowledged.
    pub(crate) async fn carry(&self, events: Vec<Arc<Envelope>>) -> Result<Duration> {
        let (began, count) = (Instant::now(), events.len());
        // In tasks, so that both sides have a core.
        let publisher = self.publisher.clone();
        let publishing = tokio::spawn(async move { publish(&publisher, &events).await });
        let mut consumer = self.consumer.lock().await;
        let consuming = async {
            for _ in 0..count {
                let delivery = consumer.next().await.context("the consumer was cut off")??;
                delivery.ack(BasicAckOptions::default()).await?;
            }
            anyhow::Ok(())
        };
        tokio::time::timeout(PATIENCE, consuming).await.context("the broker does not deliver")??;
        publishing.await??;
        Ok(began.elapsed())
    }
}

/// As `chassis::bus` declares the queue of a service.
fn queue_arguments() -> FieldTable {
    let mut arguments = FieldTable::default();
    let texts = [
        ("x-queue-type", "quorum"),
        ("x-dead-letter-exchange", "bench.dead"),
        ("x-dead-letter-strategy", "at-least-once"),
        ("x-overflow", "reject-publish"),
    ];
    for (name, value) in texts {
        arguments.insert(name.into(), AMQPValue::LongString(value.into()));
    }
    arguments.insert("x-single-active-consumer".into(), AMQPValue::Boolean(true));
    arguments.insert("x-delivery-limit".into(), AMQPValue::LongLongInt(20));
    arguments
}

async fn publish(channel: &Channel, events: &[Arc<Envelope>]) -> Result<()> {
    let mut unconfirmed = VecDeque::with_capacity(WINDOW);
    for event in events {
        if unconfirmed.len() == WINDOW
            && let Some(oldest) = unconfirmed.pop_front()
        {
            confirmed(oldest).await?;
        }
        let mut headers = FieldTable::default();
        for (name, value) in event.headers() {
            headers.insert(name.into(), AMQPValue::LongString(value.into()));
        }
        let properties = BasicProperties::default()
            .with_delivery_mode(2)
            .with_content_type("application/json".into())
            .with_message_id(event.id.as_str().into())
            .with_headers(headers);
        let options = BasicPublishOptions { mandatory: true, ..BasicPublishOptions::default() };
        let key = ShortString::from(routing_key(&event.kind));
        let body = event.data.get().as_bytes();
        unconfirmed.push_back(channel.basic_publish(EXCHANGE.into(), key, options, body, properties).await?);
    }
    for confirm in unconfirmed {
        confirmed(confirm).await?;
    }
    Ok(())
}

async fn confirmed(confirm: lapin::PublisherConfirm) -> Result<()> {
    let confirmation = confirm.await?;
    ensure!(matches!(confirmation, Confirmation::Ack(None)), "the broker did not take it: {confirmation:?}");
    Ok(())
}
