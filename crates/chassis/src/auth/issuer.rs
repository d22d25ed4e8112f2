//! Bearer tokens of people (OIDC, RFC 7519, RFC 9068): who issued them, for whom they are, and what they allow here.
//!
//! Nothing in a token chooses how it is checked. The issuer is one that the settings name; the key is one of that
//! issuer's, by id; the algorithm is the key's own and stands in the settings' list. So neither `none`, nor a shared
//! secret made of a public key (RFC 8725, 2.1), nor a key that the token brings along is ever tried.

use std::{
    path::Path,
    sync::{Arc, OnceLock, PoisonError, RwLock},
    time::Duration,
};

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use contracts::{LocationId, PersonId, RegionId};
use jiff::Timestamp;
use jsonwebtoken::{Algorithm, DecodingKey, Validation};
use serde::Deserialize;
use serde_json::Value;
use url::Url;

use super::{Denied, Grantee, Principal};
use crate::{
    clock::Clock,
    config::{ConfigError, IssuerSettings, SignatureAlgorithm},
    outgoing::{Outgoing, OutgoingRequest},
    reload::Reloaded,
};

/// Keys are fetched again after so long: one that the issuer has taken back opens nothing from then on.
const REFRESH: Duration = Duration::from_secs(600);
/// However many tokens with unknown keys are presented, the issuer is asked at most this often for them.
const AT_MOST_EVERY: Duration = Duration::from_secs(10);
/// Longest token that is looked at, in bytes.
const MAX_TOKEN: usize = 16 * 1024;
/// RSA keys shorter than this are not used (NIST SP 800-131A); in bytes.
const MIN_RSA: usize = 256;

/// A key of an issuer, with the one algorithm that it is for.
struct IssuerKey {
    kid: String,
    algorithm: SignatureAlgorithm,
    key: DecodingKey,
}

/// A published key as it comes; what is not for signatures that we know is passed over.
#[derive(Deserialize)]
struct Published {
    kty: String,
    kid: Option<String>,
    #[serde(rename = "use")]
    usage: Option<String>,
    alg: Option<String>,
    crv: Option<String>,
    x: Option<String>,
    y: Option<String>,
    n: Option<String>,
    e: Option<String>,
}

#[derive(Deserialize)]
struct PublishedSet {
    keys: Vec<Value>,
}

impl IssuerKey {
    fn of(raw: &Value) -> Option<Self> {
        let key: Published = serde_json::from_value(raw.clone()).ok()?;
        if key.usage.as_deref().is_some_and(|usage| usage != "sig") {
            return None;
        }
        let (algorithm, decoding) = match (key.kty.as_str(), key.crv.as_deref()) {
            ("OKP", Some("Ed25519")) => {
                (SignatureAlgorithm::EdDsa, DecodingKey::from_ed_components(key.x.as_deref()?).ok()?)
            }
            ("EC", Some("P-256")) => {
                let point = DecodingKey::from_ec_components(key.x.as_deref()?, key.y.as_deref()?);
                (SignatureAlgorithm::Es256, point.ok()?)
            }
            ("RSA", _) => {
                let modulus = URL_SAFE_NO_PAD.decode(key.n.as_deref()?).ok()?;
                let long = modulus.iter().skip_while(|byte| **byte == 0).count() >= MIN_RSA;
                let parts = long.then(|| DecodingKey::from_rsa_components(key.n.as_deref()?, key.e.as_deref()?).ok());
                (SignatureAlgorithm::Rs256, parts??)
            }
            _ => return None,
        };
        if key.alg.as_deref().is_some_and(|alg| alg != algorithm.as_str()) {
            return None;
        }
        Some(Self { kid: key.kid?, algorithm, key: decoding })
    }

    fn all(json: &[u8]) -> Result<Vec<Self>, String> {
        let set: PublishedSet = serde_json::from_slice(json).map_err(|error| format!("is no JWKS: {error}"))?;
        Ok(set.keys.iter().filter_map(Self::of).collect())
    }
}

/// Where keys come from.
enum Source {
    File(Reloaded<Arc<Vec<IssuerKey>>>),
    Url { url: Url, fetched: RwLock<Fetched>, fetching: tokio::sync::Mutex<()> },
}

#[derive(Default)]
struct Fetched {
    keys: Arc<Vec<IssuerKey>>,
    /// When it was last tried, whatever came of it.
    tried_at: Option<Timestamp>,
}

/// One issuer that is believed.
struct Issuer {
    settings: IssuerSettings,
    source: Source,
}

/// All issuers that are believed.
pub(super) struct Issuers {
    all: Vec<Issuer>,
    clock: Clock,
    outgoing: OnceLock<Outgoing>,
}

/// The parts of a token before anything of it is believed.
struct Unverified {
    header: Value,
    claims: Value,
}

