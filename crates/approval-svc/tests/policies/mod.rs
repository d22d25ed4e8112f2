//! Policies from draft to judgement: published, replaced, rolled back, replayed.

use serde_json::{Value, json};

use crate::bed::{Bed, Wish, cross_region, on_both_stores, routine};

const VERSIONS: &str = "/v1/policies/default/versions";

/// Everything that finance does not see is refused: small, so that tests can change it.
const BASE: &str = "
policy: default
version: 1
grant_valid_for: 1h
money: {base: EUR, as_of: 2026-11-02, rates: {USD: \"0.5\"}}
rows:
  - name: small
    when: {kind: [transfer], region: {crosses: false}, value: {currency: EUR, below: 50000}}
    then: auto_approve
  - name: rest
    then: {steps: [{ask: {role: finance}, decide_within: 4h}]}
";

on_both_stores! {
    what_is_wrong_is_refused_by_row_and_field_and_nothing_is_published
    an_overlay_judges_its_business_unit_alone_and_is_pinned_with_the_base
    a_preview_shows_the_route_under_a_draft_with_the_conversion_and_keeps_nothing
    a_simulation_says_in_money_and_hours_what_a_draft_would_have_changed
    what_the_directory_does_not_know_or_the_check_cannot_tell_is_not_published
}

fn version(number: u32) -> String {
    BASE.replace("version: 1", &format!("version: {number}"))
}

fn pointers(body: &Value) -> Vec<String> {
    let errors = body["errors"].as_array().unwrap_or_else(|| panic!("{body}"));
    errors.iter().map(|error| error["pointer"].as_str().unwrap().to_owned()).collect()
}

async fn row_of(bed: &Bed, asks: &Value) -> Value {
    bed.ask(asks).await["policy"].clone()
}

#[tokio::test]
async fn a_published_version_judges_at_once_and_an_older_one_can_be_activated_again() {
    let bed = Bed::with(&Wish { policy: Some(BASE), ..Wish::default() }).await;
    publish_replace_and_roll_back(&bed).await;
    // What was published outlives the process, and the file does not take over again.
    let strict = version(3).replace("below: 50000", "below: 1");
    assert_eq!(bed.post_yaml("petra", VERSIONS, &strict).await.status, 201);
    let bed = bed.restart().await;
    assert_eq!(bed.get("petra", "/v1/policy").await.body["reference"]["version"], 3);
    assert_eq!(row_of(&bed, &routine()).await["row"], "rest");
    bed.stop().await;
}

#[tokio::test]
async fn on_postgresql_the_other_replica_judges_by_it_within_seconds() {
    testkit::require!(Postgres);
    let postgres = testkit::Postgres::start().await.unwrap();
    let url = postgres.url();
    let wish = Wish { policy: Some(BASE), store: Some(&url), ..Wish::default() };
    let (one, two) = (Bed::with(&wish).await, Bed::with(&wish).await);
    assert_eq!(two.get("petra", "/v1/policy").await.body["reference"]["version"], 1);
    publish_replace_and_roll_back(&one).await;
    let strict = version(4).replace("below: 50000", "below: 1");
    assert_eq!(one.post_yaml("petra", VERSIONS, &strict).await.status, 201);
    tokio::time::sleep(std::time::Duration::from_millis(2100)).await;
    assert_eq!(two.get("petra", "/v1/policy").await.body["reference"]["version"], 4);
    assert_eq!(one.get("petra", VERSIONS).await.body, two.get("petra", VERSIONS).await.body);
    one.stop().await;
    two.stop().await;
}

async fn publish_replace_and_roll_back(bed: &Bed) {
    let first = bed.ask(&routine()).await;
    assert_eq!((&first["status"], &first["policy"]["version"]), (&json!("approved"), &json!(1)));
    let strict = version(2).replace("below: 50000", "below: 100");
    for caller in ["olga", "opal", "n8n"] {
        assert_eq!(bed.post_yaml(caller, VERSIONS, &strict).await.status, 403, "{caller} may not publish");
    }
    let published = bed.post_yaml("petra", VERSIONS, &strict).await;
    assert_eq!((published.status, &published.body["active"]), (201, &json!(true)), "{}", published.body);
    assert_eq!(published.body["published_by"], "person:petra");
    let judged = bed.ask(&routine()).await;
    assert_eq!((&judged["status"], &judged["policy"]["version"]), (&json!("waiting"), &json!(2)));
    assert_eq!(judged["policy"]["digest"], published.body["reference"]["digest"]);

    let again = bed.post_yaml("petra", VERSIONS, &strict).await;
    assert_eq!((again.status, &again.body["reference"]), (200, &published.body["reference"]));
    let other = bed.post_yaml("petra", VERSIONS, &version(2)).await;
    assert_eq!((other.status, other.problem()), (409, "version-taken"), "a version never changes");

    let back = format!("{VERSIONS}/1/activate");
    assert_eq!(bed.post("petra", &back, None, &json!({"reason": " "})).await.status, 422);
    assert_eq!(bed.post("opal", &back, None, &json!({"reason": "too strict"})).await.status, 403);
    let back = bed.post("petra", &back, None, &json!({"reason": "too strict"})).await;
    assert_eq!((back.status, &back.body["active"], &back.body["published_by"]), (200, &json!(true), &json!("file")));
    assert_eq!(bed.ask(&routine()).await["policy"]["version"], 1);
    let versions = bed.get("olga", VERSIONS).await.body;
    let active: Vec<_> = versions["items"].as_array().unwrap().iter().map(|one| one["active"].clone()).collect();
    assert_eq!(active, [json!(false), json!(true)], "the latest first");
    assert_eq!(bed.audited("policy:default@2").await, [("person:petra".into(), "policy.published".into())]);
    assert_eq!(bed.audited("policy:default@1").await, [("person:petra".into(), "policy.activated".into())]);
    for unknown in ["/v1/policies/default/versions/9", "/v1/policies/other/versions"] {
        assert_eq!(bed.get("olga", unknown).await.status, 404, "{unknown}");
    }
}

async fn what_is_wrong_is_refused_by_row_and_field_and_nothing_is_published(store: Option<&str>) {
    let bed = Bed::with(&Wish { policy: Some(BASE), store, ..Wish::default() }).await;
    let refused = async |text: &str| {
        let seen = bed.post_yaml("petra", VERSIONS, text).await;
        assert_eq!(seen.status, 422, "{}", seen.body);
        pointers(&seen.body)
    };
    let next = version(2);
    assert_eq!(refused(&next.replace("policy: default", "policy: other")).await, ["/policy"]);
    assert_eq!(
        refused(&next.replace("decide_within: 4h", "decide_within: soon")).await,
        ["/rows/1/then/steps/0/decide_within"]
    );
    assert_eq!(refused(&next.replace("role: finance", "role: auditors")).await, ["/rows/1/then/steps/0/ask"]);
    assert_eq!(refused(&next.replace(", value: {currency: EUR, below: 50000}", "")).await, ["/rows/0/when/value"]);
    assert_eq!(
        refused(&next.replace("  - name: rest\n", "  - name: rest\n    when: {kind: [transfer]}\n")).await,
        ["/rows", "/rows", "/rows"]
    );
    let case = "cases: [{name: a case, given: {kind: purchase}, expect: {row: small}}]";
    assert_eq!(refused(&format!("{next}{case}")).await, ["/cases/0"]);
    let arrays =
        json!({"policy": "default", "version": 2, "grant_valid_for": "1h", "rows": [["rest", null, {}, "deny"]]});
    assert_eq!(bed.post("petra", VERSIONS, None, &arrays).await.status, 422, "an array is no row");
    assert_eq!(bed.post_yaml("petra", VERSIONS, "a: [").await.status, 400);
    assert_eq!(bed.get("petra", VERSIONS).await.body["items"].as_array().unwrap().len(), 1);
    bed.stop().await;
}

async fn what_the_directory_does_not_know_or_the_check_cannot_tell_is_not_published(store: Option<&str>) {
    let bed = Bed::with(&Wish { policy: Some(BASE), store, ..Wish::default() }).await;
    let refused = async |path: &str, text: &str| {
        let seen = bed.post_yaml("petra", path, text).await;
        assert_eq!((seen.status, seen.problem()), (422, "invalid-request"), "{}", seen.body);
        let said: Vec<_> = seen.body["errors"].as_array().unwrap().iter().map(|one| one["detail"].clone()).collect();
        (pointers(&seen.body), json!(said).to_string())
    };
    let next = version(2);
    for (asks, at) in [
        ("ask: {people: [zoe]}", "ask"),
        ("ask: {any_of: [{role: finance}, {people: [finn, zoe]}]}", "ask/any_of/1"),
        ("ask: {role: finance}, at_timeout: {escalate: {to: {people: [zoe]}, within: 1h}}", "at_timeout/escalate/to"),
    ] {
        let (pointers, said) = refused(VERSIONS, &next.replace("ask: {role: finance}", asks)).await;
        assert_eq!(pointers, [format!("/rows/1/then/steps/0/{at}")], "{asks}");
        assert!(said.contains("row \\\"rest\\\"") && said.contains("knows no zoe"), "{said}");
    }
    // Each pair of regions is a case of its own, and 180 regions make more pairs than are looked at.
    let regions = (0..180).map(|n| format!("r{n}")).collect::<Vec<_>>().join(", ");
    let narrow = next.replace("region: {crosses: false}", &format!("region: {{from: [{regions}]}}"));
    let (pointers, said) = refused(VERSIONS, &narrow).await;
    assert_eq!(pointers, ["/rows"]);
    assert!(said.contains("too intertwined"), "{said}");
    let overlay = format!(
        "{{overlay: pharmacy, version: 1, over: default, business_unit: pharmacy, rows: [{{name: far, when: \
         {{region: {{to: [{regions}]}}}}, then: deny}}]}}"
    );
    let (pointers, said) = refused("/v1/policies/pharmacy/versions", &overlay).await;
    assert_eq!(pointers, ["/rows"]);
    assert!(said.contains("too intertwined"), "{said}");
    assert_eq!(bed.get("petra", "/v1/policies").await.body["items"].as_array().unwrap().len(), 1);
    assert_eq!(bed.get("petra", VERSIONS).await.body["items"].as_array().unwrap().len(), 1);
    bed.stop().await;
}

async fn an_overlay_judges_its_business_unit_alone_and_is_pinned_with_the_base(store: Option<&str>) {
    let bed = Bed::with(&Wish { policy: Some(BASE), store, ..Wish::default() }).await;
    let overlay = json!({"overlay": "pharmacy", "version": 1, "over": "default", "business_unit": "pharmacy",
        "rows": [{"name": "all", "then": {"steps": [{"ask": {"role": "operator"}, "decide_within": "1h"}]}}]});
    let path = "/v1/policies/pharmacy/versions";
    let astray = bed.post("petra", VERSIONS, None, &overlay).await;
    assert_eq!((astray.status, pointers(&astray.body)), (422, vec!["/overlay".into()]));
    let published = bed.post("petra", path, None, &overlay).await;
    assert_eq!(published.status, 201, "{}", published.body);
    let mut asks = routine();
    assert_eq!(row_of(&bed, &asks).await["row"], "small");
    asks["business_unit"] = json!("pharmacy");
    let judged = row_of(&bed, &asks).await;
    assert_eq!((&judged["row"], &judged["id"]), (&json!("all"), &json!("default")));
    assert_eq!(judged["overlay"], published.body["reference"]);
    let mut twin = overlay.clone();
    twin["overlay"] = json!("drugstore");
    let twin = bed.post("petra", "/v1/policies/drugstore/versions", None, &twin).await;
    assert_eq!((twin.status, pointers(&twin.body)), (422, vec!["/business_unit".into()]));
    let list = bed.get("petra", "/v1/policies").await.body;
    assert_eq!(
        list["items"][1],
        json!({"id": "pharmacy", "active": published.body["reference"], "business_unit": "pharmacy"})
    );
    bed.stop().await;
}

async fn a_preview_shows_the_route_under_a_draft_with_the_conversion_and_keeps_nothing(store: Option<&str>) {
    let bed = Bed::with(&Wish { policy: Some(BASE), store, ..Wish::default() }).await;
    let path = "/v1/policies/default/preview";
    let mut asks = routine();
    asks["facts"]["item"]["unit_cost"] = json!({"minor": 8000, "currency": "USD"});
    asks["facts"] = crate::bed::sealed(asks["facts"].clone());
    let seen = bed.post("mia", path, None, &json!({"request": asks})).await;
    let converted = json!({"value": {"minor": 96000, "currency": "EUR"}, "rate": "0.5", "as_of": "2026-11-02"});
    assert_eq!((&seen.body["route"]["row"], &seen.body["route"]["converted"]), (&json!("rest"), &converted));
    let draft = json!({"policy": "default", "version": 9, "grant_valid_for": "1h",
        "rows": [{"name": "never", "when": {"kind": ["purchase"]}, "then": "deny"}]});
    let seen = bed.post("mia", path, None, &json!({"request": asks, "draft": draft})).await;
    assert_eq!((&seen.body["route"]["row"], &seen.body["route"]["policy"]["version"]), (&json!("no-row"), &json!(9)));
    assert_eq!(seen.body["findings"][0]["kind"], "gap");
    let both = bed.post("mia", path, None, &json!({"request": asks, "draft": draft, "version": 1})).await;
    assert_eq!((both.status, pointers(&both.body)), (422, vec!["/version".into()]));
    let broken = bed.post("mia", path, None, &json!({"request": asks, "draft": {"rows": []}})).await;
    assert_eq!(
        (broken.status, broken.body["errors"][0]["pointer"].as_str().map(|at| at.starts_with("/draft"))),
        (422, Some(true))
    );
    assert_eq!(bed.get("n8n", "/v1/approvals").await.body["items"], json!([]));
    assert_eq!(bed.get("petra", VERSIONS).await.body["items"].as_array().unwrap().len(), 1);
    bed.stop().await;
}

async fn a_simulation_says_in_money_and_hours_what_a_draft_would_have_changed(store: Option<&str>) {
    let bed = Bed::with(&Wish { policy: Some(BASE), store, ..Wish::default() }).await;
    bed.ask(&routine()).await;
    for hours in [1, 3] {
        let id = bed.ask_id(&cross_region()).await;
        bed.advance(hours * 3600);
        assert_eq!(bed.decide("finn", &id, json!({"decision": "approve"})).await.status, 200);
    }
    let refused = bed.ask_id(&cross_region()).await;
    assert_eq!(bed.decide("finn", &refused, json!({"decision": "reject"})).await.status, 200);
    let waiting = bed.ask_id(&cross_region()).await;

    let path = "/v1/policy-simulations";
    assert_eq!(bed.post("olga", path, None, &json!({"policy": "default"})).await.status, 403);
    let same = bed.post("petra", path, None, &json!({"policy": "default"})).await.body;
    assert_eq!((&same["replayed"], &same["unchanged"], &same["more"]), (&json!(4), &json!(4), &json!(false)));
    let lax = json!({"policy": "default", "version": 2, "grant_valid_for": "1h", "rows": [
        {"name": "small", "when": {"value": {"currency": "EUR", "below": 50000}}, "then": "auto_approve"},
        {"name": "rest", "then": "deny"}]});
    let report = bed.post("petra", path, None, &json!({"policy": "default", "draft": lax})).await.body;
    assert_eq!((&report["changed"], &report["unchanged"]), (&json!(3), &json!(1)), "{report}");
    assert_eq!(report["approvals"]["finance"], json!({"before": 3, "after": 0, "removed": 3, "added": 0}));
    assert_eq!(report["passing_unseen"]["value"], json!([{"minor": 36000, "currency": "EUR"}]));
    assert_eq!(report["passing_though_refused"]["examples"], json!([refused]));
    assert_eq!(
        (&report["approver_hours"], &report["median_hours_saved"]),
        (&json!({"before": 4.0, "after": 0.0}), &json!(1.0))
    );
    assert_eq!(report["moves"], json!([{"from_row": "rest", "to_row": "small", "count": 3}]));
    let none = json!({"policy": "default", "ended_until": "2026-11-23T08:00:00Z"});
    assert_eq!(bed.post("petra", path, None, &none).await.body["replayed"], 0);
    let odd = json!({"policy": "default", "ended_from": "2026-11-23T08:00:00Z", "ended_until": "2026-11-23T08:00:00Z"});
    assert_eq!(bed.post("petra", path, None, &odd).await.status, 422);
    assert_eq!(bed.post("petra", path, None, &json!({"policy": "other"})).await.status, 404);
    assert_eq!(bed.get("n8n", &format!("/v1/approvals/{waiting}")).await.body["status"], "waiting");
    bed.stop().await;
}
