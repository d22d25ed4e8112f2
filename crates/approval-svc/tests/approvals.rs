//! approval-svc in process, over a temporary SQLite store and a clock that stands until it is moved.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking, in its helpers too")]

mod bed;
mod deciding;
mod evidence;
mod policies;
mod reask;
mod revocation;

use bed::{Bed, Wish, cross_region, key, routine};
use contracts::{
    EventPayload,
    events::{ApprovalDecided, GrantConsumed, GrantLapsed},
};
use governance::{GrantVerifier, Jwks};
use serde_json::{Value, json};
use wiremock::{
    Mock, MockServer, ResponseTemplate,
    matchers::{header, header_exists, method, path},
};

const HOUR: u64 = 3600;

#[tokio::test]
async fn a_person_approves_and_the_grant_says_exactly_what_they_saw() {
    let bed = Bed::start().await;
    let asked = bed.ask(&cross_region()).await;
    assert_eq!(asked["status"], "waiting");
    assert_eq!(asked["policy"]["row"], "cross-region-transfer");
    assert_eq!(asked["steps"][0]["role"], "regional_ops");
    assert_eq!(asked["steps"][0]["people"], json!(["olga", "sven"]));
    assert_eq!(asked["at_stake"], json!({"minor": 12000, "currency": "EUR"}));
    let id = asked["id"].as_str().unwrap();

    let decided = bed.decide("olga", id, json!({"decision": "approve", "comment": "go"})).await;
    assert_eq!(decided.status, 200, "{}", decided.body);
    assert!(decided.body.get("grant").is_none(), "the grant is not the approver's");
    let seen = bed.get("n8n", &format!("/v1/approvals/{id}")).await;
    assert_eq!((seen.body["status"].as_str(), seen.body["decided_by"].clone()), (Some("approved"), json!(["olga"])));

    let jwks: Jwks = serde_json::from_value(bed.get("", "/.well-known/jwks.json").await.body).unwrap();
    let verifier = GrantVerifier::from_jwks(&jwks).unwrap();
    let token = seen.body["grant"].as_str().unwrap();
    let grant = verifier.verify(token, "steward/supply", bed.clock.now()).unwrap();
    assert_eq!(serde_json::to_value(&grant.action).unwrap(), cross_region()["action"]);
    assert_eq!(grant.facts_hash.as_str(), cross_region()["facts"]["hash"].as_str().unwrap());
    assert_eq!((grant.approval_id.as_str(), grant.decided_by[0].as_str()), (id, "olga"));
    assert!(grant.bounds.iter().any(|bound| bound.pointer == "/donors/[location=store-7]/stock/on_hand"));

    let events = bed.events().await;
    let kinds: Vec<_> = events.iter().map(|(kind, _)| kind.as_str()).collect();
    assert_eq!(kinds, ["steward.approval.requested.v1", "steward.approval.decided.v1"]);
    assert_eq!(events[1].1["grant_id"], grant.grant_id.as_str());
    assert_eq!(
        bed.audit(id).await,
        [
            ("key:n8n", "approval.requested"),
            ("steward", "approval.step_opened"),
            ("person:olga", "approval.approved"),
            ("person:olga", "approval.ended"),
            ("steward", "grant.issued"),
        ]
        .map(|(actor, verb)| (actor.to_owned(), verb.to_owned()))
    );
    bed.stop().await;
}

#[tokio::test]
async fn what_is_routine_passes_at_once_with_its_grant_and_asks_nobody() {
    let bed = Bed::start().await;
    let passed = bed.ask(&routine()).await;
    assert_eq!((passed["status"].as_str(), passed["steps"].clone()), (Some("approved"), json!([])));
    assert!(passed["grant"].is_string());
    let events = bed.events().await;
    assert_eq!(events.len(), 1);
    assert_eq!(events[0].1["by"], json!({"type": "policy", "row": "routine-transfer"}));
    bed.stop().await;
}

#[tokio::test]
async fn what_the_policy_denies_is_denied_at_once() {
    let deny = "policy: strict\nversion: 3\ngrant_valid_for: 1h\nrows: [{name: nothing-moves, then: deny}]";
    let bed = Bed::with(&Wish { policy: Some(deny), ..Wish::default() }).await;
    let denied = bed.ask(&routine()).await;
    assert_eq!(denied["status"], "denied");
    assert_eq!(denied["policy"]["version"], 3);
    assert!(denied.get("grant").is_none());
    bed.stop().await;
}

