//! A local issuer that lies: everything that must not open the door, and the little that must.

use std::time::Duration;

use actix_web::test::TestRequest;
use aws_lc_rs::{
    hmac,
    rand::SystemRandom,
    rsa::KeySize,
    signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair, KeyPair, RSA_PKCS1_SHA256, RsaKeyPair},
};
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use jiff::Timestamp;
use serde_json::{Value, json};
use wiremock::{Mock, MockServer, ResponseTemplate, matchers::path};

use super::*;
use crate::config::Settings;

const ISSUER: &str = "https://login.example.com";

enum Signs {
    Ed(Ed25519KeyPair),
    Ec(EcdsaKeyPair),
    Rsa(RsaKeyPair),
    /// As if the public key were a shared secret.
    Hmac(Vec<u8>),
    Nothing,
}

impl Signs {
    fn ed(seed: u8) -> Self {
        Self::Ed(Ed25519KeyPair::from_seed_unchecked(&[seed; 32]).unwrap())
    }

    fn ec() -> Self {
        let pkcs8 = EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &SystemRandom::new()).unwrap();
        Self::Ec(EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, pkcs8.as_ref()).unwrap())
    }

    fn alg(&self) -> &'static str {
        match self {
            Self::Ed(_) => "EdDSA",
            Self::Ec(_) => "ES256",
            Self::Rsa(_) => "RS256",
            Self::Hmac(_) => "HS256",
            Self::Nothing => "none",
        }
    }

    fn sign(&self, input: &[u8]) -> Vec<u8> {
        match self {
            Self::Ed(pair) => pair.sign(input).as_ref().to_vec(),
            Self::Ec(pair) => pair.sign(&SystemRandom::new(), input).unwrap().as_ref().to_vec(),
            Self::Rsa(pair) => {
                let mut signature = vec![0; pair.public_modulus_len()];
                pair.sign(&RSA_PKCS1_SHA256, &SystemRandom::new(), input, &mut signature).unwrap();
                signature
            }
            Self::Hmac(secret) => hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, secret), input).as_ref().to_vec(),
            Self::Nothing => Vec::new(),
        }
    }

    fn jwk(&self, kid: &str) -> Value {
        let text = |bytes: &[u8]| URL_SAFE_NO_PAD.encode(bytes);
        match self {
            Self::Ed(pair) => {
                json!({"kty": "OKP", "crv": "Ed25519", "kid": kid, "x": text(pair.public_key().as_ref())})
            }
            Self::Ec(pair) => {
                // Uncompressed: 4, then both coordinates.
                let point = &pair.public_key().as_ref()[1..];
                json!({"kty": "EC", "crv": "P-256", "kid": kid, "use": "sig", "alg": "ES256", "x": text(&point[..32]),
                    "y": text(&point[32..])})
            }
            Self::Rsa(pair) => {
                let public = pair.public_key();
                let (n, e) = (public.modulus(), public.exponent());
                json!({"kty": "RSA", "kid": kid, "n": text(n.big_endian_without_leading_zero()),
                    "e": text(e.big_endian_without_leading_zero())})
            }
            Self::Hmac(secret) => json!({"kty": "oct", "kid": kid, "k": text(secret)}),
            Self::Nothing => json!({}),
        }
    }

    fn token(&self, header: Value, claims: &Value) -> String {
        let text = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
        let mut whole = json!({"alg": self.alg(), "kid": "one", "typ": "JWT"});
        whole.as_object_mut().unwrap().extend(header.as_object().unwrap().clone());
        let input = format!("{}.{}", text(&whole), text(claims));
        format!("{input}.{}", URL_SAFE_NO_PAD.encode(self.sign(input.as_bytes())))
    }
}

fn start() -> Timestamp {
    "2026-11-23T08:00:00Z".parse().unwrap()
}

fn claims() -> Value {
    let now = start().as_second();
    json!({"iss": ISSUER, "aud": ["other", "steward"], "sub": "olga", "iat": now, "exp": now + 600,
        "realm": {"roles": ["retail-ops", "retail-finance"]}, "stores": ["store-7"]})
}

struct Site {
    issuer: MockServer,
    clock: Clock,
    auth: Auth,
}

impl Site {
    async fn with(more: Value) -> Self {
        testkit::install_tls_provider();
        let issuer = MockServer::start().await;
        let mut own = json!({
            "issuer": ISSUER, "audience": "steward", "jwks_url": format!("{}/certs", issuer.uri()),
            "roles_claim": "realm.roles", "roles": [
                {"claim": "retail-ops", "grants": [{"role": "regional_ops", "regions": ["south"]}]},
                {"claim": "retail-finance", "grants": [{"role": "finance"}]},
                {"claim": "retail-admin", "grants": [{"role": "admin"}]}
            ]
        });
        own.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        let settings = json!({"auth": {"issuers": [own]}, "outgoing": {"allow": ["127.0.0.1"]}}).to_string();
        let settings = Settings::from_yaml(&settings).unwrap().common;
        let clock = Clock::manual(start());
        let auth = Auth::new(&settings.auth, clock.clone(), Shared::in_process(&clock)).unwrap();
        auth.reach_out_with(Outgoing::new(&settings.outgoing).unwrap());
        Self { issuer, clock, auth }
    }

