//! `/v1/recommendations`: what was recommended.

use actix_web::{get, web};
use chassis::prelude::*;
use contracts::{LocationId, ProductId};
use serde::Deserialize;

use super::ReadRecommendations;
use crate::store::{
    outcomes,
    recommendations::{self, Recommendation},
};

/// Which recommendations to list; all of them when nothing is given.
#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(crate) struct RecommendationFilter {
    product: Option<ProductId>,
    location: Option<LocationId>,
    /// Opaque, from `next_cursor`.
    cursor: Option<String>,
    /// Items on a page.
    #[param(minimum = 1, maximum = 500, default = 50)]
    limit: Option<u32>,
}

/// Recommendations, newest first.
#[utoipa::path(tag = "recommendations", params(RecommendationFilter),
    responses((status = 200, body = Page<Recommendation>), Problems))]
#[get("/v1/recommendations")]
pub(crate) async fn list_recommendations(
    cx: Cx,
    _caller: Caller<ReadRecommendations>,
    filter: Params<RecommendationFilter>,
) -> Result<web::Json<Page<Recommendation>>, ApiError> {
    let paging = Paging::parse(filter.cursor.as_deref(), filter.limit)?;
    let place = (filter.product.as_ref(), filter.location.as_ref());
    let mut reader = cx.store().read().await?;
    let rows = recommendations::list(&mut reader, place, paging.after()?, paging.limit).await?;
    Ok(web::Json(Page::cut(rows, paging.limit, |one| Paging::cursor(&one.id))))
}

/// One recommendation with the whole answer as it was given, and what became of it.
#[utoipa::path(tag = "recommendations", responses((status = 200, body = Recommendation), Problems))]
#[get("/v1/recommendations/{id}")]
pub(crate) async fn get_recommendation(
    cx: Cx,
    _caller: Caller<ReadRecommendations>,
    id: PathOf<String>,
) -> Result<web::Json<Recommendation>, ApiError> {
    let mut reader = cx.store().read().await?;
    let found = recommendations::find(&mut reader, &id).await?;
    let found = found.ok_or_else(|| ApiError::not_found("recommendation"))?;
    let outcomes = outcomes::of(&mut reader, &found.id).await?;
    Ok(web::Json(Recommendation { outcomes, ..found }))
}
