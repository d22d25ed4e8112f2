//! Pushing events: signed, once each, in order, and not for ever.

use std::{collections::HashMap, time::Duration};

use chassis::webhooks;
use contracts::events::{DeadLettered, ExceptionOpened, StockRanLow};
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use wiremock::{Mock, MockServer, Request, ResponseTemplate, matchers::path};

use crate::world::{PATIENCE, World, answer, pointers};

const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
const RAN_LOW: &str = "steward.stock.ran_low.v1";

fn settings(n8n: &MockServer, notify: &str) -> String {
    format!(
        "relay: {{retry_seconds: [0]}}\noutgoing: {{callback_allow: ['{}/webhook']}}\nnotify: {{{notify}}}",
        n8n.uri()
    )
}

fn ran_low(product: &str, available: f64) -> StockRanLow {
    StockRanLow {
        product: product.parse().unwrap(),
        location: "store-1".parse().unwrap(),
        available,
        reorder_point: 12.0,
        observed_at: crate::world::START.parse().unwrap(),
    }
}

async fn answers(n8n: &MockServer, status: u16, times: u64) {
    Mock::given(path("/webhook/low")).respond_with(ResponseTemplate::new(status)).up_to_n_times(times).mount(n8n).await;
}

/// The pushes so far, once there are `count`.
async fn pushes(n8n: &MockServer, count: usize) -> Vec<Request> {
    testkit::eventually(PATIENCE, "pushes", async || {
        let requests = n8n.received_requests().await.unwrap();
        anyhow::ensure!(requests.len() >= count, "{} of {count}", requests.len());
        Ok(requests)
    })
    .await
}

fn header<'r>(request: &'r Request, name: &str) -> &'r str {
    request.headers.get(name).unwrap().to_str().unwrap()
}

fn verify(request: &Request, secret: &str) -> Result<String, webhooks::WebhookError> {
    let headers: HashMap<_, _> = request.headers.iter().map(|(n, v)| (n.as_str(), v.to_str().unwrap())).collect();
    let now = crate::world::START.parse().unwrap();
    webhooks::verify(&[secret.into()], |name| headers.get(name).copied(), &request.body, now).map(str::to_owned)
}

fn subscription(n8n: &MockServer) -> Value {
    json!({"types": [RAN_LOW], "url": format!("{}/webhook/low", n8n.uri()), "secret": SECRET,
        "header": {"name": "X-Steward-Token", "value": "let-me-in"}})
}

#[tokio::test]
async fn an_event_is_pushed_signed_with_its_thread_and_the_receiver_s_credential() {
    let n8n = MockServer::start().await;
    answers(&n8n, 200, 9).await;
    let world = World::start(&settings(&n8n, "")).await;
    let (status, made) = world.post("/subscriptions", &subscription(&n8n)).await;
    assert_eq!(status, StatusCode::CREATED, "{made}");
    let event = world.publish(&ran_low("SKU-1", 4.0)).await;
    let push = pushes(&n8n, 1).await.remove(0);
    assert_eq!(verify(&push, SECRET).as_deref(), Ok(event.as_str()));
    assert_eq!(header(&push, "x-steward-token"), "let-me-in");
    let body: Value = serde_json::from_slice(&push.body).unwrap();
    assert_eq!(
        (&body["type"], &body["id"], &body["subject"]),
        (&json!(RAN_LOW), &json!(event), &json!("SKU-1@store-1"))
    );
    assert_eq!((&body["correlation_id"], &body["data"]["available"]), (&json!(event), &json!(4.0)));

    let id = made["id"].as_str().unwrap();
    for shown in [made.clone(), world.get(&format!("/subscriptions/{id}")).await, world.get("/subscriptions").await] {
        let shown = shown.to_string();
        assert!(!shown.contains(SECRET) && !shown.contains("let-me-in"), "{shown}");
        assert!(shown.contains("...LaSw") && shown.contains("X-Steward-Token"), "{shown}");
    }
    testkit::eventually(PATIENCE, "the push is in the audit trail", async || {
        let verbs = world.verbs(&format!("subscription:{id}")).await;
        anyhow::ensure!(verbs == ["subscription.created", "event.pushed"], "{verbs:?}");
        Ok(())
    })
    .await;
}

