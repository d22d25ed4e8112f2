//! Fitting a model over the API: what is learnt from, what it is measured on, and that it can be published as it is.

use reqwest::StatusCode;
use serde_json::{Value, json};

use crate::bed::Scoring;

const MODEL: &str = "/v1/models/shipment-risk";

/// Transports through two places, of which one takes twice its plan.
fn cases(count: usize) -> Vec<Value> {
    let case = |n: usize| {
        let (place, minutes) = if n.is_multiple_of(2) { ("slow", 1200.0) } else { ("fast", 300.0) };
        let step = |until: &str| json!({"until": until, "place": place, "planned_minutes": 600.0});
        let steps = ["received", "departed", "arrived", "delivered"].map(step);
        json!({
            "request": {"as_of": "2026-11-23T08:00:00Z", "transport": {"id": format!("T-{n}"), "inbound": [{"steps": steps}]}},
            "outcome": {"inbound": [vec![minutes + (n % 7) as f64; 4]]},
        })
    };
    (0..count).map(case).collect()
}

#[tokio::test]
async fn a_fit_is_measured_on_what_it_has_not_seen_and_is_published_as_it_is() {
    let scoring = Scoring::start().await;
    let path = format!("{MODEL}/fits");
    let (status, fit) = scoring.operate(&path, &json!({"version": "2", "cases": cases(140)})).await;
    assert_eq!((status, &fit["learnt"]), (StatusCode::OK, &json!(112)), "{fit}");
    let figure = |when: &str| &fit["comparison"][when]["figures"][0];
    assert_eq!(
        (&figure("after")["name"], &fit["comparison"]["after"]["cases"]),
        (&json!("average_precision"), &json!(28))
    );
    assert!(figure("after")["value"].as_f64() > figure("before")["value"].as_f64(), "{fit}");
    let (_, versions) = scoring.get(&format!("{MODEL}/versions")).await;
    assert_eq!(versions["items"].as_array().unwrap().len(), 1, "a fit keeps nothing: {versions}");

    let publication = json!({"parameters": fit["parameters"], "cases": cases(40)});
    let (status, published) = scoring.operate(&format!("{MODEL}/versions"), &publication).await;
    assert_eq!((status, &published["active"]), (StatusCode::CREATED, &json!(true)), "{published}");

    let kept = json!({"set": "arrived", "cases": cases(140)});
    assert_eq!(scoring.operate(&format!("{MODEL}/cases"), &kept).await.0, StatusCode::CREATED);
    let body = json!({"version": "3", "case_set": "arrived", "held_out": 0.25});
    let (status, fit) = scoring.operate(&path, &body).await;
    assert_eq!((status, &fit["learnt"], &fit["comparison"]["against"]), (StatusCode::OK, &json!(105), &json!("2")));
}

#[tokio::test]
async fn what_cannot_be_fitted_to_is_named() {
    let scoring = Scoring::start().await;
    let path = format!("{MODEL}/fits");
    let body = |change: &dyn Fn(&mut Value)| {
        let mut body = json!({"version": "2", "cases": cases(140)});
        change(&mut body);
        body
    };
    type Change = dyn Fn(&mut Value);
    let wrong: [(&Change, &str); 7] = [
        (&|body| body["version"] = json!(""), "/version"),
        (&|body| body["held_out"] = json!(0.9), "/held_out"),
        (&|body| body["cases"] = json!(cases(90)), "/cases"),
        (&|body| body["case_set"] = json!("arrived"), "/cases"),
        (&|body| body["cases"] = Value::Null, "/cases"),
        (&|body| body["cases"][7]["outcome"]["inbound"][0][2] = json!("late"), "/cases/7/outcome/inbound/0/2"),
        // Among those that are held out.
        (&|body| body["cases"][139]["request"]["transport"]["id"] = json!(7), "/cases/139/request/transport/id"),
    ];
    for (change, pointer) in wrong {
        let (status, problem) = scoring.operate(&path, &body(change)).await;
        assert_eq!((status, &problem["errors"][0]["pointer"]), (StatusCode::UNPROCESSABLE_ENTITY, &json!(pointer)));
    }
    let (status, problem) = scoring.operate(&path, &json!({"version": "2", "case_set": "nothing"})).await;
    assert_eq!((status, &problem["errors"][0]["pointer"]), (StatusCode::UNPROCESSABLE_ENTITY, &json!("/case_set")));
    let (status, _) = scoring.operate("/v1/models/nothing/fits", &body(&|_| ())).await;
    assert_eq!(status, StatusCode::NOT_FOUND);
    // A workflow has facts judged, and does not make the versions that judge.
    let (status, _) = scoring.post(&path, &body(&|_| ())).await;
    assert_eq!(status, StatusCode::FORBIDDEN);
}