    async fn publishes(&self, keys: &[Value]) {
        self.issuer.reset().await;
        let answer = ResponseTemplate::new(200).set_body_json(json!({"keys": keys}));
        Mock::given(path("/certs")).respond_with(answer).mount(&self.issuer).await;
    }

    async fn asked(&self) -> usize {
        self.issuer.received_requests().await.unwrap().len()
    }

    async fn bearer(&self, token: &str) -> Result<Principal, Denied> {
        let request = TestRequest::default().insert_header(("Authorization", format!("Bearer {token}")));
        let request = request.to_http_request();
        self.auth.prepare(&request).await;
        self.auth.identify(&request)
    }
}

#[actix_web::test]
async fn a_token_of_each_algorithm_lets_its_person_in_with_the_roles_of_its_claims() {
    let site = Site::with(json!({})).await;
    let rsa = Signs::Rsa(RsaKeyPair::generate(KeySize::Rsa2048).unwrap());
    for signs in [Signs::ed(1), Signs::ec(), rsa] {
        site.publishes(&[signs.jwk("one"), json!({"kty": "EC", "crv": "P-521"})]).await;
        site.clock.advance(Duration::from_secs(600));
        let mut claims = claims();
        claims["exp"] = json!(site.clock.now().as_second() + 60);
        let olga = site.bearer(&signs.token(json!({}), &claims)).await.unwrap();
        assert_eq!((olga.actor().as_str(), olga.session), ("person:olga", false), "{}", signs.alg());
        assert!(olga.has(Role::Finance) && olga.has(Role::RegionalOps) && !olga.has(Role::Admin));
        let south = RegionId::new("south").unwrap();
        assert!(olga.may_at(Role::RegionalOps, Some(&south), None) && !olga.may_at(Role::RegionalOps, None, None));
    }
}

#[actix_web::test]
async fn a_token_that_lies_is_refused_for_its_lie() {
    let site = Site::with(json!({"algorithms": ["EdDSA", "ES256"]})).await;
    let (good, other) = (Signs::ed(1), Signs::ed(2));
    let rsa = Signs::Rsa(RsaKeyPair::generate(KeySize::Rsa2048).unwrap());
    let Signs::Ed(pair) = &good else { unreachable!() };
    let secret = Signs::Hmac(pair.public_key().as_ref().to_vec());
    site.publishes(&[good.jwk("one"), rsa.jwk("rsa"), secret.jwk("oct")]).await;
    let now = start().as_second();
    let with = |name: &str, value: Value| {
        let mut claims = claims();
        claims[name] = value;
        claims
    };
    let lies = [
        (good.token(json!({}), &with("aud", json!("somebody-else"))), Denied::Audience),
        (good.token(json!({}), &with("aud", json!(null))), Denied::Audience),
        (good.token(json!({}), &with("exp", json!(now - 31))), Denied::TokenExpired),
        (good.token(json!({}), &with("exp", json!(null))), Denied::Malformed),
        (good.token(json!({}), &with("exp", json!("never"))), Denied::Malformed),
        (good.token(json!({}), &with("nbf", json!(now + 31))), Denied::NotYetValid),
        (good.token(json!({}), &with("iat", json!(now + 31))), Denied::NotYetValid),
        (good.token(json!({}), &with("iss", json!("https://evil.example"))), Denied::Issuer),
        (good.token(json!({}), &with("sub", json!("ol ga"))), Denied::Person),
        (good.token(json!({}), &with("sub", json!(7))), Denied::Person),
        (other.token(json!({}), &claims()), Denied::Signature),
        (good.token(json!({"kid": "two"}), &claims()), Denied::TokenKey),
        (good.token(json!({"kid": null}), &claims()), Denied::TokenKey),
        (good.token(json!({"jwk": good.jwk("mine"), "kid": "mine"}), &claims()), Denied::TokenKey),
        (good.token(json!({"alg": "ES256"}), &claims()), Denied::Algorithm),
        (rsa.token(json!({"kid": "rsa"}), &claims()), Denied::Algorithm),
        (secret.token(json!({}), &claims()), Denied::Algorithm),
        (secret.token(json!({"kid": "oct"}), &claims()), Denied::Algorithm),
        (secret.token(json!({"kid": "oct", "alg": "EdDSA"}), &claims()), Denied::TokenKey),
        (Signs::Nothing.token(json!({}), &claims()), Denied::Algorithm),
        (Signs::Nothing.token(json!({"alg": "EdDSA"}), &claims()), Denied::Signature),
        (good.token(json!({"crit": ["exp"]}), &claims()), Denied::Malformed),
        (good.token(json!({"typ": "steward-grant+jwt"}), &claims()), Denied::Malformed),
        ("a.b".to_owned(), Denied::Malformed),
        (format!("{}.x", good.token(json!({}), &claims())), Denied::Malformed),
    ];
    for (token, why) in lies {
        assert_eq!(site.bearer(&token).await, Err(why), "{token}");
    }
    // Each of the above was one lie away from this.
    assert!(site.bearer(&good.token(json!({}), &claims())).await.is_ok());
    assert!(site.bearer(&good.token(json!({}), &with("exp", json!(now - 29)))).await.is_ok(), "within the leeway");
    assert!(site.bearer(&good.token(json!({"typ": "at+JWT"}), &with("aud", json!("steward")))).await.is_ok());
}

