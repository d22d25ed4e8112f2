//! The section `approvals` of the configuration, and the people, policy and keys that it names.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

use chassis::{
    Settings,
    clock::Ids,
    config::{ConfigError, SecretFile, secret_of},
    reload::{Reloaded, files},
};
use governance::{
    Directory, GrantSigner, GrantVerifier, Jwks, Policy, PolicyRef,
    authority::PatternRules,
    calendar::Calendars,
    link::{LinkKey, MIN_SECRET_BYTES},
    policy::DEFAULT_POLICY,
};
use secrecy::{ExposeSecret, SecretString};
use serde::Deserialize;

/// The keys are documented in the chassis' `default.yaml`.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct ApprovalSettings {
    #[serde(default)]
    directory_file: Option<PathBuf>,
    #[serde(default)]
    calendar_file: Option<PathBuf>,
    #[serde(default)]
    policy_file: Option<PathBuf>,
    #[serde(default)]
    signing_key_file: Option<PathBuf>,
    #[serde(default)]
    published_keys_dir: Option<PathBuf>,
    #[serde(default)]
    link_secret: Option<SecretString>,
    #[serde(default)]
    link_secret_file: Option<SecretFile>,
    #[serde(default)]
    callback_secret: Option<SecretString>,
    #[serde(default)]
    callback_secret_file: Option<SecretFile>,
    #[serde(default)]
    callback_header: Option<CallbackHeader>,
    #[serde(default)]
    pub(crate) patterns: PatternRules,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct CallbackHeader {
    name: String,
    #[serde(default)]
    value: Option<SecretString>,
    #[serde(default)]
    value_file: Option<SecretFile>,
}

/// The policy that the settings name, with its digest.
pub(crate) struct Filed {
    pub(crate) policy: Policy,
    pub(crate) reference: PolicyRef,
}

/// The key that signs grants and all keys that are published.
pub(crate) struct GrantKeys {
    pub(crate) signer: GrantSigner,
    pub(crate) published: Jwks,
}

/// How a callback proves where it comes from.
#[derive(Clone, Debug)]
pub(crate) struct CallbackCredentials {
    secret: Option<SecretString>,
    secret_file: Option<SecretFile>,
    header: Option<CallbackHeader>,
}

impl CallbackCredentials {
    /// The Standard Webhooks secret of now.
    pub(crate) fn secret(&self) -> Result<Option<SecretString>, ConfigError> {
        secret_of(self.secret_file.as_ref(), self.secret.as_ref())
    }

    /// The header of now: name and value.
    pub(crate) fn header(&self) -> Result<Option<(String, SecretString)>, ConfigError> {
        let Some(header) = &self.header else { return Ok(None) };
        let value = secret_of(header.value_file.as_ref(), header.value.as_ref())?;
        Ok(value.map(|value| (header.name.clone(), value)))
    }
}

impl ApprovalSettings {
    /// # Errors
    /// What is wrong in the section; unknown keys are.
    pub(crate) fn of(settings: &Settings) -> Result<Self, ConfigError> {
        let section: Self = settings.section("approvals")?;
        match section.patterns.violation() {
            Some((key, why)) => Err(ConfigError::one(format!("approvals.patterns.{key}: {why}"))),
            None => Ok(section),
        }
    }

    pub(crate) fn callback_credentials(&self) -> Result<CallbackCredentials, ConfigError> {
        let credentials = CallbackCredentials {
            secret: self.callback_secret.clone(),
            secret_file: self.callback_secret_file.clone(),
            header: self.callback_header.clone(),
        };
        if let Some(secret) = credentials.secret()? {
            chassis::webhooks::check_secret(&secret)
                .map_err(|error| ConfigError::one(format!("approvals.callback_secret: {error}")))?;
        }
        if self.callback_header.is_some() && credentials.header()?.is_none() {
            return Err(ConfigError::one("approvals.callback_header: has neither value nor value_file"));
        }
        Ok(credentials)
    }

    /// Without a file nobody is known, and every request that needs a person is denied.
    pub(crate) fn directory(&self) -> Result<Reloaded<Directory>, ConfigError> {
        let Some(path) = self.directory_file.clone() else {
            return Reloaded::new([], || Ok(Directory::default()));
        };
        Reloaded::new([path.clone()], move || {
            Directory::parse(&text("directory_file", &path)?).map_err(|error| unusable("directory_file", &path, &error))
        })
    }

    /// Without a file every place is always open.
    pub(crate) fn calendars(&self) -> Result<Reloaded<Calendars>, ConfigError> {
        let path = self.calendar_file.clone();
        Reloaded::new(path.clone(), move || {
            let Some(path) = &path else { return Ok(Calendars::default()) };
            Calendars::parse(&text("calendar_file", path)?).map_err(|error| unusable("calendar_file", path, &error))
        })
    }

