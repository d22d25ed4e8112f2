//! `/v1/receipts`: a receiver says that it brought a case to an end.

use actix_web::post;
use chassis::prelude::*;
use serde::{Deserialize, Serialize};

use super::{GiveReceipts, text};
use crate::store::receipts;

/// The case of this event is at an end, whichever it was.
#[derive(Clone, Debug, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct ReceiptRequest {
    /// As in the push.
    #[schema(min_length = 1, max_length = 64, example = "n8n-low-stock")]
    subscription: String,
    /// `id` of the push.
    #[schema(min_length = 1, max_length = 100)]
    event: String,
}

#[derive(Clone, Debug, Serialize, Deserialize, utoipa::ToSchema)]
pub(crate) struct Receipt {
    subscription: String,
    event: String,
    /// Whether it was waited for. It is not where the subscription has no `receipt_within_seconds`, when the receipt was
    /// given before, and when a person was told already that the case stalled.
    awaited: bool,
}

/// Says that the case of a pushed event is at an end. A subscription with `receipt_within_seconds` is pushed an event
/// again when it stays silent for that long, and after the fourth push it becomes an exception.
#[utoipa::path(tag = "subscriptions", params(IdempotencyKey), request_body = ReceiptRequest,
    responses((status = 200, body = Receipt), Problems))]
#[post("/v1/receipts")]
pub(crate) async fn give_receipt(
    cx: Cx,
    caller: Caller<GiveReceipts>,
    key: IdempotencyKey,
    body: Body<ReceiptRequest>,
) -> Result<Answer, ApiError> {
    let ReceiptRequest { subscription, event } = body.into_inner();
    let errors = [text("/subscription", &subscription, 1..=64), text("/event", &event, 1..=100)];
    let errors: Vec<_> = errors.into_iter().flatten().collect();
    if !errors.is_empty() {
        return Err(ApiError::invalid(errors));
    }
    let (actor, fingerprint) = (caller.actor(), (subscription.clone(), event.clone()));
    let answer = command(&cx, &caller, "receipts", &key, &fingerprint, |tx| {
        Box::pin(async move {
            let awaited = receipts::give(tx, &actor, &subscription, &event).await?;
            Ok(Reply::ok(Receipt { subscription, event, awaited }))
        })
    });
    answer.await
}