#[actix_web::test]
async fn keys_are_fetched_when_they_are_needed_and_not_more_often() {
    let site = Site::with(json!({})).await;
    let (old, new) = (Signs::ed(1), Signs::ed(2));
    site.publishes(&[old.jwk("one")]).await;
    let (first, rotated) = (old.token(json!({}), &claims()), new.token(json!({"kid": "two"}), &claims()));
    for _ in 0..5 {
        assert!(site.bearer(&first).await.is_ok());
        assert_eq!(site.bearer(&rotated).await, Err(Denied::TokenKey));
    }
    assert_eq!(site.asked().await, 1, "made-up keys do not make us a nuisance");
    site.publishes(&[new.jwk("two")]).await;
    site.clock.advance(Duration::from_secs(10));
    assert!(site.bearer(&rotated).await.is_ok(), "an unknown key is asked for");
    assert_eq!(site.bearer(&first).await, Err(Denied::TokenKey), "a key that is gone opens nothing");
    site.issuer.reset().await;
    site.clock.advance(Duration::from_secs(500));
    assert!(site.bearer(&rotated).await.is_ok() && site.asked().await == 0, "kept");
    site.clock.advance(Duration::from_secs(121));
    assert!(site.bearer(&rotated).await.is_err(), "its time is over by now");
    assert_eq!(site.asked().await, 1, "asked again; the issuer is away, and the last keys stay");
}

#[actix_web::test]
async fn a_role_without_a_place_takes_it_from_the_claims_or_is_not_held() {
    let site = Site::with(json!({"locations_claim": "stores"})).await;
    let signs = Signs::ed(1);
    site.publishes(&[signs.jwk("one")]).await;
    let olga = site.bearer(&signs.token(json!({}), &claims())).await.unwrap();
    let store = LocationId::new("store-7").unwrap();
    assert!(olga.may_at(Role::Finance, None, Some(&store)) && !olga.may_at(Role::Finance, None, None));
    let mut nowhere = claims();
    nowhere.as_object_mut().unwrap().remove("stores");
    let olga = site.bearer(&signs.token(json!({}), &nowhere)).await.unwrap();
    assert!(!olga.has(Role::Finance) && olga.has(Role::RegionalOps));
}

#[test]
fn a_key_file_is_read_at_the_start_and_wrong_settings_are_named() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("issuer.json");
    let signs = Signs::ed(1);
    std::fs::write(&file, json!({"keys": [signs.jwk("one")]}).to_string()).unwrap();
    let auth = |own: Value| {
        let settings = Settings::from_yaml(&json!({"auth": {"issuers": [own]}}).to_string()).unwrap().common.auth;
        let clock = Clock::manual(start());
        Auth::new(&settings, clock.clone(), Shared::in_process(&clock))
    };
    let sound = json!({"issuer": ISSUER, "audience": "steward", "jwks_file": file, "roles": []});
    let request = TestRequest::default()
        .insert_header(("Authorization", format!("Bearer {}", signs.token(json!({}), &claims()))))
        .to_http_request();
    assert_eq!(auth(sound.clone()).unwrap().identify(&request).unwrap().actor(), "person:olga");
    let wrong = [
        ("audience", json!("")),
        ("jwks_url", json!("https://x")),
        ("algorithms", json!([])),
        ("leeway_seconds", json!(301)),
        ("jwks_file", json!("/nowhere")),
    ];
    for (key, value) in wrong {
        let mut own = sound.clone();
        own[key] = value;
        let error = auth(own).err().unwrap().to_string();
        assert!(error.contains("auth.issuers[0]"), "{key}: {error}");
    }
}
