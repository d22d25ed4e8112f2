//! What happens around a decision: questions, edits, comments, further approvers, watchers, links, time. The stories
//! that touch the store in a way of their own are told on both stores.

use contracts::EventPayload;
use contracts::events::{ApprovalDecided, ApprovalReminded, ApprovalRequested, ApprovalSentBack};
use reqwest::Method;
use serde_json::{Value, json};
use wiremock::{Mock, MockServer, ResponseTemplate, matchers::path};

use crate::bed::{Bed, Wish, cross_region, facts_with};

const HOUR: u64 = 3600;

/// A story on SQLite, and on PostgreSQL where that is installed.
macro_rules! on_both_stores {
    ($($(#[$meta:meta])* $name:ident => $story:ident;)+) => {$(
        mod $name {
            #[tokio::test]
            async fn on_sqlite() {
                super::$story(&super::Wish::default()).await;
            }

            #[tokio::test]
            async fn on_postgresql() {
                testkit::require!(Postgres);
                let postgres = testkit::Postgres::start().await.unwrap();
                let url = postgres.url();
                super::$story(&super::Wish { store: Some(&url), ..super::Wish::default() }).await;
            }
        }
    )+};
}

on_both_stores! {
    a_question_is_answered_and_the_request_goes_on => question;
    an_edit_keeps_what_was_and_asks_again => edit;
    one_more_approver_and_watchers => further_people;
    an_inbox_shows_the_dearest_first => inbox;
    an_inbox_compares_in_one_currency_and_has_pages => inbox_pages;
    timers_of_two_replicas_do_nothing_twice => two_replicas;
}

fn wish<'a>(on: &Wish<'a>, policy: &'a str) -> Wish<'a> {
    Wish { policy: Some(policy), ..*on }
}

const TWO_OF_OPS: &str = "{policy: two, version: 1, grant_valid_for: 1h, rows: [{name: both, then: {steps: [
    {ask: {role: regional_ops}, quorum: 2, decide_within: 4h}]}}]}";

async fn question(on: &Wish<'_>) {
    let n8n = MockServer::start().await;
    Mock::given(path("/webhook-waiting/7")).respond_with(ResponseTemplate::new(200)).expect(1).mount(&n8n).await;
    let uri = n8n.uri();
    let bed = Bed::with(&Wish { callbacks: Some(&uri), ..wish(on, TWO_OF_OPS) }).await;
    let mut body = cross_region();
    body["callback"] = json!({"url": format!("{uri}/webhook-waiting/7")});
    body["on_behalf_of"] = json!("mia");
    let id = bed.ask_id(&body).await;
    let route = |what: &str| format!("/v1/approvals/{id}/{what}");
    bed.decide("sven", &id, json!({"decision": "approve"})).await;
    let back = bed.decide("olga", &id, json!({"decision": "send_back", "comment": "why so many?"})).await;
    assert_eq!(
        (back.body["status"].as_str(), &back.body["question"]["question"]),
        (Some("sent_back"), &json!("why so many?"))
    );
    bed.turns(5).await;
    assert!(n8n.received_requests().await.unwrap().is_empty(), "a workflow waits for the end");
    let events = bed.events().await;
    let (kind, told) = events.last().unwrap();
    assert_eq!((kind.as_str(), &told["asked"][0]["person"]), (ApprovalSentBack::TYPE, &json!("mia")));
    assert!(events.iter().all(|(kind, _)| kind != ApprovalDecided::TYPE), "nothing is decided");

    let early = bed.decide("olga", &id, json!({"decision": "approve"})).await;
    assert_eq!((early.status, early.problem()), (409, "already-decided"));
    let stranger = bed.post("olga", &route("answers"), None, &json!({"text": "mine"})).await;
    assert_eq!((stranger.status, stranger.problem()), (403, "not-the-requester"));
    // mia, for whom it was asked, answers by her link.
    let link = bed.link("mia").await;
    let page = bed.http(Method::GET, &link).send().await.unwrap().text().await.unwrap();
    assert!(page.contains("why so many?") && page.contains("Your answer"), "{page}");
    let form = [("decision", "answer"), ("comment", "a promotion")];
    assert_eq!(bed.http(Method::POST, &link).form(&form).send().await.unwrap().status(), 303);
    let again = bed.http(Method::POST, &link).form(&form).send().await.unwrap();
    assert_eq!(again.status(), 409, "answered once");
    let seen = bed.get("n8n", &format!("/v1/approvals/{id}")).await.body;
    assert_eq!((seen["status"].as_str(), &seen["remarks"][0]["text"]), (Some("waiting"), &json!("a promotion")));
    assert_eq!(bed.events().await.last().unwrap().0, ApprovalRequested::TYPE, "asked again");

    let done = bed.decide("olga", &id, json!({"decision": "approve", "comment": "then go"})).await;
    assert_eq!((done.body["status"].as_str(), &done.body["decided_by"]), (Some("approved"), &json!(["sven", "olga"])));
    for _ in 0..500 {
        if n8n.received_requests().await.unwrap().len() == 1 {
            break;
        }
        bed.turns(1).await;
    }
    let sent: Value = n8n.received_requests().await.unwrap()[0].body_json().unwrap();
    assert_eq!((&sent["data"]["outcome"], &sent["data"]["comment"]), (&json!("approved"), &json!("then go")));
    bed.stop().await;
}

