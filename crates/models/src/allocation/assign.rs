//! Firm orders to locations of limited stock: the exact optimum, priority first, then units, then cost.
//!
//! A transportation problem by successive shortest paths (Jewell 1958; Ahuja, Magnanti and Orlin, Network Flows,
//! section 9.7). Orders come one at a time; each takes the cheapest way to free stock, which may push units of other
//! orders on to their next best location. Paths run over locations only, tens of them where orders are thousands,
//! so this is faster than handing all edges to a linear program, and integers stay integers.

use std::{
    collections::HashMap,
    ops::{Add, Neg, Sub},
};

use super::types::{Order, Priority};

/// Cost of a unit: what is not served by priority, then money. Compared in that order.
#[derive(Clone, Copy, Debug, Default, PartialEq, PartialOrd)]
struct Cost {
    unserved: i128,
    money: f64,
}

impl Add for Cost {
    type Output = Self;
    fn add(self, other: Self) -> Self {
        Self { unserved: self.unserved + other.unserved, money: self.money + other.money }
    }
}
impl Neg for Cost {
    type Output = Self;
    fn neg(self) -> Self {
        Self { unserved: -self.unserved, money: -self.money }
    }
}
impl Sub for Cost {
    type Output = Self;
    fn sub(self, other: Self) -> Self {
        self + -other
    }
}

impl Cost {
    fn money(money: f64) -> Self {
        Self { unserved: 0, money }
    }

    /// Of a unit that is not served. Fewer than 2^40 units are ordered in all (see the limits of a request), so one
    /// of a higher priority outweighs all of the lower ones.
    fn of_unserved(order: &Order) -> Self {
        match (order.value, order.priority) {
            (Some(value), _) => Self::money(value),
            (None, Priority::Low) => Self { unserved: 1, money: 0.0 },
            (None, Priority::Normal) => Self { unserved: 1 << 40, money: 0.0 },
            (None, Priority::High) => Self { unserved: 1 << 80, money: 0.0 },
        }
    }

    /// Less than the other by more than rounding of sums of costs.
    fn below(self, other: Self) -> bool {
        const ROUNDING: f64 = 1e-7;
        self.unserved < other.unserved || (self.unserved == other.unserved && self.money < other.money - ROUNDING)
    }
}

/// A way for a unit of an order: a location, or the place past the last one that stands for "not served".
#[derive(Clone, Copy, Debug)]
struct Way {
    place: usize,
    cost: Cost,
}

/// Units of orders at places.
pub(super) struct Assignment<'a> {
    orders: &'a [Order],
    /// Of each order, the cheapest first, "not served" among them.
    ways: Vec<Vec<Way>>,
    /// Free units by place.
    free: Vec<u64>,
    /// Units by order and place.
    held: HashMap<(usize, usize), u64>,
    /// Orders with more than one way that hold units at a place: those that can make room.
    movable: Vec<Vec<usize>>,
    /// Cheapest move from one place to another, kept until the place's holders change.
    moves: Vec<Option<Vec<Option<Move>>>>,
}

#[derive(Clone, Copy, Debug)]
struct Move {
    order: usize,
    cost: Cost,
}

/// The shortest way found to a place: from which place, by which order's move.
#[derive(Clone, Copy, Debug)]
struct Step {
    cost: Cost,
    before: Option<(usize, usize)>,
}

impl<'a> Assignment<'a> {
    /// Assigns all orders; `stock` is what each location has for them.
    pub(super) fn of(orders: &'a [Order], stock: &[u64]) -> Self {
        let nowhere = stock.len();
        let mut free = stock.to_vec();
        free.push(u64::MAX);
        let ways = orders.iter().map(|order| ways(order, nowhere)).collect();
        let mut assignment = Self {
            orders,
            ways,
            free,
            held: HashMap::new(),
            movable: vec![Vec::new(); nowhere + 1],
            moves: vec![None; nowhere + 1],
        };
        for order in 0..orders.len() {
            assignment.place(order);
        }
        assignment
    }

    /// Units by order and location, in their order.
    pub(super) fn reservations(&self) -> Vec<(usize, usize, u64)> {
        let nowhere = self.free.len() - 1;
        let served = self.held.iter().filter(|((_, place), units)| *place != nowhere && **units > 0);
        let mut sorted: Vec<_> = served.map(|((order, place), units)| (*order, *place, *units)).collect();
        sorted.sort_unstable();
        sorted
    }

