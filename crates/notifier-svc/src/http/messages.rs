//! `/v1/messages`: tell somebody, and see whether they were told.

use actix_web::{get, post, web};
use chassis::prelude::*;
use futures_util::future::try_join_all;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::{ReadMessages, SendMessages, text};
use crate::{
    notifier::Notifier,
    rules::{
        contacts::{Audience, AudienceFields},
        templates::FOR_CALLERS,
    },
    store::messages::{self, Message, NewMessage, Progress},
};

/// What to tell whom.
#[derive(Clone, Debug, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct MessageRequest {
    /// `transfer-drafted`, `transfer-declined`, `supplier-follow-up` or `purchase-recommended`.
    #[schema(example = "transfer-drafted")]
    template: String,
    #[schema(value_type = AudienceFields)]
    to: Audience,
    /// The template's variables. A missing one is refused by name, one that the template does not use is ignored.
    #[serde(default)]
    #[schema(value_type = Object, example = json!({"product": "SKU-10233", "from": "dc-1", "to": "store-017",
        "quantity": 24, "odoo_name": "WH/INT/00042", "projected_available": 31}))]
    data: Map<String, Value>,
    /// The business's own name of this message. With the same template and audience it is told once, for ever.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(min_length = 1, max_length = 255)]
    reference: Option<String>,
}

/// Tells an audience something, in each one's language.
///
/// Answers 202 with state `accepted`; with `Prefer: wait=10`, 200 and the end (`sent` or `failed`) if it comes in time.
#[utoipa::path(tag = "messages", params(IdempotencyKey, Prefer), request_body = MessageRequest, responses(
    (status = 202, description = "On its way, or told before under this reference", body = Message),
    (status = 200, description = "Its end is known", body = Message), Problems))]
#[post("/v1/messages")]
pub(crate) async fn send_message(
    cx: Cx,
    caller: Caller<SendMessages>,
    key: IdempotencyKey,
    prefer: Prefer,
    notifier: web::Data<Notifier>,
    body: Body<MessageRequest>,
) -> Result<Answer, ApiError> {
    let request = body.into_inner();
    if !FOR_CALLERS.contains(&request.template.as_str()) {
        return Err(ApiError::invalid_field("/template", format!("is unknown; there are {}", FOR_CALLERS.join(", "))));
    }
    if let Some(error) = request.reference.as_ref().and_then(|one| text("/reference", one, 1..=255)) {
        return Err(ApiError::invalid(vec![error]));
    }
    let (actor, fingerprint) = (caller.actor(), request.clone());
    let answer = command(&cx, &caller, "messages.send", &key, &fingerprint, |tx| {
        Box::pin(async move {
            let MessageRequest { template, to, data, reference } = request;
            let texts = notifier.compose(&template, &to, &data).map_err(ApiError::invalid)?;
            let new = NewMessage { template, to, reference, about: None, texts };
            let (message, _) = messages::accept(tx, &actor, new).await?;
            Ok(Reply::accepted(message))
        })
    });
    let answer = answer.await?;
    if prefer.wait.is_none() { Ok(answer) } else { wait(&cx, answer, &prefer).await }
}

/// The message as it stands when all its mails have ended, or when the caller's patience has.
async fn wait(cx: &Cx, answer: Answer, prefer: &Prefer) -> Result<Answer, ApiError> {
    let message: Message = answer.body_as()?;
    let waits = message.recipients.iter().map(|one| wait_for_operation(cx, &one.operation, prefer));
    try_join_all(waits).await?;
    let mut reader = cx.store().read().await?;
    match messages::find(&mut reader, &message.id).await? {
        Some(ended) if ended.state != Progress::Accepted => Answer::new(&Reply::ok(ended)),
        _ => Ok(answer),
    }
}

/// Messages, newest first.
#[utoipa::path(tag = "messages", params(Paging), responses((status = 200, body = Page<Message>), Problems))]
#[get("/v1/messages")]
pub(crate) async fn list_messages(
    cx: Cx,
    _caller: Caller<ReadMessages>,
    paging: Paging,
) -> Result<web::Json<Page<Message>>, ApiError> {
    let mut reader = cx.store().read().await?;
    let rows = messages::list(&mut reader, paging.after()?, paging.limit).await?;
    Ok(web::Json(Page::cut(rows, paging.limit, |message| Paging::cursor(&message.id))))
}

/// One message and what became of it.
#[utoipa::path(tag = "messages", responses((status = 200, body = Message), Problems))]
#[get("/v1/messages/{id}")]
pub(crate) async fn get_message(
    cx: Cx,
    _caller: Caller<ReadMessages>,
    id: PathOf<String>,
) -> Result<web::Json<Message>, ApiError> {
    let mut reader = cx.store().read().await?;
    let found = messages::find(&mut reader, &id).await?;
    found.map(web::Json).ok_or_else(|| ApiError::not_found("message"))
}
