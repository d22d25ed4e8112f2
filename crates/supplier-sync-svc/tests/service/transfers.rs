//! Transfers: drafted once, with a grant that stands.

use std::time::Duration;

use crate::bed::{Bed, Setting, transfer};
use contracts::PersonId;
use futures_util::future::join_all;
use governance::{Actor, Requester, grant::StandIn, policy::RequesterExecutes};
use odoo::replay::Failure;
use reqwest::StatusCode;
use serde_json::{Value, json};

fn slug(problem: &Value) -> &str {
    problem["type"].as_str().unwrap_or_default().rsplit('/').next().unwrap_or_default()
}

#[actix_web::test]
async fn a_granted_transfer_is_drafted_and_read_back() {
    let bed = Bed::start().await;
    let incoming =
        r#"{"kind":"incoming","product":"OAT-1","location":"S1","order":"P1","due":"2026-11-25","quantity":6}"#;
    bed.observe(incoming).await;
    let grant = bed.grant(|_| {}).await;
    let (status, operation) = bed.transfer("key-1", 24.0, Some(&grant), Some(10)).await;
    assert_eq!(status, 200, "{operation}");
    assert_eq!(operation["state"], "done");
    let result = &operation["result"];
    assert_eq!((&result["odoo_state"], &result["quantity"]), (&json!("draft"), &json!(24.0)));
    assert_eq!(result["projected_available"], 20.0 + 6.0 + 24.0);
    let pickings = bed.odoo.pickings();
    assert_eq!(pickings.len(), 1);
    let id = operation["id"].as_str().unwrap();
    assert_eq!(pickings[0]["origin"], format!("steward:{id}"));
    let told = bed.events("steward.transfer.drafted.v1", "%").await;
    assert_eq!((told.len(), &told[0]["odoo_id"]), (1, &result["odoo_id"]));
    assert_eq!(bed.events("steward.grant.consumed.v1", "%").await[0]["operation_id"], id);
    let (status, shown) = bed.get(&format!("/operations/{id}")).await;
    assert_eq!((status, &shown["result"]), (StatusCode::OK, result));
    let verbs = "SELECT COUNT(*) FROM audit WHERE subject = 'operation:' || '";
    assert_eq!(bed.number(format!("{verbs}{id}'")).await, 2, "consumed and drafted");
}

#[actix_web::test]
async fn who_approved_or_asked_does_not_carry_it_out_and_nothing_is_used_up() {
    let bed = Bed::with(Setting { people: vec!["olga", "mia", "otto", "dora"], ..Setting::default() }).await;
    let person = |id: &str| PersonId::new(id).unwrap();
    let n8n = || Requester { by: Actor::Service { key: "n8n".into() }, on_behalf_of: Some(person("mia")) };
    let token = |id: &str, requester_executes| {
        let id = id.to_owned();
        bed.grant(move |grant| {
            (grant.grant_id, grant.requester_executes) = (id, requester_executes);
            (grant.decided_by, grant.requested_by) = (vec![person("olga")], Some(n8n()));
            let dora = StandIn { person: person("dora"), acts_for: person("mia"), delegation: "lent-1".into() };
            grant.stand_ins = vec![dora];
        })
    };
    let strict = token("strict", RequesterExecutes::Refused).await;
    let people = token("people", RequesterExecutes::ProgramsOnly).await;
    let open = token("open", RequesterExecutes::Allowed).await;
    let own = [
        ("olga", &open, "grant-own-approval"),
        ("olga", &strict, "grant-own-approval"),
        // A program only said that it asks for her; that tightens all the same.
        ("mia", &people, "grant-own-request"),
        ("mia", &strict, "grant-own-request"),
        ("n8n", &strict, "grant-own-request"),
        ("dora", &people, "grant-own-request"),
        ("dora", &strict, "grant-own-request"),
    ];
    for (number, (caller, grant, refusal)) in own.into_iter().enumerate() {
        let body = json!({"action": transfer(24.0), "grant": grant});
        let (status, problem) = bed.post_as(caller, "/transfers", &format!("own-{number}"), &body).await;
        assert_eq!((status, slug(&problem)), (StatusCode::FORBIDDEN, refusal), "{caller}: {problem}");
        let named =
            problem["detail"].as_str().unwrap().contains("dora acts for mia, who asked for this (delegation lent-1)");
        assert_eq!(named, caller == "dora", "{problem}");
    }
    assert_eq!((bed.count("grants_used").await, bed.odoo.pickings().len()), (0, 0));
    for (caller, grant) in [("otto", &strict), ("n8n", &people), ("mia", &open)] {
        let body = json!({"action": transfer(24.0), "grant": grant});
        let (status, accepted) = bed.post_as(caller, "/transfers", &format!("key-{caller}"), &body).await;
        assert_eq!(status, StatusCode::ACCEPTED, "{caller}: {accepted}");
    }
    assert_eq!(bed.count("grants_used").await, 3);
}

