//! One trace from an HTTP request through the outbox, the bus, the consumer and its effect to the call that leaves.

use std::{sync::Arc, time::Duration};

use actix_web::{HttpResponse, post};
use chassis::{
    Cx, Settings,
    http::ApiError,
    outgoing::OutgoingRequest,
    relay::Attempt,
    telemetry::{self, current_traceparent},
};
use contracts::{EventPayload, envelope::routing_key, events::StockRanLow};
use futures_util::StreamExt;
use lapin::{
    Connection, ConnectionProperties, Consumer, ExchangeKind,
    options::{BasicConsumeOptions, ExchangeDeclareOptions, QueueBindOptions, QueueDeclareOptions},
    types::{AMQPValue, FieldTable},
};
use serde_json::json;
use testkit::{eventually, require};
use wiremock::{Mock, MockServer, ResponseTemplate, matchers::any};

use crate::ground::{Ground, Replica, STEP, Ship, effect, service};

const TRACE_ID: &str = "4bf92f3577b34da6a3ce929d0e0e4736";
const CALLER: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

/// Something happens: a leaf and an event.
#[utoipa::path(responses((status = 202)))]
#[post("/v1/happen")]
async fn happen(cx: Cx) -> Result<HttpResponse, ApiError> {
    let mut tx = cx.store().begin().await?;
    tx.audit("key:test", "asked", "sku", json!({})).await?;
    let event = json!({"product": "sku", "location": "store-1", "available": 1.0, "reorder_point": 5.0,
        "observed_at": tx.now()});
    tx.emit(&serde_json::from_value::<StockRanLow>(event).map_err(ApiError::internal)?).await?;
    tx.commit().await?;
    Ok(HttpResponse::Accepted().finish())
}

/// A service that passes on what it hears: route -> event -> handler -> effect -> call.
async fn host(ground: Ground, far_end: &MockServer) -> Replica {
    let settings = Settings::from_yaml("telemetry: {log_filter: warn}").unwrap();
    let _guard = telemetry::init(&settings.common.telemetry).unwrap();
    let url: url::Url = far_end.uri().parse().unwrap();
    let address = far_end.address().to_string();
    let ship = Ship::acting(move |cx, effect| {
        let url = url.clone();
        async move {
            let request = OutgoingRequest {
                method: reqwest::Method::POST,
                url,
                headers: vec![("webhook-id".into(), effect.id)],
                body: vec![],
                purpose: "test",
            };
            let answer = cx.outgoing().send(request).await.map_err(|error| Attempt::retry(chassis::chain(&error)))?;
            Ok(json!({"status": answer.status, "within": current_traceparent()}))
        }
    });
    let service = service()
        .routes(|config| {
            config.service(happen);
        })
        .executor(Arc::new(ship))
        .on::<StockRanLow>(|_, tx, event| {
            Box::pin(async move {
                tx.audit("service:probe", "heard", &event.payload.subject(), json!({})).await?;
                tx.effect(effect("sku")).await?;
                Ok(())
            })
        });
    ground.with(&format!("outgoing: {{allow: ['{address}']}}")).host(service).await
}

