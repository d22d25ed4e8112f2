//! What was known of order lines on any day: the evidence for a judgement as of then, without anything that came later.
//!
//! [`super::History`] goes forward only, event by event. A timeline is made from what was told of many lines, and asked
//! for any day: each circle keeps its tally as it was after each day that changed it.

use std::collections::HashMap;

use jiff::civil::Date;

use super::{
    history::{Faded, keys, left},
    parameters::Memory,
    types::{Counts, Evidence, Line, Tally, days},
};

/// What was told of an ordered line, and when it became known. A line may be told of again: the later telling replaces
/// the one before it from the day after it became known.
#[derive(Clone, Debug, PartialEq)]
pub struct Telling {
    pub line: Line,
    pub end: End,
    /// Judgements use it from the next day on.
    pub known: Date,
}

/// How a line ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// Not yet, or not with all of its units: late as soon as its promise has passed.
    Open,
    Received(Date),
    /// It teaches nothing when it was cancelled by its promised day, and counts as late of unknown delay after that.
    Cancelled(Date),
}

/// Tallies by circle and day.
#[derive(Clone, Debug)]
pub struct Timeline {
    memory: Memory,
    circles: HashMap<String, Vec<Faded>>,
    /// Days from which lines that have ended are known to have, in order.
    ended: Vec<Date>,
}

/// What a line adds to its circles, and the day from which it fades.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Part {
    day: Date,
    lines: f64,
    late: f64,
    days_late: f64,
    received_late: f64,
}

/// A part that begins to count, or (with the sign -1) no longer does.
struct Change<'a> {
    on: Date,
    line: &'a Line,
    part: Part,
    sign: f64,
}

impl Telling {
    fn from(&self) -> Date {
        next(self.known)
    }

    /// What the line adds as long as this telling stands.
    fn parts(&self) -> Vec<Part> {
        let none = Part { day: next(self.line.promised), lines: 0.0, late: 0.0, days_late: 0.0, received_late: 0.0 };
        let overdue = Part { lines: 1.0, late: 1.0, ..none };
        match self.end {
            End::Open => vec![overdue],
            End::Cancelled(day) if day <= self.line.promised => Vec::new(),
            End::Cancelled(_) => vec![overdue],
            End::Received(day) if day <= self.line.promised => {
                vec![Part { day: none.day.min(self.from()), lines: 1.0, ..none }]
            }
            End::Received(day) => {
                let delay = days(self.line.promised, day) as f64;
                vec![overdue, Part { day: self.from(), days_late: delay, received_late: 1.0, ..none }]
            }
        }
    }
}

fn next(day: Date) -> Date {
    day.tomorrow().unwrap_or(day)
}

impl Timeline {
    /// The timeline of these lines; each with its tellings in their order, each known no earlier than the one before.
    /// That a line was ordered is known from the day of its order.
    #[must_use]
    pub fn of(memory: Memory, lines: &[Vec<Telling>]) -> Self {
        let mut changes = Vec::new();
        let mut ended = Vec::new();
        let mut ordered = Vec::with_capacity(lines.len());
        for tellings in lines {
            let first = tellings.first();
            ordered.push(first.map(|first| Telling { end: End::Open, known: first.line.ordered, ..first.clone() }));
            ended.extend(tellings.iter().find(|one| one.end != End::Open).map(Telling::from));
        }
        for (tellings, ordered) in lines.iter().zip(&ordered) {
            let stages: Vec<&Telling> = ordered.iter().chain(tellings).collect();
            for (i, stage) in stages.iter().enumerate() {
                // The order itself is known on its day; every other telling from the day after.
                let from = if i == 0 { stage.known } else { stage.from() };
                let after = stages.get(i + 1);
                for part in stage.parts() {
                    let on = part.day.max(from);
                    if after.is_none_or(|after| on < after.from()) {
                        changes.push(Change { on, line: &stage.line, part, sign: 1.0 });
                        let end = after.map(|after| Change { on: after.from(), line: &stage.line, part, sign: -1.0 });
                        changes.extend(end);
                    }
                }
            }
        }
        changes.sort_by_key(|change| change.on);
        ended.sort_unstable();
        let mut timeline = Self { memory, circles: HashMap::new(), ended };
        changes.iter().for_each(|change| timeline.apply(change));
        timeline
    }

