//! What the replayed Odoo does beside answering: webhooks, failures on demand, the account of what arrived.

#![expect(clippy::unwrap_used, reason = "a promise that does not hold ends the test")]

use std::{
    sync::{
        Arc,
        atomic::{AtomicI64, Ordering},
    },
    time::{Duration, Instant},
};

use jiff::{Timestamp, ToSpan};
use odoo::{
    Client, Error, Hint, OdooConfig,
    replay::{Clock, Delivery, Failure, ReplayError, ReplayOdoo, Scene, StockSeed, Webhook},
    transfer::{ExternalId, NewLine, NewTransfer},
};
use secrecy::SecretString;
use serde_json::{Map, Value, json};
use wiremock::{Mock, MockServer, ResponseTemplate, matchers::any};

type Check = fn(&Error) -> bool;

/// Every look at the clock is a second and a bit later, so that write dates differ.
fn clock() -> Clock {
    let looks = AtomicI64::new(0);
    let start: Timestamp = "2026-11-23T07:30:00.158913Z".parse().unwrap_or_default();
    Arc::new(move || start + looks.fetch_add(1_000_001, Ordering::Relaxed).microseconds())
}

fn scene() -> Scene {
    let scene = json!({
        "products": [{"sku": "OAT-1", "name": "Hafermilch grün", "category": "Dairy", "cost": 1.1, "price": 2.3}],
        "warehouses": [{"code": "WH", "name": "Main"}, {"code": "S2", "name": "Store 2"}],
        "stock": [{"sku": "OAT-1", "warehouse": "S2", "on_hand": 10.0}],
        "receipts": [{"sku": "OAT-1", "warehouse": "S2", "quantity": 48.0, "due": "2026-11-28T08:00:00Z", "origin": "P00003"}],
    });
    serde_json::from_value(scene).unwrap_or_default()
}

async fn receiver(answer: ResponseTemplate) -> MockServer {
    let server = MockServer::start().await;
    Mock::given(any()).respond_with(answer).mount(&server).await;
    server
}

fn url_with_password(receiver: &MockServer) -> String {
    format!("http://odoo:s3cret@{}/supply/v1/webhooks/odoo", receiver.address())
}

fn transfer(name: &str) -> NewTransfer {
    NewTransfer {
        external_id: ExternalId::parse(&format!("steward.{name}")).unwrap(),
        origin: format!("steward:{name}"),
        picking_type_id: 2,
        location_id: 2,
        location_dest_id: 3,
        lines: vec![NewLine { product_id: 1, quantity: 24.0, uom_id: 1 }],
    }
}