async fn edit(on: &Wish<'_>) {
    let policy = "{policy: edits, version: 1, grant_valid_for: 1h, rows: [{name: both, then: {steps: [
        {ask: {role: regional_ops}, quorum: 2, decide_within: 4h, on_edit: {title: none}}]}}]}";
    let bed = Bed::with(&wish(on, policy)).await;
    let id = bed.ask_id(&cross_region()).await;
    let route = format!("/v1/approvals/{id}");
    bed.decide("olga", &id, json!({"decision": "approve"})).await;
    let link = bed.link("sven").await;

    let mut new = cross_region();
    new["title"] = json!("Coffee, not so urgent");
    let titled = bed.put("n8n", &route, None, &json!({"request": new})).await;
    assert_eq!((titled.status, &titled.body["steps"][0]["approvals"]), (200, &json!(1)), "{}", titled.body);
    new["action"]["quantity"] = json!(30.0);
    new["facts"] = facts_with(2.0);
    let stale = bed.put("n8n", &route, Some("\"1\""), &json!({"request": new})).await;
    assert_eq!((stale.status, stale.problem()), (412, "stale-version"));
    let edited = bed.put("n8n", &route, titled.etag.as_deref(), &json!({"request": new, "comment": "more"})).await;
    assert_eq!((edited.status, &edited.body["steps"][0]["approvals"]), (200, &json!(0)), "{}", edited.body);
    let said = &edited.body["steps"][0]["decisions"][0];
    assert_eq!((said["person"].as_str(), said["superseded_at"].is_string()), (Some("olga"), true));

    // sven had the page open since before the edit.
    let old = [("decision", "approve"), ("revision", "0")];
    let late = bed.http(Method::POST, &link).form(&old).send().await.unwrap();
    assert_eq!(late.status(), 412);
    let html = late.text().await.unwrap();
    assert!(html.contains("was edited while you looked") && html.contains("Move 30"), "{html}");
    for person in ["olga", "sven"] {
        assert_eq!(bed.decide(person, &id, json!({"decision": "approve"})).await.status, 200);
    }
    let seen = bed.get("n8n", &route).await.body;
    assert_eq!((seen["status"].as_str(), &seen["action"]["quantity"]), (Some("approved"), &json!(30.0)));
    let over = bed.put("n8n", &route, None, &json!({"request": cross_region()})).await;
    assert_eq!((over.status, over.problem()), (409, "already-over"));

    let id = bed.ask_id(&cross_region()).await;
    let route = format!("/v1/approvals/{id}");
    let foreign = bed.put("mia", &route, None, &json!({"request": new})).await;
    assert_eq!((foreign.status, foreign.problem()), (403, "not-the-requester"));
    let same = bed.put("n8n", &route, None, &json!({"request": cross_region()})).await;
    assert_eq!((same.status, same.problem()), (422, "unchanged"), "{}", same.body);
    new["action"] = json!({"type": "write_off", "product": "SKU-1", "location": "store-1", "quantity": 1.0});
    let other = bed.put("n8n", &route, None, &json!({"request": new})).await;
    assert_eq!((other.status, &other.body["errors"][0]["pointer"]), (422, &json!("/request/action/type")));
    bed.stop().await;
}

