//! Sales history as the estimators see it: what each bucket says of demand, and how much it is to be believed.
//!
//! Sales of a bucket without stock say nothing of demand. A bucket in stock for share `e` saw `e^exposure` of the
//! demand (less is missed than hours are, because stock runs out late in the day) and is trusted `e^trust`.

use contracts::facts::{DailyDemand, Every};
use jiff::civil::Date;

use super::{demand::WEEK, parameters::DemandParameters};

/// Shortest part of a bucket in stock from which a rate can be read at all (one hour of sixteen is noise).
const READABLE: f64 = 0.1;
/// Lowest price share that the elasticity is asked about; what is sold below is clearance.
const LOWEST_PRICE: f64 = 0.3;

/// One bucket from which a rate can be read.
#[derive(Clone, Copy, Debug)]
pub(super) struct Bucket {
    pub(super) units: f64,
    /// Weight of the bucket.
    pub(super) trust: f64,
    /// Share of the bucket's demand that stock was there for.
    pub(super) exposure: f64,
    /// Demand expected in it relative to an ordinary bucket, as far as known.
    pub(super) factor: f64,
    /// Natural logarithm of the price share, at most 0.
    pub(super) log_price: f64,
    pub(super) cause: Cause,
    /// Monday is 0.
    pub(super) weekday: usize,
    /// Position in the history.
    pub(super) index: usize,
}

/// What moves demand in a bucket beside its price.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Cause {
    Ordinary,
    Promotion,
    /// Stronger than a promotion, and says more: advertised articles are nearly always on promotion too.
    Advertised,
}

impl Cause {
    /// That of one element of the lists, which may be empty or too short.
    pub(super) fn at(index: usize, promotion: &[bool], advertised: &[bool]) -> Self {
        let told = |list: &[bool]| list.get(index).copied().unwrap_or(false);
        if told(advertised) {
            Self::Advertised
        } else if told(promotion) {
            Self::Promotion
        } else {
            Self::Ordinary
        }
    }
}

/// Natural logarithm of a price share that the elasticity can be applied to.
pub(super) fn log_price(price_shares: &[f64], index: usize) -> f64 {
    price_shares.get(index).filter(|share| **share < 1.0).map_or(0.0, |share| share.max(LOWEST_PRICE).ln())
}

/// Whether a day is off work: as told, else Saturdays and Sundays.
pub(super) fn holiday(told: &[bool], index: usize, weekday: usize) -> bool {
    told.get(index).copied().unwrap_or(weekday >= 5)
}

pub(super) fn monday_is_zero(date: Date) -> usize {
    usize::from(date.weekday().to_monday_zero_offset().unsigned_abs())
}

/// Buckets from which a rate can be read, oldest first, with the factors of price and holiday set.
pub(super) fn readable(history: &DailyDemand, parameters: &DemandParameters) -> Vec<Bucket> {
    let first_weekday = monday_is_zero(history.first_day);
    let mut buckets = Vec::with_capacity(history.units.len());
    for (index, units) in history.units.iter().enumerate() {
        let share = 1.0 - history.out_of_stock.get(index).copied().unwrap_or(0.0);
        if share < READABLE {
            continue;
        }
        // Most buckets are in stock and at the regular price, and a power costs more than the rest of the work.
        let log_share = if share < 1.0 { share.ln() } else { 0.0 };
        let power = |exponent: f64, log: f64| if log < 0.0 { (exponent * log).exp() } else { 1.0 };
        let log_price = log_price(&history.price_share, index);
        let weekday = (first_weekday + index) % WEEK;
        let off = history.every == Every::Day && holiday(&history.holiday, index, weekday);
        buckets.push(Bucket {
            units: *units,
            trust: power(parameters.trust, log_share),
            exposure: power(parameters.exposure, log_share),
            factor: power(-parameters.elasticity, log_price) * if off { parameters.holiday } else { 1.0 },
            log_price,
            cause: Cause::at(index, &history.promotion, &history.advertised),
            weekday,
            index,
        });
    }
    buckets
}

/// Units per expected ordinary bucket; `None` when nothing was expected.
pub(super) fn rate<'a>(buckets: impl Iterator<Item = &'a Bucket>) -> Option<f64> {
    let (units, expected) = buckets.fold((0.0, 0.0), |(units, expected), bucket| {
        (units + bucket.trust * bucket.units, expected + bucket.trust * bucket.exposure * bucket.factor)
    });
    (expected > 0.0).then(|| units / expected)
}
