//! What can speak for or against a cause: each kind of evidence sorts a request into one of a few levels, or into none
//! when its facts are absent.
//!
//! A kind is a line of a table: its name in the parameters, the facts that it needs, its levels in words and the
//! function that reads it. Levels, not numbers, are what weights attach to: a person can write a weight for "the
//! supplier announced another quantity, and the difference is the variance", and resolved cases can be counted by it.

mod count;
mod handling;
mod neighbours;
mod receipts;
mod sales;

use super::types::Facts;

/// Groups of facts, one bit each, in the order in which contributions are told.
pub(super) const GROUPS: [(&str, &str); 9] = [
    ("variance", "/facts/count"),
    ("recount", "/facts/count/recount"),
    ("article", "/facts/item"),
    ("receipts", "/facts/receipts"),
    ("moves", "/facts/moves"),
    ("neighbours", "/facts/neighbours"),
    ("handling", "/facts/handling"),
    ("sales", "/facts/sales"),
    ("resolved_cases", "/facts/location"),
];
pub(super) const VARIANCE: u16 = 1;
pub(super) const RECOUNT: u16 = 1 << 1;
pub(super) const ARTICLE: u16 = 1 << 2;
pub(super) const RECEIPTS: u16 = 1 << 3;
pub(super) const MOVES: u16 = 1 << 4;
pub(super) const NEIGHBOURS: u16 = 1 << 5;
pub(super) const HANDLING: u16 = 1 << 6;
pub(super) const SALES: u16 = 1 << 7;
pub(super) const RESOLVED: u16 = 1 << 8;

/// One kind of evidence.
pub(super) struct Kind {
    pub(super) name: &'static str,
    /// The fact that decides its level.
    pub(super) pointer: &'static str,
    /// Groups of facts that it needs, a bit each.
    pub(super) needs: u16,
    /// Whether a shortage and a surplus are different observations; without a variance such a kind is silent.
    pub(super) signed: bool,
    /// Name and words of each level, in the order of the reader's numbers.
    pub(super) levels: &'static [(&'static str, &'static str)],
    read: fn(&View<'_>) -> Option<usize>,
}

const TABLES: [&[Kind]; 5] = [&count::KINDS, &receipts::KINDS, &neighbours::KINDS, &handling::KINDS, &sales::KINDS];

/// Most kinds that the tables may hold: the size of [`Observed`] on the stack.
const MOST_KINDS: usize = 40;

/// Every kind, in the order of the rows of a table of weights.
pub(super) fn kinds() -> impl Iterator<Item = &'static Kind> {
    TABLES.into_iter().flatten()
}

/// Names of all rows, as `recount/at_book`.
pub(super) fn row_names() -> impl Iterator<Item = String> {
    kinds().flat_map(|kind| (0..kind.rows()).map(|row| format!("{}/{}", kind.name, kind.row_name(row))))
}

impl Kind {
    /// Rows that its levels take in a table of weights: twice as many when the direction matters.
    pub(super) fn rows(&self) -> usize {
        self.levels.len() * if self.signed { 2 } else { 1 }
    }

    /// Name of a row in the parameters.
    pub(super) fn row_name(&self, row: usize) -> String {
        let (level, _) = self.levels[row % self.levels.len()];
        match self.direction(row) {
            Some(surplus) => format!("{}_{level}", if surplus { "surplus" } else { "shortage" }),
            None => level.to_owned(),
        }
    }

    /// What an observation says, in words.
    pub(super) fn says(&self, row: usize) -> String {
        let (_, words) = self.levels[row % self.levels.len()];
        match self.direction(row) {
            Some(surplus) => format!("{} {words}", if surplus { "surplus:" } else { "shortage:" }),
            None => words.to_owned(),
        }
    }

    fn direction(&self, row: usize) -> Option<bool> {
        self.signed.then_some(row >= self.levels.len())
    }

