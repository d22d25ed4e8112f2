//! Hints, read-back and the reconciler.

use std::time::Duration;

use crate::bed::{Bed, HOOK_SECRET, Setting, scene};
use odoo::replay::ProductSeed;
use serde_json::json;

const CHANGED: &str = "steward.stock.changed.v1";
const RAN_LOW: &str = "steward.stock.ran_low.v1";

#[actix_web::test]
async fn the_same_webhook_five_times_is_one_event() {
    let bed = Bed::start().await;
    let before = bed.events(CHANGED, "OAT-1@S1").await.len();
    bed.hooked(5);
    let delivery = bed.odoo.set_quantity("OAT-1", "S1", 15.0).await.unwrap();
    assert_eq!((delivery.posted, delivery.accepted), (15, 15), "every copy is answered with 2xx");
    bed.until("the change is told", async |bed| bed.events(CHANGED, "OAT-1@S1").await.len() > before).await;
    bed.rest().await;
    let events = bed.events(CHANGED, "OAT-1@S1").await;
    assert_eq!(events.len(), before + 1);
    assert_eq!(events[before]["on_hand"], 15.0);
    let looks = "SELECT COUNT(*) FROM outbox WHERE destination = 'odoo.read_back'";
    assert_eq!(bed.number(looks.into()).await, 1, "hints of one record are looked into once");
}

#[actix_web::test]
async fn low_stock_is_told_once_per_fall() {
    let bed = Bed::start().await;
    bed.hooked(1);
    for (on_hand, told) in [(9.0, 1), (6.0, 1), (30.0, 1), (10.0, 2)] {
        bed.odoo.set_quantity("OAT-1", "S1", on_hand).await.unwrap();
        bed.until("the level is known", async |bed| bed.facts("OAT-1", "S1").await.stock.on_hand == on_hand).await;
        assert_eq!(bed.events(RAN_LOW, "OAT-1@S1").await.len(), told, "at {on_hand}");
    }
    let first = &bed.events(RAN_LOW, "OAT-1@S1").await[0];
    assert_eq!((&first["available"], &first["reorder_point"]), (&json!(9.0), &json!(10.0)));
    assert!(bed.number("SELECT COUNT(*) FROM audit WHERE verb = 'stock.ran_low'".into()).await == 2);
}

#[actix_web::test]
async fn a_hint_that_got_lost_is_made_up_for_and_counted() {
    let bed = Bed::with(Setting { sweep_seconds: 60, ..Setting::default() }).await;
    bed.clock.advance(Duration::from_secs(5));
    bed.odoo.set_quantity("OAT-1", "S1", 8.0).await.unwrap();
    bed.until("the sweep finds it", async |bed| bed.facts("OAT-1", "S1").await.stock.on_hand == 8.0).await;
    assert_eq!(bed.events(RAN_LOW, "OAT-1@S1").await.len(), 1);
    assert_eq!(bed.number("SELECT events_lost FROM sweep".into()).await, 1);
    let lost = r#"events_lost_total{model="stock.quant"}"#;
    assert_eq!(bed.metric(lost).await, 1.0);
    bed.hooked(1);
    bed.odoo.set_quantity("OAT-1", "S1", 7.0).await.unwrap();
    bed.until("the hint is read back", async |bed| bed.facts("OAT-1", "S1").await.stock.on_hand == 7.0).await;
    bed.clock.advance(Duration::from_secs(61));
    bed.rest().await;
    assert_eq!(bed.number("SELECT events_lost FROM sweep".into()).await, 1, "an announced change is not lost");
    assert_eq!(bed.metric(lost).await, 1.0);
    assert_eq!(bed.events(RAN_LOW, "OAT-1@S1").await.len(), 1);
}

