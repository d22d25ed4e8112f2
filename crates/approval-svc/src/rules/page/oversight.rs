//! What stands out about a request, as its page shows it: one person approved it alone, or a pattern is suspected.

use chassis::prelude::Timestamp;
use governance::authority::{Pattern, Suspicion};
use serde::Serialize;

use super::{Names, Reader};
use crate::{
    rules::view::Oversight,
    store::{
        Stored,
        overrides::{Overridden, ReviewState, Verdict},
    },
};

/// What the template places.
#[derive(Debug, Serialize)]
pub(super) struct StandsOut {
    overridden: Option<OverrideView>,
    suspicions: Vec<SuspicionView>,
}

#[derive(Debug, Serialize)]
struct OverrideView {
    /// Who approved alone, in which role, and when.
    line: String,
    reason: String,
    ticket: String,
    /// What the review found, or who owes it until when.
    review: String,
    overdue: bool,
    /// Whether the reader may review it.
    reviews: bool,
}

#[derive(Debug, Serialize)]
struct SuspicionView {
    name: &'static str,
    summary: String,
}

impl StandsOut {
    /// `None` for most requests. Whoever asked is not told of what is suspected of them.
    pub(super) fn of(
        oversight: &Oversight,
        stored: &Stored,
        reader: &Reader<'_>,
        time: &impl Fn(Timestamp) -> String,
    ) -> Option<Self> {
        let suspicions = if stored.state.requester.is(reader.person) { &[] } else { oversight.suspicions.as_slice() };
        let overridden = oversight.overridden.as_ref().map(|done| OverrideView::of(done, stored, reader, time));
        let any = overridden.is_some() || !suspicions.is_empty();
        any.then(|| Self { overridden, suspicions: suspicions.iter().map(SuspicionView::of).collect() })
    }
}

impl OverrideView {
    fn of(done: &Overridden, stored: &Stored, reader: &Reader<'_>, time: &impl Fn(Timestamp) -> String) -> Self {
        let names = Names { directory: reader.directory };
        let (role, owes) = (spoken(done.role.as_str()), spoken(done.reviewer_role.as_str()));
        let review = match (&done.review, done.state) {
            (Some(review), _) => {
                let found = match review.verdict {
                    Verdict::Justified => "justified",
                    Verdict::Unjustified => "not justified",
                };
                let (who, at) = (names.person(&review.person), time(review.at));
                format!("{who} found it {found} on {at}: \u{201c}{}\u{201d}", review.comment)
            }
            (None, ReviewState::Overdue) => {
                format!("A review by {owes} was owed until {} and is overdue.", time(done.review_by))
            }
            (None, _) => format!("A review by {owes} is owed until {}.", time(done.review_by)),
        };
        let holds = reader.directory.holders(&done.reviewer_role, None).any(|holder| holder.id == *reader.person);
        let own = done.person == *reader.person || stored.state.requester.is(reader.person);
        let who = names.person(&done.person);
        Self {
            line: format!("{who} approved this alone, as {role}, on {}.", time(done.overridden_at)),
            reason: done.reason.clone(),
            ticket: done.ticket.clone(),
            review,
            overdue: done.state == ReviewState::Overdue,
            reviews: done.review.is_none() && holds && !own,
        }
    }
}

impl SuspicionView {
    fn of(suspicion: &Suspicion) -> Self {
        let name = match suspicion.pattern {
            Pattern::SplitPurchase => "Split purchase",
            Pattern::ReciprocalApprovals => "Approvals of each other",
            Pattern::ApproveThenEdit => "Changed after approval",
        };
        Self { name, summary: suspicion.evidence.summary.clone() }
    }
}

fn spoken(role: &str) -> String {
    role.replace('_', " ")
}
