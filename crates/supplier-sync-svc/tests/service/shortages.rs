//! What is short somewhere and held elsewhere.

use crate::bed::{Bed, Setting};
use pretty_assertions::assert_eq;
use serde_json::{Value, json};

/// `minute` is of the sight.
fn stock(product: &str, location: &str, on_hand: u32, reserved: u32, minute: u32) -> String {
    let at = format!("2026-11-23T07:{minute:02}:00Z");
    json!({"kind": "stock", "product": product, "location": location, "on_hand": on_hand, "reserved": reserved,
        "observed_at": at, "system": "pos"})
    .to_string()
}

fn point(product: &str, location: &str) -> String {
    json!({"kind": "reorder_point", "product": product, "location": location, "units": 5}).to_string()
}

/// A is short at n1 and s1, held at n2 and n3, and all promised at n4; B is short everywhere, C nowhere, D is held where
/// the north does not see.
pub(crate) fn observed() -> String {
    let place = |id: &str, region: &str| json!({"kind": "location", "location": id, "region": region}).to_string();
    let lines = [
        place("n1", "north"),
        place("n2", "north"),
        place("n3", "north"),
        place("s1", "south"),
        point("A", "n1"),
        point("A", "s1"),
        stock("A", "n1", 9, 0, 1),
        stock("A", "n1", 4, 0, 3),
        stock("A", "n2", 7, 0, 1),
        stock("A", "n3", 20, 4, 1),
        stock("A", "n4", 4, 4, 1),
        stock("A", "s1", 9, 4, 2),
        point("B", "n1"),
        stock("B", "n1", 1, 0, 1),
        stock("B", "n2", 0, 0, 1),
        stock("C", "n1", 1, 0, 1),
        point("D", "n1"),
        stock("D", "n1", 1, 0, 1),
        stock("D", "s1", 9, 0, 1),
    ];
    lines.join("\n")
}

/// Product, where it is short since which minute, who holds some.
type Told = (String, Vec<(String, String)>, Vec<String>);

fn told(page: &Value) -> Vec<Told> {
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    let one = |item: &Value| {
        let short = item["short"].as_array().unwrap().iter().map(|one| (text(&one["location"]), text(&one["since"])));
        (text(&item["product"]), short.collect(), item["holders"].as_array().unwrap().iter().map(text).collect())
    };
    page["items"].as_array().unwrap().iter().map(one).collect()
}

fn short(location: &str, minute: u32) -> (String, String) {
    (location.to_owned(), format!("2026-11-23T07:{minute:02}:00Z"))
}

async fn bed() -> Bed {
    let north = json!([{"role": "regional_ops", "regions": ["north"]}]);
    let bed = Bed::with(Setting { with_odoo: false, callers: vec![("north", north)], ..Setting::default() }).await;
    let answers = bed.observe(&observed()).await;
    assert!(answers.iter().all(|answer| answer["accepted"] == true), "{answers:?}");
    bed
}

#[actix_web::test]
async fn a_shortage_names_who_is_short_since_when_and_who_could_give() {
    let bed = bed().await;
    let (status, page) = bed.get("/shortages").await;
    assert_eq!(status, 200, "{page}");
    let a = ("A".to_owned(), vec![short("s1", 2), short("n1", 3)], vec!["n3".to_owned(), "n2".to_owned()]);
    let d = ("D".to_owned(), vec![short("n1", 1)], vec!["s1".to_owned()]);
    assert_eq!(told(&page), [a.clone(), d.clone()]);
    let (_, first) = bed.get("/shortages?limit=1").await;
    let (_, second) = bed.get(&format!("/shortages?limit=1&cursor={}", first["next_cursor"].as_str().unwrap())).await;
    assert_eq!((told(&first), told(&second)), (vec![a], vec![d]));
    assert!(second["next_cursor"].is_null());
}

#[actix_web::test]
async fn what_a_role_does_not_reach_is_not_told() {
    let bed = bed().await;
    let (_, page) = bed.get_as("north", "/shortages").await;
    assert_eq!(told(&page), [("A".to_owned(), vec![short("n1", 3)], vec!["n3".to_owned(), "n2".to_owned()])]);
}

#[actix_web::test]
async fn a_shortage_keeps_its_name_until_stock_has_risen() {
    let bed = bed().await;
    let name = async || bed.get("/shortages").await.1["items"][0]["short"][1]["id"].clone();
    let first = name().await;
    bed.observe(&stock("A", "n1", 3, 0, 4)).await;
    assert_eq!(name().await, first, "it only got worse");
    bed.observe(&[stock("A", "n1", 8, 0, 5), stock("A", "n1", 2, 0, 6)].join("\n")).await;
    assert_ne!(name().await, first, "another fall is another shortage");
}
