//! What Odoo has on its way, and what its suppliers promise.

use std::time::Duration;

use contracts::{Facts, facts::Incoming};
use odoo::replay::{ReceiptSeed, Scene, SupplierSeed};
use pretty_assertions::assert_eq;
use serde_json::{Map, Value, json};

use crate::bed::{Bed, Setting, at, scene};

/// Store S1 waits for 48 OAT-1 of a supplier.
pub(crate) fn on_its_way(supplier: &str) -> Scene {
    let receipt = ReceiptSeed {
        sku: "OAT-1".into(),
        warehouse: "S1".into(),
        quantity: 48.0,
        due: at("2026-11-28T23:30:00Z"),
        origin: "P00003".into(),
    };
    let supplier = SupplierSeed { sku: "OAT-1".into(), name: supplier.into(), lead_days: 7, price: 1.0, min_qty: 12.0 };
    Scene { receipts: vec![receipt], suppliers: vec![supplier], ..scene() }
}

async fn bed(supplier: &str) -> Bed {
    Bed::with(Setting { scene: on_its_way(supplier), sweep_seconds: 60, ..Setting::default() }).await
}

fn writes(bed: &Bed, model: &str, id: i64, field: &str, value: Value) {
    bed.clock.advance(Duration::from_secs(1));
    bed.odoo.person_writes(model, id, Map::from_iter([(field.to_owned(), value)])).unwrap();
}

fn orders(facts: &Facts) -> Vec<(String, String, f64)> {
    let row = |one: &Incoming| (one.order.to_string(), one.due.to_string(), one.quantity);
    facts.incoming.iter().map(row).collect()
}

fn order(name: &str, due: &str, quantity: f64) -> (String, String, f64) {
    (name.into(), due.into(), quantity)
}

