//! n8n dies (kill -9) with five cases in its hands, each at another point, and stays away for a while, in which one
//! more article runs low and a decision is made. Then it is started again.

use std::time::Duration;

use anyhow::{Result, ensure};
use steward_e2e::bed::{Bed, SOON};
use testkit::poll;

use crate::ground::{PACE, answers, approve, case, until_parked, went_through_once};

const SCORE: (&str, &str) = ("POST", "/scoring/v1/replenishment/score");
const TRANSFER: (&str, &str) = ("POST", "/supply/v1/transfers");
/// Longer than everything here takes.
const ON_AND_ON: Duration = Duration::from_hours(2);

pub(crate) async fn strike(bed: &mut Bed) -> Result<()> {
    const ASKED: [&str; 4] = ["PARKED", "DECIDED", "GRANTED", "POSTING"];
    for sku in ASKED {
        bed.stock_falls_to(sku, 10.0).await?;
    }
    for sku in ASKED {
        until_parked(bed, sku, 1).await?;
    }
    strands_before_it_asks(bed, "UNASKED").await?;
    strands_behind_its_transfer(bed, "POSTING").await?;
    strands_before_its_transfer(bed, "GRANTED").await?;

    bed.n8n.kill9();
    bed.gateway.answer_late(SCORE.0, SCORE.1, Duration::ZERO);
    bed.gateway.fail(TRANSFER.1, Duration::ZERO);
    ensure!(bed.mails_to("warehouse-south@shop.example", "POSTING") == 0, "POSTING was through already");
    bed.stock_falls_to("FELL", 10.0).await?;
    approve(bed, "DECIDED").await?;
    let refused = async || {
        let tries = (answers(bed, "/webhook/", "FELL"), answers(bed, "/webhook-waiting/", "approved"));
        ensure!(tries.0.contains(&502) && tries.1.contains(&502), "answered {tries:?}");
        Ok(())
    };
    poll(SOON, "push and callback find nobody", refused).await?;
    tokio::time::sleep(PACE.outage).await;
    bed.n8n.start_again().await?;
    approve(bed, "PARKED").await
}

/// Steward has scored, and n8n waits for the answer.
async fn strands_before_it_asks(bed: &Bed, sku: &str) -> Result<()> {
    bed.gateway.answer_late(SCORE.0, SCORE.1, ON_AND_ON);
    bed.stock_falls_to(sku, 10.0).await?;
    let case = bed.case_of(sku).await?;
    let scored = async || {
        let trail = bed.trail(&case).await?;
        ensure!(trail.count("scoring", "recommendation.made") == 1, "there is {:#?}", trail.0);
        Ok(())
    };
    poll(SOON, "it was scored", scored).await
}

/// The grant is used up and Odoo has the draft, and n8n waits for the answer.
async fn strands_behind_its_transfer(bed: &Bed, sku: &str) -> Result<()> {
    bed.gateway.answer_late(TRANSFER.0, TRANSFER.1, ON_AND_ON);
    approve(bed, sku).await?;
    bed.transfer(sku).await?;
    // The answer is on its way back to the gateway.
    tokio::time::sleep(Duration::from_secs(2)).await;
    bed.gateway.answer_late(TRANSFER.0, TRANSFER.1, Duration::ZERO);
    Ok(())
}

/// n8n has the grant, and cannot present it.
async fn strands_before_its_transfer(bed: &Bed, sku: &str) -> Result<()> {
    bed.gateway.fail(TRANSFER.1, ON_AND_ON);
    approve(bed, sku).await?;
    let tried = async || {
        let answers = answers(bed, TRANSFER.1, sku);
        ensure!(answers.contains(&503), "answered {answers:?}");
        Ok(())
    };
    poll(SOON, "n8n has the grant", tried).await
}

#[test]
fn the_case_that_waited_for_a_decision_is_resumed_by_it() -> Result<()> {
    case(async |bed| {
        let trail = went_through_once(bed, "PARKED").await?;
        ensure!(trail.count("approvals", "callback.delivered") == 1, "n8n did not take the decision: {:#?}", trail.0);
        Ok(())
    })
}

#[test]
fn the_case_that_was_decided_while_n8n_was_away_goes_on() -> Result<()> {
    case(async |bed| {
        let case = bed.case_of("DECIDED").await?;
        let resumed = async || {
            let trail = bed.trail(&case).await?;
            ensure!(trail.count("approvals", "callback.delivered") == 1, "{:#?}", trail.0);
            Ok(())
        };
        poll(PACE.patience, "the decision is delivered", resumed).await?;
        // It may have been pushed again before: then two executions have come to one end.
        went_through_once(bed, "DECIDED").await.map(drop)
    })
}

#[test]
fn the_case_that_was_lost_before_anybody_was_asked_is_pushed_again() -> Result<()> {
    case(async |bed| {
        let asked = async || bed.approval_of("UNASKED").await.map(drop);
        poll(PACE.patience, "approval is asked for", asked).await?;
        approve(bed, "UNASKED").await?;
        let trail = went_through_once(bed, "UNASKED").await?;
        ensure!(answers(bed, "/webhook/", "UNASKED") == [202, 202], "{:?}", answers(bed, "/webhook/", "UNASKED"));
        ensure!(trail.count("notify", "event.pushed_again") == 1, "{:#?}", trail.0);
        Ok(())
    })
}

#[test]
fn the_case_whose_grant_was_lost_uses_it_all_the_same() -> Result<()> {
    case(async |bed| went_through_once(bed, "GRANTED").await.map(drop))
}

#[test]
fn the_case_whose_transfer_was_accepted_tells_the_warehouse() -> Result<()> {
    case(async |bed| went_through_once(bed, "POSTING").await.map(drop))
}

#[test]
fn the_case_that_n8n_could_not_be_told_of_begins_when_it_is_back() -> Result<()> {
    case(async |bed| {
        let asked = async || bed.approval_of("FELL").await.map(drop);
        poll(PACE.patience, "approval is asked for", asked).await?;
        approve(bed, "FELL").await?;
        went_through_once(bed, "FELL").await?;
        let answers = answers(bed, "/webhook/", "FELL");
        ensure!(answers.iter().filter(|status| **status == 202).count() == 1, "pushed twice: {answers:?}");
        ensure!(answers.len() <= 7, "n8n was not left alone: {answers:?}");
        Ok(())
    })
}
