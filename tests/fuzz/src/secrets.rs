//! What is believed because of a signature: any other bytes are not.

use std::sync::LazyLock;

use chassis::webhooks;
use governance::{
    Grant, GrantRefused, GrantSigner, GrantVerifier, Jwks,
    link::{Link, LinkKey},
};
use jiff::Timestamp;
use secrecy::SecretString;

const AUDIENCE: &str = "steward/supply";

fn now() -> Timestamp {
    Timestamp::from_second(1_795_000_000).expect("an instant")
}

/// Bytes of the input, laid over a good text: a pair is a position and what is XORed there; an empty input changes nothing.
fn bent(good: &str, data: &[u8]) -> String {
    let mut bytes = good.as_bytes().to_vec();
    for edit in data.chunks_exact(3) {
        let at = usize::from(u16::from_le_bytes([edit[0], edit[1]])) % bytes.len();
        bytes[at] ^= edit[2];
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

struct Granting {
    verifier: GrantVerifier,
    token: String,
}

static GRANTING: LazyLock<Granting> = LazyLock::new(|| {
    let signer = GrantSigner::from_seed(&[7; 32]).expect("a seed");
    let grant: Grant = serde_json::from_value(serde_json::json!({
        "iss": "steward/approvals", "aud": AUDIENCE, "sub": "a-1", "jti": "g-1",
        "iat": 1_794_999_000, "nbf": 1_794_999_000, "exp": 1_795_080_000,
        "action": {"type": "transfer", "product": "SKU-1", "from": "S1", "to": "N1", "quantity": 6.0},
        "facts_hash": format!("sha256:{}", "0".repeat(64)), "bounds": [],
        "policy": {"id": "default", "version": 1, "digest": format!("sha256:{}", "0".repeat(64))},
        "decided_by": ["olga"],
    }))
    .expect("a grant");
    let token = signer.sign(&grant).expect("signed");
    Granting { verifier: GrantVerifier::from_jwks(&Jwks { keys: vec![signer.jwk()] }).expect("keys"), token }
});

/// Only the very token that was signed is a grant; keys are taken or refused, whatever stands in them.
pub fn grant(data: &[u8]) {
    let Granting { verifier, token } = &*GRANTING;
    for candidate in [bent(token, data), String::from_utf8_lossy(data).into_owned()] {
        match verifier.verify(&candidate, AUDIENCE, now()) {
            Ok(_) => assert_eq!(&candidate, token, "another token passed for a grant"),
            Err(refused) => assert!(candidate != *token, "{refused}"),
        }
    }
    if let Ok(keys) = serde_json::from_slice::<Jwks>(data)
        && let Ok(verifier) = GrantVerifier::from_jwks(&keys)
    {
        let foreign = verifier.verify(token, AUDIENCE, now());
        assert!(matches!(foreign, Err(GrantRefused::UnknownKey { .. } | GrantRefused::BadSignature)), "{foreign:?}");
    }
}

/// Only the very link that was issued opens.
pub fn link(data: &[u8]) {
    let key = LinkKey::new(&[7; 32]).expect("long enough");
    let expires_at = Timestamp::from_second(1_795_080_000).expect("an instant");
    let person = "olga".parse().expect("an id");
    let good = key.issue(&Link { approval_id: "a-1".into(), person, step: 0, expires_at }).expect("issued");
    for candidate in [bent(&good, data), String::from_utf8_lossy(data).into_owned()] {
        assert_eq!(key.verify(&candidate, now()).is_ok(), candidate == good, "{candidate}");
    }
}

/// Standard Webhooks: id, timestamp, signature and body belong together.
pub fn webhook(data: &[u8]) {
    let secret = SecretString::from("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw");
    let (edits, body) = super::split(data);
    let good = webhooks::sign(&secret, "msg_1", now(), b"{}").expect("signed");
    let sent = [bent(&good[0].1, edits), bent(&good[1].1, edits.get(3..).unwrap_or_default()), {
        bent(&good[2].1, edits.get(6..).unwrap_or_default())
    }];
    let header = |name: &'static str| good.iter().position(|(known, _)| *known == name).map(|at| sent[at].as_str());
    let unchanged = good.iter().zip(&sent).all(|((_, good), sent)| good == sent) && body == b"{}";
    let believed = webhooks::verify(std::slice::from_ref(&secret), header, body, now()).is_ok();
    assert!(!unchanged || believed, "a good webhook is refused");
    // The same number can be written in other ways ("+1", "01"); what is signed is the number.
    let same = sent[0] == good[0].1 && sent[1].parse::<i64>() == good[1].1.parse::<i64>() && body == b"{}";
    assert!(!believed || same, "another webhook is believed: {sent:?}");
    let _ = webhooks::check_secret(&SecretString::from(String::from_utf8_lossy(data).into_owned()));
}
