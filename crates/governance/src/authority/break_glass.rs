//! Break-glass: approving alone what the policy would ask others about, with a debt that a second person settles.

use contracts::{Money, PersonId, events::DecidedBy};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::{Convert, Matter, Scope, Unknown};
use crate::{
    Directory, Role, Span, State,
    request::{End, Ended, Happened, Phase, Refused, Transition},
};

/// From this many overdue reviews on the cap is zero.
pub const MAX_OVERDUE_COUNTED: u32 = 4;

/// Who may override, up to what, and who looks at it afterwards.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct OverrideRule {
    pub role: Role,
    #[serde(default)]
    pub scope: Scope,
    /// Highest value of one override, inclusive.
    pub cap: Money,
    /// The second pair of eyes: holders of this role are told at once, and one of them reviews.
    pub reviewer: Role,
    #[schema(example = "1d")]
    pub review_within: Span,
}

/// What a role may override now.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Cap {
    pub stated: Money,
    /// Reviews of overrides in this role that are past their deadline.
    pub overdue: u32,
    /// `stated`, halved for each overdue review, and nothing from the fourth on.
    pub now: Money,
}

impl Cap {
    #[must_use]
    pub fn lowered(stated: Money, overdue: u32) -> Self {
        let minor = if overdue >= MAX_OVERDUE_COUNTED { 0 } else { stated.minor.max(0) >> overdue };
        Self { stated, overdue, now: Money::new(minor, stated.currency) }
    }
}

/// Why there is no override.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum OverrideRefused {
    #[error("{0} holds no role that may override this")]
    NoRule(PersonId),
    #[error("{role} may override up to {}, and the value is {}", cap.now, value.map_or("unknown".into(), |v| v.to_string()))]
    OverCap { role: Role, cap: Cap, value: Option<Money> },
    /// An override that nobody looks at afterwards is none.
    #[error("nobody else holds the role {0}, which reviews overrides of this")]
    NobodyReviews(Role),
    #[error(transparent)]
    Duty(#[from] Refused),
}

impl OverrideRule {
    fn held_by(&self, person: &PersonId, matter: &Matter, directory: &Directory) -> bool {
        let holds = |site| directory.holders(&self.role, Some(site)).any(|holder| holder.id == *person);
        self.scope.covers(matter, Unknown::Outside) && (holds(&matter.from) || holds(&matter.to))
    }
}

impl Directory {
    /// The rule under which this person may override, with its cap as it is now: the one that lets most pass.
    /// `overdue` counts a role's overdue reviews.
    ///
    /// # Errors
    /// [`OverrideRefused::NoRule`] or [`OverrideRefused::OverCap`].
    pub fn override_rule(
        &self,
        person: &PersonId,
        matter: &Matter,
        overdue: impl Fn(&Role) -> u32,
        convert: Convert<'_>,
    ) -> Result<(&OverrideRule, Cap), OverrideRefused> {
        let held = self.overrides().iter().filter(|rule| rule.held_by(person, matter, self));
        let rules = held.map(|rule| (rule, Cap::lowered(rule.cap, overdue(&rule.role))));
        let Some((rule, cap)) = rules.max_by_key(|(_, cap)| cap.now.minor) else {
            return Err(OverrideRefused::NoRule(person.clone()));
        };
        let value = matter.value.and_then(|value| convert(value, cap.now.currency));
        match value {
            Some(value) if value.minor <= cap.now.minor => Ok((rule, cap)),
            _ => Err(OverrideRefused::OverCap { role: rule.role.clone(), cap, value: matter.value }),
        }
    }
}

impl State {
    /// Ends a waiting request approved by one person's hand. Duties hold even here: whoever asked, acts for who asked,
    /// or asked for a related document does not override.
    ///
    /// # Errors
    /// [`Refused::Over`] or a breach of duty.
    pub fn overridden(
        &self,
        person: &PersonId,
        reason: String,
        now: Timestamp,
        directory: &Directory,
    ) -> Result<Transition, Refused> {
        if let Some(ended) = self.ended() {
            return Err(Refused::Over(ended.clone()));
        }
        self.free_of_duty(person, directory)?;
        let by = DecidedBy::People { people: vec![person.clone()] };
        let ended = Ended { how: End::Approved, at: now, by, comment: Some(reason) };
        let mut state = self.clone();
        state.version += 1;
        state.phase = Phase::Ended(ended.clone());
        Ok(Transition { state, happened: vec![Happened::Ended(ended)] })
    }
}
