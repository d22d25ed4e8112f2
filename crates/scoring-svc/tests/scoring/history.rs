//! What suppliers did before is kept, so that a caller need not send it each time.

use futures_util::future::join_all;
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use crate::bed::{Scoring, answer};

const DELIVERIES: &str = "/v1/supplier-risk/deliveries";

fn line(supplier: &str, id: &str, ordered: &str, promised: &str) -> Value {
    json!({"id": id, "supplier": supplier, "channel": "direct", "mode": "sea", "destination": "NG",
        "ordered": ordered, "promised": promised})
}

/// Lines promised for the tenth of a month of 2026: `acme` was on time, `bolt` twelve days late.
fn past() -> Vec<Value> {
    let months = 1..=9;
    let told = months.flat_map(|month| {
        ["acme", "bolt"].into_iter().flat_map(move |supplier| {
            (0..3).map(move |nth| {
                let day = if supplier == "acme" { "09" } else { "22" };
                let id = format!("PO-{month}/{nth}");
                json!({"line": line(supplier, &id, &format!("2026-{month:02}-01"), &format!("2026-{month:02}-10")),
                    "received": format!("2026-{month:02}-{day}"), "units": 5.0, "units_received": 5.0})
            })
        })
    });
    told.collect()
}

fn question(supplier: &str, as_of: &str) -> Value {
    json!({"line": line(supplier, "PO-99/1", "2026-10-20", "2026-11-30"), "as_of": format!("{as_of}T08:00:00Z")})
}

async fn tell(scoring: &Scoring, items: &Value) -> Vec<Value> {
    let (status, told) = scoring.post(DELIVERIES, &json!({"items": items})).await;
    assert_eq!(status, StatusCode::OK, "{told}");
    told["items"].as_array().unwrap().clone()
}

async fn score(scoring: &Scoring, body: &Value) -> Value {
    let (status, scored) = scoring.post("/v1/supplier-risk/score", body).await;
    assert_eq!(status, StatusCode::OK, "{scored}");
    scored
}

async fn history_judges(scoring: &Scoring) {
    let none = score(scoring, &question("acme", "2026-11-20")).await;
    assert_eq!((&none["status"], &none["evidence"]["source"]), (&json!("insufficient_data"), &json!("none")), "{none}");
    let told = tell(scoring, &json!(past())).await;
    assert!(told.iter().all(|one| one["taken"] == "new" && one["telling"] == 1), "{told:?}");
    let again = tell(scoring, &json!(past())).await;
    assert!(again.iter().all(|one| one["taken"] == "same"), "{again:?}");

    let good = score(scoring, &question("acme", "2026-11-20")).await;
    let bad = score(scoring, &question("bolt", "2026-11-20")).await;
    assert!(good["score"].as_u64() < bad["score"].as_u64(), "{good} {bad}");
    assert_eq!(good["new_supplier"], false);
    let evidence = &good["evidence"];
    assert_eq!((&evidence["source"], &evidence["deliveries"]), (&json!("kept"), &json!(54)), "{evidence}");
    assert_eq!(evidence["known_before"], "2026-11-20");
    let new = score(scoring, &question("core", "2026-11-20")).await;
    assert_eq!(new["new_supplier"], true, "{new}");

    // What was used, sent by the caller, is the same question with the same answer; something else is another one.
    let mut sent = question("acme", "2026-11-20");
    sent["evidence"] = evidence["used"].clone();
    let sent = score(scoring, &sent).await;
    assert_eq!((&sent["evidence"]["source"], &sent["score"]), (&json!("sent"), &good["score"]));
    assert_eq!(sent["input_hash"], good["input_hash"]);
    let mut own = question("acme", "2026-11-20");
    own["evidence"] =
        json!({"all": {"long": {"lines": 100.0, "late": 90.0}, "recent": {"lines": 100.0, "late": 90.0}}});
    let own = score(scoring, &own).await;
    assert_ne!((&own["score"], &own["input_hash"]), (&good["score"], &good["input_hash"]));

    let items = json!({"items": [question("acme", "2026-11-20"), {"line": 1}, question("bolt", "2026-11-20")]});
    let (_, many) = scoring.post("/v1/supplier-risk/batch", &items).await;
    assert_eq!(many["items"][0]["score"], good["score"], "{many}");
    assert_eq!((&many["items"][1]["problem"]["status"], &many["items"][2]["score"]), (&json!(422), &bad["score"]));
    let stream = scoring.request(Method::POST, "/v1/supplier-risk/stream");
    let body = format!("{}\n{}\n", question("acme", "2026-11-20"), question("bolt", "2026-11-20"));
    let lines = stream.header("content-type", "application/x-ndjson").body(body).send().await.unwrap();
    let lines = lines.text().await.unwrap();
    let scores: Vec<Value> =
        lines.lines().map(|line| serde_json::from_str::<Value>(line).unwrap()["score"].clone()).collect();
    assert_eq!(scores, [good["score"].clone(), bad["score"].clone()]);

    let (_, bolt) = scoring.get("/v1/supplier-risk/suppliers/bolt").await;
    assert_eq!((&bolt["overall"]["lines"], &bolt["overall"]["on_time_share"]), (&json!(27), &json!(0.0)), "{bolt}");
    let lane = &bolt["lanes"][0];
    assert_eq!((&lane["destination"], &lane["mode"]), (&json!("NG"), &json!("sea")));
    assert_eq!(lane["delay_days"], json!({"p50": 12, "p80": 12, "p95": 12}));
    assert_eq!(scoring.get("/v1/supplier-risk/suppliers/nobody").await.0, StatusCode::NOT_FOUND);
}

