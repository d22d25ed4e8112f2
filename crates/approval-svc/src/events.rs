//! What this service does when an event arrives.

use chassis::prelude::{HandleError, Received, StoreError, Tx};
use contracts::events::{AnswerRefused, ApprovalAnswered, GrantConsumed, Said, TransferDrafted};
use governance::{
    Command,
    request::{Refused, Verdict},
};

use crate::{
    desk::{Desk, DeskError, subject},
    store,
};

/// A grant was used: what was approved is on its way.
pub(crate) async fn used(tx: &mut Tx, event: Received<GrantConsumed>) -> Result<(), HandleError> {
    store::forget_unused(tx, &event.payload.grant_id).await?;
    let details = serde_json::to_value(&event.payload).map_err(StoreError::from)?;
    tx.audit("service:supply", "grant.consumed", &subject(&event.payload.approval_id), details).await?;
    Ok(())
}

/// What was approved stands in Odoo.
pub(crate) async fn drafted(tx: &mut Tx, event: Received<TransferDrafted>) -> Result<(), HandleError> {
    let details = serde_json::to_value(&event.payload).map_err(StoreError::from)?;
    tx.audit("service:supply", "transfer.drafted", &subject(&event.payload.approval_id), details).await?;
    Ok(())
}

/// Somebody answered in Odoo. It is judged as if it had come through our own page; whoever it does not count for is told
/// why.
pub(crate) async fn answered(desk: &Desk, tx: &mut Tx, event: Received<ApprovalAnswered>) -> Result<(), HandleError> {
    let ApprovalAnswered { approval_id, step, revision, person, said, comment, .. } = event.payload;
    let verdict = match said {
        Said::Approve => Verdict::Approve,
        Said::Reject => Verdict::Reject,
        Said::SendBack => Verdict::SendBack,
    };
    let (by, revision) = (person.clone(), Some(revision));
    let command = Command::Decide { person: by, verdict, comment, step: Some(step), version: None, revision };
    let (reason, open) = match desk.carry_out(tx, &approval_id, &command, "odoo").await {
        Ok(_) => return Ok(()),
        // Said twice, here and there.
        Err(DeskError::Refused(Refused::AlreadyDecided(first))) if first.verdict == verdict => return Ok(()),
        Err(DeskError::Refused(refused)) => (refused.to_string(), can_mend(&refused)),
        Err(DeskError::Store(error)) => return Err(error.into()),
        Err(DeskError::Key(error)) => return Err(HandleError::Heal(chassis::chain(&*error))),
        Err(other) => return Err(HandleError::Poison(other.to_string())),
    };
    let revision = store::lock(tx, &approval_id).await?.map_or(0, |request| request.state.revision);
    let told: Result<_, StoreError> =
        tx.emit(&AnswerRefused { approval_id, step, person, reason, open, revision }).await;
    told?;
    Ok(())
}

/// Whether the same person may still answer this step otherwise.
fn can_mend(refused: &Refused) -> bool {
    matches!(refused, Refused::CommentNeeded | Refused::Edited { .. })
}