    /// What the directory of this moment lacks for the policy is told, not refused: people come and go.
    pub(crate) fn policy(&self, directory: &Arc<Reloaded<Directory>>) -> Result<Reloaded<Filed>, ConfigError> {
        let (path, directory) = (self.policy_file.clone(), Arc::clone(directory));
        Reloaded::new(path.clone(), move || {
            let own = Path::new("the built-in policy");
            let document = path.as_ref().map_or(Ok(DEFAULT_POLICY.to_owned()), |path| text("policy_file", path))?;
            let at = path.as_deref().unwrap_or(own);
            let policy = Policy::parse(&document).map_err(|error| unusable("policy_file", at, &error))?;
            let reference = policy.reference().map_err(|error| unusable("policy_file", at, &error))?;
            for finding in policy.check(&directory.get()) {
                tracing::warn!(policy = %policy.policy, version = policy.version, %finding, "the policy has a finding");
            }
            Ok(Filed { policy, reference })
        })
    }

    /// Without a file, a key for as long as this process lives: good for a trial, not for two replicas.
    pub(crate) fn grant_keys(&self) -> Result<Reloaded<GrantKeys>, ConfigError> {
        let (own, others) = (self.signing_key_file.clone(), self.published_keys_dir.clone());
        let passing = Ids::default().secret_bytes::<32>();
        Reloaded::new(own.iter().chain(&others).cloned().collect::<Vec<_>>(), move || {
            let signer = match &own {
                Some(path) => read_signer(path)?,
                None => GrantSigner::from_seed(&passing)
                    .map_err(|error| ConfigError::one(format!("approvals.signing_key_file: {error}")))?,
            };
            let mut published = Jwks { keys: vec![signer.jwk()] };
            for path in others.iter().flat_map(|folder| files(folder)) {
                let more: Jwks = serde_json::from_str(&text("published_keys_dir", &path)?)
                    .map_err(|error| unusable("published_keys_dir", &path, &error))?;
                published.keys.extend(more.keys.into_iter().filter(|key| key.kid != signer.kid()));
            }
            GrantVerifier::from_jwks(&published)
                .map_err(|error| ConfigError::one(format!("approvals.published_keys_dir: {error}")))?;
            Ok(GrantKeys { signer, published })
        })
    }

    /// Without a secret, one for as long as this process lives: its links end with it.
    pub(crate) fn link_key(&self) -> Result<LinkKeys, ConfigError> {
        let secret = secret_of(self.link_secret_file.as_ref(), self.link_secret.as_ref())?;
        let passing = Ids::default().secret_bytes::<MIN_SECRET_BYTES>();
        let keys = LinkKeys { file: self.link_secret_file.clone(), fixed: secret, passing };
        keys.get().map(|_| keys)
    }
}

/// The key of links. Made anew at each use, which costs less than a look whether the file has changed.
pub(crate) struct LinkKeys {
    file: Option<SecretFile>,
    fixed: Option<SecretString>,
    passing: [u8; MIN_SECRET_BYTES],
}

impl LinkKeys {
    pub(crate) fn get(&self) -> Result<LinkKey, ConfigError> {
        let secret = secret_of(self.file.as_ref(), self.fixed.as_ref())?;
        let bytes = secret.as_ref().map_or(&self.passing[..], |secret| secret.expose_secret().as_bytes());
        LinkKey::new(bytes).map_err(|error| ConfigError::one(format!("approvals.link_secret: {error}")))
    }
}

fn read_signer(path: &Path) -> Result<GrantSigner, ConfigError> {
    let bytes = std::fs::read(path).map_err(|error| unusable("signing_key_file", path, &error))?;
    let signer = if bytes.starts_with(b"-----BEGIN") {
        GrantSigner::from_pkcs8_pem(&bytes)
    } else {
        GrantSigner::from_pkcs8_der(&bytes)
    };
    signer.map_err(|error| unusable("signing_key_file", path, &error))
}

fn text(key: &str, path: &Path) -> Result<String, ConfigError> {
    std::fs::read_to_string(path).map_err(|error| unusable(key, path, &error))
}

fn unusable(key: &str, path: &Path, error: &dyn std::error::Error) -> ConfigError {
    let causes = std::iter::successors(Some(error), |error| error.source()).map(ToString::to_string);
    let why = causes.collect::<Vec<_>>().join(": ");
    ConfigError::one(format!("approvals.{key}: {} cannot be used: {why}", path.display()))
}
