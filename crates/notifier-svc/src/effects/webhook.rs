//! One event to one subscriber, signed. The receiver knows a repeat by `webhook-id`, which is the event's id.

use std::sync::Arc;

use async_trait::async_trait;
use chassis::{outgoing::OutgoingRequest, prelude::*, webhooks};
use contracts::catalogue;
use reqwest::Method;
use secrecy::{ExposeSecret, SecretString};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use url::Url;

use crate::{
    notifier::Notifier,
    rules::push::{self, WEBHOOK},
    store::{
        OURSELVES,
        receipts::{self, Overdue},
        subscriptions,
    },
};

/// Silences looked after in one turn.
const CHASED_AT_ONCE: u32 = 200;
/// In seconds.
const LONGEST_RECEIPT: u32 = 7 * 24 * 60 * 60;

/// Payload of the effect. Address and secrets are looked up at each attempt, so that new ones count at once.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Push {
    pub subscription: String,
    pub event: String,
    /// Signed as it is, so kept as it is.
    pub body: String,
}

impl Push {
    /// The promise to deliver it.
    pub(crate) fn effect(&self, subject: &str) -> Result<NewEffect, StoreError> {
        NewEffect::new(WEBHOOK, push::order_key(&self.subscription, subject), self)
    }
}

/// One turn of the job behind receipts. A receiver that died after it had answered 202 knows nothing of the case any more:
/// the same event again, under the same id, lets it begin anew, and whatever it asks for a second time it gets the
/// first answer to. What does not come to an end even so is for a person.
///
/// # Errors
/// When the store fails; what was written by then stays written.
pub(crate) async fn chase(cx: &Cx) -> Result<(), JobError> {
    let overdue = receipts::overdue(&mut *cx.store().read().await?, cx.clock().now(), CHASED_AT_ONCE).await?;
    for owed in overdue {
        let mut tx = cx.store().begin_in(owed.thread.clone()).await?;
        let told = receipts::chase(&mut tx, &owed).await?;
        if let Some(Overdue::PushAgain(owed)) = told {
            tracing::warn!(subscription = owed.subscription, event = owed.event, push = owed.pushes, "no receipt came");
            let push = Push { subscription: owed.subscription, event: owed.event, body: owed.body };
            tx.effect(push.effect(&owed.subject)?).await?;
        }
        tx.commit().await?;
    }
    let mut tx = cx.store().begin().await?;
    receipts::forget(&mut tx).await?;
    Ok(tx.commit().await?)
}

/// Delivers pushes.
pub(crate) struct WebhookExecutor(pub Arc<Notifier>);