#[actix_web::test]
async fn a_phantom_ends_quietly_and_other_models_go_no_further() {
    let bed = Bed::start().await;
    let hook = async |body: &str, secret: &str| {
        let request = bed.http.post(bed.url("/hooks/odoo")).basic_auth("odoo", Some(secret));
        request.body(body.to_owned()).send().await.unwrap()
    };
    let phantom = r#"{"_model": "stock.quant", "_id": 4711}"#;
    assert_eq!(hook(phantom, "guess").await.status(), 401);
    assert_eq!(hook("{}", HOOK_SECRET).await.status(), 422);
    let first: serde_json::Value = hook(phantom, HOOK_SECRET).await.json().await.unwrap();
    assert_eq!(first, json!({"accepted": true, "duplicate": false}));
    let again: serde_json::Value = hook(phantom, HOOK_SECRET).await.json().await.unwrap();
    assert_eq!(again, json!({"accepted": true, "duplicate": true}));
    assert_eq!(hook(r#"{"_model": "res.partner", "_id": 1}"#, HOOK_SECRET).await.status(), 202);
    let ended = "SELECT COUNT(*) FROM outbox WHERE destination = 'odoo.read_back' AND state = 'discarded'";
    bed.until("the phantom is looked for", async |bed| bed.number(ended.into()).await == 1).await;
    assert_eq!(bed.number("SELECT COUNT(*) FROM outbox WHERE state = 'dead'".into()).await, 0);
    assert_eq!(bed.number("SELECT COUNT(*) FROM hints WHERE ignored IS NOT NULL".into()).await, 1);
    for outcome in ["taken", "duplicate", "ignored"] {
        assert_eq!(bed.metric(&format!(r#"hints_total{{outcome="{outcome}"}}"#)).await, 1.0, "{outcome}");
    }
}

#[actix_web::test]
async fn a_hook_is_answered_without_asking_odoo_even_when_odoo_is_down() {
    let bed = Bed::start().await;
    let calls = bed.odoo.calls().len();
    let url = bed.url("/hooks/odoo");
    let hook = async |id: u32| {
        let body = json!({"_model": "stock.quant", "_id": id}).to_string();
        bed.http.post(&url).basic_auth("odoo", Some(HOOK_SECRET)).body(body).send().await.unwrap().status()
    };
    assert_eq!(hook(1).await, 202);
    // The clock stands still, so nothing is due: what was asked was asked by the handler.
    assert_eq!(bed.odoo.calls().len(), calls, "nobody is asked before the answer");
    let waiting = "SELECT COUNT(*) FROM outbox WHERE destination = 'odoo.read_back' AND attempts = 0";
    assert_eq!(bed.number(waiting.into()).await, 1, "it is looked into afterwards");
    bed.odoo.stop().await;
    assert_eq!(hook(2).await, 202);
    assert_eq!(bed.number(waiting.into()).await, 2);
}

#[actix_web::test]
async fn conflicts_are_listed_page_by_page_for_those_who_may_settle_them() {
    let mut scene = scene();
    let sloppy = |n: u32| ProductSeed { sku: format!("no id {n}"), ..scene.products[1].clone() };
    let seeds: Vec<_> = (1..=4).map(sloppy).collect();
    for seed in seeds {
        let stock = odoo::replay::StockSeed { sku: seed.sku.clone(), ..scene.stock[2].clone() };
        scene.stock.push(stock);
        scene.products.push(seed);
    }
    let callers = vec![("manager", json!([{"role": "store_manager"}])), ("auditor", json!([{"role": "auditor"}]))];
    let bed = Bed::with(Setting { scene, callers, ..Setting::default() }).await;
    let (mut cursor, mut found) = (String::new(), Vec::new());
    loop {
        let (status, page) = bed.get_as("auditor", &format!("/xref-conflicts?limit=2{cursor}")).await;
        assert_eq!(status, 200, "{page}");
        let items = page["items"].as_array().unwrap();
        assert!(items.len() <= 2);
        found.extend(items.iter().map(|item| item["external_id"].as_str().unwrap().to_owned()));
        let Some(next) = page["next_cursor"].as_str() else { break };
        cursor = format!("&cursor={next}");
    }
    assert_eq!(found, ["no id 1", "no id 2", "no id 3", "no id 4", "no identifier"]);
    let (_, page) = bed.get("/xref-conflicts?limit=1").await;
    assert_eq!((&page["items"][0]["entity"], &page["items"][0]["system"]), (&json!("product"), &json!("odoo")));
    assert_eq!(bed.get_as("manager", "/xref-conflicts").await.0, 403);
    assert_eq!(bed.get("/xref-conflicts?cursor=bm8").await.0, 400);
}

#[actix_web::test]
async fn what_cannot_be_mapped_is_kept_as_a_conflict_until_somebody_says_what_it_is() {
    let bed = Bed::start().await;
    assert_eq!(bed.number("SELECT COUNT(*) FROM xref_conflicts WHERE external_id = 'no identifier'".into()).await, 1);
    let told = r#"{"kind":"xref","entity":"product","id":"NUT-1","system":"odoo","external_id":"no identifier"}"#;
    assert_eq!(bed.observe(told).await, [json!({"accepted": true})]);
    assert_eq!(bed.count("xref_conflicts").await, 0);
    bed.hooked(1);
    bed.odoo.set_quantity("no identifier", "S1", 2.0).await.unwrap();
    bed.until("it is known by our name", async |bed| bed.events(CHANGED, "NUT-1@S1").await.len() == 1).await;
}
