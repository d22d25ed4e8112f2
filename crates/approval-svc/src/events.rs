//! What this service does when an event arrives.

use chassis::prelude::{HandleError, Received, StoreError, Tx};
use contracts::events::{
    AnswerRefused, ApprovalAnswered, GrantConsumed, MessageFailed, MessageSent, Said, TransferDrafted,
};
use governance::{
    Command,
    request::{Refused, Verdict},
};
use serde::Serialize;

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

/// A message about a request reached its channel: the evidence of the request tells when, and to whom.
pub(crate) async fn message_sent(tx: &mut Tx, event: Received<MessageSent>) -> Result<(), HandleError> {
    keep_message(tx, "message.sent", event.payload.about.as_deref(), &event.payload).await
}

/// A message about a request reached nobody.
pub(crate) async fn message_failed(tx: &mut Tx, event: Received<MessageFailed>) -> Result<(), HandleError> {
    keep_message(tx, "message.failed", event.payload.about.as_deref(), &event.payload).await
}

/// Leaves about requests that are not ours would be leaves about nothing.
async fn keep_message(
    tx: &mut Tx,
    verb: &str,
    about: Option<&str>,
    message: &impl Serialize,
) -> Result<(), HandleError> {
    let Some(id) = about.and_then(|about| about.strip_prefix("approval:")) else { return Ok(()) };
    if store::exists(tx, id).await? {
        let details = serde_json::to_value(message).map_err(StoreError::from)?;
        tx.audit("service:notify", verb, &subject(id), details).await?;
    }
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
