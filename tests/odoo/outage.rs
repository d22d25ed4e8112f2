//! Odoo is killed, and comes back.

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use futures_util::future::try_join_all;
use serde_json::Value;
use steward_e2e::bed::{Bed, STORE, Who};
use testkit::poll;

use crate::ground::{DRAFT, LATER, UNITS, alone, ask, drafted, ended, granted, operation, promised};

/// Waits until an attempt of the operation has failed, and then another.
async fn in_vain(bed: &Bed, id: &str) -> Result<()> {
    let tried = async || {
        let operation = operation(bed, id).await?;
        ensure!(operation["state"] == "pending", "it ended without Odoo: {operation}");
        ensure!(operation["attempts"].as_u64() >= Some(2) && operation["cause"].is_string(), "it is {operation}");
        Ok(())
    };
    poll(LATER, &format!("operation {id} is tried in vain"), tried).await
}

fn text(value: &Value) -> Result<String> {
    value.as_str().map(str::to_owned).with_context(|| format!("{value} is no text"))
}

#[test]
fn what_happens_while_odoo_is_away_arrives_once_when_it_is_back() -> Result<()> {
    alone(async |bed| {
        let odoo = bed.odoo.server()?;
        let grant = granted(bed, "AWAY-1").await?;
        // The hint gets through, but nobody is there when Steward looks.
        bed.stock_falls_to("AWAY-2", 10.0).await?;
        odoo.server.lock().await.kill9();
        let same = try_join_all((0..3).map(|_| ask(bed, "AWAY-1", "away", &grant))).await?;
        ensure!(same.iter().all(|one| one.status == 202 || one.status == 409), "answered {same:?}");
        let id = text(&ask(bed, "AWAY-1", "away", &grant).await?.success()?["id"])?;
        in_vain(bed, &id).await?;
        let facts = bed.api(Who::N8n).get(&format!("/supply/v1/facts/AWAY-2/{STORE}")).await?.success()?;
        ensure!(facts["stock"]["on_hand"] == 400.0, "known without Odoo: {}", facts["stock"]);

        odoo.server.lock().await.start_again().await?;
        let operation = ended(bed, &id).await?;
        ensure!(operation["state"] == "done", "it ended {operation}");
        bed.transfer("AWAY-1").await?;

        let known = async || bed.mail(&Who::Olga.address(), "AWAY-2").await;
        poll(LATER, "the change is found and asked about", known).await?;
        let link = bed.link_to(Who::Olga, "AWAY-2").await?;
        ensure!(bed.press(&link, "approve", "").await? == 303, "the button does not work");
        bed.transfer("AWAY-2").await?;
        bed.mail("warehouse-south@shop.example", "AWAY-2").await?;
        let trail = bed.trail(&bed.case_of("AWAY-2").await?).await?;
        for verb in ["stock.ran_low", "grant.consumed", "transfer.drafted"] {
            ensure!(trail.count("supply", verb) == 1, "{verb}: {:#?}", trail.0);
        }
        ensure!(bed.mails_to(&Who::Olga.address(), "AWAY-2") == 1, "she was asked twice");
        ensure!(bed.mails_to("warehouse-south@shop.example", "AWAY-2") == 1, "the warehouse was told twice");
        Ok(())
    })
}

/// The draft is committed in Odoo, and Odoo dies before Steward hears of it.
#[test]
fn a_draft_whose_answer_died_with_odoo_is_found_and_not_made_again() -> Result<()> {
    alone(async |bed| {
        let odoo = bed.odoo.server()?;
        let grant = granted(bed, "KILLED").await?;
        let loads = odoo.calls("stock.picking", "load").await;
        bed.gateway.answer_late(DRAFT.0, DRAFT.1, LATER);
        let id = promised(bed, "KILLED", &grant).await?;
        let draft = drafted(bed, "KILLED").await?;
        odoo.server.lock().await.kill9();
        bed.gateway.answer_late(DRAFT.0, DRAFT.1, Duration::ZERO);
        in_vain(bed, &id).await?;

        odoo.server.lock().await.start_again().await?;
        let operation = ended(bed, &id).await?;
        ensure!(operation["state"] == "done" && operation["result"]["odoo_id"] == draft["id"], "it ended {operation}");
        let transfer = bed.transfer("KILLED").await?;
        ensure!(transfer["moves"][0]["product_uom_qty"] == UNITS, "it became {transfer}");
        let loads = odoo.calls("stock.picking", "load").await - loads;
        ensure!(loads == 1, "loaded {loads} times");
        Ok(())
    })
}