#[tokio::test]
async fn one_rejection_ends_it_and_a_question_sends_it_back() {
    let bed = Bed::start().await;
    let id = bed.ask_id(&cross_region()).await;
    let rejected = bed.decide("sven", &id, json!({"decision": "reject", "comment": "we need it ourselves"})).await;
    assert_eq!(
        (rejected.body["status"].as_str(), rejected.body["comment"].as_str()),
        (Some("denied"), Some("we need it ourselves"))
    );

    let id = bed.ask_id(&cross_region()).await;
    let silent = bed.decide("sven", &id, json!({"decision": "send_back"})).await;
    assert_eq!((silent.status, silent.body["errors"][0]["pointer"].as_str()), (422, Some("/comment")));
    let sent_back = bed.decide("sven", &id, json!({"decision": "send_back", "comment": "why so many?"})).await;
    assert_eq!(sent_back.body["status"], "sent_back");
    bed.stop().await;
}

#[tokio::test]
async fn time_reminds_then_asks_others_then_denies_and_a_restart_forgets_nothing() {
    let bed = Bed::start().await;
    let id = bed.ask_id(&cross_region()).await;
    bed.advance(2 * HOUR);
    bed.until_events(2).await;
    let bed = bed.restart().await;
    bed.advance(2 * HOUR);
    bed.until_events(3).await;
    let events = bed.events().await;
    assert_eq!((events[1].1["escalated"].as_bool(), people(&events[1].1)), (Some(false), vec!["olga", "sven"]));
    assert_eq!((events[2].1["escalated"].as_bool(), people(&events[2].1)), (Some(true), vec!["opal"]));
    bed.advance(2 * HOUR);
    bed.until_events(4).await;
    assert_eq!(bed.events().await[3].1["outcome"], "expired");
    let late = bed.decide("opal", &id, json!({"decision": "approve"})).await;
    assert_eq!((late.status, late.problem()), (409, "already-over"));
    bed.stop().await;
}

fn people(event: &Value) -> Vec<&str> {
    event["asked"].as_array().unwrap().iter().map(|asked| asked["person"].as_str().unwrap()).collect()
}

#[tokio::test]
async fn nobody_is_asked_beyond_the_deadline_of_the_business() {
    let bed = Bed::start().await;
    let mut soon = cross_region();
    let deadline = bed.clock.now() + std::time::Duration::from_secs(HOUR);
    soon["decide_by"] = json!(deadline);
    let asked = bed.ask(&soon).await;
    let share = bed.clock.now() + std::time::Duration::from_secs(HOUR * 2 / 3);
    assert_eq!(asked["decide_by"], json!(share), "earlier than the 4 h of the step");
    // 4 h and 2 h of escalation share the hour: the reminder comes after 20 minutes, the escalation after 40.
    for (minutes, events) in [(20, 2), (20, 3), (20, 4)] {
        bed.advance(minutes * 60);
        bed.until_events(events).await;
    }
    let events = bed.events().await;
    assert_eq!((events[1].0.as_str(), &events[1].1["escalated"]), ("steward.approval.reminded.v1", &json!(false)));
    assert_eq!((&events[2].1["escalated"], &events[2].1["decide_by"]), (&json!(true), &json!(deadline)));
    assert_eq!(events[3].1["outcome"], "expired");

    soon["decide_by"] = json!(deadline);
    let past = bed.post("n8n", "/v1/approvals", Some("past"), &soon).await;
    assert_eq!((past.status, past.body["errors"][0]["pointer"].as_str()), (422, Some("/decide_by")));
    bed.stop().await;
}

#[tokio::test]
async fn a_second_click_gets_the_first_answer_and_another_word_does_not_undo_it() {
    let bed = Bed::start().await;
    let id = bed.ask_id(&cross_region()).await;
    let first = bed.decide("olga", &id, json!({"decision": "approve"})).await;
    let again = bed.decide("olga", &id, json!({"decision": "approve"})).await;
    assert_eq!((again.status, &again.body), (200, &first.body));
    let other = bed.decide("olga", &id, json!({"decision": "reject"})).await;
    assert_eq!((other.status, other.problem()), (409, "already-decided"));
    assert_eq!(bed.events().await.len(), 2, "asked and decided, once each");
    bed.stop().await;
}

