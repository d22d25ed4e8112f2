//! Who calls, and what they may do. Default deny: a handler takes its permission as a typed extractor, and without a
//! valid credential that has one of the permission's roles it does not run.

mod caller;
mod issuer;
mod keys;
pub mod permissions;
mod session;
mod signed;

use std::sync::Arc;

use actix_web::{HttpRequest, http::header};
use contracts::{LocationId, PersonId, RegionId};
use serde::{Deserialize, Serialize};

pub use self::{
    caller::Caller,
    keys::{InvalidKey, KeyEntry, KeyId, KeysFile, generate_key},
    session::SESSION_COOKIE,
};
use self::{issuer::Issuers, keys::KeyRing, signed::Signer};
use crate::{
    clock::{Clock, Ids},
    config::{AuthSettings, ConfigError},
    outgoing::Outgoing,
    shared::Shared,
};

/// How an API key begins; no JWT does.
const API_KEY: &str = "stw_";
/// Longest correlation id that a caller may pass on, in bytes.
const MAX_CORRELATION: usize = 128;

/// What a caller is for. Each role is scoped by the places of its [`Grantee`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// A program, such as n8n.
    Service,
    StoreManager,
    RegionalOps,
    Finance,
    ProcurementLead,
    /// Publishes approval policies, and nothing else by this role.
    PolicyOwner,
    Auditor,
    Operator,
    Admin,
}

impl Role {
    pub const ALL: [Self; 9] = [
        Self::Service,
        Self::StoreManager,
        Self::RegionalOps,
        Self::Finance,
        Self::ProcurementLead,
        Self::PolicyOwner,
        Self::Auditor,
        Self::Operator,
        Self::Admin,
    ];

    /// As it stands in JSON and in policies: `regional_ops`.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Service => "service",
            Self::StoreManager => "store_manager",
            Self::RegionalOps => "regional_ops",
            Self::Finance => "finance",
            Self::ProcurementLead => "procurement_lead",
            Self::PolicyOwner => "policy_owner",
            Self::Auditor => "auditor",
            Self::Operator => "operator",
            Self::Admin => "admin",
        }
    }
}

/// A role and where it holds; without regions and locations it holds everywhere.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Grantee {
    pub role: Role,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub regions: Vec<RegionId>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub locations: Vec<LocationId>,
}

impl Grantee {
    /// The role without a limit in place.
    #[must_use]
    pub fn everywhere(role: Role) -> Self {
        Self { role, regions: Vec::new(), locations: Vec::new() }
    }

    fn holds_at(&self, region: Option<&RegionId>, location: Option<&LocationId>) -> bool {
        (self.regions.is_empty() && self.locations.is_empty())
            || region.is_some_and(|region| self.regions.contains(region))
            || location.is_some_and(|location| self.locations.contains(location))
    }
}

/// An authenticated caller.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Principal {
    /// Id of the API key, also behind a session; of who has a token instead, the person.
    pub id: String,
    pub roles: Vec<Grantee>,
    /// The person whose key or session it is; a program has none.
    pub person: Option<PersonId>,
    /// Whether it came by the console's cookie rather than by a key.
    pub session: bool,
    correlation: Option<String>,
}

impl Principal {
    /// Whether the caller has the role anywhere.
    #[must_use]
    pub fn has(&self, role: Role) -> bool {
        self.roles.iter().any(|grantee| grantee.role == role)
    }

    /// Whether the caller has the role at this place. With neither given: everywhere.
    #[must_use]
    pub fn may_at(&self, role: Role, region: Option<&RegionId>, location: Option<&LocationId>) -> bool {
        self.roles.iter().any(|grantee| grantee.role == role && grantee.holds_at(region, location))
    }

    /// Who is written into the audit trail: `person:olga`, `key:n8n`.
    #[must_use]
    pub fn actor(&self) -> String {
        match &self.person {
            Some(person) => format!("person:{person}"),
            None => format!("key:{}", self.id),
        }
    }

    /// The thread of business that the caller says this belongs to (`Correlation-Id`): the `correlationid` of the
    /// event that started its workflow. Only asserted, and only for finding things.
    #[must_use]
    pub fn correlation_id(&self) -> Option<&str> {
        self.correlation.as_deref()
    }
}

/// A right to call certain operations; made by [`permission!`](crate::permission).
pub trait Permission: 'static {
    const NAME: &'static str;
    /// Any of these roles will do.
    const ROLES: &'static [Role];
}

