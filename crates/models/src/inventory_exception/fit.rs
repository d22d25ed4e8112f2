//! Weights fitted to resolved cases: multinomial logistic regression over the observations, with a ridge towards the
//! weights it starts from.
//!
//! Written here because it is thirty lines over rows of evidence that are never made into a dense matrix: accelerated
//! gradient descent (Nesterov 1983) with the restart of O'Donoghue and Candès (2015), each row with a step of its own
//! from the bound on the Hessian of Böhning (1992).

use std::collections::BTreeMap;

use super::{
    Model,
    evidence::Observed,
    parameters::{Class, MAX_CLASSES, Parameters},
    table::{PerClass, Table, softmax},
    types::{Outcome, Request},
    variance,
};
use crate::{Case, FitError, Judge};

/// Fewest cases: with fewer the shipped weights and [`Model::learn`] serve better.
const FEWEST: usize = 50;
/// Most rounds of the descent, and the step, in nats, at which it has arrived.
const ROUNDS: usize = 600;
const ARRIVED: f64 = 1e-5;
/// Parts that are predicted from the others. They are runs of the file: cases of one sitting resemble each other, and
/// a part must not be predicted from its own sittings. Ten, because weights fitted to much fewer cases than there are
/// deserve less trust than those of all, and would leave these too timid.
const FOLDS: usize = 10;
/// Share of the work that one descent is: one for each fold, and one for all cases.
const DESCENT: f64 = 1.0 / (FOLDS + 1) as f64;

/// One case as the descent sees it: rows of the table, the class, and how much it counts.
struct Example {
    rows: Vec<usize>,
    class: usize,
    weight: f64,
}

/// Fits weights, then how far they can be trusted: a common factor on all weights and the least probability at which
/// a named cause is right as often as asked, both on cases that the weights were not fitted to.
///
/// # Errors
/// With too few cases, too many classes, or a case that cannot be judged.
pub(super) fn fit(
    start: &Parameters,
    version: &str,
    cases: &[Case<Request, Outcome>],
    progress: &mut dyn FnMut(f64),
) -> Result<Parameters, FitError> {
    if cases.len() < FEWEST {
        return Err(FitError::TooFew { model: Model::NAME, needed: FEWEST, found: cases.len() });
    }
    let classes = classes(start, cases)?;
    let mut parameters = Parameters { version: version.to_owned(), classes, ..start.clone() };
    // Weights of classes that do not occur have nothing to say here.
    keep_known(&mut parameters);
    let examples = examples(&parameters, cases)?;
    let begin = Table::of(&parameters);
    let mut done = 0.0;
    let mut unseen = Vec::with_capacity(examples.len());
    for fold in 0..FOLDS {
        let (from, to) = (fold * examples.len() / FOLDS, (fold + 1) * examples.len() / FOLDS);
        let others: Vec<&Example> = examples[..from].iter().chain(&examples[to..]).collect();
        let table = descend(&begin, &others, parameters.fitting.ridge);
        let odds = |one: &Example| (table.log_odds(one.rows.iter().copied()), one.class);
        unseen.extend(examples[from..to].iter().map(odds));
        done += DESCENT;
        progress(done);
    }
    let factor = best_factor(&unseen, begin.classes);
    let mut table = descend(&begin, &examples.iter().collect::<Vec<_>>(), parameters.fitting.ridge);
    table.rows.iter_mut().chain([&mut table.prior]).flatten().for_each(|weight| *weight *= factor);
    for (class, logarithm) in parameters.classes.iter_mut().zip(table.prior) {
        class.prior = logarithm.exp();
    }
    let names: Vec<String> = parameters.classes.iter().map(|class| class.name.clone()).collect();
    parameters.evidence = table.evidence(&names);
    parameters.abstain.least_probability =
        least_probability(&unseen, begin.classes, factor, parameters.abstain.precision);
    progress(1.0);
    Ok(parameters)
}

/// The classes that occur, with their rows of the cost matrix; one that is new gets the row of the unknown.
fn classes(start: &Parameters, cases: &[Case<Request, Outcome>]) -> Result<Vec<Class>, FitError> {
    let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
    for case in cases {
        *counts.entry(&case.outcome.class).or_default() += 1;
    }
    if !(2..=MAX_CLASSES).contains(&counts.len()) {
        return Err(FitError::Unusable(format!(
            "{} classes occur, 2 to {MAX_CLASSES} can be told apart",
            counts.len()
        )));
    }
    let class = |(name, count): (&str, usize)| {
        let known = start.classes.iter().find(|class| class.name == name);
        let lost = known.map_or(&start.lost_when_unknown, |class| &class.lost);
        Class { name: name.to_owned(), prior: count as f64 / cases.len() as f64, lost: lost.clone() }
    };
    Ok(counts.into_iter().map(class).collect())
}

fn keep_known(parameters: &mut Parameters) {
    let classes = &parameters.classes;
    for weights in parameters.evidence.values_mut().flat_map(BTreeMap::values_mut) {
        weights.retain(|name, _| classes.iter().any(|class| class.name == *name));
    }
}