async fn further_people(on: &Wish<'_>) {
    let bed = Bed::with(on).await;
    let mut body = cross_region();
    body["watchers"] = json!(["mia"]);
    let id = bed.ask_id(&body).await;
    let route = |what: &str| format!("/v1/approvals/{id}/{what}");
    let commented = bed.post("mia", &route("comments"), None, &json!({"text": "we wait for it"})).await;
    assert_eq!((commented.status, &commented.body["status"]), (200, &json!("waiting")));
    assert_eq!(bed.post("wim", &route("comments"), None, &json!({"text": "hm"})).await.status, 404, "out of sight");
    let mute = bed.post("mia", &route("comments"), None, &json!({"text": " "})).await;
    assert_eq!((mute.status, &mute.body["errors"][0]["pointer"]), (422, &json!("/text")));

    let foreign = bed.post("opal", &route("approvers"), None, &json!({"person": "finn"})).await;
    assert_eq!((foreign.status, foreign.problem()), (403, "not-asked"));
    let nobody = bed.post("olga", &route("approvers"), None, &json!({"person": "nemo"})).await;
    assert_eq!((nobody.status, &nobody.body["errors"][0]["pointer"]), (422, &json!("/person")));
    let added = bed.post("olga", &route("approvers"), None, &json!({"person": "finn"})).await;
    assert_eq!((added.status, &added.body["steps"][0]["added"][0]["person"]), (200, &json!("finn")));
    for _ in 0..2 {
        let watched = bed.post("olga", &route("watchers"), None, &json!({"person": "opal"})).await;
        assert_eq!((watched.status, &watched.body["watchers"]), (200, &json!(["mia", "opal"])));
    }
    let half = bed.decide("olga", &id, json!({"decision": "approve"})).await;
    assert_eq!(half.body["status"], "waiting", "finn is asked as well");
    let watcher = bed.decide("mia", &id, json!({"decision": "approve"})).await;
    assert_eq!((watcher.status, watcher.problem()), (403, "not-asked"));
    let form = [("decision", "approve")];
    assert_eq!(bed.http(Method::POST, &bed.link("finn").await).form(&form).send().await.unwrap().status(), 303);
    let (kind, told) = bed.events().await.pop().unwrap();
    let watchers: Vec<_> = told["watchers"].as_array().unwrap().iter().map(|told| told["person"].clone()).collect();
    assert_eq!((kind.as_str(), watchers), (ApprovalDecided::TYPE, vec![json!("mia"), json!("opal")]));
    let page = bed.http(Method::GET, &bed.link("mia").await).send().await.unwrap().text().await.unwrap();
    assert!(page.contains("approved this on") && !page.contains("<form"), "{page}");
    let mut unknown = cross_region();
    unknown["watchers"] = json!(["mia", "nemo"]);
    let unknown = bed.post("n8n", "/v1/approvals", Some("w"), &unknown).await;
    assert_eq!((unknown.status, &unknown.body["errors"][0]["pointer"]), (422, &json!("/watchers/1")));
    bed.stop().await;
}

async fn inbox(on: &Wish<'_>) {
    let bed = Bed::with(on).await;
    let mut ids = Vec::new();
    for cost in [None, Some(900), Some(5_000), None] {
        let mut body = cross_region();
        if let Some(minor) = cost {
            body["cost_of_waiting_per_hour"] = json!({"minor": minor, "currency": "EUR"});
        }
        if ids.len() == 3 {
            body["decide_by"] = json!(bed.clock.now() + std::time::Duration::from_secs(HOUR));
        }
        ids.push(bed.ask_id(&body).await);
    }
    let listed = async |caller: &str| -> Vec<usize> {
        let page = bed.get(caller, "/v1/approvals?inbox=true").await;
        assert_eq!(page.status, 200, "{}", page.body);
        let items = page.body["items"].as_array().unwrap().clone();
        items.iter().map(|item| ids.iter().position(|id| *id == item["id"].as_str().unwrap()).unwrap()).collect()
    };
    assert_eq!(listed("olga").await, [2, 1, 3, 0], "by money, then by the time that is left");
    bed.decide("olga", &ids[2], json!({"decision": "reject"})).await;
    assert_eq!(listed("sven").await, [1, 3, 0]);
    assert_eq!(listed("finn").await, [] as [usize; 0], "nothing that finn could decide");
    assert_eq!(listed("n8n").await, [] as [usize; 0], "a program decides nothing");
    let both = bed.get("olga", "/v1/approvals?inbox=true&status=waiting").await;
    assert_eq!(both.status, 422);
    let newest_first = bed.get("olga", "/v1/approvals?limit=1").await.body["next_cursor"].as_str().unwrap().to_owned();
    let foreign = bed.get("olga", &format!("/v1/approvals?inbox=true&cursor={newest_first}")).await;
    assert_eq!(foreign.status, 400, "a cursor is of one list: {}", foreign.body);
    bed.stop().await;
}