#[actix_web::test]
async fn an_order_is_in_the_facts_until_it_is_cancelled_and_what_others_told_stays() {
    let bed = bed("acme").await;
    let told = r#"{"kind":"incoming","product":"OAT-1","location":"S1","order":"P9","due":"2026-12-01","quantity":5}"#;
    bed.observe(told).await;
    let facts = bed.facts("OAT-1", "S1").await;
    assert_eq!(orders(&facts), [order("P00003", "2026-11-28", 48.0), order("P9", "2026-12-01", 5.0)]);
    assert!(bed.facts("OAT-1", "S2").await.incoming.is_empty(), "it is for S1");
    let changed = bed.events("steward.stock.changed.v1", "OAT-1@S1").await.len();

    bed.observe(r#"{"kind":"location","location":"S1","time_zone":"Europe/Berlin"}"#).await;
    writes(&bed, "stock.move", 1, "date_deadline", json!("2026-11-30 23:30:00.000000"));
    bed.until("it is postponed", async |bed| orders(&bed.facts("OAT-1", "S1").await)[0].1 == "2026-12-01").await;

    writes(&bed, "stock.move", 1, "state", json!("cancel"));
    bed.until("it is gone", async |bed| bed.facts("OAT-1", "S1").await.incoming.len() == 1).await;
    assert_eq!(orders(&bed.facts("OAT-1", "S1").await), [order("P9", "2026-12-01", 5.0)]);
    bed.rest().await;
    assert_eq!(bed.number("SELECT COUNT(*) FROM audit WHERE verb = 'incoming.changed'".into()).await, 3);
    assert_eq!(bed.number("SELECT events_lost FROM sweep".into()).await, 0, "moves have no webhook to lose");
    assert_eq!(bed.events("steward.stock.changed.v1", "OAT-1@S1").await.len(), changed, "the shelf has not changed");
}

#[actix_web::test]
async fn a_hint_brings_what_is_on_its_way_with_it_in_four_calls() {
    let bed = bed("acme").await;
    bed.rest().await;
    bed.hooked(1);
    let before = bed.odoo.calls().len();
    bed.odoo.set_quantity("OAT-1", "S1", 30.0).await.unwrap();
    bed.until("it is read back", async |bed| bed.facts("OAT-1", "S1").await.stock.on_hand == 30.0).await;
    let asked: Vec<_> = bed.odoo.calls().split_off(before).into_iter().map(|call| call.model).collect();
    assert_eq!(asked, ["stock.quant", "stock.move", "stock.quant", "stock.warehouse.orderpoint"]);
}

#[actix_web::test]
async fn what_was_observed_goes_before_what_odoo_says() {
    let bed = bed("acme").await;
    let facts = bed.facts("OAT-1", "S1").await;
    assert_eq!((facts.lead_time.promised_days, facts.lead_time.supplier.unwrap().as_str()), (Some(7.0), "acme"));
    let told = |quantity: f64| {
        let incoming = json!({"kind": "incoming", "product": "OAT-1", "location": "S1", "order": "P00003",
            "due": "2026-11-27", "quantity": quantity});
        let promised = json!({"kind": "promised_lead_time", "product": "OAT-1", "location": "S1", "supplier": "best",
            "days": 3});
        format!("{incoming}\n{promised}")
    };
    bed.observe(&told(30.0)).await;
    let facts = bed.facts("OAT-1", "S1").await;
    assert_eq!(orders(&facts), [order("P00003", "2026-11-27", 30.0)], "one order does not come twice");
    assert_eq!((facts.lead_time.promised_days, facts.lead_time.supplier.unwrap().as_str()), (Some(3.0), "best"));
    bed.observe(&told(0.0)).await;
    assert_eq!(orders(&bed.facts("OAT-1", "S1").await), [order("P00003", "2026-11-28", 48.0)], "Odoo still waits");
}

#[actix_web::test]
async fn what_has_come_as_far_as_the_dock_is_on_hand_and_no_longer_on_its_way() {
    let bed = bed("acme").await;
    let client = odoo::Client::connect(bed.odoo.config()).await.unwrap();
    let create = async |model: &str, values: Value| {
        client.create(model, vec![values.as_object().unwrap().clone()]).await.unwrap()[0]
    };
    let warehouse = client.warehouses().await.unwrap()[0].clone();
    assert_eq!(warehouse.code, "S1");
    let dock = json!({"complete_name": "S1/Input", "usage": "internal", "warehouse_id": warehouse.id});
    let dock = create("stock.location", dock).await;
    bed.clock.advance(Duration::from_secs(1));
    // As Odoo does, the put-away reserves what it will carry.
    create("stock.quant", json!({"product_id": 1, "location_id": dock, "quantity": 48.0, "reserved_quantity": 48.0}))
        .await;
    let put_away = json!({"product_id": 1, "product_uom_qty": 48.0, "product_uom": 1, "state": "assigned",
        "location_id": dock, "location_dest_id": warehouse.stock_location.id, "origin": "P00003"});
    create("stock.move", put_away).await;
    writes(&bed, "stock.move", 1, "state", json!("done"));
    bed.until("it has come", async |bed| bed.facts("OAT-1", "S1").await.incoming.is_empty()).await;
    let stock = bed.facts("OAT-1", "S1").await.stock;
    assert_eq!((stock.on_hand, stock.available()), (20.0 + 48.0, 20.0 + 48.0));
}

#[actix_web::test]
async fn a_transfer_is_on_its_way_once_somebody_has_confirmed_it() {
    let bed = bed("acme").await;
    let grant = bed.grant(|_| {}).await;
    let (status, operation) = bed.transfer("key-1", 24.0, Some(&grant), Some(10)).await;
    assert_eq!(status, 200, "{operation}");
    bed.clock.advance(Duration::from_secs(61));
    bed.rest().await;
    assert_eq!(bed.facts("OAT-1", "S1").await.incoming.len(), 1, "a draft is no promise");
    writes(&bed, "stock.move", 2, "state", json!("confirmed"));
    bed.until("it is on its way", async |bed| bed.facts("OAT-1", "S1").await.incoming.len() == 2).await;
    let ours = &bed.facts("OAT-1", "S1").await.incoming[0];
    assert_eq!(ours.order.as_str(), format!("steward:{}", operation["id"].as_str().unwrap()));
    assert_eq!(ours.quantity, 24.0);
}

#[actix_web::test]
async fn a_supplier_whose_name_is_no_identifier_waits_for_somebody_to_say_who_it_is() {
    let bed = bed("Acme Foods GmbH").await;
    let facts = bed.facts("OAT-1", "S1").await;
    assert_eq!((facts.lead_time.promised_days, facts.lead_time.supplier), (Some(7.0), None));
    let (_, listed) = bed.get("/xref-conflicts").await;
    let conflict = listed["items"].as_array().unwrap().iter().find(|item| item["entity"] == "supplier").unwrap();
    assert_eq!(conflict["external_id"], "Acme Foods GmbH");
    let told = r#"{"kind":"xref","entity":"supplier","id":"acme","system":"odoo","external_id":"Acme Foods GmbH"}"#;
    bed.observe(told).await;
    bed.hooked(1);
    bed.odoo.set_quantity("OAT-1", "S1", 19.0).await.unwrap();
    let named = async |bed: &Bed| bed.facts("OAT-1", "S1").await.lead_time.supplier.is_some();
    bed.until("it is known by our name", named).await;
    assert_eq!(bed.facts("OAT-1", "S1").await.lead_time.supplier.unwrap().as_str(), "acme");
}

#[actix_web::test]
async fn an_order_for_a_shelf_that_never_held_any_is_seen() {
    let receipt = ReceiptSeed {
        sku: "NEW-1".into(),
        warehouse: "S2".into(),
        quantity: 6.0,
        due: at("2026-11-28T08:00:00Z"),
        origin: "P00004".into(),
    };
    let mut scene = scene();
    scene.products[1].sku = "NEW-1".into();
    scene.stock.truncate(2);
    let bed = Bed::with(Setting { scene: Scene { receipts: vec![receipt], ..scene }, ..Setting::default() });
    let facts = bed.await.facts("NEW-1", "S2").await;
    assert_eq!((facts.stock.on_hand, orders(&facts)), (0.0, vec![order("P00004", "2026-11-28", 6.0)]));
}
