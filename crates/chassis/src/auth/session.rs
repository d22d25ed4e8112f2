//! Sessions of the console: a signed cookie, got by a signed link that works once.

use std::time::Duration;

use actix_web::{
    HttpRequest,
    cookie::{Cookie, SameSite, time},
};
use contracts::PersonId;
use serde::{Deserialize, Serialize};
use subtle::ConstantTimeEq;

use super::{Auth, Denied, KeyId, Principal};
use crate::config::ConfigError;

/// Name of the console's cookie.
pub const SESSION_COOKIE: &str = "steward_session";

const SESSION: &str = "session";
const SIGN_IN: &str = "sign-in";
const FORM: &str = "form";

/// What cookie and link say. Roles are not in it: they are the key's at the time of each request, so taking the key
/// away ends its sessions.
#[derive(Serialize, Deserialize)]
struct Claims {
    key: KeyId,
    person: Option<PersonId>,
    /// Unix seconds.
    expires: i64,
    nonce: String,
}

impl Auth {
    /// A token for a sign-in link: works once, within `ttl`, for the holder of that key (or for `person`, with the
    /// key's roles).
    ///
    /// # Errors
    /// When the signing secret cannot be read.
    pub fn sign_in_token(&self, key: &KeyId, person: Option<&PersonId>, ttl: Duration) -> Result<String, ConfigError> {
        self.0.signer.seal(SIGN_IN, &self.claims(key, person.cloned(), ttl))
    }

    /// Exchanges a sign-in token for a session.
    ///
    /// # Errors
    /// [`Denied::SignIn`] when it is not ours, has expired, was used, or its key is gone.
    pub async fn redeem(&self, token: &str) -> Result<Cookie<'static>, Denied> {
        let claims = self.0.signer.open::<Claims>(SIGN_IN, token).filter(|claims| self.is_current(claims));
        let claims = claims.ok_or(Denied::SignIn)?;
        let left = claims.expires.saturating_sub(self.0.clock.now().as_second());
        let ttl = Duration::from_secs(u64::try_from(left).unwrap_or(0).max(1));
        if self.0.keys.live(&claims.key).is_none()
            || !self.0.shared.claim(&format!("sign-in:{}", claims.nonce), ttl).await
        {
            return Err(Denied::SignIn);
        }
        self.issue_session(&claims.key, claims.person.as_ref()).map_err(|_| Denied::SignIn)
    }

    /// A session for the holder of the key.
    ///
    /// # Errors
    /// When the signing secret cannot be read.
    pub fn issue_session(&self, key: &KeyId, person: Option<&PersonId>) -> Result<Cookie<'static>, ConfigError> {
        let lifetime = Duration::from_secs(u64::from(self.0.session_hours) * 3600);
        let value = self.0.signer.seal(SESSION, &self.claims(key, person.cloned(), lifetime))?;
        Ok(Cookie::build(SESSION_COOKIE, value)
            .path("/")
            .http_only(true)
            .secure(self.0.secure_cookie)
            .same_site(SameSite::Strict)
            .max_age(time::Duration::hours(self.0.session_hours.into()))
            .finish())
    }

    /// What a form of this session must carry: another site can make the browser send the cookie's request, but cannot
    /// read this.
    #[must_use]
    pub fn csrf_token(&self, request: &HttpRequest) -> Option<String> {
        let cookie = request.cookie(SESSION_COOKIE)?;
        self.0.signer.companion(FORM, cookie.value())
    }

    /// Whether a form carried the token of this request's session.
    #[must_use]
    pub fn csrf_matches(&self, request: &HttpRequest, given: &str) -> bool {
        self.csrf_token(request).is_some_and(|token| token.as_bytes().ct_eq(given.as_bytes()).into())
    }

    pub(super) fn session(&self, request: &HttpRequest) -> Result<Principal, Denied> {
        let cookie = request.cookie(SESSION_COOKIE).ok_or(Denied::Missing)?;
        let claims = self.0.signer.open::<Claims>(SESSION, cookie.value()).filter(|claims| self.is_current(claims));
        let claims = claims.ok_or(Denied::Session)?;
        let mut principal = self.0.keys.live(&claims.key).ok_or(Denied::Session)?.principal(true);
        principal.person = claims.person.or(principal.person);
        Ok(principal)
    }

    fn is_current(&self, claims: &Claims) -> bool {
        self.0.clock.now().as_second() < claims.expires
    }

    fn claims(&self, key: &KeyId, person: Option<PersonId>, ttl: Duration) -> Claims {
        let expires = (self.0.clock.now() + ttl).as_second();
        Claims { key: key.clone(), person, expires, nonce: hex::encode(self.0.ids.secret_bytes::<16>()) }
    }
}
