//! Demand per bucket from sales that stock-outs have cut short, and its distribution over any stretch of days ahead.
//!
//! What the readable history (`history`) sold, less what price, promotion and weekday did (`effects`), gives a level,
//! exponentially weighted, and a dispersion. Demand over `M` expected units is negative binomial with variance
//! `dispersion·M + uncertainty·M²`: independent days add up linearly, an error in the level hits all days alike.

use contracts::{
    Facts,
    facts::{DailyDemand, Every},
};
use jiff::{Timestamp, ToSpan, civil::Date, tz::TimeZone};

use super::{
    effects::Effects,
    history::{Bucket, Cause, holiday, log_price, monday_is_zero, readable},
    parameters::DemandParameters,
};
use crate::counts::Counts;

pub(super) const WEEK: usize = 7;
/// Share of the time in stock from which a bucket counts as in stock.
const IN_STOCK: f64 = 0.5;

/// What is known of demand, enough to say its distribution over any horizon.
#[derive(Clone, Debug)]
pub(crate) struct Demand {
    /// Expected units in an ordinary bucket.
    pub(super) level: f64,
    /// The same with all buckets weighed alike: what `level` is compared with to speak of a trend.
    pub(super) long_run_level: f64,
    /// Buckets in stock for at least half the time.
    pub(crate) in_stock: u32,
    /// First day ahead, in the location's calendar as far as the history tells it.
    pub(super) today: Date,
    /// Days between the end of the history and today.
    pub(super) silent_days: i64,
    /// Days in a bucket.
    pub(super) bucket_days: f64,
    dispersion: f64,
    uncertainty: f64,
    /// Ordinary buckets' worth of demand before each bucket of a week without plans, from today on.
    week: [f64; WEEK + 1],
    /// The same as far as plans are known; empty without any.
    plan: Vec<f64>,
}

impl Demand {
    /// Units demanded over the next `days`; fractions of a bucket take that fraction of its demand.
    pub(crate) fn over(&self, days: f64) -> Counts {
        self.like(self.level * self.factors(days / self.bucket_days))
    }

    /// The variance model of this demand at another mean: what a donor's demand, of which only the mean is known,
    /// is taken to have.
    pub(super) fn like(&self, mean: f64) -> Counts {
        Counts::by_moments(mean, self.dispersion * mean + self.uncertainty * mean * mean)
    }

    /// Expected units of an ordinary day.
    pub(super) fn daily(&self) -> f64 {
        self.level / self.bucket_days
    }

    /// Forgets what is planned: ordinary weeks from today on.
    pub(super) fn unplanned(&mut self) {
        self.plan = Vec::new();
    }

    /// Ordinary buckets' worth of demand over the next `buckets`.
    fn factors(&self, buckets: f64) -> f64 {
        let known = self.plan.len().saturating_sub(1);
        if known == 0 {
            return self.ordinary(buckets);
        }
        if buckets >= known as f64 {
            return self.plan[known] + self.ordinary(buckets) - self.ordinary(known as f64);
        }
        // Below the length of a list, so the conversion loses nothing.
        let whole = buckets.floor();
        let at = whole as usize;
        self.plan[at] + (buckets - whole) * (self.plan[at + 1] - self.plan[at])
    }

    fn ordinary(&self, buckets: f64) -> f64 {
        let weeks = (buckets / WEEK as f64).floor();
        let rest = buckets - weeks * WEEK as f64;
        let at = (rest as usize).min(WEEK - 1);
        weeks * self.week[WEEK] + self.week[at] + (rest - at as f64) * (self.week[at + 1] - self.week[at])
    }

    pub(super) fn estimate(facts: &Facts, parameters: &DemandParameters) -> Self {
        Self::of_history(&facts.demand, facts.as_of, parameters)
    }

    /// The estimate from a history alone, as of some moment.
    pub(crate) fn of_history(history: &DailyDemand, as_of: Timestamp, parameters: &DemandParameters) -> Self {
        let days = history.every == Every::Day;
        let mut buckets = readable(history, parameters);
        let effects = Effects::estimate(&mut buckets, days, parameters);
        let level = Level::estimate(&buckets, history.units.len(), parameters);
        let dispersion = dispersion(&buckets, level.long_run, parameters);
        // Relative variance of a weighted mean of counts with that dispersion.
        let estimation = if level.recent > 0.0 { dispersion * level.spread / level.recent } else { 0.0 };
        let out = history.out_of_stock.iter().filter(|share| 1.0 - **share < IN_STOCK).count();
        let (today, silent_days) = today(history, as_of);
        let skipped = (silent_days as f64 / history.every.days()) as usize;
        Self {
            level: level.expected(parameters),
            long_run_level: level.long_run * parameters.calibration,
            // At most MAX_HISTORY_DAYS, which fits.
            in_stock: (history.units.len() - out.min(history.units.len())) as u32,
            today,
            silent_days,
            bucket_days: history.every.days(),
            dispersion,
            uncertainty: parameters.drift + estimation,
            week: week(days.then_some(today), &effects, parameters),
            plan: plan(history, days.then_some(today), skipped, &effects, parameters),
        }
    }
}

/// Units per ordinary bucket, and how well they are known.
struct Level {
    recent: f64,
    long_run: f64,
    /// Relative variance of the recent level per unit of dispersion and level.
    spread: f64,
}

