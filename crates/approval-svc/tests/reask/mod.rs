//! Facts that drifted are asked again, and people see only what changed.

use contracts::{EventPayload, Facts, events::GrantRevoked};
use governance::evidence::verify;
use serde_json::{Value, json};

use crate::bed::{Bed, cross_region, routine};

/// The same request, now that the donor has fewer units.
fn later(earlier: &str) -> Value {
    let mut body = cross_region();
    body["facts"]["donors"][1]["stock"]["on_hand"] = json!(30.0);
    let facts: Facts = serde_json::from_value(body["facts"].clone()).unwrap();
    body["facts"] = serde_json::to_value(facts.seal().unwrap()).unwrap();
    body["asks_again"] = json!(earlier);
    body
}

#[tokio::test]
async fn drifted_facts_are_asked_again_beside_what_was_approved_and_the_old_grant_is_taken_back() {
    let bed = Bed::start().await;
    let first = bed.ask_id(&cross_region()).await;
    assert_eq!(bed.decide("olga", &first, json!({"decision": "approve"})).await.status, 200);
    let asked = bed.ask(&later(&first)).await;
    let again = &asked["asks_again"];
    assert_eq!((&again["approval_id"], &again["approved_by"]), (&json!(first), &json!(["olga"])));
    let changed = again["changed"].as_array().unwrap();
    assert_eq!(changed.len(), 1, "only what changed: {changed:?}");
    assert_eq!(changed[0]["pointer"], "/donors/[location=store-7]/stock/on_hand");
    assert_eq!((changed[0]["approved"].as_f64(), changed[0]["current"].as_f64()), (Some(90.0), Some(30.0)));
    let page = bed.get("", &bed.link("sven").await).await;
    let page = page.body.as_str().unwrap();
    assert!(
        page.contains("What changed") && page.contains("donors \u{b7} store-7 \u{b7} stock \u{b7} on hand"),
        "{page}"
    );
    assert!(page.contains("was 90") && page.contains("All the facts"), "{page}");

    assert!(bed.get("n8n", &format!("/v1/approvals/{first}")).await.body.get("grant").is_none(), "one grant at a time");
    assert_eq!(bed.events().await.iter().filter(|(kind, _)| kind == GrantRevoked::TYPE).count(), 1);
    let id = asked["id"].as_str().unwrap();
    assert_eq!(bed.decide("sven", id, json!({"decision": "approve"})).await.status, 200);
    for id in [first.as_str(), id] {
        verify(&bed.evidence("audra", id, "").await, None, None).unwrap();
    }
    bed.stop().await;
}

#[tokio::test]
async fn only_one_s_own_approved_request_for_the_same_action_is_asked_again() {
    let bed = Bed::start().await;
    let (waiting, other) = (bed.ask_id(&cross_region()).await, bed.ask_id(&routine()).await);
    for (caller, earlier) in [("n8n", waiting.as_str()), ("n8n", other.as_str()), ("n8n", "nothing"), ("mia", &waiting)]
    {
        let seen = bed.post(caller, "/v1/approvals", Some(&format!("{caller}-{earlier}")), &later(earlier)).await;
        assert_eq!((seen.status, &seen.body["errors"][0]["pointer"]), (422, &json!("/asks_again")), "{}", seen.body);
    }
    bed.stop().await;
}
