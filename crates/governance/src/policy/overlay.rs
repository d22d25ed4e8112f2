//! What one business unit does differently, and the book of a base policy with all its overlays.
//!
//! An overlay is a document of its own with its own versions. For requests of its business unit, and only for these, a
//! row with the name of a row of the base stands in that row's place; all other rows of the overlay go before the rows
//! of the base, in their order. Currency, rates, and what the rows leave unsaid (tolerances, the life of a grant, who
//! may use it) come from the base.

use std::{borrow::Cow, collections::BTreeMap};

use contracts::{Digest, FieldError};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{
    InvalidPolicy,
    check::{Finding, Rows},
    route::{Input, Route, Seen},
    table::{Case, Policy, PolicyRef, Row},
};
use crate::Directory;

/// One version of an overlay.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Overlay {
    /// Which overlay this is a version of.
    #[schema(pattern = "^[a-z0-9_-]{1,64}$", example = "pharmacy")]
    pub overlay: String,
    #[schema(minimum = 1)]
    pub version: u32,
    /// Id of the base policy that it lies over.
    #[schema(pattern = "^[a-z0-9_-]{1,64}$", example = "default")]
    pub over: String,
    /// The business unit it is for, as requests name it.
    #[schema(min_length = 1, max_length = 100, example = "pharmacy")]
    pub business_unit: String,
    /// None at all: the unit is judged by the base alone, which is how an overlay is taken away.
    #[serde(default)]
    #[schema(max_items = 500)]
    pub rows: Vec<Row>,
    /// Tests of what judges the unit: base and overlay together. The unit need not be repeated in them.
    #[serde(default)]
    #[schema(max_items = 500)]
    pub cases: Vec<Case>,
}

/// A document as it is published: a base policy, or an overlay.
#[derive(Clone, Debug, PartialEq, Serialize, utoipa::ToSchema)]
#[serde(untagged)]
pub enum Document {
    Policy(Policy),
    Overlay(Overlay),
}

impl Document {
    /// Reads YAML or JSON; what has the key `overlay` is an overlay.
    ///
    /// # Errors
    /// [`InvalidPolicy`].
    pub fn parse(text: &str) -> Result<Self, InvalidPolicy> {
        Self::from_json(serde_saphyr::from_str(text).map_err(InvalidPolicy::Syntax)?)
    }

    /// # Errors
    /// [`InvalidPolicy::Fields`].
    pub fn from_json(document: Value) -> Result<Self, InvalidPolicy> {
        if document.get("overlay").is_some() {
            Overlay::from_json(document).map(Self::Overlay)
        } else {
            Policy::from_json(document).map(Self::Policy)
        }
    }

    #[must_use]
    pub fn id(&self) -> &str {
        match self {
            Self::Policy(policy) => &policy.policy,
            Self::Overlay(overlay) => &overlay.overlay,
        }
    }

    #[must_use]
    pub fn version(&self) -> u32 {
        match self {
            Self::Policy(policy) => policy.version,
            Self::Overlay(overlay) => overlay.version,
        }
    }

    /// Which version this is. Costs a hash over the whole document: keep it.
    ///
    /// # Errors
    /// When the document has no JSON form, which a parsed one always has.
    pub fn reference(&self) -> Result<PolicyRef, serde_json::Error> {
        let digest = match self {
            Self::Policy(policy) => Digest::of(policy)?,
            Self::Overlay(overlay) => Digest::of(overlay)?,
        };
        Ok(PolicyRef { id: self.id().to_owned(), version: self.version(), digest })
    }
}

/// A base policy with its overlays: what requests are judged by.
#[derive(Clone, Debug)]
pub struct Rulebook {
    base: Policy,
    reference: PolicyRef,
    units: BTreeMap<String, Unit>,
}

/// What judges one business unit.
#[derive(Clone, Debug)]
struct Unit {
    overlay: Overlay,
    reference: PolicyRef,
    /// Base and overlay together, under the base's id and version.
    policy: Policy,
    /// For each row of `policy` its place in the overlay; `None` for a row of the base.
    own: Vec<Option<usize>>,
}

/// Why documents do not make a rulebook.
#[derive(Debug, thiserror::Error)]
pub enum InvalidRulebook {
    #[error("overlay {overlay} lies over policy {over}, but the base is {base}")]
    OtherBase { overlay: String, over: String, base: String },
    #[error("overlays {first} and {second} are both for business unit {unit:?}; there is one for each")]
    TwoOverlays { unit: String, first: String, second: String },
    #[error("a policy has no JSON form")]
    NoJson(#[from] serde_json::Error),
}

impl InvalidRulebook {
    /// The complaint below the document that is to be published.
    #[must_use]
    pub fn field_error(&self) -> FieldError {
        let pointer = match self {
            Self::OtherBase { .. } => "/over",
            Self::TwoOverlays { .. } => "/business_unit",
            Self::NoJson(_) => "",
        };
        FieldError::new(pointer, self.to_string())
    }
}

impl Rulebook {
    /// # Errors
    /// [`InvalidRulebook`].
    pub fn new(base: Policy, overlays: impl IntoIterator<Item = Overlay>) -> Result<Self, InvalidRulebook> {
        let reference = base.reference()?;
        let mut units: BTreeMap<String, Unit> = BTreeMap::new();
        for overlay in overlays {
            if overlay.over != base.policy {
                let Overlay { overlay, over, .. } = overlay;
                return Err(InvalidRulebook::OtherBase { overlay, over, base: base.policy });
            }
            if let Some(first) = units.get(&overlay.business_unit) {
                let first = first.overlay.overlay.clone();
                return Err(InvalidRulebook::TwoOverlays {
                    unit: overlay.business_unit,
                    first,
                    second: overlay.overlay,
                });
            }
            units.insert(overlay.business_unit.clone(), Unit::new(&base, overlay)?);
        }
        Ok(Self { base, reference, units })
    }

