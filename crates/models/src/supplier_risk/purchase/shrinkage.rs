//! Late rate and mean delay of a line, by shrinkage through circles of comparable lines.
//!
//! In each circle the rate is a beta-binomial posterior mean whose prior is the estimate of the next wider circle and
//! counts for so many lines (Efron and Morris 1975; Gelman et al., Bayesian Data Analysis, 3rd ed., section 5.3). The
//! walk is made twice, over outcomes that fade within months and within years, and the two are averaged on the logit
//! scale: late rates swing between years, and neither memory alone follows both the swing and what stays.

use super::{
    parameters::{DelayParameters, Shrinkage},
    types::{Counts, Evidence, Tally},
};

/// How many circles there are.
pub(super) const CIRCLES: usize = 8;

/// Late rate with only the first `circles` circles known; strictly between 0 and 1.
pub(super) fn late_rate(evidence: &Evidence, circles: usize, shrinkage: &Shrinkage) -> f64 {
    let walk = |memory: fn(&Tally) -> Counts| {
        let known = evidence.circles().into_iter().zip(shrinkage.strengths()).take(circles);
        let rate = known.fold(shrinkage.prior_late, |rate, ((_, tally), strength)| {
            let counts = memory(tally);
            (counts.late + strength * rate) / (counts.lines + strength)
        });
        rate / (1.0 - rate)
    };
    let weight = shrinkage.recent_weight;
    let odds = walk(|tally| tally.recent).powf(weight) * walk(|tally| tally.long).powf(1.0 - weight);
    odds / (1.0 + odds)
}

/// Mean delay, in days, of what is late.
pub(super) fn days_late(evidence: &Evidence, parameters: &DelayParameters) -> f64 {
    evidence.circles().into_iter().fold(parameters.days_late, |mean, (_, tally)| {
        (tally.days_late + parameters.strength * mean) / (tally.received_late + parameters.strength)
    })
}