const IN_EUROS: &str = "{policy: euros, version: 1, grant_valid_for: 1h,
    money: {base: EUR, as_of: 2026-11-02, rates: {USD: '0.5', JPY: '0.006'}},
    rows: [{name: ops, then: {steps: [{ask: {role: regional_ops}, decide_within: 4h}]}}]}";

async fn inbox_pages(on: &Wish<'_>) {
    let bed = Bed::with(&wish(on, IN_EUROS)).await;
    // In the order that is right: as bare numbers it would be another.
    let costs = [
        ("EUR", Some(6_000)),
        ("USD", Some(10_000)),
        ("JPY", Some(5_000)),
        ("USD", Some(5_800)),
        ("SEK", Some(900_000)),
        ("EUR", None),
        ("SEK", Some(10)),
    ];
    let mut ids = vec![String::new(); costs.len()];
    for (i, (currency, cost)) in costs.iter().enumerate().rev() {
        let mut body = cross_region();
        if let Some(minor) = cost {
            body["cost_of_waiting_per_hour"] = json!({"minor": minor, "currency": currency});
        }
        if i >= 4 {
            let soon = std::time::Duration::from_secs(600 * i as u64);
            body["decide_by"] = json!(bed.clock.now() + soon);
        }
        ids[i] = bed.ask_id(&body).await;
    }
    let page = async |cursor: &Option<String>| -> (Vec<usize>, Option<String>, Vec<Value>) {
        let cursor = cursor.as_deref().unwrap_or_default();
        let page = bed.get("olga", &format!("/v1/approvals?inbox=true&limit=2&cursor={cursor}")).await;
        assert_eq!(page.status, 200, "{}", page.body);
        let items = page.body["items"].as_array().unwrap().clone();
        let index = |item: &Value| ids.iter().position(|id| *id == item["id"].as_str().unwrap()).unwrap();
        let next = page.body["next_cursor"].as_str().map(str::to_owned);
        (items.iter().map(index).collect(), next, items.iter().map(|item| item["urgency"].clone()).collect())
    };
    let (first, next, urgency) = page(&None).await;
    assert_eq!(first, [0, 1], "60.00 EUR, then 100.00 USD at 0.5");
    let per_hour = |minor: i64| json!({"by": "money", "per_hour": {"minor": minor, "currency": "EUR"}});
    assert_eq!(urgency, [per_hour(6_000), per_hour(5_000)]);
    // What was shown is decided and something dearer comes in: the next page begins where this one ended.
    assert_eq!(bed.decide("olga", &ids[1], json!({"decision": "approve"})).await.status, 200);
    let mut dearer = cross_region();
    dearer["cost_of_waiting_per_hour"] = json!({"minor": 9_000, "currency": "EUR"});
    let dearer = bed.ask_id(&dearer).await;
    let (second, next, urgency) = page(&next).await;
    assert_eq!((second, urgency), (vec![2, 3], vec![per_hour(3_000), per_hour(2_900)]));
    let (third, next, urgency) = page(&next).await;
    let no_rate = json!({"by": "deadline_for_want_of_a_rate"});
    assert_eq!((third, urgency), (vec![4, 5], vec![no_rate.clone(), json!({"by": "deadline"})]));
    let (fourth, next, urgency) = page(&next).await;
    assert_eq!((fourth, next, urgency), (vec![6], None, vec![no_rate]));
    let top = bed.get("olga", "/v1/approvals?inbox=true&limit=1").await;
    assert_eq!(top.body["items"][0]["id"], json!(dearer));

    // Who stands in for olga sees what waits for olga.
    let now = bed.clock.now();
    let window = json!({"delegate": "finn", "starts_at": now, "ends_at": now + std::time::Duration::from_secs(HOUR)});
    assert_eq!(bed.get("finn", "/v1/approvals?inbox=true").await.body["items"], json!([]));
    let lent = bed.post("olga", "/v1/delegations", Some("lend"), &window).await;
    assert_eq!(lent.status, 201, "{}", lent.body);
    let seen = bed.get("finn", "/v1/approvals?inbox=true").await;
    assert_eq!(seen.body["items"].as_array().map(Vec::len), Some(7), "{}", seen.body);
    bed.stop().await;
}

