//! How far authority goes, over HTTP and on both stores: limits, delegation, duties along a chain, patterns, overrides.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking, in its helpers too")]

#[expect(dead_code, reason = "the bed serves other tests too")]
mod bed;

use bed::{Bed, Wish, cross_region, on_both_stores, routine};
use contracts::{
    EventPayload, PersonId,
    events::{ApprovalOverridden, ApprovalReminded, ApprovalSuspected, OverrideUnreviewed},
};
use governance::{Actor, Grant, GrantVerifier, Jwks, grant::StandIn, policy::RequesterExecutes};
use reqwest::Method;
use serde_json::{Value, json};

const HOUR: u64 = 3600;
const DAY: u64 = 24 * HOUR;

on_both_stores! {
    ten_small_approvals_do_not_pass_one_limit
    who_has_the_authority_is_asked_when_the_asked_have_not
    two_desks_cannot_both_spend_the_last_of_a_budget
    a_delegate_decides_in_the_delegator_s_right_until_it_ends
    duties_stay_apart_through_delegation_and_along_a_chain
    who_acts_for_who_asked_is_named_in_the_grant_and_cannot_carry_it_out
    what_looks_wrong_is_flagged_once_with_its_evidence
    an_edit_leaves_no_approval_standing_for_more_than_its_giver_may
    the_page_of_an_override_shows_it_and_takes_the_review_of_whoever_owes_it
    an_override_is_told_reviewed_and_lowers_the_cap_while_its_review_is_overdue
}

/// The cross-region transfer of the bed is worth 120 EUR and asks olga and sven.
const TIGHT: &str = "
limits:
  - {name: ops-month, role: regional_ops, per_request: {minor: 20000, currency: EUR},
     rolling: {total: {minor: 30000, currency: EUR}, within: 30d}}
";

async fn bed(store: Option<&str>, authority: &str) -> Bed {
    Bed::with(&Wish { store, authority: Some(authority), ..Wish::default() }).await
}

fn approve() -> Value {
    json!({"decision": "approve"})
}

async fn asked_by(bed: &Bed, caller: &str, key: &str, body: &Value) -> Value {
    let seen = bed.post(caller, "/v1/approvals", Some(key), body).await;
    assert_eq!(seen.status, 201, "{}", seen.body);
    seen.body
}

fn id(body: &Value) -> &str {
    body["id"].as_str().unwrap()
}

/// The grant of a request, as the executor verifies it.
async fn grant_of(bed: &Bed, request: &str) -> Grant {
    let seen = bed.get("n8n", &format!("/v1/approvals/{request}")).await;
    let jwks: Jwks = serde_json::from_value(bed.get("", "/.well-known/jwks.json").await.body).unwrap();
    let verifier = GrantVerifier::from_jwks(&jwks).unwrap();
    verifier.verify(seen.body["grant"].as_str().unwrap(), "steward/supply", bed.clock.now()).unwrap()
}

async fn ten_small_approvals_do_not_pass_one_limit(store: Option<&str>) {
    let bed = bed(store, TIGHT).await;
    let mut passed = 0;
    for _ in 0..10 {
        let request = bed.ask_id(&cross_region()).await;
        let decided = bed.decide("olga", &request, approve()).await;
        if decided.status == 200 {
            passed += 1;
            continue;
        }
        assert_eq!((decided.status, decided.problem()), (403, "beyond-authority"), "{}", decided.body);
        let detail = decided.body["detail"].as_str().unwrap();
        assert!(detail.contains("ops-month") && detail.contains("60.00 EUR of 300.00 EUR"), "{detail}");
        assert!(detail.contains("sven could"), "{detail}");
        assert_eq!(bed.audit(&request).await.last().unwrap().1, "approval.refused");
    }
    assert_eq!(passed, 2, "of 120 EUR each, within 300 EUR");
    let left = bed.get("olga", "/v1/limits").await;
    assert_eq!(left.body["limits"][0]["used"]["left"], json!({"minor": 6000, "currency": "EUR"}), "{}", left.body);
    assert_eq!(bed.get("olga", "/v1/limits?person=sven").await.problem(), "not-yours");
    let sven = bed.get("audra", "/v1/limits?person=sven").await;
    assert_eq!(sven.body["limits"][0]["used"]["spent"]["minor"], 0);
    assert_eq!(bed.get("audra", "/v1/limits?person=nobody").await.status, 404);
    // Rejecting needs no authority, and the window moves on.
    let request = bed.ask_id(&cross_region()).await;
    assert_eq!(bed.decide("olga", &request, json!({"decision": "reject"})).await.status, 200);
    bed.advance(30 * DAY);
    let request = bed.ask_id(&cross_region()).await;
    assert_eq!(bed.decide("olga", &request, approve()).await.status, 200);
    bed.stop().await;
}

