//! Outcomes of purchase lines as they become known, one event at a time: what the evidence of a request is read from.
//!
//! An outcome is known when the line is received or, before that, when its promised day has passed without a receipt.
//! Waiting for the receipts alone would hide every delay until it is over.

use std::collections::BTreeMap;

use jiff::civil::Date;
use serde::{Deserialize, Serialize};

use super::{
    parameters::Memory,
    types::{Counts, Evidence, Line, Tally, days},
};

/// Open lines and faded outcomes. Its JSON is its state: a stored history goes on where it stopped.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct History {
    memory: Memory,
    /// The day up to which promises were checked.
    today: Date,
    open: BTreeMap<String, Open>,
    circles: BTreeMap<String, Faded>,
}

/// A line that was ordered and not received.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Open {
    line: Line,
    /// The day it was counted as late.
    overdue: Option<Date>,
}

/// A tally as it was on its last change.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Faded {
    pub(super) day: Date,
    pub(super) tally: Tally,
}

/// What is learnt of one line, as a change to the tallies of its circles.
#[derive(Clone, Copy, Debug)]
enum News {
    OnTime,
    Late(f64),
    /// Its promise has passed; by how much it will be late is not known yet.
    Overdue,
    /// The delay of a line that was counted as overdue.
    DelayOf(f64),
    /// A line that was counted as overdue on this day had been received in time.
    NotLate(Date),
}

impl History {
    /// Nothing known, at the beginning of time.
    #[must_use]
    pub fn new(memory: Memory) -> Self {
        Self { memory, today: Date::MIN, open: BTreeMap::new(), circles: BTreeMap::new() }
    }

    /// A line was ordered. Ordering a known line anew replaces it.
    pub fn order(&mut self, line: Line) {
        self.advance(line.ordered);
        self.open.insert(line.id.clone(), Open { line, overdue: None });
    }

    /// A line was received, `delay_days` after its promise; `day` is when that became known. Returns whether the line
    /// was open: a receipt of an unknown line teaches nothing.
    pub fn receive(&mut self, id: &str, day: Date, delay_days: i16) -> bool {
        self.advance(day);
        let Some(Open { line, overdue }) = self.open.remove(id) else { return false };
        let late = f64::from(delay_days);
        let news = match overdue {
            None if delay_days > 0 => News::Late(late),
            None => News::OnTime,
            Some(_) if delay_days > 0 => News::DelayOf(late),
            Some(counted) => News::NotLate(counted),
        };
        self.learn(&line, day, news);
        true
    }

    /// A day has begun: lines promised for the days before it and not received are late.
    pub fn advance(&mut self, day: Date) {
        if day <= self.today {
            return;
        }
        self.today = day;
        let due = |open: &&mut Open| open.overdue.is_none() && open.line.promised < day;
        let mut overdue = Vec::new();
        for open in self.open.values_mut().filter(due) {
            open.overdue = Some(day);
            overdue.push(open.line.clone());
        }
        for line in overdue {
            self.learn(&line, day, News::Overdue);
        }
    }

    /// What is known of lines comparable to this one, as of the last day that was told.
    #[must_use]
    pub fn evidence(&self, line: &Line) -> Evidence {
        let [all, channel, mode, season, supplier, lane, account, supplier_lane] = keys(line).map(|key| {
            let faded = self.circles.get(&key);
            faded.map_or_else(Tally::default, |faded| faded.on(self.today, &self.memory).tally.rounded())
        });
        Evidence { all, channel, mode, season, supplier, lane, account, supplier_lane }
    }

    fn learn(&mut self, line: &Line, day: Date, news: News) {
        for key in keys(line) {
            let faded = self.circles.entry(key).or_insert(Faded { day, tally: Tally::default() });
            *faded = faded.on(day, &self.memory);
            faded.tally.learn(news, day, &self.memory);
        }
    }
}

/// Names of the circles of a line, widest first. Whatever a name does not know (no mode, no account) is a circle too.
pub(super) fn keys(line: &Line) -> [String; 8] {
    // No name holds this separator of ASCII, made for the purpose.
    let key = |parts: &[&str]| parts.join("\u{1f}");
    let Line { channel, mode, destination, account, .. } = line;
    let supplier = line.supplier.as_str();
    [
        key(&["all"]),
        key(&["channel", channel]),
        key(&["mode", channel, mode]),
        key(&["season", channel, &line.promised.month().to_string()]),
        key(&["supplier", supplier]),
        key(&["lane", channel, destination]),
        key(&["account", channel, account]),
        key(&["supplier_lane", supplier, destination]),
    ]
}

/// Weight left after some days.
pub(super) fn left(from: Date, to: Date, half_life: f64) -> f64 {
    (-(days(from, to).max(0) as f64) / half_life).exp2()
}

impl Faded {
    /// The same tally on a later day.
    pub(super) fn on(self, day: Date, memory: &Memory) -> Self {
        let recent = left(self.day, day, memory.recent_half_life_days);
        let long = left(self.day, day, memory.long_half_life_days);
        let Tally { recent: r, long: l, days_late, received_late } = self.tally;
        let tally = Tally {
            recent: Counts { lines: r.lines * recent, late: r.late * recent },
            long: Counts { lines: l.lines * long, late: l.late * long },
            days_late: days_late * long,
            received_late: received_late * long,
        };
        Self { day: day.max(self.day), tally }
    }
}

impl Tally {
    fn learn(&mut self, news: News, day: Date, memory: &Memory) {
        if matches!(news, News::OnTime | News::Late(_) | News::Overdue) {
            self.recent.lines += 1.0;
            self.long.lines += 1.0;
        }
        match news {
            News::Overdue | News::Late(_) => {
                self.recent.late += 1.0;
                self.long.late += 1.0;
            }
            News::OnTime | News::DelayOf(_) => {}
            News::NotLate(counted) => {
                let recent = left(counted, day, memory.recent_half_life_days);
                let long = left(counted, day, memory.long_half_life_days);
                self.recent.late = (self.recent.late - recent).max(0.0);
                self.long.late = (self.long.late - long).max(0.0);
            }
        }
        if let News::Late(delay) | News::DelayOf(delay) = news {
            self.days_late += delay;
            self.received_late += 1.0;
        }
    }

    /// To thousandths of a line: finer is noise, and requests stay short.
    pub(super) fn rounded(self) -> Self {
        let round = |value: f64| (value * 1000.0).round() / 1000.0;
        let counts = |counts: Counts| Counts { lines: round(counts.lines), late: round(counts.late) };
        Self {
            recent: counts(self.recent),
            long: counts(self.long),
            days_late: round(self.days_late),
            received_late: round(self.received_late),
        }
    }
}
