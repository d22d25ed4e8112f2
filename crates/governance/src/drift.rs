//! Approve what you saw: which facts a decision rests on, and how far they may move before it no longer stands.
//!
//! A place in the facts is written as a JSON pointer (RFC 6901) with two additions. `[location=store-2]` as a segment
//! picks the element of an array whose field has that text, because donors have no stable index. `{from}` and the other
//! identifiers of the action ([`Kind::identifiers`]) stand for their values:
//!
//! `/donors/[location={from}]/stock/on_hand`

use std::fmt;

use contracts::{Action, Digest};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::Value;

use crate::Kind;

/// How far a number may go in one direction. In JSON `5` is units, `"20%"` a share of the approved value, `"any"` no
/// limit.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Allowed {
    Any,
    /// In the units of the fact; 0 = not at all.
    Absolute(f64),
    /// Share of the approved value: 0.2 for 20 %.
    Relative(f64),
}

impl Default for Allowed {
    fn default() -> Self {
        Self::Absolute(0.0)
    }
}

impl Allowed {
    fn admits(self, approved: f64, by: f64) -> bool {
        // Sums and products of decimals are off by a few last digits; that is not drift.
        let noise = approved.abs().max(1.0) * 1e-9;
        match self {
            Self::Any => true,
            Self::Absolute(units) => by <= units + noise,
            Self::Relative(share) => by <= share * approved.abs() + noise,
        }
    }
}

impl fmt::Display for Allowed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Any => f.write_str("any"),
            Self::Absolute(units) => write!(f, "{units}"),
            // Rounded so that 0.07 does not read back as 7.000000000000001 %.
            Self::Relative(share) => write!(f, "{}%", (share * 1e8).round() / 1e6),
        }
    }
}

impl Serialize for Allowed {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Absolute(units) => serializer.serialize_f64(*units),
            other => serializer.collect_str(other),
        }
    }
}

impl<'de> Deserialize<'de> for Allowed {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(untagged)]
        enum Raw {
            Number(f64),
            Text(String),
        }
        let allowed = match Raw::deserialize(deserializer)? {
            Raw::Number(units) => Some(Self::Absolute(units)),
            Raw::Text(text) if text == "any" => Some(Self::Any),
            Raw::Text(text) => {
                text.strip_suffix('%').and_then(|n| n.trim().parse::<f64>().ok()).map(|n| Self::Relative(n / 100.0))
            }
        };
        match allowed {
            Some(allowed @ (Self::Absolute(n) | Self::Relative(n))) if n.is_finite() && n >= 0.0 => Ok(allowed),
            Some(Self::Any) => Ok(Self::Any),
            _ => Err(serde::de::Error::custom("must be a number >= 0, a share like \"20%\" or \"any\"")),
        }
    }
}

impl utoipa::PartialSchema for Allowed {
    fn schema() -> utoipa::openapi::RefOr<utoipa::openapi::schema::Schema> {
        use utoipa::openapi::schema::{ObjectBuilder, OneOfBuilder, Type};
        OneOfBuilder::new()
            .item(ObjectBuilder::new().schema_type(Type::Number).minimum(Some(0)))
            .item(ObjectBuilder::new().schema_type(Type::String).pattern(Some("^(any|[0-9.]+ ?%)$")))
            .examples(["20%"])
            .into()
    }
}
impl utoipa::ToSchema for Allowed {}

/// One fact that a policy binds decisions to.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Tolerance {
    /// Where in the facts; see the module's text for the form.
    #[schema(example = "/donors/[location={from}]/stock/on_hand")]
    pub pointer: String,
    #[serde(default)]
    pub rise: Allowed,
    #[serde(default)]
    pub fall: Allowed,
}

/// The value of a fact. Only scalars are compared by size; of a list or an object the digest must stay the same.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(untagged)]
pub enum Fact {
    Number(f64),
    Flag(bool),
    Text(String),
    /// Not in the facts.
    Absent,
}

impl fmt::Display for Fact {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Number(n) => write!(f, "{n}"),
            Self::Flag(flag) => write!(f, "{flag}"),
            Self::Text(text) => f.write_str(text),
            Self::Absent => f.write_str("absent"),
        }
    }
}

/// One fact as it was approved, and how far it may move. Travels inside the grant.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Bound {
    /// As in the policy, with the action's fields filled in.
    #[schema(example = "/donors/[location=store-2]/stock/on_hand")]
    pub pointer: String,
    pub approved: Fact,
    pub rise: Allowed,
    pub fall: Allowed,
}

/// One fact that has moved too far.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Drifted {
    pub pointer: String,
    pub approved: Fact,
    pub current: Fact,
    pub rise: Allowed,
    pub fall: Allowed,
}

impl fmt::Display for Drifted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} was {} and is {}", self.pointer, self.approved, self.current)?;
        match &self.approved {
            Fact::Number(_) => write!(f, " (may rise by {}, fall by {})", self.rise, self.fall),
            _ => Ok(()),
        }
    }
}

/// Why a pointer cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidPointer {
    #[error("{0:?} does not start with /")]
    NotAPointer(String),
    #[error("{pointer:?}: a segment in brackets is written [field=value], not {segment:?}")]
    Selector { pointer: String, segment: String },
    #[error("{pointer:?}: {{{variable}}} is no identifier of a {kind:?}")]
    Variable { pointer: String, variable: String, kind: Kind },
}

