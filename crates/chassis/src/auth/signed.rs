//! Short texts that only we can have written: `base64url(JSON).base64url(HMAC-SHA256)`.

use aws_lc_rs::hmac;
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use secrecy::ExposeSecret;
use serde::{Serialize, de::DeserializeOwned};

use crate::{
    clock::Ids,
    config::{ConfigError, SecretFile},
};

/// Shortest signing secret, in bytes: as long as the hash, RFC 2104 section 3.
const MIN_SECRET: usize = 32;

/// Signs and opens. The purpose is part of what is signed: a sign-in token is no session.
pub(super) struct Signer {
    file: Option<SecretFile>,
    /// Used without a file: what is signed ends with the process.
    own: [u8; 32],
}

impl Signer {
    pub(super) fn new(file: Option<SecretFile>, ids: &Ids) -> Result<Self, ConfigError> {
        let signer = Self { file, own: ids.secret_bytes() };
        signer.key().map(|_| signer)
    }

    /// Reads the file each time, so that a rotated secret counts at once; only the console's requests pay for it.
    fn key(&self) -> Result<hmac::Key, ConfigError> {
        let Some(file) = &self.file else { return Ok(hmac::Key::new(hmac::HMAC_SHA256, &self.own)) };
        let secret = file.read()?;
        let bytes = secret.expose_secret().as_bytes();
        if bytes.len() < MIN_SECRET {
            return Err(ConfigError::one(format!("auth.session_secret_file: must hold at least {MIN_SECRET} bytes")));
        }
        Ok(hmac::Key::new(hmac::HMAC_SHA256, bytes))
    }

    pub(super) fn seal(&self, purpose: &str, claims: &impl Serialize) -> Result<String, ConfigError> {
        let json = serde_json::to_vec(claims).map_err(|error| ConfigError::one(error.to_string()))?;
        let tag = hmac::sign(&self.key()?, &bound(purpose, &json));
        Ok(format!("{}.{}", URL_SAFE_NO_PAD.encode(json), URL_SAFE_NO_PAD.encode(tag)))
    }

    /// `None` when it is not ours or of another purpose. Expiry is for the caller to judge.
    pub(super) fn open<T: DeserializeOwned>(&self, purpose: &str, text: &str) -> Option<T> {
        let (json, tag) = text.split_once('.')?;
        let (json, tag) = (URL_SAFE_NO_PAD.decode(json).ok()?, URL_SAFE_NO_PAD.decode(tag).ok()?);
        // `hmac::verify` compares in constant time.
        hmac::verify(&self.key().ok()?, &bound(purpose, &json), &tag).ok()?;
        serde_json::from_slice(&json).ok()
    }

    /// A text that goes with `subject` and that only we can name.
    pub(super) fn companion(&self, purpose: &str, subject: &str) -> Option<String> {
        let tag = hmac::sign(&self.key().ok()?, &bound(purpose, subject.as_bytes()));
        Some(URL_SAFE_NO_PAD.encode(tag))
    }
}

fn bound(purpose: &str, content: &[u8]) -> Vec<u8> {
    [purpose.as_bytes(), b"\0", content].concat()
}
