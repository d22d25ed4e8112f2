//! Telling people: texts, recipients, and states that are true.

use std::sync::{Arc, Mutex};

use contracts::events::{DeadLettered, MessageFailed, MessageSent};
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use testkit::SmtpSink;
use tokio::{
    io::{AsyncBufReadExt, AsyncWriteExt, BufReader},
    net::TcpListener,
};

use crate::world::{PATIENCE, World, answer, pointers};

fn settings(smtp: &str) -> String {
    format!(
        "relay: {{retry_seconds: [0]}}\n\
         notify: {{contacts_file: CONTACTS, smtp: {{url: '{smtp}', from: 'Steward <steward@shop.example>'}}}}"
    )
}

fn drafted(to: Value) -> Value {
    json!({"template": "transfer-drafted", "to": to, "data": {"product": "SKU-1", "from": "dc-1", "to": "store-1",
        "quantity": 12.0, "odoo_name": "WH/INT/7", "projected_available": 14.5}})
}

/// A mail server that answers `RCPT TO` with these replies in turn, and then with 250. Remembers the Message-IDs.
async fn moody_server(replies: &'static [&'static str]) -> (String, Arc<Mutex<Vec<String>>>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("smtp://{}", listener.local_addr().unwrap());
    let taken: Arc<Mutex<Vec<String>>> = Arc::default();
    let (kept, mut replies) = (Arc::clone(&taken), replies.iter().copied());
    tokio::spawn(async move {
        while let Ok((mut connection, _)) = listener.accept().await {
            let (input, mut output) = connection.split();
            let mut lines = BufReader::new(input).lines();
            output.write_all(b"220 moody\r\n").await.unwrap();
            let mut in_data = false;
            while let Ok(Some(line)) = lines.next_line().await {
                if in_data {
                    kept.lock().unwrap().extend(line.strip_prefix("Message-ID: ").map(str::to_owned));
                    in_data = line != ".";
                    if in_data {
                        continue;
                    }
                }
                in_data = line == "DATA";
                let reply = match line.split([' ', ':']).next().unwrap() {
                    "RCPT" => replies.next().unwrap_or("250 fine"),
                    "DATA" => "354 go on",
                    _ => "250 fine",
                };
                if output.write_all(format!("{reply}\r\n").as_bytes()).await.is_err() || line == "QUIT" {
                    break;
                }
            }
        }
    });
    (url, taken)
}

#[tokio::test]
async fn each_of_an_audience_gets_one_mail_in_their_language() {
    let sink = SmtpSink::start().await.unwrap();
    let world = World::start(&settings(&sink.url())).await;
    let (status, message) =
        world.post_and_wait("/messages", &drafted(json!({"role": "warehouse", "location": "dc-1"}))).await;
    assert_eq!(status, StatusCode::OK, "{message}");
    assert_eq!((&message["state"], &message["channel"]), (&json!("sent"), &json!("email")));
    assert!(!message.to_string().contains('@'), "addresses stay with the service: {message}");

    let mails = sink.messages();
    let of = |to: &str| mails.iter().find(|mail| mail.to == [to]).unwrap();
    assert_eq!(mails.len(), 2);
    assert_eq!(of("dc@example.com").subject, "Umlagerung WH/INT/7: 12 x SKU-1 nach store-1");
    assert_eq!(of("night@example.com").subject, "Transfer WH/INT/7: 12 x SKU-1 to store-1");
    let operation = message["recipients"][0]["operation"].as_str().unwrap();
    assert_eq!(of("dc@example.com").message_id, format!("{operation}@shop.example"));
    assert!(String::from_utf8_lossy(&of("dc@example.com").raw).contains("Auto-Submitted: auto-generated"));

    let mut told: Vec<_> = world.hears::<MessageSent>(2).await.into_iter().map(|sent| sent.recipient).collect();
    told.sort();
    assert_eq!(told, ["dc-desk", "night-desk"]);
    let id = message["id"].as_str().unwrap();
    assert_eq!(world.verbs(&format!("message:{id}")).await, ["message.accepted", "message.sent", "message.sent"]);
    assert_eq!(world.get(&format!("/messages/{id}")).await["state"], "sent");
}

