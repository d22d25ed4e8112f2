//! Series of sales that are judged as they grow.

use futures_util::future::join_all;
use jiff::{ToSpan, civil::date};
use reqwest::StatusCode;
use serde_json::{Value, json};

use crate::bed::Scoring;

const OBSERVATIONS: &str = "/v1/demand-signal/observations";
const SERIES: &str = "/v1/demand-signal/series/SKU-1/store-1";

/// So many days after the beginning of a series.
fn day(after: i32) -> String {
    (date(2026, 9, 1) + after.days()).to_string()
}

fn sold(after: i32, units: f64) -> Value {
    json!({"product": "SKU-1", "location": "store-1", "day": day(after), "bucket": {"units": units, "out_of_stock": 0.0}})
}

/// Six weeks with thirty on each third day of the week, and ten on the others.
fn weeks() -> Vec<Value> {
    (0..42).map(|after| sold(after, if after % 7 == 2 { 30.0 } else { 10.0 })).collect()
}

async fn observe(scoring: &Scoring, items: &[Value]) -> Vec<Value> {
    let (status, told) = scoring.post(OBSERVATIONS, &json!({"items": items})).await;
    assert_eq!(status, StatusCode::OK, "{told}");
    told["items"].as_array().unwrap().clone()
}

async fn grows(scoring: &Scoring) {
    assert_eq!(scoring.get(SERIES).await.0, StatusCode::NOT_FOUND);
    let first = observe(scoring, &weeks()).await;
    assert_eq!((&first[0]["signal"]["event"], &first[41]["signal"]["event"]), (&json!("unknown"), &json!("ordinary")));
    let spike = observe(scoring, &[sold(42, 160.0)]).await.remove(0);
    assert_eq!((&spike["signal"]["event"], &spike["repeated"]), (&json!("spike"), &json!(false)), "{spike}");

    // The same series in one request is judged alike: the state is what the buckets before say, no more and no less.
    let units: Vec<f64> = (0..43)
        .map(|n| {
            if n == 42 {
                160.0
            } else if n % 7 == 2 {
                30.0
            } else {
                10.0
            }
        })
        .collect();
    let series = json!({"grain": "day", "first": day(0), "units": units, "out_of_stock": vec![0.0; 43]});
    let (_, whole) = scoring.post("/v1/demand-signal/score", &json!({"series": series})).await;
    assert_eq!(whole["signal"], spike["signal"], "{whole}");

    let again =
        observe(scoring, &[sold(41, 10.0), sold(42, 160.0), sold(42, 161.0), sold(3, 10.0), sold(43, 10.0)]).await;
    assert_eq!((&again[0]["repeated"], &again[0]["signal"]), (&json!(true), &first[41]["signal"]));
    assert_eq!((&again[1]["repeated"], &again[1]["signal"]), (&json!(true), &spike["signal"]));
    assert_eq!(again[2]["problem"]["status"], 409, "{}", again[2]);
    assert!(again[2]["problem"]["type"].as_str().unwrap().ends_with("bucket-told"), "{}", again[2]);
    assert!(again[3]["problem"]["type"].as_str().unwrap().ends_with("bucket-passed"), "{}", again[3]);
    assert_eq!((&again[4]["repeated"], &again[4]["day"]), (&json!(false), &json!(day(43))), "the rest is unharmed");

    let (status, known) = scoring.get(SERIES).await;
    assert_eq!((status, &known["buckets"], &known["observed"]), (StatusCode::OK, &json!(44), &json!(44)), "{known}");
    assert_eq!((&known["first"], &known["last"]), (&json!(day(0)), &json!(day(43))));
    assert_eq!(known["latest"].as_array().unwrap().len(), 28);
    // The first of September 2026 is a Tuesday, so the third day of the week is a Thursday.
    let week = known["week"].as_object().unwrap();
    let busiest = week.iter().max_by(|a, b| a.1.as_f64().partial_cmp(&b.1.as_f64()).unwrap()).unwrap().0;
    assert_eq!((busiest.as_str(), week.len()), ("thursday", 7), "{known}");
    assert!(known["summary"].as_str().unwrap().contains("Most on thursday"), "{known}");
}

#[actix_web::test]
async fn a_series_is_judged_as_it_grows_and_learns_from_each_bucket_once() {
    grows(&Scoring::start().await).await;
}

#[actix_web::test]
async fn a_series_grows_on_postgresql_and_two_who_tell_at_once_lose_nothing() {
    testkit::require!(Postgres);
    let postgres = testkit::Postgres::start().await.unwrap();
    let database = postgres.create_database("series").await.unwrap();
    let store = format!("url: '{database}'");
    let scoring = Scoring::start_on(&store).await;
    grows(&scoring).await;
    // Everybody tells the same of twelve series in another order; each bucket counts once.
    let of = |sku: usize, after: i32| {
        let mut one = sold(after, 5.0);
        one["product"] = json!(format!("TWIN-{sku}"));
        one
    };
    let calls: Vec<Vec<Value>> = (0..8)
        .map(|call| (0..12).map(|nth| of((nth + call) % 12, i32::try_from(call / 2).unwrap())).collect())
        .collect();
    let other = Scoring::start_on(&store).await;
    let replicas = [&scoring, &other];
    let told = calls.iter().enumerate().map(|(call, items)| observe(replicas[call % 2], items));
    let told: Vec<Value> = join_all(told).await.concat();
    let learnt = told.iter().filter(|one| one["repeated"] == false).count();
    let mut buckets = 0;
    for sku in 0..12 {
        let (_, known) = scoring.get(&format!("/v1/demand-signal/series/TWIN-{sku}/store-1")).await;
        buckets += known["latest"].as_array().unwrap().len();
    }
    assert_eq!(learnt, buckets, "what was answered as learnt is what is kept");
    assert!(told.iter().all(|one| one["signal"].is_object() || one["problem"]["status"] == 409), "{told:?}");
}

