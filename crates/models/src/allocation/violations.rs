//! What is wrong with a request, each by its pointer.

use std::{collections::HashSet, fmt, ops::RangeInclusive};

use contracts::{
    FieldError,
    facts::{DailyDemand, MAX_HISTORY_DAYS},
};

use super::types::{Demand, Options, Request};

pub(super) const MAX_LOCATIONS: usize = 500;
pub(super) const MAX_LANES: usize = 20_000;
pub(super) const MAX_ORDERS: usize = 50_000;
/// Most units of any one number; beyond it a figure is a unit error.
const MAX_UNITS: u32 = 1_000_000;
/// Most minor units of any one price or cost.
const MAX_MINOR: f64 = 1e9;
/// Longest lane or horizon, in days.
const MAX_DAYS: f64 = 60.0;

/// Gathers errors; pointers are spelled only for what is wrong.
struct Checks(Vec<FieldError>);

impl Checks {
    fn refuse(&mut self, bad: bool, pointer: fmt::Arguments<'_>, detail: fmt::Arguments<'_>) {
        if bad {
            self.0.push(FieldError::new(pointer.to_string(), detail.to_string()));
        }
    }

    /// NaN is in no range, so it is refused here too.
    fn within(&mut self, range: RangeInclusive<f64>, value: f64, pointer: fmt::Arguments<'_>) {
        let detail = format_args!("must be between {} and {}", range.start(), range.end());
        self.refuse(!range.contains(&value), pointer, detail);
    }

    fn units(&mut self, value: u32, pointer: fmt::Arguments<'_>) {
        self.refuse(value > MAX_UNITS, pointer, format_args!("must be at most {MAX_UNITS}"));
    }

    fn position(&mut self, value: usize, locations: usize, pointer: fmt::Arguments<'_>) {
        self.refuse(value >= locations, pointer, format_args!("there are {locations} locations, counted from 0"));
    }

    /// At most so many, and whether it holds: what is too long is not looked through.
    fn at_most(&mut self, most: usize, length: usize, pointer: &str) -> bool {
        self.refuse(length > most, format_args!("{pointer}"), format_args!("at most {most}, has {length}"));
        length <= most
    }
}

impl Request {
    /// Everything wrong with the request, each with its pointer; empty when it can be judged.
    #[must_use]
    pub fn violations(&self) -> Vec<FieldError> {
        let mut checks = Checks(Vec::new());
        options(&mut checks, &self.options);
        checks.refuse(self.locations.is_empty(), format_args!("/locations"), format_args!("must not be empty"));
        let mut fits = checks.at_most(MAX_LOCATIONS, self.locations.len(), "/locations");
        fits &= checks.at_most(MAX_LANES, self.lanes.len(), "/lanes");
        fits &= checks.at_most(MAX_ORDERS, self.orders.len(), "/orders");
        if fits {
            locations(&mut checks, self);
            lanes(&mut checks, self);
            orders(&mut checks, self);
        }
        checks.0
    }
}

fn options(checks: &mut Checks, options: &Options) {
    checks.within(0.5..=MAX_DAYS, options.horizon_days, format_args!("/options/horizon_days"));
    checks.within(0.0..=MAX_MINOR, options.margin, format_args!("/options/margin"));
    checks.within(0.0..=MAX_MINOR, options.reserved_value, format_args!("/options/reserved_value"));
    checks.within(0.0..=1.0, options.donor_risk_cap, format_args!("/options/donor_risk_cap"));
    checks.within(0.0..=1.0, options.fairness_cap.unwrap_or(0.0), format_args!("/options/fairness_cap"));
    checks.within(0.0..=MAX_DAYS, options.latest_days, format_args!("/options/latest_days"));
    // Served first must not be worth less, or the next unit could earn more than the last.
    checks.refuse(
        options.reserved_value < options.margin,
        format_args!("/options/reserved_value"),
        format_args!("must be at least margin"),
    );
}