/// Replaces each `{name}` by what `value` has for it.
fn fill(pointer: &str, kind: Kind, value: impl Fn(&str) -> Option<String>) -> Result<String, InvalidPointer> {
    let mut filled = String::with_capacity(pointer.len());
    let mut rest = pointer;
    while let Some((before, tail)) = rest.split_once('{') {
        let closed = tail.split_once('}');
        let (name, after) = closed.unwrap_or((tail, ""));
        let known = (closed.is_some() && kind.identifiers().contains(&name)).then(|| value(name)).flatten();
        let (pointer, variable) = (pointer.to_owned(), name.to_owned());
        let value = known.ok_or(InvalidPointer::Variable { pointer, variable, kind })?;
        filled.extend([before, &value]);
        rest = after;
    }
    filled.push_str(rest);
    Ok(filled)
}

enum Segment<'a> {
    Key(&'a str),
    Where { field: &'a str, value: &'a str },
}

/// Identifiers hold neither `/` nor `]`, so a filled pointer splits at every slash.
fn segments(pointer: &str) -> Result<Vec<Segment<'_>>, InvalidPointer> {
    let rest = pointer.strip_prefix('/').ok_or_else(|| InvalidPointer::NotAPointer(pointer.to_owned()))?;
    let parse = |segment| match str::strip_prefix(segment, '[') {
        None => Ok(Segment::Key(segment)),
        Some(open) => open
            .strip_suffix(']')
            .and_then(|inner| inner.split_once('='))
            .map(|(field, value)| Segment::Where { field, value })
            .ok_or_else(|| InvalidPointer::Selector { pointer: pointer.to_owned(), segment: segment.to_owned() }),
    };
    rest.split('/').map(parse).collect()
}

fn look_up<'v>(facts: &'v Value, pointer: &str) -> Result<Option<&'v Value>, InvalidPointer> {
    let step = |value: Option<&'v Value>, segment: &Segment<'_>| match (value?, segment) {
        (Value::Object(fields), Segment::Key(key)) => fields.get(&key.replace("~1", "/").replace("~0", "~")),
        (Value::Array(items), Segment::Key(index)) => items.get(index.parse::<usize>().ok()?),
        (Value::Array(items), Segment::Where { field, value }) => {
            items.iter().find(|item| item.get(field).and_then(Value::as_str) == Some(value))
        }
        _ => None,
    };
    Ok(segments(pointer)?.iter().fold(Some(facts), step))
}

fn fact(facts: &Value, pointer: &str) -> Result<Fact, InvalidPointer> {
    Ok(match look_up(facts, pointer)? {
        None | Some(Value::Null) => Fact::Absent,
        Some(Value::Number(number)) => number.as_f64().map_or_else(|| Fact::Text(number.to_string()), Fact::Number),
        Some(Value::Bool(flag)) => Fact::Flag(*flag),
        Some(Value::String(text)) => Fact::Text(text.clone()),
        // A parsed JSON value always has a canonical form; were there ever none, it would compare unequal to all.
        Some(other) => Fact::Text(Digest::of(other).map_or_else(|e| e.to_string(), |digest| digest.to_string())),
    })
}

/// Whether the pointer can be filled and read for this kind of action, whatever the facts.
///
/// # Errors
/// [`InvalidPointer`].
pub fn check_pointer(pointer: &str, kind: Kind) -> Result<(), InvalidPointer> {
    segments(&fill(pointer, kind, |name| Some(name.to_owned()))?).map(|_| ())
}

/// Takes down the facts that a decision on `action` rests on. What the facts do not have is bound as absent: should it
/// appear, that is drift as well.
///
/// # Errors
/// [`InvalidPointer`]; a checked policy yields none.
pub fn bind(facts: &Value, action: &Action, tolerances: &[Tolerance]) -> Result<Vec<Bound>, InvalidPointer> {
    let fields = serde_json::to_value(action).unwrap_or_default();
    let field = |name: &str| fields.get(name).and_then(Value::as_str).map(str::to_owned);
    let bind = |tolerance: &Tolerance| {
        let pointer = fill(&tolerance.pointer, Kind::of(action), field)?;
        let approved = fact(facts, &pointer)?;
        Ok(Bound { pointer, approved, rise: tolerance.rise, fall: tolerance.fall })
    };
    tolerances.iter().map(bind).collect()
}

/// The bound facts that have moved further than allowed; empty when the decision still stands.
///
/// # Errors
/// [`InvalidPointer`] when a bound was not made by [`bind`].
pub fn drift(bounds: &[Bound], current: &Value) -> Result<Vec<Drifted>, InvalidPointer> {
    let mut drifted = Vec::new();
    for bound in bounds {
        let now = fact(current, &bound.pointer)?;
        let stands = match (&bound.approved, &now) {
            (Fact::Number(was), Fact::Number(is)) if is >= was => bound.rise.admits(*was, is - was),
            (Fact::Number(was), Fact::Number(is)) => bound.fall.admits(*was, was - is),
            (was, is) => was == is,
        };
        if !stands {
            let Bound { pointer, approved, rise, fall } = bound.clone();
            drifted.push(Drifted { pointer, approved, current: now, rise, fall });
        }
    }
    Ok(drifted)
}
