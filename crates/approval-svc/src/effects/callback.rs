//! Delivers a decision to who waits for it: the effect `callback`, usually the resume URL of an n8n Wait node.

use std::time::Duration;

use async_trait::async_trait;
use chassis::{
    Cx, chain,
    outgoing::{OutgoingRequest, Response},
    prelude::{Attempt, Effect, EffectKind, Executor, Settled, StoreError, Timestamp, Tx},
    webhooks,
};
use contracts::PersonId;
use secrecy::ExposeSecret;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use url::Url;

use crate::{
    rules::view::{Status, decided_by},
    settings::CallbackCredentials,
    store::{self, Stored},
};

pub(crate) const NAME: &str = "callback";
/// A workflow reaches its Wait node within moments of asking.
const UNTIL_PARKED: Duration = Duration::from_secs(1);
const BODY_TYPE: &str = "steward.approval.decided.v1";

/// The effect's payload. The decision itself is read at each attempt: so no grant lies about in dead letters.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Delivery {
    pub(crate) approval_id: String,
    pub(crate) url: String,
}

/// What is posted.
#[derive(Debug, Serialize)]
struct Body<'a> {
    #[serde(rename = "type")]
    kind: &'static str,
    timestamp: Timestamp,
    data: Decided<'a>,
}

#[derive(Debug, Serialize)]
struct Decided<'a> {
    approval_id: &'a str,
    outcome: Status,
    decided_by: Vec<PersonId>,
    #[serde(skip_serializing_if = "Option::is_none")]
    comment: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    grant: Option<&'a str>,
    decided_at: Timestamp,
}

/// The peer knows the effect's id as `webhook-id`, and n8n resumes an execution once: a repeat does nothing.
pub(crate) struct CallbackExecutor {
    pub(crate) credentials: CallbackCredentials,
}

#[async_trait]
impl Executor for CallbackExecutor {
    fn name(&self) -> &'static str {
        NAME
    }

    fn kind(&self) -> EffectKind {
        EffectKind::IdempotentPeer
    }

    fn destination(&self, effect: &Effect) -> String {
        let url = effect.payload.get("url").and_then(Value::as_str).and_then(|url| Url::parse(url).ok());
        url.and_then(|url| url.host_str().map(str::to_owned)).unwrap_or_else(|| NAME.to_owned())
    }

    async fn perform(&self, cx: &Cx, effect: &Effect) -> Result<Value, Attempt> {
        let delivery: Delivery = effect.payload_as()?;
        let url = Url::parse(&delivery.url).map_err(|error| Attempt::refused(format!("no URL: {error}")))?;
        let request = self.request(cx, effect, &delivery, url).await?;
        let response = cx.outgoing().send(request).await.map_err(|error| match error.is_retryable() {
            true => Attempt::retry(chain(&error)),
            false => Attempt::refused(chain(&error)),
        })?;
        judge(&response)?;
        Ok(json!({"status": response.status}))
    }

    async fn settled(&self, _: &Cx, tx: &mut Tx, effect: &Effect, settled: &Settled) -> Result<(), StoreError> {
        let (verb, details) = match settled {
            Settled::Done(result) => ("callback.delivered", result.clone()),
            Settled::Dead { cause } => ("callback.ended", json!({"cause": cause})),
        };
        tx.audit("steward", verb, &effect.about, details).await
    }
}

impl CallbackExecutor {
    async fn request(
        &self,
        cx: &Cx,
        effect: &Effect,
        delivery: &Delivery,
        url: Url,
    ) -> Result<OutgoingRequest, Attempt> {
        let unreadable = |error: StoreError| Attempt::retry(chain(&error));
        let mut reader = cx.store().read().await.map_err(unreadable)?;
        let request = store::find(&mut reader, &delivery.approval_id).await.map_err(unreadable)?;
        drop(reader);
        let request = request.ok_or_else(|| Attempt::refused("the request is gone"))?;
        let now = cx.clock().now();
        let body = body(&request, now)?;
        let mut headers = vec![("content-type".to_owned(), "application/json".to_owned())];
        headers.extend(self.proof(&effect.id, now, &body)?);
        Ok(OutgoingRequest { method: reqwest::Method::POST, url, headers, body, purpose: NAME })
    }

