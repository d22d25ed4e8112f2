//! When a step is due: by the policy, in opening hours where it counts those, and within the deadline of the business.

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};

use super::State;
use crate::{
    Within,
    calendar::{self, Calendar},
    policy::{AtTimeout, SiteOf, Step, Who},
};

/// Pinned when the request is opened, so that time passes the same however often it is replayed.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Timing {
    /// When the business needs the answer (truck cut-off, projected stock-out): nobody is asked beyond it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deadline: Option<Timestamp>,
    /// Opening hours of the place that the stock comes from; absent = always open.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<Calendar>,
    /// Opening hours of the place that it goes to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub to: Option<Calendar>,
}

impl Timing {
    pub(super) fn is_default(&self) -> bool {
        *self == Self::default()
    }

    /// Those of the approvers: of the place whose role is asked, of the receiver where the step names no place.
    fn calendar(&self, step: &Step) -> Option<&Calendar> {
        let from = |who: &Who| matches!(who, Who::Role(role) if role.at == SiteOf::From);
        if step.ask.alternatives().iter().any(from) { self.from.as_ref() } else { self.to.as_ref() }
    }
}

impl State {
    /// When a step that opened at `opened` times out, and when its people are reminded.
    ///
    /// Where the deadline leaves less time than the policy, everybody has the same share of what is left: an escalation
    /// that the policy asks for after two thirds of its time comes after two thirds of the shorter time.
    pub(super) fn dates(&self, step: &Step, opened: Timestamp) -> (Timestamp, Vec<Timestamp>) {
        let calendar = self.timing.calendar(step);
        let planned = calendar::after(step.decide_within, opened, calendar);
        let last = match &step.at_timeout {
            AtTimeout::Escalate(escalation) => calendar::after(escalation.within, planned, calendar),
            AtTimeout::Deny => planned,
        };
        let squeezed = self.timing.deadline.filter(|deadline| *deadline < last);
        let fit = |at: Timestamp| match squeezed {
            Some(deadline) => share(opened, at, last, deadline),
            None => at,
        };
        let decide_by = fit(planned);
        let mut reminders: Vec<_> =
            step.remind_after.all().iter().map(|after| fit(calendar::after(*after, opened, calendar))).collect();
        reminders.retain(|at| *at < decide_by);
        reminders.sort_unstable();
        (decide_by, reminders)
    }

    /// `within` from now, not beyond the deadline.
    pub(super) fn until(&self, within: Within, step: &Step, now: Timestamp) -> Timestamp {
        let until = calendar::after(within, now, self.timing.calendar(step));
        self.timing.deadline.map_or(until, |deadline| until.min(deadline))
    }

    /// Whether the deadline of the business has passed: it is too late to ask others.
    pub(super) fn past_deadline(&self, now: Timestamp) -> bool {
        self.timing.deadline.is_some_and(|deadline| now >= deadline)
    }
}

/// Where `at` comes to lie when the time from `start` to `end` is drawn together to end at `sooner`.
fn share(start: Timestamp, at: Timestamp, end: Timestamp, sooner: Timestamp) -> Timestamp {
    let length = |to: Timestamp| i128::from(to.as_microsecond()) - i128::from(start.as_microsecond());
    let (part, whole, left) = (length(at), length(end).max(1), length(sooner).max(0));
    let micros = i64::try_from(part * left / whole).unwrap_or(i64::MAX);
    start.checked_add(SignedDuration::from_micros(micros)).unwrap_or(Timestamp::MAX)
}
