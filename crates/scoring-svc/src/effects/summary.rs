//! Has an OpenAI-compatible endpoint write a summary: the effect `summary`. It is told nothing that the allow-list does
//! not name, and believed nothing that the facts do not say. It is asked once: whatever fails, the template stands.

use std::time::Duration;

use async_trait::async_trait;
use chassis::{
    chain,
    outgoing::{OutgoingRequest, Response},
    prelude::*,
};
use models::summary::{self, Checked, Fact, Language, Request};
use secrecy::ExposeSecret;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::{
    settings::Writer,
    store::summaries::{self, Receipt, Written},
};

pub(crate) const NAME: &str = "summary";
/// Longest answer that is read, in bytes, and longest text that is taken from it, in characters.
const MAX_ANSWER: usize = 64 * 1024;
const MAX_TEXT: usize = 4000;

/// The effect's payload. What is told is made anew from what is kept, and compared with the receipt.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Order {
    pub(crate) summary_id: String,
}

pub(crate) struct SummaryExecutor {
    pub(crate) writer: Writer,
}

/// What of an exception may leave: the rest of it is as if it were not known.
pub(crate) fn allowed(request: &Request, writer: &Writer) -> Option<(Request, Vec<String>)> {
    let may = |field: &str| writer.allow.contains(field);
    // Without a class there is nothing to write about.
    if !may("class") || !may("severity") {
        return None;
    }
    let facts: Vec<Fact> = request.facts.iter().filter(|fact| may(&fact.id)).cloned().collect();
    let about = request.about.clone().filter(|_| may("about"));
    let mut fields = vec!["class".to_owned(), "severity".to_owned()];
    fields.extend(about.is_some().then(|| "about".to_owned()));
    fields.extend(facts.iter().map(|fact| fact.id.clone()));
    Some((Request { facts, about, ..request.clone() }, fields))
}

/// The bytes that are sent: the same for the same facts, so that a hash names them.
///
/// # Errors
/// When the facts have no JSON form.
pub(crate) fn body(told: &Request, writer: &Writer) -> Result<Vec<u8>, serde_json::Error> {
    let language = match told.language {
        Language::En => "English",
        Language::De => "German",
    };
    let task = format!(
        "Summarise the exception for a shop's staff in at most five short sentences of plain {language}. Use only the \
         facts given, with their numbers and names exactly as they stand. Add no number, name, date or cause of your own."
    );
    let facts =
        json!({"class": told.class_in_words(), "severity": told.severity, "about": told.about, "facts": told.facts});
    serde_json::to_vec(&json!({
        "model": writer.model,
        "temperature": 0,
        "max_tokens": 400,
        "messages": [
            {"role": "system", "content": task},
            {"role": "user", "content": facts.to_string()},
        ],
    }))
}

#[async_trait]
impl Executor for SummaryExecutor {
    fn name(&self) -> &'static str {
        NAME
    }

    fn kind(&self) -> EffectKind {
        EffectKind::IdempotentPeer
    }

    /// Above the endpoint's own, so that its silence ends with the template and not with a dead letter.
    fn timeout(&self) -> Duration {
        self.writer.timeout + Duration::from_secs(3)
    }

    async fn perform(&self, cx: &Cx, effect: &Effect) -> Result<Value, Attempt> {
        let order: Order = effect.payload_as()?;
        let unreadable = |error: StoreError| Attempt::retry(chain(&error));
        let mut reader = cx.store().read().await.map_err(unreadable)?;
        let kept = summaries::find(&mut reader, &order.summary_id).await.map_err(unreadable)?;
        drop(reader);
        let kept = kept.ok_or_else(|| Attempt::refused("the summary is gone"))?;
        let request: Request =
            serde_json::from_str(&kept.request).map_err(|error| Attempt::refused(error.to_string()))?;
        let written = match self.write(cx, &request, kept.receipt.as_ref()).await {
            Ok(checked) if checked.kept.is_empty() => Written {
                fallback: Some("no sentence kept to the facts".to_owned()),
                dropped: checked.dropped,
                text: None,
            },
            Ok(checked) => Written { text: Some(checked.kept.join(" ")), dropped: checked.dropped, fallback: None },
            Err(cause) => Written { fallback: Some(cause), ..Written::default() },
        };
        serde_json::to_value(written).map_err(|error| Attempt::refused(error.to_string()))
    }

    async fn settled(&self, _: &Cx, tx: &mut Tx, effect: &Effect, settled: &Settled) -> Result<(), StoreError> {
        let written = match settled {
            Settled::Done(result) => serde_json::from_value(result.clone())?,
            Settled::Dead { cause } => Written { fallback: Some(cause.clone()), ..Written::default() },
        };
        let order: Order = serde_json::from_value(effect.payload.clone())?;
        summaries::finish(tx, &order.summary_id, &written).await?;
        let details = json!({"fallback": written.fallback, "dropped": written.dropped.len(), "calls": effect.attempt});
        tx.audit("steward", "summary.written", &effect.about, details).await
    }
}

impl SummaryExecutor {
    /// What the endpoint wrote and the facts bear out; or why there is none.
    async fn write(&self, cx: &Cx, request: &Request, receipt: Option<&Receipt>) -> Result<Checked, String> {
        let receipt = receipt.ok_or("nothing may leave without a receipt")?;
        // The allow-list of now: what was taken off it since the receipt was written does not leave any more.
        let (told, fields) = allowed(request, &self.writer).ok_or("class and severity must be allowed to leave")?;
        let body = body(&told, &self.writer).map_err(|error| error.to_string())?;
        let same = receipt.fields == fields
            && receipt.hash == Digest::of_bytes(&body)
            && receipt.to == self.writer.url.as_str();
        if !same {
            return Err("what may leave, or where to, has changed since the receipt was written".to_owned());
        }
        let mut headers = vec![("content-type".to_owned(), "application/json".to_owned())];
        let key = self.writer.key().map_err(|error| error.to_string())?;
        headers.extend(key.map(|key| ("authorization".to_owned(), format!("Bearer {}", key.expose_secret()))));
        let call = OutgoingRequest {
            method: reqwest::Method::POST,
            url: self.writer.url.clone(),
            headers,
            body,
            purpose: NAME,
        };
        let answer = tokio::time::timeout(self.writer.timeout, cx.outgoing().send(call)).await;
        let answer = answer.map_err(|_| format!("no answer within {} s", self.writer.timeout.as_secs()))?;
        let text = text_of(&answer.map_err(|error| chain(&error))?)?;
        // Against what it was told: that a number is right by chance makes nothing of it true.
        Ok(summary::check(&text, &told))
    }
}

/// The text of a chat completion.
fn text_of(answer: &Response) -> Result<String, String> {
    if !answer.is_success() {
        return Err(format!("answered {}", answer.status));
    }
    if answer.body.len() > MAX_ANSWER {
        return Err(format!("the answer has more than {MAX_ANSWER} bytes"));
    }
    let completion: Value = serde_json::from_slice(&answer.body).map_err(|_| "the answer is not JSON")?;
    let text = completion["choices"][0]["message"]["content"].as_str().ok_or("the answer is no chat completion")?;
    if text.chars().count() > MAX_TEXT {
        return Err(format!("the text has more than {MAX_TEXT} characters"));
    }
    Ok(text.to_owned())
}
