//! `odoo.transfer`: drafts a transfer once, whatever is retried, and reads it back.

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use chassis::prelude::*;
use contracts::{LocationId, ProductId, events::TransferDrafted};
use odoo::{
    Client,
    stock::{Product, Warehouse},
    transfer::{ExternalId, NewLine, NewTransfer, Picking},
};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::Peer;
use crate::{events, store};

/// Name of the executor.
pub(crate) const NAME: &str = "odoo.transfer";
/// State of a transfer that a person has called off.
const CANCELLED: &str = "cancel";

/// What was granted, with Odoo's names as they were when it was accepted.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct TransferOrder {
    pub product: ProductId,
    pub from: LocationId,
    pub to: LocationId,
    pub quantity: f64,
    pub sku: String,
    pub from_warehouse: String,
    pub to_warehouse: String,
    pub approval_id: String,
    pub grant_id: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub note: Option<String>,
}

impl TransferOrder {
    /// The effect. Of one product at one donor one transfer is drafted after another.
    pub(crate) fn effect(&self) -> Result<NewEffect, StoreError> {
        let Self { product, from, to, quantity, .. } = self;
        let effect = NewEffect::new(NAME, format!("{product}@{from}"), self)?;
        Ok(effect.about(format!("transfer of {quantity} {product} from {from} to {to}")))
    }
}

/// What the operation shows when it is done: the transfer as Odoo has it.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct TransferResult {
    pub odoo_id: i64,
    /// Such as `WH/INT/00007`.
    pub odoo_name: String,
    /// `draft` unless a person was quicker.
    pub odoo_state: String,
    pub quantity: f64,
    /// Available at the receiver, everything on its way there, and this transfer, in units.
    pub projected_available: f64,
}

pub(crate) struct Transfer(pub Arc<Peer>);

#[async_trait]
impl Executor for Transfer {
    fn name(&self) -> &'static str {
        NAME
    }

    /// Odoo can be asked for the transfer by its origin.
    fn kind(&self) -> EffectKind {
        EffectKind::Probeable
    }

    /// More hands would only queue for Odoo's rate, until a call waits longer than its timeout.
    fn concurrency(&self) -> usize {
        2
    }

    fn timeout(&self) -> Duration {
        self.0.attempt()
    }

    async fn probe(&self, cx: &Cx, effect: &Effect) -> Result<Option<Value>, Attempt> {
        let order: TransferOrder = effect.payload_as()?;
        let found = async {
            let client = self.0.client(cx.clock()).await?;
            let found = client.find_transfer(&origin(effect)).await?;
            if let Some(picking) = found.as_ref().filter(|picking| picking.state != CANCELLED) {
                write_note(&client, effect, &order, picking).await?;
            }
            Ok(found)
        };
        match found.await {
            // A person's no: neither is anything on its way, nor is it for us to draft it again.
            Ok(Some(picking)) if picking.state == CANCELLED => {
                Err(Attempt::refused(format!("{} was cancelled in Odoo", picking.name)))
            }
            Ok(Some(picking)) => result(cx, &order, &picking).await.map(Some),
            Ok(None) => Ok(None),
            Err(error) => Err(self.0.explain(error).await),
        }
    }

    async fn perform(&self, cx: &Cx, effect: &Effect) -> Result<Value, Attempt> {
        let order: TransferOrder = effect.payload_as()?;
        // Before the first attempt too: an answer that got lost with its claim must not be drafted over, because a
        // person may have edited the transfer since.
        if let Some(found) = self.probe(cx, effect).await? {
            return Ok(found);
        }
        let picking = match self.draft(cx, effect, &order).await {
            Ok(drafted) => drafted?,
            Err(error) => return Err(self.0.explain(error).await),
        };
        result(cx, &order, &picking).await
    }

    async fn settled(&self, _cx: &Cx, tx: &mut Tx, effect: &Effect, settled: &Settled) -> Result<(), StoreError> {
        let order = TransferOrder::deserialize(&effect.payload)?;
        let subject = format!("operation:{}", effect.id);
        match settled {
            Settled::Done(result) => {
                let drafted = drafted(effect, order, TransferResult::deserialize(result)?);
                events::drafted(tx, &drafted.approval_id, drafted.odoo_id).await?;
                tx.emit(&drafted).await?;
                tx.audit("system:odoo", "transfer.drafted", &subject, result.clone()).await
            }
            Settled::Dead { cause } => {
                let details = json!({"cause": cause, "grant_id": order.grant_id, "approval_id": order.approval_id});
                tx.audit("system:odoo", "transfer.refused", &subject, details).await
            }
        }
    }
}

