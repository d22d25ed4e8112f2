//! Parameters from days whose hours without stock are known, and how good the answers are on such days.

use super::{
    Assessment, Model, Parameters, Reading,
    parameters::{CUT_SHORT, OPENING},
    signs::{self, Row},
    types::{Answer, HOURS, Outcome, Request},
    window::Window,
};
use crate::{
    Case, FitError, Judge,
    ensemble::{Ensemble, Objective, Settings},
    metrics::{self, Figure, Figures},
};

/// Fewest days with a known outcome to fit to.
const FEWEST_DAYS: usize = 2_000;
/// Each so-manieth day is also learnt from as the last one of its window, as an operator will ask for it.
const LATEST_EVERY: usize = 2;
/// Hours after which a day that still runs is learnt from.
const RUNNING: std::ops::Range<usize> = 8..22;
/// Days that such a window must have.
const LATEST_FROM: usize = 14;
/// Hour counts and units mixed into rates, so that none is 0 or 1.
const PRIOR: f64 = 1.0;

type Known = Case<Request, Outcome>;

pub(super) fn fit(
    start: &Parameters,
    version: &str,
    cases: &[Known],
    progress: &mut dyn FnMut(f64),
) -> Result<Parameters, FitError> {
    let usable: Vec<&Known> = cases.iter().filter(|case| usable(case)).collect();
    let found = usable.iter().map(|case| case.request.sales.days()).sum();
    if found < FEWEST_DAYS {
        return Err(FitError::TooFew { model: super::NAME, needed: FEWEST_DAYS, found });
    }
    let mut parameters = Parameters { version: version.to_owned(), ..start.clone() };
    rates(&usable, &mut parameters);
    progress(0.05);
    profiles(&usable, &mut parameters);
    progress(0.1);
    let (rows, target) = table(&usable, &parameters, &mut |share| progress(0.1 + 0.4 * share));
    let settings = Settings {
        rounds: 100,
        leaves: 16,
        learning_rate: 0.12,
        min_leaf_weight: 50.0,
        ..Settings::new(Objective::Logistic)
    };
    let mut grown = |share: f64| progress(0.5 + 0.5 * share);
    parameters.trees = Ensemble::fit(&signs::features(), &rows, &target, None, &settings, &mut grown)?;
    parameters.check()?;
    Ok(parameters)
}

fn usable(case: &Known) -> bool {
    told(case) && case.request.violations().is_empty()
}

/// Whether the outcome is one of these days.
fn told(case: &Known) -> bool {
    case.outcome.out_of_stock.len() == case.request.sales.days() * HOURS
}

/// Opening hours out of stock on one day.
fn hours_out(case: &Known, day: usize) -> usize {
    case.outcome.out_of_stock[Window::hours(day)][OPENING].iter().filter(|out| **out).count()
}

/// Whether the day was cut short; `None` between a full day and one that was.
fn cut_short(case: &Known, day: usize) -> Option<bool> {
    match hours_out(case, day) {
        0 => Some(false),
        hours => (hours >= CUT_SHORT).then_some(true),
    }
}

/// How often shelves empty and fill by the hour, and sell although empty.
fn rates(cases: &[&Known], parameters: &mut Parameters) {
    let mut moves = [[[PRIOR; 2]; 2]; HOURS];
    let mut leaks = [PRIOR; 2];
    for case in cases {
        let out = &case.outcome.out_of_stock;
        for (index, pair) in out.windows(2).enumerate() {
            moves[(index + 1) % HOURS][usize::from(pair[0])][usize::from(pair[1])] += 1.0;
        }
        for (_, units) in out.iter().zip(&case.request.sales.units).filter(|(out, _)| **out) {
            leaks[usize::from(*units > 0.0)] += 1.0;
        }
    }
    let share = |[no, yes]: [f64; 2]| yes / (no + yes);
    parameters.shelf.leak = share(leaks);
    parameters.shelf.empties = moves.map(|[full, _]| share(full));
    parameters.shelf.fills = moves.map(|[_, empty]| 1.0 - share(empty));
}

/// Shares of the hours in demand, from hours with stock.
fn profiles(cases: &[&Known], parameters: &mut Parameters) {
    let mut sums = [[(PRIOR, PRIOR); HOURS]; 2];
    for case in cases {
        let window = Window::read(&case.request, parameters);
        for (day, of_day) in window.days.iter().enumerate() {
            let out = &case.outcome.out_of_stock[Window::hours(day)];
            let sold = &case.request.sales.units[day * HOURS..];
            for ((sum, units), _) in sums[of_day.kind].iter_mut().zip(sold).zip(out).filter(|(_, out)| !**out) {
                sum.0 += units;
                sum.1 += 1.0;
            }
        }
    }
    for (profile, sums) in parameters.demand.profile.iter_mut().zip(sums) {
        let rates = sums.map(|(units, hours)| units / hours);
        let whole: f64 = rates[OPENING].iter().sum();
        *profile = rates.map(|rate| rate / whole);
    }
}

