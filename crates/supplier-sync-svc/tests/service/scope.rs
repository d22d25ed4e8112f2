//! Who may look where, and who may move what.

use reqwest::StatusCode;
use serde_json::{Value, json};

use crate::bed::{Bed, Setting};

const PLACES: [&str; 3] = ["S1", "S2", "S3"];

/// S1 lies in the north, S2 in the south, S3 nobody knows where.
async fn bed(with_odoo: bool) -> Bed {
    let at = |role: &str, place: &str| json!({"role": role, "locations": [place]});
    let across = |role: &str, region: &str| json!({"role": role, "regions": [region]});
    let callers = vec![
        ("service", json!([{"role": "service"}])),
        ("store-1", json!([at("store_manager", "S1")])),
        ("south", json!([across("regional_ops", "south")])),
        ("both", json!([at("store_manager", "S1"), across("regional_ops", "south")])),
        ("north-service", json!([across("service", "north")])),
        // One role reaches everywhere, but may not draft.
        ("finance", json!([{"role": "finance"}, at("store_manager", "S1")])),
        ("auditor", json!([{"role": "auditor"}])),
    ];
    let bed = Bed::with(Setting { with_odoo, callers, ..Setting::default() }).await;
    let mut lines = vec![
        json!({"kind": "location", "location": "S1", "region": "north"}),
        json!({"kind": "location", "location": "S2", "region": "south"}),
    ];
    lines.extend(PLACES.map(|place| {
        json!({"kind": "stock", "product": "P", "location": place, "on_hand": 1,
            "observed_at": "2026-11-23T07:00:00Z", "system": "pos"})
    }));
    let lines: Vec<String> = lines.iter().map(Value::to_string).collect();
    bed.observe(&lines.join("\n")).await;
    bed
}

fn slug(problem: &Value) -> &str {
    problem["type"].as_str().unwrap_or_default().rsplit('/').next().unwrap_or_default()
}

#[actix_web::test]
async fn facts_are_read_only_where_a_role_of_the_caller_reaches() {
    let bed = bed(false).await;
    let reach = [
        ("n8n", vec!["S1", "S2", "S3"]),
        ("service", vec!["S1", "S2", "S3"]),
        ("store-1", vec!["S1"]),
        ("south", vec!["S2"]),
        ("both", vec!["S1", "S2"]),
        ("north-service", vec!["S1"]),
        ("finance", vec!["S1", "S2", "S3"]),
        ("auditor", vec!["S1", "S2", "S3"]),
    ];
    for (caller, reached) in reach {
        let items: Vec<_> = PLACES.iter().map(|place| json!({"product": "P", "location": place})).collect();
        let (status, batch) = bed.post_as(caller, "/facts/batch", "", &json!({"items": items})).await;
        assert_eq!(status, 200, "{batch}");
        for (place, answer) in PLACES.iter().zip(batch["items"].as_array().unwrap()) {
            let (status, body) = bed.get_as(caller, &format!("/facts/P/{place}")).await;
            if reached.contains(place) {
                assert_eq!(status, 200, "{caller} at {place}: {body}");
                assert_eq!(answer["facts"]["hash"], body["hash"], "{caller} at {place}");
            } else {
                assert_eq!((status, slug(&body)), (StatusCode::FORBIDDEN, "out-of-scope"), "{caller} at {place}");
                assert_eq!(slug(&answer["problem"]), "out-of-scope", "{caller} at {place}: {answer}");
            }
        }
    }
    let (status, _) = bed.get_as("store-1", "/facts/UNKNOWN/S3").await;
    assert_eq!(status, 403, "what is known elsewhere is not told by a 404 either");
}

#[actix_web::test]
async fn a_list_of_what_was_sold_has_only_what_a_role_of_the_caller_reaches_and_no_day_before_the_first() {
    let bed = bed(false).await;
    let sales = PLACES.iter().flat_map(|place| ["2026-11-20", "2026-11-22"].map(|day| (place, day)));
    let lines = sales.map(|(place, day)| {
        json!({"kind": "sales", "product": "P", "location": place, "day": day, "units": 2}).to_string()
    });
    bed.observe(&lines.collect::<Vec<_>>().join("\n")).await;
    for (caller, reached) in [("service", vec!["S1", "S2", "S3"]), ("both", vec!["S1", "S2"]), ("store-1", vec!["S1"])]
    {
        let (mut seen, mut next) = (Vec::new(), String::new());
        loop {
            let (status, page) = bed.get_as(caller, &format!("/facts?sold_since=2026-11-22&limit=1{next}")).await;
            assert_eq!(status, 200, "{page}");
            seen.extend(page["items"].as_array().unwrap().iter().cloned());
            let Some(cursor) = page["next_cursor"].as_str() else { break };
            next = format!("&cursor={cursor}");
        }
        let expected = reached.iter().map(|place| json!({"product": "P", "location": place, "last_day": "2026-11-22"}));
        assert_eq!(seen, expected.collect::<Vec<_>>(), "{caller}");
    }
    let (_, none) = bed.get_as("service", "/facts?sold_since=2026-11-23").await;
    assert_eq!(none["items"], json!([]));
    let (status, problem) = bed.get_as("service", "/facts").await;
    assert_eq!((status, &problem["errors"][0]["pointer"]), (StatusCode::BAD_REQUEST, &json!("query:sold_since")));
}

#[actix_web::test]
async fn a_transfer_is_presented_only_by_somebody_who_reaches_one_of_its_ends() {
    let bed = bed(true).await;
    let reach = [
        ("service", vec!["S1", "S2", "S3"]),
        ("store-1", vec!["S1"]),
        ("south", vec!["S2"]),
        ("both", vec!["S1", "S2"]),
        ("north-service", vec!["S1"]),
        ("finance", vec!["S1"]),
    ];
    let ways = PLACES.iter().flat_map(|from| PLACES.iter().map(move |to| (*from, *to))).filter(|(from, to)| from != to);
    for (n, (from, to)) in ways.enumerate() {
        let action = json!({"type": "transfer", "product": "P", "from": from, "to": to, "quantity": 1.0});
        for (caller, reached) in &reach {
            let key = format!("{caller}-{n}");
            let (status, problem) = bed.post_as(caller, "/transfers", &key, &json!({"action": action})).await;
            // The grant is asked for after the place.
            let allowed = reached.contains(&from) || reached.contains(&to);
            let expected = if allowed { "grant-missing" } else { "out-of-scope" };
            assert_eq!((status, slug(&problem)), (StatusCode::FORBIDDEN, expected), "{caller}: {from} to {to}");
        }
        let (status, problem) = bed.post_as("auditor", "/transfers", "a", &json!({"action": action})).await;
        assert_eq!((status, slug(&problem)), (StatusCode::FORBIDDEN, "forbidden"), "has no role for it anywhere");
    }
}
