//! Summaries of exceptions, and an endpoint that lies.

use std::time::Duration;

use contracts::Digest;
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use wiremock::{Mock, MockServer, ResponseTemplate, matchers};

use crate::bed::{Scoring, answer};

fn exception() -> Value {
    json!({"class": "count_variance", "severity": 3, "about": "SKU-10233@store-017", "facts": [
        {"id": "stock.on_hand", "name": "units on hand", "value": 40.0, "unit": "units"},
        {"id": "counted", "name": "units counted", "value": 23.0, "unit": "units"},
        {"id": "who", "name": "counted by", "value": "Anna Berg"},
    ]})
}

async fn summarise(scoring: &Scoring, key: &str, body: &Value) -> (StatusCode, Value) {
    let request = scoring.request(Method::POST, "/v1/summaries").header("idempotency-key", key);
    answer(request.header("prefer", "wait=10").json(body)).await
}

/// The service with an endpoint that may be told all but who counted.
async fn asking(endpoint: &MockServer) -> Scoring {
    let address = endpoint.address();
    let more = format!(
        "outgoing: {{allow: ['{address}']}}\nscoring: {{summary: {{url: 'http://{address}/v1', model: small, \
         api_key: sesame, timeout_seconds: 1, allow: [class, severity, about, stock.on_hand, counted]}}}}"
    );
    Scoring::start_with("data_dir: FOLDER", &more).await
}

async fn saying(response: ResponseTemplate) -> MockServer {
    testkit::install_tls_provider();
    let endpoint = MockServer::start().await;
    let completions = Mock::given(matchers::method("POST")).and(matchers::path("/v1/chat/completions"));
    completions.and(matchers::header("authorization", "Bearer sesame")).respond_with(response).mount(&endpoint).await;
    endpoint
}

fn completion(text: &str) -> ResponseTemplate {
    ResponseTemplate::new(200).set_body_json(json!({"choices": [{"message": {"content": text}}]}))
}

#[tokio::test]
async fn without_an_endpoint_the_template_answers_and_nothing_leaves() {
    let scoring = Scoring::start().await;
    let (status, summary) = summarise(&scoring, "k", &exception()).await;
    assert_eq!((status, &summary["source"]), (StatusCode::OK, &json!("template")), "{summary}");
    assert_eq!(
        summary["text"],
        "Exception: count variance, severity 3. About: SKU-10233@store-017. units on hand: 40 units. \
         units counted: 23 units. counted by: Anna Berg."
    );
    assert_eq!(summary["receipt"], Value::Null);
    let mut german = exception();
    german["language"] = json!("de");
    assert!(
        summarise(&scoring, "g", &german).await.1["text"].as_str().unwrap().starts_with("Ausnahme: count variance")
    );

    let (status, again) = summarise(&scoring, "k", &exception()).await;
    assert_eq!((status, &again["id"]), (StatusCode::OK, &summary["id"]));
    let (_, found) = scoring.get(&format!("/v1/summaries/{}", summary["id"].as_str().unwrap())).await;
    assert_eq!(found["text"], summary["text"]);
    let (_, all) = scoring.get("/v1/summaries?limit=1").await;
    assert_eq!(all["items"][0]["text"].as_str().unwrap().get(..8), Some("Ausnahme"));

    let mut bad = exception();
    bad["facts"][1]["id"] = json!("stock.on_hand");
    let (status, problem) = summarise(&scoring, "b", &bad).await;
    assert_eq!((status, &problem["errors"][0]["pointer"]), (StatusCode::UNPROCESSABLE_ENTITY, &json!("/facts/1/id")));
}

#[tokio::test]
async fn what_an_endpoint_adds_to_the_facts_is_dropped() {
    let lies = "The count is 23 units, but 40 are on hand. Acme delivered late. The loss is 17 units. \
                It happened on Monday. Please review the stock. Anna Berg counted it. Twenty-four were seen.";
    let endpoint = saying(completion(lies)).await;
    let scoring = asking(&endpoint).await;
    let (status, summary) = summarise(&scoring, "k", &exception()).await;
    assert_eq!((status, &summary["source"]), (StatusCode::OK, &json!("endpoint")), "{summary}");
    assert_eq!(summary["text"], "The count is 23 units, but 40 are on hand. Please review the stock.");
    let dropped: Vec<_> = summary["dropped"].as_array().unwrap().iter().map(|one| one["token"].clone()).collect();
    // Who counted was never told, so that name cannot be from the facts.
    assert_eq!(dropped, ["Acme", "17", "Monday", "Anna", "Twenty-four"]);
}

