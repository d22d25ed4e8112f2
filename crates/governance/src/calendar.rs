//! When a place is open. Policies may count time in opening hours: `decide_within: { business: 8h }`.

use std::collections::BTreeSet;

use contracts::{LocationId, RegionId};
use jiff::{
    SignedDuration, Timestamp,
    civil::{Date, DateTime, Time, Weekday},
    tz::TimeZone,
};
use serde::{Deserialize, Serialize};

use crate::{Site, Span, Within};

/// A span that is not over after this many days ends at the end of time: nobody waits for it.
const LONGEST_DAYS: u32 = 3_660;
/// Most opening hours of a calendar, most holidays, most calendars of a file.
const MOST: usize = 1_000;

/// The opening hours of some places.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Calendar {
    #[schema(example = "stores of the north")]
    pub name: String,
    /// IANA name.
    #[schema(example = "Europe/Berlin")]
    pub time_zone: String,
    #[schema(min_items = 1)]
    pub hours: Vec<Hours>,
    /// Closed all day.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    #[schema(value_type = Vec<Date>)]
    pub holidays: BTreeSet<Date>,
}

/// Open on these days of the week, from one time to a later one of the same day.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = OpeningHours)]
pub struct Hours {
    #[schema(min_items = 1)]
    pub days: Vec<Day>,
    #[schema(value_type = String, example = "08:00")]
    pub from: Time,
    /// Left out = until midnight.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = String, example = "20:00")]
    pub to: Option<Time>,
}

/// Day of the week.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum Day {
    Mon,
    Tue,
    Wed,
    Thu,
    Fri,
    Sat,
    Sun,
}

impl Day {
    fn is(self, weekday: Weekday) -> bool {
        let same = match self {
            Self::Mon => Weekday::Monday,
            Self::Tue => Weekday::Tuesday,
            Self::Wed => Weekday::Wednesday,
            Self::Thu => Weekday::Thursday,
            Self::Fri => Weekday::Friday,
            Self::Sat => Weekday::Saturday,
            Self::Sun => Weekday::Sunday,
        };
        same == weekday
    }
}

impl Calendar {
    /// The first instant by which the place has been open for `span` since `start`; the end of time when that is more
    /// than ten years away. Hours are as long as they really are, also on the days on which clocks change.
    #[must_use]
    pub fn after(&self, start: Timestamp, span: Span) -> Timestamp {
        let Ok(zone) = TimeZone::get(&self.time_zone) else { return span.after(start) };
        let mut left = SignedDuration::from_secs(i64::from(span.seconds()));
        let mut day = start.to_zoned(zone.clone()).date();
        for _ in 0..LONGEST_DAYS {
            for (open, close) in self.open_on(day, &zone) {
                let open = open.max(start);
                let lasts = close.duration_since(open);
                if lasts >= left {
                    return open.checked_add(left).unwrap_or(Timestamp::MAX);
                }
                left -= lasts.max(SignedDuration::ZERO);
            }
            let Ok(next) = day.tomorrow() else { break };
            day = next;
        }
        Timestamp::MAX
    }

    /// The opening hours of one day in order, overlapping ones joined.
    fn open_on(&self, day: Date, zone: &TimeZone) -> Vec<(Timestamp, Timestamp)> {
        if self.holidays.contains(&day) {
            return Vec::new();
        }
        let instant = |at: DateTime| zone.to_timestamp(at).unwrap_or(Timestamp::MAX);
        let today = self.hours.iter().filter(|hours| hours.days.iter().any(|name| name.is(day.weekday())));
        let mut open: Vec<_> = today
            .map(|hours| {
                let close = hours.to.map_or_else(
                    || day.tomorrow().unwrap_or(day).to_datetime(Time::midnight()),
                    |to| day.to_datetime(to),
                );
                (instant(day.to_datetime(hours.from)), instant(close))
            })
            .collect();
        open.sort();
        let mut joined: Vec<(Timestamp, Timestamp)> = Vec::new();
        for (from, to) in open {
            match joined.last_mut() {
                Some(last) if from <= last.1 => last.1 = last.1.max(to),
                _ => joined.push((from, to)),
            }
        }
        joined
    }
}

