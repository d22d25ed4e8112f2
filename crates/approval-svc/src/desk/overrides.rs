//! Breaking the glass: one person approves alone, others are told at once, and somebody owes a look at it.

use chassis::prelude::{Cx, StoreError, Timestamp, Tx};
use contracts::{
    PersonId,
    events::{ApprovalOverridden, OverrideUnreviewed},
};
use governance::{
    Directory,
    authority::{Cap, Matter, OverrideRefused, OverrideRule},
    grant::Override,
    request::Transition,
};
use serde_json::json;
use sqlx::AnyConnection;

use super::{Desk, DeskError, authority::requester_names, subject};
use crate::{
    rules::{claims, view::Oversight},
    store::{
        self, IssuedGrant, Stored, authority as book,
        overrides::{self as ledger, Overridden, ReviewState, Verdict},
    },
};

/// Debts told of in one turn.
const TURN: u32 = 100;

/// Who breaks the glass, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Breaking {
    pub(crate) person: PersonId,
    pub(crate) reason: String,
    pub(crate) ticket: String,
}

/// Why somebody does not review.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum ReviewRefused {
    #[error("{0} overrode it or asked for it, so somebody else reviews")]
    OwnOverride(PersonId),
    #[error("{person} does not hold the role {needs}, which reviews this")]
    NotReviewer { person: PersonId, needs: String },
    #[error("a review says what was found")]
    CommentNeeded,
    #[error("{} found it {:?} at {}", .0.person, .0.verdict, .0.at)]
    Reviewed(ledger::Review),
}

impl Desk {
    /// Approves a waiting request by one person's hand. The same person again finds it done.
    ///
    /// # Errors
    /// [`DeskError`]; a refusal leaves its audit leaf.
    pub(crate) async fn break_glass(&self, cx: &Cx, id: &str, breaking: &Breaking) -> Result<Stored, DeskError> {
        let mut tx = cx.store().begin().await?;
        let outcome = self.break_glass_in(&mut tx, id, breaking).await;
        if let Err(DeskError::Override(refused)) = &outcome {
            let details = json!({"detail": refused.to_string(), "ticket": breaking.ticket});
            let actor = format!("person:{}", breaking.person);
            tx.audit(&actor, "approval.override_refused", &subject(id), details).await?;
        }
        if matches!(outcome, Ok(_) | Err(DeskError::Override(_))) {
            tx.commit().await?;
        }
        outcome
    }

    async fn break_glass_in(&self, tx: &mut Tx, id: &str, breaking: &Breaking) -> Result<Stored, DeskError> {
        let mut request = store::lock(tx, id).await?.ok_or(DeskError::Unknown)?;
        if let Some(correlation) = &request.thread.correlation_id {
            tx.correlate(correlation.clone());
        }
        let now = tx.now();
        let Breaking { person, reason, .. } = breaking;
        if ledger::find(tx.conn(), id, now).await?.is_some_and(|done| done.person == *person) {
            return Ok(request);
        }
        let people = self.people_looking(tx.conn(), &request, now).await?;
        let step = request.state.waiting().map_or(0, |waiting| waiting.step);
        let duty = |refused| DeskError::Override(OverrideRefused::Duty(refused));
        let Transition { state, happened } =
            request.state.overridden(person, reason.clone(), now, &people).map_err(duty)?;
        // One at a time: two overrides of a role must see the same debts.
        book::lock_names(tx, &["overrides".to_owned()].into()).await?;
        let overdue = ledger::overdue(tx.conn(), now).await?;
        let matter = Matter::from(&request.case.input);
        let count = |role: &governance::Role| {
            overdue.iter().find(|(name, _)| name == role.as_str()).map_or(0, |(_, count)| *count)
        };
        let convert = |amount, to| self.convert(amount, to);
        let (rule, cap) = people.override_rule(person, &matter, count, &convert).map_err(DeskError::Override)?;
        let reviewers = reviewers(&people, rule, person, &request);
        if reviewers.is_empty() {
            return Err(DeskError::Override(OverrideRefused::NobodyReviews(rule.reviewer.clone())));
        }
        let seen = request.state.version;
        request.state = state;
        request.grant = Some(self.marked_grant(tx, &request, breaking, (rule, &people))?);
        store::record(tx, &request, seen).await?;
        book::give(tx, &[person], id, &matter).await?;
        book::mark_approved(tx, id).await?;
        self.owe_review(tx, &request, step, breaking, (rule, cap), &reviewers).await?;
        self.tell(tx, &request, &happened, "override").await?;
        Ok(request)
    }

    /// The debt, its audit leaf, and the news to the second pair of eyes.
    async fn owe_review(
        &self,
        tx: &mut Tx,
        request: &Stored,
        step: u32,
        breaking: &Breaking,
        (rule, cap): (&OverrideRule, Cap),
        reviewers: &[PersonId],
    ) -> Result<(), DeskError> {
        let Breaking { person, reason, ticket } = breaking;
        // The rule has compared it with the cap, so it is known.
        let value = request.case.input.value.unwrap_or(cap.now);
        let review_by = ledger::add(tx, &request.id, (person, reason, ticket), rule, value).await?;
        let details = json!({
            "role": rule.role, "reason": reason, "ticket": ticket, "cap": cap, "value": value, "review_by": review_by,
            "reviewers": reviewers, "facts_hash": request.case.facts_hash,
        });
        tx.audit(&format!("person:{person}"), "approval.overridden", &subject(&request.id), details).await?;
        store::add_asked(tx, &request.id, reviewers).await?;
        let event = ApprovalOverridden {
            approval_id: request.id.clone(),
            title: request.case.title.clone(),
            action: request.case.action.clone(),
            person: person.clone(),
            role: rule.role.to_string(),
            reason: reason.clone(),
            ticket: ticket.clone(),
            reviewers: self.invite(request, step, reviewers, review_by)?,
            review_by,
        };
        tx.emit(&event).await?;
        Ok(())
    }

