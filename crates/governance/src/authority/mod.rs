//! Authority: how much a person may approve, for whom else they may act, and what they must keep out of.
//!
//! A policy says who is asked. Authority can only take away from that: a [`Limit`] bounds what one approval, and all
//! approvals of a while, may come to; a [`Delegation`] lends a person's own standing to another, never more of it;
//! segregation of duties keeps requesters, and who acts for them, out of the approvers, along a whole chain of related
//! documents. [`suspicions`] sees what no single decision shows, and an [`OverrideRule`] says who may break the glass.

mod break_glass;
mod delegation;
mod limit;
mod pattern;

use std::collections::{BTreeMap, BTreeSet};

pub use break_glass::{Cap, MAX_OVERDUE_COUNTED, OverrideRefused, OverrideRule};
use contracts::{LocationId, Money, PersonId, RegionId, money::Currency};
pub use delegation::{Delegation, LONGEST_DELEGATION, MAX_DEPTH, Mandate, NotDelegable, mandates};
pub(crate) use limit::Limits;
pub use limit::{Beyond, Given, Holder, Lack, Limit, OverLimit, Rolling, Used};
pub use pattern::{Asked, Evidence, Past, Pattern, PatternRules, Suspicion, suspicions};
use serde::{Deserialize, Serialize};

use crate::{Kind, Site, policy::Input};

/// How amounts of another currency are compared: the stated rates of a policy, rounded against the spender. `None` when
/// no rate is stated; what cannot be compared is not within anybody's authority.
pub type Convert<'a> = &'a dyn Fn(Money, Currency) -> Option<Money>;

/// Without stated rates: only an amount of the same currency can be compared.
#[must_use]
pub fn same_currency(amount: Money, currency: Currency) -> Option<Money> {
    (amount.currency == currency).then_some(amount)
}

/// What a request is about, as far as limits and delegations ask.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Matter {
    pub kind: Kind,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub value: Option<Money>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub category: Option<String>,
    #[serde(default)]
    pub from: Site,
    #[serde(default)]
    pub to: Site,
}

impl From<&Input> for Matter {
    fn from(input: &Input) -> Self {
        Self {
            kind: input.kind,
            value: input.value,
            category: input.category.clone(),
            from: input.from.clone(),
            to: input.to.clone(),
        }
    }
}

/// What a limit or a delegation is about; an empty list does not narrow. A matter is inside by either of its ends.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Scope {
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schema(max_items = 4)]
    pub types: Vec<Kind>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schema(max_items = 100)]
    pub categories: Vec<String>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schema(max_items = 100)]
    pub regions: Vec<RegionId>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schema(max_items = 100)]
    pub locations: Vec<LocationId>,
}

/// How a scope takes what the matter does not know: always against who wants to approve. A limit takes it in, a
/// delegation leaves it out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Unknown {
    Inside,
    Outside,
}

/// Most entries of one list of a scope.
pub const MAX_SCOPE: usize = 100;

impl Scope {
    pub(crate) fn covers(&self, matter: &Matter, unknown: Unknown) -> bool {
        fn within<T: PartialEq>(wanted: &[T], found: &[Option<&T>], unknown: Unknown) -> bool {
            wanted.is_empty()
                || found.iter().any(|found| found.map_or(unknown == Unknown::Inside, |found| wanted.contains(found)))
        }
        within(&self.types, &[Some(&matter.kind)], unknown)
            && within(&self.categories, &[matter.category.as_ref()], unknown)
            && within(&self.regions, &[matter.from.region.as_ref(), matter.to.region.as_ref()], unknown)
            && within(&self.locations, &[matter.from.location.as_ref(), matter.to.location.as_ref()], unknown)
    }

    /// The first list of this scope that reaches beyond `other`.
    pub(crate) fn wider_than(&self, other: &Self) -> Option<&'static str> {
        fn within<T: PartialEq>(inner: &[T], outer: &[T]) -> bool {
            outer.is_empty() || (!inner.is_empty() && inner.iter().all(|one| outer.contains(one)))
        }
        [
            ("types", within(&self.types, &other.types)),
            ("categories", within(&self.categories, &other.categories)),
            ("regions", within(&self.regions, &other.regions)),
            ("locations", within(&self.locations, &other.locations)),
        ]
        .into_iter()
        .find_map(|(name, within)| (!within).then_some(name))
    }

    /// The first list with too many entries.
    #[must_use]
    pub fn too_long(&self) -> Option<&'static str> {
        let lists = [
            ("types", self.types.len()),
            ("categories", self.categories.len()),
            ("regions", self.regions.len()),
            ("locations", self.locations.len()),
        ];
        lists.into_iter().find_map(|(name, len)| (len > MAX_SCOPE).then_some(name))
    }
}

/// What counts for one request at one moment, beyond the roles that the file states. The [`crate::Directory`] carries
/// it into the state machine: see [`crate::Directory::for_matter`].
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Standing {
    /// Who may act for whom in this matter now.
    pub mandates: Vec<Mandate>,
    /// Who asked for a related document, and which: in one chain nobody is requester here and approver there.
    pub barred: BTreeMap<PersonId, String>,
    /// Who was called in to a step because those whom the policy asks lack the authority.
    pub called_in: BTreeSet<(u32, PersonId)>,
    /// Whose limits leave no room for this matter, of those on whose authority the deciding person may act.
    pub short: BTreeMap<PersonId, OverLimit>,
}

impl Standing {
    /// On whose authority this person may act beside their own, in the order of the delegations.
    pub fn roots<'a>(&'a self, actor: &'a PersonId) -> impl Iterator<Item = &'a PersonId> {
        self.mandates.iter().filter(move |mandate| mandate.actor == *actor).map(|mandate| &mandate.root)
    }
}
