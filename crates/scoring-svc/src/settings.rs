//! The section `scoring` of the configuration.

use std::{collections::BTreeSet, time::Duration};

use chassis::{
    Settings,
    config::{ConfigError, SecretFile, secret_of},
};
use secrecy::SecretString;
use serde::Deserialize;
use url::Url;

use crate::PREFIX;

/// The keys are documented in the chassis' `default.yaml`. Nothing of a model is among them: its parameters belong to
/// its version, not to a deployment.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct ScoringSettings {
    #[serde(default)]
    summary: Option<SummarySettings>,
    #[serde(default = "two_hundred_thousand")]
    supplier_history_lines: i64,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct SummarySettings {
    url: String,
    model: String,
    #[serde(default)]
    api_key: Option<SecretString>,
    #[serde(default)]
    api_key_file: Option<SecretFile>,
    #[serde(default = "ten")]
    timeout_seconds: u64,
    /// Fields that may leave the house.
    #[serde(default)]
    allow: BTreeSet<String>,
}

fn two_hundred_thousand() -> i64 {
    200_000
}

fn ten() -> u64 {
    10
}

/// An OpenAI-compatible endpoint that may write summaries, and what it may be told.
#[derive(Clone, Debug)]
pub(crate) struct Writer {
    /// Of the chat completions.
    pub(crate) url: Url,
    pub(crate) model: String,
    pub(crate) timeout: Duration,
    pub(crate) allow: BTreeSet<String>,
    key: Option<SecretString>,
    key_file: Option<SecretFile>,
}

impl Writer {
    /// The API key of now.
    pub(crate) fn key(&self) -> Result<Option<SecretString>, ConfigError> {
        secret_of(self.key_file.as_ref(), self.key.as_ref())
    }
}

/// The endpoint for summaries; `None` when the template is all there is.
///
/// # Errors
/// What is wrong in the section; unknown keys are.
pub(crate) fn writer(settings: &Settings) -> Result<Option<Writer>, ConfigError> {
    let ScoringSettings { summary: Some(summary), .. } = settings.section(PREFIX)? else { return Ok(None) };
    let wrong = |detail: &str| ConfigError::one(format!("{PREFIX}.summary.{detail}"));
    let completions = Url::parse(&format!("{}/chat/completions", summary.url.trim_end_matches('/')));
    let url = completions.map_err(|error| wrong(&format!("url: {error}")))?;
    if !matches!(url.scheme(), "http" | "https") {
        return Err(wrong("url: must begin with http:// or https://"));
    }
    if !(1..=15).contains(&summary.timeout_seconds) {
        return Err(wrong("timeout_seconds: must be 1 to 15"));
    }
    Ok(Some(Writer {
        url,
        model: summary.model,
        timeout: Duration::from_secs(summary.timeout_seconds),
        allow: summary.allow,
        key: summary.api_key,
        key_file: summary.api_key_file,
    }))
}

/// Most tellings of order lines that are kept as the history of suppliers, which is held in memory.
///
/// # Errors
/// What is wrong in the section.
pub(crate) fn supplier_history_lines(settings: &Settings) -> Result<i64, ConfigError> {
    let ScoringSettings { supplier_history_lines, .. } = settings.section(PREFIX)?;
    match supplier_history_lines {
        1..=1_000_000 => Ok(supplier_history_lines),
        _ => Err(ConfigError::one(format!("{PREFIX}.supplier_history_lines: must be 1 to 1000000"))),
    }
}
