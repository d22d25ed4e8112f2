//! What handlers, event handlers and executors share: texts, contacts, and who is subscribed to what.

use std::time::Duration;

use chassis::{prelude::*, reload::Reloaded};
use secrecy::SecretString;
use serde_json::{Map, Value};
use sqlx::AnyConnection;

use crate::{
    rules::{
        contacts::{Audience, Contact, Contacts, contacts_of},
        templates::Templates,
    },
    settings::{DeclaredSubscription, NotifySettings},
    store::{
        messages::Addressed,
        subscriptions::{self, Disabled, Stored},
    },
};

/// Most recipients of one message.
const MOST_RECIPIENTS: usize = 100;

pub(crate) struct Notifier {
    templates: Templates,
    contacts: Reloaded<Contacts>,
    default_locale: String,
    declared: Vec<DeclaredSubscription>,
}

/// A subscription, wherever it stands.
pub(crate) struct Subscription {
    pub id: String,
    pub types: Vec<String>,
    pub url: String,
    pub secret: SecretString,
    pub header: Option<(String, SecretString)>,
    pub receipt_within_seconds: Option<u32>,
    /// `None`: it stands in the configuration.
    pub created_at: Option<Timestamp>,
    pub disabled: Option<Disabled>,
}

/// A subscription that wants an event.
pub(crate) struct Wanting {
    pub id: String,
    /// How long its silence is borne, if it owes a receipt at all.
    pub receipt_within: Option<Duration>,
}

impl Notifier {
    /// # Errors
    /// When the contacts file is not usable.
    pub(crate) fn new(settings: &NotifySettings) -> Result<Self, ConfigError> {
        let templates =
            Templates::shipped().map_err(|error| ConfigError::one(format!("notify: a shipped template: {error}")))?;
        let contacts = contacts_of(settings.contacts_file.clone())?;
        Ok(Self {
            templates,
            contacts,
            default_locale: settings.default_locale.0.clone(),
            declared: settings.subscriptions.clone(),
        })
    }

