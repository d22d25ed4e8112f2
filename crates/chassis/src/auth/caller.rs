//! The extractor that lets a handler run only for those who may.

use std::{
    future::{Ready, ready},
    marker::PhantomData,
    ops::Deref,
};

use actix_web::{FromRequest, HttpMessage, HttpRequest, dev::Payload};

use super::{Auth, Denied, Permission, Principal};
use crate::http::ApiError;

/// A caller who has the permission `P`. Where its roles hold is for the handler to ask with [`Principal::may_at`].
#[derive(Clone, Debug)]
pub struct Caller<P> {
    principal: Principal,
    permission: PhantomData<P>,
}

impl<P> Deref for Caller<P> {
    type Target = Principal;

    fn deref(&self) -> &Principal {
        &self.principal
    }
}

impl<P: Permission> FromRequest for Caller<P> {
    type Error = ApiError;
    type Future = Ready<Result<Self, ApiError>>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        ready(permitted::<P>(request).map(|principal| Self { principal, permission: PhantomData }))
    }
}

fn permitted<P: Permission>(request: &HttpRequest) -> Result<Principal, ApiError> {
    // The layers around the application have identified the caller already.
    let known = request.extensions().get::<Result<Principal, Denied>>().cloned();
    let identified = match known {
        Some(identified) => identified,
        None => request.app_data::<Auth>().ok_or_else(ApiError::misconfigured)?.identify(request),
    };
    let principal = identified.map_err(|reason| {
        tracing::warn!(permission = P::NAME, %reason, "refused: not authenticated");
        ApiError::unauthenticated()
    })?;
    if P::ROLES.iter().any(|role| principal.has(*role)) {
        return Ok(principal);
    }
    let needed = P::ROLES.iter().map(|role| role.as_str()).collect::<Vec<_>>().join(", ");
    tracing::warn!(permission = P::NAME, caller = principal.actor(), needed, "refused: no role that permits it");
    Err(ApiError::forbidden(format!("{} needs one of the roles {needed}.", P::NAME)))
}
