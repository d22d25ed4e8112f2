use actix_web::{get, post, web};
use chassis::prelude::*;
use contracts::{Facts, LocationId, ProductId};
use jiff::civil::Date;
use serde::{Deserialize, Serialize};

use super::{ReadFacts, scope};
use crate::{
    settings::SupplySettings,
    store::{self, Assembler, Sold, Wanted},
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

/// Which articles to list.
#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(crate) struct SoldSince {
    /// First day on which sales must have been reported.
    #[param(value_type = String, format = Date)]
    sold_since: Date,
    /// Opaque, from `next_cursor`.
    cursor: Option<String>,
    /// Items on a page.
    #[param(minimum = 1, maximum = 500, default = 50)]
    limit: Option<u32>,
}

/// Products at locations of which sales were reported since a day: what a nightly watch asks facts about. Those at
/// locations that the caller's roles do not reach are left out, so a page may be short before the last one.
#[utoipa::path(tag = "facts", params(SoldSince), responses((status = 200, body = Page<Sold>), Problems))]
#[get("/v1/facts")]
pub(crate) async fn list_sold(
    cx: Cx,
    caller: Caller<ReadFacts>,
    asked: Params<SoldSince>,
) -> Result<web::Json<Page<Sold>>, ApiError> {
    let paging = Paging::parse(asked.cursor.as_deref(), asked.limit)?;
    let found = store::sold_since(cx.store(), asked.sold_since, paging.after()?, paging.limit + 1).await?;
    let mut page = Page::cut(found, paging.limit, |sold| Paging::cursor(&sold.position()));
    let places: Vec<&LocationId> = page.items.iter().map(|sold| &sold.location).collect();
    let mut reached = scope::reaches(&cx, &caller, &places).await?.into_iter();
    page.items.retain(|_| reached.next() == Some(true));
    Ok(web::Json(page))
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
