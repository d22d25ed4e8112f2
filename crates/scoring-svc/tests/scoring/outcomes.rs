//! What became of recommendations, and the report over it.

use reqwest::StatusCode;
use serde_json::{Value, json};

use crate::bed::{Scoring, facts};

/// A kept recommendation: its id and the quantity that it recommends.
async fn recommended(scoring: &Scoring, number: usize) -> (String, f64) {
    let mut some = facts();
    some["product"] = json!(format!("SKU-{number}"));
    let (status, scored) = scoring.score(&format!("k{number}"), &json!({"facts": some})).await;
    assert_eq!((status, &scored["recommendation"]["action"]), (StatusCode::OK, &json!("transfer")), "{scored}");
    (scored["recommendation_id"].as_str().unwrap().to_owned(), scored["recommendation"]["quantity"].as_f64().unwrap())
}

fn outcome(id: &str, minute: u32, outcome: &Value) -> Value {
    json!({"recommendation_id": id, "at": format!("2026-11-23T08:{minute:02}:00Z"), "outcome": outcome})
}

fn approved(quantity: f64) -> Value {
    let action = if quantity > 0.0 { "transfer" } else { "none" };
    json!({"stage": "approved", "action": action, "quantity": quantity})
}

fn executed(quantity: f64) -> Value {
    json!({"stage": "executed", "quantity": quantity})
}

fn realised(stocked_out: bool) -> Value {
    json!({"stage": "realised", "stocked_out": stocked_out, "units_sold": 8.0, "units_lost": if stocked_out {2.0} else {0.0},
        "stock_age_days": 3.0, "cost": {"minor": 250, "currency": "EUR"}})
}

#[tokio::test]
async fn a_recommendation_is_closed_stage_by_stage() {
    let scoring = Scoring::start().await;
    let (id, quantity) = recommended(&scoring, 1).await;
    let stages = [(1, approved(quantity)), (2, executed(quantity)), (3, realised(false))];
    for (minute, stage) in &stages {
        let body = outcome(&id, *minute, stage);
        let (status, told) = scoring.post("/v1/outcomes", &body).await;
        assert_eq!((status, &told["outcome"]["stage"]), (StatusCode::CREATED, &stage["stage"]), "{told}");
        let (status, again) = scoring.post("/v1/outcomes", &body).await;
        assert_eq!((status, &again["recorded_at"]), (StatusCode::OK, &told["recorded_at"]));
    }
    let (_, kept) = scoring.get(&format!("/v1/recommendations/{id}")).await;
    let known: Vec<_> =
        kept["outcomes"].as_array().unwrap().iter().map(|one| one["outcome"]["stage"].clone()).collect();
    assert_eq!(known, ["approved", "executed", "realised"]);
    let (_, leaves) = scoring.get(&format!("/v1/audit?subject=recommendation:{id}")).await;
    let recorded = leaves["items"].as_array().unwrap().iter().filter(|leaf| leaf["verb"] == "outcome.recorded");
    assert_eq!(recorded.count(), 3, "a repeat leaves no leaf");
}

#[tokio::test]
async fn what_cannot_have_happened_is_refused_clearly() {
    let scoring = Scoring::start().await;
    let (id, quantity) = recommended(&scoring, 1).await;
    let refused = async |body: Value, wanted: StatusCode, told: &str| {
        let (status, problem) = scoring.post("/v1/outcomes", &body).await;
        assert_eq!(status, wanted, "{problem}");
        assert!(problem.to_string().contains(told), "{told:?} is not in {problem}");
    };
    refused(outcome("none", 1, &approved(1.0)), StatusCode::NOT_FOUND, "recommendation").await;
    refused(outcome(&id, 1, &executed(1.0)), StatusCode::CONFLICT, "approved must be told before executed").await;
    refused(outcome(&id, 1, &realised(true)), StatusCode::CONFLICT, "executed must be told before realised").await;
    refused(outcome(&id, 59, &approved(1.0)), StatusCode::UNPROCESSABLE_ENTITY, "/at").await;
    let early = json!({"recommendation_id": id, "at": "2026-11-22T08:00:00Z", "outcome": approved(1.0)});
    refused(early, StatusCode::UNPROCESSABLE_ENTITY, "must not be before the recommendation").await;
    refused(outcome(&id, 1, &approved(-1.0)), StatusCode::UNPROCESSABLE_ENTITY, "/outcome/quantity").await;
    let odd = json!({"stage": "approved", "action": "burn", "quantity": 1.0});
    refused(outcome(&id, 1, &odd), StatusCode::UNPROCESSABLE_ENTITY, "/outcome/action").await;
    let odd = json!({"stage": "approved", "action": "none", "quantity": 0.0, "why": 1});
    refused(outcome(&id, 1, &odd), StatusCode::UNPROCESSABLE_ENTITY, "why").await;

    assert_eq!(scoring.post("/v1/outcomes", &outcome(&id, 2, &approved(quantity))).await.0, StatusCode::CREATED);
    refused(outcome(&id, 2, &approved(1.0)), StatusCode::CONFLICT, "told otherwise").await;
    refused(outcome(&id, 1, &executed(1.0)), StatusCode::UNPROCESSABLE_ENTITY, "must not be before approved").await;

    let (declined, _) = recommended(&scoring, 2).await;
    assert_eq!(scoring.post("/v1/outcomes", &outcome(&declined, 1, &approved(0.0))).await.0, StatusCode::CREATED);
    refused(outcome(&declined, 2, &executed(1.0)), StatusCode::CONFLICT, "it was declined").await;
    assert_eq!(scoring.post("/v1/outcomes", &outcome(&declined, 2, &realised(true))).await.0, StatusCode::CREATED);
}

