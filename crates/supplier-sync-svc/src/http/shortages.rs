use actix_web::{get, web};
use chassis::prelude::*;
use contracts::LocationId;
use serde::Deserialize;

use super::{ReadFacts, scope};
use crate::store::{self, Shortage};

#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(crate) struct ShortagesPage {
    /// Opaque, from `next_cursor`.
    cursor: Option<String>,
    /// Items on a page.
    #[param(minimum = 1, maximum = 500, default = 50)]
    limit: Option<u32>,
}

/// Products that are at or below their reorder point at some locations while others hold some: what transfers may
/// cure. Of each product as many as 200 locations of either kind, those that the caller's roles reach; a product of
/// which one kind is out of reach is left out, so a page may be short before the last one. Without a reorder point
/// nothing is short.
#[utoipa::path(tag = "facts", params(ShortagesPage), responses((status = 200, body = Page<Shortage>), Problems))]
#[get("/v1/shortages")]
pub(crate) async fn list_shortages(
    cx: Cx,
    caller: Caller<ReadFacts>,
    asked: Params<ShortagesPage>,
) -> Result<web::Json<Page<Shortage>>, ApiError> {
    let paging = Paging::parse(asked.cursor.as_deref(), asked.limit)?;
    let found = store::shortages(cx.store(), paging.after()?, paging.limit + 1).await?;
    let mut page = Page::cut(found, paging.limit, |shortage| Paging::cursor(&shortage.product));
    let places: Vec<&LocationId> =
        page.items.iter().flat_map(|one| one.short.iter().map(|short| &short.location).chain(&one.holders)).collect();
    let mut reached = scope::reaches(&cx, &caller, &places).await?.into_iter();
    // In the order in which the places were gathered.
    for shortage in &mut page.items {
        shortage.short.retain(|_| reached.next() == Some(true));
        shortage.holders.retain(|_| reached.next() == Some(true));
    }
    page.items.retain(|one| !one.short.is_empty() && !one.holders.is_empty());
    Ok(web::Json(page))
}
