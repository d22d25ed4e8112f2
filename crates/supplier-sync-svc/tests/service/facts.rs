//! Observations in, facts out.

use crate::bed::{Bed, Setting, at};
use contracts::Facts;
use pretty_assertions::assert_eq;
use serde_json::{Value, json};

async fn bed() -> Bed {
    Bed::with(Setting { with_odoo: false, ..Setting::default() }).await
}

pub(crate) const OBSERVED: &str = r#"
{"kind":"product","product":"SKU-1","name":"Oats","unit_cost":{"minor":120,"currency":"EUR"},"pack":6}
{"kind":"product","product":"SKU-1","moq":12}
{"kind":"location","location":"a","name":"Store A","region":"north","time_zone":"Europe/Berlin"}
{"kind":"location","location":"b","name":"Store B","region":"south"}
{"kind":"stock","product":"SKU-1","location":"a","on_hand":4,"reserved":1,"observed_at":"2026-11-23T07:00:00Z","system":"pos"}
{"kind":"stock","product":"SKU-1","location":"a","on_hand":9,"observed_at":"2026-11-23T06:00:00Z","system":"pos"}
{"kind":"stock","product":"SKU-1","location":"b","on_hand":50,"observed_at":"2026-11-23T07:00:00Z","system":"pos"}
{"kind":"stock","product":"SKU-1","location":"c","on_hand":7,"observed_at":"2026-11-23T07:00:00Z","system":"pos"}
{"kind":"stock","product":"SKU-1","location":"empty","on_hand":0,"observed_at":"2026-11-23T07:00:00Z","system":"pos"}
{"kind":"sales","product":"SKU-1","location":"a","day":"2026-11-18","units":3}
{"kind":"sales","product":"SKU-1","location":"a","day":"2026-11-20","units":1,"out_of_stock":0.5}
{"kind":"sales","product":"SKU-1","location":"a","day":"2026-11-21","units":8,"promotion":true}
{"kind":"sales","product":"SKU-1","location":"a","day":"2026-08-01","units":99}
{"kind":"sales","product":"SKU-1","location":"b","day":"2026-11-19","units":4}
{"kind":"sales","product":"SKU-1","location":"b","day":"2026-11-20","units":0,"out_of_stock":1}
{"kind":"sales","product":"SKU-1","location":"b","day":"2026-11-22","units":5}
{"kind":"planned_promotion","product":"SKU-1","location":"a","day":"2026-11-23"}
{"kind":"incoming","product":"SKU-1","location":"a","order":"P2","due":"2026-11-30","quantity":12}
{"kind":"incoming","product":"SKU-1","location":"a","order":"P1","due":"2026-11-25","quantity":6}
{"kind":"incoming","product":"SKU-1","location":"a","order":"P0","due":"2026-11-24","quantity":6}
{"kind":"incoming","product":"SKU-1","location":"a","order":"P0","due":"2026-11-24","quantity":0}
{"kind":"lead_time","product":"SKU-1","location":"a","supplier":"acme","days":3,"order":"P-1"}
{"kind":"lead_time","product":"SKU-1","location":"a","supplier":"acme","days":4,"order":"P-1"}
{"kind":"lead_time","product":"SKU-1","location":"a","days":5}
{"kind":"promised_lead_time","product":"SKU-1","location":"a","supplier":"acme","days":2}
{"kind":"lane","from":"b","to":"a","transfer_days":2,"transfer_cost":{"minor":900,"currency":"EUR"}}
"#;

