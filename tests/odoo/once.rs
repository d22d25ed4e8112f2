//! One transfer, and the one that was granted.

use std::time::Duration;

use anyhow::{Result, ensure};
use futures_util::future::try_join_all;
use serde_json::json;
use testkit::OdooUser;

use crate::ground::{DRAFT, UNITS, action, alone, ask, case, drafted, ended, granted, promised};

#[test]
fn three_identical_requests_at_once_are_one_transfer() -> Result<()> {
    case(async |bed| {
        let grant = granted(bed, "THRICE").await?;
        let same = try_join_all((0..3).map(|_| ask(bed, "THRICE", "same", &grant))).await?;
        // 409: the first is still being taken in.
        ensure!(same.iter().all(|one| one.status.is_success() || one.status == 409), "answered {same:?}");
        let id = ask(bed, "THRICE", "same", &grant).await?.success()?["id"].clone();
        for answer in same.iter().filter(|one| one.status.is_success()) {
            ensure!(answer.success()?["id"] == id, "two operations: {same:?}");
        }
        let keys = ["other-1", "other-2", "other-3"];
        let others = try_join_all(keys.map(|key| ask(bed, "THRICE", key, &grant))).await?;
        ensure!(others.iter().all(|one| one.status == 409), "used more than once: {others:?}");
        ended(bed, id.as_str().unwrap_or_default()).await?;
        let transfer = bed.transfer("THRICE").await?;
        ensure!(transfer["origin"] == format!("steward:{}", id.as_str().unwrap_or("?")), "it is {transfer}");
        Ok(())
    })
}

/// Longer than Steward waits for an answer of Odoo.
const NO_ANSWER: Duration = Duration::from_secs(100);

#[test]
fn a_draft_that_a_person_edited_is_found_and_not_rewritten() -> Result<()> {
    alone(async |bed| {
        let odoo = bed.odoo.server()?;
        let grant = granted(bed, "EDITED").await?;
        let loads = odoo.calls("stock.picking", "load").await;
        bed.gateway.answer_late(DRAFT.0, DRAFT.1, NO_ANSWER);
        let id = promised(bed, "EDITED", &grant).await?;
        // Steward does not know yet that it is there. A person sees it, and knows better.
        let line = drafted(bed, "EDITED").await?["moves"][0]["id"].as_i64().unwrap_or_default();
        odoo.api.write(OdooUser::Clerk, "stock.move", line, json!({"product_uom_qty": 20.0})).await?;
        let operation = ended(bed, &id).await?;
        bed.gateway.answer_late(DRAFT.0, DRAFT.1, Duration::ZERO);

        ensure!(operation["attempts"].as_u64() > Some(1), "the answer was not missed: {operation}");
        let result = &operation["result"];
        ensure!(operation["state"] == "done" && result["quantity"] == 20.0, "Steward says {operation}");
        let transfer = bed.transfer("EDITED").await?;
        ensure!(transfer["moves"][0]["product_uom_qty"] == 20.0, "rewritten: {transfer}");
        ensure!(transfer["id"] == result["odoo_id"] && transfer["name"] == result["odoo_name"], "{transfer} {result}");
        let loads = odoo.calls("stock.picking", "load").await - loads;
        ensure!(loads == 1, "loaded {loads} times");
        Ok(())
    })
}

/// A company's own automation rule, after which Odoo's 200 is true of something else.
#[test]
fn a_draft_that_odoo_made_otherwise_than_granted_is_no_success() -> Result<()> {
    case(async |bed| {
        let odoo = &bed.odoo.server()?.api;
        let moves = odoo.id_of("ir.model", json!([["model", "=", "stock.move"]])).await?;
        let rule = json!({"name": "Half a pallet at most", "model_id": moves, "trigger": "on_create",
            "filter_domain": "[('product_id.default_code', '=', 'RULED')]"});
        let rule = odoo.create(OdooUser::Admin, "base.automation", rule).await?;
        let deed = json!({"name": "Half a pallet at most", "model_id": moves, "base_automation_id": rule, "state": "code",
            "code": "records.write({'product_uom_qty': 12})"});
        odoo.create(OdooUser::Admin, "ir.actions.server", deed).await?;

        let id = promised(bed, "RULED", &granted(bed, "RULED").await?).await?;
        let operation = ended(bed, &id).await?;
        ensure!(operation["state"] == "dead", "believed: {operation}");
        let cause = operation["cause"].as_str().unwrap_or_default();
        let name = bed.transfer("RULED").await?["name"].as_str().unwrap_or("?").to_owned();
        let wanted = format!("12 units instead of {}", action("RULED")["quantity"].as_f64().unwrap_or(UNITS));
        ensure!(cause.contains(&wanted) && cause.contains(&name), "the cause does not say it: {cause}");
        Ok(())
    })
}
