//! `/v1/policy`: the table in force, and what it would say.

use actix_web::{get, post, web};
use chassis::prelude::*;
use governance::{Policy, PolicyRef, Route, policy::Input};
use serde::{Deserialize, Serialize};

use super::ReadApprovals;
use crate::{desk::Desk, rules::proposal::NewApproval};

/// The policy in force.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
pub(crate) struct ActivePolicy {
    reference: PolicyRef,
    policy: Policy,
}

/// What the policy would do with a request.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
pub(crate) struct Preview {
    /// What it would judge by.
    input: Input,
    /// Where the request would go, and why it passed over the rows above.
    route: Route,
}

/// The policy that new requests are judged by. A request keeps the version that judged it.
#[utoipa::path(tag = "policy", responses((status = 200, body = ActivePolicy), Problems))]
#[get("/v1/policy")]
pub(crate) async fn get_policy(_caller: Caller<ReadApprovals>, desk: web::Data<Desk>) -> web::Json<ActivePolicy> {
    let in_force = desk.in_force();
    web::Json(ActivePolicy { reference: in_force.reference.clone(), policy: in_force.policy.clone() })
}

/// Routes a request without asking anybody: nothing is kept.
#[utoipa::path(tag = "policy", request_body = NewApproval, responses((status = 200, body = Preview), Problems))]
#[post("/v1/policy/preview")]
pub(crate) async fn preview_policy(
    _caller: Caller<ReadApprovals>,
    desk: web::Data<Desk>,
    body: Body<NewApproval>,
) -> Result<web::Json<Preview>, ApiError> {
    let case = body.into_inner().judge(&desk.in_force()).map_err(ApiError::invalid)?;
    Ok(web::Json(Preview { input: case.input, route: case.route }))
}
