//! What this service does when an event arrives.

use chassis::prelude::*;
use contracts::{
    Envelope, PersonId,
    events::{ApprovalReminded, ApprovalRequested, AskedPerson, DeadLettered},
};
use serde_json::{Map, Value, json};

use crate::{
    OPERATOR,
    effects::webhook::Push,
    notifier::Notifier,
    rules::{
        contacts::Audience,
        push::{self, WEBHOOK},
        templates::{APPROVAL_REMINDED, APPROVAL_REQUESTED},
    },
    store::{
        OURSELVES,
        exceptions::{self, Incident},
        messages::{self, NewMessage},
    },
};

/// Any event: promised to everybody who is subscribed to its type.
pub(crate) async fn any(notifier: &Notifier, tx: &mut Tx, event: &Envelope) -> Result<(), HandleError> {
    if push::is_about_a_push(event) {
        return Ok(());
    }
    let wanting = notifier.wanting(tx.conn(), &event.kind).await?;
    if wanting.is_empty() {
        return Ok(());
    }
    let body =
        push::body(event).map_err(|error| HandleError::Poison(format!("{} is not JSON: {error}", event.kind)))?;
    for subscription in wanting {
        let key = push::order_key(&subscription, &event.subject);
        let push = Push { subscription, event: event.id.clone(), body: body.clone() };
        tx.effect(NewEffect::new(WEBHOOK, key, &push)?).await?;
    }
    Ok(())
}

/// People are asked: each gets a mail with the link that is theirs.
pub(crate) async fn requested(
    notifier: &Notifier,
    tx: &mut Tx,
    event: Received<ApprovalRequested>,
) -> Result<(), HandleError> {
    let ApprovalRequested { approval_id, title, reason, asked, decide_by, .. } = event.payload;
    let data = fields(json!({"title": title, "reason": reason, "decide_by": decide_by}));
    for person in asked {
        ask(notifier, tx, APPROVAL_REQUESTED, &approval_id, &event.envelope.id, &person, data.clone()).await?;
    }
    Ok(())
}

/// People are reminded, or asked because others did not decide.
pub(crate) async fn reminded(
    notifier: &Notifier,
    tx: &mut Tx,
    event: Received<ApprovalReminded>,
) -> Result<(), HandleError> {
    let ApprovalReminded { approval_id, title, asked, decide_by, escalated, .. } = event.payload;
    let data = fields(json!({"title": title, "decide_by": decide_by, "escalated": escalated}));
    for person in asked {
        ask(notifier, tx, APPROVAL_REMINDED, &approval_id, &event.envelope.id, &person, data.clone()).await?;
    }
    Ok(())
}

fn fields(value: Value) -> Map<String, Value> {
    match value {
        Value::Object(fields) => fields,
        _ => Map::new(),
    }
}

async fn ask(
    notifier: &Notifier,
    tx: &mut Tx,
    template: &'static str,
    approval: &str,
    event: &str,
    asked: &AskedPerson,
    mut data: Map<String, Value>,
) -> Result<(), HandleError> {
    data.insert("link".into(), json!(asked.link));
    let composed = notifier.compose_for(template, asked, &data);
    let text = composed.map_err(|errors| {
        let first = errors.first().map(|error| format!("{} {}", error.pointer, error.detail));
        HandleError::Poison(format!("{template} cannot be written: {}", first.unwrap_or_default()))
    })?;
    let Some(text) = text else {
        exceptions::raise(tx, OURSELVES, cannot_be_told(&asked.person, &asked.name, approval)).await?;
        return Ok(());
    };
    let new = NewMessage {
        template: template.to_owned(),
        to: Audience::Person(asked.person.clone()),
        // One event asks one person once; another step or reminder is another event.
        reference: Some(event.to_owned()),
        texts: vec![text],
    };
    messages::accept(tx, OURSELVES, new).await?;
    Ok(())
}

fn cannot_be_told(person: &PersonId, name: &str, approval: &str) -> Incident {
    Incident {
        class: "person_unreachable".into(),
        severity: 3,
        title: format!("{name} ({person}) is asked to decide and has no e-mail address"),
        owner: OPERATOR.into(),
        about: Some(format!("approval:{approval}")),
        details: json!({"person": person, "approval": approval}),
        same: Some(person.to_string()),
    }
}

/// Something was given up somewhere in the fleet: it becomes somebody's, once per cause.
pub(crate) async fn dead_lettered(tx: &mut Tx, event: Received<DeadLettered>) -> Result<(), HandleError> {
    let dead = event.payload;
    // Pushes of one subscription are one thing, whatever each failed of. Were it the cause, a subscriber to exceptions
    // who answers something new each time would be told of his own failures for ever.
    let same = match push::failed_push(&dead) {
        Some(subscription) => format!("{}/{}/{subscription}", dead.service, dead.destination),
        None => format!("{}/{}/{}", dead.service, dead.destination, dead.cause),
    };
    let incident = Incident {
        class: "effect_failed".into(),
        severity: 3,
        title: format!("{} of {} was given up: {}", dead.destination, dead.service, dead.cause),
        owner: OPERATOR.into(),
        about: Some(dead.about.clone()),
        details: json!({
            "dead_letter": format!("/{}/v1/dead-letters/{}", dead.service, dead.row_id),
            "cause": dead.cause,
            "attempts": dead.attempts,
            "first_failed_at": dead.first_failed_at,
        }),
        same: Some(same),
    };
    exceptions::raise(tx, OURSELVES, incident).await?;
    Ok(())
}
