//! Daily demand from sales that stock-outs have cut short, and its distribution over any stretch of days ahead.
//!
//! Sales of a day without stock say nothing of demand. A day in stock for share `e` is therefore an observation of
//! the rate `units / e` with weight `e^censoring`; what is left of the history gives a level (exponentially weighted),
//! a weekday profile, a promotion uplift (both shrunk towards what is usual) and a dispersion. Demand over `M`
//! expected units is negative binomial with variance `dispersion·M + uncertainty·M²`: independent days add up
//! linearly, an error in the level hits all days alike.

use contracts::{Facts, facts::DailyDemand};
use jiff::{ToSpan, civil::Date, tz::TimeZone};

use super::parameters::DemandParameters;
use crate::counts::Counts;

const WEEK: usize = 7;
/// Share of the day in stock from which a day counts as in stock.
const IN_STOCK: f64 = 0.5;
/// Shortest part of a day in stock from which a rate can be read at all (one hour of sixteen is noise).
const READABLE: f64 = 0.1;

/// What is known of demand, enough to say its distribution over any horizon.
#[derive(Clone, Debug)]
pub(super) struct Demand<'a> {
    /// Expected units on an ordinary day.
    pub(super) level: f64,
    /// The same with all days weighed alike: what `level` is compared with to speak of a trend.
    pub(super) long_run_level: f64,
    pub(super) uplift: f64,
    /// Days in stock for at least half the day.
    pub(super) in_stock_days: u32,
    /// First day ahead, in the location's calendar as far as the history tells it.
    pub(super) today: Date,
    /// Planned promotion by day from today on.
    pub(super) promotion_ahead: &'a [bool],
    dispersion: f64,
    uncertainty: f64,
    /// Weekday factors from today on.
    ahead: [f64; WEEK],
}

/// One day of history as the estimators see it.
#[derive(Clone, Copy)]
struct Day {
    units: f64,
    /// `e^(censoring - 1)`: what units are weighed by, so that units / exposure is the rate.
    trust: f64,
    /// `e^censoring`.
    exposure: f64,
    promotion: bool,
    weekday: usize,
}

impl Demand<'_> {
    /// Units demanded over the next `days`; fractions of a day take that fraction of the day's demand.
    pub(super) fn over(&self, days: f64) -> Counts {
        let mean = self.level * self.factors(days);
        Counts::by_moments(mean, self.dispersion * mean + self.uncertainty * mean * mean)
    }

    /// The variance model of this demand at another mean: what a donor's demand, of which only the mean is known,
    /// is taken to have.
    pub(super) fn like(&self, mean: f64) -> Counts {
        Counts::by_moments(mean, self.dispersion * mean + self.uncertainty * mean * mean)
    }

    /// Sum of weekday and promotion factors over a horizon: ordinary days' worth of demand.
    fn factors(&self, days: f64) -> f64 {
        let whole = days.floor();
        let (weeks, rest) = ((whole / WEEK as f64).floor(), whole % WEEK as f64);
        // Horizons are at most a few thousand days, so the conversions lose nothing.
        let last = whole as usize;
        let part = days - whole;
        let ordinary = weeks * self.ahead.iter().sum::<f64>()
            + self.ahead[..rest as usize].iter().sum::<f64>()
            + part * self.ahead[last % WEEK];
        let promoted = |day: usize| if self.promotion_ahead[day] { self.ahead[day % WEEK] } else { 0.0 };
        let known = self.promotion_ahead.len();
        let extra =
            (0..last.min(known)).map(promoted).sum::<f64>() + if last < known { part * promoted(last) } else { 0.0 };
        ordinary + (self.uplift - 1.0) * extra
    }

    pub(super) fn estimate<'a>(facts: &'a Facts, parameters: &DemandParameters) -> Demand<'a> {
        let history = &facts.demand;
        let days = || Days::new(history, parameters.censoring);
        let average = rate(days().filter(|day| !day.promotion)).or_else(|| rate(days())).unwrap_or(0.0);
        let uplift = uplift(days(), average, parameters);
        let weekday = weekdays(days(), average, uplift, parameters.weekday_prior_days);
        let factor = |day: &Day| weekday[day.weekday] * if day.promotion { uplift } else { 1.0 };

        let (mut units, mut expected, mut squared, mut weight) = (parameters.level_prior_units, 0.0, 0.0, 1.0);
        let (mut all_units, mut all_expected) = (0.0, 0.0);
        for day in days().rev() {
            let expects = day.exposure * factor(&day);
            units += weight * day.trust * day.units;
            expected += weight * expects;
            squared += weight * weight * expects;
            all_units += day.trust * day.units;
            all_expected += expects;
            weight *= parameters.decay;
        }
        let level = if expected > 0.0 { units / expected } else { 0.0 };
        let dispersion = dispersion(days(), level, factor, parameters);
        // Relative variance of a weighted mean of counts with that dispersion.
        let estimation = if level > 0.0 { dispersion * squared / (level * expected * expected) } else { 0.0 };
        let in_stock = |share: &&f64| 1.0 - **share >= IN_STOCK;
        let stocked = match history.out_of_stock.len() {
            0 => history.units.len(),
            _ => history.out_of_stock.iter().filter(in_stock).count(),
        };
        let (today, skipped) = today(facts);
        let first = today.weekday().to_monday_zero_offset();
        Demand {
            level,
            long_run_level: if all_expected > 0.0 { all_units / all_expected } else { level },
            uplift,
            in_stock_days: u32::try_from(stocked).unwrap_or(u32::MAX),
            today,
            promotion_ahead: history.promotion_ahead.get(skipped..).unwrap_or_default(),
            dispersion,
            uncertainty: parameters.drift + estimation,
            ahead: std::array::from_fn(|i| weekday[(first.unsigned_abs() as usize + i) % WEEK]),
        }
    }
}

