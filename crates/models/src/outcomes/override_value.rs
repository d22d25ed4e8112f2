//! What following recommendations saves, against departing from them.
//!
//! Nobody drew lots who follows, so the plain difference would compare easy cases with hard ones. Cases are compared
//! only with their like: the same recommended action and a score in the same quarter. Where the two sides still differ
//! in what was forecast before anybody decided, the difference is not the decision's.

use std::collections::BTreeMap;

use super::{
    Closed,
    interval::{Finding, Reason, draws},
};
use crate::score::ONE;

/// Fewest cases on each side.
const FEWEST_PER_SIDE: usize = 20;
/// Least share of the departures that must have their like among those that followed.
const LEAST_OVERLAP: f64 = 0.5;
/// Largest standardised difference of the forecasts at which two sides count as alike (Stuart 2010).
const LARGEST_IMBALANCE: f64 = 0.25;

/// Cost and forecast of the cases of one stratum: where people followed, and where they departed.
#[derive(Default)]
struct Stratum {
    followed: Vec<(f64, f64)>,
    departed: Vec<(f64, f64)>,
}

/// Mean cost where people followed less that where they departed, weighed by where they departed.
pub(super) fn estimate(cases: &[Closed]) -> Finding {
    let priced: Vec<_> = cases.iter().filter_map(priced).collect();
    let mut currencies: Vec<_> = priced.iter().map(|(currency, ..)| *currency).collect();
    currencies.sort_unstable();
    currencies.dedup();
    if let [_, _, ..] = currencies.as_slice() {
        let detail = format!("costs are in {}; ask for one place or product", currencies.join(", "));
        return Finding::NotIdentifiable { reason: Reason::MixedCurrencies, detail };
    }
    let mut strata: BTreeMap<(&str, u32), Stratum> = BTreeMap::new();
    for (_, case, followed, point) in &priced {
        let stratum = strata.entry((&case.action, (case.score * 4 / (ONE + 1)).min(3))).or_default();
        if *followed { &mut stratum.followed } else { &mut stratum.departed }.push(*point);
    }
    let side = |of: fn(&Stratum) -> usize| strata.values().map(of).sum::<usize>();
    let (followed, departed) = (side(|one| one.followed.len()), side(|one| one.departed.len()));
    if followed.min(departed) < FEWEST_PER_SIDE {
        let detail = format!(
            "{followed} followed and {departed} departed with a known cost, {FEWEST_PER_SIDE} of each are needed"
        );
        return Finding::NotIdentifiable { reason: Reason::TooFew, detail };
    }
    // Two on each side are the fewest that have a spread.
    let shared: Vec<Stratum> =
        strata.into_values().filter(|one| one.followed.len().min(one.departed.len()) >= 2).collect();
    let overlap = shared.iter().map(|one| one.departed.len()).sum::<usize>() as f64 / departed as f64;
    if overlap < LEAST_OVERLAP {
        let detail = format!("{:.0} % of the departures have their like among those that followed", overlap * 100.0);
        return Finding::NotIdentifiable { reason: Reason::NoOverlap, detail };
    }
    let imbalance = imbalance(&shared);
    if imbalance > LARGEST_IMBALANCE {
        let detail = format!(
            "people departed where the forecast was another one already: the sides differ by {imbalance:.2} standard \
             deviations, at most {LARGEST_IMBALANCE} can be compared"
        );
        return Finding::NotIdentifiable { reason: Reason::Selection, detail };
    }
    let interval = draws(|random| {
        let drawn: Vec<Stratum> = shared
            .iter()
            .map(|one| Stratum { followed: random.sample(&one.followed), departed: random.sample(&one.departed) })
            .collect();
        difference(&drawn, 0)
    });
    let used = shared.iter().map(|one| one.followed.len() + one.departed.len()).sum();
    Finding::identified(difference(&shared, 0), interval, used)
}

type Priced<'a> = (&'a str, &'a Closed, bool, (f64, f64));

fn priced(case: &Closed) -> Option<Priced<'_>> {
    let cost = case.realised.as_ref()?.cost.as_ref()?;
    let (forecast, _) = case.forecast?;
    Some((cost.currency.as_str(), case, case.followed()?, (cost.minor as f64, forecast)))
}

/// Mean difference of the cost (0) or of the forecast (1), weighed by the departures of each stratum.
fn difference(strata: &[Stratum], of: usize) -> f64 {
    let mean = |points: &[(f64, f64)]| {
        crate::metrics::mean(points.iter().map(|point| if of == 0 { point.0 } else { point.1 }))
    };
    let departed: f64 = strata.iter().map(|one| one.departed.len() as f64).sum();
    let parts = strata.iter().map(|one| one.departed.len() as f64 * (mean(&one.followed) - mean(&one.departed)));
    parts.sum::<f64>() / departed
}

/// Difference of the forecasts within strata, in standard deviations of all forecasts.
fn imbalance(strata: &[Stratum]) -> f64 {
    let forecasts = || strata.iter().flat_map(|one| one.followed.iter().chain(&one.departed)).map(|point| point.1);
    let mean = crate::metrics::mean(forecasts());
    let deviation = crate::metrics::mean(forecasts().map(|forecast| (forecast - mean).powi(2))).sqrt();
    if deviation > 1e-12 { difference(strata, 1).abs() / deviation } else { 0.0 }
}
