//! Grants: what an approval turns into, and the only thing an executor believes.
//!
//! A grant is a JWT (RFC 7519) signed with Ed25519 (RFC 8037). Whoever has the public keys verifies it offline. That
//! it is used once is not the token's work: the executor stores `jti` in the transaction that accepts the effect.

use std::collections::BTreeMap;

use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair};
pub use contracts::audit::{Jwk, Jwks};
use contracts::{Action, Digest, PersonId};
use jiff::{SignedDuration, Timestamp};
use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey, Header, Validation, errors::ErrorKind};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::{
    Actor, Requester, Role,
    authority::Standing,
    drift::Bound,
    policy::{PolicyRef, RequesterExecutes},
};

/// Explicit type in the header, so that no other JWT signed with the same key passes for a grant (RFC 8725, 3.11).
const TYPE: &str = "steward-grant+jwt";
/// Most delegates of the requester that a grant names: workflows carry it along, so it stays small, and hardly anybody
/// lends their authority to more people for one matter.
pub const MAX_STAND_INS: usize = 20;
/// How far an executor's clock may be behind the signer's before a fresh grant is refused. Expiry has no such leeway.
pub const CLOCK_LEEWAY: SignedDuration = SignedDuration::from_secs(30);

/// Permission for exactly one action, as long as the facts stay within bounds.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Grant {
    #[serde(rename = "iss")]
    #[schema(example = "steward/approvals")]
    pub issuer: String,
    /// The executor it is meant for.
    #[serde(rename = "aud")]
    #[schema(example = "steward/supply")]
    pub audience: String,
    #[serde(rename = "sub")]
    pub approval_id: String,
    /// Consumed once by the executor.
    #[serde(rename = "jti")]
    pub grant_id: String,
    #[serde(rename = "iat", with = "jiff::fmt::serde::timestamp::second::required")]
    #[schema(value_type = i64)]
    pub issued_at: Timestamp,
    #[serde(rename = "nbf", with = "jiff::fmt::serde::timestamp::second::required")]
    #[schema(value_type = i64)]
    pub not_before: Timestamp,
    /// First second at which it is refused.
    #[serde(rename = "exp", with = "jiff::fmt::serde::timestamp::second::required")]
    #[schema(value_type = i64)]
    pub expires_at: Timestamp,
    pub action: Action,
    /// Hash of the facts that were shown.
    pub facts_hash: Digest,
    /// The facts it rests on and how far each may move.
    pub bounds: Vec<Bound>,
    pub policy: PolicyRef,
    /// Who asked. Absent in grants of versions before this claim, which bind the requester to nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub requested_by: Option<Requester>,
    /// What the policy says about the requester as executor.
    #[serde(default, skip_serializing_if = "RequesterExecutes::is_allowed")]
    pub requester_executes: RequesterExecutes,
    /// Who acted for the people who asked when it was issued, at most [`MAX_STAND_INS`]: as executors they count like
    /// those, as they do as approvers. Named only where the policy keeps the requester from executing.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schema(max_items = 20)]
    pub stand_ins: Vec<StandIn>,
    /// There were more of them than are named; then no person carries it out, because nobody can tell who acts for the
    /// requester.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub more_stand_ins: bool,
    /// Who approved, in order, each after those on whose authority they did; empty when the policy did without a
    /// person.
    pub decided_by: Vec<PersonId>,
    /// Present when one person broke the glass instead of the people whom the policy asks.
    #[serde(rename = "override", default, skip_serializing_if = "Option::is_none")]
    pub by_override: Option<Override>,
}

/// Somebody who acts for somebody who asked, and by which delegation.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct StandIn {
    pub person: PersonId,
    pub acts_for: PersonId,
    /// Id of the delegation; where authority was passed on, of the last one.
    pub delegation: String,
}

/// Who overrode, in which role, and the ticket that says why.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Override {
    pub person: PersonId,
    pub role: Role,
    #[schema(example = "INC-4711")]
    pub ticket: String,
}