#[actix_web::test]
async fn facts_are_what_was_observed_and_nothing_else() {
    let bed = bed().await;
    let answers = bed.observe(OBSERVED).await;
    assert!(answers.iter().all(|answer| answer["accepted"] == true), "{answers:?}");
    let (status, found) = bed.get("/facts/SKU-1/a").await;
    assert_eq!(status, 200);
    let stock = |on_hand: f64| json!({"on_hand": on_hand, "reserved": 0.0, "observed_at": "2026-11-23T07:00:00Z"});
    let expected = json!({
        "product": "SKU-1", "location": "a", "as_of": found["as_of"],
        "item": {"name": "Oats", "unit_cost": {"minor": 120, "currency": "EUR"}, "pack": 6, "moq": 12},
        "place": {"name": "Store A", "region": "north", "time_zone": "Europe/Berlin"},
        "stock": {"on_hand": 4.0, "reserved": 1.0, "observed_at": "2026-11-23T07:00:00Z"},
        "demand": {"first_day": "2026-11-18", "units": [3.0, 0.0, 1.0, 8.0], "out_of_stock": [0.0, 0.0, 0.5, 0.0],
            "promotion": [false, false, false, true], "promotion_ahead": [false, true]},
        "incoming": [{"order": "P1", "due": "2026-11-25", "quantity": 6.0}, {"order": "P2", "due": "2026-11-30", "quantity": 12.0}],
        "lead_time": {"supplier": "acme", "promised_days": 2.0, "seen_days": [4.0, 5.0]},
        "donors": [
            {"location": "c", "stock": stock(7.0), "daily_demand": 0.0, "transfer_days": 1.0},
            {"location": "b", "name": "Store B", "region": "south", "stock": stock(50.0), "daily_demand": 3.0,
                "transfer_days": 2.0, "transfer_cost": {"minor": 900, "currency": "EUR"}},
        ],
        "hash": found["hash"],
    });
    assert_eq!(found, expected);
    let facts: Facts = serde_json::from_value(found).unwrap();
    assert_eq!(facts.hash.clone().unwrap(), facts.digest().unwrap());
    assert!(facts.violations("").is_empty());
    assert!(facts.as_of >= at(crate::bed::NOW));
}

/// Beside the units: master data, price, advertising, and the calendar of the place. 2026-11-18 is a Wednesday.
pub(crate) const BESIDE_SALES: &str = r#"
{"kind":"product","product":"SKU-2","unit_cost":{"minor":120,"currency":"EUR"},"salvage_value":{"minor":30,"currency":"EUR"},"unit_volume_litres":1.5}
{"kind":"product","product":"SKU-2","name":"Oats, large"}
{"kind":"stock","product":"SKU-2","location":"z","on_hand":4,"observed_at":"2026-11-23T07:00:00Z","system":"pos"}
{"kind":"sales","product":"SKU-2","location":"z","day":"2026-11-18","units":3,"price_share":0.5,"advertised":true}
{"kind":"sales","product":"SKU-2","location":"z","day":"2026-11-18","units":3}
{"kind":"sales","product":"SKU-2","location":"z","day":"2026-11-22","units":9,"price_share":0.75,"advertised":true,"promotion":true}
{"kind":"planned_promotion","product":"SKU-2","location":"z","day":"2026-11-24"}
{"kind":"planned_promotion","product":"SKU-2","location":"z","day":"2026-11-24","price_share":0.8,"advertised":true}
{"kind":"holiday","location":"z","day":"2026-11-20"}
{"kind":"holiday","location":"z","day":"2026-11-21","holiday":false}
{"kind":"holiday","location":"z","day":"2026-11-23"}
{"kind":"holiday","location":"z","day":"2026-11-23","holiday":false}
{"kind":"holiday","location":"z","day":"2026-11-25"}
{"kind":"holiday","location":"elsewhere","day":"2026-11-24"}
"#;

#[actix_web::test]
async fn facts_carry_price_advertising_holidays_and_what_is_left_of_a_unit() {
    let bed = bed().await;
    let answers = bed.observe(BESIDE_SALES).await;
    assert!(answers.iter().all(|answer| answer["accepted"] == true), "{answers:?}");
    let (_, found) = bed.get("/facts/SKU-2/z").await;
    let item = json!({"name": "Oats, large", "unit_cost": {"minor": 120, "currency": "EUR"},
        "salvage_value": {"minor": 30, "currency": "EUR"}, "unit_volume_litres": 1.5});
    let demand = json!({"first_day": "2026-11-18", "units": [3.0, 0.0, 0.0, 0.0, 9.0], "out_of_stock": [],
        "promotion": [false, false, false, false, true], "promotion_ahead": [false, true],
        "advertised": [false, false, false, false, true], "advertised_ahead": [false, true],
        "price_share": [1.0, 1.0, 1.0, 1.0, 0.75], "price_share_ahead": [1.0, 0.8],
        "holiday": [false, false, true, false, true], "holiday_ahead": [false, false, true]});
    assert_eq!((&found["item"], &found["demand"]), (&item, &demand));
    let facts: Facts = serde_json::from_value(found).unwrap();
    assert!(facts.violations("").is_empty());
}

