use actix_web::{get, web};
use chassis::prelude::*;

use super::ReadXref;
use crate::store::{self, XrefConflict};

/// What of Odoo cannot be mapped, longest waiting first. An `xref` observation settles a conflict; the next reading then
/// counts.
#[utoipa::path(tag = "xref", params(Paging), responses((status = 200, body = Page<XrefConflict>), Problems))]
#[get("/v1/xref-conflicts")]
pub(crate) async fn list_xref_conflicts(
    cx: Cx,
    _caller: Caller<ReadXref>,
    paging: Paging,
) -> Result<web::Json<Page<XrefConflict>>, ApiError> {
    let found = store::conflicts(cx.store(), paging.after()?, paging.limit + 1).await?;
    Ok(web::Json(Page::cut(found, paging.limit, |conflict| Paging::cursor(&conflict.position()))))
}
