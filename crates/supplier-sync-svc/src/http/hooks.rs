use actix_web::{HttpRequest, http::header, post, web};
use chassis::{http::parse_json, prelude::*};
use odoo::{Hint, HintError, Record as _, activity::ActivityState};
use serde::Serialize;
use serde_json::json;

use super::odoo_not_configured;
use crate::{
    effects::{
        approval::Order,
        read_back::{DEBOUNCE, LookAt},
        reading::QUANT,
    },
    rules::basic_auth,
    settings::{OdooSettings, SupplySettings},
    store::{self, NewHint, Taken},
};

/// A webhook as Odoo sends it: these and the rule's own fields.
#[derive(utoipa::ToSchema)]
struct OdooHook {
    #[schema(min_length = 1, max_length = 63, pattern = "^[a-z0-9_.]+$", example = "stock.quant")]
    _model: String,
    #[schema(example = 42)]
    _id: i64,
    /// `<name of the rule>(#<id>)`.
    _action: Option<serde_json::Value>,
}

/// What became of a webhook.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub(crate) struct HookTaken {
    /// Always true: the row is committed.
    accepted: bool,
    /// The same bytes came within the last ten seconds.
    duplicate: bool,
}

/// A webhook of Odoo. It is taken for a hint: kept, answered at once, and the record is read back a second later.
/// Hints about models other than `stock.quant`, and `mail.activity` where it is a to-do of ours, are kept and go no
/// further. It is authenticated by HTTP Basic, which is
/// all that Odoo can do: user and secret stand in the webhook's URL.
#[utoipa::path(
    tag = "hooks",
    request_body = OdooHook,
    responses((status = 202, body = HookTaken), Problems),
    security(("webhook" = []))
)]
#[post("/v1/hooks/odoo")]
pub(crate) async fn take_odoo_hook(
    cx: Cx,
    settings: web::Data<SupplySettings>,
    request: HttpRequest,
    body: Result<web::Bytes, actix_web::Error>,
) -> Result<Answer, ApiError> {
    let odoo = settings.odoo.as_ref().ok_or_else(odoo_not_configured)?;
    authenticate(&cx, odoo, &request)?;
    let body = body.map_err(|error| ApiError::malformed(error.to_string()))?;
    let fields = parse_json(&body).map_err(ApiError::problem)?;
    let hint = Hint::from_json(fields).map_err(|error| match error {
        HintError::Json(error) => ApiError::malformed(error.to_string()),
        HintError::Field { pointer, detail } => ApiError::invalid_field(pointer, detail),
    })?;
    let taken = take(&cx, &hint, &Digest::of_bytes(&body)).await?;
    Answer::new(&Reply::accepted(HookTaken { accepted: true, duplicate: taken == Taken::Duplicate }))
}

fn authenticate(cx: &Cx, odoo: &OdooSettings, request: &HttpRequest) -> Result<(), ApiError> {
    let secrets = odoo.hook_secrets().map_err(|error| {
        tracing::error!(%error, "the secret of the webhook cannot be read");
        ApiError::unavailable(std::time::Duration::from_secs(30))
    })?;
    let header = request.headers().get(header::AUTHORIZATION).and_then(|value| value.to_str().ok());
    if basic_auth::opens(header, &odoo.hook_user, &secrets) {
        return Ok(());
    }
    cx.metrics().webhook_signature_failure("odoo");
    tracing::warn!("a webhook without Odoo's credentials was refused");
    Err(ApiError::problem(
        Problem::new("hook-unauthorized", 401, "The webhook's credentials are missing or wrong")
            .detail("put user and secret into the URL of the webhook: https://odoo:<secret>@host/supply/v1/hooks/odoo"),
    ))
}

async fn take(cx: &Cx, hint: &Hint, digest: &Digest) -> Result<Taken, StoreError> {
    let mut tx = cx.store().begin().await?;
    let todo = match &*hint.model {
        ActivityState::MODEL => store::open_todo(cx.store(), hint.id).await?,
        _ => None,
    };
    let reason = format!("{} is not read back", hint.model);
    let ignored = (hint.model != QUANT && todo.is_none()).then_some(reason.as_str());
    let new = NewHint { digest, model: &hint.model, record_id: hint.id, written_at: hint.write_date, ignored };
    let taken = store::take_hint(&mut tx, &new).await?;
    if taken == Taken::New {
        // Everything that follows from this hint is one business case.
        let case = tx.new_id().to_string();
        tx.correlate(case);
        if let Some(todo) = todo {
            let look = Order::LookAtTodo { odoo_id: todo.odoo_id }.effect(&todo.key.approval_id)?;
            tx.effect(look.not_before(tx.now() + DEBOUNCE)).await?;
        } else if ignored.is_none() {
            let look = LookAt { model: hint.model.clone(), id: hint.id, written_at: hint.write_date };
            let effect = look.effect(tx.now())?;
            tx.effect(effect).await?;
        }
        let subject = format!("{}:{}", hint.model, hint.id);
        let details = json!({"digest": digest, "action": hint.action, "ignored": ignored});
        tx.audit("system:odoo", "hint.taken", &subject, details).await?;
    }
    tx.commit().await?;
    cx.metrics().hint(match (taken, ignored) {
        (Taken::Duplicate, _) => "duplicate",
        (Taken::New, Some(_)) => "ignored",
        (Taken::New, None) => "taken",
    });
    Ok(taken)
}
