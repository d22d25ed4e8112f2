//! What is told when somebody asks back, remarks, or brings in another person.

use chassis::prelude::{StoreError, Timestamp, Tx};
use contracts::{PersonId, events::ApprovalSentBack};
use governance::{
    Actor,
    request::{Added, Question, Remark, RemarkKind},
};
use jiff::SignedDuration;
use serde_json::json;

use super::{Desk, DeskError, LINK_OUTLIVES_STEP, subject};
use crate::store::{self, Stored};

impl Desk {
    /// The person who asked, or for whom a workflow did, is told the question, with a link to answer.
    pub(super) async fn tell_sent_back(
        &self,
        tx: &mut Tx,
        request: &Stored,
        question: &Question,
    ) -> Result<(), DeskError> {
        let requester = &request.state.requester;
        let person = match &requester.by {
            Actor::Person { person } => Some(person),
            _ => requester.on_behalf_of.as_ref(),
        };
        let asked: Vec<PersonId> = person.into_iter().cloned().collect();
        store::add_asked(tx, &request.id, &asked).await?;
        let until = in_time(question.answer_by, LINK_OUTLIVES_STEP);
        let event = ApprovalSentBack {
            approval_id: request.id.clone(),
            title: request.case.title.clone(),
            action: request.case.action.clone(),
            step: question.step,
            by: question.by.clone(),
            question: question.question.clone(),
            asked: self.links_for(request, question.step, &asked, until)?,
            answer_by: question.answer_by,
            sent_back_at: question.at,
        };
        // No callback: a workflow waits for the end, and a question is none.
        tx.emit(&event).await?;
        Ok(())
    }

    pub(super) async fn tell_added(
        &self,
        tx: &mut Tx,
        request: &Stored,
        added: &Added,
        decide_by: Timestamp,
    ) -> Result<(), DeskError> {
        let details = json!({"step": added.step, "person": added.person});
        tx.audit(&format!("person:{}", added.by), "approval.approver_added", &subject(&request.id), details).await?;
        let asked = [added.person.clone()];
        store::add_asked(tx, &request.id, &asked).await?;
        self.emit_requested(tx, request, added.step, &asked, decide_by).await
    }
}

pub(super) async fn audit_remark(
    tx: &mut Tx,
    request: &Stored,
    remark: &Remark,
    superseded: u32,
    how: &str,
) -> Result<(), StoreError> {
    let verb = match remark.kind {
        RemarkKind::Comment => "approval.commented",
        RemarkKind::Answer => "approval.answered",
        RemarkKind::Edit => "approval.edited",
    };
    let details = json!({
        "text": remark.text, "edited": remark.edited, "superseded": superseded, "via": how,
        "facts_hash": request.case.facts_hash, "revision": request.state.revision, "action": request.case.action,
        "policy": request.case.route.policy, "row": request.state.row,
        // An edit makes it another case.
        "binds": (remark.kind == RemarkKind::Edit).then(|| super::binds(request)).transpose()?,
    });
    tx.audit(&remark.by.to_string(), verb, &subject(&request.id), details).await
}

pub(super) async fn add_watcher(tx: &mut Tx, request: &Stored, person: &PersonId, how: &str) -> Result<(), StoreError> {
    store::add_asked(tx, &request.id, std::slice::from_ref(person)).await?;
    let details = json!({"person": person, "via": how});
    tx.audit("steward", "approval.watcher_added", &subject(&request.id), details).await
}

/// The end of a link: the end of time where the sum lies beyond it.
pub(super) fn in_time(at: Timestamp, more: SignedDuration) -> Timestamp {
    at.checked_add(more).unwrap_or(Timestamp::MAX)
}
