//! What goes wrong on the way, and does not matter.

use std::time::Duration;

use anyhow::{Result, ensure};
use odoo::replay::Webhook;
use serde_json::json;
use steward_e2e::bed::{Bed, SOON, STORE, Who};
use testkit::poll;

use crate::ground::case;

/// n8n answers 409 as long as the execution has not reached its Wait node. Here it has not even read the answer to its
/// request when the decision is made.
#[test]
fn a_decision_before_the_wait_node_is_parked_still_arrives() -> Result<()> {
    const ASK: (&str, &str) = ("POST", "/approvals/v1/approvals");
    case(async |bed| {
        bed.gateway.answer_late(ASK.0, ASK.1, Duration::from_secs(2));
        bed.stock_falls_to("RACE", 10.0).await?;
        let approver = bed.api(Who::Olga);
        let request = async || {
            let list = approver.get("/approvals/v1/approvals?status=waiting&limit=500").await?.success()?;
            let mut items = list["items"].as_array().cloned().unwrap_or_default().into_iter();
            let found = items.find(|item| item["action"]["product"] == "RACE");
            found.and_then(|item| item["id"].as_str().map(str::to_owned)).ok_or_else(|| anyhow::anyhow!("not yet"))
        };
        let id = poll(SOON, "the request exists", request).await?;
        let path = format!("/approvals/v1/approvals/{id}/decisions");
        approver.post(&path, &json!({"decision": "approve"})).await?.success()?;
        bed.gateway.answer_late(ASK.0, ASK.1, Duration::ZERO);
        bed.transfer("RACE").await?;
        bed.mail("warehouse-south@shop.example", "RACE").await?;
        let callbacks = bed.gateway.passed(|one| one.path.starts_with("/webhook-waiting/") && one.body.contains(&id));
        let answers: Vec<u16> = callbacks.iter().map(|one| one.status).collect();
        ensure!(answers.first() == Some(&409), "the callback was not too early: {answers:?}");
        ensure!(answers.last() == Some(&200), "the callback did not arrive: {answers:?}");
        ensure!(answers.iter().filter(|status| **status == 200).count() == 1, "it arrived twice: {answers:?}");
        Ok(())
    })
}

fn pushes(bed: &Bed, sku: &str) -> usize {
    bed.gateway.passed(|one| one.path == "/webhook/steward-low-stock" && one.body.contains(sku)).len()
}

#[test]
fn the_same_hint_five_times_is_one_case() -> Result<()> {
    case(async |bed| {
        let once = bed.webhook();
        let odoo = bed.odoo.replay()?;
        odoo.set_webhook(Some(Webhook { copies: 5, ..once.clone() }));
        let fell = bed.stock_falls_to("ECHO", 10.0).await;
        odoo.set_webhook(Some(once));
        fell?;
        let link = bed.link_to(Who::Olga, "ECHO").await?;
        ensure!(bed.press(&link, "approve", "").await? == 303, "the button does not work");
        bed.transfer("ECHO").await?;
        bed.mail("warehouse-south@shop.example", "ECHO").await?;
        let trail = bed.trail(&bed.case_of("ECHO").await?).await?;
        ensure!(trail.count("supply", "stock.ran_low") == 1, "told low more than once: {:#?}", trail.0);
        ensure!(pushes(bed, "ECHO") == 1, "n8n was told {} times", pushes(bed, "ECHO"));
        let asked = [Who::Olga, Who::Otto].map(|who| bed.mails_to(&who.address(), "ECHO"));
        ensure!(asked == [1, 1], "mails to the approvers: {asked:?}");
        Ok(())
    })
}

/// Longer than one retry of an n8n node, shorter than all of them.
const OUTAGE: Duration = Duration::from_secs(12);

fn refused(bed: &Bed, prefix: &str) -> usize {
    bed.gateway.passed(|one| one.path.starts_with(prefix) && one.status == 503).len()
}

#[test]
fn a_service_that_is_away_for_a_while_delays_the_case_and_doubles_nothing() -> Result<()> {
    case(async |bed| {
        bed.gateway.fail("/approvals", OUTAGE);
        bed.stock_falls_to("OUTAGE", 10.0).await?;
        let link = bed.link_to(Who::Olga, "OUTAGE").await?;
        ensure!(refused(bed, "/approvals") > 0, "approval-svc was never missed");
        bed.gateway.fail("/supply", OUTAGE);
        ensure!(bed.press(&link, "approve", "").await? == 303, "the button does not work");
        bed.transfer("OUTAGE").await?;
        bed.mail("warehouse-south@shop.example", "OUTAGE").await?;
        ensure!(refused(bed, "/supply/v1/transfers") > 0, "supplier-sync-svc was never missed");
        let trail = bed.trail(&bed.case_of("OUTAGE").await?).await?;
        for (service, verb) in [
            ("approvals", "approval.requested"),
            ("approvals", "grant.issued"),
            ("supply", "grant.consumed"),
            ("supply", "transfer.drafted"),
            ("scoring", "recommendation.made"),
        ] {
            ensure!(trail.count(service, verb) == 1, "{service} {verb}: {:#?}", trail.0);
        }
        let drafted = bed.transfers("OUTAGE").await?.len();
        ensure!(drafted == 1, "drafted {drafted} times");
        ensure!(bed.mails_to("warehouse-south@shop.example", "OUTAGE") == 1, "the warehouse was told twice");
        Ok(())
    })
}

/// As long as an n8n node retries, and a little more.
const RETRIES: Duration = Duration::from_secs(45);

#[test]
fn a_case_that_cannot_go_on_becomes_an_exception_with_an_owner() -> Result<()> {
    case(async |bed| {
        bed.push_ran_low("NOWHERE").await?;
        let exception = bed.exception("workflow_failed", "low-stock triage failed at Facts", RETRIES).await?;
        ensure!(exception["owner"] == "operator", "owned by {}", exception["owner"]);
        Ok(())
    })
}

#[test]
fn a_transfer_whose_facts_have_moved_is_refused_and_told_without_secrets() -> Result<()> {
    case(async |bed| {
        bed.stock_falls_to("DRIFT", 10.0).await?;
        let link = bed.link_to(Who::Olga, "DRIFT").await?;
        bed.stock_falls_to("DRIFT", 300.0).await?;
        let supplied = async || {
            let facts = bed.api(Who::N8n).get(&format!("/supply/v1/facts/DRIFT/{STORE}")).await?.success()?;
            ensure!(facts["stock"]["on_hand"] == 300.0, "on hand {}", facts["stock"]["on_hand"]);
            Ok(())
        };
        poll(SOON, "the new level is known", supplied).await?;
        ensure!(bed.press(&link, "approve", "").await? == 303, "the button does not work");
        let exception = bed.exception("transfer_refused", &format!("DRIFT@{STORE}"), RETRIES).await?;
        let told = exception.to_string();
        ensure!(told.contains("facts-drifted"), "the reason is not told: {told}");
        ensure!(!told.contains("stw_") && !told.contains("Bearer"), "the API key is told: {told}");
        ensure!(bed.transfers("DRIFT").await?.is_empty(), "drafted all the same");
        Ok(())
    })
}