impl Transfer {
    /// Outer errors are Odoo's; the inner one says that what was granted cannot be drafted in this Odoo.
    async fn draft(
        &self,
        cx: &Cx,
        effect: &Effect,
        order: &TransferOrder,
    ) -> Result<Result<Picking, Attempt>, odoo::Error> {
        let client = self.0.client(cx.clock()).await?;
        let product = match &mut client.products_by_sku(&[&order.sku]).await?[..] {
            [one] => one.clone(),
            found => return Ok(Err(refused(&order.sku, found))),
        };
        let (from, to) = match (
            self.0.warehouse(cx.clock(), &order.from_warehouse).await?,
            self.0.warehouse(cx.clock(), &order.to_warehouse).await?,
        ) {
            (Some(from), Some(to)) => (from, to),
            (from, _) => {
                let name = if from.is_none() { &order.from_warehouse } else { &order.to_warehouse };
                return Ok(Err(Attempt::refused(format!("Odoo has no warehouse {name:?}"))));
            }
        };
        let Some(kind) = client.internal_picking_type(from.id).await? else {
            let cause = format!("warehouse {} has no operation type for internal transfers", from.code);
            return Ok(Err(Attempt::refused(cause)));
        };
        let drafted = self.load(&client, effect, order, &product, (&from, &to), kind).await?;
        // A 200 proves nothing: what stands there must be what was granted.
        let quantity: f64 = drafted.moves.iter().map(|line| line.quantity).sum();
        if drafted.state == "draft" && (quantity - order.quantity).abs() > 1e-6 {
            let cause = format!("{} was read back with {quantity} units instead of {}", drafted.name, order.quantity);
            return Ok(Err(Attempt::refused(cause)));
        }
        Ok(Ok(drafted))
    }

    async fn load(
        &self,
        client: &Client,
        effect: &Effect,
        order: &TransferOrder,
        product: &Product,
        (from, to): (&Warehouse, &Warehouse),
        picking_type_id: i64,
    ) -> Result<Picking, odoo::Error> {
        let new = NewTransfer {
            external_id: ExternalId::parse(&format!("steward.transfer_{}", effect.id))?,
            origin: origin(effect),
            picking_type_id,
            location_id: from.stock_location.id,
            location_dest_id: to.stock_location.id,
            lines: vec![NewLine { product_id: product.id, quantity: order.quantity, uom_id: product.unit.id }],
        };
        let drafted = client.draft_transfer(&new).await?;
        write_note(client, effect, order, &drafted).await?;
        Ok(drafted)
    }
}

/// Leaves the requester's note in the transfer's history, once: the operation's id in it is how it is found again.
async fn write_note(
    client: &Client,
    effect: &Effect,
    order: &TransferOrder,
    picking: &Picking,
) -> Result<(), odoo::Error> {
    let Some(note) = &order.note else { return Ok(()) };
    if client.find_message("stock.picking", picking.id, &effect.id).await?.is_none() {
        let text = format!("{note} (Steward operation {})", effect.id);
        client.message_post("stock.picking", picking.id, &text).await?;
    }
    Ok(())
}

/// Shown in Odoo as the source document.
fn origin(effect: &Effect) -> String {
    format!("steward:{}", effect.id)
}

fn refused(sku: &str, found: &[Product]) -> Attempt {
    match found.len() {
        0 => Attempt::refused(format!("Odoo has no product with the internal reference {sku:?}")),
        many => Attempt::refused(format!("{many} products in Odoo answer to the internal reference {sku:?}")),
    }
}

async fn result(cx: &Cx, order: &TransferOrder, picking: &Picking) -> Result<Value, Attempt> {
    let projected = async {
        let mut reader = cx.store().read().await?;
        store::projected_available(&mut reader, &order.product, &order.to).await
    };
    let projected = projected.await.map_err(|error| Attempt::retry(chassis::chain(&error)))?;
    let quantity = picking.moves.iter().map(|line| line.quantity).sum();
    Ok(json!(TransferResult {
        odoo_id: picking.id,
        odoo_name: picking.name.clone(),
        odoo_state: picking.state.clone(),
        quantity,
        projected_available: projected + quantity,
    }))
}

fn drafted(effect: &Effect, order: TransferOrder, result: TransferResult) -> TransferDrafted {
    TransferDrafted {
        operation_id: effect.id.clone(),
        approval_id: order.approval_id,
        grant_id: order.grant_id,
        product: order.product,
        from: order.from,
        to: order.to,
        quantity: result.quantity,
        odoo_id: result.odoo_id,
        odoo_name: result.odoo_name,
        projected_available: result.projected_available,
    }
}
