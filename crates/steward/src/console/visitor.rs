//! Who looks.

use std::future::{Ready, ready};

use actix_web::{FromRequest, HttpRequest, dev::Payload};
use chassis::{
    auth::{Auth, Caller, SESSION_COOKIE},
    permission,
};

use super::pages::Refused;

permission!(
    /// Look at the console. What is on it each service permits by itself.
    SeeConsole = "console:see" for [StoreManager, RegionalOps, Finance, ProcurementLead, Auditor, Operator, Admin]
);

/// A person with a session.
pub(super) struct Visitor {
    /// `person:olga`
    pub actor: String,
    /// The session, as it is passed on to the services.
    pub cookie: String,
    /// What each form of the visitor's pages carries.
    pub form_token: String,
}

impl FromRequest for Visitor {
    type Error = Refused;
    type Future = Ready<Result<Self, Refused>>;

    fn from_request(request: &HttpRequest, payload: &mut Payload) -> Self::Future {
        let caller = Caller::<SeeConsole>::from_request(request, payload).into_inner();
        ready(caller.map_err(|_| Refused::Stranger).and_then(|caller| visitor(request, &caller)))
    }
}

fn visitor(request: &HttpRequest, caller: &Caller<SeeConsole>) -> Result<Visitor, Refused> {
    let auth = request.app_data::<Auth>().ok_or(Refused::Stranger)?;
    // A key in a header is no session: its pages would have no form token.
    let cookie = request.cookie(SESSION_COOKIE).filter(|_| caller.session).ok_or(Refused::Stranger)?;
    let form_token = auth.csrf_token(request).ok_or(Refused::Stranger)?;
    Ok(Visitor { actor: caller.actor(), cookie: format!("{SESSION_COOKIE}={}", cookie.value()), form_token })
}

/// Another site can make a browser send a form with the cookie, but cannot know the token.
pub(super) fn own_form(request: &HttpRequest, token: &str) -> Result<(), Refused> {
    let auth = request.app_data::<Auth>().ok_or(Refused::Stranger)?;
    if auth.csrf_matches(request, token) { Ok(()) } else { Err(Refused::ForeignForm) }
}
