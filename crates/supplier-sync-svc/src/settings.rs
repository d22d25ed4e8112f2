//! The section `supply` of the configuration.

use std::time::Duration;

use chassis::config::{ConfigError, SecretFile, Settings, secret_of};
use contracts::Money;
use odoo::{OdooConfig, TransportChoice};
use secrecy::SecretString;
use serde::Deserialize;

/// Keys, defaults and limits are documented in the chassis' `default.yaml`.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct SupplySettings {
    pub odoo: Option<OdooSettings>,
    grant_keys_url: Option<String>,
    pub sweep_seconds: u64,
    pub sweep_overlap_seconds: u64,
    pub lane: LaneDefaults,
}

/// What a transfer between two locations takes when no `lane` was observed.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct LaneDefaults {
    pub transfer_days: f64,
    pub transfer_cost: Option<Money>,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct OdooSettings {
    url: String,
    database: String,
    login: Option<String>,
    api_key: Option<SecretString>,
    api_key_file: Option<SecretFile>,
    #[serde(default = "default_transport")]
    transport: Transport,
    #[serde(default = "default_timeout")]
    timeout_seconds: u64,
    #[serde(default = "default_rate")]
    calls_per_second: f64,
    /// Whether requests for approval are shown there.
    #[serde(default = "default_approvals")]
    pub approvals: bool,
    #[serde(default = "default_hook_user")]
    pub hook_user: String,
    hook_secret: Option<SecretString>,
    hook_secret_file: Option<SecretFile>,
    hook_secret_previous: Option<SecretString>,
    hook_secret_previous_file: Option<SecretFile>,
}

#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Transport {
    Auto,
    Json2,
    JsonRpc,
}

fn default_transport() -> Transport {
    Transport::Auto
}

fn default_timeout() -> u64 {
    10
}

/// What integrators settle on for Odoo's own hosting; an Odoo of one's own bears more.
fn default_rate() -> f64 {
    1.0
}

fn default_approvals() -> bool {
    true
}

fn default_hook_user() -> String {
    "odoo".to_owned()
}

impl Default for SupplySettings {
    fn default() -> Self {
        Self {
            odoo: None,
            grant_keys_url: None,
            sweep_seconds: 60,
            sweep_overlap_seconds: 120,
            lane: LaneDefaults::default(),
        }
    }
}

impl Default for LaneDefaults {
    fn default() -> Self {
        Self { transfer_days: 1.0, transfer_cost: None }
    }
}

impl SupplySettings {
    pub(crate) fn read(settings: &Settings) -> Result<Self, ConfigError> {
        let own: Self = settings.section("supply")?;
        let mut problems = Vec::new();
        let mut refuse = |bad: bool, problem: &str| {
            if bad {
                problems.push(problem.to_owned());
            }
        };
        refuse(!(1..=86_400).contains(&own.sweep_seconds), "supply.sweep_seconds: must be 1 to 86400");
        refuse(own.sweep_overlap_seconds > 86_400, "supply.sweep_overlap_seconds: must be at most 86400");
        let days = own.lane.transfer_days;
        refuse(!(days.is_finite() && days >= 0.0), "supply.lane.transfer_days: must be a number >= 0");
        if let Some(odoo) = &own.odoo {
            let rate = odoo.calls_per_second;
            refuse(!(rate.is_finite() && rate > 0.0), "supply.odoo.calls_per_second: must be above zero");
            refuse(!(1..=60).contains(&odoo.timeout_seconds), "supply.odoo.timeout_seconds: must be 1 to 60");
            let keyed = odoo.api_key.is_some() || odoo.api_key_file.is_some();
            refuse(!keyed, "supply.odoo.api_key: is needed, here or as api_key_file");
            let hooked = odoo.hook_secret.is_some() || odoo.hook_secret_file.is_some();
            refuse(!hooked, "supply.odoo.hook_secret: is needed, here or as hook_secret_file");
        }
        if problems.is_empty() { Ok(own) } else { Err(ConfigError { problems }) }
    }

    /// Where approval-svc publishes its keys.
    pub(crate) fn grant_keys_url(&self, settings: &Settings) -> String {
        self.grant_keys_url.clone().filter(|url| !url.is_empty()).unwrap_or_else(|| {
            let base = match settings.common.public_url.as_str() {
                "" => format!("http://{}", settings.common.http.listen),
                public => public.to_owned(),
            };
            format!("{base}/approvals/.well-known/jwks.json")
        })
    }
}

/// Calls of one attempt at worst, and attempts that go on side by side.
const CALLS: f64 = 12.0;
const HANDS: f64 = 4.0;
/// Seconds. Whatever the rate, an attempt that takes longer is stuck, and its row must not wait for it.
const LONGEST_ATTEMPT: f64 = 3600.0;

impl OdooSettings {
    /// For one attempt at something that takes several calls: half of them slow, or all of them queued for the rate
    /// behind those of the other attempts, whichever takes longer. A minute by default.
    pub(crate) fn attempt(&self) -> Duration {
        let queued = (CALLS * HANDS / self.calls_per_second).min(LONGEST_ATTEMPT);
        Duration::from_secs(self.timeout_seconds * 6).max(Duration::from_secs_f64(queued))
    }

    /// For the client, with the key as it is now.
    pub(crate) fn client(&self) -> Result<OdooConfig, ConfigError> {
        let api_key = secret_of(self.api_key_file.as_ref(), self.api_key.as_ref())?.unwrap_or_default();
        Ok(OdooConfig {
            base_url: self.url.clone(),
            database: self.database.clone(),
            login: self.login.clone(),
            api_key,
            timeout: Duration::from_secs(self.timeout_seconds),
            max_calls_per_second: self.calls_per_second,
            transport: match self.transport {
                Transport::Auto => TransportChoice::Auto,
                Transport::Json2 => TransportChoice::Json2,
                Transport::JsonRpc => TransportChoice::JsonRpc,
            },
        })
    }

    /// The passwords that open the webhook: the present one and, during a rotation, the one before.
    pub(crate) fn hook_secrets(&self) -> Result<Vec<SecretString>, ConfigError> {
        let present = secret_of(self.hook_secret_file.as_ref(), self.hook_secret.as_ref())?;
        let previous = secret_of(self.hook_secret_previous_file.as_ref(), self.hook_secret_previous.as_ref())?;
        Ok([present, previous].into_iter().flatten().collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn attempt(settings: &str) -> u64 {
        let yaml =
            format!("supply: {{odoo: {{url: 'http://o', database: d, api_key: k, hook_secret: s, {settings}}}}}");
        let settings = SupplySettings::read(&Settings::from_yaml(&yaml).unwrap()).unwrap();
        settings.odoo.unwrap().attempt().as_secs()
    }

    #[test]
    fn an_attempt_lasts_as_long_as_slow_calls_or_a_slow_rate_make_it() {
        assert_eq!(attempt(""), 60);
        assert_eq!(attempt("timeout_seconds: 20"), 120);
        assert_eq!(attempt("calls_per_second: 0.5"), 96, "a dozen calls must get their turn");
        assert_eq!(attempt("calls_per_second: 500, timeout_seconds: 2"), 12);
        assert_eq!(attempt("calls_per_second: 1.0e-300"), 3600);
    }
}
