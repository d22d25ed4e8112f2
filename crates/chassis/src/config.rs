//! Settings from layers: the embedded `default.yaml`, files, the environment. What is wrong is reported all at once.

mod collect;

use std::{
    collections::HashMap,
    fmt,
    path::{Path, PathBuf},
};

use config::{Config, Environment, File, FileFormat, Source, Value, ValueKind};
use secrecy::{ExposeSecret, SecretString};
use serde::{Deserialize, de::DeserializeOwned};

use self::collect::{Collect, nearest};
use crate::auth::Grantee;

/// The documented defaults, as `steward` prints them.
pub const DEFAULT_YAML: &str = include_str!("../default.yaml");

/// Sections that belong to one service each; read by [`Settings::section`].
const SERVICE_SECTIONS: [&str; 4] = ["scoring", "approvals", "supply", "notify"];
const COMMON_SECTIONS: [&str; 10] =
    ["public_url", "http", "store", "bus", "relay", "shared", "auth", "audit", "outgoing", "telemetry"];
/// Keys whose environment value is split at commas.
const LIST_KEYS: [&str; 2] = ["outgoing.allow", "outgoing.callback_allow"];

/// Everything wrong with the configuration, one line each.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConfigError {
    /// `http.workers: invalid type ... (in steward.yaml)`
    pub problems: Vec<String>,
}

impl ConfigError {
    #[must_use]
    pub fn one(problem: impl Into<String>) -> Self {
        Self { problems: vec![problem.into()] }
    }

    /// Both errors' lines, so that several services report together.
    #[must_use]
    pub fn and(mut self, other: Self) -> Self {
        self.problems.extend(other.problems);
        self
    }
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the configuration has {} error(s):", self.problems.len())?;
        self.problems.iter().try_for_each(|problem| write!(f, "\n  {problem}"))
    }
}

impl std::error::Error for ConfigError {}

/// The whole configuration: the chassis' part typed, the services' parts still raw.
#[derive(Clone, Debug)]
pub struct Settings {
    pub common: CommonSettings,
    services: HashMap<&'static str, Value>,
}

/// What the chassis itself needs; the keys are documented in `default.yaml`.
#[derive(Clone, Debug)]
pub struct CommonSettings {
    /// Empty, or a base URL without a slash at the end.
    pub public_url: String,
    pub http: HttpSettings,
    pub store: StoreSettings,
    pub bus: BusSettings,
    pub relay: RelaySettings,
    pub shared: SharedSettings,
    pub auth: AuthSettings,
    pub audit: AuditSettings,
    pub outgoing: OutgoingSettings,
    pub telemetry: TelemetrySettings,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HttpSettings {
    pub listen: String,
    pub workers: usize,
    pub body_limit_bytes: usize,
    pub rate_limit_per_minute: u32,
    pub drain_seconds: u64,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StoreSettings {
    url: Option<SecretString>,
    url_file: Option<SecretFile>,
    owner_url: Option<SecretString>,
    owner_url_file: Option<SecretFile>,
    pub data_dir: PathBuf,
    pub max_connections: u32,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BusSettings {
    url: Option<SecretString>,
    url_file: Option<SecretFile>,
    pub prefetch: u16,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RelaySettings {
    pub retry_seconds: Vec<f64>,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SharedSettings {
    redis_url: Option<SecretString>,
    redis_url_file: Option<SecretFile>,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AuthSettings {
    pub keys_file: Option<PathBuf>,
    pub session_secret_file: Option<SecretFile>,
    pub session_hours: u32,
    pub secure_cookie: bool,
    pub issuers: Vec<IssuerSettings>,
}

/// Whose bearer tokens are believed, and what their claims mean here.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct IssuerSettings {
    pub issuer: String,
    pub audience: String,
    #[serde(default)]
    pub jwks_url: Option<String>,
    #[serde(default)]
    pub jwks_file: Option<PathBuf>,
    #[serde(default = "SignatureAlgorithm::all")]
    pub algorithms: Vec<SignatureAlgorithm>,
    #[serde(default = "IssuerSettings::leeway")]
    pub leeway_seconds: u32,
    #[serde(default = "IssuerSettings::person_claim")]
    pub person_claim: String,
    #[serde(default = "IssuerSettings::roles_claim")]
    pub roles_claim: String,
    #[serde(default)]
    pub regions_claim: Option<String>,
    #[serde(default)]
    pub locations_claim: Option<String>,
    pub roles: Vec<MappedRole>,
}

/// What one value of the roles claim gives.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MappedRole {
    pub claim: String,
    pub grants: Vec<Grantee>,
}

/// Signatures that can be checked with a public key and are in use (RFC 7518, RFC 8037).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
pub enum SignatureAlgorithm {
    #[serde(rename = "EdDSA")]
    EdDsa,
    #[serde(rename = "ES256")]
    Es256,
    #[serde(rename = "RS256")]
    Rs256,
}

impl SignatureAlgorithm {
    fn all() -> Vec<Self> {
        vec![Self::EdDsa, Self::Es256, Self::Rs256]
    }

    /// As in the `alg` of keys and tokens.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::EdDsa => "EdDSA",
            Self::Es256 => "ES256",
            Self::Rs256 => "RS256",
        }
    }

    /// `None` for every other, so for `none` and for those with a shared secret.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        Self::all().into_iter().find(|one| one.as_str() == text)
    }
}

impl IssuerSettings {
    fn leeway() -> u32 {
        30
    }