#[actix_web::test]
async fn what_was_told_of_deliveries_judges_who_sends_no_evidence() {
    history_judges(&Scoring::start().await).await;
}

#[actix_web::test]
async fn what_was_told_of_deliveries_judges_on_postgresql_and_nobody_s_telling_is_lost() {
    testkit::require!(Postgres);
    let postgres = testkit::Postgres::start().await.unwrap();
    let database = postgres.create_database("history").await.unwrap();
    let scoring = Scoring::start_on(&format!("url: '{database}'")).await;
    history_judges(&scoring).await;
    let telling = |nth: usize| {
        let line = line("dune", &format!("PO-{nth}"), "2026-10-01", "2026-10-10");
        json!([{"line": line, "received": "2026-10-12"}, {"line": line, "received": "2026-10-12"}])
    };
    let items: Vec<Value> = (0..12).map(|nth| telling(nth % 6)).collect();
    let told: Vec<Value> = join_all(items.iter().map(|items| tell(&scoring, items))).await.concat();
    assert_eq!(told.iter().filter(|one| one["taken"] == "new").count(), 6, "{told:?}");
    let (_, dune) = scoring.get("/v1/supplier-risk/suppliers/dune").await;
    assert_eq!((&dune["overall"]["received"], &dune["overall"]["on_time_share"]), (&json!(6), &json!(0.0)));
}

#[actix_web::test]
async fn a_judgement_as_of_a_day_knows_nothing_of_that_day_or_later() {
    let scoring = Scoring::start().await;
    tell(&scoring, &json!(past())).await;
    let before = score(&scoring, &question("acme", "2026-10-25")).await;
    let late = json!([{"line": line("acme", "PO-50/1", "2026-10-01", "2026-10-05"), "received": "2026-11-02"}]);
    tell(&scoring, &late).await;
    let after = score(&scoring, &question("acme", "2026-11-03")).await;
    assert_eq!(after["evidence"]["deliveries"], 55);
    let on_the_day = score(&scoring, &question("acme", "2026-11-02")).await;
    assert_eq!(on_the_day["evidence"]["deliveries"], 54, "what came on the day is known from the next");
    // That the line was open and overdue was known before it came, as is its order; its delay was not.
    let then = score(&scoring, &question("acme", "2026-10-25")).await;
    let received = |answer: &Value| answer["evidence"]["used"]["supplier"]["received_late"].clone();
    assert_eq!((received(&then), received(&on_the_day)), (json!(0.0), json!(0.0)));
    assert!(received(&after).as_f64() > Some(0.9), "{after}");
    assert_eq!(then["evidence"]["deliveries"], before["evidence"]["deliveries"]);
}