#[tokio::test]
async fn of_two_people_at_once_exactly_one_decides() {
    let bed = Bed::start().await;
    for _ in 0..5 {
        let id = bed.ask_id(&cross_region()).await;
        let (olga, sven) = tokio::join!(
            bed.decide("olga", &id, json!({"decision": "approve"})),
            bed.decide("sven", &id, json!({"decision": "reject"})),
        );
        let (won, lost, status) = if olga.status == 200 { (olga, sven, "approved") } else { (sven, olga, "denied") };
        assert_eq!((won.status, won.body["status"].as_str()), (200, Some(status)));
        assert_eq!((lost.status, lost.problem()), (409, "already-over"));
    }
    bed.stop().await;
}

#[tokio::test]
async fn a_crowd_larger_than_the_pool_is_served_by_a_replica_that_knows_no_policy_yet() {
    testkit::require!(Postgres);
    let postgres = testkit::Postgres::start().await.unwrap();
    let url = postgres.url();
    let bed = Bed::with(&Wish { store: Some(&url), ..Wish::default() }).await;
    let asked =
        futures_util::future::join_all((0..30).map(async |_| bed.ask(&routine()).await["status"].clone())).await;
    assert!(asked.iter().all(|status| status == "approved"), "{asked:?}");
    bed.stop().await;
}

#[tokio::test]
async fn of_two_people_at_two_replicas_on_postgresql_exactly_one_decides() {
    testkit::require!(Postgres);
    let postgres = testkit::Postgres::start().await.unwrap();
    let url = postgres.url();
    let wish = Wish { store: Some(&url), ..Wish::default() };
    let (here, there) = (Bed::with(&wish).await, Bed::with(&wish).await);
    for _ in 0..5 {
        let id = here.ask_id(&cross_region()).await;
        let (olga, sven) = tokio::join!(
            here.decide("olga", &id, json!({"decision": "approve"})),
            there.decide("sven", &id, json!({"decision": "reject"})),
        );
        let mut statuses = [olga.status, sven.status];
        statuses.sort_unstable();
        assert_eq!(statuses, [200, 409], "{} {}", olga.body, sven.body);
        let verbs = here.audit(&id).await;
        assert_eq!(verbs.iter().filter(|(_, verb)| verb == "approval.ended").count(), 1, "{verbs:?}");
    }
    let mut body = cross_region();
    body["reference"] = json!("ran-low-78");
    let (first, twin) = tokio::join!(
        here.post("n8n", "/v1/approvals", Some("x"), &body),
        there.post("n8n", "/v1/approvals", Some("y"), &body),
    );
    assert_eq!(first.body["id"], twin.body["id"], "{} {}", first.body, twin.body);
    // Both timers find what is due at the same time.
    for (hours, events) in [(4, 12), (2, 13)] {
        here.advance(hours * HOUR);
        there.advance(hours * HOUR);
        here.until_events(events).await;
    }
    let ends = here.events().await.split_off(11);
    assert_eq!((ends.len(), &ends[0].1["escalated"], &ends[1].1["outcome"]), (2, &json!(true), &json!("expired")));
    here.stop().await;
    there.stop().await;
}

#[tokio::test]
async fn a_decision_on_an_older_version_is_refused() {
    let two = "policy: two\nversion: 1\ngrant_valid_for: 1h\nrows:\n  - name: both\n    then: {steps: [{ask: \
               {role: regional_ops}, quorum: 2, decide_within: 4h}]}";
    let bed = Bed::with(&Wish { policy: Some(two), ..Wish::default() }).await;
    let id = bed.ask_id(&cross_region()).await;
    let half = bed.decide("olga", &id, json!({"decision": "approve"})).await;
    assert_eq!((half.body["status"].as_str(), half.body["version"].as_u64()), (Some("waiting"), Some(2)));
    assert_eq!(half.etag.as_deref(), Some("\"2\""));
    let stale = bed.decide_seeing("sven", &id, "\"1\"", json!({"decision": "approve"})).await;
    assert_eq!((stale.status, stale.problem()), (412, "stale-version"));
    let both = bed.decide_seeing("sven", &id, "\"2\"", json!({"decision": "approve"})).await;
    assert_eq!(
        (both.body["status"].as_str(), both.body["decided_by"].clone()),
        (Some("approved"), json!(["olga", "sven"]))
    );
    bed.stop().await;
}