#[tokio::test]
async fn a_count_posts_what_a_real_odoo_posted() {
    let receiver = receiver(ResponseTemplate::new(202)).await;
    let odoo = ReplayOdoo::start(scene(), clock()).await.unwrap();
    odoo.set_webhook(Some(Webhook::to(&url_with_password(&receiver))));
    assert_eq!(odoo.set_quantity("OAT-1", "S2", 9.0).await.unwrap(), Delivery { posted: 3, accepted: 3 });
    assert_eq!(
        odoo.set_quantity("OAT-1", "S2", 9.0).await.unwrap(),
        Delivery::default(),
        "the same value is no change"
    );
    assert_eq!(odoo.set_quantity("OAT-1", "S2", 12.0).await.unwrap(), Delivery { posted: 1, accepted: 1 });

    let requests = receiver.received_requests().await.unwrap();
    let shape = |body: &[u8]| {
        let hint = Hint::parse(body).unwrap();
        (hint.id, hint.fields["quantity"].as_f64(), hint.fields["reserved_quantity"].as_f64())
    };
    let posts: Vec<_> = requests.iter().map(|request| shape(&request.body)).collect();
    let step = |quantity, reserved| (1, Some(quantity), Some(reserved));
    assert_eq!(posts, [step(10.0, 1.0), step(10.0, 0.0), step(9.0, 0.0), step(12.0, 0.0)]);

    // The same decrease on the real server, with its ids and time.
    let captured = include_str!("../fixtures/webhooks.ndjson").lines().rev().take(3).collect::<Vec<_>>();
    for (ours, real) in requests[..3].iter().zip(captured.iter().rev()) {
        let real: Value = serde_json::from_str(real).unwrap();
        let mut real: Value = serde_json::from_str(real["body"].as_str().unwrap()).unwrap();
        let ours: Value = serde_json::from_slice(&ours.body).unwrap();
        for key in ["_id", "id", "location_id", "write_date"] {
            real[key] = ours[key].clone();
        }
        assert_eq!(ours, real);
    }
    let headers = &requests[0].headers;
    assert_eq!(headers["authorization"], "Basic b2RvbzpzM2NyZXQ=");
    assert_eq!(headers["user-agent"], "python-requests/2.31.0");
    assert_eq!(headers["content-type"], "application/json");
    assert!(
        String::from_utf8(requests[0].body.clone())
            .unwrap()
            .starts_with(r#"{"_action": "steward quant(#478)", "_id": 1, "#)
    );
}

#[tokio::test]
async fn webhooks_have_microseconds_where_the_api_has_seconds_and_tell_the_truth() {
    let receiver = receiver(ResponseTemplate::new(202)).await;
    let odoo = ReplayOdoo::start(scene(), clock()).await.unwrap();
    odoo.set_webhook(Some(Webhook::to(&receiver.uri())));
    odoo.set_quantity("OAT-1", "S2", 3.0).await.unwrap();
    let hint = Hint::parse(&receiver.received_requests().await.unwrap()[2].body).unwrap();
    let client = Client::connect(odoo.config()).await.unwrap();
    let quant = client.read_quant(hint.id).await.unwrap().unwrap();
    assert_eq!(quant.quantity, 3.0);
    let told = hint.write_date.unwrap();
    assert_ne!(told, quant.write_date);
    assert_eq!(told.as_second(), quant.write_date.as_second());
}

#[tokio::test]
async fn posts_are_repeated_as_told_and_lost_ones_stay_lost() {
    let broken = receiver(ResponseTemplate::new(500)).await;
    let odoo = ReplayOdoo::start(scene(), clock()).await.unwrap();
    odoo.set_webhook(Some(Webhook { copies: 8, ..Webhook::to(&broken.uri()) }));
    let delivery = odoo.set_quantity("OAT-1", "S2", 20.0).await.unwrap();
    assert_eq!(delivery, Delivery { posted: 8, accepted: 0 });
    assert_eq!(broken.received_requests().await.unwrap().len(), 8, "tried once each");

    let slow = receiver(ResponseTemplate::new(202).set_delay(Duration::from_secs(5))).await;
    odoo.set_webhook(Some(Webhook::to(&slow.uri())));
    let start = Instant::now();
    let delivery = odoo.set_quantity("OAT-1", "S2", 30.0).await.unwrap();
    assert_eq!(delivery, Delivery { posted: 1, accepted: 0 });
    assert!(start.elapsed() < Duration::from_secs(3), "a second, not five");
}

#[tokio::test]
async fn failures_come_as_told_and_then_end() {
    let odoo = ReplayOdoo::start(scene(), clock()).await.unwrap();
    let client = Client::connect(odoo.config()).await.unwrap();
    let new = transfer("t1");
    client.draft_transfer(&transfer("t0")).await.unwrap();
    let table: [(Failure, Check); 3] = [
        (Failure::Serialization, |e| matches!(e, Error::Serialization { .. }) && e.is_retryable()),
        (Failure::Unavailable, |e| matches!(e, Error::Unavailable { .. }) && e.is_retryable()),
        (Failure::Unauthorized, |e| matches!(e, Error::Unauthorized)),
    ];
    for (failure, expected) in table {
        odoo.fail_next(1, failure);
        let error = client.draft_transfer(&new).await.unwrap_err();
        assert!(expected(&error), "{failure:?} became {error:?}");
        assert_eq!(client.find_transfer(&new.origin).await.unwrap(), None, "{failure:?} wrote something");
    }
    odoo.fail_next(1, Failure::LostAnswer);
    assert!(client.draft_transfer(&new).await.unwrap_err().is_retryable());
    let there = client.find_transfer(&new.origin).await.unwrap().unwrap();
    assert_eq!(client.draft_transfer(&new).await.unwrap().id, there.id);
    odoo.fail_next(1, Failure::Slow(Duration::from_millis(300)));
    let hasty = OdooConfig { timeout: Duration::from_millis(100), ..odoo.config() };
    assert!(matches!(Client::connect(hasty).await.unwrap_err(), Error::Transport(_)));
}

#[tokio::test]
async fn an_edit_by_a_person_is_seen_on_looking_and_lost_by_a_blind_repeat() {
    let odoo = ReplayOdoo::start(scene(), clock()).await.unwrap();
    let client = Client::connect(odoo.config()).await.unwrap();
    let drafted = client.draft_transfer(&transfer("t1")).await.unwrap();
    let more = Map::from_iter([("product_uom_qty".to_owned(), json!(30.0))]);
    odoo.person_writes("stock.move", drafted.moves[0].id, more).unwrap();
    let found = client.find_transfer("steward:t1").await.unwrap().unwrap();
    assert_eq!(found.moves[0].quantity, 30.0);
    assert_eq!(client.draft_transfer(&transfer("t1")).await.unwrap().moves[0].quantity, 24.0);
}

#[tokio::test]
async fn it_accounts_for_calls_and_transfers() {
    let odoo = ReplayOdoo::start(scene(), clock()).await.unwrap();
    let client = Client::connect(odoo.config()).await.unwrap();
    client.draft_transfer(&transfer("t1")).await.unwrap();
    let loads: Vec<_> = odoo.calls().into_iter().filter(|call| call.method == "load").collect();
    assert_eq!(loads.len(), 1);
    assert_eq!(loads[0].model, "stock.picking");
    let pickings = odoo.pickings();
    assert_eq!(pickings.len(), 2, "the seeded receipt and the draft");
    assert_eq!(pickings[1]["origin"], "steward:t1");
    assert_eq!(pickings[1]["moves"][0]["product_uom_qty"], 24.0);
}

#[tokio::test]
async fn seeded_receipts_are_on_their_way() {
    let odoo = ReplayOdoo::start(scene(), clock()).await.unwrap();
    let client = Client::connect(odoo.config()).await.unwrap();
    let moves = client.incoming_moves(&[1], &[2]).await.unwrap();
    assert_eq!(moves.len(), 1);
    assert_eq!((moves[0].quantity, moves[0].origin.as_deref()), (48.0, Some("P00003")));
    assert_eq!(client.expected(&moves[0]).to_string(), "2026-11-28T08:00:00Z");
    assert_eq!(moves[0].picking.as_ref().unwrap().name, "S2/IN/00001");
    assert_eq!(client.products(&[1]).await.unwrap()[0].category.as_ref().unwrap().name, "Dairy");
    for (field, later) in [("date_deadline", "2026-11-30 08:00:00.000000"), ("date", "2026-12-02 08:00:00.000000")] {
        odoo.person_writes("stock.move", moves[0].id, Map::from_iter([(field.to_owned(), json!(later))])).unwrap();
        let moved = client.incoming_moves(&[1], &[2]).await.unwrap().remove(0);
        assert_eq!(client.expected(&moved).strftime("%F").to_string(), &later[..10], "the later of plan and promise");
    }
    odoo.person_writes("stock.move", moves[0].id, Map::from_iter([("state".to_owned(), json!("cancel"))])).unwrap();
    assert!(client.incoming_moves(&[1], &[2]).await.unwrap().is_empty());
    assert_eq!(client.changed_moves(moves[0].write_date, Duration::ZERO).await.unwrap()[0].state, "cancel");
}

#[tokio::test]
async fn it_refuses_as_odoo_refuses() {
    let odoo = ReplayOdoo::start(scene(), clock()).await.unwrap();
    let wrong_key = OdooConfig { api_key: SecretString::from("x"), ..odoo.config() };
    assert!(matches!(Client::connect(wrong_key).await.unwrap_err(), Error::Unauthorized));
    let wrong_database = OdooConfig { database: "nope".into(), ..odoo.config() };
    assert!(matches!(Client::connect(wrong_database).await.unwrap_err(), Error::Html { status: 404, .. }));
    assert!(odoo.calls().is_empty(), "what was not let in is no call");
    assert!(matches!(odoo.set_quantity("X", "S2", 1.0).await, Err(ReplayError::Unknown { what: "product", .. })));
    assert!(matches!(odoo.set_quantity("OAT-1", "X", 1.0).await, Err(ReplayError::Unknown { what: "warehouse", .. })));
    let stray = StockSeed { sku: "GONE".into(), warehouse: "S2".into(), on_hand: 1.0, reserved: 0.0 };
    let bad = Scene { stock: vec![stray], ..scene() };
    assert!(matches!(ReplayOdoo::start(bad, clock()).await, Err(ReplayError::Unknown { what: "product", .. })));
    let config = odoo.config();
    odoo.stop().await;
    assert!(matches!(Client::connect(config).await.unwrap_err(), Error::Transport(_)), "stopped means gone");
}