/// Asks with a trace of the caller's and looks at what every hop kept of it.
async fn every_hop_has_the_caller_s_trace(replica: &Replica, far_end: &MockServer) {
    let url = format!("{}/probe/v1/happen", replica.running.base_url());
    let asked = reqwest::Client::new().post(url).header("traceparent", CALLER).send().await.unwrap();
    assert_eq!(asked.status(), 202);
    let answered = asked.headers()["traceparent"].to_str().unwrap().to_owned();
    replica.until(STEP, "settled", 1, "SELECT COUNT(*) FROM audit WHERE verb = 'settled'").await;
    let mut reader = replica.cx().store().read().await.unwrap();
    let rows: Vec<(String, String)> =
        sqlx::query_as("SELECT kind, traceparent FROM outbox UNION ALL SELECT verb, trace_id FROM audit ORDER BY 1")
            .fetch_all(&mut *reader)
            .await
            .unwrap();
    let kinds: Vec<_> = rows.iter().map(|(kind, _)| kind.as_str()).collect();
    assert_eq!(kinds, ["asked", "effect", "event", "heard", "settled"]);
    let mut hops: Vec<_> = rows.into_iter().map(|(_, trace)| trace).collect();
    let calls = far_end.received_requests().await.unwrap();
    hops.push(calls[0].headers["traceparent"].to_str().unwrap().to_owned());
    hops.push(answered);
    assert!(hops.iter().all(|hop| hop.contains(TRACE_ID)), "{hops:?}");
    // Each hop is a span of its own, or the trace would be one line and not a path.
    let mut spans: Vec<_> = hops.iter().filter_map(|hop| hop.split('-').nth(2)).collect();
    spans.push(CALLER.split('-').nth(2).unwrap());
    spans.sort_unstable();
    spans.dedup();
    // The caller's, the request's (its event and answer), the consumer's (its effect), the effect's (its call).
    assert_eq!(spans.len(), 4, "{hops:?}");
}

async fn peer() -> MockServer {
    let far_end = MockServer::start().await;
    Mock::given(any()).respond_with(ResponseTemplate::new(204)).mount(&far_end).await;
    far_end
}

#[tokio::test(flavor = "multi_thread")]
async fn a_trace_runs_from_the_request_to_the_call_that_leaves_in_process() {
    let far_end = peer().await;
    let replica = host(Ground::laptop(), &far_end).await;
    every_hop_has_the_caller_s_trace(&replica, &far_end).await;
    replica.running.shutdown().await;
}

/// A queue of our own beside the service's, to see what travels.
async fn tap(url: &str) -> (Connection, Consumer) {
    let connection = Connection::connect(url, ConnectionProperties::default()).await.unwrap();
    let channel = connection.create_channel().await.unwrap();
    let durable = ExchangeDeclareOptions { durable: true, ..ExchangeDeclareOptions::default() };
    channel
        .exchange_declare("steward.events".into(), ExchangeKind::Topic, durable, FieldTable::default())
        .await
        .unwrap();
    let exclusive = QueueDeclareOptions { exclusive: true, ..QueueDeclareOptions::default() };
    let queue = channel.queue_declare("tap".into(), exclusive, FieldTable::default()).await.unwrap();
    let key = routing_key(StockRanLow::TYPE).into();
    let bind = QueueBindOptions::default();
    channel.queue_bind(queue.name().clone(), "steward.events".into(), key, bind, FieldTable::default()).await.unwrap();
    let options = BasicConsumeOptions { no_ack: true, ..BasicConsumeOptions::default() };
    let consumer = channel.basic_consume(queue.name().clone(), "tap".into(), options, FieldTable::default());
    (connection, consumer.await.unwrap())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_trace_runs_from_the_request_to_the_call_that_leaves_over_rabbitmq() {
    require!(Postgres, RabbitMq);
    let far_end = peer().await;
    let (ground, broker) = Ground::cluster().await;
    let (_connection, mut tapped) = tap(&broker).await;
    let replica = host(ground, &far_end).await;
    eventually(Duration::from_secs(20), "ready", async || {
        let ready = reqwest::get(format!("{}/readyz", replica.running.base_url())).await?;
        anyhow::ensure!(ready.status() == 200, "{}", ready.text().await?);
        Ok(())
    })
    .await;
    every_hop_has_the_caller_s_trace(&replica, &far_end).await;
    let message = tapped.next().await.unwrap().unwrap();
    let headers = message.properties.headers().as_ref().unwrap().inner();
    let AMQPValue::LongString(travelled) = &headers["cloudEvents_traceparent"] else { panic!("{headers:?}") };
    assert!(travelled.to_string().contains(TRACE_ID), "{travelled:?}");
    replica.running.shutdown().await;
}
