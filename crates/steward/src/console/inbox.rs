//! `/inbox`: what the visitor can decide, the dearest first, page by page.

use actix_web::{HttpResponse, get, http::StatusCode, web};
use serde::Deserialize;
use serde_json::json;

use super::{fleet::Fleet, pages::Refused, pages::page, visitor::Visitor};

/// Requests on a page: as many as one looks through at a sitting.
const ON_A_PAGE: &str = "25";

#[derive(Deserialize)]
struct From {
    /// Where the page before this one ended.
    #[serde(default)]
    cursor: String,
}

#[get("/inbox")]
pub(super) async fn inbox(
    fleet: web::Data<Fleet>,
    visitor: Visitor,
    from: web::Query<From>,
) -> Result<HttpResponse, Refused> {
    let query = [("inbox", "true"), ("limit", ON_A_PAGE), ("cursor", from.cursor.as_str())];
    let found = fleet.get(&visitor, "/approvals/v1/approvals", &query).await?;
    let values = json!({
        "visitor": visitor.actor,
        "csrf": visitor.form_token,
        "waiting": found["items"],
        "next": found["next_cursor"],
        "further": !from.cursor.is_empty(),
    });
    Ok(page(StatusCode::OK, "inbox.html", &values))
}
