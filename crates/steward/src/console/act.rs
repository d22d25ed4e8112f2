//! The forms: each becomes one call to a service, as the visitor.

use std::collections::BTreeMap;

use actix_web::{HttpRequest, HttpResponse, http::header, post, web};
use serde::Deserialize;
use serde_json::json;

use super::{
    SERVICES,
    decision::segment,
    fleet::Fleet,
    pages::Refused,
    visitor::{Visitor, own_form},
};

#[derive(Deserialize)]
struct DecisionForm {
    csrf: String,
    decision: String,
    #[serde(default)]
    comment: String,
    /// Of the request as it was shown: what changed since must be looked at first.
    version: u32,
}

/// What a second pair of eyes found about an override.
#[derive(Deserialize)]
struct ReviewForm {
    csrf: String,
    verdict: String,
    #[serde(default)]
    comment: String,
}

#[derive(Deserialize)]
struct DeadLetterForm {
    csrf: String,
    /// The page's own key.
    form: String,
    verb: Verb,
    reason: String,
}

#[derive(Clone, Copy, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Verb {
    Replay,
    Discard,
}

#[post("/decisions/{id}")]
pub(super) async fn decide(
    fleet: web::Data<Fleet>,
    request: HttpRequest,
    visitor: Visitor,
    id: web::Path<String>,
    form: web::Form<DecisionForm>,
) -> Result<HttpResponse, Refused> {
    own_form(&request, &form.csrf)?;
    let id = segment(&id);
    let mut body = json!({"decision": form.decision});
    if !form.comment.trim().is_empty() {
        body["comment"] = json!(form.comment.trim());
    }
    let headers = BTreeMap::from([("If-Match", format!("\"{}\"", form.version))]);
    fleet.post(&visitor, &format!("/approvals/v1/approvals/{id}/decisions"), headers, &body).await?;
    // The page by itself, so that a reload does not send the form again.
    Ok(HttpResponse::SeeOther().insert_header((header::LOCATION, format!("/decisions/{id}"))).finish())
}

#[post("/overrides/{id}")]
pub(super) async fn review(
    fleet: web::Data<Fleet>,
    request: HttpRequest,
    visitor: Visitor,
    id: web::Path<String>,
    form: web::Form<ReviewForm>,
) -> Result<HttpResponse, Refused> {
    own_form(&request, &form.csrf)?;
    let id = segment(&id);
    let body = json!({"verdict": form.verdict, "comment": form.comment.trim()});
    fleet.post(&visitor, &format!("/approvals/v1/overrides/{id}/review"), BTreeMap::new(), &body).await?;
    Ok(HttpResponse::SeeOther().insert_header((header::LOCATION, format!("/decisions/{id}"))).finish())
}

#[post("/dead-letters/{service}/{id}")]
pub(super) async fn end_dead_letter(
    fleet: web::Data<Fleet>,
    request: HttpRequest,
    visitor: Visitor,
    path: web::Path<(String, String)>,
    form: web::Form<DeadLetterForm>,
) -> Result<HttpResponse, Refused> {
    own_form(&request, &form.csrf)?;
    let (service, id) = path.into_inner();
    let (service, _) = SERVICES.into_iter().find(|(prefix, _)| *prefix == service).ok_or(Refused::ForeignForm)?;
    let (verb, done) = match form.verb {
        Verb::Replay => ("replay", "replayed"),
        Verb::Discard => ("discard", "discarded"),
    };
    let headers = BTreeMap::from([("Idempotency-Key", format!("console:{}:{id}:{verb}", form.form))]);
    let path = format!("/{service}/v1/dead-letters/{}/{verb}", segment(&id));
    fleet.post(&visitor, &path, headers, &json!({"reason": form.reason.trim()})).await?;
    Ok(HttpResponse::SeeOther().insert_header((header::LOCATION, format!("/?done={done}"))).finish())
}
