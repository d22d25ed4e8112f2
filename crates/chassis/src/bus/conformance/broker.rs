//! What only a broker between processes can do to us.

use futures_util::StreamExt;
use lapin::{
    BasicProperties, Channel, Connection, ConnectionProperties, Consumer,
    options::{BasicConsumeOptions, BasicNackOptions, BasicPublishOptions, QueueDeclareOptions},
    types::FieldTable,
};

use testkit::Proxy;

use super::*;

async fn client(bed: &Bed) -> (Connection, Channel) {
    let url = bed.broker.as_ref().unwrap();
    let connection = Connection::connect(url, ConnectionProperties::default()).await.unwrap();
    let channel = connection.create_channel().await.unwrap();
    (connection, channel)
}

/// Takes the place of a service's consumer.
async fn stand_in(channel: &Channel, queue: &str) -> Consumer {
    let (options, table) = (BasicConsumeOptions::default(), FieldTable::default());
    channel.basic_consume(queue.into(), "stand-in".into(), options, table).await.unwrap()
}

/// Messages ready in a queue.
async fn depth(channel: &Channel, queue: &str) -> u32 {
    let look = QueueDeclareOptions { passive: true, ..QueueDeclareOptions::default() };
    channel.queue_declare(queue.into(), look, FieldTable::default()).await.unwrap().message_count()
}

async fn until_empty(channel: &Channel, queue: &str) {
    eventually(PATIENCE, "its queue is empty", async || {
        let depth = depth(channel, queue).await;
        anyhow::ensure!(depth == 0, "{queue}: {depth}");
        Ok(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_broker_s_faults_are_survived() {
    require!(RabbitMq);
    let bed = Bed::over(Some(borrow_virtual_host().await.unwrap()));
    an_event_for_nobody_is_refused_until_somebody_is_there(&bed).await;
    a_publisher_that_failed_recovers_without_an_event(&bed).await;
    what_was_taken_and_not_acknowledged_is_heard_once(&bed).await;
    bytes_that_are_no_event_are_a_dead_letter_as_they_were(&bed).await;
    what_the_broker_gives_up_is_a_dead_letter_of_ours(&bed).await;
}

async fn an_event_for_nobody_is_refused_until_somebody_is_there(bed: &Bed) {
    let publisher = bed.bus("publisher");
    let lonely = [event(&bed.ids, "lonely", 1)];
    let outcomes = publisher.publish(&lonely).await;
    assert!(matches!(&outcomes[..], [Err(PublishError::Refused(cause))] if cause.contains("NO_ROUTE")), "{outcomes:?}");
    let mut subscriber = bed.subscriber("late").await;
    bed.publish(&publisher, &lonely).await;
    subscriber.until_heard("lonely", &[1]).await;
    subscriber.rest().await;
}

/// Its last event failed and another replica published it: there is nothing left that would tell it better.
async fn a_publisher_that_failed_recovers_without_an_event(bed: &Bed) {
    let mut url = url::Url::parse(bed.broker.as_ref().unwrap()).unwrap();
    let proxy = Proxy::before(url.port().unwrap()).await.unwrap();
    url.set_port(Some(proxy.port())).unwrap();
    let publisher = RabbitBus::new(url.as_str(), "recovering", 50);
    publisher.no_consumer();
    proxy.refuse();
    let outcomes = publisher.publish(&bed.events("recovering", 0..1)).await;
    assert!(matches!(&outcomes[..], [Err(PublishError::Away(_))]), "{outcomes:?}");
    publisher.look_again().await;
    assert!(publisher.trouble().is_some_and(|trouble| trouble.cause.starts_with("publisher: ")));
    proxy.resume();
    publisher.look_again().await;
    assert_eq!(publisher.trouble(), None);
}

/// The consumer dies between its commit and its acknowledgement.
async fn what_was_taken_and_not_acknowledged_is_heard_once(bed: &Bed) {
    let mut subscriber = bed.subscriber("died").await;
    subscriber.rest().await;
    let events = bed.events("died", 0..3);
    bed.publish(&bed.bus("publisher"), &events).await;
    subscriber.intake.take_all(&events[..2]).await.unwrap();
    let (connection, channel) = client(bed).await;
    let mut delivered = stand_in(&channel, "steward.died").await;
    for _ in 0..2 {
        delivered.next().await.unwrap().unwrap();
    }
    connection.close(200, "it died".into()).await.unwrap();
    subscriber.consume(bed).await;
    subscriber.until_heard("died", &[0, 1, 2]).await;
    subscriber.rest().await;
    let (_connection, channel) = client(bed).await;
    until_empty(&channel, "steward.died").await;
}

async fn bytes_that_are_no_event_are_a_dead_letter_as_they_were(bed: &Bed) {
    use base64::{Engine, engine::general_purpose::STANDARD};
    let mut subscriber = bed.subscriber("garbled").await;
    let (_connection, channel) = client(bed).await;
    let garbage = b"\xff\x00 not an event";
    let (nowhere, plain) = (BasicPublishOptions::default(), BasicProperties::default());
    channel.basic_publish("".into(), "steward.garbled".into(), nowhere, garbage, plain).await.unwrap();
    eventually(PATIENCE, "it is dead", async || {
        let dead = subscriber.dead().await;
        let [(message, cause)] = &dead[..] else { anyhow::bail!("{dead:?}") };
        anyhow::ensure!(STANDARD.decode(message)? == garbage && cause.contains("cloudEvents_specversion"), "{dead:?}");
        Ok(())
    })
    .await;
    bed.publish(&bed.bus("publisher"), &[event(&bed.ids, "garbled", 1)]).await;
    subscriber.until_heard("garbled", &[1]).await;
    subscriber.rest().await;
}

/// It came back more often than `x-delivery-limit` allows, as from a consumer that each time dies of it.
async fn what_the_broker_gives_up_is_a_dead_letter_of_ours(bed: &Bed) {
    let mut subscriber = bed.subscriber("fatal").await;
    subscriber.rest().await;
    let fatal = event(&bed.ids, "fatal", 1);
    bed.publish(&bed.bus("publisher"), std::slice::from_ref(&fatal)).await;
    let (connection, channel) = client(bed).await;
    let mut delivered = stand_in(&channel, "steward.fatal").await;
    eventually(PATIENCE, "the broker gives it up", async || {
        let soon = Duration::from_millis(300);
        if let Ok(Some(message)) = tokio::time::timeout(soon, delivered.next()).await {
            let message = message?;
            message.nack(BasicNackOptions { requeue: true, ..BasicNackOptions::default() }).await?;
        }
        anyhow::ensure!(depth(&channel, "steward.fatal.dead").await == 1, "it is still delivered");
        Ok(())
    })
    .await;
    connection.close(200, "done".into()).await.unwrap();
    subscriber.consume(bed).await;
    eventually(PATIENCE, "it is our dead letter", async || {
        let dead = subscriber.dead().await;
        let [(message, cause)] = &dead[..] else { anyhow::bail!("{dead:?}") };
        let kept: Envelope = serde_json::from_str(message)?;
        anyhow::ensure!(kept.id == fatal.id && cause == "delivery_limit", "{dead:?}");
        Ok(())
    })
    .await;
    assert!(subscriber.heard("fatal").await.is_empty());
    subscriber.rest().await;
}
