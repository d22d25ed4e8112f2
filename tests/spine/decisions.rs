//! What people and the policy decide, and what follows.

use anyhow::{Result, ensure};
use serde_json::{Value, json};
use steward_e2e::bed::{Bed, DONOR_ABROAD, DONOR_NEAR, SOON, STORE, Who};
use testkit::poll;

use crate::ground::case;

/// The workflow has come to its end, whichever it was.
async fn stays_without_transfer(bed: &Bed, sku: &str, mail: &str) -> Result<()> {
    let told = bed.mail("store-north@shop.example", sku).await?;
    ensure!(told.subject.contains(mail), "the store was told {:?}", told.subject);
    let drafted = bed.transfers(sku).await?;
    ensure!(drafted.is_empty(), "drafted all the same: {drafted:?}");
    ensure!(!asked_for_transfer(bed, sku), "a transfer was asked of supply");
    Ok(())
}

fn asked_for_transfer(bed: &Bed, sku: &str) -> bool {
    !bed.gateway.passed(|one| one.path.ends_with("/supply/v1/transfers") && one.body.contains(sku)).is_empty()
}

/// Every line: service, what it wrote down, how often.
fn assert_trail(trail: &steward_e2e::bed::Trail, expected: &[(&str, &str, usize)]) -> Result<()> {
    for (service, verb, times) in expected {
        let found = trail.count(service, verb);
        ensure!(found == *times, "{service} wrote {verb:?} {found} times, not {times}: {:#?}", trail.0);
    }
    ensure!(trail.untraced().is_empty(), "without a trace id: {:?} {:#?}", trail.untraced(), trail.0);
    Ok(())
}

#[test]
fn a_fall_becomes_an_approved_transfer_and_everybody_is_told() -> Result<()> {
    case(async |bed| {
        bed.stock_falls_to("HAPPY", 10.0).await?;
        let link = bed.link_to(Who::Olga, "HAPPY").await?;
        let page = bed.api(Who::Nobody).get(&link).await?;
        ensure!(page.status == 200 && page.text.contains("Article HAPPY"), "the page: {page:?}");
        ensure!(bed.approval_of("HAPPY").await?["status"] == "waiting", "looking decided");

        ensure!(bed.press(&link, "approve", "Go ahead").await? == 303, "the button does not work");
        let approval = bed.approval_becomes("HAPPY", "approved").await?;
        ensure!(approval["decided_by"] == serde_json::json!(["olga"]), "decided by {}", approval["decided_by"]);
        let transfer = bed.transfer("HAPPY").await?;
        ensure!(transfer["state"] == "draft", "drafted as {}", transfer["state"]);
        ensure!(transfer["moves"][0]["product_uom_qty"] == approval["action"]["quantity"], "drafted {transfer}");
        let told = bed.mail("warehouse-south@shop.example", "HAPPY").await?;
        ensure!(told.subject.contains(transfer["name"].as_str().unwrap_or("?")), "the warehouse: {}", told.subject);
        bed.mail("orders@acme.example", "HAPPY").await?;

        let case = bed.case_of("HAPPY").await?;
        let settled = async || {
            let trail = bed.trail(&case).await?;
            ensure!(trail.count("notify", "message.sent") >= 4, "mails sent: {:#?}", trail.0);
            Ok(trail)
        };
        let trail = poll(SOON, "all four mails are written down as sent", settled).await?;
        assert_trail(
            &trail,
            &[
                ("supply", "hint.taken", 1),
                ("supply", "stock.changed", 1),
                ("supply", "stock.ran_low", 1),
                ("scoring", "recommendation.made", 1),
                ("approvals", "approval.requested", 1),
                ("approvals", "approval.approved", 1),
                ("approvals", "approval.ended", 1),
                ("approvals", "grant.issued", 1),
                ("approvals", "callback.delivered", 1),
                ("supply", "grant.consumed", 1),
                ("supply", "transfer.drafted", 1),
            ],
        )
    })
}

#[test]
fn a_rejection_leaves_odoo_alone_and_tells_the_store_why() -> Result<()> {
    case(async |bed| {
        bed.stock_falls_to("REJECT", 10.0).await?;
        let link = bed.link_to(Who::Otto, "REJECT").await?;
        ensure!(bed.press(&link, "reject", "We need it here").await? == 303, "the button does not work");
        stays_without_transfer(bed, "REJECT", "denied").await?;
        let told = bed.mail("store-north@shop.example", "REJECT").await?;
        ensure!(told.body_text.contains("We need it here"), "the reason is not in the mail: {}", told.body_text);
        let approval = bed.approval_becomes("REJECT", "denied").await?;
        ensure!(approval["grant"].is_null(), "a grant for a rejected request");
        Ok(())
    })
}

