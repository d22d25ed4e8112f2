use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use actix_web::{post, web};
use chassis::prelude::*;
use contracts::{Action, LocationId, Money, ProductId};
use governance::{Actor, Grant, GrantRefused, GrantVerifier, drift::drift};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::{DraftTransfer, odoo_not_configured, scope};
use crate::{
    AUDIENCE,
    effects::transfer::TransferOrder,
    rules::observation::Entity,
    settings::SupplySettings,
    store::{self, Assembler, Consumption, ODOO, Wanted},
};

/// Longest note, in bytes.
const MAX_NOTE: usize = 1000;
/// By then the keys have been fetched again.
const KEYS_ARE_COMING: Duration = Duration::from_secs(6);

/// A transfer to be drafted in Odoo.
#[derive(Clone, Debug, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct TransferRequest {
    /// A `transfer`; exactly what was granted.
    action: Action,
    /// The grant of approval-svc, a JWS.
    grant: Option<String>,
    #[schema(max_length = 1000)]
    note: Option<String>,
}

/// The action's fields, parsed.
#[derive(Clone, Debug)]
struct Asked {
    action: Action,
    product: ProductId,
    from: LocationId,
    to: LocationId,
    quantity: f64,
    grant: Option<String>,
    note: Option<String>,
}

/// What the command keeps; the operation itself is read when it is asked for.
#[derive(Debug, Serialize, Deserialize)]
struct Accepted {
    id: String,
}

/// Drafts a transfer in Odoo, once. The grant is verified, compared with the facts of now and used up in the
/// transaction that promises the draft. One of both ends must lie where the caller's roles reach. The same key again shows the same operation; the same grant under another key
/// is refused, and so is who approved it and, where the policy keeps these apart too, who asked for it. With `Prefer: wait=10` the answer is the finished operation (200) if it finishes in time.
#[utoipa::path(
    tag = "transfers",
    params(IdempotencyKey, Prefer),
    request_body = TransferRequest,
    responses((status = 200, body = Operation), (status = 202, body = Operation), Problems)
)]
#[post("/v1/transfers")]
pub(crate) async fn post_transfer(
    cx: Cx,
    settings: web::Data<SupplySettings>,
    caller: Caller<DraftTransfer>,
    key: IdempotencyKey,
    prefer: Prefer,
    body: Body<TransferRequest>,
) -> Result<Answer, ApiError> {
    if settings.odoo.is_none() {
        return Err(odoo_not_configured());
    }
    let asked = Asked::parse(body.into_inner())?;
    let ends = [&asked.from, &asked.to];
    if !scope::reaches(&cx, &caller, &ends).await?.contains(&true) {
        return Err(ApiError::problem(scope::outside(&ends)));
    }
    let fingerprint = json!({"action": asked.action, "grant": asked.grant});
    let executor = match &caller.person {
        Some(person) => Actor::Person { person: person.clone() },
        None => Actor::Service { key: caller.id.clone() },
    };
    let unknown_key = Arc::new(AtomicBool::new(false));
    let settings = settings.into_inner();
    let flag = Arc::clone(&unknown_key);
    let accepted = command(&cx, &caller, "transfers", &key, &fingerprint, move |tx| {
        Box::pin(async move { accept(tx, &settings, &executor, &asked, &flag).await })
    });
    let accepted = match accepted.await {
        Err(refused) if unknown_key.load(Ordering::Relaxed) => {
            // What the command wrote is rolled back, so the wish for fresh keys is written beside it.
            let mut tx = cx.store().begin().await?;
            store::want_keys(&mut tx).await?;
            tx.commit().await?;
            return Err(refused);
        }
        other => other?,
    };
    let id = accepted.body_as::<Accepted>()?.id;
    let operation = wait_for_operation(&cx, &id, &prefer).await?.ok_or_else(|| ApiError::not_found("operation"))?;
    let reply = if operation.is_finished() { Reply::ok(operation) } else { Reply::accepted(operation) };
    let mut answer = Answer::new(&reply)?;
    answer.replayed = accepted.replayed;
    Ok(answer)
}