/// Why a grant does not open the door.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum GrantRefused {
    #[error("this is not a grant")]
    Malformed,
    #[error("no key {kid:?} is published; the grant is foreign or its key was retired")]
    UnknownKey { kid: String },
    #[error("the signature of the grant does not match")]
    BadSignature,
    #[error("the grant is for {found:?}, not for {expected:?}")]
    ForeignAudience { expected: String, found: String },
    #[error("the grant expired at {at}")]
    Expired { at: Timestamp },
    #[error("the grant is valid from {from} only")]
    NotYetValid { from: Timestamp },
    #[error("the grant is for another action: {field} differs")]
    OtherAction { field: String },
    #[error("{person} approved this and so cannot carry it out")]
    ApproverMayNotExecute { person: PersonId },
    #[error("{requester} asked for this, and the policy wants somebody else to carry it out")]
    RequesterMayNotExecute { requester: Actor },
    #[error(
        "{person} acts for {acts_for}, who asked for this (delegation {delegation}), and the policy wants somebody else \
         to carry it out"
    )]
    StandInMayNotExecute { person: PersonId, acts_for: PersonId, delegation: String },
    #[error("more people act for who asked than the grant names, so that only a program can carry it out")]
    AnyoneMayStandIn { person: PersonId },
}

impl GrantRefused {
    /// Stable word for problem documents and metrics.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::Malformed => "grant-malformed",
            Self::UnknownKey { .. } => "grant-unknown-key",
            Self::BadSignature => "grant-bad-signature",
            Self::ForeignAudience { .. } => "grant-foreign-audience",
            Self::Expired { .. } => "grant-expired",
            Self::NotYetValid { .. } => "grant-not-yet-valid",
            Self::OtherAction { .. } => "grant-other-action",
            Self::ApproverMayNotExecute { .. } => "grant-own-approval",
            Self::RequesterMayNotExecute { .. } | Self::StandInMayNotExecute { .. } | Self::AnyoneMayStandIn { .. } => {
                "grant-own-request"
            }
        }
    }
}

impl Grant {
    /// Names who acts for the requester now, where that keeps somebody from executing.
    #[must_use]
    pub fn with_stand_ins(self, standing: &Standing) -> Self {
        let Some(requester) = self.requested_by.as_ref().filter(|_| !self.requester_executes.is_allowed()) else {
            return self;
        };
        let mut stand_ins: Vec<StandIn> = Vec::new();
        for mandate in standing.mandates.iter().filter(|mandate| requester.is(&mandate.root)) {
            if stand_ins.iter().all(|known| known.person != mandate.actor) {
                let delegation = mandate.path.last().cloned().unwrap_or_default();
                let (person, acts_for) = (mandate.actor.clone(), mandate.root.clone());
                stand_ins.push(StandIn { person, acts_for, delegation });
            }
        }
        let more_stand_ins = stand_ins.len() > MAX_STAND_INS;
        stand_ins.truncate(MAX_STAND_INS);
        Self { stand_ins, more_stand_ins, ..self }
    }

    /// Whether they may carry it out. Whoever approved, in their own right or for somebody else, may not; of whoever
    /// asked, and of who acts for them, the policy says it.
    ///
    /// # Errors
    /// [`GrantRefused::ApproverMayNotExecute`], [`GrantRefused::RequesterMayNotExecute`], and as who acts for them
    /// [`GrantRefused::StandInMayNotExecute`] or [`GrantRefused::AnyoneMayStandIn`].
    pub fn executable_by(&self, executor: &Actor) -> Result<(), GrantRefused> {
        if let Actor::Person { person } = executor
            && self.decided_by.contains(person)
        {
            return Err(GrantRefused::ApproverMayNotExecute { person: person.clone() });
        }
        let asked = self.requested_by.as_ref().is_some_and(|requester| match executor {
            Actor::Person { person } => requester.is(person),
            program => requester.by == *program,
        });
        let allowed = match self.requester_executes {
            RequesterExecutes::Allowed => true,
            RequesterExecutes::ProgramsOnly => !matches!(executor, Actor::Person { .. }),
            RequesterExecutes::Refused => false,
        };
        if asked && !allowed {
            return Err(GrantRefused::RequesterMayNotExecute { requester: executor.clone() });
        }
        let Actor::Person { person } = executor else { return Ok(()) };
        if allowed {
            return Ok(());
        }
        match self.stand_ins.iter().find(|one| one.person == *person) {
            Some(StandIn { person, acts_for, delegation }) => Err(GrantRefused::StandInMayNotExecute {
                person: person.clone(),
                acts_for: acts_for.clone(),
                delegation: delegation.clone(),
            }),
            None if self.more_stand_ins => Err(GrantRefused::AnyoneMayStandIn { person: person.clone() }),
            None => Ok(()),
        }
    }

