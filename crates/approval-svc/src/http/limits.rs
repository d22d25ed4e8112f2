//! `/v1/limits`: what a person may approve, and what is left of it.

use actix_web::{get, web};
use chassis::prelude::*;
use contracts::PersonId;
use governance::authority::{Limit, Used};
use serde::{Deserialize, Serialize};

use super::{ReadApprovals, oversees, self_or};
use crate::desk::Desk;

/// Whose limits.
#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(crate) struct LimitFilter {
    /// Absent: the caller. Others are for auditors and operators to ask about.
    #[param(inline)]
    person: Option<PersonId>,
}

/// The limits of a person at this moment.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub(crate) struct LimitsOf {
    person: PersonId,
    /// In the order of the file. Empty: no limit names this person, who is bound by the policy alone.
    limits: Vec<LimitLeft>,
}

/// A limit and what is left of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub(crate) struct LimitLeft {
    limit: Limit,
    /// Of the rolling total, where it has one: the value of what this person approved within its window, and of what
    /// others approved on their authority.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    used: Option<Used>,
}

/// What a person may approve and how much of it is left. Limits that name the person stand in place of those of their
/// roles; of several roles the one that leaves most counts.
#[utoipa::path(tag = "authority", params(LimitFilter), responses((status = 200, body = LimitsOf), Problems))]
#[get("/v1/limits")]
pub(crate) async fn get_limits(
    cx: Cx,
    caller: Caller<ReadApprovals>,
    filter: Params<LimitFilter>,
    desk: web::Data<Desk>,
) -> Result<web::Json<LimitsOf>, ApiError> {
    let id = match (&filter.person, oversees(&caller)) {
        (Some(person), true) => person.clone(),
        (person, _) => self_or(&caller, person)?,
    };
    let (directory, now) = (desk.directory(), cx.clock().now());
    let person = directory.person(&id).ok_or_else(|| ApiError::not_found("person"))?;
    let given = desk.ledger(&mut *cx.store().read().await?, &directory, &id, now).await?;
    let left = |limit: &Limit| LimitLeft {
        limit: limit.clone(),
        used: limit.used(&given, now, &|amount, to| desk.convert(amount, to)),
    };
    let limits = directory.limits_of(person).map(left).collect();
    Ok(web::Json(LimitsOf { person: id, limits }))
}