/// Defines a permission and the roles that have it:
/// `permission!(pub RequestApproval = "approvals:request" for [Service, StoreManager]);`
#[macro_export]
macro_rules! permission {
    ($(#[$meta:meta])* $vis:vis $name:ident = $label:literal for [$($role:ident),+ $(,)?]) => {
        $(#[$meta])*
        #[derive(Clone, Copy, Debug)]
        $vis struct $name;

        impl $crate::auth::Permission for $name {
            const NAME: &'static str = $label;
            const ROLES: &'static [$crate::auth::Role] = &[$($crate::auth::Role::$role),+];
        }
    };
}

/// Why a credential does not count. For our log: the caller learns only that it does not.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Denied {
    #[error("no credential")]
    Missing,
    #[error("neither of the form stw_<id>_<secret> nor a token of an issuer that is configured")]
    Malformed,
    #[error("no such key, or another secret")]
    Unknown,
    #[error("the key has expired")]
    Expired,
    #[error("no issuer of tokens of that name is configured")]
    Issuer,
    #[error("the token's algorithm is not allowed, or not its key's")]
    Algorithm,
    #[error("the token's key is not one of its issuer's")]
    TokenKey,
    #[error("the token's signature does not match")]
    Signature,
    #[error("the token is for somebody else")]
    Audience,
    #[error("the token has expired, or never does")]
    TokenExpired,
    #[error("the token is not valid yet")]
    NotYetValid,
    #[error("the token names no person that can be one here")]
    Person,
    #[error("the session is not ours, or has ended")]
    Session,
    #[error("the sign-in link is not ours, has expired or was used")]
    SignIn,
}

/// Everything that tells callers apart. Cheap to clone.
#[derive(Clone)]
pub struct Auth(Arc<Inner>);

struct Inner {
    keys: KeyRing,
    issuers: Issuers,
    signer: Signer,
    clock: Clock,
    ids: Ids,
    shared: Shared,
    session_hours: u32,
    secure_cookie: bool,
}

impl Auth {
    /// # Errors
    /// When the keys file or the session secret cannot be read.
    pub fn new(settings: &AuthSettings, clock: Clock, shared: Shared) -> Result<Self, ConfigError> {
        let ids = Ids::default();
        Ok(Self(Arc::new(Inner {
            keys: KeyRing::open(settings.keys_file.clone(), clock.clone())?,
            issuers: Issuers::new(&settings.issuers, clock.clone())?,
            signer: Signer::new(settings.session_secret_file.clone(), &ids)?,
            clock,
            ids,
            shared,
            session_hours: settings.session_hours,
            secure_cookie: settings.secure_cookie,
        })))
    }

    /// Lets the keys of issuers be fetched.
    pub(crate) fn reach_out_with(&self, outgoing: Outgoing) {
        self.0.issuers.reach_out_with(outgoing);
    }

    /// Fetches what is needed to tell who sends this request, if anything is.
    pub(crate) async fn prepare(&self, request: &HttpRequest) {
        if let Ok(Some(token)) = bearer(request)
            && !token.starts_with(API_KEY)
        {
            self.0.issuers.learn(token).await;
        }
    }

    /// Who sends this request: an API key or a bearer token if there is one, else the console's session.
    pub(crate) fn identify(&self, request: &HttpRequest) -> Result<Principal, Denied> {
        let mut principal = match bearer(request)? {
            Some(key) if key.starts_with(API_KEY) => self.0.keys.authenticate(key)?,
            Some(token) => self.0.issuers.authenticate(token)?,
            None => self.session(request)?,
        };
        let correlation = request.headers().get("correlation-id").and_then(|value| value.to_str().ok());
        let sound =
            |text: &&str| (1..=MAX_CORRELATION).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_graphic());
        principal.correlation = correlation.filter(sound).map(ToOwned::to_owned);
        Ok(principal)
    }
}

/// The bearer credential, where the request brings one.
fn bearer(request: &HttpRequest) -> Result<Option<&str>, Denied> {
    let Some(value) = request.headers().get(header::AUTHORIZATION) else { return Ok(None) };
    let text = value.to_str().map_err(|_| Denied::Malformed)?;
    let (scheme, credential) = text.split_once(' ').ok_or(Denied::Malformed)?;
    let known = scheme.eq_ignore_ascii_case("bearer");
    known.then(|| Some(credential.trim())).ok_or(Denied::Malformed)
}

#[cfg(test)]
mod issuer_tests;
#[cfg(test)]
mod tests;