    /// Whether this grant is for exactly that action.
    ///
    /// # Errors
    /// [`GrantRefused::OtherAction`] with the first field that differs.
    pub fn permits(&self, action: &Action) -> Result<(), GrantRefused> {
        if self.action == *action {
            return Ok(());
        }
        let fields = |action| serde_json::to_value(action).unwrap_or(Value::Null);
        let (granted, asked) = (fields(&self.action), fields(action));
        // The kind first: of two kinds of action the other fields differ as a matter of course.
        let names = granted.as_object().into_iter().flat_map(|object| object.keys()).map(String::as_str);
        let field = std::iter::once("type").chain(names).find(|name| granted.get(name) != asked.get(name));
        Err(GrantRefused::OtherAction { field: field.unwrap_or("action").to_owned() })
    }
}

/// Key material that cannot sign or verify.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidKey {
    #[error("the key is no PEM block of a PKCS#8 private key")]
    Pem,
    #[error("the key is no Ed25519 private key in PKCS#8 form")]
    Pkcs8,
    #[error("the published key is no Ed25519 public key (RFC 8037)")]
    Jwk,
}

/// Signing failed for a reason that is not the caller's.
#[derive(Debug, thiserror::Error)]
#[error("the grant could not be signed")]
pub struct SignFailed(#[source] jsonwebtoken::errors::Error);

/// Holds the private key. Its `kid` is the RFC 7638 thumbprint of the public key, so it needs no bookkeeping.
pub struct GrantSigner {
    key: EncodingKey,
    public: Jwk,
}

impl GrantSigner {
    /// From a PEM file, as `openssl genpkey -algorithm ed25519` writes it.
    ///
    /// # Errors
    /// [`InvalidKey`].
    pub fn from_pkcs8_pem(pem: &[u8]) -> Result<Self, InvalidKey> {
        let key = EncodingKey::from_ed_pem(pem).map_err(|_| InvalidKey::Pem)?;
        Self::from_pkcs8_der(key.as_bytes())
    }

    /// From PKCS#8 in DER, version 1 or 2 (RFC 8410).
    ///
    /// # Errors
    /// [`InvalidKey::Pkcs8`].
    pub fn from_pkcs8_der(der: &[u8]) -> Result<Self, InvalidKey> {
        let pair = Ed25519KeyPair::from_pkcs8_maybe_unchecked(der).map_err(|_| InvalidKey::Pkcs8)?;
        Self::from_pair(&pair)
    }

    /// From 32 random bytes, which is all that an Ed25519 private key is (RFC 8032, section 5.1.5). The caller
    /// brings the randomness and keeps the seed, or [`Self::pkcs8_der`], as a secret.
    ///
    /// # Errors
    /// [`InvalidKey::Pkcs8`] should the library refuse the seed.
    pub fn from_seed(seed: &[u8; 32]) -> Result<Self, InvalidKey> {
        let pair = Ed25519KeyPair::from_seed_unchecked(seed).map_err(|_| InvalidKey::Pkcs8)?;
        Self::from_pair(&pair)
    }

    fn from_pair(pair: &Ed25519KeyPair) -> Result<Self, InvalidKey> {
        // Version 2 holds the public key too, and is the only one that the signing library takes.
        let der = pair.to_pkcs8().map_err(|_| InvalidKey::Pkcs8)?;
        let public = Jwk::ed25519(pair.public_key().as_ref());
        Ok(Self { key: EncodingKey::from_ed_der(der.as_ref()), public })
    }

    /// The private key in PKCS#8 version 2, to be stored as a secret.
    #[must_use]
    pub fn pkcs8_der(&self) -> &[u8] {
        self.key.as_bytes()
    }

    #[must_use]
    pub fn kid(&self) -> &str {
        &self.public.kid
    }

    /// The public key for `/.well-known/jwks.json`.
    #[must_use]
    pub fn jwk(&self) -> Jwk {
        self.public.clone()
    }

    /// The token. Instants are cut to whole seconds.
    ///
    /// # Errors
    /// [`SignFailed`].
    pub fn sign(&self, grant: &Grant) -> Result<String, SignFailed> {
        let mut header = Header::new(Algorithm::EdDSA);
        header.typ = Some(TYPE.into());
        header.kid = Some(self.public.kid.clone());
        jsonwebtoken::encode(&header, grant, &self.key).map_err(SignFailed)
    }
}

/// Verifies grants against published keys.
pub struct GrantVerifier {
    keys: BTreeMap<String, DecodingKey>,
}

impl GrantVerifier {
    /// # Errors
    /// [`InvalidKey::Jwk`] when one of the keys is not an Ed25519 public key.
    pub fn from_jwks(jwks: &Jwks) -> Result<Self, InvalidKey> {
        let key = |jwk: &Jwk| {
            let bytes = jwk.public().map_err(|_| InvalidKey::Jwk)?;
            Ok((jwk.kid.clone(), DecodingKey::from_ed_der(&bytes)))
        };
        Ok(Self { keys: jwks.keys.iter().map(key).collect::<Result<_, _>>()? })
    }

    /// Checks key, signature, audience and time, in this order; time is judged by `now`, not by the machine's clock.
    ///
    /// # Errors
    /// [`GrantRefused`], the first reason met.
    pub fn verify(&self, token: &str, audience: &str, now: Timestamp) -> Result<Grant, GrantRefused> {
        let grant = self.read(token)?;
        if grant.audience != audience {
            return Err(GrantRefused::ForeignAudience { expected: audience.to_owned(), found: grant.audience });
        }
        if now >= grant.expires_at {
            return Err(GrantRefused::Expired { at: grant.expires_at });
        }
        if grant.not_before.duration_since(now) > CLOCK_LEEWAY {
            return Err(GrantRefused::NotYetValid { from: grant.not_before });
        }
        Ok(grant)
    }

    /// Checks key and signature alone: what was granted once, for whoever looks back.
    ///
    /// # Errors
    /// [`GrantRefused`]: malformed, of an unknown key, or with a signature that does not match.
    pub fn read(&self, token: &str) -> Result<Grant, GrantRefused> {
        let header = jsonwebtoken::decode_header(token).map_err(|_| GrantRefused::Malformed)?;
        let kid = header.kid.ok_or(GrantRefused::Malformed)?;
        let Some(key) = self.keys.get(&kid) else { return Err(GrantRefused::UnknownKey { kid }) };
        if header.typ.as_deref() != Some(TYPE) {
            return Err(GrantRefused::Malformed);
        }
        let decoded = jsonwebtoken::decode::<Grant>(token, key, &signature_only());
        let grant = decoded.map_err(|error| match error.kind() {
            ErrorKind::InvalidSignature => GrantRefused::BadSignature,
            _ => GrantRefused::Malformed,
        })?;
        Ok(grant.claims)
    }
}

/// The library would read the machine's clock; audience and time are checked by hand after the signature.
fn signature_only() -> Validation {
    let mut validation = Validation::new(Algorithm::EdDSA);
    validation.validate_exp = false;
    validation.validate_nbf = false;
    validation.validate_aud = false;
    validation.required_spec_claims.clear();
    validation
}
