//! Every model's answers, one by one and in bulk.

use chassis::Settings;
use contracts::Facts;
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use crate::bed::{Scoring, facts, heard, line};

#[tokio::test]
async fn a_score_keeps_a_recommendation_tells_of_it_and_leaves_an_audit_leaf() {
    let scoring = Scoring::start().await;
    let (status, scored) = scoring.score("event-1:score", &json!({"facts": facts()})).await;
    assert_eq!(status, StatusCode::OK, "{scored}");
    assert_eq!((&scored["status"], &scored["recommendation"]["action"]), (&json!("scored"), &json!("transfer")));
    let parts: i64 =
        scored["contributions"].as_array().unwrap().iter().map(|part| part["micros"].as_i64().unwrap()).sum();
    assert_eq!(json!(parts), scored["score"]);
    let id = scored["recommendation_id"].as_str().unwrap();

    let (status, kept) = scoring.get(&format!("/v1/recommendations/{id}")).await;
    assert_eq!(status, StatusCode::OK);
    assert_eq!(kept["answer"]["input_hash"], scored["input_hash"]);
    assert_eq!((&kept["made_by"], &kept["made_at"]), (&json!("key:n8n"), &json!("2026-11-23T08:00:00Z")));
    let sealed = serde_json::from_value::<Facts>(facts()).unwrap().digest().unwrap();
    assert_eq!(kept["facts_hash"], json!(sealed));

    let (_, leaves) = scoring.get(&format!("/v1/audit?subject=recommendation:{id}")).await;
    assert_eq!(leaves["items"][0]["verb"], "recommendation.made");
    let event = heard(&scoring, "steward.recommendation.made.v1").await;
    assert_eq!(event["recommendation_id"], json!(id));
    assert_eq!((&event["action"], &event["model"]), (&json!("transfer"), &json!("replenishment-priority@1")));
}

#[tokio::test]
async fn a_repeated_key_gets_the_first_answer_and_keeps_nothing_more() {
    let scoring = Scoring::start().await;
    let (_, first) = scoring.score("k", &json!({"facts": facts()})).await;
    let (status, again) = scoring.score("k", &json!({"facts": facts()})).await;
    assert_eq!((status, &again), (StatusCode::OK, &first));
    // The same event seen twice, and stock has moved meanwhile: still the same question.
    let mut later = facts();
    later["stock"]["on_hand"] = json!(11.0);
    let (status, again) = scoring.score("k", &json!({"facts": later})).await;
    assert_eq!((status, &again), (StatusCode::OK, &first));
    let mut other = facts();
    other["location"] = json!("store-99");
    let (status, problem) = scoring.score("k", &json!({"facts": other})).await;
    assert_eq!(
        (status, &problem["errors"][0]["pointer"]),
        (StatusCode::UNPROCESSABLE_ENTITY, &json!("header:Idempotency-Key"))
    );
    let (_, kept) = scoring.get("/v1/recommendations").await;
    assert_eq!(kept["items"].as_array().unwrap().len(), 1);
    let (status, problem) = scoring.post("/v1/replenishment/score", &json!({"facts": facts()})).await;
    assert_eq!((status, &problem["errors"][0]["pointer"]), (StatusCode::BAD_REQUEST, &json!("header:Idempotency-Key")));
}

#[tokio::test]
async fn what_cannot_be_judged_is_an_answer_and_is_not_kept() {
    let scoring = Scoring::start().await;
    let mut few = facts();
    few["demand"]["units"] = json!([3.0, 2.0]);
    few["lead_time"] = json!({});
    let (status, told) = scoring.score("k", &json!({"facts": few})).await;
    assert_eq!((status, &told["status"]), (StatusCode::OK, &json!("insufficient_data")));
    assert!(
        told["missing"].as_array().is_some_and(|missing| !missing.is_empty()) && told["recommendation_id"].is_null()
    );
    let (_, kept) = scoring.get("/v1/recommendations").await;
    assert_eq!(kept["items"], json!([]));
    assert!(scoring.told.lock().unwrap().is_empty());
}