/// n8n stays parked meanwhile: a question is not an end.
#[test]
fn a_question_holds_the_request_until_it_is_answered() -> Result<()> {
    case(async |bed| {
        bed.stock_falls_to("QUESTION", 10.0).await?;
        let link = bed.link_to(Who::Olga, "QUESTION").await?;
        ensure!(bed.press(&link, "send_back", "").await? == 422, "sent back without a question");
        ensure!(bed.press(&link, "send_back", "Is the pallet split?").await? == 303, "the button does not work");
        let approval = bed.approval_becomes("QUESTION", "sent_back").await?;
        ensure!(approval["question"]["question"] == "Is the pallet split?", "it asks {}", approval["question"]);
        // Who has asked has spoken: the button only shows how it stands.
        ensure!(bed.press(&link, "approve", "").await? == 303, "the button does not work");
        ensure!(bed.approval_of("QUESTION").await?["status"] == "sent_back", "approved before the answer");
        let path = format!("/approvals/v1/approvals/{}/answers", approval["id"].as_str().unwrap_or("?"));
        bed.api(Who::N8n).post(&path, &json!({"text": "It is not."})).await?.success()?;
        ensure!(bed.transfers("QUESTION").await?.is_empty(), "an answer is no approval");
        ensure!(bed.press(&link, "approve", "Then go").await? == 303, "the same link does not decide");
        bed.approval_becomes("QUESTION", "approved").await?;
        bed.transfer("QUESTION").await.map(drop)
    })
}

#[test]
fn a_routine_transfer_inside_the_region_asks_nobody() -> Result<()> {
    case(async |bed| {
        bed.stock_falls_to("ROUTINE", 10.0).await?;
        let transfer = bed.transfer("ROUTINE").await?;
        ensure!(transfer["state"] == "draft", "drafted as {}", transfer["state"]);
        bed.mail("warehouse-north@shop.example", "ROUTINE").await?;
        let approval = bed.approval_of("ROUTINE").await?;
        ensure!(approval["policy"]["row"] == "routine-transfer", "judged by {}", approval["policy"]);
        ensure!(
            approval["action"]["from"] == DONOR_NEAR && approval["action"]["to"] == STORE,
            "{}",
            approval["action"]
        );
        let asked = [Who::Olga, Who::Otto].map(|who| bed.mails_to(&who.address(), "ROUTINE"));
        ensure!(asked == [0, 0], "people were asked: {asked:?}");
        Ok(())
    })
}

#[test]
fn when_nobody_decides_the_request_expires_and_nothing_moves() -> Result<()> {
    case(async |bed| {
        bed.stock_falls_to("HASTY", 10.0).await?;
        let link = bed.link_to(Who::Olga, "HASTY").await?;
        bed.approval_becomes("HASTY", "expired").await?;
        stays_without_transfer(bed, "HASTY", "expired").await?;
        let late = bed.press(&link, "approve", "").await?;
        ensure!((400..500).contains(&late), "a late click was answered {late}");
        ensure!(bed.approval_of("HASTY").await?["status"] == "expired", "a late click decided");
        ensure!(bed.transfers("HASTY").await?.is_empty(), "a late click drafted a transfer");
        Ok(())
    })
}

/// What one decision has led to, and no second one.
async fn decided_once(bed: &Bed, sku: &str) -> Result<Value> {
    bed.approval_becomes(sku, "approved").await?;
    bed.transfer(sku).await?;
    bed.mail("warehouse-south@shop.example", sku).await?;
    let case = bed.case_of(sku).await?;
    let trail = bed.trail(&case).await?;
    assert_trail(
        &trail,
        &[
            ("approvals", "approval.approved", 1),
            ("approvals", "approval.ended", 1),
            ("approvals", "grant.issued", 1),
            ("supply", "grant.consumed", 1),
        ],
    )?;
    ensure!(bed.mails_to("warehouse-south@shop.example", sku) == 1, "the warehouse was told twice");
    bed.approval_of(sku).await
}

#[test]
fn a_button_pressed_twice_decides_once() -> Result<()> {
    case(async |bed| {
        bed.stock_falls_to("CLICKS", 10.0).await?;
        let link = bed.link_to(Who::Olga, "CLICKS").await?;
        let both = tokio::join!(bed.press(&link, "approve", ""), bed.press(&link, "approve", ""));
        ensure!((both.0?, both.1?) == (303, 303), "the second click did not get the first answer");
        ensure!(bed.press(&link, "approve", "").await? == 303, "a late click did not get the first answer");
        let approval = decided_once(bed, "CLICKS").await?;
        ensure!(approval["decided_by"] == serde_json::json!(["olga"]), "decided by {}", approval["decided_by"]);
        Ok(())
    })
}

#[test]
fn of_two_people_at_once_one_decides() -> Result<()> {
    case(async |bed| {
        bed.stock_falls_to("CROWD", 10.0).await?;
        let links = (bed.link_to(Who::Olga, "CROWD").await?, bed.link_to(Who::Otto, "CROWD").await?);
        let (olga, otto) = tokio::join!(bed.press(&links.0, "approve", ""), bed.press(&links.1, "approve", ""));
        let answers = (olga?, otto?);
        ensure!(matches!(answers, (303, 409) | (409, 303)), "answered {answers:?}");
        let approval = decided_once(bed, "CROWD").await?;
        let winner = if answers.0 == 303 { "olga" } else { "otto" };
        ensure!(approval["decided_by"] == serde_json::json!([winner]), "decided by {}", approval["decided_by"]);
        ensure!(approval["action"]["from"] == DONOR_ABROAD, "from {}", approval["action"]);
        Ok(())
    })
}
