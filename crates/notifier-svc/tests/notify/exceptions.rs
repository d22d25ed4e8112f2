//! What needs a person: once per thing, with an owner, until somebody resolves it.

use contracts::events::{DeadLettered, ExceptionOpened, ExceptionResolved};
use reqwest::StatusCode;
use serde_json::{Value, json};

use crate::world::{PATIENCE, World, pointers};

fn failed(severity: u8, execution: &str) -> Value {
    json!({"class": "workflow_failed", "severity": severity, "title": "low-stock-triage failed",
        "about": "workflow:low-stock-triage", "details": {"execution": execution}})
}

#[tokio::test]
async fn a_repeat_counts_up_while_it_is_open_and_opens_anew_when_it_was_resolved() {
    let world = World::start("").await;
    let (status, opened) = world.post("/exceptions", &failed(2, "1")).await;
    assert_eq!((status, &opened["owner"], &opened["count"]), (StatusCode::CREATED, &json!("operator"), &json!(1)));
    world.clock.advance(std::time::Duration::from_secs(60));
    let (status, again) = world.post("/exceptions", &failed(4, "2")).await;
    assert_eq!((status, &again["id"], &again["count"]), (StatusCode::OK, &opened["id"], &json!(2)));
    assert_eq!((&again["severity"], &again["last_seen_at"]), (&json!(4), &json!("2026-11-23T08:01:00Z")));
    let id = opened["id"].as_str().unwrap();
    let seen = world.get(&format!("/exceptions/{id}")).await;
    assert_eq!(
        (&seen["occurrences"][0]["details"], &seen["occurrences"][1]["details"]),
        (&json!({"execution": "2"}), &json!({"execution": "1"}))
    );

    let resolution = json!({"resolution": "credential renewed"});
    let (status, resolved) = world.post(&format!("/exceptions/{id}/resolution"), &resolution).await;
    assert_eq!(
        (status, &resolved["state"], &resolved["resolved_by"]),
        (StatusCode::OK, &json!("resolved"), &json!("key:n8n"))
    );
    let (status, problem) = world.post(&format!("/exceptions/{id}/resolution"), &resolution).await;
    assert_eq!(status, StatusCode::CONFLICT);
    assert!(problem["detail"].as_str().unwrap().contains("key:n8n resolved it: credential renewed"), "{problem}");
    let (status, _) = world.post("/exceptions/none/resolution", &resolution).await;
    assert_eq!(status, StatusCode::NOT_FOUND);

    let (status, anew) = world.post("/exceptions", &failed(2, "3")).await;
    assert_eq!(status, StatusCode::CREATED);
    assert_ne!(anew["id"], opened["id"]);
    assert_eq!(world.get("/exceptions?state=open").await["items"].as_array().unwrap().len(), 1);
    assert_eq!(world.get("/exceptions?owner=finance").await["items"], json!([]));
    let events = world.hears::<ExceptionOpened>(2).await;
    assert_eq!(events.iter().map(|event| event.severity).collect::<Vec<_>>(), [2, 2]);
    assert_eq!(world.hears::<ExceptionResolved>(1).await[0].resolution, "credential renewed");
    let verbs = world.verbs(&format!("exception:{id}")).await;
    assert_eq!(verbs, ["exception.opened", "exception.repeated", "exception.resolved"]);
}

#[tokio::test]
async fn a_bad_report_is_refused_with_every_bad_field() {
    let world = World::start("").await;
    let big = "x".repeat(17 * 1024);
    let bad = json!({"class": "Workflow Failed", "severity": 5, "title": " ", "details": {"stack": big}});
    let (status, problem) = world.post("/exceptions", &bad).await;
    assert_eq!(status, StatusCode::UNPROCESSABLE_ENTITY);
    assert_eq!(pointers(&problem), ["/class", "/severity", "/details", "/title"]);
    assert_eq!(world.get("/exceptions").await["items"], json!([]));
}

#[tokio::test]
async fn a_dead_letter_anywhere_becomes_one_exception_per_cause() {
    let world = World::start("").await;
    for (row, cause) in [("1", "Odoo answered 503"), ("2", "Odoo answered 503"), ("3", "facts drifted")] {
        let dead = DeadLettered {
            row_id: row.into(),
            service: "supply".into(),
            destination: "odoo.transfer".into(),
            about: format!("transfer:{row}"),
            cause: cause.into(),
            attempts: 7,
            first_failed_at: crate::world::START.parse().unwrap(),
        };
        world.publish(&dead).await;
    }
    testkit::eventually(PATIENCE, "two exceptions, one of them counted twice", async || {
        let listed = world.get("/exceptions").await;
        let counts: Vec<_> = listed["items"].as_array().unwrap().iter().map(|one| one["count"].clone()).collect();
        anyhow::ensure!(counts == [json!(1), json!(2)], "{listed}");
        Ok(())
    })
    .await;
    let twice = &world.get("/exceptions").await["items"][1];
    let shown = world.get(&format!("/exceptions/{}", twice["id"].as_str().unwrap())).await;
    assert_eq!(shown["occurrences"][0]["details"]["dead_letter"], "/supply/v1/dead-letters/2");
    assert_eq!(shown["occurrences"][1]["about"], "transfer:1");
}
