//! Who can be told, and whom an audience means.

use std::{collections::HashSet, path::PathBuf};

use chassis::{ConfigError, reload::Reloaded};
use contracts::{LocationId, PersonId, SupplierId};
use serde::{Deserialize, Serialize};

/// One who can be told: a person, the desk of a warehouse, a supplier's order office.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Contact {
    pub id: PersonId,
    pub name: String,
    pub email: String,
    /// BCP 47, as `de` or `de-AT`.
    pub locale: Option<String>,
    #[serde(default)]
    pub roles: Vec<String>,
    /// Where the roles hold; empty means everywhere.
    #[serde(default)]
    pub locations: Vec<LocationId>,
    /// The suppliers whose orders this contact answers for.
    #[serde(default)]
    pub suppliers: Vec<SupplierId>,
}

/// Whom a message is for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "AudienceFields", into = "AudienceFields")]
pub(crate) enum Audience {
    Person(PersonId),
    Role { role: String, location: Option<LocationId> },
    Supplier(SupplierId),
}

/// Whom a message is for: exactly one of `person`, `role` (with or without `location`) and `supplier`.
#[derive(Clone, Debug, Default, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = Audience)]
pub(crate) struct AudienceFields {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    person: Option<PersonId>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(example = "warehouse")]
    role: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    location: Option<LocationId>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    supplier: Option<SupplierId>,
}

impl TryFrom<AudienceFields> for Audience {
    type Error = &'static str;

    fn try_from(fields: AudienceFields) -> Result<Self, Self::Error> {
        match (fields.person, fields.role, fields.supplier, fields.location) {
            (Some(person), None, None, None) => Ok(Self::Person(person)),
            (None, Some(role), None, location) => Ok(Self::Role { role, location }),
            (None, None, Some(supplier), None) => Ok(Self::Supplier(supplier)),
            (_, _, _, Some(_)) => Err("location goes with role only"),
            _ => Err("must have exactly one of person, role, supplier"),
        }
    }
}

impl From<Audience> for AudienceFields {
    fn from(audience: Audience) -> Self {
        match audience {
            Audience::Person(person) => Self { person: Some(person), ..Self::default() },
            Audience::Role { role, location } => Self { role: Some(role), location, ..Self::default() },
            Audience::Supplier(supplier) => Self { supplier: Some(supplier), ..Self::default() },
        }
    }
}

/// Why a contacts file is not taken.
#[derive(Debug, thiserror::Error)]
pub(crate) enum InvalidContacts {
    #[error("cannot be read")]
    Read(#[source] std::io::Error),
    #[error("is not a list of contacts")]
    Syntax(#[source] serde_saphyr::Error),
    #[error("contact {0} is there twice")]
    Twice(PersonId),
    #[error("contact {0}: the name {1:?} must be of one line, without control characters")]
    Name(PersonId, String),
    #[error("contact {0}: {1:?} is not an e-mail address")]
    Email(PersonId, String),
}

/// Everybody who can be told.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Contacts {
    contacts: Vec<Contact>,
}

impl Contacts {
    pub(crate) fn parse(yaml: &str) -> Result<Self, InvalidContacts> {
        let parsed: Self = serde_saphyr::from_str(yaml).map_err(InvalidContacts::Syntax)?;
        let mut seen = HashSet::new();
        for contact in &parsed.contacts {
            if !seen.insert(&contact.id) {
                return Err(InvalidContacts::Twice(contact.id.clone()));
            }
            if contact.name.contains(char::is_control) {
                return Err(InvalidContacts::Name(contact.id.clone(), contact.name.clone()));
            }
            if contact.email.parse::<lettre::Address>().is_err() {
                return Err(InvalidContacts::Email(contact.id.clone(), contact.email.clone()));
            }
        }
        Ok(parsed)
    }

    #[cfg(feature = "fuzz")]
    pub(crate) fn all(&self) -> &[Contact] {
        &self.contacts
    }