fn examples(parameters: &Parameters, cases: &[Case<Request, Outcome>]) -> Result<Vec<Example>, FitError> {
    let mut counts = [0.0_f64; MAX_CLASSES];
    let mut examples = Vec::with_capacity(cases.len());
    for (index, case) in cases.iter().enumerate() {
        let errors = case.request.violations();
        if let Some(error) = errors.first() {
            return Err(FitError::Unusable(format!("case {index}: {} {}", error.pointer, error.detail)));
        }
        let variance = variance(&case.request.facts.count)
            .map_err(|missing| FitError::Unusable(format!("case {index}: {}", missing[0].detail)))?;
        let class = parameters.classes.iter().position(|class| class.name == case.outcome.class).unwrap_or_default();
        counts[class] += 1.0;
        let rows = Observed::read(&case.request.facts, variance).rows().collect();
        examples.push(Example { rows, class, weight: 0.0 });
    }
    let most = counts.into_iter().fold(0.0, f64::max);
    let rarity = |class: usize| (most / counts[class]).powf(parameters.fitting.balance);
    let total: f64 = examples.iter().map(|one| rarity(one.class)).sum();
    for one in &mut examples {
        one.weight = rarity(one.class) * cases.len() as f64 / total;
    }
    Ok(examples)
}

/// Minimises the weighted log loss plus half the ridge times the squared distance from `start`.
fn descend(start: &Table, examples: &[&Example], ridge: f64) -> Table {
    // A class's prior is one weight that all cases inform: it needs no more than a touch of a ridge.
    const PRIOR_RIDGE: f64 = 1.0;
    let longest = examples.iter().map(|one| one.rows.len() + 1).max().unwrap_or(1) as f64;
    let mut counts = vec![0.0; start.rows.len()];
    for one in examples {
        one.rows.iter().for_each(|row| counts[*row] += one.weight);
    }
    // Böhning: the Hessian of a softmax is at most half; rows that meet in a case share its curvature.
    let step = |count: f64, ridge: f64| 1.0 / (0.5 * longest * count + ridge);
    let all: f64 = examples.iter().map(|one| one.weight).sum();
    let mut now = start.clone();
    let mut ahead = start.clone();
    let mut momentum = 1.0_f64;
    for _ in 0..ROUNDS {
        let (mut moved, mut uphill) = (0.0_f64, 0.0);
        let slope = gradient(&ahead, examples);
        let next_momentum = f64::midpoint(1.0, (1.0 + 4.0 * momentum * momentum).sqrt());
        let carry = (momentum - 1.0) / next_momentum;
        let mut advance =
            |row: &mut PerClass, lead: &mut PerClass, begin: &PerClass, slope: &PerClass, ridge: f64, size: f64| {
                for class in 0..start.classes {
                    let pull = slope[class] + ridge * (lead[class] - begin[class]);
                    let new = lead[class] - size * pull;
                    uphill += pull * (new - row[class]);
                    moved = moved.max((new - row[class]).abs());
                    lead[class] = new + carry * (new - row[class]);
                    row[class] = new;
                }
            };
        advance(&mut now.prior, &mut ahead.prior, &start.prior, &slope.prior, PRIOR_RIDGE, step(all, PRIOR_RIDGE));
        for (index, count) in counts.iter().enumerate().filter(|(_, count)| **count > 0.0) {
            let (row, lead) = (&mut now.rows[index], &mut ahead.rows[index]);
            advance(row, lead, &start.rows[index], &slope.rows[index], ridge, step(*count, ridge));
        }
        if moved < ARRIVED {
            break;
        }
        momentum = next_momentum;
        if uphill > 0.0 {
            // The momentum carries uphill: begin anew from here.
            (ahead, momentum) = (now.clone(), 1.0);
        }
    }
    now
}

/// Slope of the weighted log loss.
fn gradient(table: &Table, examples: &[&Example]) -> Table {
    let rows = vec![[0.0; MAX_CLASSES]; table.rows.len()];
    let mut slope = Table { classes: table.classes, prior: [0.0; MAX_CLASSES], rows };
    for one in examples {
        let mut error = softmax(&table.log_odds(one.rows.iter().copied()), table.classes);
        error[one.class] -= 1.0;
        error.iter_mut().for_each(|error| *error *= one.weight);
        super::table::add(&mut slope.prior, &error);
        one.rows.iter().for_each(|row| super::table::add(&mut slope.rows[*row], &error));
    }
    slope
}

fn scaled(log_odds: &PerClass, factor: f64, classes: usize) -> PerClass {
    softmax(&log_odds.map(|odds| odds * factor), classes)
}

/// The factor on all log odds that makes unseen cases most likely (temperature scaling, Guo et al. 2017).
fn best_factor(unseen: &[(PerClass, usize)], classes: usize) -> f64 {
    let loss =
        |factor: f64| -> f64 { unseen.iter().map(|(odds, class)| -scaled(odds, factor, classes)[*class].ln()).sum() };
    let factors = (40..=160).map(|eightieths| f64::from(eightieths) / 80.0);
    factors.min_by(|a, b| loss(*a).total_cmp(&loss(*b))).unwrap_or(1.0)
}

/// The lowest probability from which on the most probable class of unseen cases is right often enough; 1 when it
/// never is.
fn least_probability(unseen: &[(PerClass, usize)], classes: usize, factor: f64, precision: f64) -> f64 {
    let mut tops: Vec<(f64, bool)> = unseen
        .iter()
        .map(|(odds, class)| {
            let probabilities = scaled(odds, factor, classes);
            let own = probabilities[*class];
            let top = probabilities.iter().copied().fold(0.0, f64::max);
            (top, own >= top)
        })
        .collect();
    tops.sort_by(|a, b| b.0.total_cmp(&a.0));
    let (mut right, mut least) = (0.0, 1.0);
    for (count, (top, hit)) in tops.iter().enumerate() {
        right += f64::from(u8::from(*hit));
        if right >= precision * (count + 1) as f64 {
            least = *top;
        }
    }
    least
}
