//! Delegation: lending one's own standing for a while.

use contracts::{Money, PersonId};
use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};

use super::{Convert, Matter, Scope, Unknown};
use crate::Directory;

/// Hands through which authority may pass: a delegate, and once more a delegate of theirs.
pub const MAX_DEPTH: u32 = 2;
/// Longest window; whoever is away longer hands their role over.
pub const LONGEST_DELEGATION: SignedDuration = SignedDuration::from_hours(366 * 24);

/// One person acts for another from `starts_at` until, but not at, `ends_at`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Delegation {
    pub id: String,
    pub delegator: PersonId,
    pub delegate: PersonId,
    /// The delegation that is passed on; absent when the delegator lends their own authority.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub parent: Option<String>,
    #[serde(default)]
    pub scope: Scope,
    /// Highest value of one request, inclusive. Absent: whatever the delegator may approve.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub value_cap: Option<Money>,
    pub starts_at: Timestamp,
    /// First instant at which it counts no longer.
    pub ends_at: Timestamp,
    /// The delegator is not told of requests meanwhile; they may still decide.
    #[serde(default)]
    pub out_of_office: bool,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub revoked_at: Option<Timestamp>,
}

/// Why a delegation is not taken.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotDelegable {
    #[error("the directory knows no {0}")]
    UnknownPerson(PersonId),
    #[error("{0} holds no role, so there is nothing to lend")]
    NothingToLend(PersonId),
    #[error("nobody needs a delegation to themselves")]
    ToOneself,
    #[error("the window must end after it starts and after now, and be at most 366 days long")]
    Window,
    #[error("{field} reaches beyond what the delegator has: {own}")]
    WiderThanOwn { field: &'static str, own: String },
    #[error("there is no delegation {0} to the delegator that is in force")]
    NoSuchParent(String),
    #[error("authority passes through at most {MAX_DEPTH} hands; delegation {0} has been passed on already")]
    TooDeep(String),
    #[error("authority of {0} passes to the delegator within this window already and must not go round in a circle")]
    Circle(PersonId),
}

impl NotDelegable {
    /// The field of a delegation that is wrong, as a JSON pointer.
    #[must_use]
    pub fn pointer(&self) -> String {
        match self {
            Self::UnknownPerson(_) | Self::ToOneself | Self::Circle(_) => "/delegate".into(),
            Self::NothingToLend(_) => "/delegator".into(),
            Self::Window => "/ends_at".into(),
            Self::WiderThanOwn { field, .. } => format!("/{field}"),
            Self::NoSuchParent(_) | Self::TooDeep(_) => "/parent".into(),
        }
    }
}

impl Delegation {
    /// Whether it counts at this instant.
    #[must_use]
    pub fn is_open(&self, now: Timestamp) -> bool {
        self.revoked_at.is_none() && self.starts_at <= now && now < self.ends_at
    }

    fn covers(&self, matter: &Matter, convert: Convert<'_>) -> bool {
        let capped = self.value_cap.is_none_or(|cap| {
            let value = matter.value.and_then(|value| convert(value, cap.currency));
            value.is_some_and(|value| value.minor <= cap.minor)
        });
        capped && self.scope.covers(matter, Unknown::Outside)
    }

    fn overlaps(&self, other: &Self) -> bool {
        self.starts_at < other.ends_at && other.starts_at < self.ends_at
    }

    /// Whether this delegation may be added to those that exist.
    ///
    /// Being lent is not being given: whatever is admitted here, the decision is judged again by what the root has at
    /// that moment. What is refused here would only mislead.
    ///
    /// # Errors
    /// [`NotDelegable`], the first reason met.
    pub fn admit(&self, existing: &[Self], directory: &Directory, now: Timestamp) -> Result<(), NotDelegable> {
        let known = |id: &PersonId| directory.person(id).ok_or_else(|| NotDelegable::UnknownPerson(id.clone()));
        let (delegator, _) = (known(&self.delegator)?, known(&self.delegate)?);
        if self.delegator == self.delegate {
            return Err(NotDelegable::ToOneself);
        }
        let long = self.ends_at.duration_since(self.starts_at);
        if long <= SignedDuration::ZERO || long > LONGEST_DELEGATION || self.ends_at <= now {
            return Err(NotDelegable::Window);
        }
        match &self.parent {
            Some(parent) => self.admit_under(parent, existing)?,
            None => {
                if delegator.roles.is_empty() {
                    return Err(NotDelegable::NothingToLend(self.delegator.clone()));
                }
                self.admit_own(directory)?;
            }
        }
        let alive: Vec<_> = existing.iter().filter(|one| one.revoked_at.is_none() && one.overlaps(self)).collect();
        if reaches(&alive, &self.delegate, &self.delegator) {
            return Err(NotDelegable::Circle(self.delegate.clone()));
        }
        Ok(())
    }

