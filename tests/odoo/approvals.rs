//! Deciding where approvers work.

use anyhow::{Context as _, Result, ensure};
use serde_json::{Value, json};
use steward_e2e::bed::{Bed, SOON, Who};
use testkit::{OdooUser, poll};

use crate::ground::case;

/// The open to-do about an article.
async fn todo(bed: &Bed, sku: &str, not: i64) -> Result<Value> {
    let odoo = &bed.odoo.server()?.api;
    let about = json!([["summary", "ilike", sku], ["id", ">", not]]);
    let open = async || {
        let found = odoo.search_read("mail.activity", about.clone(), &["user_id", "note", "res_model"]).await?;
        found.into_iter().next().context("no to-do yet")
    };
    poll(SOON, &format!("a to-do about {sku}"), open).await
}

async fn close(bed: &Bed, who: OdooUser, todo: &Value, feedback: &str) -> Result<()> {
    let closed = json!({"ids": [todo["id"]], "feedback": feedback});
    bed.odoo.server()?.api.call(who, "mail.activity", "action_feedback", closed).await.map(drop)
}

async fn noted(bed: &Bed, model: &str, text: &str) -> Result<()> {
    let odoo = &bed.odoo.server()?.api;
    let note = json!([["model", "=", model], ["body", "ilike", text]]);
    let there = async || {
        let found = odoo.search_read("mail.message", note.clone(), &["id"]).await?.len();
        ensure!(found == 1, "{found} notes on {model} say {text:?}");
        Ok(())
    };
    poll(SOON, "it is noted", there).await
}

#[test]
fn an_approver_answers_in_odoo_and_what_follows_says_so_there() -> Result<()> {
    case(async |bed| {
        let odoo = &bed.odoo.server()?.api;
        // Keys cannot be made over the API, so Olga has the clerk's account.
        let account = odoo.id_of("res.users", json!([["login", "=", "clerk"]])).await?;
        odoo.write(OdooUser::Admin, "res.users", account, json!({"email": Who::Olga.address()})).await?;

        bed.stock_falls_to("ANSWERED", 10.0).await?;
        let first = todo(bed, "ANSWERED", 0).await?;
        ensure!(first["user_id"][0] == account && first["res_model"] == "product.product", "it is {first}");
        close(bed, OdooUser::Admin, &first, "approve").await?;
        let second = todo(bed, "ANSWERED", first["id"].as_i64().unwrap_or_default()).await?;
        let why = second["note"].as_str().unwrap_or_default();
        ensure!(why.contains("Administrator closed this"), "it does not say why: {why}");
        ensure!(bed.transfers("ANSWERED").await?.is_empty(), "another's word counted");

        close(bed, OdooUser::Clerk, &second, "approve, go ahead").await?;
        let approval = bed.approval_becomes("ANSWERED", "approved").await?;
        ensure!(approval["decided_by"] == json!(["olga"]), "decided by {}", approval["decided_by"]);
        bed.transfer("ANSWERED").await?;
        let id = approval["id"].as_str().context("an approval has an id")?;
        let end = format!("Approved by olga%{id}");
        noted(bed, "product.product", &end).await?;
        noted(bed, "stock.picking", &end).await
    })
}
