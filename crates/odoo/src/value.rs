//! How Odoo writes values: `false` for nothing, naive UTC date-times, links as `[id, "name"]`.

use jiff::{Timestamp, civil::DateTime, tz::TimeZone};
use serde::{Deserialize, Deserializer, de::DeserializeOwned, de::Error as _};
use serde_json::Value;

/// A link to another record, with the name that Odoo shows for it.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Deserialize)]
#[serde(from = "(i64, String)")]
pub struct Ref {
    pub id: i64,
    pub name: String,
}

impl From<(i64, String)> for Ref {
    fn from((id, name): (i64, String)) -> Self {
        Self { id, name }
    }
}

/// Reads an instant in either format of Odoo: seconds (API) or microseconds (webhooks). Both are UTC without saying so.
///
/// # Errors
/// When the text is no such date-time.
pub fn parse_datetime(text: &str) -> Result<Timestamp, jiff::Error> {
    text.parse::<DateTime>()?.to_zoned(TimeZone::UTC).map(|zoned| zoned.timestamp())
}

/// Writes an instant as Odoo reads it, cut to the second.
#[must_use]
pub fn format_datetime(at: Timestamp) -> String {
    at.strftime("%Y-%m-%d %H:%M:%S").to_string()
}

/// For `#[serde(deserialize_with)]`: a required instant.
///
/// # Errors
/// When it is `false` or malformed.
pub fn datetime<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Timestamp, D::Error> {
    parse_datetime(&String::deserialize(deserializer)?).map_err(D::Error::custom)
}

/// For `#[serde(deserialize_with)]`: an instant or `false`.
///
/// # Errors
/// When it is malformed.
pub fn optional_datetime<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Timestamp>, D::Error> {
    falsy::<D, String>(deserializer)?.map(|text| parse_datetime(&text).map_err(D::Error::custom)).transpose()
}

/// For `#[serde(deserialize_with)]`: Odoo's `false` (and `null`) is `None`. Not for booleans, where `false` means no.
///
/// # Errors
/// When the value is neither `false` nor a `T`.
pub fn falsy<'de, D: Deserializer<'de>, T: DeserializeOwned>(deserializer: D) -> Result<Option<T>, D::Error> {
    match Value::deserialize(deserializer)? {
        Value::Null | Value::Bool(false) => Ok(None),
        value => serde_json::from_value(value).map(Some).map_err(D::Error::custom),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[derive(Debug, Deserialize)]
    struct Row {
        #[serde(deserialize_with = "falsy")]
        origin: Option<String>,
        #[serde(deserialize_with = "falsy")]
        categ_id: Option<Ref>,
        #[serde(deserialize_with = "optional_datetime")]
        date_deadline: Option<Timestamp>,
    }

    #[test]
    fn false_is_none_and_a_value_is_some() {
        let empty: Row =
            serde_json::from_value(json!({"origin": false, "categ_id": false, "date_deadline": false})).unwrap();
        assert!(empty.origin.is_none() && empty.categ_id.is_none() && empty.date_deadline.is_none());
        let full: Row = serde_json::from_value(
            json!({"origin": "P00003", "categ_id": [4, "All / Dairy"], "date_deadline": "2026-11-28 07:30:44"}),
        )
        .unwrap();
        assert_eq!(full.categ_id, Some(Ref { id: 4, name: "All / Dairy".into() }));
        assert_eq!(full.origin.as_deref(), Some("P00003"));
        assert_eq!(full.date_deadline.unwrap().to_string(), "2026-11-28T07:30:44Z");
    }

    #[test]
    fn both_date_formats_are_read_as_utc() {
        assert_eq!(parse_datetime("2026-11-23 07:29:15.158913").unwrap().to_string(), "2026-11-23T07:29:15.158913Z");
        assert_eq!(parse_datetime("2026-11-23 07:29:15").unwrap().to_string(), "2026-11-23T07:29:15Z");
        assert!(parse_datetime("yesterday").is_err());
        assert_eq!(format_datetime("2026-11-23T07:29:15.9Z".parse().unwrap()), "2026-11-23 07:29:15");
    }

    #[test]
    fn a_value_of_the_wrong_type_is_an_error_and_not_none() {
        assert!(
            serde_json::from_value::<Row>(json!({"origin": 5, "categ_id": false, "date_deadline": false})).is_err()
        );
    }
}
