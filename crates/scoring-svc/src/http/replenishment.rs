//! `/v1/replenishment/score`: judge one product at one location, and remember the recommendation.

use actix_web::{post, web};
use chassis::prelude::*;
use models::replenishment::{Answer as Judgement, Model, Request};
use serde::{Deserialize, Serialize};

use super::Score;
use crate::store;

/// The model's answer, and where it is kept.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
pub(crate) struct ScoredReply {
    #[serde(flatten)]
    pub judgement: Judgement,
    /// Under `/recommendations/{id}`; absent with `insufficient_data`, of which nothing is kept.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub recommendation_id: Option<String>,
}

/// Judges one product at one location: how urgent, what to do, how much, and why.
///
/// `status` is `scored`, or `insufficient_data` with what is missing: the model does not guess.
#[utoipa::path(tag = "replenishment", params(IdempotencyKey), request_body = Request,
    responses((status = 200, body = ScoredReply), Problems))]
#[post("/v1/replenishment/score")]
pub(crate) async fn score_replenishment(
    cx: Cx,
    caller: Caller<Score>,
    key: IdempotencyKey,
    model: web::Data<Model>,
    body: Body<Request>,
) -> Result<Answer, ApiError> {
    let request = body.into_inner();
    verify_hash(&request)?;
    // What makes it this question and no other. Not the facts' values: the same event seen twice asks the same
    // question, and its second asker must get the first answer even when stock has moved meanwhile.
    let fingerprint = (request.facts.product.clone(), request.facts.location.clone(), request.options);
    // Judged before the transaction opens, which then holds the store's lock for the rows alone.
    let judged = web::block(move || model.score(&request).map(|judgement| (request, judgement))).await;
    let (request, judgement) = judged.map_err(ApiError::internal)?.map_err(ApiError::invalid)?;
    let actor = caller.actor();
    let answer = command(&cx, &caller, "replenishment.score", &key, &fingerprint, |tx| {
        Box::pin(async move {
            let recommendation_id = match &judgement {
                Judgement::Scored(assessment) => {
                    let facts_hash = request.facts.hash.clone().map_or_else(|| request.facts.digest(), Ok);
                    let facts_hash = facts_hash.map_err(StoreError::from)?;
                    Some(store::keep(tx, &actor, assessment, &judgement, facts_hash).await?)
                }
                Judgement::InsufficientData { .. } => None,
            };
            Ok(Reply::ok(ScoredReply { judgement, recommendation_id }))
        })
    });
    answer.await
}

/// Facts that say they are sealed must be what was sealed: approvals and drift checks rest on that hash.
fn verify_hash(request: &Request) -> Result<(), ApiError> {
    let Some(claimed) = &request.facts.hash else { return Ok(()) };
    // Facts without a JSON form fail the model's own checks, which name the number.
    match request.facts.digest() {
        Ok(actual) if actual != *claimed => {
            Err(ApiError::invalid_field("/facts/hash", format!("is not the hash of these facts, which is {actual}")))
        }
        _ => Ok(()),
    }
}