#[tokio::test]
async fn bad_facts_are_refused_with_a_pointer_to_each() {
    let scoring = Scoring::start().await;
    let mut bad = facts();
    bad["stock"]["on_hand"] = json!(-1.0);
    bad["item"]["pack"] = json!(0);
    let (status, problem) = scoring.score("k", &json!({"facts": bad})).await;
    let pointers: Vec<_> = problem["errors"].as_array().unwrap().iter().map(|error| error["pointer"].clone()).collect();
    assert_eq!(status, StatusCode::UNPROCESSABLE_ENTITY);
    assert_eq!(pointers, [json!("/facts/stock/on_hand"), json!("/facts/item/pack")]);

    let (status, problem) = scoring.score("k", &json!({"facts": facts(), "optons": {}})).await;
    assert_eq!((status, &problem["errors"][0]["pointer"]), (StatusCode::UNPROCESSABLE_ENTITY, &json!("/optons")));

    let mut forged = facts();
    forged["hash"] = json!(format!("sha256:{}", "0".repeat(64)));
    let (status, problem) = scoring.score("k", &json!({"facts": forged})).await;
    assert_eq!((status, &problem["errors"][0]["pointer"]), (StatusCode::UNPROCESSABLE_ENTITY, &json!("/facts/hash")));
}

#[tokio::test]
async fn a_batch_answers_each_item_in_its_place_and_says_its_limits() {
    let scoring = Scoring::start().await;
    let mut bad = facts();
    bad["stock"]["on_hand"] = json!(-1.0);
    let items = json!([{"facts": facts()}, {"facts": bad}, {"facts": {"product": "x"}}, 7,
        {"facts": facts(), "options": {"explain": true}}]);
    let (status, judged) = scoring.post("/v1/replenishment/batch", &json!({"items": items})).await;
    assert_eq!(status, StatusCode::OK, "{judged}");
    let items = judged["items"].as_array().unwrap();
    assert_eq!(items.len(), 5);
    assert_eq!((&items[0]["status"], &items[0]["contributions"]), (&json!("scored"), &Value::Null));
    assert_eq!(items[1]["problem"]["errors"][0]["pointer"], "/facts/stock/on_hand");
    assert_eq!(items[2]["problem"]["status"], 422);
    assert_eq!(items[3]["problem"]["status"], 422);
    assert!(items[4]["contributions"].as_array().is_some_and(|parts| !parts.is_empty()));

    let many = vec![json!(1); 10_001];
    let (status, problem) = scoring.post("/v1/replenishment/batch", &json!({"items": many})).await;
    assert_eq!(status, StatusCode::UNPROCESSABLE_ENTITY);
    assert_eq!(problem["errors"][0]["pointer"], "/items");
    assert!(problem["errors"][0]["detail"].as_str().unwrap().contains("10000"), "{problem}");
    let (status, _) = scoring.post("/v1/replenishment/batch", &json!({"items": []})).await;
    assert_eq!(status, StatusCode::UNPROCESSABLE_ENTITY);
    let (status, _) = scoring.post("/v1/replenishment/batch", &json!({"items": ["x".repeat(1 << 20)]})).await;
    assert_eq!(status, StatusCode::PAYLOAD_TOO_LARGE);
}