async fn who_has_the_authority_is_asked_when_the_asked_have_not(store: Option<&str>) {
    let small = "
limits:
  - {name: ops, role: regional_ops, per_request: {minor: 10000, currency: EUR}}
  - {name: money, role: finance, per_request: {minor: 12000, currency: EUR}}
  - {name: opal-dollars, person: opal, per_request: {minor: 900000, currency: USD}}
";
    let bed = bed(store, small).await;
    let request = bed.ask_id(&cross_region()).await;
    assert_eq!(bed.decide("finn", &request, approve()).await.problem(), "not-asked");
    let beyond = bed.decide("olga", &request, approve()).await;
    let detail = beyond.body["detail"].as_str().unwrap();
    assert!(detail.contains("at most 100.00 EUR") && detail.ends_with("finn had to be asked instead"), "{detail}");
    let events = bed.events().await;
    let (kind, told) = events.last().unwrap();
    assert_eq!((kind.as_str(), &told["escalated"]), (ApprovalReminded::TYPE, &json!(true)));
    assert_eq!(told["asked"][0]["person"], "finn");
    let decided = bed.decide("finn", &request, approve()).await;
    assert_eq!((decided.status, decided.body["status"].as_str()), (200, Some("approved")), "{}", decided.body);

    let mut larger = cross_region();
    larger["action"]["quantity"] = json!(25.0);
    let request = bed.ask_id(&larger).await;
    let nobody = bed.decide("olga", &request, approve()).await;
    let detail = nobody.body["detail"].as_str().unwrap();
    assert!(detail.ends_with("nobody in the directory has the authority"), "dollars are not euros: {detail}");
    bed.stop().await;
}

async fn two_desks_cannot_both_spend_the_last_of_a_budget(store: Option<&str>) {
    let one = "
limits: [{name: one, person: olga, rolling: {total: {minor: 12000, currency: EUR}, within: 1d}}]
";
    let here = bed(store, one).await;
    // SQLite has one process; its two decisions run side by side all the same.
    let there = match store {
        Some(_) => Some(bed(store, one).await),
        None => None,
    };
    let other = there.as_ref().unwrap_or(&here);
    for _ in 0..5 {
        let (first, second) = (here.ask_id(&cross_region()).await, here.ask_id(&cross_region()).await);
        let (a, b) = tokio::join!(here.decide("olga", &first, approve()), other.decide("olga", &second, approve()));
        let mut statuses = [a.status, b.status];
        statuses.sort_unstable();
        assert_eq!(statuses, [200, 403], "{} {}", a.body, b.body);
        here.advance(DAY);
        other.advance(if there.is_some() { DAY } else { 0 });
    }
    here.stop().await;
    if let Some(there) = there {
        there.stop().await;
    }
}

