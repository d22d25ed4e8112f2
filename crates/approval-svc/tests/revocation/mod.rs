//! A grant can be taken back as long as nobody has used it.

use contracts::{
    EventPayload,
    events::{GrantConsumed, GrantLapsed, GrantRevoked},
};
use governance::evidence::{Bundle, verify};
use serde_json::json;
use testkit::{borrow_database, require};

use crate::bed::{Bed, Wish, cross_region, routine};

async fn a_grant_is_taken_back_once(bed: &Bed) {
    let id = bed.ask_id(&cross_region()).await;
    let path = format!("/v1/approvals/{id}/revocation");
    let why = json!({"reason": "the store has closed"});
    assert_eq!(bed.post("olga", &path, None, &why).await.problem(), "no-grant");
    assert_eq!(bed.decide("olga", &id, json!({"decision": "approve"})).await.status, 200);
    assert!(bed.get("n8n", &format!("/v1/approvals/{id}")).await.body["grant"].is_string());
    let revoked = bed.post("sven", &path, None, &why).await;
    assert_eq!((revoked.status, revoked.body["revoked_by"].as_str()), (200, Some("person:sven")));
    assert_eq!(bed.post("olga", &path, None, &json!({"reason": "again"})).await.body, revoked.body, "twice is once");
    let events = bed.events().await;
    let told: Vec<_> = events.iter().filter(|(kind, _)| kind == GrantRevoked::TYPE).collect();
    assert_eq!((told.len(), &told[0].1["grant_id"]), (1, &revoked.body["grant_id"]));
    assert!(bed.get("n8n", &format!("/v1/approvals/{id}")).await.body.get("grant").is_none(), "nobody gets it now");
    let file = bed.evidence("audra", &id, "").await;
    verify(&file, None, None).unwrap();
    let bundle: Bundle = serde_json::from_slice(&file).unwrap();
    assert!(bundle.evidence.grant.is_some(), "it stays in the evidence");
    assert_eq!(bundle.evidence.told.execution.last().unwrap().what, "grant.revoked");
}

#[tokio::test]
async fn a_grant_is_taken_back_once_on_sqlite() {
    let bed = Bed::start().await;
    a_grant_is_taken_back_once(&bed).await;
    bed.advance(30 * 24 * 3600);
    bed.turns(70).await;
    assert!(bed.events().await.iter().all(|(kind, _)| kind != GrantLapsed::TYPE), "nobody waits for its use");
    bed.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_grant_is_taken_back_once_on_postgresql() {
    require!(Postgres);
    let url = borrow_database().await.unwrap();
    let bed = Bed::with(&Wish { store: Some(&url), ..Wish::default() }).await;
    a_grant_is_taken_back_once(&bed).await;
    bed.stop().await;
}

#[tokio::test]
async fn a_grant_that_was_used_or_ran_out_is_not_taken_back() {
    let bed = Bed::start().await;
    let (used, expired) = (bed.ask_id(&routine()).await, bed.ask_id(&routine()).await);
    let grant_id = bed.events().await[0].1["grant_id"].as_str().unwrap().to_owned();
    let consumed = GrantConsumed {
        grant_id,
        approval_id: used.clone(),
        operation_id: "1".into(),
        executor: "key:n8n".into(),
        consumed_at: bed.clock.now(),
    };
    bed.publish(&consumed).await;
    bed.until_audited(&used, "grant.consumed").await;
    let revoke = async |id: &str, body| bed.post("opal", &format!("/v1/approvals/{id}/revocation"), None, &body).await;
    let why = json!({"reason": "a mistake"});
    assert_eq!(revoke(&used, why.clone()).await.problem(), "grant-used");
    bed.advance(30 * 24 * 3600);
    let late = revoke(&expired, why.clone()).await;
    assert_eq!((late.status, late.problem()), (409, "grant-expired"));
    bed.until_audited(&expired, "grant.lapsed").await;
    let told = revoke(&expired, why.clone()).await;
    assert_eq!((told.status, told.problem()), (409, "grant-expired"), "also when it is known that nobody used it");
    assert_eq!(revoke(&used, why.clone()).await.problem(), "grant-used");
    assert_eq!(revoke("nothing", why.clone()).await.status, 404);
    assert_eq!(revoke(&expired, json!({"reason": " "})).await.status, 422);
    assert_eq!(bed.post("n8n", &format!("/v1/approvals/{used}/revocation"), None, &why).await.status, 403);
    bed.stop().await;
}
