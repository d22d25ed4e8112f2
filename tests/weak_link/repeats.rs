//! What comes twice has an effect once.

use std::collections::BTreeSet;

use anyhow::{Result, ensure};
use testkit::poll;

use crate::ground::{PACE, answers, approve, case, until_parked, went_through_once};

/// The relay has died between the push and writing it down: n8n runs the case twice, at once.
#[test]
fn a_push_that_comes_twice_asks_once() -> Result<()> {
    const PUSH: &str = "/webhook/steward-low-stock";
    case(async |bed| {
        bed.gateway.double(PUSH, "TWICE");
        bed.stock_falls_to("TWICE", 10.0).await?;
        let twice = async || {
            ensure!(answers(bed, PUSH, "TWICE") == [202, 202], "answered {:?}", answers(bed, PUSH, "TWICE"));
            Ok(())
        };
        poll(PACE.patience, "n8n has two executions of the case", twice).await?;
        // Both executions have asked, and the second was shown the request of the first.
        until_parked(bed, "TWICE", 2).await?;
        approve(bed, "TWICE").await?;
        went_through_once(bed, "TWICE").await?;
        Ok(())
    })
}

/// n8n answers 500 to one of two resumes at once, and goes on once.
#[test]
fn a_decision_that_is_delivered_twice_at_once_goes_on_once() -> Result<()> {
    const RESUME: &str = "/webhook-waiting/";
    case(async |bed| {
        bed.stock_falls_to("RESUMED", 10.0).await?;
        until_parked(bed, "RESUMED", 1).await?;
        let id = bed.approval_of("RESUMED").await?["id"].as_str().unwrap_or_default().to_owned();
        bed.gateway.double(RESUME, &id);
        approve(bed, "RESUMED").await?;
        let trail = went_through_once(bed, "RESUMED").await?;
        let answers: BTreeSet<u16> = answers(bed, RESUME, &id).into_iter().collect();
        ensure!(answers.contains(&200) && answers.len() > 1, "there were not two at once: {answers:?}");
        let settled = async || {
            let trail = bed.trail(&bed.case_of("RESUMED").await?).await?;
            let ends = trail.count("approvals", "callback.delivered") + trail.count("approvals", "callback.ended");
            ensure!(ends == 1, "{:#?}", trail.0);
            Ok(())
        };
        poll(PACE.patience, "the callback is at its end", settled).await?;
        one_trace(&trail)
    })
}

/// n8n's community edition drops trace context; its HTTP nodes carry the push's own.
fn one_trace(trail: &steward_e2e::bed::Trail) -> Result<()> {
    let by_n8n = [
        ("supply", "stock.ran_low"),
        ("scoring", "recommendation.made"),
        ("approvals", "approval.requested"),
        ("supply", "grant.consumed"),
        ("supply", "transfer.drafted"),
        ("notify", "receipt.given"),
    ];
    let of_case = trail.0.iter().filter(|leaf| by_n8n.contains(&(leaf.service, leaf.verb.as_str())));
    let traces: BTreeSet<_> = of_case.map(|leaf| &leaf.trace_id).collect();
    ensure!(traces.len() == 1, "the case has {} traces: {:#?}", traces.len(), trail.0);
    Ok(())
}
