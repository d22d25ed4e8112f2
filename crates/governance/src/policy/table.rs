//! The table as it is written: plain data with one meaning per field.

use std::collections::BTreeMap;

use contracts::{Digest, RegionId, money::Currency};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::{
    route::Input,
    step::{Then, Who},
};
use crate::{Kind, Span, drift::Tolerance};

/// One version of a policy. Parsed, it is well formed; [`Policy::check`] says whether it is also sensible.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Policy {
    /// Which policy this is a version of.
    #[schema(example = "default")]
    pub policy: String,
    #[schema(minimum = 1)]
    pub version: u32,
    /// How long a grant can be used, unless the row says otherwise.
    pub grant_valid_for: Span,
    /// Facts that decisions rest on, by the kind of action, unless the row says otherwise.
    #[serde(default)]
    pub tolerances: BTreeMap<Kind, Vec<Tolerance>>,
    /// In order: the first row that matches wins.
    pub rows: Vec<Row>,
    /// The policy's own tests, run by [`Policy::check`].
    #[serde(default)]
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
    #[schema(example = "cross-region-transfer")]
    pub name: String,
    /// The reason, for the people who are asked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(example = "The transfer takes stock from another region.")]
    pub why: Option<String>,
    /// All conditions must hold; none at all matches everything.
    #[serde(default)]
    pub when: When,
    pub then: Then,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tolerances: Option<Vec<Tolerance>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub grant_valid_for: Option<Span>,
}

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
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub score: Option<ScoreRange>,
    /// Names of score bands.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub band: Vec<String>,
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

/// A half-open range of money in one currency. A value in another currency is not in it.
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
