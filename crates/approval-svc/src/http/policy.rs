//! `/v1/policy`: what judges now.

use actix_web::{get, web};
use chassis::{http::parse_json, prelude::*};
use governance::{
    Policy, PolicyRef,
    policy::{Document, InvalidPolicy, Overlay},
};
use serde::Serialize;
use serde_json::{Value, value::RawValue};

use super::ReadPolicies;
use crate::desk::Desk;

/// The policy in force.
#[derive(Clone, Debug, Serialize, utoipa::ToSchema)]
pub(crate) struct ActivePolicy {
    reference: PolicyRef,
    policy: Policy,
    /// What business units do differently.
    overlays: Vec<ActiveOverlay>,
}

/// An overlay in force.
#[derive(Clone, Debug, Serialize, utoipa::ToSchema)]
pub(crate) struct ActiveOverlay {
    reference: PolicyRef,
    overlay: Overlay,
}

/// The policy and the overlays that new requests are judged by. A request keeps the versions that judged it.
#[utoipa::path(tag = "policy", responses((status = 200, body = ActivePolicy), Problems))]
#[get("/v1/policy")]
pub(crate) async fn get_policy(
    cx: Cx,
    _caller: Caller<ReadPolicies>,
    desk: web::Data<Desk>,
) -> Result<web::Json<ActivePolicy>, ApiError> {
    let book = desk.policies().in_force(&cx).await?;
    let overlay = |(overlay, reference): (&Overlay, &PolicyRef)| ActiveOverlay {
        reference: reference.clone(),
        overlay: overlay.clone(),
    };
    let overlays = book.overlays().map(overlay).collect();
    Ok(web::Json(ActivePolicy { reference: book.reference().clone(), policy: book.base().clone(), overlays }))
}

/// Reads a document; `at` is where it lies in the body. Complaints name rows and fields.
pub(super) fn document(text: &RawValue, at: &str) -> Result<Document, ApiError> {
    let placed = |errors: Vec<FieldError>| {
        let placed = |error: FieldError| FieldError::new(format!("{at}{}", error.pointer), error.detail);
        ApiError::invalid(errors.into_iter().map(placed).collect())
    };
    let value: Value = serde_json::from_str(text.get()).map_err(|error| ApiError::malformed(error.to_string()))?;
    let overlay = value.get("overlay").is_some();
    let read = match Document::from_json(value) {
        Ok(read) => read,
        Err(InvalidPolicy::Fields(errors)) => return Err(placed(errors)),
        Err(InvalidPolicy::Syntax(error)) => return Err(ApiError::malformed(error.to_string())),
    };
    // Once more as strictly as any other body: an array of fields in order is no row.
    let text = text.get().as_bytes();
    let strict = if overlay { parse_json::<Overlay>(text).map(drop) } else { parse_json::<Policy>(text).map(drop) };
    strict.map_err(
        |problem| if problem.errors.is_empty() { ApiError::problem(problem) } else { placed(problem.errors) },
    )?;
    Ok(read)
}
