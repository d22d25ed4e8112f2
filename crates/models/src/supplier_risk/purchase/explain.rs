//! Why this probability, and what would change it.
//!
//! The estimate is a walk: from all lines through narrower and narrower circles, then the days that have passed, then
//! the slack. Each step's difference is its contribution, so they add up to the score by construction.

use super::{
    Model, Request,
    shrinkage::{CIRCLES, late_rate},
    types::Evidence,
};
use crate::{
    Band, Contribution, Counterfactual, Judge, Score,
    score::{ONE, largest_remainder},
};

/// Most slack, in days, that a counterfactual looks at.
const FARTHEST: i16 = 365;

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
    let before = std::iter::once(0.0).chain(reached.iter().copied());
    let parts: Vec<f64> = reached.iter().zip(before).map(|(after, before)| (after - before) * f64::from(ONE)).collect();
    let micros = largest_remainder(&parts, i64::from(score.micros()));
    let named = names.into_iter().zip(micros);
    named.map(|((name, pointer), micros)| Contribution { name: name.to_owned(), pointer, micros }).collect()
}

/// Fewest days of slack more that lower the band; for a low band, fewest days less that raise it.
pub(super) fn slack(model: &Model, request: &Request, evidence: &Evidence, band: Band) -> Option<Counterfactual> {
    let now = request.line.slack_days;
    let step = if band == Band::Low { -1 } else { 1 };
    let mut changed = request.clone();
    let mut slack = now;
    while slack.abs() < FARTHEST {
        slack += step;
        changed.line.slack_days = slack;
        let score_then = model.score(&changed, evidence);
        let band_then = model.parameters().bands.band(score_then);
        if band_then != band {
            let (days, change) = ((slack - now).abs(), if step > 0 { "more" } else { "fewer" });
            return Some(Counterfactual {
                pointer: "/line/slack_days".to_owned(),
                value_now: f64::from(now),
                value_needed: f64::from(slack),
                band_then,
                score_then,
                detail: format!(
                    "with {days} {change} days until the goods are needed the band would be {}",
                    band_then.as_str()
                ),
            });
        }
    }
    None
}