#[actix_web::test]
async fn days_that_nobody_told_of_are_passed_and_weeks_keep_their_step() {
    let scoring = Scoring::start().await;
    observe(&scoring, &weeks()).await;
    observe(&scoring, &[sold(49, 10.0)]).await;
    let (_, known) = scoring.get(SERIES).await;
    assert_eq!((&known["buckets"], &known["observed"]), (&json!(50), &json!(43)));
    let week = |after: i32| {
        json!({"product": "SKU-1", "location": "store-1", "grain": "week", "day": day(after),
        "bucket": {"units": 50.0}})
    };
    let told = observe(&scoring, &[week(0), week(7), week(10), week(21)]).await;
    assert_eq!((&told[1]["repeated"], &told[3]["repeated"]), (&json!(false), &json!(false)), "{told:?}");
    assert_eq!(told[2]["problem"]["errors"][0]["pointer"], "/day", "{told:?}");
    let (_, weeks) = scoring.get(&format!("{SERIES}?grain=week")).await;
    assert_eq!(
        (&weeks["buckets"], &weeks["week"], &weeks["judges"]),
        (&json!(4), &json!({}), &json!(false)),
        "{weeks}"
    );
}

#[actix_web::test]
async fn another_version_never_goes_on_with_a_state_that_is_not_its_own() {
    let scoring = Scoring::start().await;
    observe(&scoring, &weeks()).await;
    let (_, shipped) = scoring.get("/v1/models/demand-signal/versions/1").await;
    let mut parameters = shipped["parameters"].clone();
    parameters["version"] = json!("2");
    parameters["day"]["memory"] = json!(0.5);
    let series = json!({"grain": "day", "first": "2026-06-01", "units": vec![5.0; 60]});
    let cases = json!([{"request": {"series": series}, "outcome": {"events": []}}]);
    let body =
        json!({"parameters": parameters, "cases": cases, "force": true, "reason": "to see what becomes of states"});
    let (status, published) = scoring.operate("/v1/models/demand-signal/versions", &body).await;
    assert_eq!(status, StatusCode::CREATED, "{published}");

    let (_, kept) = scoring.get(SERIES).await;
    assert_eq!(kept["model"]["version"], "1", "until the next bucket it is the state of who made it");
    let repeated = observe(&scoring, &[sold(41, 10.0)]).await.remove(0);
    assert_eq!((&repeated["version"], &repeated["relearned"]), (&json!("1"), &Value::Null));
    let next = observe(&scoring, &[sold(42, 10.0)]).await.remove(0);
    assert_eq!((&next["version"], &next["relearned"]), (&json!("2"), &json!(28)), "{next}");
    let (_, kept) = scoring.get(SERIES).await;
    assert_eq!(
        (&kept["model"]["version"], &kept["buckets"], &kept["first"]),
        (&json!("2"), &json!(29), &json!(day(14)))
    );
    let week = kept["week"].as_object().unwrap();
    let busiest = week.iter().max_by(|a, b| a.1.as_f64().partial_cmp(&b.1.as_f64()).unwrap()).unwrap().0;
    assert_eq!(busiest, "thursday");
}

#[actix_web::test]
async fn a_bad_bucket_is_told_by_its_fields() {
    let scoring = Scoring::start().await;
    let mut negative = sold(0, -1.0);
    negative["bucket"]["price_share"] = json!(2.0);
    let told = observe(&scoring, &[negative, sold(400, 1.0), json!({"product": "SKU-1"}), sold(0, 4.0)]).await;
    assert_eq!(told[0]["problem"]["errors"][0]["pointer"], "/bucket/units");
    assert_eq!(told[0]["problem"]["errors"][1]["pointer"], "/bucket/price_share");
    assert_eq!(told[1]["problem"]["errors"][0]["pointer"], "/day");
    assert_eq!((&told[2]["problem"]["status"], &told[3]["repeated"]), (&json!(422), &json!(false)));
    for items in [vec![], vec![json!(1); 1_001]] {
        let (status, problem) = scoring.post(OBSERVATIONS, &json!({"items": items})).await;
        assert_eq!((status.as_u16(), &problem["errors"][0]["pointer"]), (422, &json!("/items")), "{problem}");
    }
    let (status, _) = scoring.get("/v1/demand-signal/series/SKU-1/store-1?grain=hour").await;
    assert_eq!(status, StatusCode::BAD_REQUEST);
}
