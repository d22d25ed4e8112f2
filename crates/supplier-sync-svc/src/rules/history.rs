//! Daily history without gaps, from rows that have some.

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
pub(crate) fn dense(sold: &[SoldDay], planned: &[i64], today: i64) -> DailyDemand {
    let first = sold.first().map_or(today, |sold| sold.day);
    let length = sold.last().map_or(0, |last| usize::try_from(last.day - first + 1).unwrap_or(0));
    let (mut units, mut out_of_stock, mut promotion) = (vec![0.0; length], vec![0.0; length], vec![false; length]);
    for sold in sold {
        let index = usize::try_from(sold.day - first).unwrap_or(0);
        (units[index], out_of_stock[index], promotion[index]) = (sold.units, sold.out_of_stock, sold.promotion);
    }
    let next = first + i64::try_from(length).unwrap_or(0);
    let ahead = |day: &i64| (next..next + AHEAD_DAYS).contains(day);
    let last_ahead = planned.iter().copied().rfind(ahead).unwrap_or(next - 1);
    DailyDemand {
        first_day: day_of(first),
        units,
        out_of_stock: if out_of_stock.iter().any(|share| *share > 0.0) { out_of_stock } else { Vec::new() },
        promotion: if promotion.contains(&true) { promotion } else { Vec::new() },
        promotion_ahead: (next..=last_ahead).map(|day| planned.contains(&day)).collect(),
        ..DailyDemand::default()
    }
}

#[cfg(test)]
mod tests {
    use pretty_assertions::assert_eq;

    use super::*;

    #[test]
    fn gaps_are_days_without_sales_and_not_out_of_stock() {
        let day = |day, units| SoldDay { day, units, out_of_stock: 0.0, promotion: false };
        let demand = dense(&[day(10, 3.0), day(13, 2.0)], &[12, 14, 16], 20);
        assert_eq!(demand.first_day, day_of(10));
        assert_eq!(demand.units, [3.0, 0.0, 0.0, 2.0]);
        assert!(demand.out_of_stock.is_empty() && demand.promotion.is_empty());
        assert_eq!(demand.promotion_ahead, [true, false, true], "only what lies after the last day");
    }

    #[test]
    fn flags_are_carried_for_all_days_once_one_has_them() {
        let sold = [
            SoldDay { day: 1, units: 0.0, out_of_stock: 0.5, promotion: false },
            SoldDay { day: 2, units: 9.0, out_of_stock: 0.0, promotion: true },
        ];
        let demand = dense(&sold, &[], 0);
        assert_eq!((demand.out_of_stock, demand.promotion), (vec![0.5, 0.0], vec![false, true]));
    }

    #[test]
    fn without_sales_the_future_starts_today() {
        let demand = dense(&[], &[5, 7], 6);
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