async fn a_delegate_decides_in_the_delegator_s_right_until_it_ends(store: Option<&str>) {
    let bed = bed(store, TIGHT).await;
    let window = json!({
        "delegate": "finn", "ends_at": bed.clock.now() + std::time::Duration::from_secs(DAY), "out_of_office": true,
        "scope": {"types": ["transfer"]}, "value_cap": {"minor": 50000, "currency": "EUR"},
    });
    let lent = bed.post("olga", "/v1/delegations", Some("d"), &window).await;
    assert_eq!(lent.status, 201, "{}", lent.body);
    assert_eq!(lent.body, bed.post("olga", "/v1/delegations", Some("d"), &window).await.body);
    for (change, pointer) in [
        (json!({"delegate": "olga"}), "/delegate"),
        (json!({"delegate": "nobody"}), "/delegate"),
        (json!({"ends_at": "2026-11-01T00:00:00Z"}), "/ends_at"),
        (json!({"scope": {"regions": ["north"]}}), "/scope/regions"),
        (json!({"parent": "none"}), "/parent"),
    ] {
        let mut body = window.clone();
        body.as_object_mut().unwrap().extend(change.as_object().unwrap().clone());
        let refused = bed.post("olga", "/v1/delegations", Some("x"), &body).await;
        assert_eq!((refused.status, refused.body["errors"][0]["pointer"].as_str()), (422, Some(pointer)), "{change}");
    }
    let back = json!({"delegate": "olga", "ends_at": bed.clock.now() + std::time::Duration::from_secs(HOUR)});
    let circle = bed.post("finn", "/v1/delegations", Some("c"), &back).await;
    assert!(circle.body["errors"][0]["detail"].as_str().unwrap().contains("circle"), "{}", circle.body);

    let asked = bed.ask(&cross_region()).await;
    assert_eq!(asked["steps"][0]["people"], json!(["olga", "sven", "finn"]));
    let told = bed.events().await.last().unwrap().1["asked"].clone();
    let names: Vec<_> = told.as_array().unwrap().iter().map(|one| one["person"].as_str().unwrap()).collect();
    assert_eq!(names, ["sven", "finn"], "olga is out of office");
    let page = shown(&bed, "finn").await;
    assert!(page.contains("<form"), "the delegate's link lets them decide");
    let decided = bed.decide("finn", id(&asked), approve()).await;
    assert_eq!(decided.status, 200, "{}", decided.body);
    let decision = &decided.body["steps"][0]["decisions"][0];
    assert_eq!((&decision["person"], &decision["authority"]), (&json!("finn"), &json!("olga")));
    assert_eq!(decided.body["decided_by"], json!(["olga", "finn"]));
    for person in ["olga", "finn"] {
        let ledger = bed.get("opal", &format!("/v1/limits?person={person}")).await;
        let spent = ledger.body["limits"][0]["used"]["spent"]["minor"].as_i64();
        assert_eq!(spent, (person == "olga").then_some(12000), "finn has no limit that could be used up");
    }
    let request = bed.ask_id(&cross_region()).await;
    let foreign = bed.post("sven", &format!("/v1/delegations/{}/revocation", id(&lent.body)), None, &json!({})).await;
    assert_eq!(foreign.status, 404, "what is not theirs they do not see");
    let own = bed.post("finn", &format!("/v1/delegations/{}/revocation", id(&lent.body)), None, &json!({})).await;
    assert_eq!((own.status, own.problem()), (403, "not-the-delegator"));
    for caller in ["opal", "olga"] {
        let path = format!("/v1/delegations/{}/revocation", id(&lent.body));
        assert!(bed.post(caller, &path, None, &json!({})).await.body["revoked_at"].is_string());
    }
    assert_eq!(bed.decide("finn", &request, approve()).await.problem(), "not-asked", "revoked");
    let listed = bed.get("finn", "/v1/delegations").await;
    assert_eq!(listed.body["items"][0]["id"], lent.body["id"]);
    assert_eq!(bed.get("sven", "/v1/delegations").await.body["items"], json!([]));

    assert_eq!(bed.post("olga", "/v1/delegations", Some("e"), &window).await.status, 201);
    bed.advance(DAY);
    let request = bed.ask_id(&cross_region()).await;
    assert_eq!(bed.decide("finn", &request, approve()).await.problem(), "not-asked", "the window is half-open");
    bed.stop().await;
}