async fn report_of_eight(scoring: &Scoring) {
    let now = "from=2026-11-23T00:00:00Z&to=2026-11-24T00:00:00Z";
    for number in 0..8 {
        let (id, quantity) = recommended(scoring, number).await;
        for (minute, stage) in [(1, approved(quantity)), (2, executed(quantity)), (3, realised(number == 0))] {
            let (status, told) = scoring.post("/v1/outcomes", &outcome(&id, minute, &stage)).await;
            assert_eq!(status, StatusCode::CREATED, "{told}");
        }
    }
    recommended(scoring, 9).await;
    let (status, report) = scoring.get(&format!("/v1/outcomes/report?{now}")).await;
    assert_eq!(status, StatusCode::OK, "{report}");
    assert_eq!((&report["recommendations"], &report["realised"]), (&json!(9), &json!(8)));
    let level = &report["service_level"];
    assert_eq!((&level["status"], &level["value"]), (&json!("identified"), &json!(0.875)));
    assert_eq!(level["interval"], "wilson");
    assert!((level["low"].as_f64().unwrap() - 0.5291).abs() < 1e-3, "{level}");
    assert_eq!(report["ageing_days"]["value"], 3.0);
    assert!((report["hours_to_resolution"]["value"].as_f64().unwrap() - 2.0 / 60.0).abs() < 1e-9, "{report}");
    let month = &report["calibration"]["months"][0];
    assert_eq!((&month["month"], &month["cases"]), (&json!("2026-11"), &json!(8)));
    assert_eq!(report["following_saves"]["reason"], "too_few");

    let count = async |query: &str| {
        scoring.get(&format!("/v1/outcomes/report?{now}&{query}")).await.1["recommendations"].clone()
    };
    assert_eq!(count("product=SKU-3&location=store-1").await, 1);
    assert_eq!(count("location=store-2").await, 0);
    assert_eq!(count("model=replenishment-priority").await, 9);
    assert_eq!(count("model=replenishment-priority@1").await, 9);
    assert_eq!(count("model=replenishment-priority@2").await, 0);
}

#[tokio::test]
async fn a_report_tells_what_is_known_and_what_cannot_be() {
    let scoring = Scoring::start().await;
    report_of_eight(&scoring).await;
    let (_, empty) = scoring.get("/v1/outcomes/report?to=2026-01-01T00:00:00Z").await;
    assert_eq!((&empty["recommendations"], &empty["service_level"]["status"]), (&json!(0), &json!("not_identifiable")));
    for (query, refused, pointer) in [
        ("from=2026-12-01T00:00:00Z&to=2026-11-01T00:00:00Z", 422, "query:from"),
        ("form=2026-12-01T00:00:00Z", 400, "query:form"),
        ("from=yesterday", 400, "query:from"),
        ("model=%25", 400, "query:model"),
        ("model=", 400, "query:model"),
        ("model=replenishment-priority@1%25", 400, "query:model"),
    ] {
        let (status, problem) = scoring.get(&format!("/v1/outcomes/report?{query}")).await;
        assert_eq!((status.as_u16(), &problem["errors"][0]["pointer"]), (refused, &json!(pointer)), "{problem}");
    }
}