#[tokio::test]
async fn only_what_is_allowed_leaves_and_a_receipt_says_so() {
    let endpoint = saying(completion("Please review.")).await;
    let scoring = asking(&endpoint).await;
    let (_, summary) = summarise(&scoring, "k", &exception()).await;
    let asked = endpoint.received_requests().await.unwrap();
    assert_eq!(asked.len(), 1);
    let told = String::from_utf8(asked[0].body.clone()).unwrap();
    assert!(told.contains("units counted") && !told.contains("Anna") && !told.contains("counted by"), "{told}");
    let receipt = &summary["receipt"];
    assert_eq!(receipt["fields"], json!(["class", "severity", "about", "stock.on_hand", "counted"]));
    assert_eq!(receipt["hash"], json!(Digest::of_bytes(&asked[0].body)));
    assert_eq!((&receipt["bytes"], &receipt["model"]), (&json!(asked[0].body.len()), &json!("small")));
    assert_eq!(receipt["to"], format!("http://{}/v1/chat/completions", endpoint.address()));
    assert!(!summary.to_string().contains("sesame"));

    // The repeat of a request asks nobody again.
    summarise(&scoring, "k", &exception()).await;
    assert_eq!(endpoint.received_requests().await.unwrap().len(), 1);
}

#[tokio::test]
async fn whatever_fails_the_template_stands() {
    let slow = completion("Please review.").set_delay(Duration::from_secs(5));
    let failures = [
        (ResponseTemplate::new(500), "answered 500"),
        (ResponseTemplate::new(302).insert_header("location", "http://127.0.0.1:1/"), "answered 302"),
        (slow, "no answer within 1 s"),
        (ResponseTemplate::new(200).set_body_string("{"), "not JSON"),
        (ResponseTemplate::new(200).set_body_json(json!({"choices": []})), "no chat completion"),
        (ResponseTemplate::new(200).set_body_bytes(vec![b'x'; 100_000]), "more than 65536 bytes"),
        (completion(&"Please review. ".repeat(400)), "more than 4000 characters"),
        (completion("Acme lost 400 units."), "no sentence kept to the facts"),
        (completion(""), "no sentence kept to the facts"),
    ];
    for (response, cause) in failures {
        let endpoint = saying(response).await;
        let scoring = asking(&endpoint).await;
        let (status, summary) = summarise(&scoring, "k", &exception()).await;
        assert_eq!((status, &summary["source"]), (StatusCode::OK, &json!("template")), "{summary}");
        assert!(summary["fallback"].as_str().unwrap().contains(cause), "{cause}: {summary}");
        assert!(summary["text"].as_str().unwrap().contains("counted by: Anna Berg"), "{summary}");
        assert_eq!(endpoint.received_requests().await.unwrap().len(), 1, "it is asked once");
    }
}

#[tokio::test]
async fn nothing_leaves_unless_class_and_severity_may() {
    let endpoint = saying(completion("Please review.")).await;
    let address = endpoint.address();
    let more = format!(
        "outgoing: {{allow: ['{address}']}}\nscoring: {{summary: {{url: 'http://{address}/v1', model: small, allow: [counted]}}}}"
    );
    let scoring = Scoring::start_with("data_dir: FOLDER", &more).await;
    let (status, summary) = summarise(&scoring, "k", &exception()).await;
    assert_eq!((status, &summary["receipt"], &summary["source"]), (StatusCode::OK, &Value::Null, &json!("template")));
    assert!(summary["fallback"].as_str().unwrap().contains("class and severity"), "{summary}");
    assert!(endpoint.received_requests().await.unwrap().is_empty());
}

#[tokio::test]
async fn summaries_are_kept_on_postgresql_too() {
    testkit::require!(Postgres);
    let postgres = testkit::Postgres::start().await.unwrap();
    let database = postgres.create_database("summaries").await.unwrap();
    let endpoint = saying(completion("Please review the stock.")).await;
    let address = endpoint.address();
    let more = format!(
        "outgoing: {{allow: ['{address}']}}\nscoring: {{summary: {{url: 'http://{address}/v1', model: small, \
         api_key: sesame, allow: [class, severity]}}}}"
    );
    let scoring = Scoring::start_with(&format!("url: '{database}'"), &more).await;
    let (status, summary) = summarise(&scoring, "k", &exception()).await;
    assert_eq!((status, &summary["text"]), (StatusCode::OK, &json!("Please review the stock.")), "{summary}");
    assert_eq!(scoring.get("/v1/summaries").await.1["items"][0]["receipt"], summary["receipt"]);
}
