//! Daily history without gaps, from rows that have some.

use std::{collections::BTreeMap, ops::Range};

use contracts::facts::DailyDemand;
use jiff::{Span, Timestamp, civil::Date, tz::TimeZone};

/// Days of history carried with the facts: a quarter, so that weekday patterns and a season's turn show.
pub(crate) const HISTORY_DAYS: i64 = 90;
/// Days over which a donor's demand is averaged: four whole weeks, so that every weekday counts alike.
pub(crate) const DONOR_DAYS: i64 = 28;
/// Days ahead for which planned promotions are carried.
const AHEAD_DAYS: i64 = 90;

/// Sales of one day as they were told.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct SoldDay {
    /// Since 1970-01-01.
    pub day: i64,
    pub units: f64,
    pub out_of_stock: f64,
    pub promotion: bool,
    /// 1 = regular price.
    pub price_share: f64,
    pub advertised: bool,
}

impl SoldDay {
    /// A day nobody told of.
    fn nothing() -> Self {
        Self { day: 0, units: 0.0, out_of_stock: 0.0, promotion: false, price_share: 1.0, advertised: false }
    }
}

/// A promotion to come.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct PlannedDay {
    /// Since 1970-01-01.
    pub day: i64,
    pub price_share: f64,
    pub advertised: bool,
}

/// The number under which the store keeps a day.
pub(crate) fn day_number(day: Date) -> i64 {
    // Dates reach from -9999 to 9999, so the difference always fits.
    day.since(Date::constant(1970, 1, 1)).map_or(0, |span| i64::from(span.get_days()))
}

/// The day of a number; one outside of the calendar is cut to its end.
pub(crate) fn day_of(number: i64) -> Date {
    let end = if number < 0 { Date::MIN } else { Date::MAX };
    let span = i32::try_from(number).ok().and_then(|days| Span::new().try_days(days).ok());
    span.and_then(|span| Date::constant(1970, 1, 1).checked_add(span).ok()).unwrap_or(end)
}

/// The day it is at a place of that time zone; without a known zone in UTC.
pub(crate) fn day_at(instant: Timestamp, zone: Option<&str>) -> Date {
    let zone = zone.and_then(|name| TimeZone::get(name).ok()).unwrap_or(TimeZone::UTC);
    instant.to_zoned(zone).date()
}

/// One element per day from the first told to the last. A day nobody told of is a day without sales, not one out of
/// stock: tills send what was sold. `sold` and `planned` are sorted by day; without sales the history starts `today`.
/// `calendar` says of days that are not as the week says whether they are holidays.
pub(crate) fn dense(
    sold: &[SoldDay],
    planned: &[PlannedDay],
    calendar: &BTreeMap<i64, bool>,
    today: i64,
) -> DailyDemand {
    let first = sold.first().map_or(today, |sold| sold.day);
    let length = sold.last().map_or(0, |last| usize::try_from(last.day - first + 1).unwrap_or(0));
    let mut days = vec![SoldDay::nothing(); length];
    for sold in sold {
        days[usize::try_from(sold.day - first).unwrap_or(0)] = *sold;
    }
    let next = first + i64::try_from(length).unwrap_or(0);
    let end = next + AHEAD_DAYS;
    let planned: BTreeMap<i64, &PlannedDay> =
        planned.iter().filter(|plan| (next..end).contains(&plan.day)).map(|plan| (plan.day, plan)).collect();
    let ahead = next..planned.keys().next_back().map_or(next, |last| last + 1);
    let last_holiday = calendar.range(next..end).next_back().map_or(next, |(day, _)| day + 1);
    let plan = |day: i64| planned.get(&day);
    DailyDemand {
        first_day: day_of(first),
        units: days.iter().map(|day| day.units).collect(),
        out_of_stock: unless_all(0.0, days.iter().map(|day| day.out_of_stock)),
        promotion: unless_all(false, days.iter().map(|day| day.promotion)),
        advertised: unless_all(false, days.iter().map(|day| day.advertised)),
        price_share: unless_all(1.0, days.iter().map(|day| day.price_share)),
        holiday: holidays(first..next, calendar),
        promotion_ahead: ahead.clone().map(|day| plan(day).is_some()).collect(),
        advertised_ahead: unless_all(false, ahead.clone().map(|day| plan(day).is_some_and(|plan| plan.advertised))),
        price_share_ahead: unless_all(1.0, ahead.map(|day| plan(day).map_or(1.0, |plan| plan.price_share))),
        holiday_ahead: holidays(next..last_holiday, calendar),
        ..DailyDemand::default()
    }
}

