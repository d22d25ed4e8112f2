//! Daily demand from sales that stock-outs have cut short, and its distribution over any stretch of days ahead.
//!
//! Sales of a day without stock say nothing of demand. A day in stock for share `e` saw `e^exposure` of the day's
//! demand (less is missed than hours are, because stock runs out late in the day) and is trusted `e^trust`; what is
//! left of the history gives a level (exponentially weighted),
//! a weekday profile, a promotion uplift (both shrunk towards what is usual) and a dispersion. Demand over `M`
//! expected units is negative binomial with variance `dispersion·M + uncertainty·M²`: independent days add up
//! linearly, an error in the level hits all days alike.

use contracts::{Facts, facts::DailyDemand};
use jiff::{Timestamp, ToSpan, civil::Date, tz::TimeZone};

use super::parameters::DemandParameters;
use crate::counts::Counts;

const WEEK: usize = 7;
/// Share of the day in stock from which a day counts as in stock.
const IN_STOCK: f64 = 0.5;
/// Shortest part of a day in stock from which a rate can be read at all (one hour of sixteen is noise).
const READABLE: f64 = 0.1;

/// Highest uplift believed. Stronger ones are articles that hardly sell without promotion, read from next to nothing.
const MOST_UPLIFT: f64 = 20.0;

/// What is known of demand, enough to say its distribution over any horizon.
#[derive(Clone, Debug)]
pub(crate) struct Demand<'a> {
    /// Expected units on an ordinary day.
    pub(super) level: f64,
    /// The same with all days weighed alike: what `level` is compared with to speak of a trend.
    pub(super) long_run_level: f64,
    pub(super) uplift: f64,
    /// Days in stock for at least half the day.
    pub(crate) in_stock_days: u32,
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
    /// Weight of the day.
    trust: f64,
    /// Share of the day's demand that stock was there for.
    exposure: f64,
    promotion: bool,
    weekday: usize,
}

impl Demand<'_> {
    /// Units demanded over the next `days`; fractions of a day take that fraction of the day's demand.
    pub(crate) fn over(&self, days: f64) -> Counts {
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
        Demand::of_history(&facts.demand, facts.as_of, parameters)
    }

    /// The estimate from a history alone, as of some moment.
    pub(crate) fn of_history<'a>(
        history: &'a DailyDemand,
        as_of: Timestamp,
        parameters: &DemandParameters,
    ) -> Demand<'a> {
        let days = readable(history, parameters);
        let average = rate(days.iter().filter(|day| !day.promotion)).or_else(|| rate(days.iter())).unwrap_or(0.0);
        let uplift = uplift(&days, average, parameters);
        let weekday = weekdays(&days, average, uplift, parameters.weekday_prior_days);
        let factor = |day: &Day| weekday[day.weekday] * if day.promotion { uplift } else { 1.0 };

        let (mut units, mut expected, mut squared, mut weight) = (parameters.level_prior_units, 0.0, 0.0, 1.0);
        let (mut all_units, mut all_expected) = (0.0, 0.0);
        for day in days.iter().rev() {
            let expects = day.trust * day.exposure * factor(day);
            units += weight * day.trust * day.units;
            expected += weight * expects;
            squared += weight * weight * expects;
            all_units += day.trust * day.units;
            all_expected += expects;
            weight *= parameters.decay;
        }
        let level = if expected > 0.0 { units / expected } else { 0.0 };
        let dispersion = dispersion(&days, level, factor, parameters);
        // Relative variance of a weighted mean of counts with that dispersion.
        let estimation = if level > 0.0 { dispersion * squared / (level * expected * expected) } else { 0.0 };
        let in_stock = |share: &&f64| 1.0 - **share >= IN_STOCK;
        let stocked = match history.out_of_stock.len() {
            0 => history.units.len(),
            _ => history.out_of_stock.iter().filter(in_stock).count(),
        };
        let (today, skipped) = today(history, as_of);
        let first = monday_is_zero(today);
        Demand {
            level,
            long_run_level: if all_expected > 0.0 { all_units / all_expected } else { level },
            uplift,
            in_stock_days: u32::try_from(stocked).unwrap_or(u32::MAX),
            today,
            promotion_ahead: history.promotion_ahead.get(skipped..).unwrap_or_default(),
            dispersion,
            uncertainty: parameters.drift + estimation,
            ahead: std::array::from_fn(|i| weekday[(first + i) % WEEK]),
        }
    }
}