#[actix_web::test]
async fn a_correction_is_kept_beside_what_it_corrects() {
    let scoring = Scoring::start().await;
    let on_time = json!({"line": line("acme", "PO-1", "2026-10-01", "2026-10-10"), "received": "2026-10-09"});
    let late = json!({"line": line("acme", "PO-1", "2026-10-01", "2026-10-10"), "received": "2026-10-20",
        "known": "2026-11-01"});
    assert_eq!(tell(&scoring, &json!([on_time])).await[0]["known"], "2026-10-09");
    assert_eq!(tell(&scoring, &json!([late])).await[0]["taken"], "replaced");
    let again = tell(&scoring, &json!([on_time, late])).await;
    assert_eq!((&again[0]["taken"], &again[0]["telling"]), (&json!("same"), &json!(1)), "a late repeat undoes nothing");
    assert_eq!((&again[1]["taken"], &again[1]["telling"]), (&json!("same"), &json!(2)));
    let (_, kept) = scoring.get(&format!("{DELIVERIES}?supplier=acme&line=PO-1")).await;
    let days: Vec<Value> =
        kept["tellings"].as_array().unwrap().iter().map(|one| one["delivery"]["received"].clone()).collect();
    assert_eq!(days, ["2026-10-09", "2026-10-20"]);
    assert_eq!((&kept["tellings"][1]["told_by"], &kept["tellings"][1]["telling"]), (&json!("key:n8n"), &json!(2)));
    let (_, known) = scoring.get("/v1/supplier-risk/suppliers/acme").await;
    assert_eq!((&known["overall"]["lines"], &known["overall"]["delay_days"]["p50"]), (&json!(1), &json!(10)));
    assert_eq!(scoring.get(&format!("{DELIVERIES}?supplier=acme&line=PO-2")).await.0, StatusCode::NOT_FOUND);
    // Told otherwise without a day: that became known today.
    let third = json!([{"line": line("acme", "PO-1", "2026-10-01", "2026-10-10"), "received": "2026-10-21"}]);
    assert_eq!(tell(&scoring, &third).await[0]["known"], "2026-11-23");
}

#[actix_web::test]
async fn lines_that_ended_otherwise_are_what_they_are() {
    let scoring = Scoring::start().await;
    let of = |id: &str| line("acme", id, "2026-10-01", "2026-10-10");
    let told = tell(
        &scoring,
        &json!([
            {"line": of("open")},
            {"line": of("partly"), "received": "2026-10-09", "units": 10.0, "units_received": 4.0},
            {"line": of("short"), "received": "2026-10-09", "cancelled": "2026-10-12", "units": 10.0, "units_received": 4.0},
            {"line": of("whole"), "received": "2026-10-09", "units": 10.0, "units_received": 10.0},
        ]),
    )
    .await;
    assert!(told.iter().all(|one| one["taken"] == "new"));
    let (_, known) = scoring.get("/v1/supplier-risk/suppliers/acme").await;
    let overall = &known["overall"];
    assert_eq!((&overall["lines"], &overall["received"], &overall["cancelled"]), (&json!(4), &json!(1), &json!(1)));
    assert_eq!((&overall["open"], &overall["overdue"]), (&json!(2), &json!(2)));
    // Once the rest has come it is another story, from the day that is known.
    let rest = json!([{"line": of("partly"), "received": "2026-11-02", "units": 10.0, "units_received": 10.0}]);
    let rest = &tell(&scoring, &rest).await[0];
    assert_eq!((&rest["taken"], &rest["known"]), (&json!("replaced"), &json!("2026-11-02")));
}

