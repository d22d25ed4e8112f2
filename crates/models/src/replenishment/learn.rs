//! How good the answers are, and constants that make them better: backtest and fit on cases with known demand.

use contracts::facts::Every;

use super::{Answer, DemandOutlook, Model, Outcome, Parameters, Request, demand::Demand, parameters::DemandParameters};
use crate::{
    FitError, Judge,
    metrics::{Figure, Figures, brier, calibration, calibration_error, mean, quantile_loss, roc_auc},
    search::pattern_search,
};

type Case = crate::Case<Request, Outcome>;

/// Fewest cases of a cadence whose constants are fitted; with fewer it keeps those it had.
const LEAST_CASES: usize = 200;
/// Rounds of the search over all constants. Later ones change the fourth digit of the loss.
const ROUNDS: usize = 12;

/// Judges every case. The first figure is the mean weighted quantile loss over the quantiles from the median up, as in
/// the M5 uncertainty competition but scaled by the demand itself; where only stock-outs are known, their Brier score.
pub(super) fn backtest(model: &Model, cases: &[Case]) -> Figures {
    let mut found = Figures { cases: cases.len(), ..Figures::default() };
    let (mut losses, mut covered, mut stock_outs) = ([0.0; 5], Vec::new(), Vec::new());
    let mut demanded = 0.0;
    for case in cases {
        let told = match model.judge(&case.request) {
            Ok(Answer::Scored(told)) => told,
            Ok(Answer::InsufficientData { .. }) => {
                found.insufficient += 1;
                continue;
            }
            Err(_) => {
                found.refused += 1;
                continue;
            }
        };
        if let Some(truth) = case.outcome.demand {
            for (loss, (probability, forecast)) in losses.iter_mut().zip(upper_quantiles(&told.demand)) {
                *loss += quantile_loss(probability, forecast, truth);
            }
            demanded += truth;
            covered.push(f64::from(u8::from(truth <= told.demand.p95)));
        }
        if let Some(hit) = stocked_out(case) {
            stock_outs.push((told.stock_out_probability, hit));
        }
    }
    if demanded > 0.0 {
        let loss = mean(losses.into_iter()) / demanded;
        found.figures.push(Figure::lower("weighted_quantile_loss", loss));
        found.figures.push(Figure::nearest("coverage_95", mean(covered.into_iter()), 0.95));
    }
    if !stock_outs.is_empty() {
        found.figures.push(Figure::lower("stock_out_brier", brier(&stock_outs)));
        found.figures.push(Figure::lower("stock_out_calibration_error", calibration_error(&stock_outs)));
    }
    if stock_outs.iter().any(|(_, hit)| *hit) && !stock_outs.iter().all(|(_, hit)| *hit) {
        found.figures.push(Figure::higher("stock_out_roc_auc", roc_auc(&stock_outs)));
    }
    found.calibration = calibration(&stock_outs, 10);
    found
}

fn upper_quantiles(demand: &DemandOutlook) -> [(f64, f64); 5] {
    [(0.5, demand.p50), (0.8, demand.p80), (0.9, demand.p90), (0.95, demand.p95), (0.98, demand.p98)]
}

/// As told, else from the demand; receipts under way have no place in that, so a case with any has to tell.
fn stocked_out(case: &Case) -> Option<bool> {
    let facts = &case.request.facts;
    let by_demand =
        || case.outcome.demand.filter(|_| facts.incoming.is_empty()).map(|demand| demand > facts.stock.available());
    case.outcome.stocked_out.or_else(by_demand)
}

/// A constant that can be fitted: how to reach it, how far it may go, and the first step.
struct Knob {
    field: fn(&mut DemandParameters) -> &mut f64,
    range: (f64, f64),
    step: f64,
    /// Whether a case has the facts that this constant is about.
    matters: fn(&Case) -> bool,
}

fn partly_out(case: &Case) -> bool {
    case.request.facts.demand.out_of_stock.iter().any(|share| *share > 0.0 && *share < 1.0)
}

fn discounted(case: &Case) -> bool {
    case.request.facts.demand.price_share.iter().any(|share| *share < 1.0)
}

fn daily(case: &Case) -> bool {
    case.request.facts.demand.every == Every::Day
}

fn promoted(case: &Case) -> bool {
    case.request.facts.demand.promotion_ahead.contains(&true)
}

fn advertised(case: &Case) -> bool {
    case.request.facts.demand.advertised_ahead.contains(&true)
}

fn always(_: &Case) -> bool {
    true
}