/// Signs and outcomes of all days: each in the light of its whole window, some also as the last day of theirs.
fn table(cases: &[&Known], parameters: &Parameters, progress: &mut dyn FnMut(f64)) -> (Vec<Row>, Vec<f64>) {
    let (mut rows, mut target) = (Vec::new(), Vec::new());
    for (number, case) in cases.iter().enumerate() {
        let reading = Reading::of(&case.request, parameters);
        let days = reading.sketches.len();
        let mut learn = |reading: &Reading<'_>, day: usize| {
            if let Some(hit) = cut_short(case, day) {
                rows.push(reading.row(day));
                target.push(f64::from(u8::from(hit)));
            }
        };
        (0..days).for_each(|day| learn(&reading, day));
        let offset = number % LATEST_EVERY;
        for day in (LATEST_FROM + offset..days).step_by(LATEST_EVERY) {
            learn(&Reading::of(&up_to(&case.request, day, HOURS), parameters), day);
            // The same day while it runs, at an hour that changes from day to day.
            let hours = RUNNING.start + (number + day) % RUNNING.len();
            learn(&Reading::of(&up_to(&case.request, day, hours), parameters), day);
        }
        progress((number + 1) as f64 / cases.len() as f64);
    }
    (rows, target)
}

/// The request as it was on one of its days, after so many hours.
fn up_to(request: &Request, day: usize, hours: usize) -> Request {
    let mut request = request.clone();
    let sales = &mut request.sales;
    sales.units.truncate(day * HOURS + hours);
    sales.out_of_stock.truncate(day * HOURS + hours);
    sales.price_share.truncate(day + 1);
    let days = jiff::Span::new().days(i64::try_from(day).unwrap_or_default());
    let last = sales.first_day.checked_add(days).unwrap_or(sales.first_day);
    sales.holidays.retain(|holiday| *holiday <= last);
    request.options.look_back = 0;
    request
}

/// First and last hour from which a backtest hides sales.
const HIDDEN_FROM: std::ops::Range<usize> = 9..20;

/// Two questions of every case. Whether days were cut short: over the days that it asks for. What would have sold:
/// days with stock all day are cut by hand at an hour that changes from day to day, and the rest is foretold.
pub(super) fn backtest(model: &Model, cases: &[Known]) -> Figures {
    let mut figures = Figures::default();
    let mut forecasts = Vec::new();
    let mut recovered = Recovered::default();
    for (number, case) in cases.iter().enumerate() {
        if !told(case) {
            figures.refused += 1;
            continue;
        }
        match model.judge(&case.request) {
            Err(_) => figures.refused += 1,
            Ok(Answer::InsufficientData { .. }) => figures.insufficient += 1,
            Ok(Answer::Scored(assessment)) => {
                figures.cases += 1;
                forecasts.extend(foretold(case, &assessment));
                recovered.add(model, case, number);
            }
        }
    }
    figures.calibration = metrics::calibration(&forecasts, 10);
    figures.figures = vec![
        Figure::higher("average_precision", metrics::average_precision(&forecasts)),
        Figure::higher("roc_auc", metrics::roc_auc(&forecasts)),
        Figure::lower("brier", metrics::brier(&forecasts)),
        Figure::lower("calibration_error", metrics::calibration_error(&forecasts)),
        Figure::lower("recovery_wape", recovered.error / recovered.demand),
        Figure::nearest("recovery_bias", recovered.bias / recovered.demand, 0.0),
        Figure::nearest("recovery_coverage_90", recovered.covered / recovered.days, 0.9),
    ];
    figures
}

/// Score and truth of the days judged.
fn foretold(case: &Known, assessment: &Assessment) -> Vec<(f64, bool)> {
    let judged = assessment.earlier.iter().chain([&assessment.latest]);
    let days = case.request.sales.days();
    let first = days - 1 - assessment.earlier.len();
    let one = |(day, judged): (usize, &super::DayJudgement)| Some((judged.score.share(), cut_short(case, day)?));
    (first..).zip(judged).filter_map(one).collect()
}

/// Demand of days cut by hand.
#[derive(Default)]
struct Recovered {
    days: f64,
    demand: f64,
    error: f64,
    bias: f64,
    covered: f64,
}

impl Recovered {
    /// One full day of the case, another in each case.
    fn add(&mut self, model: &Model, case: &Known, number: usize) {
        let days = case.request.sales.units.len() / HOURS;
        let full: Vec<usize> = (LATEST_FROM..days).filter(|day| hours_out(case, *day) == 0).collect();
        let Some(day) = full.get(number % full.len().max(1)).copied() else { return };
        let mut request = up_to(&case.request, day, HOURS);
        request.sales.out_of_stock = case.outcome.out_of_stock[..(day + 1) * HOURS].to_vec();
        request.sales.records_complete = true;
        let truth: f64 = request.sales.units[Window::hours(day)][OPENING].iter().sum();
        let from = HIDDEN_FROM.start + number % HIDDEN_FROM.len();
        for hour in day * HOURS + from..(day + 1) * HOURS {
            request.sales.units[hour] = 0.0;
            request.sales.out_of_stock[hour] = true;
        }
        if let Ok(Answer::Scored(assessment)) = model.judge(&request) {
            let told = assessment.latest.demand;
            self.days += 1.0;
            self.demand += truth;
            self.error += (told.mean - truth).abs();
            self.bias += told.mean - truth;
            self.covered += f64::from(u8::from((told.p05..=told.p95).contains(&truth)));
        }
    }
}
