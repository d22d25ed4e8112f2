//! Who acts, in which role, and where.

use std::{borrow::Cow, fmt};

use contracts::{LocationId, PersonId, RegionId};
use serde::{Deserialize, Deserializer, Serialize};

/// Who did something: a person, a program with its own key, or Steward itself when time ran out.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(tag = "type", rename_all = "snake_case", deny_unknown_fields)]
pub enum Actor {
    Person {
        person: PersonId,
    },
    /// A caller with a key of its own, such as n8n.
    Service {
        #[schema(example = "n8n")]
        key: String,
    },
    /// A timer or a policy, without anybody's hand.
    Steward,
}

impl Actor {
    #[must_use]
    pub fn is_person(&self, id: &PersonId) -> bool {
        matches!(self, Self::Person { person } if person == id)
    }
}

/// As the audit trail names them: `person:olga`, `key:n8n`, `steward`.
impl fmt::Display for Actor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Person { person } => write!(f, "person:{person}"),
            Self::Service { key } => write!(f, "key:{key}"),
            Self::Steward => f.write_str("steward"),
        }
    }
}

/// Who asks for an approval.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Requester {
    pub by: Actor,
    /// The person for whom a service asks. Whether it was proved or only asserted makes no difference here, because
    /// it can only tighten: it takes one more person out of the approvers and gives nobody a right to approve.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub on_behalf_of: Option<PersonId>,
}

impl Requester {
    /// Whether this person stands behind the request and so must not approve it.
    #[must_use]
    pub fn is(&self, person: &PersonId) -> bool {
        self.by.is_person(person) || self.on_behalf_of.as_ref() == Some(person)
    }
}

/// Name of a role, such as `regional_ops`: lower-case letters, digits and `_`, at most 64 bytes.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, utoipa::ToSchema)]
#[serde(transparent)]
#[schema(pattern = "^[a-z0-9_]{1,64}$", example = "regional_ops")]
pub struct Role(String);

impl Role {
    /// # Errors
    /// When the text is empty, too long or holds another character.
    pub fn new(text: impl Into<String>) -> Result<Self, &'static str> {
        let text = text.into();
        let plain = |c: u8| c.is_ascii_lowercase() || c.is_ascii_digit() || c == b'_';
        if text.is_empty() || text.len() > 64 || !text.bytes().all(plain) {
            return Err("a role is 1 to 64 lower-case letters, digits and _");
        }
        Ok(Self(text))
    }

    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for Role {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = Cow::<'de, str>::deserialize(deserializer)?;
        Self::new(text).map_err(serde::de::Error::custom)
    }
}

/// A location with its region, as far as they are known.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Site {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub location: Option<LocationId>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub region: Option<RegionId>,
}
