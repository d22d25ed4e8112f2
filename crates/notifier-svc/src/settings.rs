//! The `notify` section of the configuration.

use std::path::PathBuf;

use chassis::{
    ConfigError, Settings,
    config::{SecretFile, secret_of},
    webhooks,
};
use lettre::message::Mailbox;
use secrecy::SecretString;
use serde::Deserialize;
use url::Url;

use crate::{
    effects::{smtp::MailRoute, webhook},
    rules::templates::FALLBACK_LOCALE,
};

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct NotifySettings {
    pub smtp: SmtpSettings,
    /// YAML; see `rules::contacts`.
    pub contacts_file: Option<PathBuf>,
    /// Language of those whose contact names none.
    pub default_locale: DefaultLocale,
    pub subscriptions: Vec<DeclaredSubscription>,
}

#[derive(Clone, Debug, Deserialize)]
pub(crate) struct DefaultLocale(pub String);

impl Default for DefaultLocale {
    fn default() -> Self {
        Self(FALLBACK_LOCALE.to_owned())
    }
}

/// Which mail server, and as whom.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct SmtpSettings {
    url: Option<SecretString>,
    url_file: Option<SecretFile>,
    from: String,
}

impl Default for SmtpSettings {
    fn default() -> Self {
        Self { url: None, url_file: None, from: "Steward <steward@localhost>".to_owned() }
    }
}

impl SmtpSettings {
    /// Where mail goes; `None` when nothing is configured. Read at every mail, so that a rotated password counts at once.
    pub(crate) fn route(&self) -> Result<Option<MailRoute>, ConfigError> {
        let url = secret_of(self.url_file.as_ref(), self.url.as_ref())?;
        let parse = |url: SecretString| MailRoute::parse(&url).map_err(|why| problem("smtp.url", &why));
        url.map(parse).transpose()
    }

    pub(crate) fn from(&self) -> Result<Mailbox, ConfigError> {
        self.from.parse().map_err(|_| problem("smtp.from", &format!("{:?} is not an e-mail address", self.from)))
    }
}

/// A subscription that stands in the configuration.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct DeclaredSubscription {
    pub id: String,
    pub types: Vec<String>,
    pub url: String,
    secret: Option<SecretString>,
    secret_file: Option<SecretFile>,
    header: Option<DeclaredHeader>,
    /// Silence that is borne after a push; without it none is expected to say that a case is at an end.
    pub receipt_within_seconds: Option<u32>,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct DeclaredHeader {
    name: String,
    value: Option<SecretString>,
    value_file: Option<SecretFile>,
}

impl DeclaredSubscription {
    /// What signs its pushes.
    pub(crate) fn secret(&self) -> Result<SecretString, ConfigError> {
        secret_of(self.secret_file.as_ref(), self.secret.as_ref())?
            .ok_or_else(|| self.problem("secret or secret_file is required"))
    }

    /// The credential its receiver asks for.
    pub(crate) fn header(&self) -> Result<Option<(String, SecretString)>, ConfigError> {
        let Some(header) = &self.header else { return Ok(None) };
        let value = secret_of(header.value_file.as_ref(), header.value.as_ref())?
            .ok_or_else(|| self.problem("header.value or header.value_file is required"))?;
        Ok(Some((header.name.clone(), value)))
    }

    fn problem(&self, detail: &str) -> ConfigError {
        problem(&format!("subscriptions[{}]", self.id), detail)
    }

    fn violations(&self) -> Vec<ConfigError> {
        let mut found = Vec::new();
        let is_name = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
        if self.id.is_empty() || self.id.len() > 64 || !self.id.chars().all(is_name) {
            found.push(self.problem("id must be 1 to 64 letters, digits and - _ ."));
        }
        found.extend(webhook::unknown_types(&self.types).into_iter().map(|(_, detail)| self.problem(&detail)));
        if !Url::parse(&self.url).is_ok_and(|url| matches!(url.scheme(), "http" | "https")) {
            found.push(self.problem("url must be an http(s) URL"));
        }
        found.extend(webhook::check_receipt(self.receipt_within_seconds).err().map(|why| self.problem(why)));
        match self.secret() {
            Ok(secret) => found.extend(webhooks::check_secret(&secret).err().map(|e| self.problem(&e.to_string()))),
            Err(error) => found.push(error),
        }
        match self.header() {
            Ok(Some((name, value))) => {
                found.extend(webhook::check_header(&name, &value).err().map(|e| self.problem(&e)))
            }
            Ok(None) => {}
            Err(error) => found.push(error),
        }
        found
    }
}

impl NotifySettings {
    /// # Errors
    /// Everything wrong with the section, at once.
    pub(crate) fn read(settings: &Settings) -> Result<Self, ConfigError> {
        let parsed: Self = settings.section(crate::PREFIX)?;
        let mut errors: Vec<ConfigError> =
            [parsed.smtp.route().err(), parsed.smtp.from().err()].into_iter().flatten().collect();
        errors.extend(parsed.subscriptions.iter().flat_map(DeclaredSubscription::violations));
        for (i, one) in parsed.subscriptions.iter().enumerate() {
            if parsed.subscriptions[..i].iter().any(|earlier| earlier.id == one.id) {
                errors.push(one.problem("id is there twice"));
            }
        }
        match errors.into_iter().reduce(ConfigError::and) {
            Some(error) => Err(error),
            None => Ok(parsed),
        }
    }
}

fn problem(key: &str, detail: &str) -> ConfigError {
    ConfigError::one(format!("{}.{key}: {detail}", crate::PREFIX))
}