#[actix_web::test]
async fn sales_kept_before_price_and_advertising_could_be_told_are_at_the_regular_price() {
    let bed = bed().await;
    bed.observe(BESIDE_SALES).await;
    let mut tx = bed.cx().store().begin().await.unwrap();
    let old = "INSERT INTO sales (product, location, day, units, out_of_stock, promotion) \
               VALUES ('SKU-3', 'y', 20000, 2.0, 0.0, 0)";
    sqlx::query(old).execute(tx.conn()).await.unwrap();
    tx.commit().await.unwrap();
    let stock = r#"{"kind":"stock","product":"SKU-3","location":"y","on_hand":4,"observed_at":"2026-11-23T07:00:00Z","system":"pos"}"#;
    bed.observe(stock).await;
    let demand = bed.facts("SKU-3", "y").await.demand;
    assert_eq!(demand.units, [2.0]);
    assert!(demand.price_share.is_empty() && demand.advertised.is_empty() && demand.holiday.is_empty(), "{demand:?}");
}

#[actix_web::test]
async fn a_batch_says_the_same_as_single_calls_and_a_problem_in_place() {
    let bed = bed().await;
    bed.observe(OBSERVED).await;
    let items = json!([{"product": "SKU-1", "location": "b"}, {"product": "SKU-9", "location": "a"},
        {"product": "SKU-1", "location": "a"}]);
    let (status, answer) = bed.post("/facts/batch", &json!({"items": items})).await;
    assert_eq!(status, 200, "{answer}");
    let (_, b) = bed.get("/facts/SKU-1/b").await;
    let (_, a) = bed.get("/facts/SKU-1/a").await;
    assert_eq!(answer["items"][0]["facts"]["hash"], b["hash"]);
    assert_eq!(answer["items"][1]["problem"]["status"], 404);
    assert_eq!(answer["items"][2]["facts"]["hash"], a["hash"]);
    assert_eq!(bed.get("/facts/SKU-9/a").await.0, 404);
    let many: Vec<Value> = (0..10_001).map(|n| json!({"product": format!("P{n}"), "location": "a"})).collect();
    let (status, refused) = bed.post("/facts/batch", &json!({"items": many})).await;
    assert_eq!((status.as_u16(), &refused["errors"][0]["pointer"]), (422, &json!("/items")));
}

#[actix_web::test]
async fn a_bad_line_has_its_problem_in_place_and_harms_no_other() {
    let bed = bed().await;
    let mut lines: Vec<String> = (0..1200)
        .map(|n| format!(r#"{{"kind":"sales","product":"SKU-{n}","location":"a","day":"2026-11-20","units":1}}"#))
        .collect();
    lines[3] = r#"{"kind":"sales","product":"SKU-3","location":"a","day":"2026-11-20","units":-1}"#.into();
    lines[700] = "not json".into();
    lines[701] = format!(r#"{{"kind":"product","product":"P","name":"{}"}}"#, "x".repeat(70_000));
    let answers = bed.observe(&lines.join("\n")).await;
    assert_eq!(answers.len(), 1200);
    assert_eq!(answers[3]["problem"]["errors"][0]["pointer"], "/units");
    assert_eq!(answers[3]["line"], 4);
    assert_eq!(answers[700]["problem"]["status"], 400);
    assert_eq!(answers[701]["problem"]["status"], 413);
    assert_eq!(answers.iter().filter(|answer| answer["accepted"] == true).count(), 1197);
    assert_eq!(bed.count("sales").await, 1197);
}

#[actix_web::test]
async fn stock_that_a_till_sees_falling_is_told_once() {
    let bed = bed().await;
    let seen = |on_hand: u32, minute: u32| {
        format!(
            r#"{{"kind":"stock","product":"P","location":"a","on_hand":{on_hand},"observed_at":"2026-11-23T07:{minute:02}:00Z","system":"pos"}}"#
        )
    };
    let point = r#"{"kind":"reorder_point","product":"P","location":"a","units":5}"#;
    let lines = [seen(9, 0), point.into(), seen(5, 1), seen(4, 2), seen(4, 2), seen(6, 3), seen(5, 4)];
    bed.observe(&lines.join("\n")).await;
    assert_eq!(bed.events("steward.stock.changed.v1", "P@a").await.len(), 5, "a repeat is no change");
    assert_eq!(bed.events("steward.stock.ran_low.v1", "P@a").await.len(), 2);
}

#[actix_web::test]
async fn without_an_odoo_transfers_say_so() {
    let bed = bed().await;
    let (status, problem) = bed.transfer("k", 24.0, Some("x"), None).await;
    assert_eq!(status, 503);
    assert!(problem["type"].as_str().unwrap().ends_with("/odoo-not-configured"), "{problem}");
}
