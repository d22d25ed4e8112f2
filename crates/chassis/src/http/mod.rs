//! What every HTTP interface of Steward has in common: strict input, problem documents, permissions, limits, traces.
//!
//! A handler extracts what it needs, calls, and answers. Each extractor refuses with a problem document that names the
//! bad field; a handler that runs has valid input.

pub(crate) mod audit;
pub(crate) mod audit_log;
mod body;
pub(crate) mod command;
pub(crate) mod dead_letters;
pub mod document;
mod error;
mod headers;
mod layers;
mod ndjson;
pub(crate) mod operations;
mod paging;
mod params;
mod strict;
mod text;

use actix_web::{HttpRequest, HttpResponse, ResponseError, web};

pub(crate) use self::layers::layers;
pub use self::{
    body::{Body, JsonOrYaml, LargeBody, parse_json},
    command::{Answer, Reply, command},
    document::{Allowed, Problems},
    error::ApiError,
    headers::{IdempotencyKey, IfMatch, Prefer, etag},
    ndjson::{BadLine, Line, Ndjson},
    operations::{Operation, OperationState, operation, wait_for_operation},
    paging::Paging,
    params::{Params, PathOf},
};
use crate::{auth::Auth, config::HttpSettings};

/// Largest body that [`Body`] reads, in bytes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct BodyLimit(pub(crate) usize);

/// What extractors and unmatched requests need, for the root of an application.
pub(crate) fn configure(config: &mut web::ServiceConfig, settings: &HttpSettings, auth: &Auth) {
    let bad = |error: &dyn std::fmt::Display| actix_web::Error::from(ApiError::malformed(error.to_string()));
    config
        .app_data(BodyLimit(settings.body_limit_bytes))
        .app_data(auth.clone())
        // Ours are used throughout; these answer for a stray extractor of actix' own, whose errors are plain text.
        .app_data(web::JsonConfig::default().error_handler(move |error, _| bad(&error)))
        .app_data(web::PathConfig::default().error_handler(move |error, _| bad(&error)))
        .app_data(web::QueryConfig::default().error_handler(move |error, _| bad(&error)))
        .app_data(web::FormConfig::default().error_handler(move |error, _| bad(&error)))
        .default_service(web::to(unmatched));
}

/// 405 when the path exists with other methods, else 404.
async fn unmatched(request: HttpRequest) -> HttpResponse {
    let Some(pattern) = request.match_pattern() else {
        return ApiError::not_found("page").error_response();
    };
    let mut response = ApiError::method_not_allowed(request.method().as_str()).error_response();
    let allowed = request.app_data::<Allowed>().and_then(|allowed| allowed.header(&pattern));
    if let Some(value) = allowed {
        response.headers_mut().insert(actix_web::http::header::ALLOW, value);
    }
    response
}

#[cfg(test)]
mod tests;
