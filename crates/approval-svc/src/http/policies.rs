//! `/v1/policies`: publish, look, roll back, preview.
//!
//! The base policy has the id of the one in the settings; every other document is an overlay over it. What is published
//! judges at once on this replica and within two seconds on the others.

use std::sync::Arc;

use actix_web::{get, post, web};
use chassis::{http::JsonOrYaml, prelude::*};
use governance::{
    PolicyRef, Route, Rulebook,
    policy::{Document, Finding, Input, InvalidRulebook},
};
use serde::{Deserialize, Serialize};
use serde_json::{json, value::RawValue};

use super::{PublishPolicies, ReadPolicies, policy::document};
use crate::{
    desk::Desk,
    rules::proposal::NewApproval,
    store::policies::{self, Kept, Published},
};

/// A policy or overlay, and which of its versions judges.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub(crate) struct PolicyView {
    #[schema(example = "default")]
    id: String,
    /// The version that judges.
    active: PolicyRef,
    /// Of an overlay: the business unit that it is for.
    #[serde(skip_serializing_if = "Option::is_none")]
    business_unit: Option<String>,
}

/// The base policy first, then the overlays.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub(crate) struct PolicyList {
    items: Vec<PolicyView>,
}

/// A version of a policy or overlay.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub(crate) struct PolicyVersionView {
    reference: PolicyRef,
    /// Whether it judges.
    active: bool,
    /// `person:olga`, `key:ci`, or `file` for the one that came in the settings or with the program.
    published_by: String,
    published_at: Timestamp,
    /// Warnings; what is wrong is not published. After an activation everything that is found now, which may be more:
    /// people come and go.
    findings: Vec<Finding>,
    /// The whole document; only when one version is looked at.
    #[serde(skip_serializing_if = "Option::is_none")]
    document: Option<Document>,
}

/// The versions of one policy, the latest first, at most 500.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub(crate) struct PolicyVersionList {
    items: Vec<PolicyVersionView>,
}

/// Why an older version is to judge again.
#[derive(Debug, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct PolicyActivation {
    /// Kept with who activated it.
    #[schema(min_length = 3, max_length = 1000)]
    reason: String,
}

/// A request, and what to judge it by: a version, a draft, or what is in force.
#[derive(Debug, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct PreviewRequest {
    request: NewApproval,
    #[schema(minimum = 1)]
    version: Option<u32>,
    /// A policy or overlay that need not be published, nor be fit for it.
    #[schema(value_type = Option<Document>)]
    draft: Option<Box<RawValue>>,
}

/// What the policy would do with a request.
#[derive(Clone, Debug, Serialize, utoipa::ToSchema)]
pub(crate) struct Preview {
    /// What it would judge by.
    input: Input,
    /// Where the request would go, and why it passed over the rows above.
    route: Route,
    /// What would stand against publishing the draft, and warnings.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    findings: Vec<Finding>,
}

/// The base policy and its overlays.
#[utoipa::path(tag = "policy", responses((status = 200, body = PolicyList), Problems))]
#[get("/v1/policies")]
pub(crate) async fn list_policies(
    cx: Cx,
    _caller: Caller<ReadPolicies>,
    desk: web::Data<Desk>,
) -> Result<web::Json<PolicyList>, ApiError> {
    let book = desk.policies().in_force(&cx).await?;
    let base = PolicyView { id: book.reference().id.clone(), active: book.reference().clone(), business_unit: None };
    let overlays = book.overlays().map(|(overlay, reference)| PolicyView {
        id: reference.id.clone(),
        active: reference.clone(),
        business_unit: Some(overlay.business_unit.clone()),
    });
    Ok(web::Json(PolicyList { items: std::iter::once(base).chain(overlays).collect() }))
}

