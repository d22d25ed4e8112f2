//! From one request to its route, with the reasons.

use std::borrow::Cow;

use contracts::{Action, Digest, Facts, Money, facts::DailyDemand};
use serde::{Deserialize, Serialize};

use super::{
    conversion::{Conversion, Converted},
    step::Then,
    table::{Policy, PolicyRef, RequesterExecutes, Row, RowName, ScoreRange, ValueRange, When},
};
use crate::{Kind, Site, Span, drift::Tolerance};

/// Stands for the row where none matched; no row may have this name.
pub const NO_ROW: &str = "no-row";
/// How far ahead a planned promotion counts as one: an order that is decided now arrives in its time.
const PROMOTION_AHEAD_DAYS: f64 = 14.0;

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
    /// Of the exception behind the request, 1 (low) to 4 (critical).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(minimum = 1, maximum = 4)]
    pub severity: Option<u8>,
    /// Whether the article is on promotion in the last bucket of its history, or will be within 14 days after it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub promotion: Option<bool>,
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
    /// transfer, of the receiver. Score, band, severity and business unit are the caller's to add.
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
            severity: None,
            promotion: Some(on_promotion(&facts.demand)),
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

fn on_promotion(demand: &DailyDemand) -> bool {
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "1 to 14")]
    let soon = (PROMOTION_AHEAD_DAYS / demand.every.days()).ceil() as usize;
    demand.promotion.last().copied().unwrap_or_default() || demand.promotion_ahead.iter().take(soon).any(|on| *on)
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
    /// The overlay of the request's business unit, where there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub overlay: Option<PolicyRef>,
    /// Name of the row that won, or [`NO_ROW`].
    pub row: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub why: Option<String>,
    pub then: Then,
    /// Facts that the decision will rest on.
    pub tolerances: Vec<Tolerance>,
    pub grant_valid_for: Span,
    /// Goes into the grant, where the executor reads it.
    #[serde(default, skip_serializing_if = "RequesterExecutes::is_allowed")]
    pub requester_executes: RequesterExecutes,
    /// How the value was read; absent when it is in the policy's currency, or the policy states no conversion.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub converted: Option<Converted>,
    /// The rows above the winner, each with the first condition that did not hold.
    pub trace: Vec<Tried>,
}

/// A row that did not match.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Tried {
    pub row: RowName,
    /// Pointer to the first condition that did not hold, below the row.
    #[schema(value_type = String, example = "/when/value")]
    pub failed: Cow<'static, str>,
}

/// An input as the conditions see it: its value in the policy's currency, when it is known there.
#[derive(Clone, Copy)]
pub(super) struct Seen<'a> {
    pub(super) input: &'a Input,
    pub(super) value: Option<Money>,
}

impl<'a> Seen<'a> {
    /// A negative value is none: it would pass as small.
    pub(super) fn of(input: &'a Input, conversion: Option<&Conversion>) -> Self {
        let given = input.value.filter(|value| value.minor >= 0);
        let value = match conversion {
            Some(conversion) => given.and_then(|value| conversion.convert(value)),
            None => given,
        };
        Self { input, value }
    }
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
        let seen = self.see(input);
        let (won, trace) = self.first_match(&seen);
        let tolerances = won.and_then(|row| row.tolerances.as_ref()).or_else(|| self.tolerances.get(&input.kind));
        Route {
            policy: reference.clone(),
            overlay: None,
            row: won.map_or(NO_ROW, |row| &row.name).to_owned(),
            why: won.and_then(|row| row.why.clone()),
            then: won.map_or(Then::Deny, |row| row.then.clone()),
            tolerances: tolerances.cloned().unwrap_or_default(),
            grant_valid_for: won.and_then(|row| row.grant_valid_for).unwrap_or(self.grant_valid_for),
            requester_executes: won.and_then(|row| row.requester_executes).unwrap_or(self.requester_executes),
            converted: self.converted(&seen),
            trace,
        }
    }

    pub(super) fn see<'a>(&self, input: &'a Input) -> Seen<'a> {
        Seen::of(input, self.money.as_ref())
    }

    fn converted(&self, seen: &Seen<'_>) -> Option<Converted> {
        let (conversion, given) = (self.money.as_ref()?, seen.input.value?);
        (given.currency != conversion.base).then(|| Converted {
            value: seen.value,
            rate: conversion.rates.get(&given.currency).cloned(),
            as_of: conversion.as_of,
        })
    }

    pub(super) fn first_match(&self, seen: &Seen<'_>) -> (Option<&Row>, Vec<Tried>) {
        let mut trace = Vec::with_capacity(self.rows.len().min(64));
        for row in &self.rows {
            match row.when.first_failed(seen) {
                None => return (Some(row), trace),
                Some(failed) => trace.push(Tried { row: row.name.clone(), failed: Cow::Borrowed(failed) }),
            }
        }
        (None, trace)
    }

    /// The first row that matches, for who needs no trace.
    pub(super) fn row_for(&self, seen: &Seen<'_>) -> Option<&Row> {
        self.rows.iter().find(|row| row.when.first_failed(seen).is_none())
    }
}

impl When {
    /// Pointer to the first condition that does not hold; `None` when all hold.
    pub(super) fn first_failed(&self, seen: &Seen<'_>) -> Option<&'static str> {
        let (input, region, location) = (seen.input, &self.region, &self.location);
        // Lazily and the cheap ones first: most rows fail at the kind, and a table may have hundreds.
        let unless = |holds: bool, pointer| if holds { None } else { Some(pointer) };
        unless(one_of(&self.kind, Some(&input.kind)), "/when/kind")
            .or_else(|| unless(holds(self.value, seen.value, ValueRange::contains), "/when/value"))
            .or_else(|| unless(one_of(&self.category, input.category.as_ref()), "/when/category"))
            .or_else(|| unless(one_of(&region.from, input.from.region.as_ref()), "/when/region/from"))
            .or_else(|| unless(one_of(&region.to, input.to.region.as_ref()), "/when/region/to"))
            .or_else(|| unless(equals(region.crosses, || input.crosses()), "/when/region/crosses"))
            .or_else(|| unless(one_of(&location.from, input.from.location.as_ref()), "/when/location/from"))
            .or_else(|| unless(one_of(&location.to, input.to.location.as_ref()), "/when/location/to"))
            .or_else(|| unless(holds(self.score, input.score, ScoreRange::contains), "/when/score"))
            .or_else(|| unless(one_of(&self.band, input.band.as_ref()), "/when/band"))
            .or_else(|| unless(one_of(&self.severity, input.severity.as_ref()), "/when/severity"))
            .or_else(|| unless(equals(self.promotion, || input.promotion), "/when/promotion"))
            .or_else(|| unless(one_of(&self.business_unit, input.business_unit.as_ref()), "/when/business_unit"))
    }
}

fn equals(wanted: Option<bool>, found: impl FnOnce() -> Option<bool>) -> bool {
    wanted.is_none() || wanted == found()
}

fn holds<R, T>(range: Option<R>, found: Option<T>, contains: impl FnOnce(R, T) -> bool) -> bool {
    match (range, found) {
        (None, _) => true,
        (Some(range), Some(found)) => contains(range, found),
        (Some(_), None) => false,
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