impl Unverified {
    fn parse(token: &str) -> Result<Self, Denied> {
        let mut parts = token.split('.');
        let (Some(header), Some(claims), Some(_), None) = (parts.next(), parts.next(), parts.next(), parts.next())
        else {
            return Err(Denied::Malformed);
        };
        let json = |part: &str| {
            let bytes = URL_SAFE_NO_PAD.decode(part).map_err(|_| Denied::Malformed)?;
            serde_json::from_slice::<Value>(&bytes).map_err(|_| Denied::Malformed)
        };
        Ok(Self { header: json(header)?, claims: json(claims)? })
    }

    fn text(&self, name: &str) -> Option<&str> {
        self.header[name].as_str()
    }
}

impl Issuers {
    /// # Errors
    /// What is wrong with the settings or a key file.
    pub(super) fn new(settings: &[IssuerSettings], clock: Clock) -> Result<Self, ConfigError> {
        let open = |(at, settings): (usize, &IssuerSettings)| {
            let wrong = |why: String| ConfigError::one(format!("auth.issuers[{at}]{why}"));
            settings.check().map_err(wrong)?;
            let source = match (&settings.jwks_file, &settings.jwks_url) {
                (Some(path), _) => {
                    let path = path.clone();
                    Source::File(Reloaded::new([path.clone()], move || {
                        read(&path).map(Arc::new).map_err(|why| ConfigError::one(format!("auth.issuers[{at}]{why}")))
                    })?)
                }
                (None, url) => {
                    let url = url.as_deref().unwrap_or_default();
                    let url = Url::parse(url).map_err(|error| wrong(format!(".jwks_url: is no URL: {error}")))?;
                    Source::Url { url, fetched: RwLock::default(), fetching: tokio::sync::Mutex::default() }
                }
            };
            Ok(Issuer { settings: settings.clone(), source })
        };
        let all = settings.iter().enumerate().map(open).collect::<Result<_, ConfigError>>()?;
        Ok(Self { all, clock, outgoing: OnceLock::new() })
    }

    pub(super) fn reach_out_with(&self, outgoing: Outgoing) {
        let _first_counts = self.outgoing.set(outgoing);
    }

    /// Fetches the keys that this token needs, when they are old or the token names one that is not known. Never fails:
    /// without the key the token is refused.
    pub(super) async fn learn(&self, token: &str) {
        let Ok(parts) = Unverified::parse(token) else { return };
        let Some(issuer) = self.issuer_of(&parts) else { return };
        let (Source::Url { url, fetched, fetching }, Some(outgoing)) = (&issuer.source, self.outgoing.get()) else {
            return;
        };
        let due = || {
            let fetched = fetched.read().unwrap_or_else(PoisonError::into_inner);
            let known = fetched.keys.iter().any(|key| Some(key.kid.as_str()) == parts.text("kid"));
            let wait = if known { REFRESH } else { AT_MOST_EVERY };
            fetched.tried_at.is_none_or(|tried| self.clock.now() >= tried + wait)
        };
        if !due() {
            return;
        }
        // One asks for all who wait.
        let _turn = fetching.lock().await;
        if !due() {
            return;
        }
        let found = fetch(outgoing, url).await;
        let mut fetched = fetched.write().unwrap_or_else(PoisonError::into_inner);
        fetched.tried_at = Some(self.clock.now());
        match found {
            Ok(keys) => fetched.keys = Arc::new(keys),
            Err(error) => tracing::warn!(%url, error, "the keys of an issuer cannot be fetched; the last ones stay"),
        }
    }

    fn issuer_of(&self, parts: &Unverified) -> Option<&Issuer> {
        let issuer = parts.claims["iss"].as_str()?;
        self.all.iter().find(|one| one.settings.issuer == issuer)
    }

    /// Whose token it is, by the keys that are known.
    ///
    /// # Errors
    /// The first reason not to believe it.
    pub(super) fn authenticate(&self, token: &str) -> Result<Principal, Denied> {
        if token.len() > MAX_TOKEN || self.all.is_empty() {
            return Err(Denied::Malformed);
        }
        let parts = Unverified::parse(token)?;
        let issuer = self.issuer_of(&parts).ok_or(Denied::Issuer)?;
        let settings = &issuer.settings;
        let algorithm = parts.text("alg").and_then(SignatureAlgorithm::parse);
        let algorithm = algorithm.filter(|one| settings.algorithms.contains(one)).ok_or(Denied::Algorithm)?;
        // A header that we must understand and do not (RFC 7515, 4.1.11), or a token of another kind (RFC 8725, 3.11).
        let kind = parts.text("typ").map(str::to_ascii_lowercase);
        let access = kind.as_deref().is_none_or(|kind| ["jwt", "at+jwt", "application/at+jwt"].contains(&kind));
        if !access || parts.header.get("crit").is_some() {
            return Err(Denied::Malformed);
        }
        let kid = parts.text("kid").ok_or(Denied::TokenKey)?;
        let keys = issuer.keys();
        let key = keys.iter().find(|key| key.kid == kid).ok_or(Denied::TokenKey)?;
        if key.algorithm != algorithm {
            return Err(Denied::Algorithm);
        }
        let claims = jsonwebtoken::decode::<Value>(token, &key.key, &signature_only(algorithm.into()));
        let claims = claims.map_err(|_| Denied::Signature)?.claims;
        settings.admits(&claims, self.clock.now())?;
        settings.principal(&claims)
    }
}