const KNOBS: &[Knob] = &[
    Knob { field: |p| &mut p.calibration, range: (0.5, 2.0), step: 0.05, matters: always },
    Knob { field: |p| &mut p.decay, range: (0.5, 1.0), step: 0.03, matters: always },
    Knob { field: |p| &mut p.drift, range: (0.0, 2.0), step: 0.02, matters: always },
    Knob { field: |p| &mut p.dispersion_prior, range: (0.3, 30.0), step: 0.5, matters: always },
    Knob { field: |p| &mut p.dispersion_prior_buckets, range: (0.1, 60.0), step: 2.0, matters: always },
    Knob { field: |p| &mut p.trend, range: (-1.0, 1.5), step: 0.2, matters: always },
    Knob { field: |p| &mut p.level_prior_units, range: (0.0, 5.0), step: 0.1, matters: always },
    Knob { field: |p| &mut p.exposure, range: (0.0, 1.0), step: 0.1, matters: partly_out },
    Knob { field: |p| &mut p.trust, range: (0.0, 5.0), step: 0.5, matters: partly_out },
    Knob { field: |p| &mut p.holiday, range: (0.3, 3.0), step: 0.05, matters: daily },
    Knob { field: |p| &mut p.weekday_prior, range: (1.0, 60.0), step: 4.0, matters: daily },
    Knob { field: |p| &mut p.elasticity, range: (0.0, 5.0), step: 0.2, matters: discounted },
    Knob { field: |p| &mut p.elasticity_prior, range: (0.1, 100.0), step: 1.0, matters: discounted },
    Knob {
        field: |p| &mut p.uplift_prior,
        range: (1.0, 10.0),
        step: 0.3,
        matters: |case| promoted(case) && !discounted(case),
    },
    Knob {
        field: |p| &mut p.uplift_prior_priced,
        range: (1.0, 5.0),
        step: 0.05,
        matters: |case| promoted(case) && discounted(case),
    },
    Knob { field: |p| &mut p.advertised_prior, range: (1.0, 15.0), step: 0.5, matters: advertised },
    Knob {
        field: |p| &mut p.uplift_prior_buckets,
        range: (0.1, 60.0),
        step: 1.0,
        matters: |case| promoted(case) || advertised(case),
    },
];

/// Fits the demand constants of every cadence that has enough cases, by the likelihood of the demand that came.
///
/// Lead times, urgency and limits of transfers are the company's policy and stay as they are.
pub(super) fn fit(
    start: &Parameters,
    version: &str,
    cases: &[Case],
    progress: &mut dyn FnMut(f64),
) -> Result<Parameters, FitError> {
    let judged: Vec<&Case> = cases.iter().filter(|case| usable(case)).collect();
    let mut fitted = start.clone();
    version.clone_into(&mut fitted.version);
    let cadences = [Every::Day, Every::Week, Every::Month];
    let of = |every: Every| -> Vec<&Case> {
        judged.iter().copied().filter(|case| case.request.facts.demand.every == every).collect()
    };
    let most = cadences.map(|every| of(every).len()).into_iter().max().unwrap_or(0);
    if most < LEAST_CASES {
        return Err(FitError::TooFew { model: Model::NAME, needed: LEAST_CASES, found: most });
    }
    for every in cadences {
        let cases = of(every);
        if cases.len() >= LEAST_CASES {
            let parameters = fitted.demand.of_mut(every);
            *parameters = fit_cadence(parameters, &cases, progress);
        }
    }
    fitted.check()?;
    Ok(fitted)
}

fn usable(case: &Case) -> bool {
    let known = case.outcome.demand.is_some_and(|demand| demand.is_finite() && demand >= 0.0);
    known
        && case.outcome.days.is_none_or(|days| days.is_finite() && days >= 0.0)
        && case.request.violations().is_empty()
}

fn fit_cadence(start: &DemandParameters, cases: &[&Case], progress: &mut dyn FnMut(f64)) -> DemandParameters {
    // A constant of which a tenth of the cases knows nothing is left as it is.
    let enough = cases.len() / 10;
    let knobs: Vec<&Knob> =
        KNOBS.iter().filter(|knob| cases.iter().filter(|case| (knob.matters)(case)).count() > enough).collect();
    let mut trial = start.clone();
    let values: Vec<f64> = knobs.iter().map(|knob| *(knob.field)(&mut trial)).collect();
    let ranges: Vec<(f64, f64)> = knobs.iter().map(|knob| knob.range).collect();
    let steps: Vec<f64> = knobs.iter().map(|knob| knob.step).collect();
    let set = |values: &[f64]| {
        let mut parameters = start.clone();
        for (knob, value) in knobs.iter().zip(values) {
            *(knob.field)(&mut parameters) = *value;
        }
        parameters
    };
    let loss = |values: &[f64]| {
        let parameters = set(values);
        -mean(cases.iter().map(|case| log_likelihood(case, &parameters)))
    };
    set(&pattern_search(values, &ranges, &steps, ROUNDS, loss, progress))
}

/// Logarithm of the probability of the demand that came, given the days it came in.
fn log_likelihood(case: &Case, parameters: &DemandParameters) -> f64 {
    let facts = &case.request.facts;
    let demand = Demand::estimate(facts, parameters);
    let expected = || {
        let seen = &facts.lead_time.seen_days;
        let days =
            if seen.is_empty() { facts.lead_time.promised_days.unwrap_or(0.0) } else { mean(seen.iter().copied()) };
        days + case.request.options.review_period_days
    };
    demand.over(case.outcome.days.unwrap_or_else(expected)).ln_pmf(case.outcome.demand.unwrap_or(0.0))
}
