//! The one SQL text over the other database.

use contracts::events::{ExceptionOpened, MessageSent};
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use testkit::{Postgres, SmtpSink};

use crate::world::{World, answer};

#[tokio::test]
async fn everything_that_is_kept_is_kept_on_postgresql_too() {
    testkit::require!(Postgres);
    let postgres = Postgres::start().await.unwrap();
    let database = postgres.create_database("notify").await.unwrap();
    let sink = SmtpSink::start().await.unwrap();
    let yaml = format!(
        "outgoing: {{callback_allow: ['http://127.0.0.1:9/webhook']}}\n\
         notify: {{contacts_file: CONTACTS, smtp: {{url: '{}'}}}}",
        sink.url()
    );
    let world = World::start_on(&format!("url: '{database}'"), &yaml).await;

    let message = json!({"template": "purchase-recommended", "to": {"person": "olga"}, "reference": "event-1",
        "data": {"product": "SKU-1", "location": "store-1", "quantity": 6}});
    let (status, sent) = world.post_and_wait("/messages", &message).await;
    assert_eq!((status, &sent["state"]), (StatusCode::OK, &json!("sent")), "{sent}");
    let (_, again) = world.post_and_wait("/messages", &message).await;
    assert_eq!((&again["id"], world.hears::<MessageSent>(1).await.len()), (&sent["id"], 1));
    assert_eq!(world.get("/messages?limit=1").await["items"][0]["id"], sent["id"]);

    let report = json!({"class": "workflow_failed", "severity": 2, "title": "it failed"});
    let (_, opened) = world.post("/exceptions", &report).await;
    let (status, repeated) = world.post("/exceptions", &report).await;
    assert_eq!((status, &repeated["id"], &repeated["count"]), (StatusCode::OK, &opened["id"], &json!(2)));
    let path = format!("/exceptions/{}", opened["id"].as_str().unwrap());
    assert_eq!(world.get(&path).await["occurrences"].as_array().unwrap().len(), 2);
    assert_eq!(world.get("/exceptions?state=open&owner=operator").await["items"].as_array().unwrap().len(), 1);
    let (status, _) = world.post(&format!("{path}/resolution"), &json!({"resolution": "mended"})).await;
    assert_eq!((status, world.hears::<ExceptionOpened>(1).await.len()), (StatusCode::OK, 1));

    let subscription = json!({"types": ["steward.stock.ran_low.v1"], "url": "http://127.0.0.1:9/webhook/low"});
    let (status, made) = world.post("/subscriptions", &subscription).await;
    assert_eq!(status, StatusCode::CREATED, "{made}");
    let path = format!("/subscriptions/{}", made["id"].as_str().unwrap());
    assert_eq!(world.post(&format!("{path}/activation"), &Value::Null).await.0, StatusCode::OK);
    assert_eq!(world.get("/subscriptions").await["items"][0]["id"], made["id"]);
    assert_eq!(answer(world.request(Method::DELETE, &path)).await.0, StatusCode::NO_CONTENT);
}
