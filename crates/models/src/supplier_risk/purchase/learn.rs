//! How good the answers are, and parameters that make them better.

use super::{
    Answer, Model, Outcome, Parameters, Request,
    shrinkage::{CIRCLES, late_rate},
};
use crate::{
    Case, FitError, Judge,
    metrics::{Figure, Figures, average_precision, brier, calibration, calibration_error, mean, roc_auc},
};

/// Cases below which late rates are noise.
const LEAST_CASES: usize = 200;
/// Multiples of the starting strengths, and weights of the recent memory, that a fit tries. A coarse grid: the loss is
/// flat around its minimum, and finer values would follow one year's noise.
const STRENGTHS: [f64; 5] = [0.25, 0.5, 1.0, 2.0, 4.0];
const RECENT_WEIGHTS: [f64; 5] = [0.0, 0.25, 0.5, 0.75, 1.0];

pub(super) fn backtest(model: &Model, cases: &[Case<Request, Outcome>]) -> Figures {
    let mut figures = Figures { cases: cases.len(), ..Figures::default() };
    let (mut forecasts, mut delays) = (Vec::new(), Vec::new());
    for Case { request, outcome } in cases {
        let mut request = request.clone();
        request.options.explain = false;
        let slack = request.line.slack_days;
        match model.judge(&request) {
            Ok(Answer::Scored(answer)) => {
                forecasts.push((f64::from(answer.score.micros()) / 1e6, outcome.delay_days > slack));
                let cap = model.parameters().delay.delay_cap_days;
                delays.push(answer.delay.mean - f64::from(outcome.delay_days - slack).clamp(0.0, cap));
            }
            Ok(Answer::InsufficientData { .. }) => figures.insufficient += 1,
            Err(_) => figures.refused += 1,
        }
    }
    figures.figures = vec![
        Figure::higher("average_precision", average_precision(&forecasts)),
        Figure::higher("roc_auc", roc_auc(&forecasts)),
        Figure::lower("brier", brier(&forecasts)),
        Figure::lower("calibration_error", calibration_error(&forecasts)),
        Figure::lower("delay_mean_absolute_error", mean(delays.iter().map(|error| error.abs()))),
        Figure::nearest("delay_bias", mean(delays.iter().copied()), 0.0),
    ];
    figures.calibration = calibration(&forecasts, 10);
    figures
}

/// The distribution's moments from the outcomes; strengths and memory by least log loss of the late rate.
pub(super) fn fit(
    start: &Parameters,
    version: &str,
    cases: &[Case<Request, Outcome>],
    progress: &mut dyn FnMut(f64),
) -> Result<Parameters, FitError> {
    let usable: Vec<_> =
        cases.iter().filter(|case| case.request.evidence.is_some() && case.request.violations().is_empty()).collect();
    let delays: Vec<f64> = usable.iter().map(|case| f64::from(case.outcome.delay_days)).collect();
    if usable.len() < LEAST_CASES {
        return Err(FitError::TooFew { model: Model::NAME, needed: LEAST_CASES, found: usable.len() });
    }
    let late: Vec<f64> = delays.iter().copied().filter(|delay| *delay > 0.0).collect();
    let early: Vec<f64> = delays.iter().copied().filter(|delay| *delay < 0.0).map(f64::abs).collect();
    if late.is_empty() || early.is_empty() || late.len() == delays.len() {
        return Err(FitError::Unusable("needs lines that came late, on time and early".to_owned()));
    }
    let mut fitted = start.clone();
    version.clone_into(&mut fitted.version);
    fitted.shrinkage.prior_late = late.len() as f64 / delays.len() as f64;
    fitted.delay.days_late = mean(late.iter().copied());
    // Half a line keeps the share below one where none came on the very day.
    fitted.delay.early = early.len() as f64 / ((delays.len() - late.len()) as f64 + 0.5);
    fitted.delay.days_early = mean(early.iter().copied());
    let loss = |parameters: &Parameters| {
        mean(usable.iter().filter_map(|case| {
            let evidence = case.request.evidence.as_ref()?;
            let rate = late_rate(evidence, CIRCLES, &parameters.shrinkage);
            Some(-(if case.outcome.delay_days > 0 { rate } else { 1.0 - rate }).ln())
        }))
    };
    let mut best = (f64::INFINITY, fitted.clone());
    let tried = STRENGTHS.iter().flat_map(|strength| RECENT_WEIGHTS.map(|weight| (*strength, weight)));
    for (index, (strength, weight)) in tried.enumerate() {
        let mut candidate = fitted.clone();
        candidate.shrinkage = fitted.shrinkage.scaled(strength);
        candidate.shrinkage.recent_weight = weight;
        let loss = loss(&candidate);
        if loss < best.0 {
            best = (loss, candidate);
        }
        progress((index + 1) as f64 / (STRENGTHS.len() * RECENT_WEIGHTS.len()) as f64);
    }
    best.1.check()?;
    Ok(best.1)
}