    fn observe(&self, view: &View<'_>) -> Option<usize> {
        let level = (self.read)(view)?;
        if !self.signed {
            return Some(level);
        }
        (view.variance != 0.0).then_some(if view.variance > 0.0 { level + self.levels.len() } else { level })
    }
}

/// What was observed in a request: for each kind with its facts, the row of its level and the facts that it needs.
#[derive(Clone, Copy)]
pub(super) struct Observed {
    rows: [(u16, u16); MOST_KINDS],
    count: usize,
}

impl Observed {
    /// Reads every kind of evidence.
    pub(super) fn read(facts: &Facts, variance: f64) -> Self {
        let view = View::new(facts, variance);
        let mut observed = Self { rows: [(0, 0); MOST_KINDS], count: 0 };
        let mut first = 0;
        for kind in kinds() {
            if let Some(level) = kind.observe(&view) {
                // Fewer than a thousand rows exist; a test counts them.
                observed.rows[observed.count] = ((first + level) as u16, kind.needs);
                observed.count += 1;
            }
            first += kind.rows();
        }
        observed
    }

    /// Rows whose facts are all among the groups `present`.
    pub(super) fn among(&self, present: u16) -> impl Iterator<Item = usize> {
        let present_only = move |(_, needs): &&(u16, u16)| *needs & !present == 0;
        self.rows[..self.count].iter().filter(present_only).map(|(row, _)| usize::from(*row))
    }

    pub(super) fn rows(&self) -> impl Iterator<Item = usize> {
        self.among(u16::MAX)
    }

    /// Groups of facts that any observation rests on.
    pub(super) fn needed(&self) -> u16 {
        self.rows[..self.count].iter().fold(0, |groups, (_, needs)| groups | needs)
    }
}

/// The facts with the few numbers that many kinds are relative to.
struct View<'a> {
    facts: &'a Facts,
    /// Units counted less units in the book.
    variance: f64,
    /// Its size.
    size: f64,
    /// Typical random error of a book after so many units sold: errors add up as their squares do, so their spread
    /// grows with the root of the units. `None` when sales are not known.
    spread: Option<f64>,
}

impl<'a> View<'a> {
    fn new(facts: &'a Facts, variance: f64) -> Self {
        // An article that sold nothing still passes through hands; four units are a floor of the spread at 2.
        const HANDLED: f64 = 4.0;
        let spread = facts.sales.units.map(|units| (units + HANDLED).sqrt());
        Self { facts, variance, size: variance.abs(), spread }
    }

    /// How well another quantity explains the variance: 0 exactly, 1 nearly, 2 has its sign only, 3 not at all.
    fn explained_by(&self, units: f64) -> usize {
        let off = (self.variance - units).abs();
        if off <= EXACT {
            0
        } else if off <= f64::max(2.0, NEAR * units.abs()) {
            1
        } else if self.variance * units > 0.0 {
            2
        } else {
            3
        }
    }
}

/// Other, smaller errors of the same count: one unit is still exact, a fifth is still near.
const EXACT: f64 = 1.0;
const NEAR: f64 = 0.2;

/// How many of the increasing `steps` a value reaches.
fn step<const N: usize>(value: f64, steps: [f64; N]) -> usize {
    steps.iter().filter(|step| value >= **step).count()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn the_tables_fit_and_their_names_are_unique() {
        assert!(kinds().count() <= MOST_KINDS, "{}", kinds().count());
        assert!(kinds().map(Kind::rows).sum::<usize>() < usize::from(u16::MAX));
        let names: Vec<String> = row_names().collect();
        assert_eq!(names.iter().collect::<BTreeSet<_>>().len(), names.len());
    }

    #[test]
    fn a_step_begins_at_its_value() {
        assert_eq!([0.5, 1.0, 2.5, 9.0].map(|value| step(value, [1.0, 3.0])), [0, 1, 1, 2]);
    }
}