/// The first day without sales: the one after the history, or the day of the facts when the history ends earlier.
/// Also how many days lie between the two. A day of the facts that time zones put before the history is ignored.
pub(super) fn today(history: &DailyDemand, as_of: Timestamp) -> (Date, usize) {
    let length = i64::try_from(history.units.len()).unwrap_or(i64::MAX);
    let after = history.first_day.checked_add(length.days()).unwrap_or(Date::MAX);
    let of_facts = TimeZone::UTC.to_datetime(as_of).date();
    let skipped = days_between(after, of_facts);
    usize::try_from(skipped).map_or((after, 0), |days| (of_facts.max(after), days))
}

/// Whole days from one date to another; negative when it lies before.
pub(super) fn days_between(from: Date, to: Date) -> i64 {
    // A difference of civil dates in days cannot fail; the fallback only satisfies the type.
    from.until(to).map_or(0, |span| i64::from(span.get_days()))
}

/// Units per day of exposure; `None` without any exposure.
fn rate<'a>(days: impl Iterator<Item = &'a Day>) -> Option<f64> {
    let (units, exposure) = days.fold((0.0, 0.0), |(units, exposure), day| {
        (units + day.trust * day.units, exposure + day.trust * day.exposure)
    });
    (exposure > 0.0).then(|| units / exposure)
}

/// Ratio of promoted to ordinary days, with `uplift_prior_days` of the usual uplift mixed in.
fn uplift(days: &[Day], average: f64, parameters: &DemandParameters) -> f64 {
    let (mut units, mut expected) =
        (parameters.uplift_prior_days * parameters.uplift_prior * average, parameters.uplift_prior_days * average);
    for day in days.iter().filter(|day| day.promotion) {
        units += day.trust * day.units;
        expected += day.trust * day.exposure * average;
    }
    // A promotion is not planned to sell less; an apparent drop is noise.
    if expected > 0.0 { (units / expected).clamp(1.0, MOST_UPLIFT) } else { parameters.uplift_prior }
}

/// Factor of each weekday, Monday first, with `prior` average days mixed into each, normalised to a mean of 1.
fn weekdays(days: &[Day], average: f64, uplift: f64, prior: f64) -> [f64; WEEK] {
    if average <= 0.0 {
        return [1.0; WEEK];
    }
    let mut units = [prior * average; WEEK];
    let mut expected = units;
    for day in days {
        units[day.weekday] += day.trust * day.units;
        expected[day.weekday] += day.trust * day.exposure * average * if day.promotion { uplift } else { 1.0 };
    }
    let factors: [f64; WEEK] = std::array::from_fn(|k| units[k] / expected[k]);
    let mean = factors.iter().sum::<f64>() / WEEK as f64;
    factors.map(|factor| factor / mean)
}

/// Variance-to-mean ratio of days around their expectation, by moments, at least that of a Poisson.
fn dispersion(days: &[Day], level: f64, factor: impl Fn(&Day) -> f64, parameters: &DemandParameters) -> f64 {
    let prior = parameters.dispersion_prior_days * level;
    let (mut squares, mut expected) = (parameters.dispersion_prior * prior, prior);
    for day in days {
        let mean = level * factor(day) * day.exposure;
        squares += day.trust * (day.units - mean).powi(2);
        expected += day.trust * mean;
    }
    if expected > 0.0 { (squares / expected).max(1.0) } else { 1.0 }
}

/// Days of history from which a rate can be read, oldest first.
fn readable(history: &DailyDemand, parameters: &DemandParameters) -> Vec<Day> {
    let first_weekday = monday_is_zero(history.first_day);
    let day = |(index, units): (usize, &f64)| {
        let share = 1.0 - history.out_of_stock.get(index).copied().unwrap_or(0.0);
        // Most days are in stock all day, and a power costs more than the rest of the day's work.
        let power = |exponent: f64| if share < 1.0 { share.powf(exponent) } else { 1.0 };
        (share >= READABLE).then(|| Day {
            units: *units,
            trust: power(parameters.trust),
            exposure: power(parameters.exposure),
            promotion: history.promotion.get(index).copied().unwrap_or(false),
            weekday: (first_weekday + index) % WEEK,
        })
    };
    history.units.iter().enumerate().filter_map(day).collect()
}

fn monday_is_zero(date: Date) -> usize {
    usize::from(date.weekday().to_monday_zero_offset().unsigned_abs())
}