fn locations(checks: &mut Checks, request: &Request) {
    let mut seen = HashSet::new();
    for (i, location) in request.locations.iter().enumerate() {
        let base = format_args!("/locations/{i}");
        let new = seen.insert(location.location.as_str());
        checks.refuse(!new, format_args!("{base}/location"), format_args!("is named twice"));
        checks.units(location.on_hand, format_args!("{base}/on_hand"));
        checks.units(location.reserved, format_args!("{base}/reserved"));
        match &location.demand {
            Some(Demand::Forecast { mean, variance }) => {
                let most = f64::from(MAX_UNITS);
                checks.within(0.0..=most, *mean, format_args!("{base}/demand/forecast/mean"));
                checks.within(0.0..=most * most, *variance, format_args!("{base}/demand/forecast/variance"));
            }
            Some(Demand::History { sales, price_ratio }) => {
                let price = price_ratio.unwrap_or(1.0);
                checks.within(0.2..=5.0, price, format_args!("{base}/demand/history/price_ratio"));
                history(checks, sales, format_args!("{base}/demand/history/sales"));
            }
            None => {}
        }
    }
}

fn history(checks: &mut Checks, sales: &DailyDemand, base: fmt::Arguments<'_>) {
    let days = sales.units.len();
    checks.refuse(
        days > MAX_HISTORY_DAYS,
        format_args!("{base}/units"),
        format_args!("at most {MAX_HISTORY_DAYS} days, has {days}"),
    );
    for (i, units) in sales.units.iter().enumerate() {
        checks.within(0.0..=f64::from(MAX_UNITS), *units, format_args!("{base}/units/{i}"));
    }
    for (i, share) in sales.out_of_stock.iter().enumerate() {
        checks.within(0.0..=1.0, *share, format_args!("{base}/out_of_stock/{i}"));
    }
    for (name, length) in [("out_of_stock", sales.out_of_stock.len()), ("promotion", sales.promotion.len())] {
        checks.refuse(
            length != 0 && length != days,
            format_args!("{base}/{name}"),
            format_args!("must be empty or have {days} days, has {length}"),
        );
    }
}

fn lanes(checks: &mut Checks, request: &Request) {
    let mut seen = HashSet::new();
    for (i, lane) in request.lanes.iter().enumerate() {
        let base = format_args!("/lanes/{i}");
        checks.position(lane.from, request.locations.len(), format_args!("{base}/from"));
        checks.position(lane.to, request.locations.len(), format_args!("{base}/to"));
        checks.refuse(lane.from == lane.to, format_args!("{base}/to"), format_args!("must be another location"));
        let new = seen.insert((lane.from, lane.to));
        checks.refuse(!new, format_args!("{base}"), format_args!("is a second lane between the same locations"));
        checks.within(0.0..=MAX_MINOR, lane.unit_cost, format_args!("{base}/unit_cost"));
        checks.within(0.0..=MAX_MINOR, lane.fixed_cost, format_args!("{base}/fixed_cost"));
        checks.units(lane.capacity, format_args!("{base}/capacity"));
        checks.within(0.0..=MAX_DAYS, lane.days, format_args!("{base}/days"));
    }
}

fn orders(checks: &mut Checks, request: &Request) {
    let mut seen = HashSet::new();
    for (i, order) in request.orders.iter().enumerate() {
        let base = format_args!("/orders/{i}");
        let new = seen.insert(order.order.as_str());
        checks.refuse(!new, format_args!("{base}/order"), format_args!("is named twice"));
        checks.refuse(order.units == 0, format_args!("{base}/units"), format_args!("must be at least 1"));
        checks.units(order.units, format_args!("{base}/units"));
        checks.within(0.0..=MAX_MINOR, order.value.unwrap_or(0.0), format_args!("{base}/value"));
        let sources = order.sources.len();
        checks.refuse(
            !(1..=MAX_LOCATIONS).contains(&sources),
            format_args!("{base}/sources"),
            format_args!("must have 1 to {MAX_LOCATIONS}, has {sources}"),
        );
        for (j, source) in order.sources.iter().enumerate() {
            let base = format_args!("{base}/sources/{j}");
            checks.position(source.location, request.locations.len(), format_args!("{base}/location"));
            checks.within(0.0..=MAX_MINOR, source.unit_cost, format_args!("{base}/unit_cost"));
            let again = order.sources[..j].iter().any(|other| other.location == source.location);
            checks.refuse(again, format_args!("{base}/location"), format_args!("is a source already"));
        }
    }
}