    /// What each one of an audience will read.
    ///
    /// # Errors
    /// `/to` when nobody is meant, `/template` and `/data/...` when the text cannot be made.
    pub(crate) fn compose(
        &self,
        template: &str,
        to: &Audience,
        data: &Map<String, Value>,
    ) -> Result<Vec<Addressed>, Vec<FieldError>> {
        let contacts = self.contacts.get();
        let meant = contacts.of(to);
        if meant.is_empty() {
            // The text is checked all the same, so that the caller hears of everything at once.
            let mut errors = vec![FieldError::new("/to", "means nobody in the contacts")];
            errors.extend(self.templates.render(template, None, "", data).err().unwrap_or_default());
            return Err(errors);
        }
        if meant.len() > MOST_RECIPIENTS {
            let detail = format!("means {} contacts, at most {MOST_RECIPIENTS} are told at once", meant.len());
            return Err(vec![FieldError::new("/to", detail)]);
        }
        let addressee = |one: &'_ &Contact| Addressee {
            id: one.id.to_string(),
            name: one.name.clone(),
            email: one.email.clone(),
            locale: one.locale.clone(),
        };
        meant.iter().map(|one| self.text(template, addressee(one), data)).collect()
    }

    /// What one person will read, whom somebody else names; `None` when no address is known for them. Language, and
    /// the address where none is given, come from the contacts.
    pub(crate) fn compose_for(
        &self,
        template: &str,
        asked: &contracts::events::AskedPerson,
        data: &Map<String, Value>,
    ) -> Result<Option<Addressed>, Vec<FieldError>> {
        let contacts = self.contacts.get();
        let meant = contacts.of(&Audience::Person(asked.person.clone()));
        let contact = meant.first();
        let Some(email) = asked.email.clone().or_else(|| contact.map(|contact| contact.email.clone())) else {
            return Ok(None);
        };
        let locale = contact.and_then(|contact| contact.locale.clone());
        let addressee = Addressee { id: asked.person.to_string(), name: asked.name.clone(), email, locale };
        self.text(template, addressee, data).map(Some)
    }

    fn text(&self, template: &str, to: Addressee, data: &Map<String, Value>) -> Result<Addressed, Vec<FieldError>> {
        let locale = to.locale.as_deref().unwrap_or(&self.default_locale);
        let text = self.templates.render(template, Some(locale), &to.name, data)?;
        Ok(Addressed { recipient: to.id, name: to.name, email: to.email, subject: text.subject, body: text.body })
    }

    /// Those who want this type and are not gone.
    pub(crate) async fn wanting(&self, conn: &mut AnyConnection, kind: &str) -> Result<Vec<Wanting>, StoreError> {
        let stored = subscriptions::all(&mut *conn).await?;
        let disabled = subscriptions::disabled(conn).await?;
        let declared = self.declared.iter().map(|one| (&one.id, &one.url, &one.types, one.receipt_within_seconds));
        let all = declared
            .chain(stored.iter().map(|one| (&one.id, &one.url, &one.types, one.receipt_within_seconds)))
            .filter(|(.., types, _)| types.iter().any(|wanted| wanted == kind))
            .filter(|(id, url, ..)| disabled.get(*id).is_none_or(|gone| gone.url != **url));
        let wanting = |(id, _, _, seconds): (&String, _, _, Option<u32>)| Wanting {
            id: id.clone(),
            receipt_within: seconds.map(|seconds| Duration::from_secs(seconds.into())),
        };
        Ok(all.map(wanting).collect())
    }

    /// All subscriptions, those of the configuration first.
    ///
    /// # Errors
    /// Fit for a log or a dead letter, never with a secret: the store failed, or a secret's file cannot be read.
    pub(crate) async fn subscriptions(&self, cx: &Cx) -> Result<Vec<Subscription>, String> {
        let mut reader = cx.store().read().await.map_err(|error| chassis::chain(&error))?;
        let stored = subscriptions::all(&mut reader).await.map_err(|error| chassis::chain(&error))?;
        let mut disabled = subscriptions::disabled(&mut reader).await.map_err(|error| chassis::chain(&error))?;
        let declared = self.declared.iter().map(declared).collect::<Result<Vec<_>, _>>();
        let declared = declared.map_err(|error| error.to_string())?;
        let mut all: Vec<_> = declared.into_iter().chain(stored.into_iter().map(Subscription::from)).collect();
        for one in &mut all {
            one.disabled = disabled.remove(&one.id).filter(|gone| gone.url == one.url);
        }
        Ok(all)
    }

    /// One of them; nobody else's secret is looked at.
    ///
    /// # Errors
    /// As [`Notifier::subscriptions`].
    pub(crate) async fn subscription(&self, cx: &Cx, id: &str) -> Result<Option<Subscription>, String> {
        let mut reader = cx.store().read().await.map_err(|error| chassis::chain(&error))?;
        let found = match self.declared.iter().find(|one| one.id == id) {
            Some(one) => Some(declared(one).map_err(|error| error.to_string())?),
            None => subscriptions::find(&mut reader, id).await.map_err(|error| chassis::chain(&error))?.map(Into::into),
        };
        let Some(mut found) = found else { return Ok(None) };
        let mut disabled = subscriptions::disabled(&mut reader).await.map_err(|error| chassis::chain(&error))?;
        found.disabled = disabled.remove(id).filter(|gone| gone.url == found.url);
        Ok(Some(found))
    }

    /// Whether it stands in the configuration, where no API can change it.
    pub(crate) fn is_declared(&self, id: &str) -> bool {
        self.declared.iter().any(|one| one.id == id)
    }
}

struct Addressee {
    id: String,
    name: String,
    email: String,
    locale: Option<String>,
}

fn declared(one: &DeclaredSubscription) -> Result<Subscription, ConfigError> {
    Ok(Subscription {
        id: one.id.clone(),
        types: one.types.clone(),
        url: one.url.clone(),
        secret: one.secret()?,
        header: one.header()?,
        receipt_within_seconds: one.receipt_within_seconds,
        created_at: None,
        disabled: None,
    })
}

impl From<Stored> for Subscription {
    fn from(stored: Stored) -> Self {
        Self {
            id: stored.id,
            types: stored.types,
            url: stored.url,
            secret: stored.secret,
            header: stored.header,
            receipt_within_seconds: stored.receipt_within_seconds,
            created_at: Some(stored.created_at),
            disabled: None,
        }
    }
}
