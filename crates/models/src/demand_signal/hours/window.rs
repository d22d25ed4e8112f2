//! A request as the estimators see it, and what is estimated of it: the level of demand and the state of the shelf,
//! each from the other in turn (expectation maximisation).

use jiff::civil::Date;

use super::{
    parameters::{Demand, EXPOSURES, OPENING, Parameters},
    shelf::Chain,
    types::{DailySales, HOURS, HourlySales, Request},
};

const WEEK: usize = 7;
const SATURDAY: usize = 5;
/// Lowest price, as share of the list price, down to which the elasticity is believed.
const CHEAPEST: f64 = 0.3;
/// Units and average days that stand in for a history without sales, so that its level is small and not zero.
const NOTHING: f64 = 0.1;
/// Sale hours mixed into the estimate of the units that one sale hour brings per expected sale.
const BATCH_PRIOR: f64 = 2.0;

/// One day of hourly sales.
#[derive(Clone, Copy, Debug)]
pub(super) struct Day {
    /// Expected demand relative to an ordinary Monday at list price.
    factor: f64,
    /// Row of the hour profile: 0 for a working day, 1 for Saturdays, Sundays and holidays.
    pub(super) kind: usize,
    pub(super) price: f64,
}

/// What a day says about the level, weighed by how far it can be trusted.
#[derive(Clone, Copy, Debug, Default)]
struct Evidence {
    units: f64,
    /// Ordinary days that the units stand for.
    days: f64,
}

/// The request, and what it says of demand and shelf.
pub(super) struct Window<'a> {
    pub(super) demand: &'a Demand,
    pub(super) days: Vec<Day>,
    /// Units sold in each hour, 24 a day; 0 in hours still to come.
    pub(super) units: Vec<f64>,
    /// Hours of them that are past.
    past: usize,
    /// Units expected in the opening hours of each day with stock all day, from the other days.
    pub(super) level: Vec<f64>,
    /// Probability of an empty shelf in each hour.
    pub(super) out: Vec<f64>,
    /// Units per sale: an hour in which `m` units are expected is without sale with probability `exp(-m / batch)`.
    pub(super) batch: f64,
}

impl<'a> Window<'a> {
    pub(super) fn read(request: &'a Request, parameters: &'a Parameters) -> Self {
        let sales = &request.sales;
        let demand = &parameters.demand;
        let days = days(sales, demand);
        let mut units = sales.units.clone();
        let past = units.len();
        units.resize(days.len() * HOURS, 0.0);
        let known = |hour: usize| sales.out_of_stock.get(hour).copied().unwrap_or(false);
        let out = (0..units.len()).map(|hour| f64::from(u8::from(known(hour)))).collect();
        let (sold, times) =
            sales.units.iter().filter(|units| **units > 0.0).fold((0.0, 0.0), |(s, n), u| (s + u, n + 1.0));
        let batch = if times > 0.0 { sold / times } else { 1.0 };
        let mut window = Self { demand, level: vec![0.0; days.len()], days, units, past, out, batch };
        let earlier = earlier(request, demand);
        if sales.records_complete {
            window.find_levels(&earlier);
            return window;
        }
        let mut silence = vec![0.0; window.out.len()];
        let mut chain = Chain::new(&parameters.shelf);
        for _ in 0..parameters.shelf.rounds {
            window.find_levels(&earlier);
            window.find_silence(&mut silence);
            chain.run(sales, &silence, &mut window.out);
        }
        window
    }

    /// Hours of one day in the flat lists.
    pub(super) fn hours(day: usize) -> std::ops::Range<usize> {
        day * HOURS..(day + 1) * HOURS
    }

    /// Opening hours of one day that are past, as hours of the clock.
    pub(super) fn opening(&self, day: usize) -> std::ops::Range<usize> {
        let past = (self.past - day * HOURS).min(HOURS);
        OPENING.start..OPENING.end.min(past).max(OPENING.start)
    }

    /// Each hour's share of the day's demand.
    pub(super) fn profile(&self, day: usize) -> &[f64; HOURS] {
        &self.demand.profile[self.days[day].kind]
    }

    /// Levels of all days by an average of the days on both sides, the near ones first. A day does not speak for
    /// itself: what is asked is how it compares with the others.
    fn find_levels(&mut self, earlier: &[Evidence]) {
        let own: Vec<Evidence> = (0..self.days.len()).map(|day| self.evidence(day)).collect();
        let demand = self.demand;
        let all = earlier.iter().chain(&own).fold(Evidence::default(), |sum, one| sum.plus(*one));
        let step = |sum: &mut Evidence, one: &Evidence| std::mem::replace(sum, sum.plus(*one).times(demand.decay));
        let mut sum = earlier.iter().fold(Evidence::default(), |sum, one| sum.plus(*one).times(demand.decay));
        let before: Vec<Evidence> = own.iter().map(|one| step(&mut sum, one)).collect();
        let mut sum = Evidence::default();
        for (day, one) in own.iter().enumerate().rev() {
            let near = step(&mut sum, one).plus(before[day]);
            let average = (all.units - one.units + NOTHING) / (all.days - one.days + NOTHING);
            let prior = demand.level_prior_days;
            self.level[day] = (near.units + prior * average) / (near.days + prior) * self.days[day].factor;
        }
    }

