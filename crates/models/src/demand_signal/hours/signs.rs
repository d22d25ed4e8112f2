//! What the trees look at: the signs of an empty shelf that can be read from sales, one row a day.
//!
//! The chain of hours ([`super::shelf`]) says most of it. What it cannot know is how a series behaves from day to day:
//! how often it falls silent, how much its days differ, how early its last sale usually is. Those are here.

use super::{parameters::OPENING, window::Window};
use crate::ensemble::{Feature, Monotone};

/// Number of signs.
pub(super) const COUNT: usize = 21;
/// Expected sales of one silence beyond which it says nothing more.
const LOUD: f64 = 5.0;
/// Weight of a day relative to the one next to it in what was lately usual.
const LATELY: f64 = 0.85;

/// A group of signs: how contributions are told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Group {
    pub(super) name: &'static str,
    pub(super) pointer: &'static str,
}

const SALES: &str = "/sales/units";
/// Hours without sale on the day, set against what was expected in them.
const SILENCE: Group = Group { name: "silence", pointer: SALES };
/// How fast the day sold before its last sale.
const PACE: Group = Group { name: "pace", pointer: SALES };
/// How fast and in which lots the article sells at all.
const LEVEL: Group = Group { name: "level", pointer: SALES };
/// How often and how long the series falls silent on other days.
const HABIT: Group = Group { name: "habit", pointer: SALES };
/// The night and the day before, and whether the day after is known.
const AROUND: Group = Group { name: "days_around", pointer: SALES };
const PRICE: Group = Group { name: "price", pointer: "/sales/price_share" };
/// In the order in which contributions are told.
pub(super) const GROUPS: [Group; 6] = [SILENCE, PACE, LEVEL, HABIT, AROUND, PRICE];

/// One column of the trees' table.
#[derive(Clone, Copy, Debug)]
pub(super) struct Sign {
    pub(super) name: &'static str,
    pub(super) group: Group,
    monotone: Monotone,
}

const fn sign(name: &'static str, group: Group, monotone: Monotone) -> Sign {
    Sign { name, group, monotone }
}

/// The signs, in the order of a row.
pub(super) const SIGNS: [Sign; COUNT] = [
    // Probability of an empty shelf, by the chain, over parts of the day.
    sign("empty_6_10", SILENCE, Monotone::Rising),
    sign("empty_10_14", SILENCE, Monotone::Rising),
    sign("empty_14_18", SILENCE, Monotone::Rising),
    sign("empty_18_22", SILENCE, Monotone::Rising),
    sign("empty_22_24", SILENCE, Monotone::Rising),
    // Hour of the last sale in opening hours; 5 without any.
    sign("last_sale_hour", SILENCE, Monotone::Falling),
    // Sales expected, with a full shelf, since the last one, and in the longest stretch without sale.
    sign("missed_since_last_sale", SILENCE, Monotone::Rising),
    sign("missed_in_longest_gap", SILENCE, Monotone::Rising),
    // Opening hours that are past: 16 but for a day that still runs.
    sign("opening_hours_past", SILENCE, Monotone::Free),
    // Units sold over units expected: until the last sale, and in all.
    sign("pace_until_last_sale", PACE, Monotone::Free),
    sign("share_of_expected", PACE, Monotone::Falling),
    sign("expected_sales", LEVEL, Monotone::Free),
    sign("units_per_sale", LEVEL, Monotone::Free),
    // Other days: hours out, in all and lately; sales missed since the last one; spread of sold over expected.
    sign("usual_hours_out", HABIT, Monotone::Rising),
    sign("recent_hours_out", HABIT, Monotone::Rising),
    sign("usual_missed", HABIT, Monotone::Free),
    sign("spread", HABIT, Monotone::Free),
    sign("hours_out_day_before", AROUND, Monotone::Free),
    sign("empty_0_6", AROUND, Monotone::Free),
    sign("next_day_known", AROUND, Monotone::Free),
    sign("price", PRICE, Monotone::Free),
];

pub(super) type Row = [f64; COUNT];

pub(super) fn features() -> Vec<Feature> {
    SIGNS.iter().map(|sign| Feature { name: sign.name.to_owned(), monotone: sign.monotone }).collect()
}

