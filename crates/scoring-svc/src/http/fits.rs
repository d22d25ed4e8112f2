//! `/v1/models/{name}/fits`: parameters fitted to cases with known outcomes, to look at and then to publish.

use std::{sync::Arc, time::Duration};

use actix_web::{post, web};
use chassis::prelude::*;
use models::{FitError, catalogue::EntryError};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::{
    PublishModels,
    models::{Comparison, Models, Standing, holdout, measured, unusable_case},
};

/// Shares of the cases that may be held out: enough to measure on, and most are to be learnt from.
const HELD_OUT: std::ops::RangeInclusive<f64> = 0.05..=0.5;
/// When a caller who finds another fit running may ask again. Most are done in seconds, a forest over all cases that a
/// set can hold in minutes.
const BUSY: Duration = Duration::from_secs(30);

/// One fit at a time: it takes a core for as long as it lasts, and judging must go on beside it.
pub(crate) struct Fitting(Arc<Semaphore>);

impl Default for Fitting {
    fn default() -> Self {
        Self(Arc::new(Semaphore::new(1)))
    }
}

impl Fitting {
    fn begin(&self) -> Result<OwnedSemaphorePermit, ApiError> {
        Arc::clone(&self.0).try_acquire_owned().map_err(|_| {
            let busy = Problem::new("fit-running", 429, "Another fit is running").detail("One is made at a time.");
            ApiError::problem(busy).retry_after(BUSY)
        })
    }
}

/// What to fit to: `cases` or `case_set`, in the order in which they happened.
#[derive(Debug, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct FitRequest {
    /// Name of the fitted version; not taken before it is published.
    #[schema(min_length = 1, max_length = 64, example = "2026-12")]
    version: String,
    /// `{request, outcome}` each, in the model's own types.
    #[schema(value_type = Option<Vec<Object>>, min_items = 1, max_items = 10_000)]
    cases: Option<Vec<Box<RawValue>>>,
    /// A set of cases that was kept before.
    #[schema(min_length = 1, max_length = 100)]
    case_set: Option<String>,
    /// Share of the cases, the last ones, that are not learnt from: both versions are measured over them.
    #[serde(default = "a_fifth")]
    #[schema(minimum = 0.05, maximum = 0.5)]
    held_out: f64,
}

fn a_fifth() -> f64 {
    0.2
}

/// A fitted version, which judges nothing before it is published.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub(crate) struct FitReply {
    #[schema(example = "replenishment-priority")]
    model: &'static str,
    version: String,
    /// Cases that were learnt from.
    learnt: usize,
    /// The active version and the fitted one over the cases that were held out.
    comparison: Comparison,
    /// The whole parameter file, as a publication takes it.
    #[schema(value_type = Object)]
    parameters: Box<RawValue>,
}

/// Fits a model to cases with known outcomes, starting from the active version, and measures both over the last of the
/// cases, which are not learnt from. Nothing is kept: publish what you like, with cases that it was not fitted to.
///
/// Waits until it is done: seconds, and minutes for the hundreds of thousands of cases that a set may hold. One fit runs
/// at a time; whoever comes meanwhile is asked to come back (429). The body may have 16 MiB.
#[utoipa::path(tag = "models", request_body = FitRequest, responses((status = 200, body = FitReply), Problems))]
#[post("/v1/models/{name}/fits")]
pub(crate) async fn fit_model(
    cx: Cx,
    _caller: Caller<PublishModels>,
    (models, fitting): (web::Data<Models>, web::Data<Fitting>),
    name: PathOf<String>,
    body: LargeBody<FitRequest>,
) -> Result<web::Json<FitReply>, ApiError> {
    let entry = models.find(&name)?;
    let FitRequest { version, cases, case_set, held_out } = body.into_inner();
    if !(1..=64).contains(&version.len()) {
        return Err(ApiError::invalid_field("/version", "must have 1 to 64 bytes"));
    }
    if !HELD_OUT.contains(&held_out) {
        let detail = format!("must be between {} and {}", HELD_OUT.start(), HELD_OUT.end());
        return Err(ApiError::invalid_field("/held_out", detail));
    }
    let place = if cases.is_some() { "/cases" } else { "/case_set" };
    let mut reader = cx.store().read().await?;
    let standing = Standing::read(&mut reader, entry).await?;
    let (_, start) = standing.version(&mut reader, standing.active()).await?;
    let cases = holdout(&mut reader, entry, cases, case_set.as_deref()).await?;
    drop(reader);
    let running = fitting.begin()?;
    let against = standing.active().to_owned();
    let fitted = web::block(move || {
        // Held here, and not by the handler: a caller who goes away does not end the fit.
        let _running = running;
        let texts: Vec<&str> = cases.iter().map(String::as_str).collect();
        let (learnt, later) = texts.split_at(texts.len() - held_back(texts.len(), held_out));
        let parameters = entry.fit(&start, &version, learnt, &mut |_| ()).map_err(|error| unusable(error, place))?;
        let comparison = measured(entry, (&against, &start), &parameters, (learnt.len(), later))?;
        let parameters = RawValue::from_string(parameters).map_err(ApiError::internal)?;
        Ok(FitReply { model: entry.name, version, learnt: learnt.len(), comparison, parameters })
    });
    fitted.await.map_err(ApiError::internal)?.map(web::Json)
}

/// How many of the cases are measured on: at least one.
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, clippy::cast_precision_loss, reason = "a count")]
fn held_back(cases: usize, share: f64) -> usize {
    (cases as f64 * share).ceil() as usize
}

fn unusable(error: EntryError, place: &str) -> ApiError {
    match error {
        EntryError::Fit(error @ (FitError::TooFew { .. } | FitError::Unusable(_))) => {
            ApiError::invalid_field(place, error.to_string())
        }
        error => unusable_case(error, 0),
    }
}

#[cfg(test)]
mod tests {
    use actix_web::{ResponseError as _, http::header::RETRY_AFTER};

    use super::*;

    #[test]
    fn a_second_fit_is_asked_to_come_back_until_the_first_has_ended() {
        let fitting = Fitting::default();
        let first = fitting.begin().unwrap();
        let refused = fitting.begin().unwrap_err().error_response();
        let after = refused.headers().get(RETRY_AFTER).unwrap();
        assert_eq!((refused.status().as_u16(), after.to_str().unwrap()), (429, "30"));
        drop(first);
        assert!(fitting.begin().is_ok());
    }

    #[test]
    fn something_is_always_held_back() {
        assert_eq!((held_back(1, 0.05), held_back(100, 0.2), held_back(7, 0.5)), (1, 20, 4));
    }
}
