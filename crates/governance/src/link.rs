//! Links that let one person look at one step of one request, for a while.
//!
//! A link proves who was asked; it decides nothing. Opening it shows the page (link previews open links too), and
//! the decision that follows is taken once, which the state of the request enforces (`AlreadyDecided`), not the link.

use aws_lc_rs::hmac;
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use contracts::PersonId;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

/// Separates these signatures from any other use of the same secret, and names the version of the format.
const CONTEXT: &[u8] = b"steward-link-v1.";
/// As long as the output of SHA-256, below which HMAC loses strength (RFC 2104, section 3).
pub const MIN_SECRET_BYTES: usize = 32;

/// What a link says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Link {
    #[serde(rename = "a")]
    pub approval_id: String,
    #[serde(rename = "p")]
    pub person: PersonId,
    /// Index of the step, from 0.
    #[serde(rename = "s")]
    pub step: u32,
    /// First second at which it is refused.
    #[serde(rename = "e", with = "jiff::fmt::serde::timestamp::second::required")]
    pub expires_at: Timestamp,
}

/// Why a link is not honoured.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LinkRefused {
    #[error("this is not a link of ours: it was cut or changed on its way")]
    Malformed,
    #[error("the signature of the link does not match")]
    BadSignature,
    #[error("the link expired at {at}")]
    Expired { at: Timestamp },
}

/// The secret is too short to sign with.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a link secret has at least {MIN_SECRET_BYTES} bytes, this one has {0}")]
pub struct ShortSecret(pub usize);

/// Issues and verifies links with one secret.
pub struct LinkKey(hmac::Key);

impl LinkKey {
    /// # Errors
    /// [`ShortSecret`] below [`MIN_SECRET_BYTES`].
    pub fn new(secret: &[u8]) -> Result<Self, ShortSecret> {
        if secret.len() < MIN_SECRET_BYTES {
            return Err(ShortSecret(secret.len()));
        }
        Ok(Self(hmac::Key::new(hmac::HMAC_SHA256, secret)))
    }

    /// The token that goes into the URL: `<base64url of JSON>.<base64url of HMAC-SHA256>`.
    ///
    /// # Errors
    /// When the link has no JSON form, which no value of it lacks today.
    pub fn issue(&self, link: &Link) -> Result<String, serde_json::Error> {
        let body = URL_SAFE_NO_PAD.encode(serde_json::to_vec(link)?);
        let tag = hmac::sign(&self.0, &signed_bytes(&body));
        Ok(format!("{body}.{}", URL_SAFE_NO_PAD.encode(tag)))
    }

    /// Reads a token back. The comparison takes the same time wherever the signatures part.
    ///
    /// # Errors
    /// [`LinkRefused`]; expiry is judged only once the signature has been found true.
    pub fn verify(&self, token: &str, now: Timestamp) -> Result<Link, LinkRefused> {
        let (body, tag) = token.split_once('.').ok_or(LinkRefused::Malformed)?;
        let tag = URL_SAFE_NO_PAD.decode(tag).map_err(|_| LinkRefused::Malformed)?;
        hmac::verify(&self.0, &signed_bytes(body), &tag).map_err(|_| LinkRefused::BadSignature)?;
        let json = URL_SAFE_NO_PAD.decode(body).map_err(|_| LinkRefused::Malformed)?;
        let link: Link = serde_json::from_slice(&json).map_err(|_| LinkRefused::Malformed)?;
        if now >= link.expires_at {
            return Err(LinkRefused::Expired { at: link.expires_at });
        }
        Ok(link)
    }
}

fn signed_bytes(body: &str) -> Vec<u8> {
    [CONTEXT, body.as_bytes()].concat()
}

#[cfg(test)]
mod tests {
    use jiff::SignedDuration;

    use super::*;

    fn link() -> Link {
        Link {
            approval_id: "a-1".into(),
            person: PersonId::new("olga").unwrap(),
            step: 1,
            expires_at: "2026-11-23T12:00:00Z".parse().unwrap(),
        }
    }

    #[test]
    fn a_link_is_honoured_until_it_expires() {
        let key = LinkKey::new(&[7; 32]).unwrap();
        let token = key.issue(&link()).unwrap();
        let before = link().expires_at - SignedDuration::from_secs(1);
        assert_eq!(key.verify(&token, before).unwrap(), link());
        assert_eq!(key.verify(&token, link().expires_at), Err(LinkRefused::Expired { at: link().expires_at }));
        let other = LinkKey::new(&[8; 32]).unwrap();
        assert_eq!(other.verify(&token, before), Err(LinkRefused::BadSignature));
    }

    #[test]
    fn every_changed_character_is_refused() {
        let key = LinkKey::new(&[7; 32]).unwrap();
        let token = key.issue(&link()).unwrap();
        for i in 0..token.len() {
            let mut bytes = token.clone().into_bytes();
            bytes[i] = if bytes[i] == b'A' { b'B' } else { b'A' };
            let changed = String::from_utf8(bytes).unwrap();
            assert!(key.verify(&changed, Timestamp::UNIX_EPOCH).is_err(), "position {i}");
        }
        assert_eq!(key.verify("", Timestamp::UNIX_EPOCH), Err(LinkRefused::Malformed));
    }

    #[test]
    fn a_short_secret_signs_nothing() {
        assert_eq!(LinkKey::new(&[7; 31]).err(), Some(ShortSecret(31)));
    }
}
