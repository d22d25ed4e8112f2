//! Demand of each location beyond what is reserved there, learnt from the history, the price and the reservations.
//!
//! What is reserved for the horizon is the part of its demand that is known already, so it tells of the rest. The rate
//! of location `i` is `m_i · c · g_i`: its own forecast `m_i`, a factor `c` that all share (weather, holiday, a trend
//! that the histories missed) and one of its own, both gamma distributed around 1. Reserved units are the share `p`
//! of a Poisson count with that rate, which makes the update conjugate (Gelman et al., Bayesian Data Analysis,
//! section 2.6): units beyond the reserved ones are negative binomial.

use jiff::Timestamp;

use super::{
    parameters::Parameters,
    types::{Demand, Location, Request},
};
use crate::{
    Missing,
    counts::{Beyond, Counts},
    replenishment::demand::Demand as Estimate,
};

/// What a location has and what is asked of it.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Outlook {
    /// Units for its own demand and for transfers.
    pub(super) stock: usize,
    pub(super) reserved: usize,
    /// Units asked for beyond the reserved ones.
    pub(super) walk_in: WalkIn,
}

/// Units asked for beyond the reserved ones: as expected, or as they turned out.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum WalkIn {
    Expected(Counts),
    Known(u32),
}

impl WalkIn {
    pub(super) fn mean(&self) -> f64 {
        match self {
            Self::Expected(counts) => counts.mean(),
            Self::Known(units) => f64::from(*units),
        }
    }

    fn beyond(&self, stock: f64) -> Beyond {
        match self {
            Self::Expected(counts) => counts.beyond(stock),
            Self::Known(units) => {
                let excess = (f64::from(*units) - stock).max(0.0);
                Beyond { probability: if excess > 0.0 { 1.0 } else { 0.0 }, excess }
            }
        }
    }
}

impl Outlook {
    /// Probability that demand exceeds a stock.
    pub(super) fn risk(&self, stock: usize) -> f64 {
        if stock < self.reserved { 1.0 } else { self.walk_in.beyond((stock - self.reserved) as f64).probability }
    }

    /// Units that a stock leaves unserved: of the reserved ones, and expected of the others.
    pub(super) fn unserved(&self, stock: usize) -> (f64, f64) {
        let left = stock.saturating_sub(self.reserved) as f64;
        (self.reserved.saturating_sub(stock) as f64, self.walk_in.beyond(left).excess)
    }

    pub(super) fn demand(&self) -> f64 {
        self.reserved as f64 + self.walk_in.mean()
    }

    /// Expected units served of those asked for; 1 where nothing is asked for.
    pub(super) fn fill(&self, stock: usize) -> f64 {
        let (reserved, walk_in) = self.unserved(stock);
        if self.demand() > 0.0 { (1.0 - (reserved + walk_in) / self.demand()).clamp(0.0, 1.0) } else { 1.0 }
    }
}

/// Outlooks of all locations; their stock is all that is on hand.
///
/// # Errors
/// Names every history that is too short to speak.
pub(super) fn outlooks(request: &Request, parameters: &Parameters) -> Result<Vec<Outlook>, Vec<Missing>> {
    let mut missing = Vec::new();
    let means: Vec<Option<f64>> = request
        .locations
        .iter()
        .enumerate()
        .map(|(i, location)| {
            expected(location, request.as_of, request.options.horizon_days, parameters).unwrap_or_else(|lack| {
                let pointer = format!("/locations/{i}/demand/history/sales/units");
                missing.push(Missing { pointer, detail: lack });
                None
            })
        })
        .collect();
    if !missing.is_empty() {
        return Err(missing);
    }
    let common = common_factor(request, &means, parameters);
    let walk_in = |location: &Location, mean: Option<f64>| match (&location.demand, mean) {
        (_, Some(mean)) => beyond_reserved(mean * common, location.reserved, parameters),
        (Some(Demand::Forecast { mean, variance }), None) => Counts::by_moments(*mean, *variance),
        _ => Counts::poisson(0.0),
    };
    let outlook = |(location, mean): (&Location, Option<f64>)| Outlook {
        stock: location.on_hand as usize,
        reserved: location.reserved as usize,
        walk_in: WalkIn::Expected(walk_in(location, mean)),
    };
    Ok(request.locations.iter().zip(means).map(outlook).collect())
}

/// Units that the history makes expect over the horizon; `None` when there is no history to judge by.
fn expected(
    location: &Location,
    as_of: Timestamp,
    horizon: f64,
    parameters: &Parameters,
) -> Result<Option<f64>, String> {
    let Some(Demand::History { sales, price_ratio }) = &location.demand else { return Ok(None) };
    let (days, needed) = (sales.units.len(), parameters.history_days);
    if days < needed {
        return Err(format!("needs {needed} days of sales, has {days}"));
    }
    let estimate = Estimate::of_history(sales, as_of, parameters.demand.of(sales.every));
    if estimate.in_stock == 0 {
        return Err("needs a day in stock for half the day or more, has none".to_owned());
    }
    let price = price_ratio.map_or(1.0, |ratio| ratio.powf(-parameters.price_elasticity));
    Ok(Some(estimate.over(horizon).mean() * price))
}

/// How much higher demand is everywhere than the histories say, judged by what is reserved. A location's own spread
/// makes its reservations say less about the others.
fn common_factor(request: &Request, means: &[Option<f64>], parameters: &Parameters) -> f64 {
    let prior = 1.0 / parameters.common_spread;
    let (mut seen, mut expected) = (prior, prior);
    for (location, mean) in request.locations.iter().zip(means) {
        let reserved = parameters.reserved_share * mean.unwrap_or(0.0);
        if reserved > 0.0 {
            let dispersion = 1.0 + reserved * parameters.location_spread;
            seen += f64::from(location.reserved) / dispersion;
            expected += reserved / dispersion;
        }
    }
    seen / expected
}

/// Units beyond the reserved ones, given how many are reserved.
fn beyond_reserved(mean: f64, reserved: u32, parameters: &Parameters) -> Counts {
    let share = parameters.reserved_share;
    let size = 1.0 / parameters.location_spread;
    let seen = size + f64::from(reserved);
    // size / mean + share, multiplied by the mean, so that a mean of zero is allowed.
    let rest = (1.0 - share) * mean * seen / (size + share * mean);
    Counts::by_moments(rest, rest + rest * rest / seen)
}
