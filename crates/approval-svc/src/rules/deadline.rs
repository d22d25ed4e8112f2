//! The state machine with the business's own deadline: when a truck leaves at noon, nobody is asked beyond noon,
//! whatever the policy would still allow.

use governance::{
    Command, Directory, State,
    policy::AtTimeout,
    request::{Happened, Opening, Phase, Refused, Transition, Waiting},
};
use jiff::Timestamp;

/// [`State::open`] within the deadline.
pub(crate) fn open(opening: Opening, deadline: Option<Timestamp>, now: Timestamp, directory: &Directory) -> Transition {
    within(State::open(opening, now, directory), deadline)
}

/// [`State::apply`] within the deadline.
///
/// # Errors
/// As there.
pub(crate) fn apply(
    state: &State,
    command: &Command,
    deadline: Option<Timestamp>,
    now: Timestamp,
    directory: &Directory,
) -> Result<Transition, Refused> {
    let mut state = state.clone();
    if deadline.is_some_and(|deadline| now >= deadline) {
        // Too late to ask others: what would escalate is denied.
        state.steps.iter_mut().for_each(|step| step.at_timeout = AtTimeout::Deny);
    }
    Ok(within(state.apply(command, now, directory)?, deadline))
}

/// Draws every date back to the deadline.
fn within(mut transition: Transition, deadline: Option<Timestamp>) -> Transition {
    let Some(deadline) = deadline else { return transition };
    if let Phase::Waiting(waiting) = &mut transition.state.phase {
        waiting.decide_by = waiting.decide_by.min(deadline);
        waiting.remind_at = waiting.remind_at.map(|at| if at < waiting.decide_by { at } else { half_way(waiting) });
    }
    for happened in &mut transition.happened {
        match happened {
            Happened::StepOpened { decide_by, .. }
            | Happened::Escalated { decide_by, .. }
            | Happened::Reminded { decide_by, .. } => *decide_by = (*decide_by).min(deadline),
            Happened::Decided(_) | Happened::Ended(_) => {}
        }
    }
    transition
}

/// A reminder that would come too late comes with half of the time gone.
fn half_way(waiting: &Waiting) -> Timestamp {
    let half = waiting.decide_by.duration_since(waiting.opened_at) / 2;
    waiting.opened_at.checked_add(half).unwrap_or(waiting.decide_by)
}