/// Forty reminders, escalations and ends fall due at the same instant, and both replicas turn.
async fn two_replicas(on: &Wish<'_>) {
    const REQUESTS: usize = 40;
    let here = Bed::with(on).await;
    // SQLite has one process per file: there the one replica only restarts in between.
    let there = if on.store.is_some() { Some(Bed::with(on).await) } else { None };
    for _ in 0..REQUESTS {
        here.ask_id(&cross_region()).await;
    }
    let mut here = here;
    for round in 1..=3 {
        here.advance(2 * HOUR);
        if let Some(there) = &there {
            there.advance(2 * HOUR);
        }
        let due = async |bed: &Bed| bed.until_events(REQUESTS * (round + 1)).await;
        match &there {
            Some(there) => {
                tokio::join!(due(&here), due(there));
            }
            None => due(&here).await,
        }
        if there.is_none() {
            here = here.restart().await;
        }
    }
    here.turns(5).await;
    let events = here.events().await;
    let count = |wanted: &str, escalated: Option<bool>| {
        let same = |event: &Value| escalated.is_none_or(|escalated| event["escalated"] == escalated);
        let found = events.iter().filter(|(kind, event)| kind == wanted && same(event));
        let ids: Vec<_> = found.map(|(_, event)| event["approval_id"].to_string()).collect();
        (ids.len(), ids.iter().collect::<std::collections::BTreeSet<_>>().len())
    };
    assert_eq!(count(ApprovalReminded::TYPE, Some(false)), (REQUESTS, REQUESTS));
    assert_eq!(count(ApprovalReminded::TYPE, Some(true)), (REQUESTS, REQUESTS));
    assert_eq!(count(ApprovalDecided::TYPE, None), (REQUESTS, REQUESTS));
    here.stop().await;
    if let Some(there) = there {
        there.stop().await;
    }
}

/// Mail scanners, chats and browsers fetch links before anybody reads them, some of them twice and some as the browser
/// that they are not.
#[tokio::test]
async fn what_link_previews_do_changes_nothing() {
    let bed = Bed::start().await;
    bed.ask_id(&cross_region()).await;
    let link = bed.link("olga").await;
    let before = bed.rows().await;
    let headers: [&[(&str, &str)]; 6] = [
        &[],
        &[("user-agent", "Slackbot-LinkExpanding 1.0 (+https://api.slack.com/robots)"), ("range", "bytes=0-32768")],
        &[("user-agent", "Mozilla/5.0 (Windows NT 10.0) SafeLinks"), ("accept", "*/*")],
        &[("purpose", "prefetch"), ("sec-purpose", "prefetch;prerender")],
        &[("x-moz", "prefetch"), ("x-purpose", "preview")],
        &[("sec-fetch-mode", "navigate"), ("sec-fetch-site", "cross-site"), ("cookie", "session=1")],
    ];
    for _ in 0..3 {
        for set in headers {
            for verb in [Method::GET, Method::HEAD] {
                for query in ["", "?decision=approve", "?decision=approve&comment=ok"] {
                    let request = bed.http(verb.clone(), &format!("{link}{query}"));
                    let request = set.iter().fold(request, |request, (name, value)| request.header(*name, *value));
                    assert_eq!(request.send().await.unwrap().status(), 200, "{verb} {set:?} {query}");
                }
            }
        }
        // Neither do the other verbs that scanners try, nor a POST that is not the form.
        for verb in [Method::OPTIONS, Method::PUT, Method::DELETE, Method::PATCH] {
            let status = bed.http(verb.clone(), &link).send().await.unwrap().status().as_u16();
            assert!((400..500).contains(&status), "{verb}: {status}");
        }
        assert_eq!(bed.http(Method::POST, &link).send().await.unwrap().status(), 400);
    }
    assert_eq!(bed.rows().await, before);
    bed.stop().await;
}

