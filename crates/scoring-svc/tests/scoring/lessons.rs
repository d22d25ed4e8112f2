//! Resolved cases teach the model that judges.

use std::time::Duration;

use futures_util::future::join_all;
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use testkit::Postgres;

use crate::bed::{Scoring, answer};

/// Twelve units too many of an article that comes in cases of twelve: announced were 24, booked 12.
fn request() -> Value {
    json!({"facts": {
        "product": "SKU-1", "location": "store-1", "as_of": "2026-11-23T08:00:00Z",
        "item": {"case_pack": 12.0},
        "count": {"system": 40.0, "counted": 52.0},
        "receipts": {"last_announced": 24.0, "last_posted": 12.0, "last_days_ago": 3.0}
    }})
}

async fn resolve(scoring: &Scoring, key: &str, body: &Value) -> (StatusCode, Value) {
    let post = scoring.request(Method::POST, "/v1/inventory-exception/resolutions");
    answer(post.header("idempotency-key", key).json(body)).await
}

async fn judged(scoring: &Scoring) -> (f64, Value) {
    let (status, judged) = scoring.post("/v1/inventory-exception/score", &request()).await;
    assert_eq!(status, StatusCode::OK, "{judged}");
    let classes = judged["classes"].as_array().unwrap();
    let damage = classes.iter().find(|one| one["class"] == "damage").unwrap();
    (damage["probability"].as_f64().unwrap(), judged["learned_cases"].clone())
}

async fn each_case_teaches_once(scoring: &Scoring) {
    let (before, none) = judged(scoring).await;
    assert_eq!(none, 0);
    let damaged = json!({"request": request(), "outcome": {"class": "damage"}});
    for key in ["case-1", "case-1", "case-2"] {
        let (status, lesson) = resolve(scoring, key, &damaged).await;
        assert_eq!(status, StatusCode::OK, "{lesson}");
    }
    let (after, cases) = judged(scoring).await;
    assert!(after > before, "{before} then {after}");
    assert_eq!(cases, 2, "one of the three was a repeat");
    let (_, learned) = scoring.get("/v1/inventory-exception/learned").await;
    assert_eq!(learned["cases"], 2);
}

#[actix_web::test]
async fn a_resolved_case_teaches_once_and_at_once() {
    each_case_teaches_once(&Scoring::start().await).await;
}

#[actix_web::test]
async fn many_who_teach_at_once_are_all_heard() {
    testkit::require!(Postgres);
    let postgres = Postgres::start().await.unwrap();
    let store = format!("url: '{}'", postgres.create_database("lessons").await.unwrap());
    let scoring = Scoring::start_on(&store).await;
    each_case_teaches_once(&scoring).await;
    let lost = json!({"request": request(), "outcome": {"class": "shrinkage"}});
    let keys: Vec<_> = (0..12).map(|n| format!("twin-{n}")).collect();
    let told = join_all(keys.iter().map(|key| resolve(&scoring, key, &lost))).await;
    assert!(told.iter().all(|(status, _)| *status == StatusCode::OK), "{told:?}");
    // Another replica would hear of it within two seconds; this one at once.
    tokio::time::timeout(Duration::from_secs(5), async {
        assert_eq!(judged(&scoring).await.1, 14);
    })
    .await
    .unwrap();
}

#[actix_web::test]
async fn a_case_that_teaches_nothing_is_refused_by_its_field() {
    let scoring = Scoring::start().await;
    let mut negative = request();
    negative["facts"]["count"]["counted"] = json!(-1.0);
    let mut uncounted = request();
    uncounted["facts"]["count"].as_object_mut().unwrap().remove("counted");
    for (request, class, pointer) in [
        (request(), "gremlins", "/outcome/class"),
        (negative, "damage", "/request/facts/count/counted"),
        (uncounted, "damage", "/request/facts/count/variance"),
    ] {
        let (status, problem) = resolve(&scoring, "k", &json!({"request": request, "outcome": {"class": class}})).await;
        assert_eq!(status, StatusCode::UNPROCESSABLE_ENTITY, "{problem}");
        assert_eq!(problem["errors"][0]["pointer"], pointer, "{problem}");
    }
    assert_eq!(judged(&scoring).await.1, 0);
}

async fn next_version_learns(scoring: &Scoring) {
    let damaged = json!({"request": request(), "outcome": {"class": "damage"}});
    for key in ["case-1", "case-2", "case-3"] {
        assert_eq!(resolve(scoring, key, &damaged).await.0, StatusCode::OK);
    }
    let (taught, _) = judged(scoring).await;
    let (_, shipped) = scoring.get("/v1/models/inventory-exception/versions/1").await;
    let mut parameters = shipped["parameters"].clone();
    parameters["version"] = json!("2");
    let body =
        json!({"parameters": parameters, "cases": [damaged], "force": true, "reason": "the same under another name"});
    let (status, published) = scoring.operate("/v1/models/inventory-exception/versions", &body).await;
    assert_eq!(status, StatusCode::CREATED, "{published}");
    let (next, cases) = judged(scoring).await;
    assert_eq!((next, cases), (taught, json!(3)), "the same parameters taught the same cases say the same");
    let (status, lesson) = resolve(scoring, "case-4", &damaged).await;
    assert_eq!((status, &lesson["learned_cases"]), (StatusCode::OK, &json!(4)), "{lesson}");
    assert_eq!(lesson["model"]["version"], "2");
    let (_, leaves) = scoring.get("/v1/audit?subject=model:inventory-exception@2").await;
    let relearned = leaves["items"].as_array().unwrap().iter().filter(|leaf| leaf["verb"] == "model.relearned");
    assert_eq!(relearned.count(), 1, "{leaves}");
}

#[actix_web::test]
async fn a_version_published_later_learns_the_cases_that_are_kept() {
    next_version_learns(&Scoring::start().await).await;
}

#[actix_web::test]
async fn a_version_published_later_learns_on_postgresql_too() {
    testkit::require!(Postgres);
    let postgres = Postgres::start().await.unwrap();
    let store = format!("url: '{}'", postgres.create_database("relearned").await.unwrap());
    next_version_learns(&Scoring::start_on(&store).await).await;
}
