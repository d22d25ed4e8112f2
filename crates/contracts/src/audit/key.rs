//! Public keys as they are published (RFC 7517, RFC 8037).

use aws_lc_rs::digest;
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use serde::{Deserialize, Serialize};

/// A published key that is no Ed25519 public key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the published key is no Ed25519 public key (RFC 8037)")]
pub struct InvalidKey;

/// An Ed25519 public key.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Jwk {
    #[schema(example = "OKP")]
    pub kty: String,
    #[schema(example = "Ed25519")]
    pub crv: String,
    /// RFC 7638 thumbprint of the key, so it needs no bookkeeping.
    pub kid: String,
    /// The key, base64url without padding.
    #[schema(example = "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo")]
    pub x: String,
    #[schema(example = "EdDSA")]
    pub alg: String,
    #[serde(rename = "use")]
    #[schema(example = "sig")]
    pub usage: String,
}

impl Jwk {
    /// The published form of a public key.
    #[must_use]
    pub fn ed25519(public: &[u8]) -> Self {
        let x = URL_SAFE_NO_PAD.encode(public);
        // RFC 7638: SHA-256 over the required members in lexicographic order.
        let members = format!(r#"{{"crv":"Ed25519","kty":"OKP","x":"{x}"}}"#);
        Self {
            kty: "OKP".into(),
            crv: "Ed25519".into(),
            kid: URL_SAFE_NO_PAD.encode(digest::digest(&digest::SHA256, members.as_bytes())),
            x,
            alg: "EdDSA".into(),
            usage: "sig".into(),
        }
    }

    /// The 32 bytes of the key.
    ///
    /// # Errors
    /// [`InvalidKey`].
    pub fn public(&self) -> Result<[u8; 32], InvalidKey> {
        let bytes = URL_SAFE_NO_PAD.decode(&self.x).map_err(|_| InvalidKey)?;
        if self.kty != "OKP" || self.crv != "Ed25519" {
            return Err(InvalidKey);
        }
        bytes.try_into().map_err(|_| InvalidKey)
    }
}

/// The key set; during a rotation it holds the old key and the new one.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Jwks {
    pub keys: Vec<Jwk>,
}
