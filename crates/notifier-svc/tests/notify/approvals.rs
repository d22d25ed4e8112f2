//! People who are asked to decide get their link by mail.

use contracts::{
    Action,
    events::{ApprovalReminded, ApprovalRequested, AskedPerson, MessageSent},
};
use serde_json::json;
use testkit::SmtpSink;

use crate::world::{PATIENCE, World};

fn person(id: &str, email: Option<&str>) -> AskedPerson {
    AskedPerson {
        person: id.parse().unwrap(),
        name: format!("{id} by name"),
        email: email.map(str::to_owned),
        link: format!("https://steward.example/approvals/decide/{id}-token"),
    }
}

fn requested(asked: Vec<AskedPerson>) -> ApprovalRequested {
    let action = Action::Transfer {
        product: "SKU-1".parse().unwrap(),
        from: "dc-1".parse().unwrap(),
        to: "store-1".parse().unwrap(),
        quantity: 12.0,
    };
    ApprovalRequested {
        approval_id: "a-1".into(),
        title: "Move 12 x SKU-1 from dc-1 to store-1".into(),
        action,
        reason: "another region is touched".into(),
        step: 0,
        revision: 0,
        asked,
        decide_by: "2026-11-23T12:00:00Z".parse().unwrap(),
        score: Some(820_000),
    }
}

async fn world(sink: &SmtpSink) -> World {
    let yaml = format!("notify: {{contacts_file: CONTACTS, default_locale: en, smtp: {{url: '{}'}}}}", sink.url());
    World::start(&yaml).await
}

#[tokio::test]
async fn each_asked_person_gets_their_own_link_and_who_cannot_be_reached_is_an_exception() {
    let sink = SmtpSink::start().await.unwrap();
    let world = world(&sink).await;
    // Olga's address is in the contacts, Max' comes with the event, Nemo has none anywhere.
    let asked = vec![person("nemo", None), person("olga", None), person("max", Some("max@example.com"))];
    world.publish(&requested(asked)).await;
    let olga = sink.wait_for(|mail| mail.to == ["olga@example.com"], PATIENCE).await.unwrap();
    let max = sink.wait_for(|mail| mail.to == ["max@example.com"], PATIENCE).await.unwrap();
    assert_eq!(olga.subject, "Bitte entscheiden: Move 12 x SKU-1 from dc-1 to store-1");
    assert_eq!(max.subject, "Please decide: Move 12 x SKU-1 from dc-1 to store-1");
    assert_eq!(olga.link("decide"), Some("https://steward.example/approvals/decide/olga-token"));
    assert_eq!(max.link("decide"), Some("https://steward.example/approvals/decide/max-token"));
    assert!(max.body_text.contains("2026-11-23 12:00 UTC") && max.body_text.contains("another region is touched"));

    let mut told: Vec<_> =
        world.hears::<MessageSent>(2).await.into_iter().map(|sent| (sent.recipient, sent.about)).collect();
    told.sort();
    let about = || Some("approval:a-1".to_owned());
    assert_eq!(told, [("max".to_owned(), about()), ("olga".to_owned(), about())], "whose evidence it belongs in");

    let exception = world.exceptions(1).await.remove(0);
    assert_eq!(exception["class"], "person_unreachable");
    assert!(exception["title"].as_str().unwrap().contains("nemo by name (nemo)"), "{exception}");
    // The same person asked again is the same problem.
    world.publish(&requested(vec![person("nemo", None)])).await;
    testkit::eventually(PATIENCE, "the exception counts up", async || {
        let exceptions = world.exceptions(1).await;
        anyhow::ensure!(exceptions[0]["count"] == 2, "{exceptions:?}");
        Ok(())
    })
    .await;
    assert_eq!(sink.messages().len(), 2);
}

#[tokio::test]
async fn a_reminder_says_whether_it_was_escalated() {
    let sink = SmtpSink::start().await.unwrap();
    let world = world(&sink).await;
    for (name, escalated) in [("max", false), ("eva", true)] {
        let reminded = ApprovalReminded {
            approval_id: "a-1".into(),
            title: "Move 12 x SKU-1".into(),
            step: 0,
            escalated,
            asked: vec![person(name, Some(&format!("{name}@example.com")))],
            decide_by: "2026-11-23T12:00:00Z".parse().unwrap(),
        };
        world.publish(&reminded).await;
    }
    let subject = async |to: &str| sink.wait_for(|mail| mail.to == [to], PATIENCE).await.unwrap().subject;
    assert_eq!(subject("max@example.com").await, "Still waiting for you: Move 12 x SKU-1");
    assert_eq!(subject("eva@example.com").await, "Escalated to you: Move 12 x SKU-1");
    let listed = world.get("/messages").await;
    assert!(!listed.to_string().contains("-token"), "a link is its owner's alone: {listed}");
    assert_eq!(listed["items"][0]["to"], json!({"person": "eva"}));
}
