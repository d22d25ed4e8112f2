//! `/v1/subscriptions`: who is pushed which events.

use actix_web::{HttpResponse, delete, get, post, web};
use base64::{Engine, engine::general_purpose::STANDARD as BASE64};
use chassis::{prelude::*, webhooks};
use secrecy::{ExposeSecret, SecretString};
use serde::{Deserialize, Serialize};
use url::Url;

use super::{ManageSubscriptions, ReadSubscriptions};
use crate::{
    effects::webhook::{check_header, check_receipt, unknown_types},
    notifier::{Notifier, Subscription},
    store::subscriptions::{self, MOST, Stored},
};

/// Push these events there. No `Debug`: it holds secrets.
#[derive(Clone, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct SubscriptionRequest {
    #[schema(min_items = 1, example = json!(["steward.stock.ran_low.v1"]))]
    types: Vec<String>,
    /// Must begin with an entry of `outgoing.callback_allow`.
    url: String,
    /// Signs the pushes (Standard Webhooks): `whsec_` and base64 of 24 to 64 bytes. Made, and told once, when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    secret: Option<String>,
    /// A credential that the receiver wants to see; n8n's webhook node can check a header but no signature.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    header: Option<CredentialHeader>,
    /// Expect a receipt (`POST /notify/v1/receipts`) for each push: after this many seconds without a sign of life of
    /// the case it is pushed again, under the same id.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(minimum = 1, maximum = 604_800, example = 900)]
    receipt_within_seconds: Option<u32>,
}

#[derive(Clone, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct CredentialHeader {
    #[schema(example = "X-Steward-Token")]
    name: String,
    value: String,
}

/// Whether pushes go out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Delivery {
    Active,
    /// The receiver answered 410.
    Disabled,
}

/// Where a subscription stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Origin {
    Api,
    /// Only the configuration can change it.
    Config,
}

/// A subscription as it may be shown.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
#[schema(as = Subscription)]
pub(crate) struct SubscriptionView {
    id: String,
    types: Vec<String>,
    url: String,
    #[schema(inline)]
    origin: Origin,
    #[schema(inline)]
    state: Delivery,
    /// Why it is disabled.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    cause: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    disabled_at: Option<Timestamp>,
    /// The secret's last four characters, to tell one from another.
    #[schema(example = "...aSw=")]
    secret_hint: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    header_name: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    receipt_within_seconds: Option<u32>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    created_at: Option<Timestamp>,
    /// The secret itself: only in the answer to the request that had it made.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    secret: Option<String>,
}

impl From<Subscription> for SubscriptionView {
    fn from(one: Subscription) -> Self {
        let secret = one.secret.expose_secret();
        let tail: String = secret.chars().skip(secret.chars().count().saturating_sub(4)).collect();
        Self {
            origin: if one.created_at.is_some() { Origin::Api } else { Origin::Config },
            state: if one.disabled.is_some() { Delivery::Disabled } else { Delivery::Active },
            disabled_at: one.disabled.as_ref().map(|gone| gone.at),
            cause: one.disabled.map(|gone| gone.cause),
            secret_hint: format!("...{tail}"),
            header_name: one.header.map(|(name, _)| name),
            receipt_within_seconds: one.receipt_within_seconds,
            id: one.id,
            types: one.types,
            url: one.url,
            created_at: one.created_at,
            secret: None,
        }
    }
}

impl SubscriptionRequest {
    fn violations(&self, cx: &Cx) -> Vec<FieldError> {
        let mut found: Vec<_> = unknown_types(&self.types)
            .into_iter()
            .map(|(i, detail)| FieldError::new(format!("/types/{i}"), detail))
            .collect();
        if self.types.is_empty() {
            found.push(FieldError::new("/types", "must name at least one event type"));
        }
        match Url::parse(&self.url) {
            Ok(url) => found.extend(cx.outgoing().check_callback(&url).err().map(|why| FieldError::new("/url", why))),
            Err(error) => found.push(FieldError::new("/url", format!("is not a URL: {error}"))),
        }
        if let Some(error) = self.secret.as_ref().and_then(|one| webhooks::check_secret(&one.as_str().into()).err()) {
            found.push(FieldError::new("/secret", error.to_string()));
        }
        let receipt = check_receipt(self.receipt_within_seconds);
        found.extend(receipt.err().map(|why| FieldError::new("/receipt_within_seconds", why)));
        if let Some(CredentialHeader { name, value }) = &self.header {
            let checked = check_header(name, &value.as_str().into());
            found.extend(checked.err().map(|why| FieldError::new("/header", why)));
        }
        found
    }
}

/// Subscribes a URL to event types.
#[utoipa::path(tag = "subscriptions", params(IdempotencyKey), request_body = SubscriptionRequest,
    responses((status = 201, body = SubscriptionView), Problems))]