/// `within` from `start`, in the opening hours of `calendar` where it counts those. Without a calendar the place is
/// always open.
#[must_use]
pub fn after(within: Within, start: Timestamp, calendar: Option<&Calendar>) -> Timestamp {
    match (within, calendar) {
        (Within::Business(_), Some(calendar)) => calendar.after(start, within.span()),
        _ => within.span().after(start),
    }
}

/// A calendar and where it holds: at these locations, in these regions, or everywhere when neither is named.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
struct Entry {
    #[serde(default)]
    locations: Vec<LocationId>,
    #[serde(default)]
    regions: Vec<RegionId>,
    #[serde(flatten)]
    calendar: Calendar,
}

/// All calendars of the operator's file. None at all = every place is always open.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Calendars {
    calendars: Vec<Entry>,
}

/// Why a text holds no calendars.
#[derive(Debug, thiserror::Error)]
pub enum InvalidCalendars {
    #[error("the calendars cannot be read")]
    Syntax(#[source] serde_saphyr::Error),
    #[error("calendar {name:?}: {why}")]
    Calendar { name: String, why: String },
    #[error("there are more than {MOST} calendars")]
    TooMany,
}

impl Calendars {
    /// Reads the operator's YAML or JSON file: a list `calendars`, each with `name`, `time_zone`, `hours`, `holidays`,
    /// and with `locations` and `regions` where it does not hold everywhere.
    ///
    /// # Errors
    /// [`InvalidCalendars`].
    pub fn parse(text: &str) -> Result<Self, InvalidCalendars> {
        let read: Self = serde_saphyr::from_str(text).map_err(InvalidCalendars::Syntax)?;
        if read.calendars.len() > MOST {
            return Err(InvalidCalendars::TooMany);
        }
        for Entry { calendar, .. } in &read.calendars {
            let refuse = |why: String| InvalidCalendars::Calendar { name: calendar.name.clone(), why };
            TimeZone::get(&calendar.time_zone).map_err(|error| refuse(error.to_string()))?;
            if calendar.hours.is_empty() || calendar.hours.iter().any(|hours| hours.days.is_empty()) {
                return Err(refuse("has hours without a day, or no hours: it would never be open".into()));
            }
            if calendar.hours.iter().any(|hours| hours.to.is_some_and(|to| to <= hours.from)) {
                return Err(refuse(
                    "closes before it opens; a night is two entries, until midnight and from it".into(),
                ));
            }
            if calendar.hours.len() > MOST || calendar.holidays.len() > MOST {
                return Err(refuse(format!("has more than {MOST} hours or holidays")));
            }
        }
        Ok(read)
    }