#[tokio::test]
async fn who_asks_never_approves_and_who_is_not_asked_is_turned_away_with_a_trace() {
    let bed = Bed::start().await;
    let mut for_olga = cross_region();
    for_olga["on_behalf_of"] = json!("olga");
    let asked = bed.ask(&for_olga).await;
    assert_eq!(asked["steps"][0]["people"], json!(["sven"]));
    let id = asked["id"].as_str().unwrap();
    let own = bed.decide("olga", id, json!({"decision": "approve"})).await;
    assert_eq!((own.status, own.problem()), (403, "requester-may-not-approve"));
    let stranger = bed.decide("finn", id, json!({"decision": "approve"})).await;
    assert_eq!((stranger.status, stranger.problem()), (403, "not-asked"));
    let service = bed.decide("n8n", id, json!({"decision": "approve"})).await;
    assert_eq!(service.status, 403);
    let nobody = bed.get("", "/v1/approvals").await;
    assert_eq!(nobody.status, 401);
    let reader = bed.post("audra", "/v1/approvals", Some("k"), &cross_region()).await;
    assert_eq!(reader.status, 403);
    let refusals = bed.audit(id).await.into_iter().filter(|(_, verb)| verb == "approval.refused").count();
    assert_eq!(refusals, 2);
    bed.stop().await;
}

#[tokio::test]
async fn a_repeat_is_the_same_request_by_key_and_by_reference() {
    let bed = Bed::start().await;
    let mut body = cross_region();
    body["reference"] = json!("ran-low-77");
    let first = bed.post("n8n", "/v1/approvals", Some("a"), &body).await;
    let again = bed.post("n8n", "/v1/approvals", Some("a"), &body).await;
    assert_eq!((first.status, again.status, &first.body), (201, 201, &again.body));
    let by_reference = bed.post("n8n", "/v1/approvals", Some("b"), &body).await;
    assert_eq!((by_reference.status, &by_reference.body["id"]), (200, &first.body["id"]));
    let mut other = body.clone();
    other["action"]["quantity"] = json!(12.0);
    assert_eq!(bed.post("n8n", "/v1/approvals", Some("a"), &other).await.status, 422, "the key names another request");
    let taken = bed.post("n8n", "/v1/approvals", Some("c"), &other).await;
    assert_eq!((taken.status, taken.problem()), (409, "reference-taken"));
    assert_eq!(bed.post("n8n", "/v1/approvals", None, &body).await.status, 400);
    assert_eq!(bed.events().await.len(), 1);
    bed.stop().await;
}

#[tokio::test]
async fn bad_input_is_named_field_by_field() {
    let bed = Bed::start().await;
    let mut body = cross_region();
    body["title"] = json!(" ");
    body["facts"]["stock"]["on_hand"] = json!(400.0);
    body["action"]["quantity"] = json!(0);
    body["action"]["product"] = json!("SKU-2");
    body["callback"] = json!({"url": "http://169.254.169.254/latest"});
    let refused = bed.post("n8n", "/v1/approvals", Some("k"), &body).await;
    assert_eq!(refused.status, 422);
    let mut pointers: Vec<_> =
        refused.body["errors"].as_array().unwrap().iter().map(|error| error["pointer"].as_str().unwrap()).collect();
    pointers.sort_unstable();
    assert_eq!(pointers, ["/action/product", "/action/quantity", "/callback/url", "/facts/hash", "/title"]);
    let mut unknown = cross_region();
    unknown["titel"] = json!("x");
    let unknown = bed.post("n8n", "/v1/approvals", Some("k"), &unknown).await;
    assert!(unknown.body.to_string().contains("titel"), "{}", unknown.body);
    bed.stop().await;
}