    /// The signature for those who can check it, and the header credential for n8n, whose Code node cannot.
    fn proof(&self, id: &str, now: Timestamp, body: &[u8]) -> Result<Vec<(String, String)>, Attempt> {
        let config = |error: chassis::ConfigError| Attempt::retry(error.to_string());
        let mut headers = match self.credentials.secret().map_err(config)? {
            Some(secret) => webhooks::sign(&secret, id, now, body)
                .map_err(|error| Attempt::retry(error.to_string()))?
                .map(|(name, value)| (name.to_owned(), value))
                .to_vec(),
            None => vec![
                (webhooks::ID.to_owned(), id.to_owned()),
                (webhooks::TIMESTAMP.to_owned(), now.as_second().to_string()),
            ],
        };
        let header = self.credentials.header().map_err(config)?;
        headers.extend(header.map(|(name, value)| (name, value.expose_secret().to_owned())));
        Ok(headers)
    }
}

fn body(request: &Stored, now: Timestamp) -> Result<Vec<u8>, Attempt> {
    let ended = request.state.ended().ok_or_else(|| Attempt::refused("the request is still waiting"))?;
    let data = Decided {
        approval_id: &request.id,
        outcome: Status::of(&request.state),
        decided_by: decided_by(&request.state),
        comment: ended.comment.as_deref(),
        grant: request.grant.as_ref().map(|grant| grant.token.as_str()),
        decided_at: ended.at,
    };
    serde_json::to_vec(&Body { kind: BODY_TYPE, timestamp: now, data })
        .map_err(|error| Attempt::refused(error.to_string()))
}

/// What an answer means. n8n says 404 while it boots and 409 for an execution that is not parked at its Wait node:
/// "running already" before it gets there, "finished already" after it went on, "finished with error" after it crashed.
fn judge(response: &Response) -> Result<(), Attempt> {
    let text = String::from_utf8_lossy(&response.body).to_lowercase();
    let cause = format!("answered {}", response.status);
    match response.status {
        200..300 => Ok(()),
        409 if text.contains("finished") => {
            Err(Attempt::Gone { cause: "the execution has finished already".to_owned() })
        }
        409 => Err(Attempt::NotNow { cause, after: Some(UNTIL_PARKED) }),
        410 => Err(Attempt::Gone { cause }),
        404 | 408 | 425 | 429 | 300..400 | 500.. => Err(Attempt::answered(response)),
        _ => Err(Attempt::refused(cause)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn judged(status: u16, body: &str) -> &'static str {
        let response = Response { status, headers: [].into(), body: body.as_bytes().to_vec() };
        match judge(&response) {
            Ok(()) => "done",
            Err(Attempt::NotNow { after: Some(_), .. }) => "soon",
            Err(Attempt::NotNow { .. }) => "not now",
            Err(Attempt::Retry { .. }) => "leave alone",
            Err(Attempt::Refused { .. }) => "refused",
            Err(Attempt::Gone { .. }) => "gone",
        }
    }

    #[test]
    fn n8n_s_answers_are_understood() {
        assert_eq!(judged(200, ""), "done");
        assert_eq!(judged(409, r#"{"message":"The execution \"7\" is running already."}"#), "soon");
        assert_eq!(judged(409, r#"{"message":"The execution \"7\" has finished already."}"#), "gone");
        assert_eq!(judged(409, r#"{"message":"The execution \"7\" has finished with error."}"#), "gone");
        assert_eq!(judged(404, ""), "not now");
        assert_eq!(judged(302, ""), "not now");
        assert_eq!(judged(500, ""), "leave alone");
        assert_eq!(judged(429, ""), "leave alone");
        assert_eq!(judged(410, ""), "gone");
        assert_eq!(judged(401, r#"{"error":"Invalid token"}"#), "refused");
    }
}