    fn apply(&mut self, change: &Change<'_>) {
        let Change { on, part, sign, .. } = *change;
        let recent = sign * left(part.day, on, self.memory.recent_half_life_days);
        let long = sign * left(part.day, on, self.memory.long_half_life_days);
        for key in keys(change.line) {
            let days = self.circles.entry(key).or_default();
            let last = days.last().copied().unwrap_or(Faded { day: on, tally: Tally::default() });
            let mut now = last.on(on, &self.memory);
            now.tally.recent.lines += recent * part.lines;
            now.tally.recent.late += recent * part.late;
            now.tally.long.lines += long * part.lines;
            now.tally.long.late += long * part.late;
            now.tally.days_late += long * part.days_late;
            now.tally.received_late += long * part.received_late;
            match days.last_mut() {
                Some(last) if last.day == on => *last = now,
                _ => days.push(now),
            }
        }
    }

    /// What was known before this day began of lines comparable to this one.
    #[must_use]
    pub fn evidence(&self, line: &Line, day: Date) -> Evidence {
        let [all, channel, mode, season, supplier, lane, account, supplier_lane] = keys(line).map(|key| {
            let days = self.circles.get(&key).map(Vec::as_slice).unwrap_or_default();
            let known = days.partition_point(|faded| faded.day <= day).checked_sub(1).and_then(|last| days.get(last));
            known.map_or_else(Tally::default, |faded| sound(faded.on(day, &self.memory).tally).rounded())
        });
        Evidence { all, channel, mode, season, supplier, lane, account, supplier_lane }
    }

    /// Lines that were known before this day began to have ended.
    #[must_use]
    pub fn ended(&self, day: Date) -> usize {
        self.ended.partition_point(|ended| *ended <= day)
    }
}

/// What was taken back leaves a rounding error behind, of either sign.
fn sound(tally: Tally) -> Tally {
    let counts =
        |Counts { lines, late }: Counts| Counts { lines: lines.max(0.0), late: late.clamp(0.0, lines.max(0.0)) };
    Tally {
        recent: counts(tally.recent),
        long: counts(tally.long),
        days_late: tally.days_late.max(0.0),
        received_late: tally.received_late.max(0.0),
    }
}

#[cfg(test)]
mod tests {
    use jiff::{ToSpan, civil::date};
    use proptest::prelude::*;

    use super::*;
    use crate::supplier_risk::purchase::History;

    const MEMORY: Memory = Memory { recent_half_life_days: 60.0, long_half_life_days: 1000.0 };
    const START: Date = date(2024, 1, 1);

    fn on(days: i32) -> Date {
        START + days.days()
    }

    fn line(id: usize, ordered: i32, lead: i32) -> Line {
        Line {
            id: id.to_string(),
            supplier: ["acme", "bolt", "core"][id % 3].parse().unwrap(),
            channel: ["direct", "hub"][id % 2].to_owned(),
            mode: "sea".to_owned(),
            destination: "NG".to_owned(),
            account: String::new(),
            ordered: on(ordered),
            promised: on(ordered + lead),
            slack_days: 0,
            cost_per_day: None,
        }
    }

    fn numbers(evidence: &Evidence) -> Vec<f64> {
        let of = |tally: &Tally| {
            [
                tally.recent.lines,
                tally.recent.late,
                tally.long.lines,
                tally.long.late,
                tally.days_late,
                tally.received_late,
            ]
        };
        evidence.circles().iter().flat_map(|(_, tally)| of(tally)).collect()
    }

