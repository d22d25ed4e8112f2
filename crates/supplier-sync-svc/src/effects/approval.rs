//! `odoo.approval`: requests for approval where Odoo's people look: a to-do on the article, notes on article and
//! transfer, and the answer that closing a to-do is.

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use chassis::prelude::*;
use jiff::{civil::Date, tz::TimeZone};
use odoo::{Activity, Client, activity::ActivityState};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::Peer;
use crate::{
    events,
    rules::answer::Seen,
    store::{self, TodoKey},
};

/// Name of the executor.
pub(crate) const NAME: &str = "odoo.approval";
const PRODUCT: &str = "product.product";
const PICKING: &str = "stock.picking";
/// To-dos read in one call.
const READ: i64 = 200;

/// One thing to be done in Odoo.
#[derive(Debug, Serialize, Deserialize)]
#[serde(tag = "do", rename_all = "snake_case")]
pub(crate) enum Order {
    PutTodo {
        key: TodoKey,
        email: String,
        sku: String,
        summary: String,
        note: String,
        due: Timestamp,
    },
    RemoveTodo {
        odoo_id: i64,
    },
    /// A webhook says that something happened to it.
    LookAtTodo {
        odoo_id: i64,
    },
    NoteOnProduct {
        sku: String,
        text: String,
    },
    NoteOnTransfer {
        picking: i64,
        text: String,
    },
}

/// What came of it, where more is to be known than that it was done.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Outcome {
    Put {
        odoo_id: i64,
        user_id: i64,
    },
    Looked {
        odoo_id: i64,
        seen: Option<Seen>,
    },
    Done,
    /// Odoo has no place or no person for it, which is no failure: the mail goes its own way.
    Skipped {
        why: String,
    },
}

impl Order {
    /// The effect: of one approval in this order.
    pub(crate) fn effect(&self, approval_id: &str) -> Result<NewEffect, StoreError> {
        let effect = NewEffect::new(NAME, format!("approval:{approval_id}"), self)?;
        Ok(effect.about(format!("approval {approval_id} in Odoo")))
    }
}

pub(crate) struct Approvals(pub Arc<Peer>);

#[async_trait]
impl Executor for Approvals {
    fn name(&self) -> &'static str {
        NAME
    }

    /// To-dos and notes are found again by the effect's id in them; removing and looking may be repeated.
    fn kind(&self) -> EffectKind {
        EffectKind::Probeable
    }

    /// More hands would only queue for Odoo's rate, until a call waits longer than its timeout.
    fn concurrency(&self) -> usize {
        1
    }

    fn timeout(&self) -> Duration {
        self.0.attempt()
    }

    /// Performing looks first.
    async fn probe(&self, _cx: &Cx, _effect: &Effect) -> Result<Option<Value>, Attempt> {
        Ok(None)
    }

    async fn perform(&self, cx: &Cx, effect: &Effect) -> Result<Value, Attempt> {
        let order: Order = effect.payload_as()?;
        if let Order::PutTodo { key, .. } = &order {
            let wanted = store::is_wanted(cx.store(), key).await;
            if !wanted.map_err(|error| Attempt::retry(chassis::chain(&error)))? {
                return Ok(json!(Outcome::Skipped { why: "it was decided meanwhile".to_owned() }));
            }
        }
        let done = async {
            let client = self.0.client(cx.clock()).await?;
            carry_out(&client, &mark(&effect.id), order).await
        };
        match done.await {
            Ok(outcome) => Ok(json!(outcome)),
            Err(odoo::Error::Access { message }) => {
                tracing::warn!(message, "Odoo does not let Steward's user show approvals; see deploy/odoo/README.md");
                Ok(json!(Outcome::Skipped { why: "Odoo does not let Steward's user write there".to_owned() }))
            }
            Err(error) => Err(self.0.explain(error).await),
        }
    }

    async fn settled(&self, cx: &Cx, tx: &mut Tx, effect: &Effect, settled: &Settled) -> Result<(), StoreError> {
        let Settled::Done(result) = settled else { return Ok(()) };
        match (Order::deserialize(&effect.payload)?, Outcome::deserialize(result)?) {
            (Order::PutTodo { key, .. }, Outcome::Put { odoo_id, user_id }) => {
                if store::todo_opened(tx, &key, odoo_id, user_id).await? {
                    let details = json!({"odoo_id": odoo_id, "person": key.person, "step": key.step});
                    return tx.audit("system:odoo", "approval.shown", &subject(&key.approval_id), details).await;
                }
                // The end came while it was being put up.
                tx.effect(Order::RemoveTodo { odoo_id }.effect(&key.approval_id)?).await?;
            }
            (_, Outcome::Looked { odoo_id, seen }) => {
                if let Some(todo) = store::open_todo(cx.store(), odoo_id).await? {
                    events::heard(tx, &todo, seen.as_ref()).await?;
                }
            }
            _ => {}
        }
        Ok(())
    }
}