async fn duties_stay_apart_through_delegation_and_along_a_chain(store: Option<&str>) {
    let bed = bed(store, "").await;
    let ends = bed.clock.now() + std::time::Duration::from_secs(DAY);
    let lend = json!({"delegate": "sven", "ends_at": ends});
    let lent = bed.post("olga", "/v1/delegations", Some("d"), &lend).await;
    // Asked by olga herself, or only asserted to be for her: neither she nor who acts for her approves.
    let own = asked_by(&bed, "olga", "a", &cross_region()).await;
    assert_eq!(own["status"], "waiting", "the operator is left to ask");
    let mut asserted = cross_region();
    asserted["on_behalf_of"] = json!("olga");
    let asserted = bed.ask(&asserted).await;
    for request in [&own, &asserted] {
        assert_eq!(bed.decide("olga", id(request), approve()).await.problem(), "requester-may-not-approve");
        let acting = bed.decide("sven", id(request), approve()).await;
        assert_eq!((acting.status, acting.problem()), (403, "acts-for-requester"), "{}", acting.body);
    }
    let path = format!("/v1/delegations/{}/revocation", id(&lent.body));
    assert_eq!(bed.post("olga", &path, None, &json!({})).await.status, 200);

    let mut first = cross_region();
    first["reference"] = json!("PO-1");
    let first = asked_by(&bed, "olga", "b", &first).await;
    assert_eq!(bed.decide("sven", id(&first), approve()).await.status, 200);
    let mut middle = cross_region();
    middle["related"] = json!(["PO-1"]);
    let middle = bed.ask(&middle).await;
    let mut last = cross_region();
    last["related"] = json!([id(&middle)]);
    let refused = bed.post("sven", "/v1/approvals", Some("c"), &last).await;
    assert_eq!((refused.status, refused.problem()), (403, "approved-related"), "{}", refused.body);
    let last = bed.ask(&last).await;
    assert_eq!(last["steps"][0]["people"], json!(["sven"]));
    for request in [&middle, &last] {
        let related = bed.decide("olga", id(request), approve()).await;
        assert_eq!((related.status, related.problem()), (403, "asked-for-related"), "{}", related.body);
    }
    let mut unknown = cross_region();
    unknown["related"] = json!(["PO-1", "PO-9"]);
    let unknown = bed.post("n8n", "/v1/approvals", Some("u"), &unknown).await;
    assert_eq!((unknown.status, unknown.body["errors"][0]["pointer"].as_str()), (422, Some("/related/1")));
    bed.stop().await;
}

fn purchase(quantity: f64) -> Value {
    let mut body = cross_region();
    body["action"] = json!({"type": "purchase", "product": "SKU-1", "to": "store-1", "supplier": "roaster",
        "quantity": quantity});
    body
}

async fn suspected(bed: &Bed) -> Vec<Value> {
    let events = bed.events().await.into_iter().filter(|(kind, _)| kind == ApprovalSuspected::TYPE);
    events.map(|(_, event)| event).collect()
}

async fn what_looks_wrong_is_flagged_once_with_its_evidence(store: Option<&str>) {
    let limits = "
limits: [{name: purchases, role: store_manager, scope: {types: [purchase]}, per_request: {minor: 60000, currency: EUR}}]
";
    let bed = bed(store, limits).await;
    let first = asked_by(&bed, "mia", "p1", &purchase(100.0)).await;
    let tiny = asked_by(&bed, "mia", "p2", &purchase(10.0)).await;
    assert_eq!(suspected(&bed).await, [] as [Value; 0]);
    let second = asked_by(&bed, "mia", "p3", &purchase(110.0)).await;
    let flagged = suspected(&bed).await;
    assert_eq!(flagged.len(), 1);
    assert_eq!(
        (&flagged[0]["pattern"], &flagged[0]["approvals"]),
        (&json!("split_purchase"), &json!([first["id"], second["id"]]))
    );
    let seen = bed.get("mia", &format!("/v1/approvals/{}", id(&second))).await;
    let found = &seen.body["oversight"]["suspicions"][0];
    assert_eq!(found["evidence"]["sum"], json!({"minor": 105_000, "currency": "EUR"}), "{}", seen.body);
    assert!(bed.audit(id(&second)).await.iter().any(|(_, verb)| verb == "approval.suspected"));
    assert!(bed.get("mia", &format!("/v1/approvals/{}", id(&tiny))).await.body.get("oversight").is_none());

    for round in 0..2 {
        for (asks, decides) in [("olga", "sven"), ("sven", "olga")] {
            let asked = asked_by(&bed, asks, &format!("{asks}-{round}"), &cross_region()).await;
            assert_eq!(bed.decide(decides, id(&asked), approve()).await.status, 200);
        }
    }
    let flagged = suspected(&bed).await;
    assert_eq!(flagged.len(), 2, "{flagged:#?}");
    assert_eq!(
        (flagged[1]["pattern"].as_str(), flagged[1]["approvals"].as_array().unwrap().len()),
        (Some("reciprocal_approvals"), 4)
    );

    let mut more = cross_region();
    more["action"]["quantity"] = json!(30.0);
    asked_by(&bed, "olga", "more", &more).await;
    assert_eq!(suspected(&bed).await[2]["pattern"], "approve_then_edit");
    let page = shown(&bed, "sven").await;
    assert!(page.contains("Changed after approval") && page.contains("where 24 were approved within"), "{page}");
    bed.stop().await;
}