    /// What was sold while there was stock stands for less than a day, and is trusted less by the same share. Hours
    /// still to come sell no more than those without stock.
    fn evidence(&self, day: usize) -> Evidence {
        let (units, out) = (&self.units[Self::hours(day)], &self.out[Self::hours(day)]);
        let sold = self.opening(day).map(|hour| units[hour] * (1.0 - out[hour])).sum();
        let stocked: f64 = self.opening(day).map(|hour| 1.0 - out[hour]).sum();
        let share = exposure(self.demand, 1.0 - stocked / OPENING.len() as f64);
        Evidence { units: sold, days: share * self.days[day].factor }.times(share)
    }

    /// `exp(-m / (2 batch))` of each hour's expected units `m`; then a better batch, by how many hours had a sale.
    fn find_silence(&mut self, silence: &mut [f64]) {
        let (mut foretold, mut seen) = (BATCH_PRIOR, BATCH_PRIOR);
        for day in 0..self.days.len() {
            let (rate, profile) = (-0.5 * self.level[day] / self.batch, self.profile(day));
            for (part, hour) in profile.iter().zip(Self::hours(day)) {
                let still = (rate * part).exp();
                silence[hour] = still;
                let full = if hour < self.past { 1.0 - self.out[hour] } else { 0.0 };
                foretold += full * (1.0 - still * still);
                seen += if self.units[hour] > 0.0 { full } else { 0.0 };
            }
        }
        self.batch *= foretold / seen;
    }
}

impl Evidence {
    fn plus(self, other: Self) -> Self {
        Self { units: self.units + other.units, days: self.days + other.days }
    }

    fn times(self, weight: f64) -> Self {
        Self { units: self.units * weight, days: self.days * weight }
    }
}

/// Demand on a weekday at a price, relative to an ordinary Monday at list price.
fn factor(demand: &Demand, weekday: usize, price: f64) -> f64 {
    // Most days sell at list price, and a power costs more than the rest of the day's work.
    let by_price = if price == 1.0 { 1.0 } else { price.max(CHEAPEST).powf(-demand.elasticity) };
    demand.weekday[weekday] * by_price
}

fn days(sales: &HourlySales, demand: &Demand) -> Vec<Day> {
    let first = monday_is_zero(sales.first_day);
    let mut holidays = sales.holidays.iter().peekable();
    let day = |index: usize| {
        let weekday = (first + index) % WEEK;
        let price = sales.price_share.get(index).copied().unwrap_or(1.0);
        let holiday = holidays.next_if(|date| days_between(sales.first_day, **date) == index as i64).is_some();
        let weekday = if holiday && weekday < SATURDAY { SATURDAY } else { weekday };
        Day { factor: factor(demand, weekday, price), kind: usize::from(weekday >= SATURDAY), price }
    };
    (0..sales.days()).map(day).collect()
}

/// The daily sales before the hourly ones. What was sold while part of the day was without stock stands for less than
/// a day, and is trusted less by the same share.
fn earlier(request: &Request, demand: &Demand) -> Vec<Evidence> {
    let Some(DailySales { units, out_of_stock, price_share: price }) = &request.earlier else { return Vec::new() };
    let first = monday_is_zero(request.sales.first_day) + WEEK - units.len() % WEEK;
    let evidence = |(index, units): (usize, &f64)| {
        let share = exposure(demand, out_of_stock.get(index).copied().unwrap_or(0.0));
        let price = price.get(index).copied().unwrap_or(1.0);
        Evidence { units: *units, days: share * factor(demand, (first + index) % WEEK, price) }.times(share * share)
    };
    units.iter().enumerate().map(evidence).collect()
}

/// Share of a day's demand that was sold when this share of the opening hours was out of stock.
fn exposure(demand: &Demand, out: f64) -> f64 {
    let place = out * (EXPOSURES - 1) as f64;
    let below = place.floor();
    // `out` lies in 0 to 1, so the index lies in the table.
    let low = demand.exposure[below as usize];
    let high = demand.exposure.get(below as usize + 1).copied().unwrap_or(low);
    low + (high - low) * (place - below)
}

fn days_between(from: Date, to: Date) -> i64 {
    // A difference of civil dates in days cannot fail; the fallback only satisfies the type.
    from.until(to).map_or(0, |span| i64::from(span.get_days()))
}

fn monday_is_zero(date: Date) -> usize {
    usize::from(date.weekday().to_monday_zero_offset().unsigned_abs())
}