#[actix_web::test]
async fn a_bad_line_costs_only_itself_and_is_told_by_its_fields() {
    let scoring = Scoring::start().await;
    let good = line("acme", "PO-1", "2026-10-01", "2026-10-10");
    let mut backwards = good.clone();
    backwards["promised"] = json!("2026-09-01");
    let told = tell(
        &scoring,
        &json!([
            {"line": good, "received": "2026-10-09"},
            {"line": backwards, "received": "2026-10-09"},
            {"line": good, "received": "2026-12-24"},
            {"line": good, "received": "2026-09-09"},
            {"line": good, "received": "2026-10-09", "known": "2026-10-08"},
            {"line": good, "units": 0.0},
            {"line": good, "units": 3.0, "units_received": 3.0},
            {"line": good, "recieved": "2026-10-09"},
            {"line": good, "received": "2026-10-08", "known": "2026-10-08"},
        ]),
    )
    .await;
    let pointers: Vec<&Value> = told.iter().map(|one| &one["problem"]["errors"][0]["pointer"]).collect();
    let wanted =
        ["", "/line/promised", "/received", "/received", "/known", "/units", "/received", "/recieved", "/known"];
    for (pointer, wanted) in pointers.iter().zip(wanted) {
        assert_eq!(pointer.as_str().unwrap_or_default(), wanted, "{told:?}");
    }
    for items in [json!([]), json!(vec![1; 1_001])] {
        let (status, problem) = scoring.post(DELIVERIES, &json!({"items": items})).await;
        assert_eq!((status.as_u16(), &problem["errors"][0]["pointer"]), (422, &json!("/items")), "{problem}");
    }
}

#[actix_web::test]
async fn the_oldest_lines_go_when_there_are_too_many() {
    let scoring = Scoring::start_with("data_dir: FOLDER", "scoring: {supplier_history_lines: 50}").await;
    tell(&scoring, &json!(past())).await;
    let judged = score(&scoring, &question("acme", "2026-11-20")).await;
    assert_eq!(judged["evidence"]["deliveries"], 50);
    assert_eq!(scoring.get(&format!("{DELIVERIES}?supplier=acme&line=PO-1/0")).await.0, StatusCode::NOT_FOUND);
    assert_eq!(scoring.get(&format!("{DELIVERIES}?supplier=bolt&line=PO-9/2")).await.0, StatusCode::OK);
}

#[actix_web::test]
async fn an_open_line_s_risk_moves_as_days_pass() {
    let scoring = Scoring::start().await;
    tell(&scoring, &json!(past())).await;
    let mut before = 0;
    for day in ["2026-11-01", "2026-11-20", "2026-11-30"] {
        let now = score(&scoring, &question("bolt", day)).await["score"].as_u64().unwrap();
        assert!(now > before, "{day}: {now} after {before}");
        before = now;
    }
    let mut overdue = question("bolt", "2026-11-20");
    overdue["line"]["promised"] = json!("2026-11-10");
    assert_eq!(score(&scoring, &overdue).await["score"], 1_000_000);
}

#[actix_web::test]
async fn a_transport_s_risk_moves_as_milestones_arrive() {
    let scoring = Scoring::start().await;
    let step = |until: &str| json!({"until": until, "planned_minutes": 600.0});
    let mut transport = json!({"id": "T-1", "allowed_minutes": 2_000.0,
        "inbound": [{"steps": [step("received"), step("departed"), step("arrived")]}]});
    let judged = async |transport: &Value, hour: u32| {
        let body = json!({"transport": transport, "as_of": format!("2026-11-23T{hour:02}:00:00Z")});
        let post = scoring.request(Method::POST, "/v1/shipment-risk/score").json(&body);
        let (status, scored) = answer(post).await;
        assert_eq!(status, StatusCode::OK, "{scored}");
        scored["score"].as_u64().unwrap()
    };
    let at_start = judged(&transport, 0).await;
    transport["inbound"][0]["steps"][0]["took_minutes"] = json!(200.0);
    let early = judged(&transport, 4).await;
    transport["inbound"][0]["steps"][0]["took_minutes"] = json!(1_500.0);
    let late = judged(&transport, 4).await;
    assert!(early < late, "{early} and {late}");
    transport["inbound"][0]["steps"][1]["elapsed_minutes"] = json!(490.0);
    let waiting = judged(&transport, 12).await;
    assert!(waiting > late && early < at_start, "{early} {at_start} {late} {waiting}");
    transport["inbound"][0]["steps"][1] = json!({"until": "departed", "planned_minutes": 600.0, "took_minutes": 600.0});
    let over = judged(&transport, 14).await;
    assert!(over > 990_000 && over > waiting, "it has taken longer than allowed already: {over}");
}