/// Two approve, and an edit of the quantity keeps what was said while the same steps are asked.
const KEEPS: &str = "
policy: keeps
version: 1
grant_valid_for: 1h
rows:
  - name: both
    then:
      steps: [{ask: {role: regional_ops}, quorum: 2, decide_within: 4h, on_edit: {quantity: re_evaluate, facts: none}}]
";

async fn an_edit_leaves_no_approval_standing_for_more_than_its_giver_may(store: Option<&str>) {
    let bed = Bed::with(&Wish { store, authority: Some(TIGHT), policy: Some(KEEPS), ..Wish::default() }).await;
    let asked = asked_by(&bed, "mia", "a", &cross_region()).await;
    assert_eq!(bed.decide("olga", id(&asked), approve()).await.status, 200);
    let edit = async |quantity: f64| {
        let mut request = cross_region();
        request["action"]["quantity"] = json!(quantity);
        bed.put("mia", &format!("/v1/approvals/{}", id(&asked)), None, &json!({"request": request})).await
    };
    let refused = edit(60.0).await;
    assert_eq!((refused.status, refused.problem()), (409, "approval-falls-short"), "{}", refused.body);
    assert!(refused.body["detail"].as_str().unwrap().contains("at most 200.00 EUR"), "{}", refused.body);
    assert_eq!(suspected(&bed).await, [] as [Value; 0], "what is refused leaves nothing");
    let edited = edit(30.0).await;
    assert_eq!(edited.status, 200, "{}", edited.body);
    assert_eq!(edited.body["steps"][0]["decisions"].as_array().unwrap().len(), 1);
    assert_eq!(suspected(&bed).await[0]["pattern"], "approve_then_edit");
    let left = bed.get("olga", "/v1/limits").await;
    assert_eq!(left.body["limits"][0]["used"]["spent"]["minor"], 12000 + 15000, "each counts as what it was");
    assert_eq!(bed.decide("sven", id(&asked), approve()).await.body["status"], "approved");
    bed.stop().await;
}

async fn shown(bed: &Bed, person: &str) -> String {
    bed.http(Method::GET, &bed.link(person).await).send().await.unwrap().text().await.unwrap()
}