/// The versions of a policy or overlay.
#[utoipa::path(tag = "policy", responses((status = 200, body = PolicyVersionList), Problems))]
#[get("/v1/policies/{id}/versions")]
pub(crate) async fn list_policy_versions(
    cx: Cx,
    _caller: Caller<ReadPolicies>,
    desk: web::Data<Desk>,
    id: PathOf<String>,
) -> Result<web::Json<PolicyVersionList>, ApiError> {
    let (book, _) = desk.policies().now(&cx).await?;
    let versions = policies::list(&mut *cx.store().read().await?, &id).await?;
    if versions.is_empty() {
        return Err(ApiError::not_found("policy"));
    }
    Ok(web::Json(PolicyVersionList { items: versions.into_iter().map(|one| view(one, &book)).collect() }))
}

/// A version of a policy or overlay.
#[derive(Clone, Debug, Deserialize, utoipa::ToSchema, utoipa::IntoParams)]
#[into_params(parameter_in = Path)]
#[serde(deny_unknown_fields)]
pub(crate) struct VersionOf {
    id: String,
    #[param(minimum = 1)]
    version: u32,
}

/// One version with its document.
#[utoipa::path(tag = "policy", params(VersionOf), responses((status = 200, body = PolicyVersionView), Problems))]
#[get("/v1/policies/{id}/versions/{version}")]
pub(crate) async fn get_policy_version(
    cx: Cx,
    _caller: Caller<ReadPolicies>,
    desk: web::Data<Desk>,
    path: PathOf<VersionOf>,
) -> Result<web::Json<PolicyVersionView>, ApiError> {
    let VersionOf { id, version } = path.into_inner();
    let (book, _) = desk.policies().now(&cx).await?;
    let Kept { published, document } = kept(&cx, &id, version).await?;
    Ok(web::Json(PolicyVersionView { document: Some(document), ..view(published, &book) }))
}

/// Publishes a version, JSON or YAML: it is checked together with the base or overlays in force, its cases are run, and
/// it judges from then on. What is wrong is named by row and field, and then nothing is published.
///
/// The number is higher than all before it and is taken once: the same document again changes nothing.
#[utoipa::path(tag = "policy",
    request_body(content((Document = "application/json"), (Document = "application/yaml"))),
    responses((status = 201, description = "It judges from now on", body = PolicyVersionView),
        (status = 200, description = "It was published before", body = PolicyVersionView), Problems))]
#[post("/v1/policies/{id}/versions")]
pub(crate) async fn publish_policy(
    cx: Cx,
    caller: Caller<PublishPolicies>,
    desk: web::Data<Desk>,
    id: PathOf<String>,
    body: JsonOrYaml,
) -> Result<Answer, ApiError> {
    let id = id.into_inner();
    let document = document(&body.0, "")?;
    check_id(&document, &id, &desk.policies().base_id())?;
    let reference = document.reference().map_err(ApiError::internal)?;
    let (book, generation) = desk.policies().now(&cx).await?;
    let known = policies::list(&mut *cx.store().read().await?, &id).await?;
    if let Some(same) = known.iter().find(|known| known.reference == reference) {
        return Answer::new(&Reply::ok(view(same.clone(), &book)));
    }
    if let Some(last) =
        known.iter().map(|known| known.reference.version).max().filter(|last| reference.version <= *last)
    {
        let detail = format!("version {last} of {id} is published; a version never changes, so take {}", last + 1);
        return Err(ApiError::conflict("version-taken", "The version's number is taken", detail));
    }
    let (findings, next) = checked(&desk, &book, document.clone()).await?;
    let (errors, warnings): (Vec<_>, Vec<_>) = findings.into_iter().partition(Finding::is_error);
    if !errors.is_empty() {
        return Err(ApiError::invalid(errors.iter().map(|error| complaint(error, &document)).collect()));
    }
    let mut tx = cx.store().begin().await?;
    let actor = caller.actor();
    let published = Published { reference, findings: warnings, published_by: actor.clone(), published_at: tx.now() };
    if !policies::change(&mut tx, generation).await? || !policies::add(&mut tx, &published, &document).await? {
        return Err(changed_meanwhile());
    }
    policies::activate(&mut tx, &published.reference).await?;
    let details = json!({"digest": published.reference.digest, "warnings": published.findings});
    tx.audit(&actor, "policy.published", &subject(&published.reference), details).await?;
    tx.commit().await?;
    desk.policies().changed();
    Answer::new(&Reply::created(view(published, &next)))
}

