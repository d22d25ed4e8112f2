//! API keys: made, stored hashed, read from a file that may change under us.

use std::{
    fmt,
    path::{Path, PathBuf},
};

use contracts::{Digest, PersonId};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use subtle::ConstantTimeEq;

use super::{Denied, Grantee, Principal};
use crate::{
    clock::{Clock, Ids},
    config::ConfigError,
    reload::Reloaded,
};

/// Name of a key: 1 to 32 of `a-z`, `0-9` and `-`. Two entries may share it while a secret is rotated.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct KeyId(String);

/// Why a text is no key id.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a key id has 1 to 32 characters of a-z, 0-9 and -")]
pub struct InvalidKey;

impl TryFrom<String> for KeyId {
    type Error = InvalidKey;

    fn try_from(text: String) -> Result<Self, InvalidKey> {
        let allowed = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
        let sound = (1..=32).contains(&text.len()) && text.bytes().all(allowed);
        if sound { Ok(Self(text)) } else { Err(InvalidKey) }
    }
}

impl From<KeyId> for String {
    fn from(id: KeyId) -> Self {
        id.0
    }
}

impl fmt::Display for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The keys file.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct KeysFile {
    pub keys: Vec<KeyEntry>,
}

/// One key. The secret itself is nowhere.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct KeyEntry {
    pub id: KeyId,
    /// SHA-256 of the secret. A slow password hash would add nothing: the secret has 256 random bits, so it cannot be
    /// guessed, and each request would pay for it.
    pub hash: Digest,
    /// For people: whose key it is and what for.
    pub name: String,
    pub roles: Vec<Grantee>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub person: Option<PersonId>,
    /// Not valid from this instant on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires: Option<Timestamp>,
}

impl KeyEntry {
    pub(super) fn is_live(&self, now: Timestamp) -> bool {
        self.expires.is_none_or(|expires| now < expires)
    }

    pub(crate) fn principal(&self, session: bool) -> Principal {
        let (id, roles, person) = (self.id.to_string(), self.roles.clone(), self.person.clone());
        Principal { id, roles, person, session, correlation: None }
    }
}

/// Makes a key: the text to hand over once, and its entry, still without roles.
#[must_use]
pub fn generate_key(ids: &Ids, id: &KeyId) -> (String, KeyEntry) {
    let secret = hex::encode(ids.secret_bytes::<32>());
    let entry = KeyEntry {
        id: id.clone(),
        hash: Digest::of_bytes(secret.as_bytes()),
        name: id.to_string(),
        roles: Vec::new(),
        person: None,
        expires: None,
    };
    (format!("stw_{id}_{secret}"), entry)
}

impl KeysFile {
    /// Reads YAML.
    ///
    /// # Errors
    /// When it is not of this shape.
    pub fn from_yaml(yaml: &str) -> Result<Self, String> {
        serde_saphyr::from_str(yaml).map_err(|error| error.to_string())
    }

    /// As YAML, for writing the file.
    ///
    /// # Errors
    /// When it cannot be written, which only a defect of the writer could cause.
    pub fn to_yaml(&self) -> Result<String, String> {
        serde_saphyr::to_string(self).map_err(|error| error.to_string())
    }
}

/// The live set of keys.
pub(super) struct KeyRing {
    keys: Reloaded<Vec<KeyEntry>>,
    clock: Clock,
}

impl KeyRing {
    pub(super) fn open(path: Option<PathBuf>, clock: Clock) -> Result<Self, ConfigError> {
        let keys = Reloaded::new(path.clone(), move || path.as_deref().map_or_else(|| Ok(Vec::new()), read))?;
        Ok(Self { keys, clock })
    }

    /// # Errors
    /// When the credential is not a live key.
    pub(super) fn authenticate(&self, credential: &str) -> Result<Principal, Denied> {
        let (id, secret) =
            credential.strip_prefix("stw_").and_then(|rest| rest.split_once('_')).ok_or(Denied::Malformed)?;
        let hash = Digest::of_bytes(secret.as_bytes());
        let keys = self.keys.get();
        let matching = keys.iter().filter(|entry| entry.id.0 == id);
        // Constant in the hash; that the id exists is no secret.
        let found = matching
            .filter(|entry| bool::from(entry.hash.as_str().as_bytes().ct_eq(hash.as_str().as_bytes())))
            .max_by_key(|entry| entry.expires.is_none());
        let entry = found.ok_or(Denied::Unknown)?;
        if entry.is_live(self.clock.now()) { Ok(entry.principal(false)) } else { Err(Denied::Expired) }
    }

    /// A live entry of that id, for a session that stands on it.
    pub(super) fn live(&self, id: &KeyId) -> Option<KeyEntry> {
        let now = self.clock.now();
        self.keys.get().iter().find(|entry| entry.id == *id && entry.is_live(now)).cloned()
    }
}

fn read(path: &Path) -> Result<Vec<KeyEntry>, ConfigError> {
    let named = |error: String| ConfigError::one(format!("auth.keys_file {}: {error}", path.display()));
    let text = std::fs::read_to_string(path).map_err(|error| named(error.to_string()))?;
    Ok(KeysFile::from_yaml(&text).map_err(named)?.keys)
}