#[tokio::test]
async fn a_report_is_the_same_on_postgresql() {
    testkit::require!(Postgres);
    let postgres = testkit::Postgres::start().await.unwrap();
    let database = postgres.create_database("outcomes").await.unwrap();
    report_of_eight(&Scoring::start_on(&format!("url: '{database}'")).await).await;
}

/// One shop with plenty, and two that will sell out.
fn shortage() -> Value {
    let sells = |mean: f64| json!({"forecast": {"mean": mean, "variance": mean}});
    json!({"product": "SKU-1", "as_of": "2026-11-23T07:00:00Z", "currency": "EUR",
        "locations": [{"location": "dc-1", "on_hand": 90, "demand": sells(2.0)},
            {"location": "store-1", "on_hand": 0, "demand": sells(8.0)},
            {"location": "store-2", "on_hand": 1, "demand": sells(9.0)}],
        "lanes": [{"from": 0, "to": 1, "unit_cost": 1.0, "capacity": 20}, {"from": 0, "to": 2, "unit_cost": 1.0, "capacity": 20}]})
}

async fn plan(scoring: &Scoring, key: &str, body: &Value) -> (StatusCode, Value) {
    let post = scoring.request(reqwest::Method::POST, "/v1/allocation/plans").header("idempotency-key", key);
    crate::bed::answer(post.json(body)).await
}

async fn transfers_are_closed(scoring: &Scoring) {
    let (status, planned) = plan(scoring, "shortage-1", &shortage()).await;
    assert_eq!(status, StatusCode::OK, "{planned}");
    let ids = planned["recommendation_ids"].as_array().unwrap();
    let transfers = planned["transfers"].as_array().unwrap();
    assert_eq!((ids.len(), transfers.len()), (2, 2), "{planned}");
    assert_eq!(plan(scoring, "shortage-1", &shortage()).await.1, planned, "a repeat gets the first answer");
    for (id, transfer) in ids.iter().zip(transfers) {
        let id = id.as_str().unwrap();
        let (_, kept) = scoring.get(&format!("/v1/recommendations/{id}")).await;
        assert_eq!((&kept["location"], &kept["action"]), (&transfer["to"], &json!("transfer")), "{kept}");
        assert_eq!(&kept["answer"]["transfer"], transfer);
        let quantity = transfer["quantity"].as_f64().unwrap();
        for (minute, stage) in [(1, approved(quantity)), (2, executed(quantity)), (3, realised(false))] {
            let (status, told) = scoring.post("/v1/outcomes", &outcome(id, minute, &stage)).await;
            assert_eq!(status, StatusCode::CREATED, "{told}");
        }
    }
    let (_, report) = scoring
        .get("/v1/outcomes/report?from=2026-11-23T00:00:00Z&to=2026-11-24T00:00:00Z&model=allocation-support")
        .await;
    assert_eq!((&report["recommendations"], &report["realised"]), (&json!(2), &json!(2)), "{report}");
    let month = &report["calibration"]["months"][0];
    let risk = transfers.iter().map(|one| one["receiver_risk_after"].as_f64().unwrap()).sum::<f64>() / 2.0;
    assert!((month["forecast"].as_f64().unwrap() - risk).abs() < 1e-9, "{report}");

    let mut unnamed = shortage();
    unnamed.as_object_mut().unwrap().remove("product");
    let (status, problem) = plan(scoring, "shortage-2", &unnamed).await;
    assert_eq!((status.as_u16(), &problem["errors"][0]["pointer"]), (422, &json!("/product")), "{problem}");
    let mut elsewhere = shortage();
    elsewhere["locations"][2]["location"] = json!("store-3");
    assert_eq!(plan(scoring, "shortage-1", &elsewhere).await.0, StatusCode::UNPROCESSABLE_ENTITY);
}

#[tokio::test]
async fn transfers_of_a_plan_are_closed_like_any_recommendation() {
    transfers_are_closed(&Scoring::start().await).await;
}

#[tokio::test]
async fn transfers_of_a_plan_are_closed_on_postgresql_too() {
    testkit::require!(Postgres);
    let postgres = testkit::Postgres::start().await.unwrap();
    let database = postgres.create_database("plans").await.unwrap();
    transfers_are_closed(&Scoring::start_on(&format!("url: '{database}'")).await).await;
}
