//! `/v1/inventory-exception`: what caused a variance, and what it turned out to be.

use actix_web::get;
use chassis::prelude::*;
use models::{
    Judge, ModelRef,
    inventory_exception::{Answer as Judgement, LearnError, Learned, Model, Outcome, Request},
};
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::{KeepCases, ReadRecommendations, judged::stamp::*};
use crate::{
    shelf::Changes,
    store::learned::{self, State},
};

judged!(
    one, Model, Request, Judgement, "inventory-exception",
    /// Judges a variance between count and book: likely causes, the evidence for each, and who should look.
    ///
    /// `status` is `scored`, or `insufficient_data` with what is missing: the model does not guess.
    score_inventory_exception = "/v1/inventory-exception/score",
    batch_inventory_exception = "/v1/inventory-exception/batch",
    stream_inventory_exception = "/v1/inventory-exception/stream"
);

impl Served for Model {
    const LEARNS: bool = true;

    fn explain(request: &mut Request) -> &mut bool {
        &mut request.options.explain
    }

    fn taught(&self, state: &str) -> Result<Self, String> {
        let state: Learned = serde_json::from_str(state).map_err(|error| error.to_string())?;
        self.clone().with_learned(state).map_err(|error| error.to_string())
    }

    fn relearn(&self, cases: &[String]) -> Result<(i64, String), String> {
        let mut model = self.clone();
        let mut learnt = 0;
        for case in cases {
            let told = serde_json::from_str::<Resolution>(case).ok();
            learnt += i64::from(told.is_some_and(|told| model.learn(&told.request, &told.outcome).is_ok()));
        }
        Ok((learnt, serde_json::to_string(model.learned()).map_err(|error| error.to_string())?))
    }
}

/// A case that was looked into: what was known of it, and what it turned out to be.
#[derive(Clone, Debug, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = InventoryExceptionResolution)]
pub(crate) struct Resolution {
    request: Request,
    outcome: Outcome,
}

/// That a case was learnt from.
#[derive(Debug, Serialize, utoipa::ToSchema)]
#[schema(as = InventoryExceptionLesson)]
pub(crate) struct Lesson {
    /// Cases that the active version has learnt from; its answers say the same number.
    learned_cases: u64,
    model: ModelRef,
}

/// Tells what a variance turned out to be. The active version learns from it at once: its answers move a little, and
/// with many cases they follow what was seen more than what was fitted.
///
/// One case is told once, by its idempotency key. The latest 10,000 are kept: a version that is published later learns
/// from them when it is first asked, except from those whose class it does not know.
#[utoipa::path(tag = "inventory-exception", params(IdempotencyKey), request_body = Resolution,
    responses((status = 200, body = Lesson), Problems))]
#[post("/v1/inventory-exception/resolutions")]
pub(crate) async fn resolve_inventory_exception(
    cx: Cx,
    caller: Caller<KeepCases>,
    key: IdempotencyKey,
    (shelf, changes): (web::Data<Shelf<Model>>, web::Data<Changes>),
    body: Body<Resolution>,
) -> Result<Answer, ApiError> {
    let resolution = body.into_inner();
    let fitted = shelf.fitted(&cx, None).await?;
    // A version that was just published first learns what others were taught, outside of the transaction below.
    shelf.model(&cx, None).await?;
    let (actor, told) = (caller.actor(), resolution.clone());
    let answer = command(&cx, &caller, "inventory-exception.resolve", &key, &resolution, |tx| {
        Box::pin(async move {
            let parameters = &fitted.reference().parameters;
            let held = learned::hold(tx, Model::NAME, parameters).await?;
            let mut model = match &held {
                Some(held) => fitted.taught(&held.state).map_err(ApiError::internal)?,
                None => Model::clone(&fitted),
            };
            model.learn(&told.request, &told.outcome).map_err(refused)?;
            let state = serde_json::to_string(model.learned()).map_err(StoreError::from)?;
            let cases = held.map_or(0, |held| held.cases) + 1;
            learned::keep(tx, Model::NAME, parameters, &State { cases, state }).await?;
            let body = serde_json::to_string(&told).map_err(StoreError::from)?;
            learned::keep_resolution(tx, Model::NAME, &actor, &body).await?;
            let facts = &told.request.facts;
            let subject = format!("stock:{}@{}", facts.product, facts.location);
            let details = json!({"class": told.outcome.class, "model": model.reference(), "learned_cases": cases});
            tx.audit(&actor, "case.learned", &subject, details).await?;
            Ok(Reply::ok(Lesson { learned_cases: model.learned().cases, model: model.reference().clone() }))
        })
    });
    let answer = answer.await?;
    changes.count_up();
    Ok(answer)
}

/// What is wrong with a case that nothing can be learnt from.
fn refused(error: LearnError) -> ApiError {
    let below = |pointer: &str| format!("/request{pointer}");
    match error {
        LearnError::Refused(errors) => {
            ApiError::invalid(errors.into_iter().map(|one| FieldError::new(below(&one.pointer), one.detail)).collect())
        }
        LearnError::Insufficient(missing) => {
            ApiError::invalid(missing.into_iter().map(|one| FieldError::new(below(&one.pointer), one.detail)).collect())
        }
        LearnError::UnknownClass { .. } => ApiError::invalid_field("/outcome/class", error.to_string()),
        LearnError::OtherParameters | LearnError::Unusable(_) => ApiError::internal(error),
    }
}

/// What the active version has learnt from resolved cases since it was fitted.
#[utoipa::path(tag = "inventory-exception", responses((status = 200, body = Learned), Problems))]
#[get("/v1/inventory-exception/learned")]
pub(crate) async fn get_learned(
    cx: Cx,
    _caller: Caller<ReadRecommendations>,
    shelf: web::Data<Shelf<Model>>,
) -> Result<web::Json<Learned>, ApiError> {
    let model = shelf.model(&cx, None).await?;
    Ok(web::Json(model.learned().clone()))
}