impl Asked {
    fn parse(request: TransferRequest) -> Result<Self, ApiError> {
        let TransferRequest { action, grant, note } = request;
        let Action::Transfer { product, from, to, quantity } = action.clone() else {
            return Err(ApiError::invalid_field("/action/type", "must be \"transfer\""));
        };
        let mut errors = Vec::new();
        let mut refuse = |bad: bool, pointer: &str, detail: &str| {
            if bad {
                errors.push(FieldError::new(pointer, detail));
            }
        };
        refuse(!(quantity.is_finite() && quantity > 0.0), "/action/quantity", "must be above 0");
        refuse(from == to, "/action/to", "must differ from /action/from");
        refuse(note.as_ref().is_some_and(|note| note.len() > MAX_NOTE), "/note", "must have at most 1000 bytes");
        if errors.is_empty() {
            Ok(Self { action, product, from, to, quantity, grant, note })
        } else {
            Err(ApiError::invalid(errors))
        }
    }
}

/// The work of the command: every check, and what follows from all of them having passed.
async fn accept(
    tx: &mut Tx,
    settings: &SupplySettings,
    executor: &Actor,
    asked: &Asked,
    unknown_key: &AtomicBool,
) -> Result<Reply<Accepted>, ApiError> {
    let grant = verify(tx, executor, asked, unknown_key).await?;
    let order = order(tx, asked, &grant).await?;
    let unit_cost = check_drift(tx, settings, asked, &grant).await?;
    let effect = order.effect()?;
    let effect = match unit_cost.and_then(|cost| at_stake(cost, asked.quantity)) {
        Some(money) => effect.at_stake(money),
        None => effect,
    };
    let id = tx.effect(effect).await?;
    match store::consume_grant(tx, &executor.to_string(), &grant, &id).await? {
        Consumption::Consumed => Ok(Reply::accepted(Accepted { id })),
        Consumption::UsedBy(operation) => Err(ApiError::problem(
            Problem::new("grant-used", 409, "The grant has been used")
                .detail(format!("operation {operation} used it; ask for another approval to do it again")),
        )),
        Consumption::Revoked(reason) => Err(ApiError::problem(
            Problem::new("grant-revoked", 403, "The grant was taken back")
                .detail(format!("{reason}; ask for another approval if it is still needed")),
        )),
    }
}

async fn verify(tx: &mut Tx, executor: &Actor, asked: &Asked, unknown_key: &AtomicBool) -> Result<Grant, ApiError> {
    let Some(token) = &asked.grant else {
        return Err(ApiError::problem(
            Problem::new("grant-missing", 403, "A transfer needs a grant")
                .detail("ask approval-svc for it: POST /approvals/v1/approvals"),
        ));
    };
    let keys = store::published_keys(tx).await?;
    let verifier = GrantVerifier::from_jwks(&keys).map_err(|_| ApiError::unavailable(KEYS_ARE_COMING))?;
    let verified = verifier.verify(token, AUDIENCE, tx.now());
    let granted = verified.and_then(|grant| {
        grant.executable_by(executor)?;
        grant.permits(&asked.action).map(|()| grant)
    });
    granted.map_err(|refused| {
        unknown_key.store(matches!(refused, GrantRefused::UnknownKey { .. }), Ordering::Relaxed);
        refusal(&refused)
    })
}

/// The problem of each refusal; an unknown key may be one that was just published, so that one is worth a second try.
fn refusal(refused: &GrantRefused) -> ApiError {
    let (slug, title) = match refused {
        GrantRefused::UnknownKey { .. } => {
            let problem = Problem::new("grant-unknown-key", 503, "The key of the grant is not known")
                .detail(format!("{refused}; the published keys are being fetched again"));
            return ApiError::problem(problem).retry_after(KEYS_ARE_COMING);
        }
        GrantRefused::Malformed => ("grant-malformed", "This is not a grant"),
        GrantRefused::BadSignature => ("grant-bad-signature", "The signature of the grant does not match"),
        GrantRefused::ForeignAudience { .. } => ("grant-foreign", "The grant is for another service"),
        GrantRefused::Expired { .. } => ("grant-expired", "The grant has expired"),
        GrantRefused::NotYetValid { .. } => ("grant-not-yet-valid", "The grant is not valid yet"),
        GrantRefused::OtherAction { .. } => ("grant-other-action", "The grant is for another action"),
        GrantRefused::ApproverMayNotExecute { .. } => ("grant-own-approval", "Who approved cannot carry it out"),
        GrantRefused::RequesterMayNotExecute { .. } => ("grant-own-request", "Who asked cannot carry it out"),
        GrantRefused::StandInMayNotExecute { .. } | GrantRefused::AnyoneMayStandIn { .. } => {
            ("grant-own-request", "Who acts for who asked cannot carry it out")
        }
    };
    let problem = Problem::new(slug, 403, title).detail(refused.to_string());
    ApiError::problem(match refused {
        GrantRefused::OtherAction { field } => {
            problem.errors(vec![FieldError::new(format!("/action/{field}"), "is not what was granted")])
        }
        _ => problem,
    })
}

