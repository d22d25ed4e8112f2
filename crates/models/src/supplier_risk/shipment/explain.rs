//! Why this probability, and what would change it.

use super::{
    Model, Request,
    arrival::{Arrival, View},
    types::Delay,
};
use crate::{
    Band, Contribution, Counterfactual, Judge, Score,
    explain::{self, differences, first},
};

/// Farthest change of the allowed minutes, and highest delay, that are looked for: ten years.
const FARTHEST: f64 = 5_256_000.0;

/// The facts in the order in which they become known, each with the difference it makes: the plan for average places,
/// the places, the progress of the inbound legs, that of the outbound leg, and minutes allowed beyond the plan.
pub(super) fn contributions(model: &Model, request: &Request, score: Score) -> Vec<Contribution> {
    let transport = &request.transport;
    let steps = [
        ("baseline", None),
        ("places", Some("/transport/inbound")),
        ("inbound_progress", Some("/transport/inbound")),
        ("outbound_progress", Some("/transport/outbound")),
        ("allowed_minutes", Some("/transport/allowed_minutes")),
    ];
    let views = [(false, false, false), (true, false, false), (true, true, false), (true, true, true)];
    let mut reached: Vec<f64> = views
        .into_iter()
        .map(|(places, inbound, outbound)| {
            let view = View { places, inbound, outbound };
            Arrival::of(transport, &model.parameters().durations, view).later_than(transport.planned())
        })
        .collect();
    reached.push(model.late(transport));
    explain::contributions(steps, &differences(&reached), score)
}

/// Fewest minutes more that lower the band; for a low band, fewest minutes less that raise it.
pub(super) fn allowed(model: &Model, request: &Request, band: Band) -> Option<Counterfactual> {
    let now = request.transport.allowed();
    let sign = if band == Band::Low { -1.0 } else { 1.0 };
    let mut changed = request.transport.clone();
    let mut score = |minutes: f64| {
        changed.allowed_minutes = Some(now + sign * minutes);
        Score::of(model.late(&changed))
    };
    let bands = &model.parameters().bands;
    let most = if band == Band::Low { now.floor() } else { FARTHEST };
    let minutes = first(most, |minutes| bands.band(score(minutes)) != band)?;
    let score_then = score(minutes);
    let band_then = bands.band(score_then);
    let change = if sign > 0.0 { "more" } else { "fewer" };
    Some(Counterfactual {
        pointer: "/transport/allowed_minutes".to_owned(),
        value_now: now,
        value_needed: now + sign * minutes,
        band_then,
        score_then,
        detail: format!("with {minutes} {change} minutes allowed the band would be {}", band_then.as_str()),
    })
}

/// Whole minutes of delay that are exceeded with at most half, a fifth and a twentieth.
pub(super) fn delay(arrival: &Arrival, allowed: f64) -> Delay {
    let quantile = |exceeded: f64| {
        let reached = |minutes: f64| arrival.later_than(allowed + minutes) <= exceeded;
        if reached(0.0) { 0.0 } else { first(FARTHEST, reached).unwrap_or(FARTHEST) }
    };
    Delay { p50: quantile(0.5), p80: quantile(0.2), p95: quantile(0.05) }
}