#[actix_web::test]
async fn the_same_key_shows_the_same_operation_and_another_key_is_refused() {
    let bed = Bed::start().await;
    let grant = bed.grant(|_| {}).await;
    let (_, first) = bed.transfer("key-1", 24.0, Some(&grant), Some(10)).await;
    let (status, again) = bed.transfer("key-1", 24.0, Some(&grant), None).await;
    assert_eq!((status, &again["id"]), (StatusCode::OK, &first["id"]));
    let (status, problem) = bed.transfer("key-2", 24.0, Some(&grant), None).await;
    assert_eq!((status, slug(&problem)), (StatusCode::CONFLICT, "grant-used"));
    assert!(problem["detail"].as_str().unwrap().contains(first["id"].as_str().unwrap()), "{problem}");
    assert_eq!(bed.transfer("key-1", 12.0, Some(&grant), None).await.0, 422, "the key belongs to another request");
    // Far beyond the grant's expiry the answer is still the answer.
    bed.clock.advance(Duration::from_secs(2 * 24 * 3600));
    assert_eq!(bed.transfer("key-1", 24.0, Some(&grant), None).await.1["id"], first["id"]);
    assert_eq!(bed.odoo.pickings().len(), 1);
}

#[actix_web::test]
async fn a_grant_that_does_not_stand_is_refused_by_name_and_leaves_nothing() {
    let bed = Bed::start().await;
    let good = bed.grant(|_| {}).await;
    let foreign = bed.grant(|grant| grant.audience = "somebody-else".into()).await;
    let expired = bed.grant(|grant| grant.expires_at = grant.issued_at).await;
    let mut forged = good.clone();
    let last = if forged.pop() == Some('A') { 'Q' } else { 'A' };
    forged.push(last);
    // The last digit of 64 bytes in base64 carries two bits; change one that surely counts as well.
    let forged = forged.replacen(&good[good.len() - 20..good.len() - 18], "zz", 1);
    let cases = [
        (None, 24.0, "grant-missing"),
        (Some("not a token"), 24.0, "grant-malformed"),
        (Some(foreign.as_str()), 24.0, "grant-foreign"),
        (Some(expired.as_str()), 24.0, "grant-expired"),
        (Some(forged.as_str()), 24.0, "grant-bad-signature"),
        (Some(good.as_str()), 25.0, "grant-other-action"),
    ];
    for (index, (grant, quantity, expected)) in cases.into_iter().enumerate() {
        let (status, problem) = bed.transfer(&format!("key-{index}"), quantity, grant, None).await;
        assert_eq!((status, slug(&problem)), (StatusCode::FORBIDDEN, expected), "{problem}");
    }
    assert_eq!(bed.count("grants_used").await, 0);
    assert_eq!(bed.number("SELECT COUNT(*) FROM outbox WHERE destination = 'odoo.transfer'".into()).await, 0);
    let (status, _) = bed.transfer("key-0", 24.0, Some(&good), None).await;
    assert_eq!(status, 202, "a refused key is free for the corrected request");
}

#[actix_web::test]
async fn an_unknown_key_asks_for_fresh_keys_and_for_another_try() {
    let bed = Bed::start().await;
    let mut reader = bed.cx().store().begin().await.unwrap();
    sqlx::query("DELETE FROM grant_keys").execute(reader.conn()).await.unwrap();
    reader.commit().await.unwrap();
    let grant = bed.grant(|_| {}).await;
    let (status, problem) = bed.transfer("key-1", 24.0, Some(&grant), None).await;
    assert_eq!((status.as_u16(), slug(&problem)), (503, "grant-unknown-key"));
    for _ in 0..12 {
        bed.clock.advance(Duration::from_secs(1));
        tokio::time::sleep(Duration::from_millis(30)).await;
    }
    let (status, operation) = bed.transfer("key-1", 24.0, Some(&grant), Some(10)).await;
    assert_eq!((status.as_u16(), &operation["state"]), (200, &json!("done")), "{operation}");
}

