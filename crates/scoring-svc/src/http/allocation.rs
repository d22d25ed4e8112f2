//! `/v1/allocation`: who gets what there is.

use chassis::prelude::*;
use contracts::{LocationId, ProductId};
use models::{
    Judge,
    allocation::{self, Assessment, Options, Transfer},
};
use serde::Serialize;
use serde_json::json;

use super::judged::stamp::*;
use crate::store::recommendations::{self, Recommended};

/// Most transfers of a plan that is kept: each is a recommendation with an event and an audit leaf of its own.
const MOST_TRANSFERS: usize = 500;

judged!(
    one, allocation::Model, allocation::Request, allocation::Answer, "allocation",
    /// Plans transfers and reservations of one product under the limits given, and says how far from the best plan it is.
    ///
    /// `status` is `scored`, or `insufficient_data` with what is missing: the model does not guess.
    score_allocation = "/v1/allocation/score",
    batch_allocation = "/v1/allocation/batch",
    stream_allocation = "/v1/allocation/stream"
);

impl Served for allocation::Model {
    fn explain(request: &mut allocation::Request) -> &mut bool {
        &mut request.options.explain
    }
}

/// A plan, and where its transfers are kept.
#[derive(Clone, Debug, Serialize, utoipa::ToSchema)]
pub(crate) struct AllocationPlan {
    #[serde(flatten)]
    judgement: allocation::Answer,
    /// Under `/recommendations/{id}`, one for each of `transfers` in their order; empty with `insufficient_data`.
    recommendation_ids: Vec<String>,
}

/// Plans as `score` does, and keeps each transfer as a recommendation, so that `/v1/outcomes` can be told what became of
/// it: approved or declined, units moved, whether the receiver sold out.
///
/// Kept once per idempotency key; the product must be named. A plan of more than 500 transfers is refused: split it.
#[utoipa::path(tag = "allocation", params(IdempotencyKey, Version), request_body = allocation::Request,
    responses((status = 200, body = AllocationPlan), Problems))]
#[post("/v1/allocation/plans")]
pub(crate) async fn keep_allocation_plan(
    cx: Cx,
    caller: Caller<Score>,
    key: IdempotencyKey,
    shelf: web::Data<Shelf<allocation::Model>>,
    version: Params<Version>,
    body: Body<allocation::Request>,
) -> Result<Answer, ApiError> {
    let request = body.into_inner();
    let Some(product) = request.product.clone() else {
        return Err(ApiError::invalid_field("/product", "is needed to keep what is recommended for it"));
    };
    let version = version.into_inner();
    let model = shelf.model(&cx, version.version.as_deref()).await?;
    // As with a recommendation: not the facts' values, which may have moved when the same event is seen again.
    let places: Vec<LocationId> = request.locations.iter().map(|place| place.location.clone()).collect();
    let question: (ProductId, Vec<LocationId>, Options, Option<String>) =
        (product.clone(), places, request.options, version.version);
    let judged = web::block(move || model.judge(&request)).await.map_err(ApiError::internal)?;
    let judgement = judged.map_err(ApiError::invalid)?;
    let transfers = recommended(&product, &judgement)?;
    let actor = caller.actor();
    let answer = command(&cx, &caller, "allocation.plan", &key, &question, |tx| {
        Box::pin(async move {
            let mut recommendation_ids = Vec::with_capacity(transfers.len());
            for (one, text) in transfers {
                recommendation_ids.push(recommendations::keep(tx, &actor, &one, text).await?);
            }
            Ok(Reply::ok(AllocationPlan { judgement, recommendation_ids }))
        })
    });
    answer.await
}

/// Each transfer as it is kept: itself, and the plan that it is part of without the other transfers.
fn recommended(product: &ProductId, judgement: &allocation::Answer) -> Result<Vec<(Recommended, String)>, ApiError> {
    let allocation::Answer::Scored(plan) = judgement else { return Ok(Vec::new()) };
    if plan.transfers.len() > MOST_TRANSFERS {
        let detail = format!("the plan has {} transfers, at most {MOST_TRANSFERS} are kept", plan.transfers.len());
        return Err(ApiError::invalid_field("/lanes", detail));
    }
    let keep = |transfer: &Transfer| {
        let answer = json!({
            "transfer": transfer, "plan_score": plan.score, "plan_gain": plan.expected_gain, "plan_gap": plan.gap,
            "transfers": plan.transfers.len(), "model": plan.model, "input_hash": plan.input_hash,
        });
        (of_transfer(product, plan, transfer), answer.to_string())
    };
    Ok(plan.transfers.iter().map(keep).collect())
}

fn of_transfer(product: &ProductId, plan: &Assessment, transfer: &Transfer) -> Recommended {
    // The risk after is that after the whole plan. Where several transfers meet, none of them alone has a forecast.
    let alone = plan.transfers.iter().filter(|other| other.to == transfer.to).count() == 1;
    Recommended {
        product: product.clone(),
        location: transfer.to.clone(),
        score: plan.score,
        action: "transfer",
        quantity: f64::from(transfer.quantity),
        model: plan.model.clone(),
        input_hash: plan.input_hash.clone(),
        facts_hash: plan.input_hash.clone(),
        valid_until: plan.valid_until,
        forecast: alone.then_some((transfer.receiver_risk_before, transfer.receiver_risk_after)),
    }
}