#[tokio::test]
async fn a_stream_answers_every_line_in_order_and_a_bad_one_in_its_place() {
    let scoring = Scoring::start().await;
    let mut lines: Vec<String> = (0..600)
        .map(|i| {
            let mut some = facts();
            some["product"] = json!(format!("SKU-{i}"));
            line(&some)
        })
        .collect();
    lines[1] = "{not json".into();
    lines[2] = json!({"facts": facts(), "options": {"service_target": 2}}).to_string();
    lines[3] = json!({"facts": facts(), "options": {"servce_target": 0.9}}).to_string();
    lines[4] = format!("{{\"facts\": \"{}\"}}", "x".repeat(64 * 1024));
    let answers = scoring.stream(&lines).await;
    assert_eq!(answers.len(), lines.len());
    assert_eq!((&answers[1]["line"], &answers[1]["problem"]["status"]), (&json!(2), &json!(400)));
    assert_eq!(answers[2]["problem"]["errors"][0]["pointer"], "/options/service_target");
    assert_eq!(answers[3]["problem"]["errors"][0]["pointer"], "/options/servce_target");
    assert_eq!((&answers[4]["line"], &answers[4]["problem"]["status"]), (&json!(5), &json!(413)));
    for i in (0..600).filter(|i| !(1..5).contains(i)) {
        assert_eq!((&answers[i]["product"], &answers[i]["contributions"]), (&json!(format!("SKU-{i}")), &Value::Null));
    }
    // The same facts get the same judgement one by one, in a batch and in a stream.
    let single = scoring.score("k", &json!({"facts": facts(), "options": {"explain": false}})).await.1;
    let streamed = scoring.stream(&[line(&facts())]).await.remove(0);
    assert_eq!((&streamed["score"], &streamed["input_hash"]), (&single["score"], &single["input_hash"]));
}

#[tokio::test]
async fn each_bad_line_of_a_stream_says_what_is_wrong_with_it_and_harms_no_other() {
    let scoring = Scoring::start().await;
    let changed = |change: &dyn Fn(&mut Value)| {
        let mut some = facts();
        change(&mut some);
        line(&some)
    };
    let order = |due: &str| json!({"order": "PO-1", "due": due, "quantity": 1.0});
    let good = line(&facts());
    let columns = format!("{{\"facts\":{{\"demand\":{{\"units\":[{}]}}}}}}", "1,".repeat(1_000_000) + "1");
    let bad = [
        (good.replacen("\"on_hand\":", "\"on_hand\":NaN,\"was\":", 1), 400, None),
        (changed(&|some| some["stock"]["on_hand"] = json!(-1.0)), 422, Some("/facts/stock/on_hand")),
        (changed(&|some| some["demand"]["units"][3] = json!(-2.0)), 422, Some("/facts/demand/units/3")),
        (changed(&|some| some["demand"]["units"][3] = json!("7")), 422, Some("/facts/demand/units/3")),
        (
            changed(&|some| some["incoming"] = json!([order("2026-12-02"), order("2026-12-01")])),
            422,
            Some("/facts/incoming/1/due"),
        ),
        (
            changed(&|some| some["item"]["unit_price"]["currency"] = json!("USD")),
            422,
            Some("/facts/item/unit_price/currency"),
        ),
        (good.replacen("{\"facts\":", "{\"facts\":1,\"facts\":", 1), 422, Some("/facts")),
        (columns, 413, None),
        ("[".repeat(60_000), 422, Some("")),
    ];
    let lines: Vec<String> = bad.iter().flat_map(|(line, ..)| [line.clone(), good.clone()]).collect();
    let answers = scoring.stream(&lines).await;
    assert_eq!(answers.len(), lines.len());
    for (n, (text, status, pointer)) in bad.iter().enumerate() {
        let (answer, next) = (&answers[2 * n], &answers[2 * n + 1]);
        let told = format!("{} gave {answer}", &text[..text.len().min(200)]);
        assert_eq!((&answer["line"], &answer["problem"]["status"]), (&json!(2 * n + 1), &json!(status)), "{told}");
        assert_eq!(answer["problem"]["errors"][0]["pointer"].as_str(), *pointer, "{told}");
        assert_eq!(next["status"], "scored", "after {told}");
    }
}

#[tokio::test]
async fn a_stream_does_not_keep_others_waiting() {
    let scoring = Scoring::start().await;
    let lines = vec![json!({"facts": facts(), "options": {"explain": true}}).to_string(); 2000];
    let stream = async {
        let answers = scoring.stream(&lines).await;
        (answers.len(), tokio::time::Instant::now())
    };
    let quick = async {
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
        let (status, _) = scoring.get("/v1/recommendations").await;
        (status, tokio::time::Instant::now())
    };
    let ((answered, streamed_at), (status, asked_at)) = tokio::join!(stream, quick);
    assert_eq!((answered, status), (2000, StatusCode::OK));
    assert!(asked_at < streamed_at, "a look-up had to wait for the whole stream");
}