#[tokio::test]
async fn what_cannot_be_written_or_reaches_nobody_is_refused_and_nothing_is_sent() {
    let sink = SmtpSink::start().await.unwrap();
    let world = World::start(&settings(&sink.url())).await;
    let mut holes = drafted(json!({"person": "olga"}));
    holes["data"].as_object_mut().unwrap().retain(|name, _| name != "quantity" && name != "to");
    let (status, problem) = world.post("/messages", &holes).await;
    assert_eq!((status, pointers(&problem)), (StatusCode::UNPROCESSABLE_ENTITY, vec!["/data/quantity", "/data/to"]));

    for (body, pointer) in [
        (drafted(json!({"supplier": "supplier-other"})), "/to"),
        (drafted(json!({"person": "olga", "supplier": "supplier-acme"})), "/to"),
        (json!({"template": "approval-requested", "to": {"person": "olga"}, "data": {}}), "/template"),
        (json!({"template": "transfer-drafted", "to": {"person": "olga"}, "date": {}}), "/date"),
    ] {
        let (status, problem) = world.post("/messages", &body).await;
        assert_eq!((status, pointers(&problem)), (StatusCode::UNPROCESSABLE_ENTITY, vec![pointer]), "{body}");
    }
    assert_eq!(world.get("/messages").await["items"], json!([]));
    assert!(sink.messages().is_empty());
}

#[tokio::test]
async fn the_same_key_and_the_same_reference_are_told_once() {
    let sink = SmtpSink::start().await.unwrap();
    let world = World::start(&settings(&sink.url())).await;
    let mut body = drafted(json!({"person": "olga"}));
    body["reference"] = json!("event-1");
    let keyed = || world.request(Method::POST, "/messages").header("idempotency-key", "event-1:warehouse").json(&body);
    let (first, again) = (answer(keyed()).await, answer(keyed()).await);
    assert_eq!((first.0, &first.1), (StatusCode::ACCEPTED, &again.1));
    // Another execution with a key of its own, months later: the business's own name still holds.
    let (_, later) = world.post_and_wait("/messages", &body).await;
    assert_eq!(later["id"], first.1["id"]);
    let mut other = drafted(json!({"supplier": "supplier-acme"}));
    other["reference"] = json!("event-1");
    let (_, other) = world.post_and_wait("/messages", &other).await;
    assert_ne!(other["id"], first.1["id"], "another audience is another message");
    assert_eq!(sink.messages().len(), 2);
    let listed = world.get("/messages?limit=1").await;
    assert_eq!(listed["items"][0]["id"], other["id"]);
    let next = world.get(&format!("/messages?limit=1&cursor={}", listed["next_cursor"].as_str().unwrap())).await;
    assert_eq!((&next["items"][0]["id"], &next["next_cursor"]), (&first.1["id"], &Value::Null));
}

#[tokio::test]
async fn a_mail_that_is_put_off_is_repeated_as_the_same_mail() {
    let (url, taken) = moody_server(&["451 come back later"]).await;
    let world = World::start(&settings(&url)).await;
    let (status, message) = world.post_and_wait("/messages", &drafted(json!({"person": "olga"}))).await;
    assert_eq!((status, &message["state"]), (StatusCode::OK, &json!("sent")));
    let operation = message["recipients"][0]["operation"].as_str().unwrap();
    assert_eq!(*taken.lock().unwrap(), [format!("<{operation}@shop.example>")]);
    let operation = world.get(&format!("/operations/{operation}")).await;
    assert_eq!((&operation["state"], &operation["attempts"]), (&json!("done"), &json!(2)));
    assert!(world.heard::<MessageFailed>().is_empty());
}

