//! The table as it is written: plain data with one meaning per field.

use std::{collections::BTreeMap, fmt, ops::Deref, sync::Arc};

use contracts::{Digest, LocationId, RegionId, money::Currency};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::{
    conversion::Conversion,
    route::Input,
    step::{Then, Who},
};
use crate::{Kind, Span, drift::Tolerance};

/// One version of a policy. Parsed, it is well formed; [`Policy::check`] says whether it is also sensible.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Policy {
    /// Which policy this is a version of.
    #[schema(pattern = "^[a-z0-9_-]{1,64}$", example = "default")]
    pub policy: String,
    #[schema(minimum = 1)]
    pub version: u32,
    /// The currency of all conditions on values, and the rates of others. Without it a condition holds only for values
    /// in its own currency.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub money: Option<Conversion>,
    /// How long a grant can be used, unless the row says otherwise.
    pub grant_valid_for: Span,
    /// Facts that decisions rest on, by the kind of action, unless the row says otherwise.
    #[serde(default)]
    pub tolerances: BTreeMap<Kind, Vec<Tolerance>>,
    /// Whether who asked may also carry out what was approved, unless the row says otherwise.
    #[serde(default, skip_serializing_if = "RequesterExecutes::is_allowed")]
    pub requester_executes: RequesterExecutes,
    /// In order: the first row that matches wins.
    #[schema(min_items = 1, max_items = 500)]
    pub rows: Vec<Row>,
    /// The policy's own tests, run by [`Policy::check`].
    #[serde(default)]
    #[schema(max_items = 500)]
    pub cases: Vec<Case>,
}

/// Which version of which policy judged.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct PolicyRef {
    #[schema(example = "default")]
    pub id: String,
    pub version: u32,
    /// Of the canonical JSON of the whole policy.
    pub digest: Digest,
}

/// One row.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Row {
    /// Unique within the policy.
    pub name: RowName,
    /// The reason, for the people who are asked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(example = "The transfer takes stock from another region.")]
    pub why: Option<String>,
    /// All conditions must hold; none at all matches everything.
    #[serde(default)]
    pub when: When,
    pub then: Then,
    /// Why this row may pass requests of any value. A row with `auto_approve` has a limit in `when/value/below`, or
    /// says this.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(min_length = 3, max_length = 500)]
    pub uncapped: Option<String>,
    /// Later rows that this one goes before on purpose where both match: the check is silent about these.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schema(value_type = Vec<String>, max_items = 50)]
    pub shadows: Vec<RowName>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tolerances: Option<Vec<Tolerance>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub grant_valid_for: Option<Span>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub requester_executes: Option<RequesterExecutes>,
}

/// Whether who asked may also carry out what was approved. Whoever approved never may. A person stands behind a
/// request also when a program only said that it asks on their behalf.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum RequesterExecutes {
    #[default]
    Allowed,
    /// A program may carry out what it asked for itself, as a workflow does that asks and then acts; a person may not.
    ProgramsOnly,
    /// Neither a person nor a program: another key, or another person, carries it out.
    Refused,
}

impl RequesterExecutes {
    /// Left out where it is written, so that a document that says nothing keeps its digest.
    #[expect(clippy::trivially_copy_pass_by_ref, reason = "as serde calls it")]
    pub(crate) fn is_allowed(&self) -> bool {
        *self == Self::Allowed
    }
}

/// Name of a row. Cheap to clone, because every route names the rows it passed over.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RowName(Arc<str>);

impl RowName {
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl From<&str> for RowName {
    fn from(text: &str) -> Self {
        Self(text.into())
    }
}

impl Deref for RowName {
    type Target = str;

    fn deref(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for RowName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Serialize for RowName {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for RowName {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer).map(|text| Self(text.into()))
    }
}

impl utoipa::PartialSchema for RowName {
    fn schema() -> utoipa::openapi::RefOr<utoipa::openapi::schema::Schema> {
        use utoipa::openapi::schema::{ObjectBuilder, Type};
        ObjectBuilder::new().schema_type(Type::String).max_length(Some(100)).examples(["cross-region-transfer"]).into()
    }
}
impl utoipa::ToSchema for RowName {}

/// Conditions. An absent or empty one always holds; one on something that the request does not know never holds, so
/// that what is unknown is never taken for small or near.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct When {
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub kind: Vec<Kind>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub value: Option<ValueRange>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub category: Vec<String>,
    #[serde(default, skip_serializing_if = "RegionRule::is_empty")]
    pub region: RegionRule,
    #[serde(default, skip_serializing_if = "LocationRule::is_empty")]
    pub location: LocationRule,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub score: Option<ScoreRange>,
    /// Names of score bands.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub band: Vec<String>,
    /// Severities of the exception behind the request, 1 (low) to 4 (critical).
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schema(max_items = 4)]
    pub severity: Vec<u8>,
    /// Whether the article is on promotion, now or planned soon ([`Input::promotion`]).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub promotion: Option<bool>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub business_unit: Vec<String>,
}

/// Conditions on where the stock comes from and goes to. An action at one place has it as both.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct RegionRule {
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub from: Vec<RegionId>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub to: Vec<RegionId>,
    /// `true`: the regions differ; `false`: they are the same.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub crosses: Option<bool>,
}

impl RegionRule {
    pub(super) fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

/// Conditions on the locations that the stock comes from and goes to. An action at one place has it as both.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct LocationRule {
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub from: Vec<LocationId>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub to: Vec<LocationId>,
}

impl LocationRule {
    pub(super) fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

/// A half-open range of money in one currency. A value in another currency is converted by the policy's rates; where
/// there are none, it is not in the range.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ValueRange {
    pub currency: Currency,
    /// Minor units, inclusive.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub at_least: Option<i64>,
    /// Minor units, exclusive.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub below: Option<i64>,
}

/// A half-open range of scores.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ScoreRange {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub at_least: Option<Score>,
    /// Exclusive; leave it out for "up to and including 1".
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub below: Option<Score>,
}

/// A score in millionths, written as a decimal between 0 and 1 because people write policies.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Score(pub u32);

impl Score {
    /// The score 1.
    pub const ONE: Self = Self(1_000_000);
}

impl Serialize for Score {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_f64(f64::from(self.0) / f64::from(Self::ONE.0))
    }
}

impl<'de> Deserialize<'de> for Score {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let share = f64::deserialize(deserializer)?;
        if !(0.0..=1.0).contains(&share) {
            return Err(serde::de::Error::custom("a score is between 0 and 1"));
        }
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "within 0..=1_000_000 as checked")]
        Ok(Self((share * f64::from(Self::ONE.0)).round() as u32))
    }
}

impl utoipa::PartialSchema for Score {
    fn schema() -> utoipa::openapi::RefOr<utoipa::openapi::schema::Schema> {
        use utoipa::openapi::schema::{ObjectBuilder, Type};
        ObjectBuilder::new().schema_type(Type::Number).minimum(Some(0)).maximum(Some(1)).examples([0.7]).into()
    }
}
impl utoipa::ToSchema for Score {}

/// A test case of the policy.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Case {
    pub name: String,
    pub given: Input,
    pub expect: Expected,
}

/// What a case must come to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Expected {
    /// Name of the row that must win.
    pub row: String,
    /// Who must be asked, step by step; empty for a row that asks nobody.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub asks: Option<Vec<Who>>,
}