async fn the_page_of_an_override_shows_it_and_takes_the_review_of_whoever_owes_it(store: Option<&str>) {
    let rule = "
overrides: [{role: operator, cap: {minor: 20000, currency: EUR}, reviewer: finance, review_within: 1d}]
";
    let bed = bed(store, rule).await;
    let request = bed.ask_id(&cross_region()).await;
    let why = json!({"reason": "The truck <leaves> now.", "ticket": "INC-4711"});
    let done = bed.post("opal", &format!("/v1/approvals/{request}/override"), None, &why).await;
    assert_eq!(done.status, 200, "{}", done.body);
    for (person, reviews) in [("finn", true), ("olga", false)] {
        let page = shown(&bed, person).await;
        assert!(page.contains("approved this alone, as operator"), "{page}");
        assert!(page.contains("The truck &lt;leaves&gt; now.") && page.contains("INC-4711"), "{page}");
        assert!(page.contains("A review by finance is owed until"), "{page}");
        assert_eq!(page.contains("value=\"justified\""), reviews, "{person}: {page}");
    }
    let state = async || bed.get("finn", "/v1/overrides").await.body["items"][0]["state"].clone();
    let review = async |person: &str, decision: &str, comment: &str| {
        let form = [("decision", decision), ("comment", comment)];
        bed.http(Method::POST, &bed.link(person).await).form(&form).send().await.unwrap().status().as_u16()
    };
    assert_eq!(review("olga", "justified", "It was.").await, 403);
    assert_eq!(review("finn", "justified", " ").await, 422);
    assert_eq!(state().await, "owed", "who looks, or may not, or says nothing, pays nothing");
    for _ in 0..2 {
        assert_eq!(review("finn", "justified", "It did leave.").await, 303);
    }
    assert_eq!(state().await, "reviewed");
    assert_eq!(review("finn", "unjustified", "On second thought.").await, 409);
    let page = shown(&bed, "finn").await;
    assert!(page.contains("found it justified") && page.contains("It did leave."), "{page}");
    assert!(!page.contains("<form"), "it is reviewed once: {page}");
    let plain = bed.ask_id(&cross_region()).await;
    assert_eq!(review("olga", "justified", "Nobody overrode this.").await, 400, "{plain}");
    bed.stop().await;
}

async fn who_acts_for_who_asked_is_named_in_the_grant_and_cannot_carry_it_out(store: Option<&str>) {
    let bed = bed(store, "").await;
    let now = bed.clock.now();
    let lend = async |from: &str, to: &str| {
        let window = json!({"delegate": to, "starts_at": now, "ends_at": now + std::time::Duration::from_secs(DAY)});
        let lent = bed.post(from, "/v1/delegations", Some(&format!("{from}-{to}")), &window).await;
        assert_eq!(lent.status, 201, "{}", lent.body);
        lent.body["id"].as_str().unwrap().to_owned()
    };
    let delegation = lend("mia", "finn").await;
    lend("opal", "sven").await;
    let by = |person: &str| Actor::Person { person: PersonId::new(person).unwrap() };
    let refused = |grant: &Grant, person: &str| grant.executable_by(&by(person)).unwrap_err();
    for body in [cross_region(), routine()] {
        let mut body = body;
        body["on_behalf_of"] = json!("mia");
        let request = bed.ask_id(&body).await;
        // The one by a person, the other by the policy.
        bed.decide("olga", &request, json!({"decision": "approve"})).await;
        let grant = grant_of(&bed, &request).await;
        let named = |one: &StandIn| (one.person.to_string(), one.acts_for.to_string(), one.delegation.clone());
        let named: Vec<_> = grant.stand_ins.iter().map(named).collect();
        assert_eq!(named, [("finn".to_owned(), "mia".to_owned(), delegation.clone())]);
        for own in ["mia", "finn"] {
            assert_eq!(refused(&grant, own).code(), "grant-own-request");
        }
        assert!(refused(&grant, "finn").to_string().contains(&delegation));
        assert_eq!(grant.executable_by(&by("sven")), Ok(()), "acts for somebody else");
    }
    // Nobody stands behind what a program asks for itself.
    let request = bed.ask_id(&routine()).await;
    assert_eq!(grant_of(&bed, &request).await.stand_ins, []);
    bed.stop().await;
}