#[tokio::test]
async fn looking_decides_nothing_and_the_form_decides_once() {
    let bed = Bed::start().await;
    let id = bed.ask_id(&cross_region()).await;
    let link = bed.link("olga").await;
    for verb in [reqwest::Method::GET, reqwest::Method::HEAD, reqwest::Method::GET] {
        let looked = bed.http(verb, &link).send().await.unwrap();
        assert_eq!(looked.status(), 200);
    }
    let page = bed.http(reqwest::Method::GET, &link).send().await.unwrap();
    let csp = page.headers()["content-security-policy"].to_str().unwrap().to_owned();
    assert!(csp.starts_with("default-src 'none'") && !csp.contains("script"), "{csp}");
    let html = page.text().await.unwrap();
    for shown in
        ["Move 24", "Store 7", "cross-region-transfer", "<svg", "stock-out probability", "Approve", "Olga Ruiz"]
    {
        assert!(html.contains(shown), "{shown} is missing in {html}");
    }
    assert!(html.contains("&lt;b&gt;") && !html.contains("<b>urgent"), "the title is text, not markup");
    assert_eq!(bed.get("n8n", &format!("/v1/approvals/{id}")).await.body["status"], "waiting");

    for _ in 0..2 {
        let clicked = bed
            .http(reqwest::Method::POST, &link)
            .form(&[("decision", "approve"), ("comment", "ok")])
            .send()
            .await
            .unwrap();
        assert_eq!(clicked.status(), 303);
        assert_eq!(clicked.headers()["location"], link.as_str());
    }
    let html = bed.http(reqwest::Method::GET, &link).send().await.unwrap().text().await.unwrap();
    assert!(html.contains("Olga Ruiz approved this on") && !html.contains("<form"), "{html}");
    let late =
        bed.http(reqwest::Method::POST, &bed.link("sven").await).form(&[("decision", "reject")]).send().await.unwrap();
    assert_eq!(late.status(), 409);
    assert!(late.text().await.unwrap().contains("Olga Ruiz approved this"));
    bed.stop().await;
}

#[tokio::test]
async fn a_foreign_link_is_forbidden_and_an_old_one_gone() {
    let bed = Bed::start().await;
    bed.ask_id(&cross_region()).await;
    let link = bed.link("olga").await;
    let foreign = bed.http(reqwest::Method::GET, &format!("{link}x")).send().await.unwrap();
    assert_eq!(foreign.status(), 403);
    let nonsense = bed.http(reqwest::Method::POST, &link).form(&[("decision", "perhaps")]).send().await.unwrap();
    assert_eq!(nonsense.status(), 400);
    bed.advance(40 * HOUR);
    for verb in [reqwest::Method::GET, reqwest::Method::POST] {
        let old = bed.http(verb, &link).form(&[("decision", "approve")]).send().await.unwrap();
        assert_eq!(old.status(), 410);
        assert!(old.text().await.unwrap().contains("expired"));
    }
    bed.stop().await;
}

#[tokio::test]
async fn n8n_gets_the_decision_as_soon_as_it_waits_for_it() {
    let n8n = MockServer::start().await;
    let bed = Bed::with(&Wish { callbacks: Some(&n8n.uri()), ..Wish::default() }).await;
    let not_parked =
        ResponseTemplate::new(409).set_body_json(json!({"message": "The execution \"7\" is running already."}));
    Mock::given(path("/webhook-waiting/7")).respond_with(not_parked).up_to_n_times(1).expect(1).mount(&n8n).await;
    Mock::given(method("POST"))
        .and(path("/webhook-waiting/7"))
        .and(header("x-steward", "sesame"))
        .and(header_exists("webhook-signature"))
        .respond_with(ResponseTemplate::new(200))
        .expect(1)
        .mount(&n8n)
        .await;
    let mut body = cross_region();
    body["callback"] = json!({"url": format!("{}/webhook-waiting/7", n8n.uri())});
    let id = bed.ask_id(&body).await;
    bed.decide("olga", &id, json!({"decision": "approve", "comment": "go"})).await;
    bed.until_audited(&id, "callback.delivered").await;

    let received = n8n.received_requests().await.unwrap();
    let (first, second) = (&received[0], &received[1]);
    assert_eq!(first.headers["webhook-id"], second.headers["webhook-id"], "one delivery, tried twice");
    let sent: Value = second.body_json().unwrap();
    assert_eq!(sent["type"], "steward.approval.decided.v1");
    assert_eq!((&sent["data"]["outcome"], &sent["data"]["decided_by"]), (&json!("approved"), &json!(["olga"])));
    let grant = bed.get("n8n", &format!("/v1/approvals/{id}")).await.body["grant"].clone();
    assert_eq!(sent["data"]["grant"], grant);
    bed.stop().await;
}

