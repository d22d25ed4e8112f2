use actix_web::{get, post, web};
use chassis::prelude::*;
use contracts::{Facts, LocationId, ProductId};
use serde::{Deserialize, Serialize};

use super::{ReadFacts, scope};
use crate::{
    settings::SupplySettings,
    store::{Assembler, Wanted},
};

/// Most items of one batch.
const MAX_ITEMS: usize = 10_000;

/// A product at a location.
#[derive(Clone, Debug, Deserialize, utoipa::ToSchema, utoipa::IntoParams)]
#[serde(deny_unknown_fields)]
pub(crate) struct FactsOf {
    #[param(inline)]
    product: ProductId,
    #[param(inline)]
    location: LocationId,
}

#[derive(Debug, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct FactsBatch {
    #[schema(max_items = 10_000)]
    items: Vec<FactsOf>,
}

/// One answer for each item, in their order.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub(crate) struct FactsAnswers {
    items: Vec<FactsAnswer>,
}

#[derive(Debug, Serialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum FactsAnswer {
    Facts(Box<Facts>),
    Problem(Problem),
}

/// Everything known of a product at a location, sealed with its hash: what models score, approvers see and drift checks
/// compare. 404 while no stock level was ever seen, 403 when the caller's roles do not reach the location.
#[utoipa::path(tag = "facts", params(FactsOf), responses((status = 200, body = Facts), Problems))]
#[get("/v1/facts/{product}/{location}")]
pub(crate) async fn get_facts(
    cx: Cx,
    settings: web::Data<SupplySettings>,
    caller: Caller<ReadFacts>,
    of: PathOf<FactsOf>,
) -> Result<web::Json<Facts>, ApiError> {
    if !scope::reaches(&cx, &caller, &[&of.location]).await?[0] {
        return Err(ApiError::problem(scope::outside(&[&of.location])));
    }
    let wanted = [Wanted { product: of.product.clone(), location: of.location.clone() }];
    let found = assemble(&cx, &settings, &wanted).await?.pop().flatten();
    found.map(web::Json).ok_or_else(|| ApiError::problem(unknown(&wanted[0])))
}

/// Facts of many items with as few queries as of one. An unknown item has a problem in its place, and so has one
/// at a location that the caller's roles do not reach.
#[utoipa::path(tag = "facts", request_body = FactsBatch, responses((status = 200, body = FactsAnswers), Problems))]
#[post("/v1/facts/batch")]
pub(crate) async fn get_facts_batch(
    cx: Cx,
    settings: web::Data<SupplySettings>,
    caller: Caller<ReadFacts>,
    asked: Body<FactsBatch>,
) -> Result<web::Json<FactsAnswers>, ApiError> {
    if asked.items.len() > MAX_ITEMS {
        let detail = format!("at most {MAX_ITEMS}, has {}", asked.items.len());
        return Err(ApiError::invalid_field("/items", detail));
    }
    let wanted = |of: &FactsOf| Wanted { product: of.product.clone(), location: of.location.clone() };
    let wanted: Vec<Wanted> = asked.items.iter().map(wanted).collect();
    let places: Vec<&LocationId> = wanted.iter().map(|wanted| &wanted.location).collect();
    let reached = scope::reaches(&cx, &caller, &places).await?;
    let found = assemble(&cx, &settings, &wanted).await?;
    let answer = |((facts, reached), wanted): ((Option<Facts>, bool), &Wanted)| match facts {
        _ if !reached => FactsAnswer::Problem(scope::outside(&[&wanted.location])),
        Some(facts) => FactsAnswer::Facts(Box::new(facts)),
        None => FactsAnswer::Problem(unknown(wanted)),
    };
    Ok(web::Json(FactsAnswers { items: found.into_iter().zip(reached).zip(&wanted).map(answer).collect() }))
}

async fn assemble(cx: &Cx, settings: &SupplySettings, wanted: &[Wanted]) -> Result<Vec<Option<Facts>>, StoreError> {
    let mut reader = cx.store().read().await?;
    let dialect = cx.store().dialect();
    let assembler = Assembler { connection: &mut reader, dialect, lane: &settings.lane, now: cx.clock().now() };
    assembler.assemble(wanted).await
}

fn unknown(wanted: &Wanted) -> Problem {
    Problem::new("not-found", 404, "Nothing is known")
        .detail(format!("no stock level of {} at {} was ever seen", wanted.product, wanted.location))
}
