//! A receiver that took a push and then died: nothing of the case may be lost, and nothing asked twice.

use std::time::Duration;

use chassis::prelude::Timestamp;
use contracts::{
    EventPayload,
    events::{ApprovalDecided, ApprovalReminded, StockRanLow},
};
use reqwest::StatusCode;
use serde_json::{Value, json};
use wiremock::{Mock, MockServer, ResponseTemplate, matchers::any};

use crate::world::{PATIENCE, World};

const CASE: &str = "case-1";

struct Case {
    n8n: MockServer,
    world: World,
    subscription: String,
    event: String,
}

impl Case {
    /// Pushed to a receiver that has ten minutes to say that it is done.
    async fn pushed(store: &str, status: u16) -> Self {
        let n8n = MockServer::start().await;
        Mock::given(any()).respond_with(ResponseTemplate::new(status)).mount(&n8n).await;
        let settings = format!("relay: {{retry_seconds: [0]}}\noutgoing: {{callback_allow: ['{}']}}", n8n.uri());
        let world = World::start_on(store, &settings).await;
        let body = json!({"types": [StockRanLow::TYPE], "url": n8n.uri(), "receipt_within_seconds": 600});
        let (status, made) = world.post("/subscriptions", &body).await;
        assert_eq!((status, &made["receipt_within_seconds"]), (StatusCode::CREATED, &json!(600)), "{made}");
        let mut case = Self { n8n, world, subscription: made["id"].as_str().unwrap().to_owned(), event: String::new() };
        let low = json!({"product": "SKU-1", "location": "store-1", "available": 4.0, "reorder_point": 12.0,
            "observed_at": crate::world::START});
        case.event = case.happens::<StockRanLow>(low).await;
        case
    }

    /// Something is told in the thread of this case.
    async fn happens<E: EventPayload>(&self, payload: Value) -> String {
        let payload: E = serde_json::from_value(payload).unwrap();
        let mut tx = self.world.neighbour().store().begin().await.unwrap();
        tx.correlate(CASE);
        let id = tx.emit(&payload).await.unwrap();
        tx.commit().await.unwrap();
        self.world.hears::<E>(1).await;
        id
    }

    /// Ids of the pushes, once there are `count` and each is written down as delivered.
    async fn until_delivered(&self, count: usize) -> Vec<String> {
        let about = format!("subscription:{}", self.subscription);
        testkit::eventually(PATIENCE, "pushes", async || {
            let told = self.world.verbs(&about).await.iter().filter(|verb| *verb == "event.pushed").count();
            anyhow::ensure!(told >= count, "{told} of {count} are delivered");
            Ok(())
        })
        .await;
        self.ids().await
    }

    async fn ids(&self) -> Vec<String> {
        let requests = self.n8n.received_requests().await.unwrap();
        requests.iter().map(|push| push.headers["webhook-id"].to_str().unwrap().to_owned()).collect()
    }

    /// Lets that much time pass at once, when nothing is under way: a claim would run out with it.
    async fn wait(&self, minutes: u64) {
        self.world.clock.advance(Duration::from_secs(60 * minutes));
        tokio::time::sleep(Duration::from_millis(300)).await;
    }

