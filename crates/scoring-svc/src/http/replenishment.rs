//! `/v1/replenishment`: how urgent, what to do, how much, and why; and a budget over many.

use chassis::prelude::*;
use contracts::{LocationId, ProductId};
use models::replenishment::{Answer as Judgement, Model, Options, RankRequest, Ranking, Request};

use super::judged::{stamp::*, within_limit};
use crate::store::recommendations::Recommended;

judged!(
    kept, Model, Request, Judgement, "replenishment",
    /// Judges one product at one location: how urgent, what to do, how much, and why.
    ///
    /// `status` is `scored`, or `insufficient_data` with what is missing: the model does not guess.
    score_replenishment = "/v1/replenishment/score",
    batch_replenishment = "/v1/replenishment/batch",
    stream_replenishment = "/v1/replenishment/stream"
);

impl Served for Model {
    fn explain(request: &mut Request) -> &mut bool {
        &mut request.options.explain
    }
}

impl Recommends for Model {
    type Question = (ProductId, LocationId, Options);

    fn question(request: &Request) -> Self::Question {
        (request.facts.product.clone(), request.facts.location.clone(), request.options)
    }

    /// Facts that say they are sealed must be what was sealed: approvals and drift checks rest on that hash.
    fn refuse(request: &Request) -> Option<FieldError> {
        let claimed = request.facts.hash.as_ref()?;
        // Facts without a JSON form fail the model's own checks, which name the number.
        let actual = request.facts.digest().ok().filter(|actual| actual != claimed)?;
        Some(FieldError::new("/facts/hash", format!("is not the hash of these facts, which is {actual}")))
    }

    fn recommended(request: &Request, answer: &Judgement) -> Result<Option<Recommended>, StoreError> {
        let Judgement::Scored(assessment) = answer else { return Ok(None) };
        let facts_hash = request.facts.hash.clone().map_or_else(|| request.facts.digest(), Ok)?;
        Ok(Some(Recommended {
            product: assessment.product.clone(),
            location: assessment.location.clone(),
            score: assessment.score,
            action: assessment.recommendation.action.as_str(),
            quantity: assessment.recommendation.quantity,
            model: assessment.model.clone(),
            input_hash: assessment.input_hash.clone(),
            facts_hash,
            valid_until: assessment.valid_until,
            forecast: Some((assessment.stock_out_probability, assessment.recommendation.stock_out_probability_after)),
        }))
    }
}

/// Spends a budget on purchases where the next unit protects most margin.
#[utoipa::path(tag = "replenishment", params(Version), request_body = RankRequest,
    responses((status = 200, body = Ranking), Problems))]
#[post("/v1/replenishment/rank")]
pub(crate) async fn rank_replenishment(
    cx: Cx,
    _caller: Caller<Score>,
    shelf: web::Data<Shelf<Model>>,
    version: Params<Version>,
    body: Body<RankRequest>,
) -> Result<web::Json<Ranking>, ApiError> {
    let request = body.into_inner();
    within_limit(request.items.len())?;
    let model = shelf.model(&cx, version.version.as_deref()).await?;
    let ranked = web::block(move || model.rank(&request)).await.map_err(ApiError::internal)?;
    ranked.map(web::Json).map_err(ApiError::invalid)
}
