//! Why these probabilities and this score, and what would change it.
//!
//! Contributions are Shapley values (Shapley 1953; Lundberg and Lee 2017) over groups of facts: a group that is left
//! out is one that the request does not tell, which the model answers too. Without any fact nothing is at stake, so
//! the parts add up to the score itself.

use super::{
    Model, Reading,
    evidence::{ARTICLE, GROUPS, Kind, RESOLVED, VARIANCE, kinds},
    table::PerClass,
    types::{ClassProbability, Evidence, Request},
};
use crate::{
    Band, Contribution, Counterfactual, Score,
    explain::{self, shapley},
};

/// Most observations told for one class, and the weight below which one is not worth telling, in nats.
const TOLD: usize = 6;
const FAINT: f64 = 0.1;

/// Tells for each class what speaks for and against it: by how much its log odds would change without that.
pub(super) fn evidence(
    model: &Model,
    reading: &Reading<'_>,
    probabilities: &PerClass,
    classes: &mut [ClassProbability],
) {
    for (index, class) in classes.iter_mut().enumerate() {
        let effect = |weights: &PerClass| {
            // Without an observation every other class would have e^-w of its odds.
            let others = (0..model.table.classes).filter(|other| *other != index);
            let without: f64 = others.map(|other| probabilities[other] * (-weights[other]).exp()).sum();
            weights[index] + (without / (1.0 - probabilities[index]).max(f64::MIN_POSITIVE)).ln()
        };
        let mut effects: Vec<(usize, f64)> =
            reading.observed.rows().map(|row| (row, effect(&model.table.rows[row]))).collect();
        effects.retain(|(_, effect)| effect.abs() >= FAINT);
        effects.sort_by(|a, b| b.1.abs().total_cmp(&a.1.abs()));
        class.evidence = effects.iter().take(TOLD).filter_map(|(row, effect)| told(*row, *effect)).collect();
    }
}

fn told(row: usize, weight: f64) -> Option<Evidence> {
    let (kind, level) = kind_of(row)?;
    Some(Evidence {
        observed: format!("{}/{}", kind.name, kind.row_name(level)),
        pointer: kind.pointer.to_owned(),
        says: kind.says(level),
        weight,
    })
}

/// The kind that a row of the table belongs to, and the row within it.
fn kind_of(row: usize) -> Option<(&'static Kind, usize)> {
    let mut first = 0;
    kinds().find_map(|kind| {
        let within = (first..first + kind.rows()).contains(&row).then(|| (kind, row - first));
        first += kind.rows();
        within
    })
}

/// Parts of the score in millionths that add up to it exactly, one for each group of facts that was told.
pub(super) fn contributions(model: &Model, reading: &Reading<'_>, score: Score) -> Vec<Contribution> {
    let told = reading.observed.needed() | VARIANCE | ARTICLE | if model.learned.cases > 0 { RESOLVED } else { 0 };
    let groups: Vec<usize> = (0..GROUPS.len()).filter(|group| told & (1 << group) != 0).collect();
    let urgency: Vec<f64> = (0..1_usize << groups.len())
        .map(|known| {
            let bits = groups.iter().enumerate().filter(|(place, _)| known & (1 << place) != 0);
            let present = bits.fold(0, |present, (_, group)| present | (1 << group));
            model.urgency(reading, present, &model.probabilities(reading, present))
        })
        .collect();
    let names = groups.iter().map(|group| {
        let (name, pointer) = GROUPS[*group];
        (name, Some(pointer))
    });
    explain::contributions(names, &shapley(&urgency), score)
}

/// Changes of the count, and a recount that finds the book, that lead to another band.
pub(super) fn counterfactuals(
    model: &Model,
    request: &Request,
    reading: &Reading<'_>,
    band: Band,
) -> Vec<Counterfactual> {
    [other_count(model, request, reading, band), recount(model, request, band)].into_iter().flatten().collect()
}

/// The variance closest to the present one, among whole shares and multiples of it, that has another band.
fn other_count(model: &Model, request: &Request, reading: &Reading<'_>, band: Band) -> Option<Counterfactual> {
    // Towards zero for what is urgent, away from it for what is not.
    const SMALLER: [f64; 10] = [0.9, 0.8, 0.7, 0.6, 0.5, 0.4, 0.3, 0.2, 0.1, 0.0];
    const LARGER: [f64; 10] = [1.25, 1.5, 2.0, 3.0, 5.0, 8.0, 12.0, 20.0, 50.0, 100.0];
    let factors = if band == Band::Low { LARGER } else { SMALLER };
    factors.iter().find_map(|factor| {
        let variance = (reading.variance * factor).round();
        let mut changed = request.clone();
        let count = &mut changed.facts.count;
        count.variance = Some(variance);
        let (pointer, value_now, value_needed) = match (count.system, count.counted) {
            (Some(system), Some(counted)) => {
                count.counted = Some(system + variance);
                ("/facts/count/counted", counted, system + variance)
            }
            _ => ("/facts/count/variance", reading.variance, variance),
        };
        let (band_then, score_then) = again(model, &changed)?;
        (band_then != band).then(|| Counterfactual {
            pointer: pointer.to_owned(),
            value_now,
            value_needed,
            band_then,
            score_then,
            detail: format!("with a variance of {variance} units the band would be {}", band_then.as_str()),
        })
    })
}

/// What a recount that finds the book quantity would change.
fn recount(model: &Model, request: &Request, band: Band) -> Option<Counterfactual> {
    let count = &request.facts.count;
    let (system, counted) = (count.system.filter(|system| *system >= 0.0)?, count.counted?);
    let mut changed = request.clone();
    changed.facts.count.recount = Some(system);
    let (band_then, score_then) = again(model, &changed)?;
    (band_then != band).then(|| Counterfactual {
        pointer: "/facts/count/recount".to_owned(),
        value_now: count.recount.unwrap_or(counted),
        value_needed: system,
        band_then,
        score_then,
        detail: format!("if a recount found the {system} units of the book the band would be {}", band_then.as_str()),
    })
}

/// Applies a change and scores again; `None` when the changed request could not be judged.
fn again(model: &Model, changed: &Request) -> Option<(Band, Score)> {
    if !changed.violations().is_empty() {
        return None;
    }
    let reading = model.read(changed).ok()?;
    let probabilities = model.probabilities(&reading, u16::MAX);
    let score = Score::of(model.urgency(&reading, u16::MAX, &probabilities));
    Some((model.parameters.stake.bands.band(score), score))
}
