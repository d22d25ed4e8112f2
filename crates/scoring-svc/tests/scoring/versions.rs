//! Publishing versions of a model, and which one answers.

use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use crate::bed::{Scoring, facts, heard};

const VERSIONS: &str = "/v1/models/replenishment-priority/versions";

/// Parameters under another name; `more` units of history make every stock-out look likelier.
fn parameters(version: &str, more: f64) -> Value {
    let mut parameters: Value =
        serde_json::from_str(include_str!("../../../models/parameters/replenishment.v1.json")).unwrap();
    parameters["version"] = json!(version);
    parameters["demand"]["day"]["level_prior_units"] = json!(more);
    parameters
}

/// Cases with plenty of stock, which never ran out.
fn cases() -> Vec<Value> {
    let case = |on_hand: f64| {
        let mut plenty = facts();
        plenty["stock"]["on_hand"] = json!(on_hand);
        json!({"request": {"facts": plenty}, "outcome": {"stocked_out": false}})
    };
    (0..20).map(|i| case(60.0 + f64::from(i))).collect()
}

fn publication(version: &str, more: f64) -> Value {
    json!({"parameters": parameters(version, more), "cases": cases()})
}

async fn judging(scoring: &Scoring, query: &str) -> Value {
    let body = json!({"items": [{"facts": facts()}]});
    let (status, judged) = scoring.post(&format!("/v1/replenishment/batch{query}"), &body).await;
    assert_eq!(status, StatusCode::OK, "{judged}");
    judged["items"][0]["model"]["version"].clone()
}

#[tokio::test]
async fn a_published_version_judges_and_the_old_one_stays_selectable() {
    let scoring = Scoring::start().await;
    assert_eq!(judging(&scoring, "").await, "1");
    let (status, published) = scoring.operate(VERSIONS, &publication("2", 0.01)).await;
    assert_eq!((status, &published["active"]), (StatusCode::CREATED, &json!(true)), "{published}");
    assert_eq!(published["comparison"]["against"], "1");
    assert!(published["comparison"]["after"]["figures"][0]["value"].is_f64(), "{published}");
    assert_eq!(judging(&scoring, "").await, "2");
    assert_eq!(judging(&scoring, "?version=1").await, "1");
    let (status, problem) = scoring.post("/v1/replenishment/batch?version=9", &json!({"items": [1]})).await;
    assert_eq!(status, StatusCode::NOT_FOUND, "{problem}");

    let (_, kept) = scoring.score("k", &json!({"facts": facts()})).await;
    assert_eq!(kept["model"]["version"], "2");
    let (_, models) = scoring.get("/v1/models").await;
    let replenishment = &models["items"][0];
    assert_eq!((&replenishment["active"], &replenishment["shipped"]), (&json!("2"), &json!("1")));
    let (_, versions) = scoring.get(VERSIONS).await;
    let names: Vec<_> = versions["items"].as_array().unwrap().iter().map(|one| one["version"].clone()).collect();
    assert_eq!(names, [json!("2"), json!("1")]);
    let (_, one) = scoring.get(&format!("{VERSIONS}/2")).await;
    assert_eq!((&one["parameters"], &one["published_by"]), (&parameters("2", 0.01), &json!("key:operator")));
    let event = heard(&scoring, "steward.model.activated.v1").await;
    assert_eq!((&event["version"], &event["previous"]), (&json!("2"), &json!("1")));
    let (_, leaves) = scoring.get("/v1/audit?subject=model:replenishment-priority@2").await;
    assert_eq!(leaves["items"].as_array().unwrap().len(), 2, "{leaves}");
}

#[tokio::test]
async fn a_worse_version_is_refused_by_its_figure_unless_forced_with_a_reason() {
    let scoring = Scoring::start().await;
    let mut worse = publication("2", 5000.0);
    let (status, problem) = scoring.operate(VERSIONS, &worse).await;
    assert_eq!(status, StatusCode::CONFLICT, "{problem}");
    let detail = problem["detail"].as_str().unwrap();
    assert!(problem["type"].as_str().unwrap().contains("worse-version"), "{problem}");
    assert!(
        detail.contains("stock_out_brier is ") && detail.contains("0.0") && detail.contains("20 cases"),
        "{detail}"
    );
    assert_eq!(judging(&scoring, "").await, "1");

    worse["force"] = json!(true);
    let (status, problem) = scoring.operate(VERSIONS, &worse).await;
    assert_eq!((status, &problem["errors"][0]["pointer"]), (StatusCode::UNPROCESSABLE_ENTITY, &json!("/reason")));
    worse["reason"] = json!("the cases are from before the move");
    let (status, published) = scoring.operate(VERSIONS, &worse).await;
    assert_eq!((status, &published["reason"]), (StatusCode::CREATED, &worse["reason"]), "{published}");
    assert_eq!(judging(&scoring, "").await, "2");
}