impl Issuer {
    fn keys(&self) -> Arc<Vec<IssuerKey>> {
        match &self.source {
            Source::File(keys) => Arc::clone(&keys.get()),
            Source::Url { fetched, .. } => Arc::clone(&fetched.read().unwrap_or_else(PoisonError::into_inner).keys),
        }
    }
}

fn read(path: &Path) -> Result<Vec<IssuerKey>, String> {
    let bytes = std::fs::read(path).map_err(|error| format!(".jwks_file: {}: {error}", path.display()))?;
    IssuerKey::all(&bytes).map_err(|error| format!(".jwks_file: {} {error}", path.display()))
}

async fn fetch(outgoing: &Outgoing, url: &Url) -> Result<Vec<IssuerKey>, String> {
    let request = OutgoingRequest {
        method: reqwest::Method::GET,
        url: url.clone(),
        headers: vec![("accept".to_owned(), "application/json".to_owned())],
        body: Vec::new(),
        purpose: "issuer keys",
    };
    let answer = outgoing.send(request).await.map_err(|error| crate::chain(&error))?;
    if !answer.is_success() {
        return Err(format!("it answered {}", answer.status));
    }
    IssuerKey::all(&answer.body)
}

/// The library would read the machine's clock; the claims are checked by hand after the signature.
fn signature_only(algorithm: Algorithm) -> Validation {
    let mut validation = Validation::new(algorithm);
    validation.validate_exp = false;
    validation.validate_nbf = false;
    validation.validate_aud = false;
    validation.required_spec_claims.clear();
    validation
}

impl From<SignatureAlgorithm> for Algorithm {
    fn from(algorithm: SignatureAlgorithm) -> Self {
        match algorithm {
            SignatureAlgorithm::EdDsa => Self::EdDSA,
            SignatureAlgorithm::Es256 => Self::ES256,
            SignatureAlgorithm::Rs256 => Self::RS256,
        }
    }
}

/// A claim by its name, or by a path of names with dots between them (`realm_access.roles`).
fn claim<'c>(claims: &'c Value, path: &str) -> Option<&'c Value> {
    claims.get(path).or_else(|| path.split('.').try_fold(claims, |value, name| value.get(name)))
}

/// The texts of a claim that is one text or a list of them.
fn texts(value: Option<&Value>) -> Vec<&str> {
    match value {
        Some(Value::String(text)) => vec![text],
        Some(Value::Array(items)) => items.iter().filter_map(Value::as_str).collect(),
        _ => Vec::new(),
    }
}

impl IssuerSettings {
    /// For whom and when it is.
    fn admits(&self, claims: &Value, now: Timestamp) -> Result<(), Denied> {
        if !texts(claims.get("aud")).contains(&self.audience.as_str()) {
            return Err(Denied::Audience);
        }
        #[expect(clippy::cast_precision_loss, reason = "seconds since 1970 are far below 2^53")]
        let (now, leeway) = (now.as_second() as f64, f64::from(self.leeway_seconds));
        let instant = |name: &str| claims.get(name).map(|value| value.as_f64().ok_or(Denied::Malformed)).transpose();
        let expires = instant("exp")?.ok_or(Denied::TokenExpired)?;
        if now >= expires + leeway {
            return Err(Denied::TokenExpired);
        }
        for begins in [instant("nbf")?, instant("iat")?].into_iter().flatten() {
            if begins > now + leeway {
                return Err(Denied::NotYetValid);
            }
        }
        Ok(())
    }

    /// The person, with the roles that the settings give for what the claims say; a role that is bound to places is not
    /// given to who has none.
    fn principal(&self, claims: &Value) -> Result<Principal, Denied> {
        let person = claim(claims, &self.person_claim).and_then(Value::as_str).ok_or(Denied::Person)?;
        let person = PersonId::new(person).map_err(|_| Denied::Person)?;
        let held = texts(claim(claims, &self.roles_claim));
        let places = |path: &Option<String>| path.as_deref().map(|path| texts(claim(claims, path)));
        let (regions, locations) = (places(&self.regions_claim), places(&self.locations_claim));
        let mut roles: Vec<Grantee> = Vec::new();
        for grant in
            self.roles.iter().filter(|mapped| held.contains(&mapped.claim.as_str())).flat_map(|one| &one.grants)
        {
            let mut grant = grant.clone();
            let bound = regions.is_some() || locations.is_some();
            if bound && grant.regions.is_empty() && grant.locations.is_empty() {
                let named = regions.iter().flatten().filter_map(|text| RegionId::new(*text).ok());
                grant.regions.extend(named);
                let named = locations.iter().flatten().filter_map(|text| LocationId::new(*text).ok());
                grant.locations.extend(named);
                if grant.regions.is_empty() && grant.locations.is_empty() {
                    continue;
                }
            }
            roles.push(grant);
        }
        Ok(Principal { id: person.to_string(), roles, person: Some(person), session: false, correlation: None })
    }
}
