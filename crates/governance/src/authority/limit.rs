//! Limits: what one approval, and all approvals of a while, may come to.
//!
//! Which limits bind a person in a matter: those that name the person and cover it; where there are none, those of
//! their roles at its places, and of several roles the one that leaves most counts. Whom no limit names is bound by the policy alone.
//!
//! What counts against a rolling total: the value of every request at the moment this person approved it, or somebody
//! did on their authority, at most `within` ago. Nothing is given back, neither by a later denial nor by a grant that
//! lapses: the limit is about what a person lets pass, not about what comes of it.

use std::collections::BTreeSet;

use contracts::{Money, PersonId, money::Currency};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::{Convert, Matter, Scope, Unknown};
use crate::{Person, Role, Span, directory::HeldRole};

/// Whom a limit names.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Holder {
    Role(Role),
    Person(PersonId),
}

/// One limit, as the operator's file states it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(try_from = "RawLimit")]
pub struct Limit {
    /// Unique within the file.
    #[schema(example = "store-manager-purchases")]
    pub name: String,
    #[serde(flatten)]
    pub holder: Holder,
    pub scope: Scope,
    /// Highest value of one request, inclusive.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub per_request: Option<Money>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rolling: Option<Rolling>,
}

/// What all approvals of a while may come to, for each person by themselves.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Rolling {
    /// Inclusive.
    pub total: Money,
    /// Looking back from the moment of the decision; what lies exactly this far back no longer counts.
    #[schema(example = "30d")]
    pub within: Span,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawLimit {
    name: String,
    role: Option<Role>,
    person: Option<PersonId>,
    #[serde(default)]
    scope: Scope,
    per_request: Option<Money>,
    rolling: Option<Rolling>,
}

impl TryFrom<RawLimit> for Limit {
    type Error = String;
    fn try_from(raw: RawLimit) -> Result<Self, String> {
        let RawLimit { name, role, person, scope, per_request, rolling } = raw;
        let holder = match (role, person) {
            (Some(role), None) => Holder::Role(role),
            (None, Some(person)) => Holder::Person(person),
            _ => return Err(format!("limit {name:?} names either a role or a person")),
        };
        let amounts = [per_request, rolling.as_ref().map(|rolling| rolling.total)];
        if amounts.iter().flatten().any(|amount| amount.minor < 0) {
            return Err(format!("limit {name:?} is below zero"));
        }
        if amounts.iter().all(Option::is_none) {
            return Err(format!("limit {name:?} states neither per_request nor rolling"));
        }
        Ok(Self { name, holder, scope, per_request, rolling })
    }
}

/// An approval that a person gave, or that was given on their authority.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Given {
    pub matter: Matter,
    pub at: Timestamp,
}

/// How far a rolling total is used up.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Used {
    pub spent: Money,
    /// Never below zero.
    pub left: Money,
}

/// What a limit lacks for a request.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(tag = "why", rename_all = "snake_case")]
pub enum Lack {
    /// What is unknown is never taken for small.
    UnknownValue,
    /// No rate is stated to the limit's currency.
    NoRate {
        currency: Currency,
    },
    PerRequest {
        limit: Money,
    },
    Rolling {
        total: Money,
        left: Money,
        within: Span,
    },
}

/// A person's authority does not reach.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema, thiserror::Error)]
#[error("{}", self.sentence())]
pub struct OverLimit {
    /// Whose limit it is: the root's when somebody acts for them.
    pub person: PersonId,
    #[schema(example = "store-manager-purchases")]
    pub limit: String,
    pub lack: Lack,
}

impl OverLimit {
    fn sentence(&self) -> String {
        let Self { person, limit, lack } = self;
        match lack {
            Lack::UnknownValue => format!("limit {limit:?} of {person} needs a known value"),
            Lack::NoRate { currency } => {
                format!("limit {limit:?} of {person} is in {currency:?}, and no rate is stated")
            }
            Lack::PerRequest { limit: most } => format!("limit {limit:?} lets {person} approve at most {most} at once"),
            Lack::Rolling { total, left, within } => {
                format!("limit {limit:?} leaves {person} {left} of {total} within {within}")
            }
        }
    }

    /// Money that the limit would still let pass, to tell the widest of several.
    fn left(&self) -> i64 {
        match &self.lack {
            Lack::UnknownValue | Lack::NoRate { .. } => 0,
            Lack::PerRequest { limit } => limit.minor,
            Lack::Rolling { left, .. } => left.minor,
        }
    }
}

/// Whose authority does not reach, and whose does.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[error("{over}; {}", self.who())]
pub struct Beyond {
    pub over: OverLimit,
    /// Who may decide the open step and has the authority, as far as their budgets tell at this moment.
    pub could: Vec<PersonId>,
    /// They were called in, because of those whom the policy asks nobody has the authority.
    pub called_in: bool,
}

impl Beyond {
    fn who(&self) -> String {
        let names = self.could.iter().map(PersonId::as_str).collect::<Vec<_>>().join(" or ");
        match (self.could.is_empty(), self.called_in) {
            (true, _) => "nobody in the directory has the authority".to_owned(),
            (false, true) => format!("{names} had to be asked instead"),
            (false, false) => format!("{names} could"),
        }
    }
}