#[tokio::test]
async fn a_finished_execution_is_left_alone_and_a_retried_one_is_told_at_its_new_address() {
    let n8n = MockServer::start().await;
    let bed = Bed::with(&Wish { callbacks: Some(&n8n.uri()), ..Wish::default() }).await;
    let finished =
        ResponseTemplate::new(409).set_body_json(json!({"message": "The execution \"7\" has finished already."}));
    Mock::given(path("/webhook-waiting/7")).respond_with(finished).expect(1).mount(&n8n).await;
    Mock::given(path("/webhook-waiting/8")).respond_with(ResponseTemplate::new(200)).expect(1).mount(&n8n).await;
    let mut body = routine();
    body["callback"] = json!({"url": format!("{}/webhook-waiting/7", n8n.uri())});
    let first = bed.post("n8n", "/v1/approvals", Some("same"), &body).await;
    let id = first.body["id"].as_str().unwrap().to_owned();
    bed.until_audited(&id, "callback.ended").await;
    body["callback"] = json!({"url": format!("{}/webhook-waiting/8", n8n.uri())});
    for _ in 0..2 {
        let again = bed.post("n8n", "/v1/approvals", Some("same"), &body).await;
        assert_eq!(again.body, first.body);
    }
    bed.until_audited(&id, "callback.delivered").await;
    let dead = bed.get("audra", "/v1/dead-letters").await;
    assert_eq!(dead.body["items"], json!([]));
    bed.stop().await;
}

#[tokio::test]
async fn an_approval_that_comes_to_nothing_is_told_once_its_grant_ran_out() {
    let bed = Bed::start().await;
    let [used, unused] = [bed.ask_id(&routine()).await, bed.ask_id(&routine()).await];
    let events = bed.events().await;
    let decided = events.iter().find(|(kind, event)| kind == ApprovalDecided::TYPE && event["approval_id"] == used);
    bed.publish(&GrantConsumed {
        grant_id: decided.unwrap().1["grant_id"].as_str().unwrap().to_owned(),
        approval_id: used,
        operation_id: "1".into(),
        executor: "key:n8n".into(),
        consumed_at: bed.clock.now(),
    })
    .await;
    let lapsed = async || {
        let told = bed.events().await.into_iter().filter(|(kind, _)| kind == GrantLapsed::TYPE);
        told.map(|(_, event)| event["approval_id"].clone()).collect::<Vec<_>>()
    };
    bed.advance(24 * HOUR + 13 * 60);
    bed.turns(70).await;
    assert_eq!(lapsed().await, [] as [Value; 0], "the news of its use may be under way");
    bed.turns(120).await;
    assert_eq!(lapsed().await, [json!(unused)]);
    bed.turns(120).await;
    assert_eq!(lapsed().await.len(), 1, "told twice");
    assert_eq!(bed.audit(&unused).await.last().unwrap().1, "grant.lapsed");
    bed.stop().await;
}

/// n8n was killed with execution 7, and its case was pushed again: execution 8 waits for the same decision.
#[tokio::test]
async fn an_execution_that_cannot_be_reached_does_not_keep_the_decision_from_the_one_that_waits() {
    let n8n = MockServer::start().await;
    let bed = Bed::with(&Wish { callbacks: Some(&n8n.uri()), ..Wish::default() }).await;
    Mock::given(path("/webhook-waiting/7")).respond_with(ResponseTemplate::new(404)).mount(&n8n).await;
    Mock::given(path("/webhook-waiting/8")).respond_with(ResponseTemplate::new(200)).expect(1).mount(&n8n).await;
    let mut body = cross_region();
    let mut id = String::new();
    for execution in [7, 8] {
        body["callback"] = json!({"url": format!("{}/webhook-waiting/{execution}", n8n.uri())});
        let asked = bed.post("n8n", "/v1/approvals", Some("same"), &body).await;
        id = asked.body["id"].as_str().unwrap().to_owned();
    }
    let asked_at = bed.clock.now();
    bed.decide("olga", &id, json!({"decision": "approve"})).await;
    bed.until_audited(&id, "callback.delivered").await;
    let took = bed.clock.now().duration_since(asked_at);
    assert!(took < jiff::SignedDuration::from_secs(60), "the decision arrived after {took:?}");
    bed.stop().await;
}