#[tokio::test]
async fn a_failed_push_is_repeated_with_the_same_id_and_holds_back_the_next_of_its_subject() {
    let n8n = MockServer::start().await;
    answers(&n8n, 404, 1).await;
    answers(&n8n, 200, 9).await;
    let world = World::start(&settings(&n8n, "")).await;
    world.post("/subscriptions", &subscription(&n8n)).await;
    let first = world.publish(&ran_low("SKU-1", 4.0)).await;
    let second = world.publish(&ran_low("SKU-1", 3.0)).await;
    let ids: Vec<_> = pushes(&n8n, 3).await.iter().map(|push| header(push, "webhook-id").to_owned()).collect();
    assert_eq!(ids, [first.clone(), first, second]);
}

#[tokio::test]
async fn a_receiver_that_is_gone_hears_no_more_until_it_is_activated_again() {
    let n8n = MockServer::start().await;
    answers(&n8n, 410, 1).await;
    answers(&n8n, 200, 9).await;
    let world = World::start(&settings(&n8n, "")).await;
    let (_, made) = world.post("/subscriptions", &subscription(&n8n)).await;
    let id = made["id"].as_str().unwrap();
    world.publish(&ran_low("SKU-1", 4.0)).await;
    let exception = world.exceptions(1).await.remove(0);
    assert_eq!(exception["class"], "subscription.disabled");
    let shown = world.get(&format!("/subscriptions/{id}")).await;
    assert_eq!((&shown["state"], &shown["cause"]), (&json!("disabled"), &json!("the subscriber answered 410")));
    world.publish(&ran_low("SKU-2", 4.0)).await;
    world.hears::<StockRanLow>(2).await;

    let (status, active) = world.post(&format!("/subscriptions/{id}/activation"), &Value::Null).await;
    assert_eq!((status, &active["state"]), (StatusCode::OK, &json!("active")));
    let third = world.publish(&ran_low("SKU-3", 4.0)).await;
    let ids: Vec<_> = pushes(&n8n, 2).await.iter().map(|push| header(push, "webhook-id").to_owned()).collect();
    assert_eq!(ids[1..], [third], "what happened meanwhile is not made up for");
    assert!(world.heard::<DeadLettered>().is_empty(), "a receiver that is gone is no dead letter");
}

#[tokio::test]
async fn a_bad_subscription_is_refused_with_every_bad_field() {
    let n8n = MockServer::start().await;
    let world = World::start(&settings(&n8n, "")).await;
    let bad = json!({"types": [RAN_LOW, "steward.stock.vanished.v1"], "url": "http://169.254.169.254/latest",
        "secret": "whsec_short", "header": {"name": "Webhook-Id", "value": "x"}});
    let (status, problem) = world.post("/subscriptions", &bad).await;
    assert_eq!(status, StatusCode::UNPROCESSABLE_ENTITY);
    assert_eq!(pointers(&problem), ["/types/1", "/url", "/secret", "/header"]);
    assert!(!problem.to_string().contains("whsec_short"));
    assert_eq!(world.get("/subscriptions").await["items"], json!([]));
}

#[tokio::test]
async fn a_secret_that_we_made_is_told_once_and_signs() {
    let n8n = MockServer::start().await;
    answers(&n8n, 200, 9).await;
    let world = World::start(&settings(&n8n, "")).await;
    let body = json!({"types": [RAN_LOW], "url": format!("{}/webhook/low", n8n.uri())});
    let (_, made) = world.post("/subscriptions", &body).await;
    let secret = made["secret"].as_str().unwrap();
    world.publish(&ran_low("SKU-1", 4.0)).await;
    assert!(verify(&pushes(&n8n, 1).await[0], secret).is_ok());
    let path = format!("/subscriptions/{}", made["id"].as_str().unwrap());
    assert_eq!(world.get(&path).await["secret"], Value::Null);

    let (status, _) = answer(world.request(Method::DELETE, &path)).await;
    assert_eq!(status, StatusCode::NO_CONTENT);
    world.publish(&ran_low("SKU-2", 4.0)).await;
    world.hears::<StockRanLow>(2).await;
    assert_eq!(answer(world.request(Method::DELETE, &path)).await.0, StatusCode::NOT_FOUND);
    assert_eq!(n8n.received_requests().await.unwrap().len(), 1);
}