/// Empty when every day is as usual, which is what an empty list says.
fn unless_all<T: PartialEq>(usual: T, days: impl Iterator<Item = T>) -> Vec<T> {
    let days: Vec<T> = days.collect();
    if days.iter().all(|day| *day == usual) { Vec::new() } else { days }
}

/// Who is off work on these days, Saturdays and Sundays among them; empty when no day is told to be otherwise.
fn holidays(days: Range<i64>, calendar: &BTreeMap<i64, bool>) -> Vec<bool> {
    if calendar.range(days.clone()).next().is_none() {
        return Vec::new();
    }
    let weekend = |day: i64| day_of(day).weekday().to_monday_zero_offset() >= 5;
    days.map(|day| calendar.get(&day).copied().unwrap_or_else(|| weekend(day))).collect()
}

#[cfg(test)]
mod tests {
    use pretty_assertions::assert_eq;

    use super::*;

    fn told(day: i64, units: f64) -> SoldDay {
        SoldDay { day, units, ..SoldDay::nothing() }
    }

    fn planned(days: &[i64]) -> Vec<PlannedDay> {
        days.iter().map(|day| PlannedDay { day: *day, price_share: 1.0, advertised: false }).collect()
    }

    #[test]
    fn gaps_are_days_without_sales_and_not_out_of_stock() {
        let demand = dense(&[told(10, 3.0), told(13, 2.0)], &planned(&[12, 14, 16]), &BTreeMap::new(), 20);
        let expected = DailyDemand {
            first_day: day_of(10),
            units: vec![3.0, 0.0, 0.0, 2.0],
            // Only what lies after the last day.
            promotion_ahead: vec![true, false, true],
            ..DailyDemand::default()
        };
        assert_eq!(demand, expected);
    }

    #[test]
    fn what_one_day_has_is_carried_for_all_days() {
        let sold = [
            SoldDay { out_of_stock: 0.5, ..told(1, 0.0) },
            SoldDay { promotion: true, advertised: true, price_share: 0.7, ..told(2, 9.0) },
        ];
        let plan = PlannedDay { day: 4, price_share: 0.8, advertised: true };
        let demand = dense(&sold, &[plan], &BTreeMap::new(), 0);
        assert_eq!((demand.out_of_stock, demand.promotion), (vec![0.5, 0.0], vec![false, true]));
        assert_eq!((demand.advertised, demand.price_share), (vec![false, true], vec![1.0, 0.7]));
        assert_eq!((demand.promotion_ahead, demand.advertised_ahead), (vec![false, true], vec![false, true]));
        assert_eq!(demand.price_share_ahead, [1.0, 0.8]);
    }

    #[test]
    fn a_told_holiday_is_carried_among_the_weekends_around_it() {
        // 2026-11-19 is a Thursday. The Saturday is a working day, and the Monday after the last sales a holiday.
        let thursday = day_number(Date::constant(2026, 11, 19));
        let sold: Vec<SoldDay> = (0..4).map(|day| told(thursday + day, 1.0)).collect();
        let calendar = BTreeMap::from([(thursday + 2, false), (thursday + 4, true), (thursday + 400, true)]);
        let demand = dense(&sold, &[], &calendar, 0);
        assert_eq!((demand.holiday, demand.holiday_ahead), (vec![false, false, false, true], vec![true]));
        let demand = dense(&sold, &[], &BTreeMap::from([(thursday + 400, true)]), 0);
        assert!(demand.holiday.is_empty() && demand.holiday_ahead.is_empty(), "as the week says: {demand:?}");
    }

    #[test]
    fn without_sales_the_future_starts_today() {
        let demand = dense(&[], &planned(&[5, 7]), &BTreeMap::new(), 6);
        assert_eq!((demand.first_day, demand.units.len()), (day_of(6), 0));
        assert_eq!(demand.promotion_ahead, [false, true]);
    }

    #[test]
    fn a_day_survives_its_number() {
        for day in ["1969-12-31", "1970-01-01", "2026-11-23"] {
            let day: Date = day.parse().unwrap();
            assert_eq!(day_of(day_number(day)), day);
        }
        assert_eq!(day_number("1970-01-02".parse().unwrap()), 1);
    }

    #[test]
    fn the_day_is_that_of_the_place() {
        let late: Timestamp = "2026-11-23T23:30:00Z".parse().unwrap();
        for (zone, day) in [(None, 23), (Some("Europe/Berlin"), 24), (Some("America/New_York"), 23), (Some("?"), 23)] {
            assert_eq!(day_at(late, zone).day(), day, "{zone:?}");
        }
    }
}