#[tokio::test]
async fn a_ranking_stays_within_its_budget() {
    let scoring = Scoring::start().await;
    let mut other = facts();
    other["product"] = json!("SKU-2");
    other["stock"]["on_hand"] = json!(300.0);
    let budget = json!({"minor": 20_000, "currency": "EUR"});
    let body = json!({"items": [{"facts": other}, {"facts": facts()}], "budget": budget});
    let (status, ranking) = scoring.post("/v1/replenishment/rank", &body).await;
    assert_eq!(status, StatusCode::OK, "{ranking}");
    assert_eq!((&ranking["lines"][0]["product"], &ranking["lines"][0]["index"]), (&json!("SKU-1"), &json!(1)));
    assert!((1..=20_000).contains(&ranking["spent"]["minor"].as_i64().unwrap()), "{ranking}");
    let (status, problem) = scoring.post("/v1/replenishment/rank", &json!({"items": [], "budget": budget})).await;
    assert_eq!((status, &problem["errors"][0]["pointer"]), (StatusCode::UNPROCESSABLE_ENTITY, &json!("/items")));
}

#[tokio::test]
async fn recommendations_are_found_by_place_and_paged_newest_first() {
    let scoring = Scoring::start().await;
    for (i, location) in ["store-1", "store-2", "store-1"].iter().enumerate() {
        let mut some = facts();
        some["location"] = json!(location);
        assert_eq!(scoring.score(&format!("k{i}"), &json!({"facts": some})).await.0, StatusCode::OK);
    }
    let (_, here) = scoring.get("/v1/recommendations?product=SKU-1&location=store-1&limit=1").await;
    let cursor = here["next_cursor"].as_str().unwrap();
    let (_, rest) =
        scoring.get(&format!("/v1/recommendations?product=SKU-1&location=store-1&limit=1&cursor={cursor}")).await;
    assert_ne!(here["items"][0]["id"], rest["items"][0]["id"]);
    assert!(here["items"][0]["id"].as_str() > rest["items"][0]["id"].as_str());
    assert_eq!((&rest["items"][0]["location"], &rest["next_cursor"]), (&json!("store-1"), &Value::Null));
    let (status, _) = scoring.get("/v1/recommendations/none").await;
    assert_eq!(status, StatusCode::NOT_FOUND);
    let (status, problem) = scoring.get("/v1/recommendations?limit=501").await;
    assert_eq!((status, &problem["errors"][0]["pointer"]), (StatusCode::BAD_REQUEST, &json!("query:limit")));
}

#[tokio::test]
async fn recommendations_are_kept_on_postgresql_too() {
    testkit::require!(Postgres);
    let postgres = testkit::Postgres::start().await.unwrap();
    let database = postgres.create_database("scoring").await.unwrap();
    let scoring = Scoring::start_on(&format!("url: '{database}'")).await;
    let (status, scored) = scoring.score("k", &json!({"facts": facts()})).await;
    assert_eq!(status, StatusCode::OK, "{scored}");
    let (_, listed) = scoring.get("/v1/recommendations?product=SKU-1&location=store-1").await;
    assert_eq!(listed["items"][0]["id"], scored["recommendation_id"]);
    let (_, kept) =
        scoring.get(&format!("/v1/recommendations/{}", scored["recommendation_id"].as_str().unwrap())).await;
    assert_eq!(kept["answer"]["recommendation"], scored["recommendation"]);
}

#[tokio::test]
async fn nobody_is_judged_without_a_key() {
    let scoring = Scoring::start().await;
    for path in ["score", "batch", "stream", "rank"] {
        let url = format!("{}/scoring/v1/replenishment/{path}", scoring.running.base_url());
        let kind = if path == "stream" { "application/x-ndjson" } else { "application/json" };
        let request = scoring.client.post(url).header("content-type", kind).header("idempotency-key", "k").body("{}");
        assert_eq!(request.send().await.unwrap().status(), StatusCode::UNAUTHORIZED, "{path}");
    }
}

