//! Why this probability, and what would change it.
//!
//! The estimate is a walk: from all lines through narrower and narrower circles, then the days that have passed, then
//! the slack. Each step's difference is its contribution, so they add up to the score by construction.

use super::{
    Model, Request,
    shrinkage::{CIRCLES, late_rate},
    types::{Evidence, SLACK_DAYS},
};
use crate::{
    Band, Contribution, Counterfactual, Judge, Score,
    explain::{self, differences},
};

pub(super) fn contributions(model: &Model, request: &Request, evidence: &Evidence, score: Score) -> Vec<Contribution> {
    let shrinkage = &model.parameters().shrinkage;
    let delivery = model.delivery(request, evidence);
    let (due, today) = (f64::from(request.line.slack_days), request.overdue_days() as f64);
    let mut names = Vec::with_capacity(CIRCLES + 2);
    let mut reached = Vec::with_capacity(CIRCLES + 2);
    for (index, (circle, _)) in evidence.circles().into_iter().enumerate() {
        names.push((if index == 0 { "baseline" } else { circle }, Some(format!("/evidence/{circle}"))));
        reached.push(late_rate(evidence, index + 1, shrinkage));
    }
    names.push(("days_passed", Some("/as_of".to_owned())));
    reached.push(delivery.late_after(0.0, today));
    names.push(("slack", Some("/line/slack_days".to_owned())));
    reached.push(delivery.late_after(due, today));
    explain::contributions(names, &differences(&reached), score)
}

/// Fewest days of slack more that lower the band; for a low band, fewest days less that raise it.
pub(super) fn slack(model: &Model, request: &Request, evidence: &Evidence, band: Band) -> Option<Counterfactual> {
    let now = request.line.slack_days;
    let (sign, change) = if band == Band::Low { (-1, "fewer") } else { (1, "more") };
    let mut changed = request.clone();
    let slacks = (1..).map(|days| (days, now + sign * days)).take_while(|(_, slack)| SLACK_DAYS.contains(slack));
    let (days, value_needed, score_then, band_then) = slacks
        .map(|(days, slack)| {
            changed.line.slack_days = slack;
            let score = model.score(&changed, evidence);
            (days, slack, score, model.parameters().bands.band(score))
        })
        .find(|(.., band_then)| *band_then != band)?;
    Some(Counterfactual {
        pointer: "/line/slack_days".to_owned(),
        value_now: f64::from(now),
        value_needed: f64::from(value_needed),
        band_then,
        score_then,
        detail: format!(
            "with {days} {change} days until the goods are needed the band would be {}",
            band_then.as_str()
        ),
    })
}
