//! A request is edited: judged anew by the policy in force, and what people said about it counts as the policy says.

use chassis::prelude::{Cx, Tx};
use contracts::FieldError;
use governance::{
    Actor, Command,
    request::{Edit, Transition},
};

use super::{Desk, DeskError, audit_refusal};
use crate::{
    rules::proposal::{Case, NewApproval},
    store::{self, Stored, authority as book, revisions},
};

/// What comes with the changed request.
pub(crate) struct Edition<'a> {
    pub(crate) by: &'a Actor,
    pub(crate) new: &'a NewApproval,
    pub(crate) case: Case,
    pub(crate) comment: Option<String>,
    /// `If-Match`.
    pub(crate) version: Option<u32>,
    pub(crate) how: &'a str,
}

impl Desk {
    /// Replaces what is asked. What it was is kept, with the decisions about it.
    ///
    /// # Errors
    /// [`DeskError`].
    pub(crate) async fn edit(&self, cx: &Cx, id: &str, edition: Edition<'_>) -> Result<Stored, DeskError> {
        let mut tx = cx.store().begin().await?;
        let outcome = self.replace(&mut tx, id, edition).await;
        // A refusal leaves its audit leaf; any other failure leaves nothing.
        if matches!(outcome, Ok(_) | Err(DeskError::Refused(_))) {
            tx.commit().await?;
        }
        outcome
    }

    async fn replace(&self, tx: &mut Tx, id: &str, edition: Edition<'_>) -> Result<Stored, DeskError> {
        let Edition { by, new, case, comment, version, how } = edition;
        let mut request = store::lock(tx, id).await?.ok_or(DeskError::Unknown)?;
        if let Some(correlation) = &request.thread.correlation_id {
            tx.correlate(correlation.clone());
        }
        let errors = another_request(&request, new, tx);
        if !errors.is_empty() {
            return Err(DeskError::Invalid(errors));
        }
        let changed = case.changed_since(&request.case);
        let edit = Edit {
            from: case.input.from.clone(),
            to: case.input.to.clone(),
            row: case.route.row.clone(),
            then: case.route.then.clone(),
            deadline: case.deadline,
            changed,
        };
        // Where no step wants the policy asked again, it keeps the version that judged it.
        let judged = request.state.judges_again(&edit.changed);
        let parts = edit.changed.clone();
        let command = Command::Edit { by: by.clone(), edit, text: comment, version };
        let anew = matches!(&command, Command::Edit { edit, .. } if request.state.starts_anew(edit));
        let people = self.people_editing(tx, &request, &case.input, anew).await?;
        let mut edited = request.state.apply(&command, tx.now(), &people);
        if let Ok(Transition { state, .. }) = &edited
            && let Err(refused) = self.note_edit(tx, &request, (&case.input, state), &parts, &people).await?
        {
            edited = Err(refused);
        }
        let Transition { state, happened } = match edited {
            Ok(transition) => transition,
            Err(refused) => {
                audit_refusal(tx, id, &command, &refused, how).await?;
                return Err(refused.into());
            }
        };
        if anew {
            book::send_home(tx, id).await?;
        }
        let (seen, revision) = (request.state.version, request.state.revision);
        request.state = state;
        let case = if judged { case } else { case.under(request.case.route.clone()).map_err(DeskError::Invalid)? };
        let before = std::mem::replace(&mut request.case, case);
        self.grant_if_approved(tx, &mut request, &people)?;
        revisions::replace(tx, (&before, revision), &request, &by.to_string()).await?;
        store::record(tx, &request, seen).await?;
        self.tell(tx, &request, &happened, how).await?;
        Ok(request)
    }
}

/// What would make it another request: that is asked for anew.
fn another_request(request: &Stored, new: &NewApproval, tx: &Tx) -> Vec<FieldError> {
    let (before, after) = (&request.case.action, &new.action);
    let rules = [
        (before.kind() != after.kind(), "/request/action/type", "cannot be edited; ask for another approval"),
        (before.product() != after.product(), "/request/action/product", "cannot be edited; ask for another approval"),
        (request.reference != new.reference, "/request/reference", "must be the one that it was asked with"),
        (
            request.state.requester.on_behalf_of != new.on_behalf_of,
            "/request/on_behalf_of",
            "must be the one that it was asked with",
        ),
        (new.decide_by.is_some_and(|decide_by| decide_by <= tx.now()), "/request/decide_by", "must lie ahead"),
        (!new.related.is_empty(), "/request/related", "is not edited; a request stays in the chain it was asked in"),
        (new.callback.is_some(), "/request/callback", "is not edited; ask again with the reference to add one"),
        (!new.watchers.is_empty(), "/request/watchers", "are not edited; see /v1/approvals/{id}/watchers"),
    ];
    rules.into_iter().filter(|(broken, ..)| *broken).map(|(_, at, why)| FieldError::new(at, why)).collect()
}