#[actix_web::test]
async fn facts_that_moved_too_far_refuse_the_grant_and_are_named() {
    let bed = Bed::start().await;
    let grant = bed.grant(|_| {}).await;
    let seen = r#"{"kind":"stock","product":"OAT-1","location":"S2","on_hand":60,"observed_at":"2026-11-24T07:00:00Z","system":"pos"}"#;
    bed.observe(seen).await;
    let (status, problem) = bed.transfer("key-1", 24.0, Some(&grant), None).await;
    assert_eq!((status.as_u16(), slug(&problem)), (409, "facts-drifted"));
    assert_eq!(problem["errors"].as_array().unwrap().len(), 1, "{problem}");
    assert_eq!(problem["errors"][0]["pointer"], "/donors/[location=S2]/stock/on_hand");
    assert!(problem["errors"][0]["detail"].as_str().unwrap().starts_with("approved 80, current 60"), "{problem}");
    assert_eq!(bed.count("grants_used").await, 0, "a refused grant is not used up");
}

#[actix_web::test]
async fn what_odoo_does_not_know_is_named() {
    let bed = Bed::start().await;
    let action = json!({"type": "transfer", "product": "SKU-9", "from": "S2", "to": "S9", "quantity": 1.0});
    let grant = bed.grant(|grant| {
        grant.action = serde_json::from_value(action.clone()).unwrap();
        grant.bounds.clear();
    });
    let body = json!({"action": action, "grant": grant.await});
    let (status, problem) = bed.post_keyed("/transfers", "key-1", &body).await;
    assert_eq!(status, 422);
    let pointers: Vec<_> = problem["errors"].as_array().unwrap().iter().map(|error| error["pointer"].clone()).collect();
    assert_eq!(pointers, ["/action/product", "/action/to"]);
}

#[actix_web::test]
async fn an_odoo_that_fails_twice_ends_with_one_picking() {
    let bed = Bed::start().await;
    let grant = bed.grant(|_| {}).await;
    bed.odoo.fail_next(1, Failure::Unavailable);
    let (status, operation) = bed.transfer("key-1", 24.0, Some(&grant), None).await;
    assert_eq!(status, 202, "{operation}");
    let id = operation["id"].as_str().unwrap().to_owned();
    let attempts = format!("SELECT attempts FROM outbox WHERE id = '{id}' AND last_failed_at IS NOT NULL");
    bed.until("it failed once", async |bed| bed.number(format!("SELECT COUNT(*) FROM ({attempts})")).await == 1).await;
    bed.odoo.fail_next(1, Failure::Unavailable);
    let done = format!("SELECT COUNT(*) FROM outbox WHERE id = '{id}' AND state = 'done' AND attempts >= 3");
    bed.until("the third attempt works", async |bed| bed.number(done.clone()).await == 1).await;
    assert_eq!(bed.odoo.pickings().len(), 1);
}

/// As after a crash between Odoo's answer and our commit.
async fn send_again(bed: &Bed, id: &str) {
    let mut tx = bed.cx().store().begin().await.unwrap();
    sqlx::query("UPDATE outbox SET state = 'pending', attempts = 0, claim = NULL, claimed_until = NULL WHERE id = $1")
        .bind(id)
        .execute(tx.conn())
        .await
        .unwrap();
    tx.commit().await.unwrap();
}

async fn do_again(bed: &Bed, id: &str) {
    send_again(bed, id).await;
    let done = format!("SELECT COUNT(*) FROM outbox WHERE id = '{id}' AND state = 'done'");
    bed.until("it is done again", async |bed| bed.number(done.clone()).await == 1).await;
}