async fn calibration(scoring: &Scoring) {
    tell(scoring, &json!(past())).await;
    // Six lines of each supplier that are due, and one that is not; all judged on the day of their order.
    let mut forecasts = 0;
    for supplier in ["acme", "bolt"] {
        for nth in 0..7 {
            let promised = if nth == 6 { "2026-12-24" } else { "2026-11-10" };
            let line = line(supplier, &format!("PO-11/{nth}"), "2026-10-20", promised);
            let body = json!({"line": line, "as_of": "2026-10-20T08:00:00Z"});
            for kept in [true, false] {
                let (status, scored) = scoring.post("/v1/supplier-risk/score?keep=true", &body).await;
                assert_eq!((status, &scored["kept"]), (StatusCode::OK, &json!(kept)), "{scored}");
            }
            forecasts += 1;
        }
    }
    let unkept = score(scoring, &question("acme", "2026-11-20")).await;
    assert_eq!((&unkept["kept"], forecasts), (&Value::Null, 14));
    let came = |supplier: &str, nth: usize, day: &str| json!({"line": line(supplier, &format!("PO-11/{nth}"), "2026-10-20", "2026-11-10"), "received": day});
    let on_time = (0..6).map(|nth| came("acme", nth, "2026-11-09"));
    let late = (0..5).map(|nth| came("bolt", nth, "2026-11-20"));
    let told = tell(scoring, &Value::Array(on_time.chain(late).collect())).await;
    assert!(told.iter().all(|one| one["taken"] == "new"), "{told:?}");
    let report = async |more: &str| {
        let query = format!("/v1/outcomes/report?from=2026-11-01T00:00:00Z&to=2026-12-01T00:00:00Z{more}");
        let (status, report) = scoring.get(&query).await;
        assert_eq!(status, StatusCode::OK, "{report}");
        report["late_deliveries"].clone()
    };
    let now = report("").await;
    let month = &now["months"][0];
    assert_eq!((&month["month"], &month["cases"]), (&json!("2026-11"), &json!(11)), "{now}");
    assert!((month["observed"].as_f64().unwrap() - 5.0 / 11.0).abs() < 1e-9, "{now}");
    assert_eq!(now["left_out"], 3, "two are not due, of one nothing was told: {now}");
    assert_eq!(now["error"]["status"], "identified");
    assert_eq!(report("&model=supplier-risk@1").await, now);
    assert_eq!(report("&model=supplier-risk@2").await["error"]["status"], "not_identifiable");
    assert_eq!(report("&model=replenishment-priority").await, Value::Null);
    assert_eq!(report("&product=SKU-1").await, Value::Null);
}

#[actix_web::test]
async fn kept_judgements_are_measured_by_what_became_of_their_lines() {
    calibration(&Scoring::start().await).await;
}

#[actix_web::test]
async fn judgements_are_measured_on_postgresql_too() {
    testkit::require!(Postgres);
    let postgres = testkit::Postgres::start().await.unwrap();
    let database = postgres.create_database("measured").await.unwrap();
    calibration(&Scoring::start_on(&format!("url: '{database}'")).await).await;
}