#[tokio::test]
async fn a_subscription_of_the_configuration_pushes_and_no_caller_ends_it() {
    let n8n = MockServer::start().await;
    answers(&n8n, 200, 9).await;
    let declared = format!(
        "subscriptions: [{{id: n8n-low-stock, types: [{RAN_LOW}], url: '{}/webhook/low', secret: {SECRET}}}]",
        n8n.uri()
    );
    let world = World::start(&settings(&n8n, &declared)).await;
    world.publish(&ran_low("SKU-1", 4.0)).await;
    assert!(verify(&pushes(&n8n, 1).await[0], SECRET).is_ok());
    let shown = world.get("/subscriptions/n8n-low-stock").await;
    assert_eq!((&shown["origin"], &shown["state"]), (&json!("config"), &json!("active")));
    let (status, problem) = answer(world.request(Method::DELETE, "/subscriptions/n8n-low-stock")).await;
    assert_eq!(status, StatusCode::CONFLICT);
    assert!(problem["detail"].as_str().unwrap().contains("notify.subscriptions"), "{problem}");
}

#[tokio::test]
async fn two_subscribers_that_are_away_do_not_tell_each_other_of_it_for_ever() {
    let n8n = MockServer::start().await;
    Mock::given(path("/webhook/a")).respond_with(ResponseTemplate::new(500)).mount(&n8n).await;
    Mock::given(path("/webhook/b")).respond_with(ResponseTemplate::new(502)).mount(&n8n).await;
    let world = World::start(&settings(&n8n, "")).await;
    let types = json!([RAN_LOW, "steward.effect.dead_lettered.v1", "steward.exception.opened.v1"]);
    for name in ["a", "b"] {
        let body = json!({"types": types, "url": format!("{}/webhook/{name}", n8n.uri())});
        assert_eq!(world.post("/subscriptions", &body).await.0, StatusCode::CREATED);
    }
    world.publish(&ran_low("SKU-1", 4.0)).await;
    // One exception per subscriber is opened and told to both, in vain: 3 pushes to each. Time runs so that circuit
    // breakers close and every repeat is due.
    let quiet = async || {
        world.clock.advance(Duration::from_secs(30));
        let pending = world.get("/dead-letters?limit=500").await["items"].as_array().unwrap().len();
        anyhow::ensure!(pending == 6, "{pending} dead letters");
        Ok(())
    };
    testkit::eventually(Duration::from_secs(30), "every push is given up", quiet).await;
    for _ in 0..40 {
        world.clock.advance(Duration::from_secs(30));
        tokio::time::sleep(Duration::from_millis(25)).await;
    }
    assert_eq!(world.get("/dead-letters?limit=500").await["items"].as_array().unwrap().len(), 6);
    assert_eq!(n8n.received_requests().await.unwrap().len(), 12, "two attempts at each");
    assert_eq!(world.heard::<ExceptionOpened>().len(), 2);
    let counts: Vec<_> = world.exceptions(2).await.iter().map(|one| one["count"].clone()).collect();
    assert_eq!(counts, [json!(3), json!(3)]);
}

/// n8n answers 404 until a workflow is published: it is there, and rests would only make the others wait.
#[tokio::test]
async fn a_receiver_that_answers_not_now_is_not_left_alone_as_if_it_were_away() {
    const SUBJECTS: u64 = 6;
    let n8n = MockServer::start().await;
    answers(&n8n, 404, SUBJECTS).await;
    answers(&n8n, 200, 99).await;
    let world = World::start(&settings(&n8n, "").replace("[0]", "[0, 0, 0, 0, 0, 0]")).await;
    world.post("/subscriptions", &subscription(&n8n)).await;
    for number in 0..SUBJECTS {
        world.publish(&ran_low(&format!("SKU-{number}"), 4.0)).await;
    }
    // The clock stands still, so a rest of ten seconds would never end.
    pushes(&n8n, usize::try_from(2 * SUBJECTS).unwrap()).await;
}