/// Makes a version judge again that was published before. It is not held up by what the check finds now; that is in the
/// answer.
#[utoipa::path(tag = "policy", params(VersionOf), request_body = PolicyActivation,
    responses((status = 200, body = PolicyVersionView), Problems))]
#[post("/v1/policies/{id}/versions/{version}/activate")]
pub(crate) async fn activate_policy(
    cx: Cx,
    caller: Caller<PublishPolicies>,
    desk: web::Data<Desk>,
    path: PathOf<VersionOf>,
    body: Body<PolicyActivation>,
) -> Result<web::Json<PolicyVersionView>, ApiError> {
    let VersionOf { id, version } = path.into_inner();
    let reason = body.reason.trim().to_owned();
    if !(3..=1000).contains(&reason.len()) {
        return Err(ApiError::invalid_field("/reason", "must have 3 to 1000 bytes"));
    }
    let (book, generation) = desk.policies().now(&cx).await?;
    let Kept { published, document } = kept(&cx, &id, version).await?;
    if is_active(&published.reference, &book) {
        return Ok(web::Json(view(published, &book)));
    }
    let fits =
        |error: InvalidRulebook| ApiError::conflict("does-not-fit", "The version does not fit", error.to_string());
    book.with(document.clone()).map_err(fits)?;
    let (findings, next) = checked(&desk, &book, document).await?;
    let mut tx = cx.store().begin().await?;
    if !policies::change(&mut tx, generation).await? {
        return Err(changed_meanwhile());
    }
    policies::activate(&mut tx, &published.reference).await?;
    let replaced = active_of(&book, &id).map(|reference| reference.version);
    let details = json!({"digest": published.reference.digest, "reason": reason, "replaced": replaced});
    tx.audit(&caller.actor(), "policy.activated", &subject(&published.reference), details).await?;
    tx.commit().await?;
    desk.policies().changed();
    Ok(web::Json(PolicyVersionView { findings, ..view(published, &next) }))
}

/// Routes a request under what is in force, a version or a draft, without asking anybody: nothing is kept.
#[utoipa::path(tag = "policy", request_body = PreviewRequest, responses((status = 200, body = Preview), Problems))]
#[post("/v1/policies/{id}/preview")]
pub(crate) async fn preview_policy(
    cx: Cx,
    _caller: Caller<ReadPolicies>,
    desk: web::Data<Desk>,
    id: PathOf<String>,
    body: Body<PreviewRequest>,
) -> Result<web::Json<Preview>, ApiError> {
    let PreviewRequest { request, version, draft } = body.into_inner();
    let drafted = draft.is_some();
    let (book, _) = desk.policies().now(&cx).await?;
    let book = Arc::new(replaced(&cx, &desk, &book, &id, version, draft.as_deref()).await?);
    let case = request.judge(&book).map_err(|errors| {
        let placed = |error: FieldError| FieldError::new(format!("/request{}", error.pointer), error.detail);
        ApiError::invalid(errors.into_iter().map(placed).collect())
    })?;
    let findings = if drafted { findings(&desk, &book).await? } else { Vec::new() };
    Ok(web::Json(Preview { input: case.input, route: case.route, findings }))
}

/// The policies in force with this version or draft in its place.
pub(super) async fn replaced(
    cx: &Cx,
    desk: &Desk,
    book: &Rulebook,
    id: &str,
    version: Option<u32>,
    draft: Option<&RawValue>,
) -> Result<Rulebook, ApiError> {
    let document = match (version, draft) {
        (Some(_), Some(_)) => return Err(ApiError::invalid_field("/version", "either a version or a draft, not both")),
        (Some(version), None) => kept(cx, id, version).await?.document,
        (None, Some(draft)) => {
            let document = document(draft, "/draft")?;
            check_id(&document, id, &desk.policies().base_id())?;
            document
        }
        (None, None) if active_of(book, id).is_none() => return Err(ApiError::not_found("policy")),
        (None, None) => return Ok(book.clone()),
    };
    book.with(document).map_err(|error| {
        let FieldError { pointer, detail } = error.field_error();
        ApiError::invalid_field(format!("/draft{pointer}"), detail)
    })
}

