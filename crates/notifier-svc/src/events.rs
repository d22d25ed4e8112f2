//! What this service does when an event arrives.

use chassis::prelude::*;
use contracts::{
    Envelope, PersonId,
    events::{
        ApprovalDecided, ApprovalOverridden, ApprovalReminded, ApprovalRequested, ApprovalSentBack, ApprovalSuspected,
        AskedPerson, DeadLettered, GrantLapsed, OverrideUnreviewed,
    },
};
use serde_json::{Map, Value, json};

use crate::{
    AUDITOR, OPERATOR,
    effects::webhook::Push,
    notifier::{Notifier, Wanting},
    rules::{
        contacts::Audience,
        push,
        templates::{APPROVAL_ENDED, APPROVAL_OVERRIDDEN, APPROVAL_REMINDED, APPROVAL_REQUESTED, APPROVAL_SENT_BACK},
    },
    store::{
        OURSELVES,
        exceptions::{self, Incident},
        messages::{self, NewMessage},
        receipts,
    },
};

/// Any event: promised to everybody who is subscribed to its type.
pub(crate) async fn any(notifier: &Notifier, tx: &mut Tx, event: &Envelope) -> Result<(), HandleError> {
    if push::is_about_a_push(event) {
        return Ok(());
    }
    if let (Some(quiet), Some(case)) = (push::quiet_until(event, tx.now()), &event.trace.correlation_id) {
        receipts::sign_of_life(tx, case, &event.kind, event.time, quiet).await?;
    }
    let wanting = notifier.wanting(tx.conn(), &event.kind).await?;
    for Wanting { id, receipt_within } in wanting {
        let body = push::body(event, &id)
            .map_err(|error| HandleError::Poison(format!("{} is not JSON: {error}", event.kind)))?;
        if let Some(patience) = receipt_within {
            receipts::expect(tx, &id, event, &body, patience).await?;
        }
        let push = Push { subscription: id, event: event.id.clone(), body };
        tx.effect(push.effect(&event.subject)?).await?;
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

/// Somebody broke the glass: the second pair of eyes is told at once.
pub(crate) async fn overridden(
    notifier: &Notifier,
    tx: &mut Tx,
    event: Received<ApprovalOverridden>,
) -> Result<(), HandleError> {
    let ApprovalOverridden { approval_id, title, person, role, reason, ticket, reviewers, review_by, .. } =
        event.payload;
    let data = fields(json!({
        "title": title, "approval": approval_id, "person": person, "role": role, "reason": reason, "ticket": ticket,
        "review_by": review_by,
    }));
    for reviewer in reviewers {
        ask(notifier, tx, APPROVAL_OVERRIDDEN, &approval_id, &event.envelope.id, &reviewer, data.clone()).await?;
    }
    Ok(())
}

/// Nobody has looked at an override in time: those who owe the review own the exception.
pub(crate) async fn unreviewed(tx: &mut Tx, event: Received<OverrideUnreviewed>) -> Result<(), HandleError> {
    let OverrideUnreviewed { approval_id, title, person, role, reviewer_role, review_by } = event.payload;
    let incident = Incident {
        class: "override_unreviewed".into(),
        severity: 3,
        title: format!("Overridden by {person} as {role} and never reviewed: {title}"),
        owner: reviewer_role,
        about: Some(format!("approval:{approval_id}")),
        details: json!({"person": person, "role": role, "review_by": review_by}),
        same: None,
    };
    exceptions::raise(tx, OURSELVES, incident).await?;
    Ok(())
}

/// Requests form a pattern that somebody who audits should look at.
pub(crate) async fn suspected(tx: &mut Tx, event: Received<ApprovalSuspected>) -> Result<(), HandleError> {
    let ApprovalSuspected { approval_id, title, pattern, summary, approvals } = event.payload;
    let incident = Incident {
        same: Some(format!("{pattern}|{approval_id}")),
        class: "approval_suspected".into(),
        severity: 2,
        title: format!("{title}: {summary}"),
        owner: AUDITOR.into(),
        about: Some(format!("approval:{approval_id}")),
        details: json!({"pattern": pattern, "approvals": approvals}),
    };
    exceptions::raise(tx, OURSELVES, incident).await?;
    Ok(())
}

/// Who asked is told what an approver wants to know; where that is nobody known, an operator is to find somebody.
pub(crate) async fn sent_back(
    notifier: &Notifier,
    tx: &mut Tx,
    event: Received<ApprovalSentBack>,
) -> Result<(), HandleError> {
    let ApprovalSentBack { approval_id, title, by, question, asked, answer_by, .. } = event.payload;
    if asked.is_empty() {
        let incident = Incident {
            class: "question_without_addressee".into(),
            severity: 3,
            title: format!("Nobody to answer a question about: {title}"),
            owner: OPERATOR.into(),
            about: Some(format!("approval:{approval_id}")),
            details: json!({"by": by, "question": question, "answer_by": answer_by}),
            same: None,
        };
        exceptions::raise(tx, OURSELVES, incident).await?;
        return Ok(());
    }
    let data = fields(json!({"title": title, "by": by, "question": question, "answer_by": answer_by}));
    for person in asked {
        ask(notifier, tx, APPROVAL_SENT_BACK, &approval_id, &event.envelope.id, &person, data.clone()).await?;
    }
    Ok(())
}

/// Watchers are told how it ended. Who waits for the decision itself gets it by callback or subscription.
pub(crate) async fn decided(
    notifier: &Notifier,
    tx: &mut Tx,
    event: Received<ApprovalDecided>,
) -> Result<(), HandleError> {
    let ApprovalDecided { approval_id, title, outcome, comment, watchers, .. } = event.payload;
    let data = fields(json!({"title": title, "outcome": outcome, "comment": comment}));
    for person in watchers {
        ask(notifier, tx, APPROVAL_ENDED, &approval_id, &event.envelope.id, &person, data.clone()).await?;
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
        about: Some(format!("approval:{approval}")),
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

/// Somebody approved, and nothing came of it: whoever should have acted has not come back.
pub(crate) async fn lapsed(tx: &mut Tx, event: Received<GrantLapsed>) -> Result<(), HandleError> {
    let GrantLapsed { approval_id, title, action, expired_at, .. } = event.payload;
    let incident = Incident {
        class: "approval_unused".into(),
        severity: 3,
        title: format!("Approved and never done: {title}"),
        owner: OPERATOR.into(),
        about: Some(format!("approval:{approval_id}")),
        details: json!({"action": action, "expired_at": expired_at}),
        same: None,
    };
    exceptions::raise(tx, OURSELVES, incident).await?;
    Ok(())
}
