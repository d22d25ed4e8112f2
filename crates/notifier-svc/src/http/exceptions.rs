//! `/v1/exceptions`: what needs a person.

use actix_web::{get, post, web};
use chassis::prelude::*;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::{ReadExceptions, ReportExceptions, ResolveExceptions, TITLE, text};
use crate::{
    OPERATOR,
    store::exceptions::{self, Exception, Incident, Standing, Unresolved},
};

/// Largest `details`, in bytes of JSON; n8n's error objects can hold whole items.
const MOST_DETAILS: usize = 16 * 1024;

/// What happened.
#[derive(Clone, Debug, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct ExceptionReport {
    #[schema(example = "workflow_failed", pattern = "^[a-z][a-z0-9_]{0,63}$")]
    class: String,
    /// 1 (look when you can) to 4 (now).
    #[schema(minimum = 1, maximum = 4)]
    severity: u8,
    #[schema(min_length = 1, max_length = 300, example = "low-stock-triage failed at node Draft transfer")]
    title: String,
    /// Role that owns it; `operator` when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    owner: Option<String>,
    /// What it is about. While one of this class about the same thing is open, a report counts it up.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(min_length = 1, max_length = 300, example = "workflow:low-stock-triage")]
    about: Option<String>,
    /// Anything that helps, at most 16 KiB.
    #[serde(default)]
    #[schema(value_type = Object)]
    details: Map<String, Value>,
}

impl ExceptionReport {
    pub(crate) fn violations(&self) -> Vec<FieldError> {
        let mut found = Vec::new();
        let word = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_';
        let mut refuse = |bad: bool, pointer: &str, detail: &str| {
            if bad {
                found.push(FieldError::new(pointer, detail));
            }
        };
        let begins = self.class.starts_with(|c: char| c.is_ascii_lowercase());
        let class = begins && self.class.len() <= 64 && self.class.chars().all(word);
        refuse(!class, "/class", "must be 1 to 64 lower-case letters, digits and underscores, a letter first");
        refuse(!(1..=4).contains(&self.severity), "/severity", "must be 1 to 4");
        let size = serde_json::to_vec(&self.details).map_or(usize::MAX, |json| json.len());
        refuse(size > MOST_DETAILS, "/details", "must be at most 16 KiB");
        found.extend(text("/title", &self.title, TITLE));
        found.extend(self.owner.as_ref().and_then(|owner| text("/owner", owner, 1..=64)));
        found.extend(self.about.as_ref().and_then(|about| text("/about", about, TITLE)));
        found
    }
}

/// Reports what needs a person: n8n's error workflow, or any service.
#[utoipa::path(tag = "exceptions", params(IdempotencyKey), request_body = ExceptionReport, responses(
    (status = 201, description = "Opened", body = Exception),
    (status = 200, description = "The open one about the same thing, counted up", body = Exception), Problems))]
#[post("/v1/exceptions")]
pub(crate) async fn report_exception(
    cx: Cx,
    caller: Caller<ReportExceptions>,
    key: IdempotencyKey,
    body: Body<ExceptionReport>,
) -> Result<Answer, ApiError> {
    let report = body.into_inner();
    let violations = report.violations();
    if !violations.is_empty() {
        return Err(ApiError::invalid(violations));
    }
    let (actor, fingerprint) = (caller.actor(), report.clone());
    let answer = command(&cx, &caller, "exceptions.report", &key, &fingerprint, |tx| {
        Box::pin(async move {
            let incident = Incident {
                class: report.class,
                severity: report.severity,
                title: report.title,
                owner: report.owner.unwrap_or_else(|| OPERATOR.to_owned()),
                about: report.about,
                details: Value::Object(report.details),
                same: None,
            };
            let (exception, opened) = exceptions::raise(tx, &actor, incident).await?;
            Ok(if opened { Reply::created(exception) } else { Reply::ok(exception) })
        })
    });
    answer.await
}

/// Which exceptions to list.
#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(crate) struct ExceptionFilter {
    /// `open` or `resolved`; both when absent.
    #[param(inline)]
    state: Option<Standing>,
    /// Role that owns them.
    owner: Option<String>,
    /// Opaque, from `next_cursor`.
    cursor: Option<String>,
    /// Items on a page.
    #[param(minimum = 1, maximum = 500, default = 50)]
    limit: Option<u32>,
}

/// Exceptions, newest first.
#[utoipa::path(tag = "exceptions", params(ExceptionFilter), responses((status = 200, body = Page<Exception>), Problems))]
#[get("/v1/exceptions")]
pub(crate) async fn list_exceptions(
    cx: Cx,
    _caller: Caller<ReadExceptions>,
    filter: Params<ExceptionFilter>,
) -> Result<web::Json<Page<Exception>>, ApiError> {
    let paging = Paging::parse(filter.cursor.as_deref(), filter.limit)?;
    let mut reader = cx.store().read().await?;
    let (owner, before) = (filter.owner.clone(), paging.after()?);
    let rows = exceptions::list(&mut reader, filter.state, owner, before, paging.limit).await?;
    Ok(web::Json(Page::cut(rows, paging.limit, |exception| Paging::cursor(&exception.id))))
}

/// One exception with its latest occurrences.
#[utoipa::path(tag = "exceptions", responses((status = 200, body = Exception), Problems))]
#[get("/v1/exceptions/{id}")]
pub(crate) async fn get_exception(
    cx: Cx,
    _caller: Caller<ReadExceptions>,
    id: PathOf<String>,
) -> Result<web::Json<Exception>, ApiError> {
    let mut reader = cx.store().read().await?;
    let found = exceptions::find(&mut reader, &id).await?;
    found.map(web::Json).ok_or_else(|| ApiError::not_found("exception"))
}

/// How it was dealt with.
#[derive(Clone, Debug, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Resolution {
    #[schema(min_length = 3, max_length = 2000)]
    resolution: String,
}

/// Closes an exception. The next report about the same thing opens a new one.
#[utoipa::path(tag = "exceptions", params(IdempotencyKey), request_body = Resolution,
    responses((status = 200, body = Exception), Problems))]
#[post("/v1/exceptions/{id}/resolution")]
pub(crate) async fn resolve_exception(
    cx: Cx,
    caller: Caller<ResolveExceptions>,
    key: IdempotencyKey,
    id: PathOf<String>,
    body: Body<Resolution>,
) -> Result<Answer, ApiError> {
    let Resolution { resolution } = body.into_inner();
    if let Some(error) = text("/resolution", &resolution, 3..=2000) {
        return Err(ApiError::invalid(vec![error]));
    }
    let (actor, id) = (caller.actor(), id.into_inner());
    let fingerprint = (id.clone(), resolution.clone());
    let answer = command(&cx, &caller, "exceptions.resolve", &key, &fingerprint, |tx| {
        Box::pin(async move {
            match exceptions::resolve(tx, &actor, &id, &resolution).await? {
                Ok(exception) => Ok(Reply::ok(exception)),
                Err(Unresolved::Unknown) => Err(ApiError::not_found("exception")),
                Err(Unresolved::Already(first)) => {
                    let by = first.resolved_by.unwrap_or_default();
                    let detail = format!("{by} resolved it: {}", first.resolution.unwrap_or_default());
                    Err(ApiError::conflict("exception-resolved", "The exception is resolved already", detail))
                }
            }
        })
    });
    answer.await
}