#[actix_web::test]
async fn the_note_stands_once_in_the_history_of_the_transfer() {
    let bed = Bed::start().await;
    let grant = bed.grant(|_| {}).await;
    let body = json!({"action": transfer(24.0), "grant": grant, "note": "for the <weekend>"});
    let (status, operation) = bed.post_keyed("/transfers", "key-1", &body).await;
    assert_eq!(status, 202, "{operation}");
    let id = operation["id"].as_str().unwrap();
    let done = format!("SELECT COUNT(*) FROM outbox WHERE id = '{id}' AND state = 'done'");
    bed.until("it is drafted", async |bed| bed.number(done.clone()).await == 1).await;
    let (status, again) = bed.post_keyed("/transfers", "key-1", &body).await;
    assert_eq!((status.as_u16(), &again["id"]), (200, &operation["id"]));
    do_again(&bed, id).await;
    let client = odoo::Client::connect(bed.odoo.config()).await.unwrap();
    let messages =
        client.search_read("mail.message", &odoo::Domain::all(), &["model", "res_id", "body"], "id", 0).await;
    let messages = messages.unwrap();
    assert_eq!(messages.len(), 1, "{messages:?}");
    assert_eq!(
        (&messages[0]["model"], &messages[0]["res_id"]),
        (&json!("stock.picking"), &bed.odoo.pickings()[0]["id"])
    );
    assert_eq!(messages[0]["body"], format!("<p>for the &lt;weekend&gt; (Steward operation {id})</p>"));
}

#[actix_web::test]
async fn an_answer_that_got_lost_is_looked_for_and_not_drafted_over() {
    let bed = Bed::start().await;
    let grant = bed.grant(|_| {}).await;
    let (status, operation) = bed.transfer("key-1", 24.0, Some(&grant), Some(10)).await;
    assert_eq!(status, 200, "{operation}");
    let id = operation["id"].as_str().unwrap();
    let picking = bed.odoo.pickings()[0]["id"].as_i64().unwrap();
    let line = bed.odoo.pickings()[0]["moves"][0]["id"].as_i64().unwrap();
    let edited = json!({"product_uom_qty": 20.0}).as_object().unwrap().clone();
    bed.odoo.person_writes("stock.move", line, edited).unwrap();
    do_again(&bed, id).await;
    let (_, shown) = bed.get(&format!("/operations/{id}")).await;
    assert_eq!((&shown["result"]["odoo_id"], &shown["result"]["quantity"]), (&json!(picking), &json!(20.0)));
    assert_eq!(bed.odoo.pickings().len(), 1);
}

/// Nothing is on its way, so nobody may be told that something is.
#[actix_web::test]
async fn a_draft_that_a_person_cancelled_is_no_success() {
    let bed = Bed::start().await;
    let grant = bed.grant(|_| {}).await;
    let (status, operation) = bed.transfer("key-1", 24.0, Some(&grant), Some(10)).await;
    assert_eq!(status, 200, "{operation}");
    let id = operation["id"].as_str().unwrap();
    let picking = bed.odoo.pickings()[0]["id"].as_i64().unwrap();
    let cancelled = json!({"state": "cancel"}).as_object().unwrap().clone();
    bed.odoo.person_writes("stock.picking", picking, cancelled).unwrap();
    send_again(&bed, id).await;
    let dead = format!("SELECT COUNT(*) FROM outbox WHERE id = '{id}' AND state = 'dead'");
    bed.until("it is given up", async |bed| bed.number(dead.clone()).await == 1).await;
    let (_, shown) = bed.get(&format!("/operations/{id}")).await;
    assert!(shown["cause"].as_str().unwrap().contains("cancelled"), "{shown}");
    assert_eq!(bed.odoo.pickings().len(), 1, "nor is it drafted behind that person's back");
}

#[actix_web::test]
async fn three_identical_requests_at_once_are_one_picking() {
    let bed = Bed::start().await;
    let grant = bed.grant(|_| {}).await;
    let same = join_all((0..3).map(|_| bed.transfer("key-1", 24.0, Some(&grant), Some(10)))).await;
    let ids: Vec<_> = same.iter().filter(|(status, _)| *status == 200).map(|(_, body)| body["id"].clone()).collect();
    assert!(!ids.is_empty() && ids.iter().all(|id| *id == ids[0]), "{same:?}");
    assert!(same.iter().all(|(status, _)| *status == 200 || *status == 409), "{same:?}");
    let other = join_all((0..3).map(|n| {
        let (bed, grant) = (&bed, &grant);
        async move { bed.transfer(&format!("other-{n}"), 24.0, Some(grant), None).await.0 }
    }));
    assert!(other.await.into_iter().all(|status| status == 409));
    assert_eq!(bed.odoo.pickings().len(), 1);
}
