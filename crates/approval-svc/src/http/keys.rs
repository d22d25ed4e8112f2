//! `/.well-known/jwks.json`: the keys that grants are verified with.

use actix_web::{HttpResponse, get, http::header, web};
use chassis::http::Problems;
use governance::Jwks;

use crate::desk::Desk;

/// Public keys. During a rotation the set holds the old key and the new one, so that executors that read it every
/// few minutes know a key before it signs and after it has stopped signing.
#[utoipa::path(tag = "keys", security(()), responses((status = 200, body = Jwks), Problems))]
#[get("/.well-known/jwks.json")]
pub(crate) async fn get_grant_keys(desk: web::Data<Desk>) -> HttpResponse {
    let keys = desk.grant_keys();
    HttpResponse::Ok().insert_header((header::CACHE_CONTROL, "public, max-age=300")).json(&keys.published)
}