#[post("/v1/subscriptions")]
pub(crate) async fn create_subscription(
    cx: Cx,
    caller: Caller<ManageSubscriptions>,
    key: IdempotencyKey,
    body: Body<SubscriptionRequest>,
) -> Result<Answer, ApiError> {
    let request = body.into_inner();
    let violations = request.violations(&cx);
    if !violations.is_empty() {
        return Err(ApiError::invalid(violations));
    }
    let (actor, fingerprint) = (caller.actor(), request.clone());
    let made = format!("whsec_{}", BASE64.encode(cx.ids().secret_bytes::<32>()));
    let answer = command(&cx, &caller, "subscriptions.create", &key, &fingerprint, |tx| {
        Box::pin(async move {
            if subscriptions::all(tx.conn()).await?.len() >= MOST {
                let detail = format!("there are {MOST}, which is the most; delete one first");
                return Err(ApiError::conflict("too-many-subscriptions", "Too many subscriptions", detail));
            }
            let told = request.secret.is_none().then(|| made.clone());
            let stored = Stored {
                id: tx.new_id().to_string(),
                types: request.types,
                url: request.url,
                secret: request.secret.unwrap_or(made).into(),
                header: request.header.map(|header| (header.name, SecretString::from(header.value))),
                receipt_within_seconds: request.receipt_within_seconds,
                created_at: tx.now(),
            };
            subscriptions::create(tx, &actor, &stored).await?;
            let view = SubscriptionView::from(Subscription::from(stored));
            Ok(Reply::created(SubscriptionView { secret: told, ..view }))
        })
    });
    answer.await
}

/// All subscriptions: those of the configuration, then the others, oldest first. There are never more than a page.
#[utoipa::path(tag = "subscriptions", responses((status = 200, body = Page<SubscriptionView>), Problems))]
#[get("/v1/subscriptions")]
pub(crate) async fn list_subscriptions(
    cx: Cx,
    _caller: Caller<ReadSubscriptions>,
    notifier: web::Data<Notifier>,
) -> Result<web::Json<Page<SubscriptionView>>, ApiError> {
    let all = notifier.subscriptions(&cx).await.map_err(unreadable)?;
    Ok(web::Json(Page { items: all.into_iter().map(SubscriptionView::from).collect(), next_cursor: None }))
}

/// One subscription.
#[utoipa::path(tag = "subscriptions", responses((status = 200, body = SubscriptionView), Problems))]
#[get("/v1/subscriptions/{id}")]
pub(crate) async fn get_subscription(
    cx: Cx,
    _caller: Caller<ReadSubscriptions>,
    notifier: web::Data<Notifier>,
    id: PathOf<String>,
) -> Result<web::Json<SubscriptionView>, ApiError> {
    let found = notifier.subscription(&cx, &id).await.map_err(unreadable)?;
    found.map(|one| web::Json(one.into())).ok_or_else(|| ApiError::not_found("subscription"))
}

/// Ends a subscription; what was promised to it is not pushed any more.
#[utoipa::path(tag = "subscriptions", responses((status = 204, description = "Deleted"), Problems))]
#[delete("/v1/subscriptions/{id}")]
pub(crate) async fn delete_subscription(
    cx: Cx,
    caller: Caller<ManageSubscriptions>,
    notifier: web::Data<Notifier>,
    id: PathOf<String>,
) -> Result<HttpResponse, ApiError> {
    if notifier.is_declared(&id) {
        let detail = "take it out of notify.subscriptions instead";
        return Err(ApiError::conflict(
            "subscription-declared",
            "The subscription stands in the configuration",
            detail,
        ));
    }
    let mut tx = cx.store().begin().await?;
    if !subscriptions::delete(&mut tx, &caller.actor(), &id).await? {
        return Err(ApiError::not_found("subscription"));
    }
    tx.commit().await?;
    Ok(HttpResponse::NoContent().finish())
}

/// Pushes again to a receiver that had answered 410 and is back. Events of the time in between are not made up for.
#[utoipa::path(tag = "subscriptions", params(IdempotencyKey),
    responses((status = 200, body = SubscriptionView), Problems))]
#[post("/v1/subscriptions/{id}/activation")]
pub(crate) async fn activate_subscription(
    cx: Cx,
    caller: Caller<ManageSubscriptions>,
    key: IdempotencyKey,
    notifier: web::Data<Notifier>,
    id: PathOf<String>,
) -> Result<Answer, ApiError> {
    let (actor, id) = (caller.actor(), id.into_inner());
    let found = notifier.subscription(&cx, &id).await.map_err(unreadable)?;
    let mut view = SubscriptionView::from(found.ok_or_else(|| ApiError::not_found("subscription"))?);
    let fingerprint = id.clone();
    let answer = command(&cx, &caller, "subscriptions.activate", &key, &fingerprint, |tx| {
        Box::pin(async move {
            subscriptions::enable(tx, &actor, &id).await?;
            (view.state, view.cause, view.disabled_at) = (Delivery::Active, None, None);
            Ok(Reply::ok(view))
        })
    });
    answer.await
}

/// The store, or a mounted secret, cannot be read now.
fn unreadable(cause: String) -> ApiError {
    tracing::error!(cause, "subscriptions cannot be read");
    ApiError::unavailable(std::time::Duration::from_secs(5))
}