/// What one day shows by itself.
#[derive(Clone, Copy, Debug)]
pub(super) struct Sketch {
    pub(super) sold: f64,
    /// Expected opening hours out of stock.
    pub(super) hours_out: f64,
    past: f64,
    last_sale: f64,
    /// Expected sales of the whole day, and of the opening hours past.
    rate: f64,
    expected: f64,
    missed_since: f64,
    missed_longest: f64,
    /// Square root of units sold over expected: its spread does not depend on the level.
    ratio: f64,
}

impl Sketch {
    pub(super) fn of(window: &Window<'_>, day: usize) -> Self {
        let first = Window::hours(day).start;
        let (units, out) = (&window.units[first..], &window.out[first..]);
        let (mut missed_since, mut missed_longest, mut last_sale) = (0.0_f64, 0.0_f64, OPENING.start as f64 - 1.0);
        let rate = window.level[day] / window.batch;
        let profile = window.profile(day);
        let past = window.opening(day);
        for hour in past.clone() {
            if units[hour] > 0.0 {
                (missed_since, last_sale) = (0.0, hour as f64);
            } else {
                missed_since += rate * profile[hour];
                missed_longest = missed_longest.max(missed_since);
            }
        }
        let sold: f64 = units[past.clone()].iter().sum();
        let share: f64 = profile[past.clone()].iter().sum();
        Self {
            sold,
            hours_out: out[past.clone()].iter().sum(),
            past: past.len() as f64,
            last_sale,
            rate,
            expected: rate * share,
            missed_since,
            missed_longest,
            ratio: ((sold + 0.5) / (window.level[day] * share + 0.5)).sqrt(),
        }
    }
}

/// What all days of a window show together.
pub(super) struct Habits {
    days: f64,
    hours_out: f64,
    missed: f64,
    ratio: f64,
    ratio_squared: f64,
    /// Hours out around each day, itself left out, the near days first.
    recent: Vec<f64>,
}

impl Habits {
    pub(super) fn of(sketches: &[Sketch]) -> Self {
        let sum = |part: fn(&Sketch) -> f64| sketches.iter().map(part).sum::<f64>();
        let step = |sum: &mut (f64, f64), one: &Sketch| {
            std::mem::replace(sum, ((sum.0 + one.hours_out) * LATELY, (sum.1 + 1.0) * LATELY))
        };
        let mut near = (0.0, 0.0);
        let before: Vec<(f64, f64)> = sketches.iter().map(|one| step(&mut near, one)).collect();
        let mut near = (0.0, 0.0);
        let after = sketches.iter().rev().map(|one| step(&mut near, one));
        let recent = |((a, m), (b, n)): ((f64, f64), &(f64, f64))| (a + b) / (m + n);
        let mut recent: Vec<f64> = after.zip(before.iter().rev()).map(recent).collect();
        recent.reverse();
        Self {
            days: sketches.len() as f64,
            hours_out: sum(|one| one.hours_out),
            missed: sum(|one| one.missed_since.min(LOUD)),
            ratio: sum(|one| one.ratio),
            ratio_squared: sum(|one| one.ratio * one.ratio),
            recent,
        }
    }
}

/// The row of one day. Cells that only other days could fill are NaN in a window of one day.
pub(super) fn row(window: &Window<'_>, sketches: &[Sketch], habits: &Habits, day: usize) -> Row {
    let sketch = &sketches[day];
    let out = &window.out[Window::hours(day)];
    let mean = |hours: std::ops::Range<usize>| {
        let length = hours.len() as f64;
        out[hours].iter().sum::<f64>() / length
    };
    let others = habits.days - 1.0;
    let spread = habits.ratio_squared / habits.days - (habits.ratio / habits.days).powi(2);
    [
        mean(6..10),
        mean(10..14),
        mean(14..18),
        mean(18..22),
        mean(22..24),
        sketch.last_sale,
        sketch.missed_since,
        sketch.missed_longest,
        sketch.past,
        (sketch.sold + 1.0) / (sketch.expected - sketch.missed_since + 1.0),
        sketch.ratio,
        sketch.rate,
        window.batch,
        (habits.hours_out - sketch.hours_out) / others,
        habits.recent[day],
        (habits.missed - sketch.missed_since.min(LOUD)) / others,
        spread.max(0.0).sqrt(),
        if day > 0 { sketches[day - 1].hours_out } else { f64::NAN },
        mean(0..6),
        f64::from(u8::from(day + 1 < sketches.len())),
        window.days[day].price,
    ]
}
