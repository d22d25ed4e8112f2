//! A request that ended, as a replay will look at it.

use chassis::prelude::Timestamp;
use contracts::PersonId;
use governance::{
    Actor, State,
    policy::{
        Step, Then,
        simulate::{Asked, Outcome, Recorded},
    },
    request::{Decision, Ended, Verdict},
};

use crate::store::Stored;

/// What the policy asked for, with the time that each step took.
pub(crate) fn recorded(request: &Stored, ended: &Ended) -> Recorded {
    let then = &request.case.route.then;
    let mut outcome = Outcome::of(then);
    if let (Outcome::Asked(asked), Then::Steps(steps)) = (&mut outcome, then) {
        time_steps(asked, steps, &request.state, request.created_at, ended.at);
    }
    Recorded {
        id: request.id.clone(),
        input: request.case.input.clone(),
        row: request.case.route.row.clone(),
        outcome,
        requesters: requesters(&request.state),
        opened_at: request.created_at,
        ended_at: ended.at,
        how: ended.how,
    }
}

fn requesters(state: &State) -> Vec<PersonId> {
    let by = match &state.requester.by {
        Actor::Person { person } => Some(person),
        Actor::Service { .. } | Actor::Steward => None,
    };
    by.into_iter().chain(&state.requester.on_behalf_of).cloned().collect()
}

/// Steps that open together begin where those before them ended, and last until their last approval or the end.
fn time_steps(asked: &mut [Asked], steps: &[Step], state: &State, opened: Timestamp, ended: Timestamp) {
    // When this group of steps opened, and when the last of its steps ended.
    let (mut begins, mut group_ends, mut all_passed) = (opened, opened, true);
    for (i, (asked, step)) in asked.iter_mut().zip(steps).enumerate() {
        if !step.with_previous {
            if !all_passed {
                return;
            }
            begins = group_ends;
        }
        let counts = |decision: &&Decision| {
            let stands = decision.superseded_at.is_none() && !decision.ad_hoc;
            decision.step as usize == i && decision.verdict == Verdict::Approve && stands
        };
        let approvals = state.decisions.iter().filter(counts);
        let (count, last) = approvals.fold((0, begins), |(count, last), one| (count + 1, last.max(one.at)));
        let passed = count >= step.quorum;
        let ends = if passed { last } else { ended };
        asked.seconds = Some(u32::try_from(ends.duration_since(begins).as_secs().max(0)).unwrap_or(u32::MAX));
        group_ends = group_ends.max(ends);
        all_passed &= passed;
    }
}