#[tokio::test]
async fn an_older_version_can_be_made_to_judge_again() {
    let scoring = Scoring::start().await;
    scoring.operate(VERSIONS, &publication("2", 0.01)).await;
    let (status, problem) = scoring.operate(&format!("{VERSIONS}/1/activate"), &json!({"reason": ""})).await;
    assert_eq!((status, &problem["errors"][0]["pointer"]), (StatusCode::UNPROCESSABLE_ENTITY, &json!("/reason")));
    for version in ["1", "2", "2", "1"] {
        let reason = json!({"reason": "it judged better"});
        let (status, active) = scoring.operate(&format!("{VERSIONS}/{version}/activate"), &reason).await;
        assert_eq!((status, &active["active"]), (StatusCode::OK, &json!(true)), "{active}");
        assert_eq!(judging(&scoring, "").await, version);
    }
    let (status, _) = scoring.operate(&format!("{VERSIONS}/9/activate"), &json!({"reason": "none"})).await;
    assert_eq!(status, StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn a_name_is_taken_once() {
    let scoring = Scoring::start().await;
    let first = scoring.operate(VERSIONS, &publication("2", 0.01)).await.1;
    let (status, again) = scoring.operate(VERSIONS, &publication("2", 0.01)).await;
    assert_eq!((status, &again["published_at"]), (StatusCode::OK, &first["published_at"]));
    for taken in ["1", "2"] {
        let (status, problem) = scoring.operate(VERSIONS, &publication(taken, 0.02)).await;
        assert_eq!(status, StatusCode::CONFLICT, "{problem}");
        assert!(problem["type"].as_str().unwrap().contains("version-taken"), "{problem}");
    }
}

#[tokio::test]
async fn what_cannot_be_published_is_named() {
    let scoring = Scoring::start().await;
    let mut unknown = publication("2", 0.01);
    unknown["parameters"]["surprise"] = json!(1);
    let mut foreign = publication("2", 0.01);
    foreign["cases"][3]["outcome"] = json!({"surprise": 1});
    let mut none = publication("2", 0.01);
    none["cases"] = Value::Null;
    let mut both = publication("2", 0.01);
    both["case_set"] = json!("x");
    for (body, pointer) in
        [(unknown, "/parameters"), (foreign, "/cases/3/outcome/surprise"), (none, "/cases"), (both, "/cases")]
    {
        let (status, problem) = scoring.operate(VERSIONS, &body).await;
        assert_eq!((status, &problem["errors"][0]["pointer"]), (StatusCode::UNPROCESSABLE_ENTITY, &json!(pointer)));
    }
    let (status, _) = scoring.operate("/v1/models/nothing/versions", &publication("2", 0.01)).await;
    assert_eq!(status, StatusCode::NOT_FOUND);
    // A workflow may have facts judged, and not choose by what.
    let (status, _) = scoring.post(VERSIONS, &publication("2", 0.01)).await;
    assert_eq!(status, StatusCode::FORBIDDEN);
    let unsigned = scoring.client.request(Method::GET, format!("{}/scoring{VERSIONS}", scoring.running.base_url()));
    assert_eq!(unsigned.send().await.unwrap().status(), StatusCode::UNAUTHORIZED);
}

#[tokio::test]
async fn a_publication_may_be_as_large_as_a_forest_and_no_larger() {
    let scoring = Scoring::start().await;
    let body = publication("2", 0.01).to_string() + " ".repeat(4 << 20).as_str();
    let (status, published) = scoring.operate_with(VERSIONS, body).await;
    assert_eq!(status, StatusCode::CREATED, "{published}");
    for (path, bytes) in [(VERSIONS, (16 << 20) + 1), ("/v1/models/replenishment-priority/cases", (1 << 20) + 1)] {
        let status = scoring.announce(path, bytes).await;
        assert!(status.starts_with("HTTP/1.1 413"), "{path}: {status}");
    }
}

#[tokio::test]
async fn cases_are_kept_in_sets_that_versions_are_compared_on_on_postgresql_too() {
    testkit::require!(Postgres);
    let postgres = testkit::Postgres::start().await.unwrap();
    let database = postgres.create_database("versions").await.unwrap();
    for store in ["data_dir: FOLDER".to_owned(), format!("url: '{database}'")] {
        let scoring = Scoring::start_on(&store).await;
        let path = "/v1/models/replenishment-priority/cases";
        for count in [20, 40] {
            let (status, set) = scoring.post(path, &json!({"set": "resolved", "cases": cases()})).await;
            assert_eq!((status, &set["cases"]), (StatusCode::CREATED, &json!(count)), "{set}");
        }
        let mut bad = cases();
        bad[1] = json!({"request": {}});
        let (status, problem) = scoring.post(path, &json!({"set": "resolved", "cases": bad})).await;
        assert_eq!(
            (status, &problem["errors"][0]["pointer"]),
            (StatusCode::UNPROCESSABLE_ENTITY, &json!("/cases/1/request"))
        );
        let body = json!({"parameters": parameters("2", 0.01), "case_set": "resolved"});
        let (status, published) = scoring.operate(VERSIONS, &body).await;
        assert_eq!(
            (status, &published["comparison"]["after"]["cases"]),
            (StatusCode::CREATED, &json!(40)),
            "{published}"
        );
        assert_eq!(judging(&scoring, "").await, "2");
        let (status, _) = scoring.operate(&format!("{VERSIONS}/1/activate"), &json!({"reason": "back"})).await;
        assert_eq!((status, judging(&scoring, "").await), (StatusCode::OK, json!("1")));
    }
}

/// Another replica on the same store learns of it without being told.
#[tokio::test]
async fn a_replica_learns_of_a_publication_within_moments() {
    testkit::require!(Postgres);
    let postgres = testkit::Postgres::start().await.unwrap();
    let database = postgres.create_database("replicas").await.unwrap();
    let store = format!("url: '{database}'");
    let (here, there) = (Scoring::start_on(&store).await, Scoring::start_on(&store).await);
    assert_eq!(judging(&there, "").await, "1");
    here.operate(VERSIONS, &publication("2", 0.01)).await;
    assert_eq!(judging(&here, "").await, "2");
    let deadline = tokio::time::Instant::now() + std::time::Duration::from_secs(10);
    while judging(&there, "").await != "2" {
        assert!(tokio::time::Instant::now() < deadline, "the other replica never learnt of it");
        tokio::time::sleep(std::time::Duration::from_millis(100)).await;
    }
}