/// The order in Odoo's own words; without them nothing can be drafted.
async fn order(tx: &mut Tx, asked: &Asked, grant: &Grant) -> Result<TransferOrder, ApiError> {
    let sku = store::external_id(tx, Entity::Product, ODOO, asked.product.as_str()).await?;
    let from = store::external_id(tx, Entity::Location, ODOO, asked.from.as_str()).await?;
    let to = store::external_id(tx, Entity::Location, ODOO, asked.to.as_str()).await?;
    let (Some(sku), Some(from_warehouse), Some(to_warehouse)) = (&sku, &from, &to) else {
        let missing = [("/action/product", &sku), ("/action/from", &from), ("/action/to", &to)];
        let missing = missing.into_iter().filter(|(_, known)| known.is_none());
        let error = |(pointer, _)| FieldError::new(pointer, "is not known in Odoo; tell it with an xref observation");
        return Err(ApiError::invalid(missing.map(error).collect()));
    };
    Ok(TransferOrder {
        product: asked.product.clone(),
        from: asked.from.clone(),
        to: asked.to.clone(),
        quantity: asked.quantity,
        sku: sku.clone(),
        from_warehouse: from_warehouse.clone(),
        to_warehouse: to_warehouse.clone(),
        approval_id: grant.approval_id.clone(),
        grant_id: grant.grant_id.clone(),
        note: asked.note.clone(),
    })
}

/// Compares what was approved with the facts of now, in this transaction. Answers with the unit cost, for the record.
async fn check_drift(
    tx: &mut Tx,
    settings: &SupplySettings,
    asked: &Asked,
    grant: &Grant,
) -> Result<Option<Money>, ApiError> {
    let wanted = [Wanted { product: asked.product.clone(), location: asked.to.clone() }];
    let (dialect, now) = (tx.dialect(), tx.now());
    let assembler = Assembler { connection: tx.conn(), dialect, lane: &settings.lane, now };
    let facts = assembler.assemble(&wanted).await?.pop().flatten();
    // Facts that are gone have drifted from whatever they were.
    let current = facts.as_ref().map_or(Ok(Value::Null), serde_json::to_value).map_err(StoreError::from)?;
    let drifted = drift(&grant.bounds, &current).map_err(|invalid| {
        ApiError::problem(Problem::new("grant-malformed", 403, "This is not a grant").detail(invalid.to_string()))
    })?;
    if drifted.is_empty() {
        return Ok(facts.and_then(|facts| facts.item.unit_cost));
    }
    let errors = drifted.iter().map(|fact| {
        let detail = format!(
            "approved {}, current {}; may rise by {}, fall by {}",
            fact.approved, fact.current, fact.rise, fact.fall
        );
        FieldError::new(fact.pointer.as_str(), detail)
    });
    Err(ApiError::problem(
        Problem::new("facts-drifted", 409, "The facts have moved since the approval")
            .detail(format!(
                "what was approved no longer stands; score again and ask for another approval, with asks_again: {:?}, so \
                 that people see what changed",
                grant.approval_id
            ))
            .errors(errors.collect()),
    ))
}

/// Value of what is moved, for whoever looks at a dead letter.
fn at_stake(unit_cost: Money, quantity: f64) -> Option<Money> {
    #[expect(clippy::cast_precision_loss, reason = "a value for people to look at")]
    let minor = unit_cost.minor as f64 * quantity;
    #[expect(clippy::cast_possible_truncation, reason = "checked to lie within the integers that a double holds")]
    (minor.abs() < 9e15).then(|| Money::new(minor.round() as i64, unit_cost.currency))
}