#[test]
fn an_unknown_setting_is_refused() {
    let settings = Settings::from_yaml("scoring: {parameter: 1}").unwrap();
    let error = scoring_svc::service(&settings).err().unwrap();
    assert!(error.to_string().contains("scoring.parameter"), "{error}");
}

/// A request of each model that is kept nowhere: enough to be judged, or to be told what is missing.
fn requests() -> [(&'static str, Value); 7] {
    let at = "2026-11-23T07:00:00Z";
    let series = json!({"grain": "day", "first": "2026-09-24", "units": vec![5.0; 60]});
    let sales = json!({"first_day": "2026-11-09", "units": vec![1.0; 14 * 24]});
    let line = json!({"id": "PO-1/1", "supplier": "acme", "ordered": "2026-11-01", "promised": "2026-12-01"});
    let snapshot = json!({"product": "SKU-1", "as_of": at, "stock": {"on_hand": 5.0}, "lead_time_weeks": 4.0,
        "forecast": {"months_3": 9.0, "months_6": 18.0, "months_9": 27.0},
        "sales": {"month_1": 3.0, "months_3": 9.0, "months_6": 18.0, "months_9": 27.0}});
    let step = json!({"until": "received", "planned_minutes": 60.0, "took_minutes": 70.0});
    let transport = json!({"id": "T-1", "inbound": [{"steps": [step]}]});
    let variance = json!({"product": "SKU-1", "location": "store-1", "as_of": at, "count": {"variance": -3.0}});
    let plan = json!({"as_of": at, "currency": "EUR", "locations": [
        {"location": "store-1", "on_hand": 40, "demand": {"forecast": {"mean": 2.0, "variance": 2.0}}},
        {"location": "store-2", "on_hand": 0, "demand": {"forecast": {"mean": 8.0, "variance": 8.0}}}],
        "lanes": [{"from": 0, "to": 1, "unit_cost": 1.0, "capacity": 20}]});
    [
        ("demand-signal", json!({"series": series})),
        ("demand-signal-hours", json!({"product": "SKU-1", "location": "store-1", "as_of": at, "sales": sales})),
        ("replenishment-snapshot", snapshot),
        ("supplier-risk", json!({"line": line, "as_of": at})),
        ("shipment-risk", json!({"transport": transport, "as_of": at})),
        ("inventory-exception", json!({"facts": variance})),
        ("allocation", plan),
    ]
}

#[tokio::test]
async fn every_model_answers_one_by_one_in_a_batch_and_in_a_stream() {
    let scoring = Scoring::start().await;
    for (model, request) in requests() {
        let (status, one) = scoring.post(&format!("/v1/{model}/score"), &request).await;
        assert_eq!(status, StatusCode::OK, "{model}: {one}");
        let told = one["status"].as_str().unwrap_or_default();
        assert!(told == "insufficient_data" || one["model"]["version"] == "1", "{model}: {one}");
        let unknown = json!({"surprise": 1});
        let (status, many) = scoring.post(&format!("/v1/{model}/batch"), &json!({"items": [unknown, request]})).await;
        assert_eq!(status, StatusCode::OK, "{model}: {many}");
        assert_eq!(many["items"][0]["problem"]["status"], 422, "{model}: {many}");
        assert_eq!(many["items"][1]["status"], one["status"], "{model}: {many}");
        assert_eq!(many["items"][1]["contributions"], Value::Null, "{model} is explained unasked: {many}");
        let body = format!("{unknown}\n{request}\n");
        let stream = scoring.request(Method::POST, &format!("/v1/{model}/stream"));
        let answer = stream.header("content-type", "application/x-ndjson").body(body).send().await.unwrap();
        let lines: Vec<Value> =
            answer.text().await.unwrap().lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        assert_eq!((lines.len(), &lines[0]["line"]), (2, &json!(1)), "{model}: {lines:?}");
        assert_eq!(lines[1], many["items"][1], "{model}");
        let other = scoring.post(&format!("/v1/{model}/score?version=none"), &request).await;
        assert_eq!(other.0, StatusCode::NOT_FOUND, "{model}: {}", other.1);
    }
}