/// Looks at every to-do that is open: what a lost webhook has not told.
pub(crate) async fn turn(cx: &Cx, lease: &Lease, peer: &Arc<Peer>) -> Result<(), JobError> {
    let mut after = 0;
    loop {
        let todos = store::open_todos(cx.store(), after, READ).await?;
        let Some(last) = todos.last() else { return Ok(()) };
        after = last.odoo_id;
        let ids: Vec<i64> = todos.iter().map(|todo| todo.odoo_id).collect();
        let read = async { peer.client(cx.clock()).await?.get::<ActivityState>(&ids).await };
        let states = match read.await {
            Ok(states) => states,
            Err(error) => {
                let cause = chassis::chain(&error);
                let _attempt = peer.explain(error).await;
                return Err(JobError::Other(format!("to-dos were not read: {cause}")));
            }
        };
        let mut tx = cx.store().begin().await?;
        lease.guard(&mut tx).await?;
        for todo in &todos {
            let state = states.iter().find(|state| state.id == todo.odoo_id);
            events::heard(&mut tx, todo, state.map(seen).as_ref()).await?;
        }
        tx.commit().await?;
    }
}

async fn carry_out(client: &Client, mark: &str, order: Order) -> Result<Outcome, odoo::Error> {
    Ok(match order {
        Order::PutTodo { email, sku, summary, note, due, .. } => {
            let Some(user) = client.user_called(&email).await? else {
                return Ok(skipped(format!("Odoo has no one user {email}")));
            };
            let Some(product) = product(client, &sku).await? else {
                return Ok(skipped(format!("Odoo has no one product {sku}")));
            };
            if !client.activities_keep_answers().await? {
                return Ok(skipped("this Odoo forgets the answer of a to-do".to_owned()));
            }
            let summary = format!("{summary} [{mark}]");
            let odoo_id = match client.find_activity(PRODUCT, product, &summary).await? {
                Some(found) => found,
                None => {
                    let kind = "mail.mail_activity_data_todo".to_owned();
                    let activity = Activity { summary, note, deadline: day(due), user_id: Some(user.id), kind };
                    client.activity_schedule(PRODUCT, product, &activity).await?
                }
            };
            Outcome::Put { odoo_id, user_id: user.id }
        }
        Order::RemoveTodo { odoo_id } => {
            client.remove_activity(odoo_id).await?;
            Outcome::Done
        }
        Order::LookAtTodo { odoo_id } => {
            let state = client.get::<ActivityState>(&[odoo_id]).await?.pop();
            Outcome::Looked { odoo_id, seen: state.as_ref().map(seen) }
        }
        Order::NoteOnProduct { sku, text } => match product(client, &sku).await? {
            Some(id) => note(client, (PRODUCT, id), &text, mark).await?,
            None => skipped(format!("Odoo has no one product {sku}")),
        },
        Order::NoteOnTransfer { picking, text } => note(client, (PICKING, picking), &text, mark).await?,
    })
}

async fn note(client: &Client, (model, id): (&str, i64), text: &str, mark: &str) -> Result<Outcome, odoo::Error> {
    if client.find_message(model, id, mark).await?.is_none() {
        client.message_post(model, id, &format!("{text} [{mark}]")).await?;
    }
    Ok(Outcome::Done)
}

async fn product(client: &Client, sku: &str) -> Result<Option<i64>, odoo::Error> {
    Ok(match &client.products_by_sku(&[sku]).await?[..] {
        [one] => Some(one.id),
        _ => None,
    })
}

fn skipped(why: String) -> Outcome {
    Outcome::Skipped { why }
}

fn seen(state: &ActivityState) -> Seen {
    Seen {
        open: state.open,
        feedback: state.feedback.clone(),
        by: state.written_by.id,
        by_name: state.written_by.name.clone(),
        at: state.written_at,
    }
}

/// How a to-do or a note of this effect is found again: the random end of its id.
fn mark(effect_id: &str) -> String {
    let end = effect_id.rsplit('-').next().unwrap_or(effect_id);
    format!("steward {end}")
}

fn day(at: Timestamp) -> Date {
    at.to_zoned(TimeZone::UTC).date()
}

fn subject(approval_id: &str) -> String {
    format!("approval:{approval_id}")
}
