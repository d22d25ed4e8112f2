//! Fitting to snapshots whose outcome is known, and measuring on them.

use super::{
    Answer, Model, Outcome, Parameters, Request,
    parameters::{Risk, features},
    row::{Row, row},
};
use crate::{
    Case, FitError, Judge,
    ensemble::{Ensemble, Objective, Settings},
    metrics::{self, Figure, Figures},
};

/// Fewest cases, and fewest of either outcome, that trees learn more from than the mechanism knows already.
const FEWEST_CASES: usize = 2000;
const FEWEST_OF_EACH: usize = 50;

/// Bins of the calibration curve.
const CURVE: usize = 10;

pub(super) fn fit(
    start: &Parameters,
    version: &str,
    cases: &[Case<Request, Outcome>],
    progress: &mut dyn FnMut(f64),
) -> Result<Parameters, FitError> {
    let mut rows: Vec<Row> = Vec::with_capacity(cases.len());
    let mut target = Vec::with_capacity(cases.len());
    for (number, Case { request, outcome }) in cases.iter().enumerate() {
        if let Some(error) = request.violations().first() {
            let why = format!("request of case {number}: {} {}", error.pointer, error.detail);
            return Err(FitError::Unusable(why));
        }
        if let Some(on_hand) = request.stock.on_hand {
            rows.push(row(request, on_hand));
            target.push(f64::from(u8::from(outcome.went_on_backorder)));
        }
    }
    let too_few = |needed, found| FitError::TooFew { model: Model::NAME, needed, found };
    if rows.len() < FEWEST_CASES {
        return Err(too_few(FEWEST_CASES, rows.len()));
    }
    let hits = target.iter().filter(|hit| **hit > 0.0).count();
    if hits.min(rows.len() - hits) < FEWEST_OF_EACH {
        return Err(FitError::Unusable(format!(
            "{hits} backorders in {} cases: needs {FEWEST_OF_EACH} of either",
            rows.len()
        )));
    }
    let trees = Ensemble::fit(&features(), &rows, &target, None, &settings(), progress)?;
    Ok(Parameters { version: version.to_owned(), risk: Risk::Trees(trees), ..start.clone() })
}

/// Many leaves, as backorders hide in corners of few cases; the mean of three, as such corners are found by chance.
fn settings() -> Settings {
    Settings {
        rounds: 80,
        learning_rate: 0.1,
        leaves: 255,
        depth: 20,
        min_leaf_weight: 10.0,
        l2: 5.0,
        column_share: 0.5,
        members: 3,
        ..Settings::new(Objective::Logistic)
    }
}

pub(super) fn backtest(model: &Model, cases: &[Case<Request, Outcome>]) -> Figures {
    let mut told = Figures { cases: cases.len(), ..Figures::default() };
    let mut forecasts = Vec::with_capacity(cases.len());
    for Case { request, outcome } in cases {
        match model.judge(&quietly(request)) {
            Ok(Answer::Scored(scored)) => forecasts.push((scored.backorder_probability, outcome.went_on_backorder)),
            Ok(Answer::InsufficientData { .. }) => told.insufficient += 1,
            Err(_) => told.refused += 1,
        }
    }
    told.figures = vec![
        Figure::higher("average_precision", metrics::average_precision(&forecasts)),
        Figure::higher("roc_auc", metrics::roc_auc(&forecasts)),
        Figure::lower("brier", metrics::brier(&forecasts)),
        Figure::lower("calibration_error", metrics::calibration_error(&forecasts)),
    ];
    told.calibration = metrics::calibration(&forecasts, CURVE);
    told
}

/// The request without what a measurement does not look at.
fn quietly(request: &Request) -> Request {
    let mut request = request.clone();
    request.options.explain = false;
    request
}