    fn person_claim() -> String {
        "sub".to_owned()
    }

    fn roles_claim() -> String {
        "roles".to_owned()
    }

    /// What is wrong with it, beginning with the key that is.
    pub(crate) fn check(&self) -> Result<(), String> {
        let sources = usize::from(self.jwks_url.is_some()) + usize::from(self.jwks_file.is_some());
        let wrong = [
            (self.issuer.is_empty(), ".issuer: must not be empty"),
            (self.audience.is_empty(), ".audience: must not be empty, or tokens for others would open this"),
            (sources != 1, ": has one of jwks_url and jwks_file"),
            (self.algorithms.is_empty(), ".algorithms: must name one at least"),
            (self.leeway_seconds > 300, ".leeway_seconds: must be 0 to 300"),
        ];
        wrong.into_iter().find(|(wrong, _)| *wrong).map_or(Ok(()), |(_, why)| Err(why.to_owned()))
    }
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AuditSettings {
    pub origin: String,
    pub signing_key_file: Option<PathBuf>,
    pub published_keys_dir: Option<PathBuf>,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OutgoingSettings {
    pub allow: Vec<String>,
    pub callback_allow: Vec<String>,
    pub timeout_seconds: u64,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TelemetrySettings {
    pub log_format: LogFormat,
    pub log_filter: String,
    pub otlp_endpoint: Option<String>,
    pub sample_ratio: f64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LogFormat {
    Json,
    Text,
}

impl StoreSettings {
    /// URL of PostgreSQL; `None` means SQLite in `data_dir`.
    ///
    /// # Errors
    /// When `url_file` cannot be read.
    pub fn url(&self) -> Result<Option<SecretString>, ConfigError> {
        secret_of(self.url_file.as_ref(), self.url.as_ref())
    }

    /// URL of PostgreSQL for the role that owns the tables and migrates; `None` means that the role of `url` does.
    ///
    /// # Errors
    /// When `owner_url_file` cannot be read.
    pub fn owner_url(&self) -> Result<Option<SecretString>, ConfigError> {
        secret_of(self.owner_url_file.as_ref(), self.owner_url.as_ref())
    }
}

impl BusSettings {
    /// URL of RabbitMQ; `None` means the bus in process.
    ///
    /// # Errors
    /// When `url_file` cannot be read.
    pub fn url(&self) -> Result<Option<SecretString>, ConfigError> {
        secret_of(self.url_file.as_ref(), self.url.as_ref())
    }
}

impl SharedSettings {
    /// URL of Redis; `None` means in process.
    ///
    /// # Errors
    /// When `redis_url_file` cannot be read.
    pub fn redis_url(&self) -> Result<Option<SecretString>, ConfigError> {
        secret_of(self.redis_url_file.as_ref(), self.redis_url.as_ref())
    }
}

/// The secret of a pair of keys `x_file` and `x` as it is now: the file wins, and an empty secret is none.
///
/// # Errors
/// When the file cannot be read.
pub fn secret_of(
    file: Option<&SecretFile>,
    inline: Option<&SecretString>,
) -> Result<Option<SecretString>, ConfigError> {
    let secret = file.map_or_else(|| Ok(inline.cloned()), |file| file.read().map(Some))?;
    Ok(secret.filter(|secret| !secret.expose_secret().is_empty()))
}

/// A mounted file that holds one secret. Parsing proves that it can be read; the secret itself is not kept.
#[derive(Clone, Debug, Deserialize)]
#[serde(try_from = "PathBuf")]
pub struct SecretFile(PathBuf);

impl SecretFile {
    /// The secret as it is now, without the line end.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub fn read(&self) -> Result<SecretString, ConfigError> {
        let text = std::fs::read_to_string(&self.0)
            .map_err(|error| ConfigError::one(format!("cannot read secret file {}: {error}", self.0.display())))?;
        Ok(SecretString::from(text.trim_end_matches(['\r', '\n'])))
    }
}

impl TryFrom<PathBuf> for SecretFile {
    type Error = String;

    fn try_from(path: PathBuf) -> Result<Self, String> {
        let file = Self(path);
        file.read().map_err(|error| error.problems.join(", "))?;
        Ok(file)
    }
}

impl Settings {
    /// The layers of a real process, and what `build` makes of them: its services. What is wrong with either is told
    /// together. The layers are the defaults, `texts` (a program's own defaults), `files` in order, the environment.
    ///
    /// # Errors
    /// All that is wrong, at once.
    pub fn load_with<T>(
        texts: &[&str],
        files: &[PathBuf],
        build: impl FnOnce(&Self) -> Result<T, ConfigError>,
    ) -> Result<(Self, T), ConfigError> {
        let (settings, errors) = Self::layered(files, texts, None)?;
        match build(&settings) {
            Ok(built) if errors.is_empty() => Ok((settings, built)),
            Ok(_) => Err(ConfigError { problems: errors }),
            Err(more) => Err(ConfigError { problems: errors }.and(more)),
        }
    }

    /// Defaults and one YAML text over them; for tests and for `steward up`. The environment is not read.
    ///
    /// # Errors
    /// All that is wrong, at once.
    pub fn from_yaml(yaml: &str) -> Result<Self, ConfigError> {
        Self::of_text(yaml, HashMap::new())
    }

    fn of_text(yaml: &str, environment: HashMap<String, String>) -> Result<Self, ConfigError> {
        let (settings, problems) = Self::layered(&[], &[yaml], Some(environment))?;
        if problems.is_empty() { Ok(settings) } else { Err(ConfigError { problems }) }
    }

    /// As [`Settings::load_with`], for who builds the services later.
    ///
    /// # Errors
    /// All that is wrong, at once.
    pub fn load_over(texts: &[&str], files: &[PathBuf]) -> Result<Self, ConfigError> {
        Self::load_with(texts, files, |_| Ok(())).map(|(settings, ())| settings)
    }

    /// Settings and everything wrong with them. With errors they hold what could be read, the defaults where nothing
    /// could, and serve only to find further errors.
    fn layered(
        files: &[PathBuf],
        texts: &[&str],
        environment: Option<HashMap<String, String>>,
    ) -> Result<(Self, Vec<String>), ConfigError> {
        let mut errors = Vec::new();
        let mut builder = Config::builder().add_source(File::from_str(DEFAULT_YAML, FileFormat::Yaml));
        for text in texts {
            builder = builder.add_source(File::from_str(text, FileFormat::Yaml));
        }
        for file in files {
            match readable(file) {
                Ok(()) => builder = builder.add_source(File::from(file.as_path()).format(FileFormat::Yaml)),
                Err(error) => errors.push(error),
            }
        }
        let mut env = Environment::with_prefix("STEWARD")
            .prefix_separator("__")
            .separator("__")
            .try_parsing(true)
            .list_separator(",")
            .source(environment);
        for key in LIST_KEYS {
            env = env.with_list_parse_key(key);
        }
        // `collect` keeps each value's origin, deserializing into a tree would lose it.
        let tree = match builder.add_source(env).build().and_then(|layers| layers.collect()) {
            Ok(tree) => tree,
            Err(error) => {
                errors.push(error.to_string());
                return Err(ConfigError { problems: errors });
            }
        };
        Self::parse(tree, errors)
    }

    fn parse(
        mut sections: config::Map<String, Value>,
        mut errors: Vec<String>,
    ) -> Result<(Self, Vec<String>), ConfigError> {
        let known = || COMMON_SECTIONS.iter().chain(&SERVICE_SECTIONS).copied();
        let mut unknown: Vec<&String> =
            sections.keys().filter(|key| !known().any(|name| name == key.as_str())).collect();
        unknown.sort();
        errors.extend(unknown.into_iter().map(|key| format!("{key}: unknown key{}", nearest(key, known()))));

        let mut take = |name: &str| sections.remove(name).unwrap_or_else(|| Value::new(None, ValueKind::Nil));
        let services = SERVICE_SECTIONS.iter().map(|name| (*name, take(name))).collect();
        let mut collect = Collect { errors };
        let Some(common) = CommonSettings::collect(&mut collect, take) else {
            let defaults = Self::from_yaml("")?.common;
            return Ok((Self { common: defaults, services }, collect.errors));
        };
        collect.errors.extend(common.violations());
        Ok((Self { common, services }, collect.errors))
    }

    /// A service's own section, `T` with `deny_unknown_fields` and serde defaults.
    ///
    /// # Errors
    /// Everything wrong in that section; also when `name` is none of `scoring`, `approvals`, `supply`, `notify`.
    pub fn section<T: DeserializeOwned>(&self, name: &str) -> Result<T, ConfigError> {
        let Some(raw) = self.services.get(name) else {
            return Err(ConfigError::one(format!("{name}: no such section")));
        };
        let mut collect = Collect { errors: Vec::new() };
        match collect.section(name, raw.clone()) {
            Some(value) if collect.errors.is_empty() => Ok(value),
            _ => Err(ConfigError { problems: collect.errors }),
        }
    }
}

fn readable(file: &Path) -> Result<(), String> {
    std::fs::File::open(file).map(drop).map_err(|error| format!("cannot read {}: {error}", file.display()))
}

impl CommonSettings {
    /// Reads every section before it gives up, so that each tells its errors.
    fn collect(collect: &mut Collect, mut take: impl FnMut(&str) -> Value) -> Option<Self> {
        let public_url = collect.section::<String>("public_url", take("public_url"));
        let http = collect.section::<HttpSettings>("http", take("http"));
        let store = collect.section::<StoreSettings>("store", take("store"));
        let bus = collect.section::<BusSettings>("bus", take("bus"));
        let relay = collect.section::<RelaySettings>("relay", take("relay"));
        let shared = collect.section::<SharedSettings>("shared", take("shared"));
        let auth = collect.section::<AuthSettings>("auth", take("auth"));
        let audit = collect.section::<AuditSettings>("audit", take("audit"));
        let outgoing = collect.section::<OutgoingSettings>("outgoing", take("outgoing"));
        let telemetry = collect.section::<TelemetrySettings>("telemetry", take("telemetry"));
        let (mut outgoing, mut telemetry) = (outgoing?, telemetry?);
        // `STEWARD__OUTGOING__ALLOW=` arrives as a list of one empty text.
        outgoing.allow.retain(|entry| !entry.is_empty());
        outgoing.callback_allow.retain(|entry| !entry.is_empty());
        telemetry.otlp_endpoint = telemetry.otlp_endpoint.filter(|endpoint| !endpoint.is_empty());
        let public_url = public_url?.trim_end_matches('/').to_owned();
        Some(Self {
            public_url,
            http: http?,
            store: store?,
            bus: bus?,
            relay: relay?,
            shared: shared?,
            auth: auth?,
            audit: audit?,
            outgoing,
            telemetry,
        })
    }

    /// Values that parse but are outside their limits.
    fn violations(&self) -> Vec<String> {
        let mut found = Vec::new();
        let mut range = |key: &str, value: u64, low: u64, high: u64| {
            if !(low..=high).contains(&value) {
                found.push(format!("{key}: must be {low} to {high}, is {value}"));
            }
        };
        range("http.workers", self.http.workers as u64, 0, 256);
        range("http.body_limit_bytes", self.http.body_limit_bytes as u64, 1024, 16 << 20);
        range("http.drain_seconds", self.http.drain_seconds, 1, 600);
        range("store.max_connections", self.store.max_connections.into(), 2, 200);
        range("bus.prefetch", self.bus.prefetch.into(), 1, 2000);
        range("relay.retry_seconds (how many)", self.relay.retry_seconds.len() as u64, 1, 20);
        range("auth.session_hours", self.auth.session_hours.into(), 1, 168);
        range("outgoing.timeout_seconds", self.outgoing.timeout_seconds, 1, 15);
        if !(0.0..=1.0).contains(&self.telemetry.sample_ratio) {
            found.push(format!("telemetry.sample_ratio: must be 0 to 1, is {}", self.telemetry.sample_ratio));
        }
        if self.relay.retry_seconds.iter().any(|delay| !(0.0..=86_400.0).contains(delay)) {
            found.push("relay.retry_seconds: each must be 0 to 86400".to_owned());
        }
        let is_http = |text: &str| url::Url::parse(text).is_ok_and(|url| matches!(url.scheme(), "http" | "https"));
        if !self.public_url.is_empty() && !is_http(&self.public_url) {
            found.push(format!("public_url: must be an http(s) URL, is {:?}", self.public_url));
        }
        if let Some(endpoint) = self.telemetry.otlp_endpoint.as_ref().filter(|endpoint| !is_http(endpoint)) {
            found.push(format!("telemetry.otlp_endpoint: must be an http(s) URL, is {endpoint:?}"));
        }
        for entry in self.outgoing.callback_allow.iter().filter(|entry| !is_http(entry)) {
            found.push(format!("outgoing.callback_allow: must hold http(s) URLs, holds {entry:?}"));
        }
        if let Err(error) = tracing_subscriber::EnvFilter::try_new(&self.telemetry.log_filter) {
            found.push(format!("telemetry.log_filter: {error}"));
        }
        found
    }
}

#[cfg(test)]
#[path = "config_tests.rs"]
mod tests;
