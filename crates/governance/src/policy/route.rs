//! From one request to its route, with the reasons.

use contracts::{Action, Digest, Facts, Money};
use serde::{Deserialize, Serialize};

use super::{
    step::Then,
    table::{Policy, PolicyRef, Row, ScoreRange, ValueRange, When},
};
use crate::{Kind, Site, Span, drift::Tolerance};

/// Stands for the row where none matched; no row may have this name.
pub const NO_ROW: &str = "no-row";

/// What a policy judges by. Everything but the kind may be unknown.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Input {
    pub kind: Kind,
    /// What the moved, bought or lost units cost.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub value: Option<Money>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub category: Option<String>,
    /// Where the stock comes from. An action at one place has it as `from` and as `to`.
    #[serde(default)]
    pub from: Site,
    #[serde(default)]
    pub to: Site,
    /// Millionths, as on the wire.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(maximum = 1_000_000)]
    pub score: Option<u32>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub band: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub business_unit: Option<String>,
}

/// The facts are not about the action.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the facts are about {facts}, the action is about {action} ({pointer})")]
pub struct CannotJudge {
    /// Where in the action.
    pub pointer: &'static str,
    pub action: String,
    pub facts: String,
}

impl Input {
    /// Takes everything the facts know of the action. The facts must be those of its product and location; for a
    /// transfer, of the receiver. Score, band and business unit are the caller's to add.
    ///
    /// # Errors
    /// [`CannotJudge`] when product or location differ.
    pub fn of(action: &Action, facts: &Facts) -> Result<Self, CannotJudge> {
        let same = |pointer, action: &str, facts: &str| {
            if action == facts {
                return Ok(());
            }
            Err(CannotJudge { pointer, action: action.to_owned(), facts: facts.to_owned() })
        };
        same("/product", action.product().as_str(), facts.product.as_str())?;
        if let Some(location) = action.location() {
            let pointer = if matches!(action, Action::WriteOff { .. }) { "/location" } else { "/to" };
            same(pointer, location.as_str(), facts.location.as_str())?;
        }
        let here = Site { location: Some(facts.location.clone()), region: facts.place.region.clone() };
        let from = match action {
            Action::Transfer { from, .. } => {
                let donor = facts.donors.iter().find(|donor| donor.location == *from);
                Site { location: Some(from.clone()), region: donor.and_then(|donor| donor.region.clone()) }
            }
            _ => here.clone(),
        };
        Ok(Self {
            kind: Kind::of(action),
            value: facts.item.unit_cost.and_then(|cost| times(cost, action.quantity())),
            category: facts.item.category.clone(),
            from,
            to: here,
            score: None,
            band: None,
            business_unit: None,
        })
    }

    /// Whether stock crosses from one region into another; unknown unless both regions are known.
    pub(super) fn crosses(&self) -> Option<bool> {
        match (self.kind, &self.from.region, &self.to.region) {
            (Kind::Transfer, Some(from), Some(to)) => Some(from != to),
            (Kind::Transfer, ..) => None,
            _ => Some(false),
        }
    }
}

/// Rounded up, so that a value never slips under a limit; `None` when it is no amount of money.
fn times(cost: Money, quantity: f64) -> Option<Money> {
    #[expect(clippy::cast_precision_loss, reason = "unit costs are far below 2^53 minor units")]
    let minor = (cost.minor as f64 * quantity).ceil();
    #[expect(clippy::cast_possible_truncation, reason = "checked to be within 2^53, where f64 is exact")]
    (minor.is_finite() && minor.abs() <= 9_007_199_254_740_992.0).then(|| Money::new(minor as i64, cost.currency))
}

/// The way a request has to go, pinned to the policy version that said so.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Route {
    pub policy: PolicyRef,
    /// Name of the row that won, or [`NO_ROW`].
    pub row: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub why: Option<String>,
    pub then: Then,
    /// Facts that the decision will rest on.
    pub tolerances: Vec<Tolerance>,
    pub grant_valid_for: Span,
    /// The rows above the winner, each with the first condition that did not hold.
    pub trace: Vec<Tried>,
}

/// A row that did not match.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Tried {
    pub row: String,
    /// Pointer to the first condition that did not hold, below the row.
    #[schema(example = "/when/value")]
    pub failed: String,
}

impl Policy {
    /// Which version this is. Costs a hash over the whole table: keep it.
    ///
    /// # Errors
    /// When the policy has no JSON form, which a parsed one always has.
    pub fn reference(&self) -> Result<PolicyRef, serde_json::Error> {
        Ok(PolicyRef { id: self.policy.clone(), version: self.version, digest: Digest::of(self)? })
    }

    /// The first row that matches decides; where none does, the request is denied under [`NO_ROW`].
    ///
    /// `reference` is this policy's own [`Policy::reference`].
    #[must_use]
    pub fn route(&self, reference: &PolicyRef, input: &Input) -> Route {
        let (won, trace) = self.first_match(input);
        let tolerances = won.and_then(|row| row.tolerances.as_ref()).or_else(|| self.tolerances.get(&input.kind));
        Route {
            policy: reference.clone(),
            row: won.map_or(NO_ROW, |row| &row.name).to_owned(),
            why: won.and_then(|row| row.why.clone()),
            then: won.map_or(Then::Deny, |row| row.then.clone()),
            tolerances: tolerances.cloned().unwrap_or_default(),
            grant_valid_for: won.and_then(|row| row.grant_valid_for).unwrap_or(self.grant_valid_for),
            trace,
        }
    }

    pub(super) fn first_match(&self, input: &Input) -> (Option<&Row>, Vec<Tried>) {
        let mut trace = Vec::new();
        for row in &self.rows {
            match row.when.first_failed(input) {
                None => return (Some(row), trace),
                Some(failed) => trace.push(Tried { row: row.name.clone(), failed: failed.to_owned() }),
            }
        }
        (None, trace)
    }
}

impl When {
    /// Pointer to the first condition that does not hold; `None` when all hold.
    pub(super) fn first_failed(&self, input: &Input) -> Option<&'static str> {
        let conditions = [
            ("/when/kind", one_of(&self.kind, Some(&input.kind))),
            ("/when/value", self.value.is_none_or(|range| input.value.is_some_and(|value| range.contains(value)))),
            ("/when/category", one_of(&self.category, input.category.as_ref())),
            ("/when/region/from", one_of(&self.region.from, input.from.region.as_ref())),
            ("/when/region/to", one_of(&self.region.to, input.to.region.as_ref())),
            ("/when/region/crosses", self.region.crosses.is_none_or(|crosses| input.crosses() == Some(crosses))),
            ("/when/score", self.score.is_none_or(|range| input.score.is_some_and(|score| range.contains(score)))),
            ("/when/band", one_of(&self.band, input.band.as_ref())),
            ("/when/business_unit", one_of(&self.business_unit, input.business_unit.as_ref())),
        ];
        conditions.into_iter().find(|(_, holds)| !holds).map(|(pointer, _)| pointer)
    }
}

fn one_of<T: PartialEq>(wanted: &[T], found: Option<&T>) -> bool {
    wanted.is_empty() || found.is_some_and(|found| wanted.contains(found))
}

impl ValueRange {
    pub(super) fn contains(self, value: Money) -> bool {
        value.currency == self.currency
            && self.at_least.is_none_or(|least| value.minor >= least)
            && self.below.is_none_or(|limit| value.minor < limit)
    }
}

impl ScoreRange {
    pub(super) fn contains(self, score: u32) -> bool {
        self.at_least.is_none_or(|least| score >= least.0) && self.below.is_none_or(|limit| score < limit.0)
    }
}
