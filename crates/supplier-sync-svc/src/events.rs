//! What this service does when approval-svc tells of a request: it shows it in Odoo, and passes answers on.

use chassis::prelude::*;
use contracts::events::{
    AnswerRefused, ApprovalAnswered, ApprovalDecided, ApprovalReminded, ApprovalRequested, AskedPerson, DecidedBy,
    Outcome,
};
use serde_json::json;

use crate::{
    effects::approval::Order,
    rules::{
        answer::{HOW, Heard, Seen, hear},
        observation::Entity,
    },
    store::{self, ODOO, OpenTodo, Shown, TodoKey},
};

/// A step opened: whoever is asked finds a to-do on the article.
pub(crate) async fn requested(tx: &mut Tx, event: Received<ApprovalRequested>) -> Result<(), HandleError> {
    let asked = event.payload;
    let shown = Shown { title: asked.title, reason: asked.reason, product: asked.action.product().to_string() };
    store::show_approval(tx, &asked.approval_id, &shown, asked.revision).await?;
    // After an edit or an answered question the same people are asked again, about what it is now.
    for person in &asked.asked {
        let key = TodoKey { approval_id: asked.approval_id.clone(), step: asked.step, person: person.person.clone() };
        if let Some(odoo_id) = store::forget_stale_todo(tx, &key, asked.revision).await? {
            tx.effect(Order::RemoveTodo { odoo_id }.effect(&asked.approval_id)?).await?;
        }
    }
    put_todos(tx, &asked.approval_id, asked.step, &asked.asked, asked.decide_by).await?;
    Ok(())
}

/// Others are asked as well. Whoever is only reminded has the to-do already.
pub(crate) async fn reminded(tx: &mut Tx, event: Received<ApprovalReminded>) -> Result<(), HandleError> {
    let asked = event.payload;
    put_todos(tx, &asked.approval_id, asked.step, &asked.asked, asked.decide_by).await?;
    Ok(())
}

/// It has ended: no to-do stays, and the article's history says how.
pub(crate) async fn decided(tx: &mut Tx, event: Received<ApprovalDecided>) -> Result<(), HandleError> {
    let end = event.payload;
    let asked = store::undecided(tx, &end.approval_id).await?;
    let text = sentence(&end);
    let drafted = store::keep_decision(tx, &end.approval_id, &text).await?;
    for odoo_id in store::close_todos(tx, &end.approval_id).await? {
        tx.effect(Order::RemoveTodo { odoo_id }.effect(&end.approval_id)?).await?;
    }
    if let Some(picking) = drafted {
        note_on_transfer(tx, &end.approval_id, picking, text.clone()).await?;
    }
    // What nobody was asked about would only fill the history.
    let Some(asked) = asked else { return Ok(()) };
    if let Some(sku) = store::external_id(tx, Entity::Product, ODOO, &asked.product).await? {
        let text = format!("{}: {text}", asked.title);
        tx.effect(Order::NoteOnProduct { sku, text }.effect(&end.approval_id)?).await?;
    }
    Ok(())
}

/// The answer did not count: its author reads why, and may answer again while that is of use.
pub(crate) async fn refused(tx: &mut Tx, event: Received<AnswerRefused>) -> Result<(), HandleError> {
    let AnswerRefused { approval_id, step, person, reason, open, revision } = event.payload;
    store::revised(tx, &approval_id, revision).await?;
    if open {
        ask_again(tx, &TodoKey { approval_id, step, person }, "answered", &reason).await?;
    }
    Ok(())
}

/// A transfer was drafted: its history says who allowed it.
pub(crate) async fn drafted(tx: &mut Tx, approval_id: &str, picking: i64) -> Result<(), StoreError> {
    match store::keep_draft(tx, approval_id, picking).await? {
        Some(decision) => note_on_transfer(tx, approval_id, picking, decision).await,
        None => Ok(()),
    }
}

