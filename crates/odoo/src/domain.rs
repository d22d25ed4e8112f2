use serde::Serialize;
use serde_json::{Value, json};

/// A search filter: conditions that must all hold.
///
/// ```
/// # use odoo::Domain;
/// let open = Domain::all().and("state", "not in", ["done", "cancel"]).and("location_id", "child_of", [8]);
/// ```
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
#[serde(transparent)]
pub struct Domain(Vec<Value>);

impl Domain {
    /// Every record that the user may see.
    #[must_use]
    pub fn all() -> Self {
        Self::default()
    }

    /// Adds a condition. The operators are Odoo's: `=`, `!=`, `in`, `>=`, `child_of`, `ilike`, ...
    #[must_use]
    pub fn and(mut self, field: &str, operator: &str, value: impl Into<Value>) -> Self {
        self.0.push(json!([field, operator, value.into()]));
        self
    }

    /// Adds `field operator ids` unless `ids` is empty: an empty slice means "no restriction" in the typed verbs.
    #[must_use]
    pub fn and_ids(self, field: &str, operator: &str, ids: &[i64]) -> Self {
        if ids.is_empty() { self } else { self.and(field, operator, ids.to_vec()) }
    }
}
