//! Canonical identifiers. Each system's own ids are mapped to these at the border, by supplier-sync-svc.

use std::{borrow::Cow, fmt, str::FromStr};

use serde::{Deserialize, Deserializer, Serialize};

/// Longest identifier accepted, in bytes. Long enough for every scheme met in the field (GTIN 14, SSCC 18, Odoo
/// external ids), short enough for a routing key.
pub const MAX_ID_BYTES: usize = 64;

/// Why a text is not an identifier.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidId {
    #[error("must not be empty")]
    Empty,
    #[error("must be at most {MAX_ID_BYTES} bytes, is {0}")]
    TooLong(usize),
    #[error("may hold letters, digits and . _ - : @ only, holds {0:?}")]
    Character(char),
}

fn check(text: &str) -> Result<(), InvalidId> {
    if text.is_empty() {
        return Err(InvalidId::Empty);
    }
    if text.len() > MAX_ID_BYTES {
        return Err(InvalidId::TooLong(text.len()));
    }
    match text.chars().find(|c| !(c.is_ascii_alphanumeric() || ".-_:@".contains(*c))) {
        Some(c) => Err(InvalidId::Character(c)),
        None => Ok(()),
    }
}

macro_rules! id {
    ($(#[$doc:meta])* $name:ident, $example:literal) => {
        $(#[$doc])*
        #[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
        #[serde(transparent)]
        pub struct $name(String);

        impl $name {
            /// # Errors
            /// When the text is empty, longer than [`MAX_ID_BYTES`] or holds a character outside `A-Za-z0-9._-:@`.
            pub fn new(text: impl Into<String>) -> Result<Self, InvalidId> {
                let text = text.into();
                check(&text).map(|()| Self(text))
            }

            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl FromStr for $name {
            type Err = InvalidId;
            fn from_str(text: &str) -> Result<Self, InvalidId> {
                Self::new(text)
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let text = Cow::<'de, str>::deserialize(deserializer)?;
                Self::new(text).map_err(serde::de::Error::custom)
            }
        }

        impl utoipa::PartialSchema for $name {
            fn schema() -> utoipa::openapi::RefOr<utoipa::openapi::schema::Schema> {
                use utoipa::openapi::schema::{ObjectBuilder, Type};
                ObjectBuilder::new()
                    .schema_type(Type::String)
                    .min_length(Some(1))
                    .max_length(Some(MAX_ID_BYTES))
                    .pattern(Some("^[A-Za-z0-9._:@-]+$"))
                    .examples([$example])
                    .into()
            }
        }
        impl utoipa::ToSchema for $name {}
    };
}

id!(/// A sellable article (SKU) across all systems.
    ProductId, "SKU-10233");
id!(/// A store, warehouse or distribution centre.
    LocationId, "store-017");
id!(/// A group of locations with one regional operations team.
    RegionId, "north");
id!(/// A vendor.
    SupplierId, "supplier-acme");
id!(/// A business document: transfer, purchase order, adjustment.
    OrderRef, "P00042");
id!(/// A person who asks, decides or is told.
    PersonId, "olga");

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_identifier_is_parsed_at_the_door() {
        assert_eq!(ProductId::new("").unwrap_err(), InvalidId::Empty);
        assert_eq!(ProductId::new("a b").unwrap_err(), InvalidId::Character(' '));
        assert_eq!(ProductId::new("x".repeat(65)).unwrap_err(), InvalidId::TooLong(65));
        let error = serde_json::from_str::<LocationId>(r#""../etc""#).unwrap_err();
        assert!(error.to_string().contains("letters, digits"), "{error}");
        assert_eq!(serde_json::from_str::<LocationId>(r#""store-1""#).unwrap().as_str(), "store-1");
    }
}
