//! The one error of HTTP handlers, rendered as an RFC 9457 problem document.

use std::{error::Error, fmt, time::Duration};

use actix_web::{
    HttpResponse, ResponseError,
    http::{StatusCode, header},
};
use contracts::{FieldError, Problem, problem::PROBLEM_JSON};

use crate::{store::StoreError, telemetry};

/// Seconds that a caller is asked to wait when a dependency is away.
const UNAVAILABLE: Duration = Duration::from_secs(2);

/// A refusal or failure: the document for the caller, the cause for our log only.
#[derive(Debug)]
pub struct ApiError(Box<Inner>);

#[derive(Debug)]
struct Inner {
    problem: Problem,
    retry_after: Option<Duration>,
    source: Option<Box<dyn Error + Send + Sync>>,
}

impl ApiError {
    /// Any problem of the catalogue.
    #[must_use]
    pub fn problem(problem: Problem) -> Self {
        Self(Box::new(Inner { problem, retry_after: None, source: None }))
    }

    /// 404. `what` completes "There is no such ...".
    #[must_use]
    pub fn not_found(what: &str) -> Self {
        Self::problem(Problem::new("not-found", 404, "Not found").detail(format!("There is no such {what}.")))
    }

    /// 409 with its own slug: what about the state of things stands against the request.
    #[must_use]
    pub fn conflict(slug: &str, title: &str, detail: impl Into<String>) -> Self {
        Self::problem(Problem::new(slug, 409, title).detail(detail))
    }

    /// 422 with every bad field.
    #[must_use]
    pub fn invalid(errors: Vec<FieldError>) -> Self {
        Self::problem(Problem::new("invalid-request", 422, "The request has invalid fields").errors(errors))
    }

    /// 422 with one bad field.
    #[must_use]
    pub fn invalid_field(pointer: impl Into<String>, detail: impl Into<String>) -> Self {
        Self::invalid(vec![FieldError::new(pointer, detail)])
    }

    /// 400 with one bad header, query or path parameter: `header:If-Match`.
    #[must_use]
    pub fn bad_parameter(pointer: impl Into<String>, detail: impl Into<String>) -> Self {
        let errors = vec![FieldError::new(pointer, detail)];
        Self::problem(Problem::new("invalid-parameter", 400, "The request has an invalid parameter").errors(errors))
    }

    /// 400: not what its content type says.
    #[must_use]
    pub fn malformed(detail: impl Into<String>) -> Self {
        Self::problem(Problem::new("malformed-request", 400, "The request cannot be read").detail(detail))
    }

    /// 503 with `Retry-After`.
    #[must_use]
    pub fn unavailable(retry_after: Duration) -> Self {
        let problem = Problem::new("unavailable", 503, "Temporarily unavailable").detail("Try again later.");
        Self::problem(problem).retry_after(retry_after)
    }

    /// 412: the version that the caller saw is not the current one.
    #[must_use]
    pub fn stale(current: &str) -> Self {
        let detail = format!("It changed since it was read; its ETag is now {current}. Read it again and decide anew.");
        Self::problem(Problem::new("stale", 412, "The version is not the current one").detail(detail))
    }

    /// 500. The cause goes to the log, never to the caller.
    #[must_use]
    pub fn internal(source: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        let problem = Problem::new("internal", 500, "Internal error").detail("The trace id leads to the cause.");
        Self::problem(problem).caused_by(source)
    }

    /// 401 with `WWW-Authenticate`.
    pub(crate) fn unauthenticated() -> Self {
        Self::problem(
            Problem::new("unauthenticated", 401, "Who are you?")
                .detail("A valid API key is needed, as `Authorization: Bearer stw_<id>_<secret>`."),
        )
    }

    /// 403.
    #[must_use]
    pub fn forbidden(detail: impl Into<String>) -> Self {
        Self::problem(Problem::new("forbidden", 403, "Not allowed").detail(detail))
    }

    /// 409: the first request with this idempotency key has not been answered yet.
    pub(crate) fn still_running() -> Self {
        Self::conflict(
            "still-running",
            "The first request is still running",
            "Repeat it with the same key in a moment.",
        )
        .retry_after(Duration::from_secs(1))
    }

    /// 422: the idempotency key was used for another request.
    pub(crate) fn key_reused() -> Self {
        let errors = vec![FieldError::new("header:Idempotency-Key", "was used for another request")];
        Self::problem(Problem::new("key-reused", 422, "The idempotency key belongs to another request").errors(errors))
    }

    pub(crate) fn method_not_allowed(method: &str) -> Self {
        let detail = format!("{method} is not possible here.");
        Self::problem(Problem::new("method-not-allowed", 405, "Method not allowed").detail(detail))
    }

    pub(crate) fn too_large(limit: usize) -> Self {
        let detail = format!("At most {limit} bytes; send more as application/x-ndjson where that is offered.");
        Self::problem(Problem::new("too-large", 413, "The body is too large").detail(detail))
    }

    pub(crate) fn unsupported_type(expected: &str) -> Self {
        let detail = format!("Send Content-Type: {expected}, without a Content-Encoding.");
        Self::problem(Problem::new("unsupported-media-type", 415, "Unsupported content type").detail(detail))
    }

    pub(crate) fn rate_limited(limit: u32, retry_after: Duration) -> Self {
        let detail = format!("At most {limit} requests per minute.");
        Self::problem(Problem::new("rate-limited", 429, "Too many requests").detail(detail)).retry_after(retry_after)
    }

    /// An extractor did not find what the host registers.
    pub(crate) fn misconfigured() -> Self {
        Self::internal("the application was not set up by chassis::host")
    }

    /// Adds `Retry-After`, in whole seconds, rounded up.
    #[must_use]
    pub fn retry_after(mut self, after: Duration) -> Self {
        self.0.retry_after = Some(after);
        self
    }

    #[must_use]
    pub fn caused_by(mut self, source: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        self.0.source = Some(source.into());
        self
    }

    /// The document, as a batch puts it in place of one item's answer.
    #[must_use]
    pub fn into_problem(self) -> Problem {
        self.0.problem
    }
}

impl fmt::Display for ApiError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let problem = &self.0.problem;
        f.write_str(&problem.title)?;
        if let Some(detail) = &problem.detail {
            write!(f, ": {detail}")?;
        }
        problem.errors.iter().try_for_each(|error| write!(f, "; {} {}", error.pointer, error.detail))
    }
}

impl Error for ApiError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        self.0.source.as_deref().map(|source| source as &(dyn Error + 'static))
    }
}

impl From<StoreError> for ApiError {
    fn from(error: StoreError) -> Self {
        if error.is_unavailable() { Self::unavailable(UNAVAILABLE).caused_by(error) } else { Self::internal(error) }
    }
}

impl ResponseError for ApiError {
    fn status_code(&self) -> StatusCode {
        StatusCode::from_u16(self.0.problem.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR)
    }

    fn error_response(&self) -> HttpResponse {
        let mut problem = self.0.problem.clone();
        problem.trace_id = telemetry::current_trace_id();
        let mut response = HttpResponse::build(self.status_code());
        if let Some(after) = self.0.retry_after {
            let seconds = after.as_secs() + u64::from(after.subsec_nanos() > 0);
            response.insert_header((header::RETRY_AFTER, seconds.max(1).to_string()));
        }
        if problem.status == 401 {
            response.insert_header((header::WWW_AUTHENTICATE, "Bearer realm=\"steward\""));
        }
        response.content_type(PROBLEM_JSON).body(serde_json::to_string(&problem).unwrap_or_default())
    }
}