    proptest! {
        #[test]
        fn on_any_day_it_knows_what_a_history_knew_then(
            drawn in proptest::collection::vec((0..200_i32, 0..60_i32, 0..120_i32, 0..10_i32), 1..40), day in 0..400_i32,
        ) {
            let lines: Vec<Vec<Telling>> = drawn.iter().enumerate().map(|(id, (ordered, lead, took, told))| {
                let received = on(ordered + took);
                vec![Telling { line: line(id, *ordered, *lead), end: End::Received(received), known: received + told.days() }]
            }).collect();
            let timeline = Timeline::of(MEMORY, &lines);
            let mut events: Vec<(Date, bool, &Telling)> = Vec::new();
            for telling in lines.iter().flatten() {
                events.push((telling.line.ordered, false, telling));
                events.push((telling.from(), true, telling));
            }
            events.sort_by_key(|(day, received, _)| (*day, *received));
            let mut history = History::new(MEMORY);
            let mut today = START;
            let events = events.into_iter().filter(|event| event.0 <= on(day));
            for (at, received, Telling { line, end, .. }) in events {
                while today < at {
                    today = next(today);
                    history.advance(today);
                }
                let End::Received(came) = end else { unreachable!() };
                if received {
                    let delay = i16::try_from(days(line.promised, *came)).unwrap();
                    prop_assert!(history.receive(&line.id, at, delay));
                } else {
                    history.order(line.clone());
                }
            }
            while today < on(day) {
                today = next(today);
                history.advance(today);
            }
            let like = line(1, day, 10);
            let (then, known) = (numbers(&history.evidence(&like)), numbers(&timeline.evidence(&like, on(day))));
            for (then, known) in then.into_iter().zip(known) {
                prop_assert!((then - known).abs() < 2e-3, "{then} is not {known}");
            }
        }

        #[test]
        fn what_becomes_known_later_changes_nothing_before(
            known in proptest::collection::vec((0..100_i32, 0..30_i32, 0..60_i32), 1..20),
            later in proptest::collection::vec((100..200_i32, 0..30_i32, 0..60_i32), 1..20), day in 0..100_i32,
        ) {
            let told = |drawn: &[(i32, i32, i32)], offset: usize| -> Vec<Vec<Telling>> {
                drawn.iter().enumerate().map(|(id, (ordered, lead, took))| {
                    let received = on(ordered + took);
                    vec![Telling { line: line(id + offset, *ordered, *lead), end: End::Received(received), known: received }]
                }).collect()
            };
            let mut lines = told(&known, 0);
            let before = Timeline::of(MEMORY, &lines);
            lines.extend(told(&later, 100));
            let after = Timeline::of(MEMORY, &lines);
            prop_assert_eq!(before.evidence(&line(1, day, 5), on(day)), after.evidence(&line(1, day, 5), on(day)));
        }
    }

    #[test]
    fn a_correction_counts_from_the_day_after_it_was_known() {
        let first = Telling { line: line(0, 0, 10), end: End::Received(on(8)), known: on(8) };
        let corrected = Telling { end: End::Received(on(30)), known: on(50), ..first.clone() };
        let timeline = Timeline::of(MEMORY, &[vec![first.clone(), corrected.clone()]]);
        let as_first_told = Timeline::of(MEMORY, &[vec![first]]);
        let like = line(0, 0, 10);
        assert_eq!(timeline.evidence(&like, on(50)), as_first_told.evidence(&like, on(50)));
        let all = timeline.evidence(&like, on(51)).all;
        assert_eq!((all.long.lines > 0.9, all.received_late, all.days_late), (true, 1.0, 20.0), "{all:?}");
        assert!((all.long.late - all.long.lines).abs() < 1e-9, "{all:?}");
    }

    #[test]
    fn a_cancelled_line_teaches_only_when_it_was_overdue() {
        let ordered = Telling { line: line(0, 0, 10), end: End::Cancelled(on(5)), known: on(5) };
        let overdue = Telling { end: End::Cancelled(on(15)), known: on(15), ..ordered.clone() };
        let all = |telling| Timeline::of(MEMORY, &[vec![telling]]).evidence(&line(0, 0, 10), on(20)).all;
        assert_eq!(all(ordered), Tally::default());
        let late = all(overdue);
        assert!(late.long.late > 0.9 && late.received_late == 0.0, "{late:?}");
    }
}