    /// Lets time pass until there are that many pushes; how many minutes have passed since then.
    async fn silence_until(&self, count: usize, since: Timestamp) -> i64 {
        while self.ids().await.len() < count {
            assert!(self.silence(since) < 600, "not pushed again");
            self.world.clock.advance(Duration::from_secs(4));
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        self.silence(since)
    }

    /// In minutes.
    fn silence(&self, since: Timestamp) -> i64 {
        self.world.clock.now().duration_since(since).as_mins()
    }

    async fn receipt(&self) -> Value {
        let body = json!({"subscription": self.subscription, "event": self.event});
        let (status, receipt) = self.world.post("/receipts", &body).await;
        assert_eq!(status, StatusCode::OK, "{receipt}");
        receipt["awaited"].clone()
    }
}

async fn is_pushed_again_and_then_for_a_person(store: &str) {
    let case = Case::pushed(store, 202).await;
    for count in 1..4 {
        case.until_delivered(count).await;
        let delivered = case.world.clock.now();
        case.wait(9).await;
        assert_eq!(case.ids().await.len(), count, "too early");
        let silence = case.silence_until(count + 1, delivered).await;
        assert!(silence >= 10, "pushed again after {silence} minutes");
    }
    assert_eq!(
        case.until_delivered(4).await,
        vec![case.event.clone(); 4],
        "under one id, by which a receiver knows a repeat"
    );
    case.wait(11).await;
    let exception = case.world.exceptions(1).await.remove(0);
    assert_eq!((&exception["class"], &exception["owner"]), (&json!("case_stalled"), &json!("operator")));
    assert_eq!(exception["about"], "SKU-1@store-1");
    case.wait(60).await;
    assert_eq!(case.ids().await.len(), 4);
    assert_eq!(case.world.exceptions(1).await[0]["count"], 1);
    assert_eq!(case.receipt().await, false, "a late receipt is taken all the same");
}

#[tokio::test]
async fn a_case_of_which_nothing_is_heard_is_pushed_again_and_then_for_a_person() {
    is_pushed_again_and_then_for_a_person("data_dir: FOLDER").await;
}

#[tokio::test]
async fn so_it_is_on_postgresql() {
    testkit::require!(Postgres);
    let server = testkit::Postgres::start().await.unwrap();
    let url = server.create_database("receipts").await.unwrap();
    is_pushed_again_and_then_for_a_person(&format!("url: '{url}'")).await;
}

#[tokio::test]
async fn a_receipt_ends_the_wait() {
    let case = Case::pushed("data_dir: FOLDER", 202).await;
    case.until_delivered(1).await;
    assert_eq!((case.receipt().await, case.receipt().await), (json!(true), json!(false)));
    case.wait(30).await;
    assert_eq!(case.ids().await.len(), 1);
    assert_eq!(case.world.get("/exceptions").await["items"], json!([]));
}

#[tokio::test]
async fn nothing_is_pushed_again_while_people_decide_and_it_is_when_their_word_comes_to_nothing() {
    let case = Case::pushed("data_dir: FOLDER", 202).await;
    case.until_delivered(1).await;
    let asked = json!({"approval_id": "7", "title": "Move 24", "step": 0, "escalated": false, "asked": [],
        "decide_by": "2026-11-23T10:00:00Z"});
    case.happens::<ApprovalReminded>(asked).await;
    case.wait(90).await;
    assert_eq!(case.ids().await.len(), 1, "people have until ten o'clock");
    let action = json!({"type": "transfer", "product": "SKU-1", "from": "store-7", "to": "store-1", "quantity": 24.0});
    let decided = json!({"approval_id": "7", "outcome": "approved", "by": {"type": "people", "people": ["olga"]},
        "action": action, "facts_hash": format!("sha256:{}", "0".repeat(64)), "decided_at": "2026-11-23T09:30:00Z"});
    case.happens::<ApprovalDecided>(decided).await;
    case.silence_until(2, case.world.clock.now()).await;
    assert_eq!(case.until_delivered(2).await.len(), 2);
}

#[tokio::test]
async fn a_push_that_is_not_delivered_yet_is_not_pushed_a_second_time() {
    let case = Case::pushed("data_dir: FOLDER", 503).await;
    assert_eq!(case.world.exceptions(1).await[0]["class"], "effect_failed");
    case.wait(60).await;
    assert_eq!(case.ids().await.len(), 2, "two attempts at one push, which is a dead letter with an owner now");
}

#[tokio::test]
async fn a_receipt_must_say_of_what() {
    let case = Case::pushed("data_dir: FOLDER", 202).await;
    let (status, problem) = case.world.post("/receipts", &json!({"subscription": "", "event": ""})).await;
    assert_eq!(status, StatusCode::UNPROCESSABLE_ENTITY);
    assert_eq!(crate::world::pointers(&problem), ["/subscription", "/event"]);
    let endless = json!({"types": [StockRanLow::TYPE], "url": case.n8n.uri(), "receipt_within_seconds": 0});
    let (_, problem) = case.world.post("/subscriptions", &endless).await;
    assert_eq!(crate::world::pointers(&problem), ["/receipt_within_seconds"]);
}
