//! Reading a section to the end: everything that is wrong with it, each with its path, its origin and the nearest key.

use config::{Value, ValueKind};
use serde::de::DeserializeOwned;

/// Bounds the search for further errors in one section; a file worse than this is not worth listing.
const MOST_ERRORS: usize = 50;

/// Deserializes sections and keeps every error. Serde stops at the first one of a struct, so the offending value is
/// taken out of the tree and the section is read again.
pub(super) struct Collect {
    pub(super) errors: Vec<String>,
}

impl Collect {
    pub(super) fn section<T: DeserializeOwned>(&mut self, name: &str, mut raw: Value) -> Option<T> {
        // A section written as `http:` alone is an empty one.
        if matches!(raw.kind, ValueKind::Nil) {
            raw.kind = ValueKind::Table(config::Map::new());
        }
        let mut removed: Vec<Vec<String>> = Vec::new();
        for _ in 0..MOST_ERRORS {
            let error = match serde_path_to_error::deserialize::<_, T>(raw.clone()) {
                // What is left after unknown keys were taken out is still looked at.
                Ok(value) => return Some(value),
                Err(error) => error,
            };
            let mut keys: Vec<String> = error.path().iter().map(ToString::to_string).collect();
            let mut message = innermost(error.inner());
            if let Some((field, hint)) = field_error(&message) {
                let missing = message.starts_with("missing");
                if keys.last() != Some(&field) {
                    keys.push(field);
                }
                if removed.contains(&keys) {
                    return None; // Missing because it was taken out above: all else has been seen.
                }
                message = if missing { "is required".to_owned() } else { format!("unknown key{hint}") };
            }
            self.report(name, &keys, &message, &raw);
            if !remove(&mut raw, &keys) {
                return None;
            }
            removed.push(keys);
        }
        None
    }

    fn report(&mut self, section: &str, keys: &[String], message: &str, raw: &Value) {
        let path = std::iter::once(section).chain(keys.iter().map(String::as_str)).collect::<Vec<_>>().join(".");
        let origin = find(raw, keys).and_then(Value::origin).map_or(String::new(), |origin| format!(" (in {origin})"));
        self.errors.push(format!("{path}: {message}{origin}"));
    }
}

/// The message without the key and origin that `config` appends: ours name the whole path.
fn innermost(error: &config::ConfigError) -> String {
    match error {
        config::ConfigError::At { error, .. } => innermost(error),
        config::ConfigError::NotFound(key) => format!("missing field `{key}`"),
        config::ConfigError::Type { unexpected, expected, .. } => {
            format!("invalid type: {unexpected}, expected {expected}")
        }
        other => other.to_string(),
    }
}

/// Field and hint of serde's "unknown field `x`, expected one of `a`, `b`" and "missing field `x`".
fn field_error(message: &str) -> Option<(String, String)> {
    let rest = message.strip_prefix("unknown field ").or_else(|| message.strip_prefix("missing field "))?;
    let mut quoted = rest.split('`').skip(1).step_by(2);
    let field = quoted.next()?.to_owned();
    let hint = nearest(&field, quoted);
    Some((field, hint))
}

/// A hint at the name that was probably meant; nothing when none is near.
pub(super) fn nearest<'a>(key: &str, known: impl Iterator<Item = &'a str>) -> String {
    known
        .map(|name| (strsim::jaro_winkler(key, name), name))
        .max_by(|a, b| a.0.total_cmp(&b.0))
        .filter(|(similarity, _)| *similarity > 0.7)
        .map_or_else(String::new, |(_, name)| format!(", did you mean {name:?}?"))
}

fn find<'a>(value: &'a Value, keys: &[String]) -> Option<&'a Value> {
    keys.iter().try_fold(value, |value, key| match &value.kind {
        ValueKind::Table(table) => table.get(key),
        _ => None,
    })
}

fn remove(value: &mut Value, keys: &[String]) -> bool {
    match (keys, &mut value.kind) {
        ([last], ValueKind::Table(table)) => table.remove(last).is_some(),
        ([first, rest @ ..], ValueKind::Table(table)) => table.get_mut(first).is_some_and(|inner| {
            // A bad list item takes its list along.
            remove(inner, rest) || {
                inner.kind = ValueKind::Nil;
                true
            }
        }),
        _ => false,
    }
}
