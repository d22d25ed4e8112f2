//! The keys that checkpoints and evidence are signed with.

use std::{path::Path, sync::Arc};

use aws_lc_rs::signature::Ed25519KeyPair;
use base64::{Engine, engine::general_purpose::STANDARD};
use contracts::audit::{Jwks, NoteSigner};

use crate::{
    clock::Ids,
    config::{AuditSettings, ConfigError},
    reload::{Reloaded, files},
};

/// The key of now, and all keys that are published.
pub struct Keys {
    pub signer: NoteSigner,
    pub published: Jwks,
}

/// Signs for the log of one service. Cheap to clone.
#[derive(Clone)]
pub struct Notary(Arc<Reloaded<Keys>>);

impl Notary {
    /// Without a file, a key for as long as this process lives: good for a trial, not for two replicas.
    ///
    /// # Errors
    /// When a key cannot be read.
    pub fn new(settings: &AuditSettings, service: &str, ids: &Ids) -> Result<Self, ConfigError> {
        let (own, others) = (settings.signing_key_file.clone(), settings.published_keys_dir.clone());
        let name = format!("{}/{service}", settings.origin);
        let passing = ids.secret_bytes::<32>();
        let keys = Reloaded::new(own.iter().chain(&others).cloned().collect::<Vec<_>>(), move || {
            let der = own.as_deref().map_or_else(|| from_seed(&passing), read)?;
            let signer = NoteSigner::new(&name, &der)
                .map_err(|error| ConfigError::one(format!("audit.signing_key_file: {error}")))?;
            let current = signer.jwk();
            let mut published = Jwks { keys: vec![current.clone()] };
            for path in others.iter().flat_map(|folder| files(folder)) {
                let more: Jwks = serde_json::from_slice(&bytes("published_keys_dir", &path)?)
                    .map_err(|error| unusable("published_keys_dir", &path, &error))?;
                published.keys.extend(more.keys.into_iter().filter(|key| *key != current));
            }
            Ok(Keys { signer, published })
        })?;
        Ok(Self(Arc::new(keys)))
    }

    #[must_use]
    pub fn keys(&self) -> Arc<Keys> {
        self.0.get()
    }
}

fn from_seed(seed: &[u8; 32]) -> Result<Vec<u8>, ConfigError> {
    let der = Ed25519KeyPair::from_seed_unchecked(seed).and_then(|pair| Ok(pair.to_pkcs8()?.as_ref().to_vec()));
    der.map_err(|_| ConfigError::one("audit.signing_key_file: no key could be made"))
}

/// PKCS#8, as PEM or DER.
fn read(path: &Path) -> Result<Vec<u8>, ConfigError> {
    let bytes = bytes("signing_key_file", path)?;
    if !bytes.starts_with(b"-----BEGIN PRIVATE KEY-----") {
        return Ok(bytes);
    }
    let text = String::from_utf8_lossy(&bytes);
    let body: String = text.lines().filter(|line| !line.starts_with("-----")).map(str::trim).collect();
    STANDARD.decode(body).map_err(|error| unusable("signing_key_file", path, &error))
}

fn bytes(key: &str, path: &Path) -> Result<Vec<u8>, ConfigError> {
    std::fs::read(path).map_err(|error| unusable(key, path, &error))
}

fn unusable(key: &str, path: &Path, error: &dyn std::error::Error) -> ConfigError {
    ConfigError::one(format!("audit.{key}: {} cannot be used: {}", path.display(), crate::chain(error)))
}