    fn place(&mut self, order: usize) {
        let mut left = u64::from(self.orders[order].units);
        while left > 0 {
            let cheapest = self.ways[order][0].place;
            // The optimum so far has no cheaper way round: an order that could go on from a full place to a free one
            // at a gain would have done so. So free stock at the cheapest place is taken at once.
            if self.free[cheapest] > 0 {
                let units = left.min(self.free[cheapest]);
                self.hold(order, cheapest, units);
                self.free[cheapest] -= units;
                left -= units;
            } else {
                left -= self.push(order, left);
            }
        }
    }

    /// Sends units along the shortest path that ends at a place with room; returns how many.
    fn push(&mut self, order: usize, most: u64) -> u64 {
        let steps = self.paths(order);
        let mut end = self.free.len() - 1;
        for place in 0..self.free.len() {
            if self.free[place] > 0
                && let (Some(step), Some(best)) = (steps[place], steps[end])
                && step.cost.below(best.cost)
            {
                end = place;
            }
        }
        let mut path = Vec::new();
        let mut place = end;
        let mut units = most.min(self.free[end]);
        while let Some((before, moved)) = steps[place].and_then(|step| step.before) {
            path.push((before, place, moved));
            units = units.min(self.held[&(moved, before)]);
            place = before;
        }
        self.free[end] -= units;
        for (from, to, moved) in path {
            self.hold(moved, to, units);
            self.release(moved, from, units);
        }
        self.hold(order, place, units);
        units
    }

    /// Shortest ways from an order to all places (Bellman and Ford: moves may have negative costs, cycles have not).
    fn paths(&mut self, order: usize) -> Vec<Option<Step>> {
        let places = self.free.len();
        let mut steps: Vec<Option<Step>> = vec![None; places];
        for way in &self.ways[order] {
            steps[way.place] = Some(Step { cost: way.cost, before: None });
        }
        for _ in 0..places {
            let mut changed = false;
            for from in 0..places {
                // From a place with room nothing needs to be moved on.
                let Some(step) = steps[from].filter(|_| self.free[from] == 0) else { continue };
                for (to, cheapest) in self.moves_from(from).iter().enumerate() {
                    let Some(cheapest) = cheapest else { continue };
                    let cost = step.cost + cheapest.cost;
                    if steps[to].is_none_or(|known| cost.below(known.cost)) {
                        steps[to] = Some(Step { cost, before: Some((from, cheapest.order)) });
                        changed = true;
                    }
                }
            }
            if !changed {
                break;
            }
        }
        steps
    }

    fn moves_from(&mut self, from: usize) -> &[Option<Move>] {
        let (ways, movable, places) = (&self.ways, &self.movable[from], self.free.len());
        self.moves[from].get_or_insert_with(|| {
            let mut moves: Vec<Option<Move>> = vec![None; places];
            for order in movable {
                let here = ways[*order].iter().find(|way| way.place == from).map_or(Cost::default(), |way| way.cost);
                for way in ways[*order].iter().filter(|way| way.place != from) {
                    let cost = way.cost - here;
                    if moves[way.place].is_none_or(|known| cost.below(known.cost)) {
                        moves[way.place] = Some(Move { order: *order, cost });
                    }
                }
            }
            moves
        })
    }

    fn hold(&mut self, order: usize, place: usize, units: u64) {
        let held = self.held.entry((order, place)).or_insert(0);
        if *held == 0 {
            self.movable[place].push(order);
            self.moves[place] = None;
        }
        *held += units;
    }

    fn release(&mut self, order: usize, place: usize, units: u64) {
        let held = self.held.entry((order, place)).or_insert(0);
        *held -= units;
        if *held == 0 {
            self.movable[place].retain(|other| *other != order);
            self.moves[place] = None;
        }
    }
}

/// The ways of an order, the cheapest first; those that cost more than not serving it are none.
fn ways(order: &Order, nowhere: usize) -> Vec<Way> {
    let unserved = Cost::of_unserved(order);
    let source = |(place, money)| Way { place, cost: Cost::money(money) };
    let mut ways: Vec<_> = order.sources.iter().map(|way| source((way.location, way.unit_cost))).collect();
    ways.retain(|way| way.cost.below(unserved));
    ways.push(Way { place: nowhere, cost: unserved });
    ways.sort_by(|a, b| {
        let by_cost = a.cost.unserved.cmp(&b.cost.unserved).then(a.cost.money.total_cmp(&b.cost.money));
        by_cost.then(a.place.cmp(&b.place))
    });
    ways
}