    /// The calendar of a place: of its location, else of its region, else the one that names neither. `None` = always
    /// open.
    #[must_use]
    pub fn of(&self, site: &Site) -> Option<&Calendar> {
        let named = |entry: &&Entry| site.location.as_ref().is_some_and(|id| entry.locations.contains(id));
        let around = |entry: &&Entry| site.region.as_ref().is_some_and(|id| entry.regions.contains(id));
        let anywhere = |entry: &&Entry| entry.locations.is_empty() && entry.regions.is_empty();
        let all = || self.calendars.iter();
        let found = all().find(named).or_else(|| all().find(around)).or_else(|| all().find(anywhere));
        found.map(|entry| &entry.calendar)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const FILE: &str = r#"
calendars:
  - name: stores
    regions: [north]
    time_zone: Europe/Berlin
    hours:
      - { days: [mon, tue, wed, thu, fri], from: "08:00", to: "18:00" }
      - { days: [sat], from: "09:00", to: "13:00" }
    holidays: [2026-12-25]
  - name: night shop
    locations: [store-9]
    time_zone: Europe/Berlin
    hours: [{ days: [sat, sun], from: "00:00" }]
"#;

    fn site(location: &str, region: &str) -> Site {
        Site { location: Some(LocationId::new(location).unwrap()), region: Some(RegionId::new(region).unwrap()) }
    }

    fn at(local: &str) -> Timestamp {
        format!("{local}[Europe/Berlin]").parse::<jiff::Zoned>().unwrap().timestamp()
    }

    fn hours(count: u32) -> Span {
        format!("{count}h").parse().unwrap()
    }

    #[test]
    fn time_stands_still_while_the_place_is_closed() {
        let calendars = Calendars::parse(FILE).unwrap();
        let stores = calendars.of(&site("store-1", "north")).unwrap();
        // Monday 2026-11-23; the 28th is a Saturday.
        for (start, count, end) in [
            ("2026-11-23T10:00", 8, "2026-11-23T18:00"),
            ("2026-11-23T16:00", 8, "2026-11-24T14:00"),
            ("2026-11-23T03:00", 1, "2026-11-23T09:00"),
            ("2026-11-27T17:00", 4, "2026-11-28T12:00"),
            ("2026-11-28T13:00", 1, "2026-11-30T09:00"),
            // Thursday before Christmas; Friday is a holiday.
            ("2026-12-24T17:00", 3, "2026-12-26T11:00"),
        ] {
            assert_eq!(stores.after(at(start), hours(count)), at(end), "{count} h from {start}");
        }
        assert!(calendars.of(&site("store-1", "south")).is_none(), "always open");
        assert_eq!(calendars.of(&site("store-9", "north")).unwrap().name, "night shop");
    }

    #[test]
    fn an_hour_is_an_hour_also_when_clocks_change() {
        let calendars = Calendars::parse(FILE).unwrap();
        let shop = calendars.of(&site("store-9", "north")).unwrap();
        // 2026-10-25 has 25 hours in Berlin, and the shop is open for all of them.
        assert_eq!(shop.after(at("2026-10-25T00:00"), hours(25)), at("2026-10-26T00:00"));
        assert_eq!(shop.after(at("2026-03-29T00:00"), hours(23)), at("2026-03-30T00:00"));
    }

    #[test]
    fn a_calendar_that_is_never_open_or_nowhere_is_refused() {
        for (from, to) in [("Europe/Berlin", "Europe/Berlim"), ("\"13:00\"", "\"08:00\""), ("[sat]", "[]")] {
            assert!(Calendars::parse(&FILE.replacen(from, to, 1)).is_err(), "{to}");
        }
        assert!(Calendars::parse("{calendars: [], more: 1}").is_err());
    }

    proptest! {
        #[test]
        fn minutes_counted_one_by_one_come_to_the_same(start in 0_i64..40_000, minutes in 1_u32..3_000) {
            let calendars = Calendars::parse(FILE).unwrap();
            let stores = calendars.of(&site("store-1", "north")).unwrap();
            let zone = TimeZone::get("Europe/Berlin").unwrap();
            let start = at("2026-12-01T00:00") + SignedDuration::from_mins(start);
            let open = |at: Timestamp| {
                let local = at.to_zoned(zone.clone());
                let hour = local.hour();
                let weekday = local.weekday().to_monday_zero_offset();
                local.date() != jiff::civil::date(2026, 12, 25)
                    && match weekday { 0..=4 => (8..18).contains(&hour), 5 => (9..13).contains(&hour), _ => false }
            };
            let (mut now, mut left) = (start, minutes);
            while left > 0 {
                left -= u32::from(open(now));
                now += SignedDuration::from_mins(1);
            }
            prop_assert_eq!(stores.after(start, format!("{minutes}m").parse().unwrap()), now);
        }
    }
}
