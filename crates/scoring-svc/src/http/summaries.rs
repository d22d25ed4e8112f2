//! `/v1/summaries`: an exception in a few sentences, and what left the house for them.

use std::sync::Arc;

use actix_web::{get, post, web};
use chassis::prelude::*;
use models::summary::{Dropped, Request, template};
use serde::{Deserialize, Serialize};

use super::{ReadRecommendations, Summarise};
use crate::{
    effects::summary::{NAME, Order, allowed, body as sent},
    settings::Writer,
    store::summaries::{self, Kept, Receipt},
};

/// The endpoint, if one is configured.
pub(crate) struct SummaryWriter(pub(crate) Option<Arc<Writer>>);

/// Who wrote the text.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Source {
    Template,
    Endpoint,
}

/// A summary. Its text is there at once; with an endpoint it may be replaced once by a better one.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub(crate) struct Summary {
    id: String,
    text: String,
    #[schema(inline)]
    source: Source,
    /// Whether an endpoint is still asked.
    pending: bool,
    /// Of each sentence that said more than the facts: what stands in none of them.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    dropped: Vec<Dropped>,
    /// Why the template stands although an endpoint is configured.
    #[serde(skip_serializing_if = "Option::is_none")]
    fallback: Option<String>,
    /// What left the house; absent when nothing did.
    #[serde(skip_serializing_if = "Option::is_none")]
    receipt: Option<Receipt>,
    /// Under `/operations/{id}`.
    #[serde(skip_serializing_if = "Option::is_none")]
    operation_id: Option<String>,
    made_by: String,
    made_at: Timestamp,
}

impl From<Kept> for Summary {
    fn from(kept: Kept) -> Self {
        Self {
            id: kept.id,
            text: kept.text,
            source: if kept.by_template { Source::Template } else { Source::Endpoint },
            pending: kept.pending,
            dropped: kept.dropped,
            fallback: kept.fallback,
            receipt: kept.receipt,
            operation_id: kept.operation_id,
            made_by: kept.made_by,
            made_at: kept.made_at,
        }
    }
}

/// What the command keeps; the summary itself is read when it is asked for.
#[derive(Debug, Serialize, Deserialize)]
struct Accepted {
    id: String,
    operation_id: Option<String>,
}

/// Summarises an exception from its facts, in English or German.
///
/// The template answers at once. Where an endpoint is configured, it is told the allowed fields and no other, a receipt
/// says which, and every sentence of its text with a number or name that is in no fact is dropped; with
/// `Prefer: wait=10` the answer is the finished summary (200) if it finishes in time.
#[utoipa::path(tag = "summaries", params(IdempotencyKey, Prefer), request_body = Request, responses(
    (status = 200, body = Summary), (status = 202, description = "An endpoint is still asked", body = Summary), Problems))]
#[post("/v1/summaries")]
pub(crate) async fn summarise(
    cx: Cx,
    caller: Caller<Summarise>,
    (key, prefer): (IdempotencyKey, Prefer),
    writer: web::Data<SummaryWriter>,
    body: Body<Request>,
) -> Result<Answer, ApiError> {
    let request = body.into_inner();
    let violations = request.violations();
    if !violations.is_empty() {
        return Err(ApiError::invalid(violations));
    }
    let (actor, fingerprint, writer) = (caller.actor(), request.clone(), writer.0.clone());
    let accepted = command(&cx, &caller, "summaries", &key, &fingerprint, move |tx| {
        Box::pin(async move { Ok(Reply::accepted(keep(tx, actor, &request, writer.as_deref()).await?)) })
    });
    let accepted = accepted.await?;
    let Accepted { id, operation_id } = accepted.body_as()?;
    if let Some(operation) = operation_id {
        wait_for_operation(&cx, &operation, &prefer).await?;
    }
    let kept = summaries::find(&mut *cx.store().read().await?, &id).await?;
    let kept = kept.ok_or_else(|| ApiError::not_found("summary"))?;
    let pending = kept.pending;
    let summary = Summary::from(kept);
    let mut answer = Answer::new(&if pending { Reply::accepted(summary) } else { Reply::ok(summary) })?;
    answer.replayed = accepted.replayed;
    Ok(answer)
}

/// Keeps the template's text and, if an endpoint may be asked, the receipt and the promise to ask it.
async fn keep(tx: &mut Tx, actor: String, request: &Request, writer: Option<&Writer>) -> Result<Accepted, ApiError> {
    let id = tx.new_id().to_string();
    let (mut receipt, mut fallback, mut operation_id) = (None, None, None);
    match writer.map(|writer| (writer, allowed(request, writer))) {
        Some((writer, Some((told, fields)))) => {
            let bytes = sent(&told, writer).map_err(StoreError::from)?;
            receipt = Some(Receipt {
                fields,
                hash: Digest::of_bytes(&bytes),
                bytes: bytes.len(),
                to: writer.url.to_string(),
                model: writer.model.clone(),
                at: tx.now(),
            });
            let effect = NewEffect::new(NAME, &id, &Order { summary_id: id.clone() })?.about(format!("summary:{id}"));
            operation_id = Some(tx.effect(effect).await?);
        }
        Some((_, None)) => fallback = Some("class and severity must be allowed to leave".to_owned()),
        None => {}
    }
    let details = serde_json::json!({"class": request.class, "receipt": receipt});
    tx.audit(&actor, "summary.asked", &format!("summary:{id}"), details).await?;
    let kept = Kept {
        id: id.clone(),
        request: serde_json::to_string(request).map_err(StoreError::from)?,
        pending: operation_id.is_some(),
        by_template: true,
        text: template(request),
        dropped: Vec::new(),
        fallback,
        receipt,
        operation_id: operation_id.clone(),
        made_by: actor,
        made_at: tx.now(),
    };
    summaries::add(tx, &kept).await?;
    Ok(Accepted { id, operation_id })
}

/// One summary, with the receipt of what left the house for it.
#[utoipa::path(tag = "summaries", responses((status = 200, body = Summary), Problems))]
#[get("/v1/summaries/{id}")]
pub(crate) async fn get_summary(
    cx: Cx,
    _caller: Caller<ReadRecommendations>,
    id: PathOf<String>,
) -> Result<web::Json<Summary>, ApiError> {
    let found = summaries::find(&mut *cx.store().read().await?, &id).await?;
    found.map(|kept| web::Json(kept.into())).ok_or_else(|| ApiError::not_found("summary"))
}

/// Summaries with their receipts, newest first.
#[utoipa::path(tag = "summaries", params(Paging), responses((status = 200, body = Page<Summary>), Problems))]
#[get("/v1/summaries")]
pub(crate) async fn list_summaries(
    cx: Cx,
    _caller: Caller<ReadRecommendations>,
    paging: Paging,
) -> Result<web::Json<Page<Summary>>, ApiError> {
    let rows = summaries::list(&mut *cx.store().read().await?, paging.after()?, paging.limit).await?;
    let views = rows.into_iter().map(Summary::from).collect();
    Ok(web::Json(Page::cut(views, paging.limit, |one: &Summary| Paging::cursor(&one.id))))
}
