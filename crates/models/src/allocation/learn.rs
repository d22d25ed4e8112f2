//! The model against realised demand: what its plans captured, and which parameters say best what was asked for.

use serde::{Deserialize, Serialize};

use super::{
    Model, Parameters, Planned, Request,
    bound::bound,
    forecast::{Outlook, WalkIn, outlooks},
    plan::Plan,
    types::{Answer, Assessment, Demand, Location},
};
use crate::{
    Case, FitError, Judge,
    metrics::{Figure, Figures, mean},
};

/// What was asked for over the horizon.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = AllocationOutcome)]
pub struct Outcome {
    /// Units by location, those reserved included; at least as many.
    pub demand: Vec<u32>,
}

/// Fewest locations with demand that parameters are fitted to.
const FEWEST: usize = 200;
/// Candidates of the two spreads: steps of about half an octave over what is seen in retail.
const SPREADS: [f64; 11] = [0.005, 0.01, 0.015, 0.02, 0.03, 0.05, 0.07, 0.1, 0.15, 0.2, 0.3];
/// Candidates of the price elasticity (Bijmolt, van Heerde and Pieters 2005 find -2.6 on average for goods on
/// promotion, and most between 0 and -4).
const ELASTICITIES: [f64; 6] = [0.0, 0.5, 1.0, 1.5, 2.0, 3.0];

/// Where a parameter stands.
type Field = fn(&mut Parameters) -> &mut f64;

/// Rounds over all parameters.
const ROUNDS: usize = 2;

/// Outlooks in which demand is what it was.
fn realised(request: &Request, outcome: &Outcome) -> Vec<Outlook> {
    let outlook = |(location, demand): (&Location, &u32)| Outlook {
        stock: location.on_hand as usize,
        reserved: location.reserved as usize,
        walk_in: WalkIn::Known(demand.saturating_sub(location.reserved)),
    };
    request.locations.iter().zip(&outcome.demand).map(outlook).collect()
}

/// What one case adds to the figures.
#[derive(Clone, Copy, Debug)]
struct Captured {
    /// Value of the plan on the demand that came, beyond that of moving nothing.
    plan: f64,
    /// What the best plan found by one who knew that demand is worth, and what none can be worth more than.
    clairvoyant: f64,
    bound: f64,
}

/// Values the transfers of an answer on the demand that came. Orders are firm, so they are as good later as before.
fn captured(request: &Request, answer: &Assessment, outcome: &Outcome) -> Captured {
    // Limits that guard against uncertainty have no part in what could have been.
    let mut known = request.clone();
    known.options.donor_risk_cap = 1.0;
    known.options.fairness_cap = None;
    let mut best = Planned::of(&known, realised(request, outcome), 0.0);
    let (clairvoyant, bound) = (best.plan.gain, bound(&best.problem, &best.plan));
    let before = best.loss(|site| best.outlooks[site].stock);
    best.plan = Plan::nothing(&best.problem);
    let mut cost = 0.0;
    for transfer in &answer.transfers {
        let lane = &request.lanes[transfer.lane];
        best.plan.given[lane.from] += transfer.quantity as usize;
        best.plan.got[lane.to] += transfer.quantity as usize;
        cost += transfer.cost;
    }
    let after = best.loss(|site| best.stock_after(site));
    Captured { plan: before - after - cost, clairvoyant, bound }
}

