//! How strange a bucket is: the strongest of a few windows that end in it, each by its own calibrated tail.

use serde::{Deserialize, Serialize};

use super::{
    count::Outlook,
    parameters::{CountParameters, Tail, Window},
    types::Side,
};
use crate::counts::Counts;

/// `-log10` of the share that [`Tail::start`] is the quantile of.
const START_SHARE: f64 = 1.301_029_995_663_981_2;
/// Tail probabilities below this are rounding of a sum of terms.
const LEAST_TAIL: f64 = 1e-15;

/// A bucket with its count beside what was expected of it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = DemandSignalJudged)]
pub struct Judged {
    pub(super) units: f64,
    pub(super) outlook: Outlook,
    /// Probability that the count is demand, and not an empty shelf nobody told about.
    pub(super) weight: f64,
    pub(super) observed: bool,
    /// In stock for most of the bucket, as far as is known.
    pub(super) full: bool,
    pub(super) side: Side,
}

/// Facts that may be set back to an unremarkable value, to see what they contribute.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Facts {
    pub(super) weekday: bool,
    pub(super) promotion: bool,
    pub(super) stock: bool,
    pub(super) buckets_before: bool,
}

impl Facts {
    pub(super) const ALL: Self = Self { weekday: true, promotion: true, stock: true, buckets_before: true };
}

/// What speaks against "ordinary".
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Evidence {
    /// `-log10` of the calibrated probability that an ordinary bucket is at least as strange.
    pub(super) surprise: f64,
    /// Length of the window that is the strangest.
    pub(super) buckets: usize,
}

/// The strangest window, with the chance of all windows taken into account.
pub(super) fn strongest(parameters: &CountParameters, past: &[Judged], now: &Judged, facts: Facts) -> Evidence {
    let side = if now.units >= mean(now, facts) { Side::Above } else { Side::Below };
    let mut best = Evidence { surprise: 0.0, buckets: 1 };
    for window in &parameters.windows {
        if window.buckets > 1 && !facts.buckets_before {
            continue;
        }
        let Some(nominal) = nominal(window, past, now, facts, side) else { continue };
        let tail = if side == Side::Above { window.up } else { window.down };
        let surprise = calibrated(nominal, tail);
        if surprise > best.surprise {
            best = Evidence { surprise, buckets: window.buckets };
        }
    }
    best.surprise = of_several(best.surprise, parameters.tests);
    best
}

/// `-log10` of the negative binomial tail of a window's sum; none before the window is full.
pub(super) fn nominal(window: &Window, past: &[Judged], now: &Judged, facts: Facts, side: Side) -> Option<f64> {
    let before = &past[..window.buckets - 1];
    if before.iter().any(|judged| !judged.observed) {
        return None;
    }
    // All buckets of the window are judged by the level before it, so that a shift does not explain itself.
    let base = before.last().map_or(now.outlook, |oldest| oldest.outlook);
    let (mut units, mut expected, mut squares, mut unfamiliar) = (0.0, 0.0, 0.0, 0.0);
    for (judged, weight) in before.iter().map(|judged| (judged, weight(judged, facts))).chain([(now, 1.0)]) {
        let mean = weight * mean_at(base.level, judged, facts);
        units += weight * judged.units;
        expected += mean;
        squares += mean * mean;
        // Errors of the assumed effects of price and promotion are the same in all buckets: they add up.
        unfamiliar += mean * if facts.promotion { judged.outlook.unfamiliar.sqrt() } else { 0.0 };
    }
    let variance = expected
        + now.outlook.dispersion * squares
        + expected * expected / base.mass.max(0.5)
        + unfamiliar * unfamiliar;
    let counts = Counts::by_moments(expected, variance);
    let tail = match side {
        Side::Above => counts.beyond(units.ceil() - 1.0).probability,
        Side::Below => counts.cdf(units),
    };
    Some(-tail.clamp(LEAST_TAIL, 1.0).log10())
}

fn weight(judged: &Judged, facts: Facts) -> f64 {
    if facts.stock { judged.weight } else { 1.0 }
}

fn mean(judged: &Judged, facts: Facts) -> f64 {
    mean_at(judged.outlook.level, judged, facts)
}

fn mean_at(level: f64, judged: &Judged, facts: Facts) -> f64 {
    let outlook = &judged.outlook;
    let factor = |on: bool, factor: f64| if on { factor } else { 1.0 };
    let factors = factor(facts.weekday, outlook.weekday)
        * factor(facts.promotion, outlook.promotion)
        * factor(facts.stock, outlook.exposure);
    (level * factors).max(super::count::LEAST_MEAN)
}

/// Nominal to real: see [`Tail`].
fn calibrated(nominal: f64, tail: Tail) -> f64 {
    if nominal > tail.start {
        START_SHARE + tail.slope * (nominal - tail.start)
    } else {
        START_SHARE * nominal / tail.start
    }
}

/// `-log10` of the probability that the strangest of `tests` independent ones is as strange (Šidák 1967).
fn of_several(surprise: f64, tests: f64) -> f64 {
    let probability = 10_f64.powf(-surprise);
    let several = -(tests * (-probability).ln_1p()).exp_m1();
    // Small probabilities add up, and large ones keep their digits.
    if probability < 1e-9 { (surprise - tests.log10()).max(0.0) } else { -several.max(LEAST_TAIL).log10().min(0.0) }
}