#[tokio::test]
async fn a_refused_mail_is_a_failed_message_and_an_exception_until_its_replay_sends_it() {
    let (url, taken) = moody_server(&["550 <olga@example.com>: no such mailbox"]).await;
    let world = World::start(&settings(&url)).await;
    let (_, message) = world.post_and_wait("/messages", &drafted(json!({"person": "olga"}))).await;
    let recipient = &message["recipients"][0];
    assert_eq!((&message["state"], &recipient["state"]), (&json!("failed"), &json!("failed")));
    assert!(recipient["cause"].as_str().unwrap().contains("no such mailbox"), "{message}");
    assert!(taken.lock().unwrap().is_empty());
    let failed = world.hears::<MessageFailed>(1).await.remove(0);
    assert_eq!((&*failed.recipient, &failed.about), ("olga", &None));
    assert!(failed.reason.contains("<(the address)>: no such mailbox"), "the address stays here: {}", failed.reason);
    let exception = world.exceptions(1).await.remove(0);
    assert_eq!((&exception["class"], &exception["owner"]), (&json!("effect_failed"), &json!("operator")));

    let operation = recipient["operation"].as_str().unwrap();
    let (status, _) =
        world.post(&format!("/dead-letters/{operation}/replay"), &json!({"reason": "mailbox is back"})).await;
    assert_eq!(status, StatusCode::ACCEPTED);
    world.hears::<MessageSent>(1).await;
    let id = message["id"].as_str().unwrap();
    let message = world.get(&format!("/messages/{id}")).await;
    assert_eq!((&message["state"], &message["recipients"][0]["cause"]), (&json!("sent"), &Value::Null));
}

#[tokio::test]
async fn without_a_mail_server_messages_fail_with_that_cause_and_one_exception_says_so() {
    let world = World::start("notify: {contacts_file: CONTACTS}").await;
    for _ in 0..3 {
        let (_, message) = world.post_and_wait("/messages", &drafted(json!({"person": "olga"}))).await;
        let cause = message["recipients"][0]["cause"].as_str().unwrap();
        assert!(message["state"] == "failed" && cause.starts_with("no SMTP configured"), "{message}");
    }
    world.hears::<DeadLettered>(3).await;
    testkit::eventually(PATIENCE, "one exception counts all three", async || {
        let exceptions = world.exceptions(1).await;
        anyhow::ensure!(exceptions[0]["count"] == 3, "{exceptions:?}");
        Ok(())
    })
    .await;
}

#[tokio::test]
async fn a_laptop_s_mails_become_files() {
    let folder = tempfile::tempdir().unwrap();
    let mails = folder.path().join("mails");
    let world = World::start(&settings(&format!("file://{}", mails.display()))).await;
    let (_, message) = world.post_and_wait("/messages", &drafted(json!({"supplier": "supplier-acme"}))).await;
    assert_eq!(message["state"], "sent");
    let operation = message["recipients"][0]["operation"].as_str().unwrap();
    let names: Vec<_> = std::fs::read_dir(&mails).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(names, [format!("{operation}.eml").as_str()]);
    let mail = std::fs::read_to_string(mails.join(format!("{operation}.eml"))).unwrap();
    assert!(mail.contains("To: \"Acme orders\" <orders@acme.example>"), "{mail}");
    assert!(mail.contains("Date: Mon, 23 Nov 2026 08:00:00"), "{mail}");
}

#[test]
fn every_mistake_in_the_section_is_reported_at_once_and_no_password_with_it() {
    let yaml = "notify: {smtp: {url: 'ftp://u:hunter2@x', from: nobody}, \
        subscriptions: [{id: a b, types: [steward.no.such.v1], url: 'ftp://x', secret: whsec_short}]}";
    let settings = chassis::Settings::from_yaml(yaml).unwrap();
    let error = notifier_svc::service(&settings).err().unwrap().to_string();
    for part in ["notify.smtp.url", "notify.smtp.from", "id must be", "steward.no.such.v1", "http(s) URL", "whsec_"] {
        assert!(error.contains(part), "{part} in {error}");
    }
    assert!(!error.contains("hunter2") && !error.contains("whsec_short"), "{error}");
    let settings = chassis::Settings::from_yaml("notify: {smpt: {}}").unwrap();
    assert!(notifier_svc::service(&settings).err().unwrap().to_string().contains("notify.smpt"));
}
