//! Odoo's outgoing webhooks (`ir.actions.server`, state `webhook`).

use jiff::Timestamp;
use serde_json::{Map, Value};

use crate::value::parse_datetime;

/// What a webhook says: this record may have changed, go and look.
///
/// It is no more than that. It is unsigned and tried once; on 17 and 18 it is sent before the commit, so the change
/// may never have happened; the same one comes several times (8 were observed for one button). The caller keeps the
/// digest of the raw bytes to recognise repeats.
#[derive(Clone, Debug, PartialEq)]
pub struct Hint {
    pub model: String,
    pub id: i64,
    /// `<action name>(#<action id>)`. On 17 and 18 often the generic name: tell rules apart by the URL path instead.
    pub action: Option<String>,
    /// With microseconds, where the API gives seconds; present only when the rule sends the field.
    pub write_date: Option<Timestamp>,
    /// The other fields that the rule sends, as they came: links are bare ids, nothing is `false`.
    pub fields: Map<String, Value>,
}

/// Why a body is no hint.
#[derive(Debug, thiserror::Error)]
pub enum HintError {
    #[error("the body is not JSON")]
    Json(#[source] serde_json::Error),
    /// The JSON pointer of what is missing or malformed.
    #[error("{pointer}: {detail}")]
    Field { pointer: &'static str, detail: &'static str },
}

impl Hint {
    /// Reads a raw body, tolerant of everything but the two fields that make it a hint.
    ///
    /// # Errors
    /// When the body is no JSON object or has no `_model` or `_id`.
    pub fn parse(body: &[u8]) -> Result<Self, HintError> {
        Self::from_json(serde_json::from_slice(body).map_err(HintError::Json)?)
    }

    /// The same from a body that has been read as JSON.
    ///
    /// # Errors
    /// [`HintError::Field`].
    pub fn from_json(body: Value) -> Result<Self, HintError> {
        let Value::Object(mut fields) = body else {
            return Err(HintError::Field { pointer: "", detail: "must be an object" });
        };
        let model = fields.remove("_model").and_then(|model| model.as_str().map(str::to_owned));
        let Some(model) = model.filter(|name| is_model(name)) else {
            return Err(HintError::Field { pointer: "/_model", detail: "must be the name of a model" });
        };
        let Some(id) = fields.remove("_id").and_then(|id| id.as_i64()) else {
            return Err(HintError::Field { pointer: "/_id", detail: "must be the id of a record" });
        };
        let action = fields.remove("_action").and_then(|action| action.as_str().map(str::to_owned));
        let write_date = fields.remove("write_date").and_then(|at| parse_datetime(at.as_str()?).ok());
        Ok(Self { model, id, action, write_date, fields })
    }
}

/// What Odoo itself allows as the name of a model (`check_object_name`), within the length that PostgreSQL leaves its table.
fn is_model(name: &str) -> bool {
    (1..=63).contains(&name.len()) && name.bytes().all(|b| matches!(b, b'a'..=b'z' | b'0'..=b'9' | b'_' | b'.'))
}