    #[must_use]
    pub fn base(&self) -> &Policy {
        &self.base
    }

    #[must_use]
    pub fn reference(&self) -> &PolicyRef {
        &self.reference
    }

    /// The overlays with their references, by business unit.
    pub fn overlays(&self) -> impl Iterator<Item = (&Overlay, &PolicyRef)> {
        self.units.values().map(|unit| (&unit.overlay, &unit.reference))
    }

    /// The same book with this version of a document instead of the one it has.
    ///
    /// # Errors
    /// [`InvalidRulebook`]; so also for a base policy of another id.
    pub fn with(&self, document: Document) -> Result<Self, InvalidRulebook> {
        let overlays = self.units.values().map(|unit| unit.overlay.clone());
        match document {
            Document::Policy(base) => Self::new(base, overlays),
            Document::Overlay(new) => {
                let others = overlays.filter(|overlay| overlay.overlay != new.overlay);
                Self::new(self.base.clone(), others.chain([new.clone()]))
            }
        }
    }

    /// The first row that matches decides, in the table of the request's business unit; where none does, the request is
    /// denied under [`super::NO_ROW`].
    #[must_use]
    pub fn route(&self, input: &Input) -> Route {
        let (policy, unit) = self.table(input);
        Route { overlay: unit.map(|unit| unit.reference.clone()), ..policy.route(&self.reference, input) }
    }

    /// The winning row alone, with the value in the policy's currency.
    pub(super) fn row_for<'a>(&'a self, input: &'a Input) -> (Option<&'a Row>, Seen<'a>) {
        let (policy, _) = self.table(input);
        let seen = policy.see(input);
        (policy.row_for(&seen), seen)
    }

    fn table(&self, input: &Input) -> (&Policy, Option<&Unit>) {
        let unit = input.business_unit.as_ref().and_then(|name| self.units.get(name));
        (unit.map_or(&self.base, |unit| &unit.policy), unit)
    }

    /// Everything that would surprise an author, in the base and in what judges each business unit.
    #[must_use]
    pub fn check(&self, directory: &Directory) -> Vec<Finding> {
        let mut findings = self.base.check(directory);
        for unit in self.units.values() {
            findings.extend(unit.check(directory));
        }
        findings
    }
}

impl Unit {
    fn new(base: &Policy, overlay: Overlay) -> Result<Self, InvalidRulebook> {
        let reference = Document::Overlay(overlay.clone()).reference()?;
        let replaced = |row: &Row| base.rows.iter().any(|other| other.name == row.name);
        let numbered = || overlay.rows.iter().enumerate();
        let mut rows: Vec<(Row, Option<usize>)> =
            numbered().filter(|(_, row)| !replaced(row)).map(|(i, row)| (row.clone(), Some(i))).collect();
        rows.extend(base.rows.iter().map(|row| {
            let own = numbered().find(|(_, own)| own.name == row.name);
            own.map_or_else(|| (row.clone(), None), |(i, own)| (own.clone(), Some(i)))
        }));
        let (rows, own) = rows.into_iter().unzip();
        let policy = Policy { rows, cases: Vec::new(), ..base.clone() };
        Ok(Self { overlay, reference, policy, own })
    }

    fn check(&self, directory: &Directory) -> Vec<Finding> {
        let unit = &self.overlay.business_unit;
        let rows = Rows { policy: &self.policy, own: Some(&self.own), unit: Some(unit) };
        let mut findings = rows.check(directory);
        if let Some(base) = self.policy.money.as_ref().map(|conversion| conversion.base) {
            findings.extend(self.overlay.rows.iter().enumerate().filter_map(|(i, row)| {
                let foreign = row.when.value.is_some_and(|range| range.currency != base);
                foreign.then(|| Finding::other_currency(i, row, base))
            }));
        }
        for (i, case) in self.overlay.cases.iter().enumerate() {
            let mut case = Cow::Borrowed(case);
            if case.given.business_unit.is_none() {
                case.to_mut().given.business_unit = Some(unit.clone());
            }
            findings.extend(self.policy.check_case(i, &case));
        }
        findings.into_iter().map(|finding| Finding { overlay: Some(self.overlay.overlay.clone()), ..finding }).collect()
    }
}
