//! What is pushed to a subscriber, and what is not.

use std::time::Duration;

use contracts::{
    Envelope, EventPayload,
    events::{
        ApprovalDecided, ApprovalReminded, ApprovalRequested, ApprovalSentBack, DeadLettered, GrantConsumed,
        RecommendationMade, TransferDrafted,
    },
};
use jiff::Timestamp;
use serde_json::{Value, json};

/// Executor of pushes; also the outbox's destination.
pub(crate) const WEBHOOK: &str = "webhook";

/// An accepted operation is done, or a dead letter with an owner of its own, after some two and a half hours.
const OPERATION_TAKES: Duration = Duration::from_hours(3);

/// Events in which people are named together with links that are theirs alone.
const PERSONAL: [&str; 4] =
    [ApprovalRequested::TYPE, ApprovalReminded::TYPE, ApprovalSentBack::TYPE, ApprovalDecided::TYPE];

/// Order key of pushes: what one subscriber hears of one subject keeps its order.
pub(crate) fn order_key(subscription: &str, subject: &str) -> String {
    format!("subscription:{subscription} {subject}")
}

/// The subscription of an order key.
pub(crate) fn subscription_of(order_key: &str) -> Option<&str> {
    order_key.strip_prefix("subscription:")?.split(' ').next()
}

/// The body of a push. Decision links stay out of it: they belong to the asked person alone, and whoever holds one can
/// decide in their name.
pub(crate) fn body(event: &Envelope, subscription: &str) -> Result<String, serde_json::Error> {
    let mut data: Value = serde_json::from_str(event.data.get())?;
    if PERSONAL.contains(&event.kind.as_str()) {
        for people in ["asked", "watchers"] {
            let people = data.get_mut(people).and_then(Value::as_array_mut);
            people.into_iter().flatten().filter_map(Value::as_object_mut).for_each(|person| {
                person.remove("link");
            });
        }
    }
    serde_json::to_string(&json!({
        "type": event.kind,
        "timestamp": event.time,
        "id": event.id,
        "subject": event.subject,
        "correlation_id": event.trace.correlation_id,
        "traceparent": event.trace.traceparent,
        // For the receipt.
        "subscription": subscription,
        "data": data,
    }))
}

/// Until when it means nothing that a receiver is silent about a case in which this happened; `None` for events that say
/// nothing of how the case goes on. While people decide or Odoo is written to, others have the case.
pub(crate) fn quiet_until(event: &Envelope, now: Timestamp) -> Option<Timestamp> {
    match event.kind.as_str() {
        RecommendationMade::TYPE | ApprovalDecided::TYPE | TransferDrafted::TYPE => Some(now),
        ApprovalRequested::TYPE => event.payload::<ApprovalRequested>().ok().map(|asked| asked.decide_by),
        ApprovalReminded::TYPE => event.payload::<ApprovalReminded>().ok().map(|asked| asked.decide_by),
        // The receiver may be the one who has to answer; then it does so well within this time.
        ApprovalSentBack::TYPE => event.payload::<ApprovalSentBack>().ok().map(|asked| asked.answer_by),
        GrantConsumed::TYPE => Some(now + OPERATION_TAKES),
        _ => None,
    }
}

/// Whether an event says that a push was given up. It is not pushed: with two subscribers that are both away, each
/// one's dead letter would become a push to the other, for ever. It becomes an exception instead, of which there is one
/// per subscription while it is open.
pub(crate) fn is_about_a_push(event: &Envelope) -> bool {
    event.kind == DeadLettered::TYPE && event.payload::<DeadLettered>().is_ok_and(|dead| failed_push(&dead).is_some())
}

/// The subscription whose push was given up.
pub(crate) fn failed_push(dead: &DeadLettered) -> Option<&str> {
    (dead.service == crate::PREFIX && dead.destination == WEBHOOK).then_some(())?;
    subscription_of(&dead.about)
}

#[cfg(test)]
mod tests {
    use contracts::Trace;

    use super::*;

    fn event(kind: &str, data: Value) -> Envelope {
        Envelope {
            id: "0192".into(),
            source: "/approvals".into(),
            kind: kind.into(),
            time: "2026-11-23T08:00:00Z".parse().unwrap(),
            subject: "approval:1".into(),
            trace: Trace { correlation_id: Some("thread-1".into()), ..Trace::default() },
            data: serde_json::value::to_raw_value(&data).unwrap(),
        }
    }

    #[test]
    fn a_push_carries_the_event_and_its_thread_but_no_decision_link() {
        let asked = json!({"asked": [{"person": "olga", "name": "Olga", "link": "https://s/decide/secret"}]});
        let body = body(&event(ApprovalRequested::TYPE, asked), "n8n").unwrap();
        assert!(!body.contains("decide/secret"), "{body}");
        let watched = json!({"watchers": [{"person": "olga", "name": "Olga", "link": "https://s/decide/secret"}]});
        assert!(!super::body(&event(ApprovalDecided::TYPE, watched), "n8n").unwrap().contains("decide/secret"));
        let body: Value = serde_json::from_str(&body).unwrap();
        assert_eq!(body["data"]["asked"][0]["person"], "olga");
        assert_eq!((&body["correlation_id"], &body["timestamp"]), (&json!("thread-1"), &json!("2026-11-23T08:00:00Z")));
        assert_eq!(body["subscription"], "n8n");
    }

    #[test]
    fn silence_means_nothing_while_others_have_the_case() {
        let now: Timestamp = "2026-11-23T09:00:00Z".parse().unwrap();
        let reminded = json!({"approval_id": "1", "title": "t", "step": 0, "escalated": false, "asked": [],
            "decide_by": "2026-11-24T08:00:00Z"});
        let people = quiet_until(&event(ApprovalReminded::TYPE, reminded), now);
        assert_eq!(people, Some("2026-11-24T08:00:00Z".parse().unwrap()));
        assert_eq!(quiet_until(&event(ApprovalDecided::TYPE, json!({})), now), Some(now));
        assert_eq!(quiet_until(&event(GrantConsumed::TYPE, json!({})), now), Some(now + OPERATION_TAKES));
        assert_eq!(quiet_until(&event("steward.stock.ran_low.v1", json!({})), now), None, "it began the case");
    }

    #[test]
    fn only_the_dead_letter_of_an_own_push_stays_unpushed() {
        let dead = |service: &str, destination: &str| {
            let about = order_key("n8n", "SKU-1@store-1");
            let data = json!({"row_id": "1", "service": service, "destination": destination, "about": about, "cause": "c",
                "attempts": 7, "first_failed_at": "2026-11-23T08:00:00Z"});
            event(DeadLettered::TYPE, data)
        };
        assert!(is_about_a_push(&dead("notify", "webhook")));
        assert!(!is_about_a_push(&dead("supply", "webhook")) && !is_about_a_push(&dead("notify", "smtp")));
        assert_eq!(failed_push(&dead("notify", "webhook").payload().unwrap()), Some("n8n"));
    }
}