/// A to-do was read back.
pub(crate) async fn heard(tx: &mut Tx, todo: &OpenTodo, seen: Option<&Seen>) -> Result<(), StoreError> {
    let TodoKey { approval_id, step, person } = &todo.key;
    let subject = format!("approval:{approval_id}");
    match hear(seen, todo.user_id) {
        Heard::Nothing => {}
        Heard::Gone => {
            if store::end_todo(tx, todo, "closed").await? {
                let details = json!({"odoo_id": todo.odoo_id, "person": person});
                tx.audit("system:odoo", "approval.todo_removed", &subject, details).await?;
            }
        }
        Heard::Unclear(why) => ask_again(tx, &todo.key, "open", &why).await?,
        Heard::Word { said, comment } => {
            if store::end_todo(tx, todo, "answered").await? {
                let details = json!({"odoo_id": todo.odoo_id, "said": said, "comment": comment, "step": step});
                tx.audit(&format!("person:{person}"), "approval.answered", &subject, details).await?;
                let answered_at = seen.map_or(tx.now(), |seen| seen.at);
                let (approval_id, person) = (approval_id.clone(), person.clone());
                let (odoo_id, revision) = (todo.odoo_id, todo.revision);
                let event = ApprovalAnswered {
                    approval_id,
                    step: *step,
                    revision,
                    person,
                    said,
                    comment,
                    odoo_id,
                    answered_at,
                };
                tx.emit(&event).await?;
            }
        }
    }
    Ok(())
}

async fn put_todos(
    tx: &mut Tx,
    approval_id: &str,
    step: u32,
    asked: &[AskedPerson],
    due: Timestamp,
) -> Result<(), StoreError> {
    for person in asked {
        let Some(email) = &person.email else { continue };
        let key = TodoKey { approval_id: approval_id.to_owned(), step, person: person.person.clone() };
        if store::want_todo(tx, &key, email, due).await? {
            put_todo(tx, key, email.clone(), due, "").await?;
        }
    }
    Ok(())
}

async fn ask_again(tx: &mut Tx, key: &TodoKey, from: &str, why: &str) -> Result<(), StoreError> {
    match store::want_again(tx, key, from).await? {
        Some((email, due)) => put_todo(tx, key.clone(), email, due, &format!("Not counted: {why}.\n\n")).await,
        None => Ok(()),
    }
}

async fn put_todo(tx: &mut Tx, key: TodoKey, email: String, due: Timestamp, before: &str) -> Result<(), StoreError> {
    let Some(asked) = store::undecided(tx, &key.approval_id).await? else { return Ok(()) };
    let Some(sku) = store::external_id(tx, Entity::Product, ODOO, &asked.product).await? else { return Ok(()) };
    let summary = format!("Decide: {}", asked.title);
    let note = format!(
        "{before}{}\n\n{HOW}\n\nFacts, score and route are on the page that your mail links to. Approval {}, to be \
         decided by {}.",
        asked.reason,
        key.approval_id,
        due.strftime("%Y-%m-%d %H:%M UTC"),
    );
    let approval_id = key.approval_id.clone();
    tx.effect(Order::PutTodo { key, email, sku, summary, note, due }.effect(&approval_id)?).await?;
    Ok(())
}

async fn note_on_transfer(tx: &mut Tx, approval_id: &str, picking: i64, text: String) -> Result<(), StoreError> {
    tx.effect(Order::NoteOnTransfer { picking, text }.effect(approval_id)?).await?;
    Ok(())
}

/// The end in one sentence, with what an auditor would look up.
fn sentence(end: &ApprovalDecided) -> String {
    let how = match end.outcome {
        Outcome::Approved => "Approved",
        Outcome::Denied => "Denied",
        Outcome::Expired => "Expired",
        Outcome::Withdrawn => "Withdrawn",
    };
    let by = match &end.by {
        DecidedBy::People { people } => {
            let names: Vec<_> = people.iter().map(contracts::PersonId::as_str).collect();
            format!("by {}", names.join(" and "))
        }
        DecidedBy::Policy { row } => format!("by the policy's row {row}"),
        DecidedBy::Service { key } => format!("by the service {key}"),
    };
    let comment = end.comment.as_ref().map(|comment| format!(": {comment}")).unwrap_or_default();
    format!("{how} {by} at {}{comment} (approval {})", end.decided_at.strftime("%Y-%m-%d %H:%M UTC"), end.approval_id)
}