impl Level {
    fn estimate(buckets: &[Bucket], length: usize, parameters: &DemandParameters) -> Self {
        let prior = parameters.level_prior_units;
        let (mut units, mut expected, mut squared) = (prior, 0.0, 0.0);
        let (mut all_units, mut all_expected) = (prior, 0.0);
        let (mut weight, mut next) = (1.0, length);
        for bucket in buckets.iter().rev() {
            // Unreadable buckets lie between readable ones, and time passes in them too.
            while next > bucket.index + 1 {
                weight *= parameters.decay;
                next -= 1;
            }
            let expects = bucket.trust * bucket.exposure * bucket.factor;
            units += weight * bucket.trust * bucket.units;
            expected += weight * expects;
            squared += weight * weight * expects;
            all_units += bucket.trust * bucket.units;
            all_expected += expects;
        }
        if expected <= 0.0 {
            return Self { recent: 0.0, long_run: 0.0, spread: 0.0 };
        }
        Self { recent: units / expected, long_run: all_units / all_expected, spread: squared / (expected * expected) }
    }

    /// The level to come: the recent one, carried on along the trend.
    fn expected(&self, parameters: &DemandParameters) -> f64 {
        let carried = if parameters.trend == 0.0 || self.long_run <= 0.0 {
            1.0
        } else {
            (self.recent / self.long_run).powf(parameters.trend)
        };
        self.recent * carried * parameters.calibration
    }
}

/// Ordinary buckets' worth of demand before each day of a week that begins today, and in all of it.
fn week(today: Option<Date>, effects: &Effects, parameters: &DemandParameters) -> [f64; WEEK + 1] {
    let mut before = [0.0; WEEK + 1];
    for i in 0..WEEK {
        before[i + 1] = before[i] + today.map_or(1.0, |today| day_factor(today, i, &[], effects, parameters));
    }
    before
}

/// The same for as long as anything is planned.
fn plan(
    history: &DailyDemand,
    today: Option<Date>,
    skipped: usize,
    effects: &Effects,
    parameters: &DemandParameters,
) -> Vec<f64> {
    let rest = |length: usize| length.saturating_sub(skipped);
    let lengths = [
        history.promotion_ahead.len(),
        history.advertised_ahead.len(),
        history.price_share_ahead.len(),
        history.holiday_ahead.len(),
    ];
    let known = lengths.into_iter().map(rest).max().unwrap_or(0);
    if known == 0 {
        return Vec::new();
    }
    let holidays = history.holiday_ahead.get(skipped..).unwrap_or_default();
    let mut before = Vec::with_capacity(known + 1);
    before.push(0.0);
    let mut sum = 0.0;
    for i in 0..known {
        let log_price = log_price(&history.price_share_ahead, skipped + i);
        let price = if log_price < 0.0 { (-effects.elasticity * log_price).exp() } else { 1.0 };
        let cause = Cause::at(skipped + i, &history.promotion_ahead, &history.advertised_ahead);
        let day = today.map_or(1.0, |today| day_factor(today, i, holidays, effects, parameters));
        sum += price * effects.of(cause) * day;
        before.push(sum);
    }
    before
}

/// Factor of the day `ahead` days after today.
fn day_factor(today: Date, ahead: usize, holidays: &[bool], effects: &Effects, parameters: &DemandParameters) -> f64 {
    let weekday = (monday_is_zero(today) + ahead) % WEEK;
    let off = holiday(holidays, ahead, weekday);
    effects.weekday[weekday] * if off { parameters.holiday } else { 1.0 }
}

/// The first day without sales: the one after the history, or the day of the facts when the history ends earlier.
/// Also how many days lie between the two. A day of the facts that time zones put before the history is ignored.
fn today(demand: &DailyDemand, as_of: Timestamp) -> (Date, i64) {
    let length = i64::try_from(demand.units.len()).unwrap_or(i64::MAX);
    let span = match demand.every {
        Every::Day => length.days(),
        Every::Week => length.weeks(),
        Every::Month => length.months(),
    };
    let after = demand.first_day.checked_add(span).unwrap_or(Date::MAX);
    let of_facts = TimeZone::UTC.to_datetime(as_of).date();
    let silent = days_between(after, of_facts);
    if silent < 0 { (after, 0) } else { (of_facts, silent) }
}

/// Whole days from one date to another; negative when it lies before.
pub(super) fn days_between(from: Date, to: Date) -> i64 {
    // A difference of civil dates in days cannot fail; the fallback only satisfies the type.
    from.until(to).map_or(0, |span| i64::from(span.get_days()))
}

/// Variance-to-mean ratio of buckets around their expectation, by moments, at least that of a Poisson.
fn dispersion(buckets: &[Bucket], level: f64, parameters: &DemandParameters) -> f64 {
    let prior = parameters.dispersion_prior_buckets * level;
    let (mut squares, mut expected) = (parameters.dispersion_prior * prior, prior);
    for bucket in buckets {
        let mean = level * bucket.factor * bucket.exposure;
        squares += bucket.trust * (bucket.units - mean).powi(2);
        expected += bucket.trust * mean;
    }
    if expected > 0.0 { (squares / expected).max(1.0) } else { 1.0 }
}