    /// Within the delegation that is passed on, field by field.
    fn admit_under(&self, parent: &str, existing: &[Self]) -> Result<(), NotDelegable> {
        let found = existing.iter().find(|one| one.id == parent && one.revoked_at.is_none());
        let Some(parent) = found.filter(|one| one.delegate == self.delegator) else {
            return Err(NotDelegable::NoSuchParent(parent.to_owned()));
        };
        if parent.parent.is_some() {
            return Err(NotDelegable::TooDeep(parent.id.clone()));
        }
        let wider = |field, own: String| Err(NotDelegable::WiderThanOwn { field, own });
        if self.starts_at < parent.starts_at {
            return wider("starts_at", parent.starts_at.to_string());
        }
        if self.ends_at > parent.ends_at {
            return wider("ends_at", parent.ends_at.to_string());
        }
        if let Some(list) = self.scope.wider_than(&parent.scope) {
            return wider(scope_field(list), format!("{:?}", parent.id));
        }
        match (self.value_cap, parent.value_cap) {
            (None, Some(own)) => wider("value_cap", own.to_string()),
            (Some(cap), Some(own)) if cap.currency != own.currency || cap.minor > own.minor => {
                wider("value_cap", own.to_string())
            }
            _ => Ok(()),
        }
    }

    /// Within the places of the delegator's roles, where all of them are bound to places.
    fn admit_own(&self, directory: &Directory) -> Result<(), NotDelegable> {
        let roles = directory.person(&self.delegator).map_or(&[][..], |person| &person.roles);
        let named = |own: Vec<String>| own.join(", ");
        if let Some(locations) = roles.iter().map(|held| held.location.as_ref()).collect::<Option<Vec<_>>>()
            && self.scope.locations.iter().any(|location| !locations.contains(&location))
        {
            let own = named(locations.iter().map(ToString::to_string).collect());
            return Err(NotDelegable::WiderThanOwn { field: "scope/locations", own });
        }
        if let Some(regions) = roles.iter().map(|held| held.region.as_ref()).collect::<Option<Vec<_>>>()
            && self.scope.regions.iter().any(|region| !regions.contains(&region))
        {
            let own = named(regions.iter().map(ToString::to_string).collect());
            return Err(NotDelegable::WiderThanOwn { field: "scope/regions", own });
        }
        Ok(())
    }
}

fn scope_field(list: &'static str) -> &'static str {
    match list {
        "types" => "scope/types",
        "categories" => "scope/categories",
        "regions" => "scope/regions",
        _ => "scope/locations",
    }
}

/// Whether authority passes from one person to another along these delegations.
fn reaches(alive: &[&Delegation], from: &PersonId, to: &PersonId) -> bool {
    let mut seen = vec![from];
    let mut next = 0;
    while let Some(person) = seen.get(next).copied() {
        if person == to {
            return true;
        }
        for one in alive.iter().filter(|one| one.delegator == *person) {
            if !seen.contains(&&one.delegate) {
                seen.push(&one.delegate);
            }
        }
        next += 1;
    }
    false
}

/// Somebody may act for somebody else: `actor` on the authority of `root`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Mandate {
    pub root: PersonId,
    pub actor: PersonId,
    /// Ids of the delegations, from the root's on.
    pub path: Vec<String>,
    pub out_of_office: bool,
}

/// Who may act for whom in this matter now: along delegations that are all in force and that all cover it.
#[must_use]
pub fn mandates(delegations: &[Delegation], matter: &Matter, now: Timestamp, convert: Convert<'_>) -> Vec<Mandate> {
    let counts = |one: &&Delegation| one.is_open(now) && one.covers(matter, convert);
    let open: Vec<_> = delegations.iter().filter(counts).collect();
    let mandate = |one: &&Delegation| {
        let Some(parent) = &one.parent else {
            let path = vec![one.id.clone()];
            let (root, actor) = (one.delegator.clone(), one.delegate.clone());
            return Some(Mandate { root, actor, path, out_of_office: one.out_of_office });
        };
        let parent = open
            .iter()
            .find(|above| above.id == *parent && above.parent.is_none() && above.delegate == one.delegator)?;
        let (root, actor) = (parent.delegator.clone(), one.delegate.clone());
        let path = vec![parent.id.clone(), one.id.clone()];
        (root != actor).then_some(Mandate { root, actor, path, out_of_office: parent.out_of_office })
    };
    open.iter().filter_map(mandate).collect()
}