async fn an_override_is_told_reviewed_and_lowers_the_cap_while_its_review_is_overdue(store: Option<&str>) {
    let rule = "
overrides: [{role: operator, cap: {minor: 20000, currency: EUR}, reviewer: finance, review_within: 1d}]
";
    let bed = bed(store, rule).await;
    let why = json!({"reason": "The truck leaves now.", "ticket": "INC-4711"});
    let path = |id: &str| format!("/v1/approvals/{id}/override");
    let request = bed.ask_id(&cross_region()).await;
    let bare = bed.post("opal", &path(&request), None, &json!({"reason": " ", "ticket": ""})).await;
    assert_eq!((bare.status, bare.body["errors"].as_array().unwrap().len()), (422, 2));
    assert_eq!(bed.post("olga", &path(&request), None, &why).await.problem(), "no-override");
    assert_eq!(bed.post("n8n", &path(&request), None, &why).await.status, 403);
    assert_eq!(bed.post("opal", &path("nothing"), None, &why).await.status, 404);
    for _ in 0..2 {
        let done = bed.post("opal", &path(&request), None, &why).await;
        assert_eq!((done.status, done.body["status"].as_str()), (200, Some("approved")), "{}", done.body);
        assert_eq!(done.body["oversight"]["override"]["state"], "owed");
    }
    let grant = grant_of(&bed, &request).await;
    let mark = grant.by_override.clone().unwrap();
    assert_eq!((mark.person.as_str(), mark.role.as_str(), mark.ticket.as_str()), ("opal", "operator", "INC-4711"));
    let n8n = Actor::Service { key: "n8n".into() };
    assert_eq!(grant.requested_by.as_ref().map(|requester| &requester.by), Some(&n8n));
    assert_eq!((grant.requester_executes, grant.executable_by(&n8n)), (RequesterExecutes::ProgramsOnly, Ok(())));
    assert!(grant.executable_by(&Actor::Person { person: mark.person }).is_err());
    let events = bed.events().await;
    let told: Vec<_> = events.iter().filter(|(kind, _)| kind == ApprovalOverridden::TYPE).collect();
    assert_eq!((told.len(), &told[0].1["reviewers"][0]["person"]), (1, &json!("finn")));

    // Nobody looks: the cap of 200 EUR becomes 100 EUR, which 120 EUR are above.
    bed.advance(DAY);
    let lowered = bed.ask_id(&cross_region()).await;
    let refused = bed.post("opal", &path(&lowered), None, &why).await;
    assert_eq!((refused.status, refused.problem()), (403, "over-override-cap"), "{}", refused.body);
    assert!(refused.body["detail"].as_str().unwrap().contains("up to 100.00 EUR"), "{}", refused.body);
    bed.turns(15).await;
    let overdue = async || {
        let told = bed.events().await.into_iter().filter(|(kind, _)| kind == OverrideUnreviewed::TYPE);
        told.count()
    };
    assert_eq!(overdue().await, 1);
    assert_eq!(bed.get("finn", "/v1/overrides?state=overdue").await.body["items"][0]["approval_id"], request.as_str());

    let review = json!({"verdict": "justified", "comment": "The truck did leave."});
    let debt = format!("/v1/overrides/{request}/review");
    assert_eq!(bed.post("opal", &debt, None, &review).await.problem(), "own-override");
    assert_eq!(bed.post("olga", &debt, None, &review).await.problem(), "not-a-reviewer");
    assert_eq!(bed.post("finn", "/v1/overrides/nothing/review", None, &review).await.status, 404);
    for _ in 0..2 {
        let paid = bed.post("finn", &debt, None, &review).await;
        assert_eq!((paid.status, paid.body["state"].as_str()), (200, Some("reviewed")), "{}", paid.body);
    }
    let other = json!({"verdict": "unjustified", "comment": "On second thought."});
    assert_eq!(bed.post("finn", &debt, None, &other).await.problem(), "already-reviewed");
    let done = bed.post("opal", &path(&lowered), None, &why).await;
    assert_eq!(done.status, 200, "the debt is paid: {}", done.body);
    let own = json!({"on_behalf_of": "opal"});
    let mut for_opal = cross_region();
    for_opal.as_object_mut().unwrap().extend(own.as_object().unwrap().clone());
    let for_opal = bed.ask_id(&for_opal).await;
    assert_eq!(bed.post("opal", &path(&for_opal), None, &why).await.problem(), "requester-may-not-approve");
    bed.stop().await;
}