/// The first day without sales: the one after the history, or the day of the facts when the history ends earlier.
/// Also how many days lie between the two. A day of the facts that time zones put before the history is ignored.
pub(super) fn today(facts: &Facts) -> (Date, usize) {
    let length = i64::try_from(facts.demand.units.len()).unwrap_or(i64::MAX);
    let after = facts.demand.first_day.checked_add(length.days()).unwrap_or(Date::MAX);
    let of_facts = TimeZone::UTC.to_datetime(facts.as_of).date();
    let skipped = days_between(after, of_facts);
    usize::try_from(skipped).map_or((after, 0), |days| (of_facts.max(after), days))
}

/// Whole days from one date to another; negative when it lies before.
pub(super) fn days_between(from: Date, to: Date) -> i64 {
    // A difference of civil dates in days cannot fail; the fallback only satisfies the type.
    from.until(to).map_or(0, |span| i64::from(span.get_days()))
}

/// Units per day of exposure; `None` without any exposure.
fn rate(days: impl Iterator<Item = Day>) -> Option<f64> {
    let (units, exposure) =
        days.fold((0.0, 0.0), |(units, exposure), day| (units + day.trust * day.units, exposure + day.exposure));
    (exposure > 0.0).then(|| units / exposure)
}

/// Ratio of promoted to ordinary days, with `uplift_prior_days` of the usual uplift mixed in.
fn uplift(days: Days<'_>, average: f64, parameters: &DemandParameters) -> f64 {
    let (mut units, mut expected) =
        (parameters.uplift_prior_days * parameters.uplift_prior * average, parameters.uplift_prior_days * average);
    for day in days.filter(|day| day.promotion) {
        units += day.trust * day.units;
        expected += day.exposure * average;
    }
    // A promotion is not planned to sell less; an apparent drop is noise.
    if expected > 0.0 { (units / expected).max(1.0) } else { parameters.uplift_prior }
}

/// Factor of each weekday, Monday first, with `prior` average days mixed into each, normalised to a mean of 1.
fn weekdays(days: Days<'_>, average: f64, uplift: f64, prior: f64) -> [f64; WEEK] {
    if average <= 0.0 {
        return [1.0; WEEK];
    }
    let mut units = [prior * average; WEEK];
    let mut expected = units;
    for day in days {
        units[day.weekday] += day.trust * day.units;
        expected[day.weekday] += day.exposure * average * if day.promotion { uplift } else { 1.0 };
    }
    let factors: [f64; WEEK] = std::array::from_fn(|k| units[k] / expected[k]);
    let mean = factors.iter().sum::<f64>() / WEEK as f64;
    factors.map(|factor| factor / mean)
}

/// Variance-to-mean ratio of days around their expectation, by moments, at least that of a Poisson.
fn dispersion(days: Days<'_>, level: f64, factor: impl Fn(&Day) -> f64, parameters: &DemandParameters) -> f64 {
    let prior = parameters.dispersion_prior_days * level;
    let (mut squares, mut expected) = (parameters.dispersion_prior * prior, prior);
    for day in days {
        // The same trust on both sides: a cut-short day counts for less, not for calm.
        let share = day.exposure / day.trust;
        let mean = level * factor(&day) * share;
        squares += day.trust * (day.units - mean).powi(2);
        expected += day.trust * mean;
    }
    if expected > 0.0 { (squares / expected).max(1.0) } else { 1.0 }
}

/// Days of history from which a rate can be read.
#[derive(Clone)]
struct Days<'a> {
    history: &'a DailyDemand,
    range: std::ops::Range<usize>,
    first_weekday: usize,
    censoring: i32,
}

impl<'a> Days<'a> {
    fn new(history: &'a DailyDemand, censoring: i32) -> Self {
        let first_weekday = history.first_day.weekday().to_monday_zero_offset().unsigned_abs() as usize;
        Self { history, range: 0..history.units.len(), first_weekday, censoring }
    }

    fn day(&self, index: usize) -> Option<Day> {
        let share = 1.0 - self.history.out_of_stock.get(index).copied().unwrap_or(0.0);
        let trust = share.powi(self.censoring - 1);
        (share >= READABLE).then(|| Day {
            units: self.history.units[index],
            trust,
            exposure: trust * share,
            promotion: self.history.promotion.get(index).copied().unwrap_or(false),
            weekday: (self.first_weekday + index) % WEEK,
        })
    }
}

impl Iterator for Days<'_> {
    type Item = Day;
    fn next(&mut self) -> Option<Day> {
        loop {
            let index = self.range.next()?;
            if let Some(day) = self.day(index) {
                return Some(day);
            }
        }
    }
}

impl DoubleEndedIterator for Days<'_> {
    fn next_back(&mut self) -> Option<Day> {
        loop {
            let index = self.range.next_back()?;
            if let Some(day) = self.day(index) {
                return Some(day);
            }
        }
    }
}
