//! A one-time link becomes a session. Opening the link is not enough, because previews and scanners open links too.

use actix_web::{
    HttpRequest, HttpResponse,
    cookie::{Cookie, time::Duration},
    get,
    http::{StatusCode, header},
    post, web,
};
use chassis::auth::{Auth, SESSION_COOKIE};
use serde::Deserialize;
use serde_json::json;

use super::{
    pages::{Refused, page},
    visitor::{Visitor, own_form},
};

#[derive(Deserialize)]
struct Token {
    #[serde(default)]
    token: String,
}

#[derive(Deserialize)]
struct SignOut {
    csrf: String,
}

/// Shows a button; uses nothing up.
#[get("/sign-in")]
pub(super) async fn offer(link: web::Query<Token>) -> Result<HttpResponse, Refused> {
    if link.token.is_empty() {
        return Err(Refused::Stranger);
    }
    Ok(page(StatusCode::OK, "sign_in.html", &json!({"token": link.token})))
}

/// Uses the link up.
#[post("/sign-in")]
pub(super) async fn sign_in(request: HttpRequest, form: web::Form<Token>) -> Result<HttpResponse, Refused> {
    let auth = request.app_data::<Auth>().ok_or(Refused::Stranger)?;
    let session = auth.redeem(&form.token).await.map_err(|reason| {
        tracing::warn!(%reason, "a sign-in was refused");
        Refused::SignInUsed
    })?;
    Ok(HttpResponse::SeeOther().cookie(session).insert_header((header::LOCATION, "/")).finish())
}

#[post("/sign-out")]
pub(super) async fn sign_out(
    request: HttpRequest,
    _visitor: Visitor,
    form: web::Form<SignOut>,
) -> Result<HttpResponse, Refused> {
    own_form(&request, &form.csrf)?;
    let gone = Cookie::build(SESSION_COOKIE, "").path("/").http_only(true).max_age(Duration::ZERO).finish();
    Ok(HttpResponse::SeeOther().cookie(gone).insert_header((header::LOCATION, "/")).finish())
}