    fn marked_grant(
        &self,
        tx: &Tx,
        request: &Stored,
        breaking: &Breaking,
        (rule, people): (&OverrideRule, &Directory),
    ) -> Result<IssuedGrant, DeskError> {
        let id = tx.new_id().to_string();
        let mut claims = claims((&request.case, &request.state), &request.id, id.clone(), people, tx.now());
        if !claims.decided_by.contains(&breaking.person) {
            claims.decided_by.push(breaking.person.clone());
        }
        let (person, role, ticket) = (breaking.person.clone(), rule.role.clone(), breaking.ticket.clone());
        claims.by_override = Some(Override { person, role, ticket });
        let token = self.keys.get().signer.sign(&claims).map_err(DeskError::key)?;
        Ok(IssuedGrant { id, token })
    }

    /// Pays the debt of an override.
    ///
    /// # Errors
    /// [`DeskError::Unknown`] and [`DeskError::Review`].
    pub(crate) async fn review_override(
        &self,
        cx: &Cx,
        id: &str,
        person: &PersonId,
        verdict: Verdict,
        comment: &str,
    ) -> Result<Overridden, DeskError> {
        let mut tx = cx.store().begin().await?;
        let owed = ledger::lock(&mut tx, id).await?.ok_or(DeskError::Unknown)?;
        if let Some(review) = &owed.review {
            let same = review.person == *person && review.verdict == verdict;
            return if same { Ok(owed) } else { Err(ReviewRefused::Reviewed(review.clone()).into()) };
        }
        let asked = book::requesters(tx.conn(), id).await?;
        if owed.person == *person || asked.contains(person) {
            return Err(ReviewRefused::OwnOverride(person.clone()).into());
        }
        let directory = self.directory();
        if !directory.holders(&owed.reviewer_role, None).any(|holder| holder.id == *person) {
            let needs = owed.reviewer_role.to_string();
            return Err(ReviewRefused::NotReviewer { person: person.clone(), needs }.into());
        }
        ledger::review(&mut tx, id, person, verdict, comment).await?;
        let details =
            json!({"verdict": verdict, "comment": comment, "was_overdue": owed.state == ReviewState::Overdue});
        tx.audit(&format!("person:{person}"), "override.reviewed", &subject(id), details).await?;
        let now = tx.now();
        let reviewed = ledger::find(tx.conn(), id, now).await?.ok_or(DeskError::Unknown)?;
        tx.commit().await?;
        Ok(reviewed)
    }

    /// What stands out about a request; nothing for most.
    ///
    /// # Errors
    /// When the store fails.
    pub(crate) async fn oversight(
        &self,
        conn: &mut AnyConnection,
        id: &str,
        now: Timestamp,
    ) -> Result<Option<Oversight>, StoreError> {
        let overridden = ledger::find(&mut *conn, id, now).await?;
        let suspicions = book::suspicions_of(conn, id).await?;
        let any = overridden.is_some() || !suspicions.is_empty();
        Ok(any.then_some(Oversight { overridden, suspicions }))
    }
}

/// Everybody who may review this override.
fn reviewers(people: &Directory, rule: &OverrideRule, person: &PersonId, request: &Stored) -> Vec<PersonId> {
    let asked = requester_names(&request.state.requester);
    let other = |id: &&PersonId| *id != person && !asked.contains(&format!("person:{id}"));
    people.holders(&rule.reviewer, None).map(|holder| &holder.id).filter(other).cloned().collect()
}

/// One turn of the job that tells which reviews are overdue. What to tell lies in the rows, so a restart forgets none.
///
/// # Errors
/// When the store fails; what was told by then stays told.
pub(crate) async fn tell_unreviewed(cx: &Cx) -> Result<(), StoreError> {
    let due = ledger::untold(&mut *cx.store().read().await?, cx.clock().now(), TURN).await?;
    for id in due {
        let Some(request) = store::find(&mut cx.store().read().await?, &id).await? else { continue };
        let mut tx = cx.store().begin_in(request.thread).await?;
        let now = tx.now();
        if ledger::claim_telling(&mut tx, &id).await?
            && let Some(owed) = ledger::find(tx.conn(), &id, now).await?
        {
            let details = json!({"role": owed.role, "review_by": owed.review_by});
            tx.audit("steward", "override.unreviewed", &subject(&id), details).await?;
            let event = OverrideUnreviewed {
                approval_id: id,
                title: request.case.title,
                person: owed.person,
                role: owed.role.to_string(),
                reviewer_role: owed.reviewer_role.to_string(),
                review_by: owed.review_by,
            };
            tx.emit(&event).await?;
        }
        tx.commit().await?;
    }
    Ok(())
}
