//! Why this score, and what would change it.

use super::{
    Model,
    row::{COLUMNS, Fact, LEAD_TIME, ON_HAND, Row, derive},
};
use crate::{
    Band, Contribution, Counterfactual, Score,
    ensemble::{Parts, logistic},
    explain::{self, first},
};

/// Most units more that the search for a counterfactual looks at.
const FARTHEST: f64 = 1e9;

/// Parts of the score by fact.
///
/// The log-odds are additive, the probability is not. On the straight way from the baseline's log-odds to the
/// article's, each part of the log-odds earns probability at the same rate, so it gets its share of the difference
/// (Aumann and Shapley 1974; integrated gradients, Sundararajan et al. 2017).
pub(super) fn contributions(model: &Model, row: &Row, score: Score) -> Vec<Contribution> {
    let Parts { bias, features } = model.parameters.risk.parts(row);
    let change: f64 = features.iter().sum();
    let base = logistic(bias);
    // Where parts cancel out, the rate is the slope of the probability at the baseline.
    let rate = if change.abs() > 1e-9 { (logistic(bias + change) - base) / change } else { base * (1.0 - base) };
    let mut parts = [0.0; 1 + Fact::ALL.len()];
    parts[0] = base;
    for ((_, fact, _), part) in COLUMNS.iter().zip(features) {
        parts[1 + *fact as usize] += part * rate;
    }
    let names = std::iter::once(("baseline", None)).chain(Fact::ALL.map(|(name, at)| (name, Some(at))));
    explain::contributions(names, &parts, score)
}

/// The smallest changes of stock and of lead time that lead to another band.
pub(super) fn counterfactuals(model: &Model, row: &Row, band: Band) -> Vec<Counterfactual> {
    [stock(model, row, band), lead_time(model, row, band)].into_iter().flatten().collect()
}

/// The score, and its band, with one number of the row changed.
fn with(model: &Model, row: &Row, column: usize, value: f64) -> (Score, Band) {
    let mut changed = *row;
    changed[column] = value;
    derive(&mut changed);
    model.score(&changed)
}

/// Fewest units more on hand that lower the band; for a low band, fewest units less that raise it.
fn stock(model: &Model, row: &Row, band: Band) -> Option<Counterfactual> {
    let on_hand = row[ON_HAND];
    let low = band == Band::Low;
    let sign = if low { -1.0 } else { 1.0 };
    let most = if low { on_hand.floor().max(0.0) } else { FARTHEST };
    let change = first(most, |change| with(model, row, ON_HAND, on_hand + sign * change).1 != band)?;
    let (score_then, band_then) = with(model, row, ON_HAND, on_hand + sign * change);
    let more = if low { "fewer" } else { "more" };
    Some(Counterfactual {
        pointer: "/stock/on_hand".to_owned(),
        value_now: on_hand,
        value_needed: on_hand + sign * change,
        band_then,
        score_then,
        detail: format!("with {change} {more} units on hand the band would be {}", band_then.as_str()),
    })
}

/// Longest lead time, in whole weeks, that would lower the band.
fn lead_time(model: &Model, row: &Row, band: Band) -> Option<Counterfactual> {
    let weeks = row[LEAD_TIME];
    if weeks.is_nan() {
        return None;
    }
    let after = |less: f64| (weeks - less).ceil().max(0.0);
    let less = first(weeks.ceil(), |less| with(model, row, LEAD_TIME, after(less)).1 < band)?;
    let (score_then, band_then) = with(model, row, LEAD_TIME, after(less));
    Some(Counterfactual {
        pointer: "/lead_time_weeks".to_owned(),
        value_now: weeks,
        value_needed: after(less),
        band_then,
        score_then,
        detail: format!("with a lead time of {} weeks the band would be {}", after(less), band_then.as_str()),
    })
}