impl Limit {
    fn covers(&self, matter: &Matter) -> bool {
        self.scope.covers(matter, Unknown::Inside)
    }

    /// How much of the rolling total is spent; `None` for a limit without one. An amount that cannot be counted in the
    /// limit's currency uses up everything.
    #[must_use]
    pub fn used(&self, given: &[Given], now: Timestamp, convert: Convert<'_>) -> Option<Used> {
        let Rolling { total, within } = self.rolling.as_ref()?;
        // What a replica with a faster clock gave counts as well.
        let counts = |one: &&Given| within.after(one.at) > now && self.covers(&one.matter);
        let amounts = given.iter().filter(counts).map(|one| one.matter.value.and_then(|v| convert(v, total.currency)));
        let spent = amounts
            .fold(0_i64, |sum, amount| sum.saturating_add(amount.map_or(i64::MAX, |amount| amount.minor.max(0))));
        let money = |minor| Money::new(minor, total.currency);
        Some(Used { spent: money(spent), left: money(total.minor.saturating_sub(spent).max(0)) })
    }

    fn lacks(&self, matter: &Matter, given: &[Given], now: Timestamp, convert: Convert<'_>) -> Option<Lack> {
        let Some(value) = matter.value else { return Some(Lack::UnknownValue) };
        if let Some(limit) = self.per_request {
            match convert(value, limit.currency) {
                None => return Some(Lack::NoRate { currency: limit.currency }),
                Some(value) if value.minor > limit.minor => return Some(Lack::PerRequest { limit }),
                Some(_) => {}
            }
        }
        let (Some(Rolling { total, within }), Some(used)) = (&self.rolling, self.used(given, now, convert)) else {
            return None;
        };
        match convert(value, total.currency) {
            None => Some(Lack::NoRate { currency: total.currency }),
            Some(value) if value.minor > used.left.minor => {
                Some(Lack::Rolling { total: *total, left: used.left, within: *within })
            }
            Some(_) => None,
        }
    }
}

/// Whether a role is held at one of the matter's places; what is spent on its authority elsewhere is another's.
fn held_at(held: &HeldRole, matter: &Matter) -> bool {
    held.covers(&matter.from) || held.covers(&matter.to)
}

/// All limits of the file.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Limits<'a>(pub(crate) &'a [Limit]);

impl<'a> Limits<'a> {
    /// Groups of limits that bind the person in this matter: in one of them every limit must leave room.
    fn binding(self, person: &Person, matter: &Matter) -> Vec<Vec<&'a Limit>> {
        let of = |holder: &Holder| -> Vec<&'a Limit> {
            self.0.iter().filter(|limit| limit.holder == *holder && limit.covers(matter)).collect()
        };
        let own = of(&Holder::Person(person.id.clone()));
        if !own.is_empty() {
            return vec![own];
        }
        let group_of = |held: &[&HeldRole]| -> Vec<Vec<&'a Limit>> {
            let roles: BTreeSet<_> = held.iter().map(|held| &held.role).collect();
            let groups = roles.into_iter().map(|role| of(&Holder::Role(role.clone())));
            groups.filter(|group| !group.is_empty()).collect()
        };
        let here: Vec<_> = person.roles.iter().filter(|held| held_at(held, matter)).collect();
        match group_of(&here) {
            // Never without limits for being elsewhere: who may decide all the same does so within those of their roles.
            none if none.is_empty() => group_of(&person.roles.iter().collect::<Vec<_>>()),
            groups => groups,
        }
    }

    /// Whether the file states a limit for this person in such a matter, by name or in a role that they hold at one of
    /// its places: their authority is spelled out.
    pub(crate) fn bind(self, person: &Person, matter: &Matter) -> bool {
        self.0.iter().filter(|limit| limit.covers(matter)).any(|limit| match &limit.holder {
            Holder::Person(id) => *id == person.id,
            Holder::Role(role) => person.roles.iter().any(|held| held.role == *role && held_at(held, matter)),
        })
    }

    /// Every limit that may bind this person in some matter, in the order of the file.
    pub(crate) fn of(self, person: &Person) -> impl Iterator<Item = &'a Limit> {
        self.0.iter().filter(move |limit| match &limit.holder {
            Holder::Person(id) => *id == person.id,
            Holder::Role(role) => person.roles.iter().any(|held| held.role == *role),
        })
    }

    /// Whether this person may approve the matter, after what was given on their authority before.
    pub(crate) fn room(
        self,
        person: &Person,
        matter: &Matter,
        given: &[Given],
        now: Timestamp,
        convert: Convert<'_>,
    ) -> Result<(), OverLimit> {
        let mut widest: Option<OverLimit> = None;
        for group in self.binding(person, matter) {
            let lack = group.iter().find_map(|limit| {
                let lack = limit.lacks(matter, given, now, convert)?;
                Some(OverLimit { person: person.id.clone(), limit: limit.name.clone(), lack })
            });
            let Some(lack) = lack else { return Ok(()) };
            if widest.as_ref().is_none_or(|widest| lack.left() > widest.left()) {
                widest = Some(lack);
            }
        }
        widest.map_or(Ok(()), Err)
    }
}