#[async_trait]
impl Executor for WebhookExecutor {
    fn name(&self) -> &'static str {
        WEBHOOK
    }

    fn kind(&self) -> EffectKind {
        EffectKind::IdempotentPeer
    }

    fn destination(&self, effect: &Effect) -> String {
        let subscription = effect.payload["subscription"].as_str().unwrap_or_default();
        format!("{WEBHOOK}:{subscription}")
    }

    async fn perform(&self, cx: &Cx, effect: &Effect) -> Result<Value, Attempt> {
        let push: Push = effect.payload_as()?;
        let found = self.0.subscription(cx, &push.subscription).await;
        let target = found.map_err(Attempt::retry)?.filter(|target| target.disabled.is_none());
        let Some(target) = target else {
            return Err(Attempt::Gone { cause: "the subscription is deleted or disabled".into() });
        };
        let url = Url::parse(&target.url).map_err(|error| Attempt::refused(format!("not a URL: {error}")))?;
        let signature = webhooks::sign(&target.secret, &push.event, cx.clock().now(), push.body.as_bytes());
        let signature = signature.map_err(|error| Attempt::refused(error.to_string()))?;
        let mut headers: Vec<_> = signature.into_iter().map(|(name, value)| (name.to_owned(), value)).collect();
        headers.push(("content-type".into(), "application/json".into()));
        headers.extend(target.header.map(|(name, value)| (name, value.expose_secret().to_owned())));
        let request =
            OutgoingRequest { method: Method::POST, url, headers, body: push.body.into_bytes(), purpose: WEBHOOK };
        let response = cx.outgoing().send(request).await.map_err(|error| {
            let cause = chassis::chain(&error);
            if error.is_retryable() { Attempt::retry(cause) } else { Attempt::refused(cause) }
        })?;
        match response.status {
            200..300 => Ok(json!({"status": response.status})),
            410 => Err(gone(cx, &push.subscription, &target.url).await),
            // n8n answers 404 until a workflow's webhook is registered and 401 until a rotated credential is known to
            // it: all of these may heal. A redirect is not followed, the subscriber must say the new address.
            _ => Err(Attempt::answered(&response)),
        }
    }

    async fn settled(&self, _: &Cx, tx: &mut Tx, effect: &Effect, settled: &Settled) -> Result<(), StoreError> {
        let push: Push = serde_json::from_value(effect.payload.clone())?;
        let (verb, cause) = match settled {
            Settled::Done(_) => ("event.pushed", None),
            Settled::Dead { cause } => ("event.not_pushed", Some(cause)),
        };
        if cause.is_none() {
            receipts::delivered(tx, &push.subscription, &push.event).await?;
        }
        let details = json!({"event": push.event, "cause": cause});
        tx.audit(OURSELVES, verb, &format!("subscription:{}", push.subscription), details).await
    }
}

/// The receiver wants nothing any more; the ones queued up behind this push find the subscription disabled.
async fn gone(cx: &Cx, subscription: &str, url: &str) -> Attempt {
    let cause = "the subscriber answered 410".to_owned();
    let disable = async {
        let mut tx = cx.store().begin().await?;
        subscriptions::disable(&mut tx, subscription, url, &cause).await?;
        tx.commit().await
    };
    match disable.await {
        Ok(()) => Attempt::Gone { cause },
        Err(error) => Attempt::retry(chassis::chain(&error)),
    }
}

/// Each entry that is no event type, by position, with a detail fit for the caller.
pub(crate) fn unknown_types(types: &[String]) -> Vec<(usize, String)> {
    let known: Vec<_> = catalogue().into_iter().map(|entry| entry.kind).collect();
    let unknown = types.iter().enumerate().filter(|(_, kind)| !known.contains(&kind.as_str()));
    unknown.map(|(i, kind)| (i, format!("{kind:?} is no event type; there are {}", known.join(", ")))).collect()
}

/// Whether a receiver may be given this many seconds for its receipt.
pub(crate) fn check_receipt(within_seconds: Option<u32>) -> Result<(), &'static str> {
    match within_seconds {
        Some(seconds) if !(1..=LONGEST_RECEIPT).contains(&seconds) => {
            Err("receipt_within_seconds must be 1 to 604800 (a week)")
        }
        _ => Ok(()),
    }
}

/// Whether a credential header can be sent and does not replace one of ours.
pub(crate) fn check_header(name: &str, value: &SecretString) -> Result<(), String> {
    const OURS: [&str; 8] = [
        "host",
        "connection",
        "content-length",
        "content-type",
        "transfer-encoding",
        "traceparent",
        "user-agent",
        "te",
    ];
    let lower = name.to_ascii_lowercase();
    if reqwest::header::HeaderName::try_from(name).is_err() {
        return Err("header.name is not a header name".to_owned());
    }
    if OURS.contains(&lower.as_str()) || lower.starts_with("webhook-") {
        return Err(format!("header.name must not be {lower}, which is set by the push itself"));
    }
    match reqwest::header::HeaderValue::try_from(value.expose_secret()) {
        Ok(_) => Ok(()),
        Err(_) => Err("header.value holds characters that a header cannot hold".to_owned()),
    }
}
