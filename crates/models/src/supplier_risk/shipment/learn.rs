//! How good the answers are, and durations learnt from transports that have arrived.

use std::collections::BTreeMap;

use super::{
    Answer, Model, Outcome, Parameters, Request,
    parameters::{Duration, Place, Shrinkage},
    types::Step,
};
use crate::{
    Case, FitError, Judge,
    metrics::{Figure, Figures, average_precision, brier, calibration, calibration_error, mean, roc_auc},
};

/// No step is so regular that its spread should be taken for nothing.
const LEAST_VARIANCE: f64 = 1e-3;
/// Transports below which a place's mean is noise.
const LEAST_CASES: usize = 100;

pub(super) fn backtest(model: &Model, cases: &[Case<Request, Outcome>]) -> Figures {
    let mut figures = Figures { cases: cases.len(), ..Figures::default() };
    let mut forecasts = Vec::new();
    for Case { request, outcome } in cases {
        let mut request = request.clone();
        request.options.explain = false;
        let late = outcome.minutes() > request.transport.allowed();
        match model.judge(&request) {
            Ok(Answer::Scored(answer)) => forecasts.push((f64::from(answer.score.micros()) / 1e6, late)),
            Ok(Answer::InsufficientData { .. }) => figures.insufficient += 1,
            Err(_) => figures.refused += 1,
        }
    }
    figures.figures = vec![
        Figure::higher("average_precision", average_precision(&forecasts)),
        Figure::higher("roc_auc", roc_auc(&forecasts)),
        Figure::lower("brier", brier(&forecasts)),
        Figure::lower("calibration_error", calibration_error(&forecasts)),
    ];
    figures.calibration = calibration(&forecasts, 10);
    figures
}

/// Durations from what each step took in the end; one case per transport, at whatever milestone.
pub(super) fn fit(
    start: &Parameters,
    version: &str,
    cases: &[Case<Request, Outcome>],
    progress: &mut dyn FnMut(f64),
) -> Result<Parameters, FitError> {
    if cases.len() < LEAST_CASES {
        return Err(FitError::TooFew { model: Model::NAME, needed: LEAST_CASES, found: cases.len() });
    }
    let mut steps = Vec::new();
    for (index, case) in cases.iter().enumerate() {
        steps.extend(finished(case).ok_or_else(|| {
            FitError::Unusable(format!("case {index} has not as many durations as steps, or one that is negative"))
        })?);
    }
    let mut fitted = start.clone();
    version.clone_into(&mut fitted.version);
    for (index, (milestone, duration)) in fitted.durations.each_mut().into_iter().enumerate() {
        let of_kind = steps.iter().filter(|(step, _)| step.until == milestone);
        duration.learn(of_kind.copied(), fitted.shrinkage);
        progress((index + 1) as f64 / 5.0);
    }
    fitted.check()?;
    Ok(fitted)
}

/// Every step of a case with what it took; `None` when the two do not match.
fn finished(case: &Case<Request, Outcome>) -> Option<Vec<(&Step, f64)>> {
    let (transport, outcome) = (&case.request.transport, &case.outcome);
    let outbound = transport.outbound.as_ref().map_or(&[][..], |leg| &leg.steps);
    let legs = transport.inbound.iter().map(|leg| leg.steps.as_slice()).chain([outbound]);
    let took = outcome.inbound.iter().chain([&outcome.outbound]);
    if transport.inbound.len() != outcome.inbound.len() {
        return None;
    }
    let mut steps = Vec::new();
    for (leg, took) in legs.zip(took) {
        if leg.len() != took.len() || took.iter().any(|minutes| !minutes.is_finite() || *minutes < 0.0) {
            return None;
        }
        steps.extend(leg.iter().zip(took.iter().copied()));
    }
    Some(steps)
}

impl Duration {
    /// Means of places shrunk to the mean of all, then variances around them likewise (normal-normal, and the scaled
    /// inverse chi-squared posterior mean: Gelman et al., Bayesian Data Analysis, 3rd ed., sections 2.6 and 5.4).
    /// Milestones that no case has keep what they started with.
    fn learn<'a>(&mut self, steps: impl Iterator<Item = (&'a Step, f64)>, shrinkage: Shrinkage) {
        let mut places: BTreeMap<&str, Vec<f64>> = BTreeMap::new();
        for (step, took) in steps {
            let plan = if self.relative_to_plan { step.planned_minutes.max(1.0).ln() } else { 0.0 };
            places.entry(&step.place).or_default().push(took.max(1.0).ln() - plan);
        }
        let all = || places.values().flatten().copied();
        if all().count() < 2 {
            return;
        }
        let overall = mean(all());
        let centre = |logs: &[f64]| {
            (logs.iter().sum::<f64>() + shrinkage.mean_steps * overall) / (logs.len() as f64 + shrinkage.mean_steps)
        };
        let squares = |logs: &[f64]| {
            let centre = centre(logs);
            logs.iter().map(|log| (log - centre).powi(2)).sum::<f64>()
        };
        let within = places.values().map(|logs| squares(logs)).sum::<f64>() / all().count() as f64;
        let strength = shrinkage.variance_steps;
        let place = |logs: &Vec<f64>| {
            let variance = (squares(logs) + strength * within) / (logs.len() as f64 + strength);
            Place(round(centre(logs)), round(variance.max(LEAST_VARIANCE)))
        };
        self.places = places.iter().map(|(name, logs)| ((*name).to_owned(), place(logs))).collect();
        self.places.remove("");
        self.mean = round(overall);
        self.variance = round(mean(all().map(|log| (log - overall).powi(2))).max(LEAST_VARIANCE));
    }
}

/// To four decimals: finer is noise, and the file stays readable.
fn round(value: f64) -> f64 {
    (value * 1e4).round() / 1e4
}