/// One base policy; what has its id is one, what has another is an overlay.
fn check_id(document: &Document, id: &str, base: &str) -> Result<(), ApiError> {
    let (pointer, detail) = match document {
        Document::Policy(policy) if policy.policy != id => ("/policy", format!("is not {id:?}, as the address says")),
        Document::Overlay(overlay) if overlay.overlay != id => {
            ("/overlay", format!("is not {id:?}, as the address says"))
        }
        Document::Policy(policy) if policy.policy != base => {
            ("/policy", format!("the base policy is {base:?}; others are overlays over it"))
        }
        Document::Overlay(overlay) if overlay.overlay == base => {
            ("/overlay", "is the id of the base policy".to_owned())
        }
        Document::Policy(_) | Document::Overlay(_) => return Ok(()),
    };
    Err(ApiError::invalid_field(pointer, detail))
}

/// What the check says of the document among those in force, and the book with it.
async fn checked(desk: &Desk, book: &Rulebook, document: Document) -> Result<(Vec<Finding>, Arc<Rulebook>), ApiError> {
    let only = match &document {
        Document::Policy(_) => None,
        Document::Overlay(overlay) => Some(overlay.overlay.clone()),
    };
    let next = Arc::new(book.with(document).map_err(|error| ApiError::invalid(vec![error.field_error()]))?);
    let mut findings = findings(desk, &next).await?;
    // An overlay answers for itself; what ails the base or other units stood before it.
    findings.retain(|finding| only.is_none() || finding.overlay == only);
    Ok((findings, next))
}

/// A table of hundreds of rows takes long enough to be no work for the thread that answers.
async fn findings(desk: &Desk, book: &Arc<Rulebook>) -> Result<Vec<Finding>, ApiError> {
    let (book, directory) = (Arc::clone(book), desk.directory());
    web::block(move || book.check(&directory)).await.map_err(ApiError::internal)
}

/// Pointers lead into the document that was sent; what an overlay in force suffers from it has no place there.
fn complaint(finding: &Finding, sent: &Document) -> FieldError {
    let here = finding.overlay.as_deref().is_none_or(|overlay| overlay == sent.id());
    let row = finding.row.as_ref().map(|row| format!("row {row:?}: ")).unwrap_or_default();
    if here {
        return FieldError::new(finding.pointer.clone(), format!("{row}{}", finding.detail));
    }
    FieldError::new("", format!("{row}{finding}"))
}

async fn kept(cx: &Cx, id: &str, version: u32) -> Result<Kept, ApiError> {
    let found = policies::find(&mut *cx.store().read().await?, id, version).await?;
    found.ok_or_else(|| ApiError::not_found("version of this policy"))
}

fn active_of<'a>(book: &'a Rulebook, id: &str) -> Option<&'a PolicyRef> {
    let overlays = book.overlays().map(|(_, reference)| reference);
    std::iter::once(book.reference()).chain(overlays).find(|reference| reference.id == id)
}

fn is_active(reference: &PolicyRef, book: &Rulebook) -> bool {
    active_of(book, &reference.id) == Some(reference)
}

fn view(published: Published, book: &Rulebook) -> PolicyVersionView {
    let active = is_active(&published.reference, book);
    let Published { reference, findings, published_by, published_at } = published;
    PolicyVersionView { reference, active, published_by, published_at, findings, document: None }
}

fn subject(policy: &PolicyRef) -> String {
    format!("policy:{}@{}", policy.id, policy.version)
}

fn changed_meanwhile() -> ApiError {
    let detail = "Another version was published or activated meanwhile: look at it, then decide anew.";
    ApiError::conflict("policies-changed", "The policies have changed", detail)
}