    /// The contacts an audience means, in the order of the file; none when nobody fits.
    pub(crate) fn of(&self, audience: &Audience) -> Vec<&Contact> {
        let fits = |contact: &&Contact| match audience {
            Audience::Person(person) => contact.id == *person,
            Audience::Supplier(supplier) => contact.suppliers.contains(supplier),
            Audience::Role { role, location } => {
                let here = |wanted: &LocationId| contact.locations.is_empty() || contact.locations.contains(wanted);
                contact.roles.contains(role) && location.as_ref().is_none_or(here)
            }
        };
        self.contacts.iter().filter(fits).collect()
    }
}

/// The contacts file, read again when it changes, so that a new colleague needs no restart. Without a file there are
/// no contacts.
///
/// # Errors
/// When there is a file and it is not usable.
pub(crate) fn contacts_of(path: Option<PathBuf>) -> Result<Reloaded<Contacts>, ConfigError> {
    Reloaded::new(path.clone(), move || {
        let Some(path) = &path else { return Ok(Contacts::default()) };
        let text = std::fs::read_to_string(path).map_err(InvalidContacts::Read);
        text.and_then(|text| Contacts::parse(&text))
            .map_err(|error| ConfigError::one(format!("notify.contacts_file: {}", chassis::chain(&error))))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const FILE: &str = "
contacts:
  - {id: olga, name: Olga, email: olga@example.com, locale: de, roles: [regional_ops]}
  - {id: dc-desk, name: DC desk, email: dc@example.com, roles: [warehouse], locations: [dc-1]}
  - {id: night-desk, name: Night desk, email: night@example.com, roles: [warehouse]}
  - {id: acme, name: Acme orders, email: orders@acme.example, suppliers: [supplier-acme]}
";

    fn audience(json: &str) -> Result<Audience, serde_json::Error> {
        serde_json::from_str(json)
    }

    #[test]
    fn an_audience_means_those_who_fit_it() {
        let contacts = Contacts::parse(FILE).unwrap();
        let ids = |json| contacts.of(&audience(json).unwrap()).iter().map(|c| c.id.to_string()).collect::<Vec<_>>();
        assert_eq!(ids(r#"{"person":"olga"}"#), ["olga"]);
        assert_eq!(ids(r#"{"role":"warehouse","location":"dc-1"}"#), ["dc-desk", "night-desk"]);
        assert_eq!(ids(r#"{"role":"warehouse","location":"store-9"}"#), ["night-desk"]);
        assert_eq!(ids(r#"{"role":"warehouse"}"#), ["dc-desk", "night-desk"]);
        assert_eq!(ids(r#"{"supplier":"supplier-acme"}"#), ["acme"]);
        assert!(ids(r#"{"supplier":"supplier-other"}"#).is_empty());
    }

    #[test]
    fn a_name_that_no_mail_can_carry_is_refused() {
        let refused = Contacts::parse(r#"contacts: [{id: olga, name: "Olga\nBcc: all", email: olga@example.com}]"#);
        assert!(matches!(refused, Err(InvalidContacts::Name(id, _)) if id.to_string() == "olga"));
    }

    #[test]
    fn an_audience_of_none_or_of_two_kinds_is_refused() {
        for bad in ["{}", r#"{"person":"a","role":"b"}"#, r#"{"person":"a","location":"b"}"#, r#"{"persons":"a"}"#] {
            assert!(audience(bad).is_err(), "{bad}");
        }
        let text = r#"{"role":"warehouse","location":"dc-1"}"#;
        assert_eq!(serde_json::to_string(&audience(text).unwrap()).unwrap(), text);
    }

    #[test]
    fn a_contact_twice_or_without_a_real_address_is_refused() {
        let twice = "contacts: [{id: a, name: A, email: a@x.org}, {id: a, name: B, email: b@x.org}]";
        assert!(matches!(Contacts::parse(twice), Err(InvalidContacts::Twice(_))));
        let address = "contacts: [{id: a, name: A, email: nobody}]";
        assert!(matches!(Contacts::parse(address), Err(InvalidContacts::Email(..))));
        assert!(matches!(Contacts::parse("contacts: [{id: a, mail: x}]"), Err(InvalidContacts::Syntax(_))));
    }
}