#[tokio::test]
async fn a_list_shows_one_s_own_places_page_by_page() {
    let bed = Bed::start().await;
    let mut ids = Vec::new();
    for _ in 0..3 {
        ids.insert(0, bed.ask_id(&cross_region()).await);
    }
    let listed = |body: &Value| -> Vec<String> {
        body["items"].as_array().unwrap().iter().map(|item| item["id"].as_str().unwrap().to_owned()).collect()
    };
    let page = bed.get("olga", "/v1/approvals?status=waiting&limit=2").await;
    assert_eq!(listed(&page.body), ids[..2]);
    let cursor = page.body["next_cursor"].as_str().unwrap();
    let rest = bed.get("olga", &format!("/v1/approvals?status=waiting&limit=2&cursor={cursor}")).await;
    assert_eq!((listed(&rest.body), rest.body.get("next_cursor")), (ids[2..].to_vec(), None));
    assert_eq!(listed(&bed.get("olga", "/v1/approvals?status=approved").await.body), Vec::<String>::new());
    assert_eq!(listed(&bed.get("mia", "/v1/approvals").await.body), ids, "the receiver's manager");
    assert_eq!(
        listed(&bed.get("wim", "/v1/approvals").await.body),
        Vec::<String>::new(),
        "a place that is not concerned"
    );
    assert_eq!(bed.get("wim", &format!("/v1/approvals/{}", ids[0])).await.status, 404);
    bed.stop().await;
}

#[tokio::test]
async fn only_who_asked_withdraws_and_twice_is_once() {
    let bed = Bed::start().await;
    let id = bed.ask_id(&cross_region()).await;
    let route = format!("/v1/approvals/{id}/withdrawal");
    let foreign = bed.post("mia", &route, None, &json!({"reason": "mine"})).await;
    assert_eq!((foreign.status, foreign.problem()), (403, "not-the-requester"));
    for _ in 0..2 {
        let withdrawn = bed.post("n8n", &route, None, &json!({"reason": "sold out at the donor"})).await;
        assert_eq!((withdrawn.status, withdrawn.body["status"].as_str()), (200, Some("withdrawn")));
    }
    let late = bed.decide("olga", &id, json!({"decision": "approve"})).await;
    assert_eq!((late.status, late.problem()), (409, "already-over"));
    bed.stop().await;
}

#[tokio::test]
async fn the_policy_in_force_is_shown_and_a_preview_keeps_nothing() {
    let bed = Bed::start().await;
    let policy = bed.get("olga", "/v1/policy").await;
    assert_eq!(policy.body["policy"]["policy"], "default");
    let preview = bed.post("olga", "/v1/policies/default/preview", None, &json!({"request": cross_region()})).await;
    assert_eq!(preview.body["route"]["row"], "cross-region-transfer");
    assert_eq!(preview.body["route"]["trace"][0]["row"], "routine-transfer");
    assert_eq!(bed.get("n8n", "/v1/approvals").await.body["items"], json!([]));
    bed.stop().await;
}

#[tokio::test]
async fn during_a_rotation_both_keys_are_published_and_old_grants_still_verify() {
    let bed = Bed::start().await;
    let before = bed.ask(&routine()).await;
    let old: Jwks = serde_json::from_value(bed.get("", "/.well-known/jwks.json").await.body).unwrap();
    bed.rotate_key(&old, &key(9));
    let jwks: Jwks = serde_json::from_value(bed.get("", "/.well-known/jwks.json").await.body).unwrap();
    assert_eq!((jwks.keys.len(), &jwks.keys[1]), (2, &old.keys[0]));
    let after = bed.ask(&routine()).await;
    let verifier = GrantVerifier::from_jwks(&jwks).unwrap();
    for approval in [before, after] {
        verifier.verify(approval["grant"].as_str().unwrap(), "steward/supply", bed.clock.now()).unwrap();
    }
    bed.stop().await;
}

#[test]
fn everything_wrong_in_the_settings_is_said_at_once() {
    let wrong = "approvals: {policy_file: /nowhere/policy.yaml, signing_key_file: /nowhere/key.pem, link_secret: short, \
                 callback_secret: plain}";
    let error = approval_svc::service(&chassis::Settings::from_yaml(wrong).unwrap()).err().unwrap();
    for key in
        ["policy_file: /nowhere/policy.yaml", "signing_key_file: /nowhere/key.pem", "link_secret", "callback_secret"]
    {
        assert!(error.problems.iter().any(|problem| problem.contains(key)), "{key} is missing in {error}");
    }
    let typo = chassis::Settings::from_yaml("approvals: {polcy_file: x}").unwrap();
    assert!(approval_svc::service(&typo).err().unwrap().to_string().contains("policy_file"));
    assert!(approval_svc::service(&chassis::Settings::from_yaml("").unwrap()).is_ok(), "the defaults serve a trial");
}