pub(super) fn backtest(model: &Model, cases: &[Case<Request, Outcome>]) -> Figures {
    let mut figures = Figures::default();
    let mut seen = Vec::new();
    for case in cases {
        match model.judge(&case.request) {
            Ok(Answer::Scored(answer)) if case.outcome.demand.len() == case.request.locations.len() => {
                seen.push(captured(&case.request, &answer, &case.outcome));
            }
            Ok(Answer::InsufficientData { .. }) => figures.insufficient += 1,
            Ok(Answer::Scored(_)) | Err(_) => figures.refused += 1,
        }
    }
    let sum = |part: fn(&Captured) -> f64| seen.iter().map(part).sum::<f64>();
    let worse = seen.iter().map(|one| f64::from(u8::from(one.plan < -1e-9)));
    figures.cases = seen.len();
    figures.figures = vec![
        // Of the bound, not of the plan found: so it is never told higher than it is.
        Figure::higher("captured_share", sum(|one| one.plan) / sum(|one| one.bound)),
        Figure::lower("worse_than_nothing", mean(worse)),
        Figure::lower("clairvoyant_gap", 1.0 - sum(|one| one.clairvoyant) / sum(|one| one.bound)),
    ];
    figures
}

pub(super) fn fit(
    start: &Parameters,
    version: &str,
    cases: &[Case<Request, Outcome>],
    progress: &mut dyn FnMut(f64),
) -> Result<Parameters, FitError> {
    let usable: Vec<_> = cases.iter().filter(|case| fits(case, start)).collect();
    let found = usable.iter().map(|case| histories(&case.request).count()).sum();
    if found < FEWEST {
        return Err(FitError::TooFew { model: Model::NAME, needed: FEWEST, found });
    }
    let mut best = start.clone();
    version.clone_into(&mut best.version);
    best.reserved_share = reserved_share(&usable, start);
    let mut most = likelihood(&usable, &best);
    let grids: [(&[f64], Field); 3] = [
        (&SPREADS, |parameters| &mut parameters.common_spread),
        (&SPREADS, |parameters| &mut parameters.location_spread),
        (&ELASTICITIES, |parameters| &mut parameters.price_elasticity),
    ];
    for round in 0..ROUNDS {
        for (index, (grid, field)) in grids.iter().enumerate() {
            for value in *grid {
                let mut trial = best.clone();
                *field(&mut trial) = *value;
                let likelihood = likelihood(&usable, &trial);
                if likelihood > most {
                    (best, most) = (trial, likelihood);
                }
            }
            progress((round * grids.len() + index + 1) as f64 / (ROUNDS * grids.len()) as f64);
        }
    }
    Ok(best)
}

/// Whether a case can be learnt from.
fn fits(case: &Case<Request, Outcome>, parameters: &Parameters) -> bool {
    case.request.violations().is_empty()
        && case.outcome.demand.len() == case.request.locations.len()
        && outlooks(&case.request, parameters).is_ok()
}

/// Positions of the locations whose demand is estimated.
fn histories(request: &Request) -> impl Iterator<Item = usize> {
    let estimated = |location: &Location| matches!(location.demand, Some(Demand::History { .. }));
    request.locations.iter().enumerate().filter(move |(_, location)| estimated(location)).map(|(i, _)| i)
}

/// Share of the demand that was reserved; that of `start` when nothing was asked for.
fn reserved_share(cases: &[&Case<Request, Outcome>], start: &Parameters) -> f64 {
    let (mut reserved, mut asked) = (0.0, 0.0);
    for case in cases {
        for site in histories(&case.request) {
            reserved += f64::from(case.request.locations[site].reserved.min(case.outcome.demand[site]));
            asked += f64::from(case.outcome.demand[site]);
        }
    }
    if asked > 0.0 { (reserved / asked).clamp(0.001, 0.9) } else { start.reserved_share }
}

/// Log likelihood of the demand that came.
fn likelihood(cases: &[&Case<Request, Outcome>], parameters: &Parameters) -> f64 {
    let mut sum = 0.0;
    for case in cases {
        let Ok(outlooks) = outlooks(&case.request, parameters) else { continue };
        for site in histories(&case.request) {
            let walk_in = case.outcome.demand[site].saturating_sub(case.request.locations[site].reserved);
            if let WalkIn::Expected(counts) = outlooks[site].walk_in {
                // A demand of probability zero would end the comparison of all others.
                sum += counts.pmf(u64::from(walk_in)).max(1e-12).ln();
            }
        }
    }
    sum
}
