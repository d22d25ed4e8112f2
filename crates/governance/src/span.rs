//! Lengths of time as policies write them: `4h`, `90m`, `1d12h`.

use std::{borrow::Cow, fmt, str::FromStr};

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

/// Units by size, in seconds. A day is 24 hours: deadlines are instants, not calendar entries.
const UNITS: [(char, u32); 4] = [('d', 86_400), ('h', 3_600), ('m', 60), ('s', 1)];
/// Longest span accepted: a year. Nobody waits longer for an approval, and sums stay far from overflow.
const LONGEST: u32 = 366 * 86_400;

/// A length of time between one second and 366 days.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Span(u32);

impl Span {
    /// At most a year, as written ones are.
    #[must_use]
    pub(crate) const fn days(days: u16) -> Self {
        let seconds = days as u32 * 86_400;
        Self(if seconds > LONGEST {
            LONGEST
        } else if seconds == 0 {
            1
        } else {
            seconds
        })
    }

    #[must_use]
    pub fn seconds(self) -> u32 {
        self.0
    }

    /// The instant this long after `start`; the end of time when that lies beyond it.
    #[must_use]
    pub fn after(self, start: Timestamp) -> Timestamp {
        start.checked_add(SignedDuration::from_secs(i64::from(self.0))).unwrap_or(Timestamp::MAX)
    }
}

/// Why a text is not a span.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a length of time is written like 4h, 90m or 1d12h and is at most 366d, not {0:?}")]
pub struct InvalidSpan(String);

fn parse(text: &str) -> Option<u32> {
    let mut total = 0_u32;
    let mut rest = text;
    while !rest.is_empty() {
        let end = rest.find(|c: char| !c.is_ascii_digit())?;
        let (digits, tail) = rest.split_at(end);
        let unit = tail.chars().next()?;
        let (_, seconds) = UNITS.iter().find(|(name, _)| *name == unit)?;
        total = total.checked_add(digits.parse::<u32>().ok()?.checked_mul(*seconds)?)?;
        rest = &tail[1..];
    }
    (1..=LONGEST).contains(&total).then_some(total)
}

impl FromStr for Span {
    type Err = InvalidSpan;
    fn from_str(text: &str) -> Result<Self, InvalidSpan> {
        parse(text).map(Self).ok_or_else(|| InvalidSpan(text.chars().take(40).collect()))
    }
}

impl fmt::Display for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut rest = self.0;
        for (name, seconds) in UNITS {
            if rest >= seconds {
                write!(f, "{}{name}", rest / seconds)?;
                rest %= seconds;
            }
        }
        Ok(())
    }
}

impl Serialize for Span {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Span {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Cow::<'de, str>::deserialize(deserializer)?.parse().map_err(de::Error::custom)
    }
}

impl utoipa::PartialSchema for Span {
    fn schema() -> utoipa::openapi::RefOr<utoipa::openapi::schema::Schema> {
        use utoipa::openapi::schema::{ObjectBuilder, Type};
        ObjectBuilder::new().schema_type(Type::String).pattern(Some("^([0-9]+[dhms])+$")).examples(["4h"]).into()
    }
}
impl utoipa::ToSchema for Span {}

/// How long somebody has: on the clock (`4h`), or in the opening hours of the place (`{business: 8h}`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, utoipa::ToSchema)]
#[serde(untagged)]
pub enum Within {
    Clock(Span),
    Business(BusinessSpan),
}

/// Counted only while the place is open.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct BusinessSpan {
    pub business: Span,
}

impl Within {
    /// The length, in whichever hours.
    #[must_use]
    pub fn span(self) -> Span {
        match self {
            Self::Clock(span) | Self::Business(BusinessSpan { business: span }) => span,
        }
    }

    /// Whether both are counted on the clock, or both in opening hours.
    #[must_use]
    pub fn same_hours(self, other: Self) -> bool {
        matches!(self, Self::Clock(_)) == matches!(other, Self::Clock(_))
    }
}

/// Read by hand, because the derived reader of untagged enums cannot say what is wrong.
impl<'de> Deserialize<'de> for Within {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Reader;
        impl<'de> de::Visitor<'de> for Reader {
            type Value = Within;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a length of time like 4h, or {business: 8h}")
            }
            fn visit_str<E: de::Error>(self, text: &str) -> Result<Within, E> {
                text.parse().map(Within::Clock).map_err(E::custom)
            }
            fn visit_map<A: de::MapAccess<'de>>(self, map: A) -> Result<Within, A::Error> {
                BusinessSpan::deserialize(de::value::MapAccessDeserializer::new(map)).map(Within::Business)
            }
        }
        deserializer.deserialize_any(Reader)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_span_reads_back_what_it_writes() {
        for (text, seconds, written) in [("4h", 14_400, "4h"), ("90m", 5_400, "1h30m"), ("1d12h", 129_600, "1d12h")] {
            let span: Span = text.parse().unwrap();
            assert_eq!((span.seconds(), span.to_string().as_str()), (seconds, written));
            assert_eq!(span.to_string().parse::<Span>().unwrap(), span);
        }
    }

    #[test]
    fn nonsense_is_refused() {
        for text in ["", "0s", "4", "h", "-4h", "4x", "4é", "367d", "99999999999h", "4294967295d"] {
            assert!(text.parse::<Span>().is_err(), "{text}");
        }
    }

    #[test]
    fn time_is_counted_on_the_clock_or_in_opening_hours() {
        let read = |text: &str| serde_json::from_str::<Within>(text);
        let eight = "8h".parse().unwrap();
        assert_eq!(read(r#""8h""#).unwrap(), Within::Clock(eight));
        let business = read(r#"{"business": "8h"}"#).unwrap();
        assert_eq!(business, Within::Business(BusinessSpan { business: eight }));
        assert_eq!(serde_json::to_string(&business).unwrap(), r#"{"business":"8h"}"#);
        assert!(read(r#"{"busines": "8h"}"#).unwrap_err().to_string().contains("busines"));
        assert!(read(r#""soon""#).unwrap_err().to_string().contains("4h"));
    }
}