#[tokio::test]
async fn a_link_decides_once_and_a_link_of_an_earlier_step_not_at_all() {
    let policy = "{policy: two, version: 1, grant_valid_for: 1h, rows: [{name: both, then: {steps: [
        {ask: {role: regional_ops}, decide_within: 4h}, {ask: {role: regional_ops}, decide_within: 4h}]}}]}";
    let bed = Bed::with(&wish(&Wish::default(), policy)).await;
    let id = bed.ask_id(&cross_region()).await;
    let first_of_sven = bed.link("sven").await;
    let link = bed.link("olga").await;
    let post = async |link: &str, decision: &str| {
        bed.http(Method::POST, link).form(&[("decision", decision)]).send().await.unwrap().status().as_u16()
    };
    // Pressed four times at once.
    let press = || post(&link, "approve");
    assert_eq!(tokio::join!(press(), press(), press(), press()), (303, 303, 303, 303));
    let said = bed.audit(&id).await.into_iter().filter(|(_, verb)| verb == "approval.approved").count();
    assert_eq!(said, 1);
    assert_eq!(post(&link, "reject").await, 303, "the first answer stands");
    assert_eq!(post(&first_of_sven, "approve").await, 409, "his link is for the step that olga decided");
    assert_eq!(bed.get("n8n", &format!("/v1/approvals/{id}")).await.body["status"], "waiting");
    assert_eq!(post(&bed.link("sven").await, "approve").await, 303);
    assert_eq!(bed.get("n8n", &format!("/v1/approvals/{id}")).await.body["status"], "approved");
    bed.stop().await;
}

#[tokio::test]
async fn time_is_counted_in_the_opening_hours_of_the_place() {
    let policy = "{policy: hours, version: 1, grant_valid_for: 1h, rows: [{name: ops, then: {steps: [
        {ask: {role: regional_ops}, decide_within: {business: 8h}, remind_after: [{business: 2h}, {business: 6h}]}]}}]}";
    // Facts are of store-1 in Berlin; it is 09:00 there.
    let calendars = "calendars: [{name: shop, locations: [store-1], time_zone: Europe/Berlin, \
        hours: [{days: [mon, tue], from: \"10:00\", to: \"15:00\"}]}]";
    let bed = Bed::with(&Wish { calendars: Some(calendars), ..wish(&Wish::default(), policy) }).await;
    let asked = bed.ask(&cross_region()).await;
    assert_eq!(asked["decide_by"], "2026-11-24T12:00:00Z", "5 h on Monday, 3 h on Tuesday");
    bed.advance(3 * HOUR);
    bed.until_events(2).await;
    assert_eq!(bed.events().await[1].0, ApprovalReminded::TYPE);
    bed.advance(20 * HOUR);
    bed.turns(3).await;
    assert_eq!(bed.events().await.len(), 2, "the shop is closed");
    bed.advance(3 * HOUR);
    bed.until_events(3).await;
    bed.stop().await;
}

#[tokio::test]
async fn steps_that_run_together_are_decided_in_any_order_and_roles_count_once() {
    let policy = "{policy: both, version: 1, grant_valid_for: 1h, rows: [{name: both, then: {steps: [
        {ask: {role: regional_ops}, decide_within: 4h},
        {ask: {any_of: [{role: finance}, {role: operator}, {role: regional_ops}]}, quorum: 2, distinct_roles: true,
         with_previous: true, decide_within: 4h}]}}]}";
    let bed = Bed::with(&wish(&Wish::default(), policy)).await;
    let id = bed.ask_id(&cross_region()).await;
    let approve = json!({"decision": "approve"});
    assert_eq!(bed.decide("finn", &id, approve.clone()).await.status, 200);
    let page = bed.http(Method::GET, &bed.link("olga").await).send().await.unwrap().text().await.unwrap();
    assert!(page.contains("finance or operator or regional ops") && page.contains("1 of 2 said yes"), "{page}");
    assert_eq!(bed.decide("olga", &id, approve.clone()).await.status, 200);
    let last = bed.decide("opal", &id, approve).await;
    assert_eq!(
        (last.body["status"].as_str(), &last.body["decided_by"]),
        (Some("approved"), &json!(["finn", "olga", "opal"]))
    );
    bed.stop().await;
}
