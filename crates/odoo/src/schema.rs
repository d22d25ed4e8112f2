use std::collections::BTreeMap;

use serde::Deserialize;

use crate::Error;

/// The fields of one model as this server and this user have them. Fields come, go and change their duties between
/// versions, so verbs ask here rather than compare version numbers.
#[derive(Clone, Debug, Deserialize)]
#[serde(transparent)]
pub struct Schema {
    fields: BTreeMap<String, Field>,
}

/// What `fields_get` says of a field.
#[derive(Clone, Debug, Deserialize)]
pub struct Field {
    /// `char`, `many2one`, `datetime`, ...
    #[serde(rename = "type")]
    pub kind: String,
    #[serde(default)]
    pub required: bool,
    #[serde(default)]
    pub readonly: bool,
}

impl Schema {
    #[must_use]
    pub fn field(&self, name: &str) -> Option<&Field> {
        self.fields.get(name)
    }

    #[must_use]
    pub fn has(&self, name: &str) -> bool {
        self.fields.contains_key(name)
    }

    /// Fails closed: every name must be there.
    pub(crate) fn require(&self, model: &str, names: &[&str]) -> Result<(), Error> {
        let fields: Vec<_> = names.iter().filter(|name| !self.has(name)).map(|&name| name.to_owned()).collect();
        if fields.is_empty() { Ok(()) } else { Err(Error::Schema { model: model.to_owned(), fields }) }
    }
}
