//! The transfer problem in numbers: what each location loses by giving and wins by getting, unit by unit, and what
//! the lanes cost.
//!
//! A location's expected earnings are concave in its stock: the first units serve what is reserved, each further one
//! sells with the probability that demand beyond the reserved units reaches it. A location may both give and get; it
//! gives from what is on hand only.

use super::forecast::{Outlook, WalkIn};

/// Most units that one location gives or gets in a plan; keeps the tables small.
pub(super) const MOST_MOVED: usize = 10_000;
/// Means up to here start the recursion of probabilities without underflow.
const RECURSED: f64 = 500.0;

/// A location's side of the problem.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Site {
    /// Most units that may leave, and that may arrive.
    pub(super) most_out: usize,
    pub(super) most_in: usize,
    /// Expected earnings in minor units, beyond those without a plan, by stock level: level `most_out` is the stock
    /// on hand, each level is one unit more. Concave.
    pub(super) value: Vec<f64>,
    /// Highest level that a unit is brought for; those above are only passed when something is taken back.
    pub(super) top: usize,
    /// Lanes that begin or end here.
    pub(super) lanes: Vec<usize>,
}

/// A lane's side of the problem.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Arc {
    pub(super) from: usize,
    pub(super) to: usize,
    pub(super) unit_cost: f64,
    pub(super) fixed_cost: f64,
    /// Most units, by capacity and by what giver and receiver allow.
    pub(super) most: usize,
}

impl Problem {
    pub(super) fn new(mut sites: Vec<Site>, arcs: Vec<Arc>) -> Self {
        for (lane, arc) in arcs.iter().enumerate() {
            sites[arc.from].lanes.push(lane);
            sites[arc.to].lanes.push(lane);
        }
        Self { sites, arcs }
    }
}

/// Everything that a plan is made from.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Problem {
    pub(super) sites: Vec<Site>,
    pub(super) arcs: Vec<Arc>,
}

/// What may be asked of a location.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Limits {
    /// Highest stock-out probability of a giver.
    pub(super) risk_cap: f64,
    /// Lowest fill rate a giver may be left with, and highest a receiver may be lifted to.
    pub(super) fill: (f64, f64),
}

/// Value of a unit served.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Worth {
    pub(super) margin: f64,
    pub(super) reserved: f64,
}

/// Upper tails of the demand beyond what is reserved: P(walk-in > k) for k = 0, 1, ..., as far as asked for.
pub(super) struct Tails<'a> {
    walk_in: &'a WalkIn,
    tails: Vec<f64>,
    /// Last probability, and Panjer's a and b (see [`crate::counts`]) written by mean and variance.
    last: (f64, f64, f64),
}

impl<'a> Tails<'a> {
    pub(super) fn of(walk_in: &'a WalkIn) -> Self {
        let last = match walk_in {
            WalkIn::Expected(counts) if counts.mean() > 0.0 => {
                let slope = 1.0 - counts.mean() / counts.variance();
                (counts.pmf(0), counts.mean() * (1.0 - slope), slope)
            }
            _ => (1.0, 0.0, 0.0),
        };
        Self { walk_in, tails: Vec::new(), last }
    }

    pub(super) fn above(&mut self, k: usize) -> f64 {
        while self.tails.len() <= k {
            let next = self.next();
            self.tails.push(next);
        }
        self.tails[k]
    }

    fn next(&mut self) -> f64 {
        // Counts up to a million are exact in a float.
        let x = self.tails.len() as f64;
        match self.walk_in {
            WalkIn::Known(units) => {
                if x < f64::from(*units) {
                    1.0
                } else {
                    0.0
                }
            }
            WalkIn::Expected(counts) if counts.mean() > RECURSED => counts.beyond(x).probability,
            WalkIn::Expected(_) => {
                if x > 0.0 {
                    self.last.0 *= (self.last.1 + self.last.2 * (x - 1.0)) / x;
                }
                (self.tails.last().map_or(1.0, |tail| *tail) - self.last.0).clamp(0.0, 1.0)
            }
        }
    }
}

impl Site {
    /// The table of a location. `out` and `inward` are the most units its lanes can move, `cheapest` the least that
    /// bringing a unit here costs.
    pub(super) fn of(
        outlook: &Outlook,
        worth: Worth,
        limits: &Limits,
        (out, inward): (usize, usize),
        cheapest: f64,
    ) -> Self {
        let (most_out, most_in) = (limits.gives(outlook, out), limits.gets(outlook, inward));
        let mut tails = Tails::of(&outlook.walk_in);
        // Worth of the unit that brings stock from `stock` to one more.
        let mut unit = |stock: usize| match stock.checked_sub(outlook.reserved) {
            Some(beyond) => worth.margin * tails.above(beyond),
            None => worth.reserved,
        };
        let lowest = outlook.stock - most_out;
        let mut value = vec![0.0];
        let mut top = None;
        loop {
            let level = value.len() - 1;
            let won = unit(lowest + level);
            // No unit is brought that is not worth the cheapest way here; only what was given can still come back.
            if top.is_none() && level >= most_out && (level == most_out + most_in || won <= cheapest) {
                top = Some(level);
            }
            if top.is_some_and(|top| level == top + most_out) {
                break;
            }
            value.push(value[level] + won);
        }
        let on_hand = value[most_out];
        value.iter_mut().for_each(|value| *value -= on_hand);
        Self { most_out, most_in, value, top: top.unwrap_or(most_out), lanes: Vec::new() }
    }
}

impl Limits {
    /// Most units that may leave: risk rises and fill falls with each, so the limit is found by bisection.
    fn gives(&self, outlook: &Outlook, most: usize) -> usize {
        let may = |left: usize| {
            (self.risk_cap >= 1.0 || outlook.risk(left) <= self.risk_cap)
                && (self.fill.0 <= 0.0 || outlook.fill(left) >= self.fill.0)
        };
        first(most.min(outlook.stock).min(MOST_MOVED), |k| !may(outlook.stock - k - 1))
    }

    /// Most units that may arrive.
    fn gets(&self, outlook: &Outlook, most: usize) -> usize {
        let may = |stock: usize| self.fill.1 >= 1.0 || outlook.fill(stock) <= self.fill.1;
        first(most.min(MOST_MOVED), |k| !may(outlook.stock + k + 1))
    }
}

/// The first of `0..length` with a property that all later ones share; `length` when none has it.
pub(super) fn first(length: usize, has: impl Fn(usize) -> bool) -> usize {
    let (mut low, mut high) = (0, length);
    while low < high {
        let middle = usize::midpoint(low, high);
        if has(middle) {
            high = middle;
        } else {
            low = middle + 1;
        }
    }
    low
}
