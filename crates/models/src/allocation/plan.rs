//! Which units to move: greedy by expected gain, then improved lane by lane.
//!
//! Without fixed costs the problem is a flow with concave gains; the fixed cost of a lane makes it NP-hard
//! (Guisewite and Pardalos 1990, fixed-charge network flow). So whole bundles are weighed when a lane is opened, and
//! a local search then takes lanes out, puts other ones in, and fills up again, until nothing helps. How far that
//! may be from the best plan is measured by `bound`, for every answer.

use super::problem::{Arc, Problem, first};

/// A gain below this is rounding, in minor units.
const ROUNDING: f64 = 1e-9;
/// Most passes of the local search over all lanes. It mostly ends by itself after two or three.
const PASSES: usize = 4;
/// Lanes times used lanes beyond which the local search would take longer than it is worth.
const SEARCHED_LANES: usize = 2_000;

/// Units on each lane, with what they come to at each location.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Plan {
    pub(super) units: Vec<usize>,
    pub(super) given: Vec<usize>,
    pub(super) got: Vec<usize>,
    /// Expected gain in minor units.
    pub(super) gain: f64,
    /// What each lane could best take on top, and gain by it: kept up to date as units move.
    offers: Vec<(usize, f64)>,
}

impl Plan {
    pub(super) fn nothing(problem: &Problem) -> Self {
        let (sites, lanes) = (problem.sites.len(), problem.arcs.len());
        let mut plan = Self {
            units: vec![0; lanes],
            given: vec![0; sites],
            got: vec![0; sites],
            gain: 0.0,
            offers: vec![(0, 0.0); lanes],
        };
        for lane in 0..lanes {
            plan.offers[lane] = plan.best(problem, lane);
        }
        plan
    }

    /// The plan of a problem.
    pub(super) fn of(problem: &Problem) -> Self {
        Self::nothing(problem).improved(problem)
    }

    /// A plan at least as good, from one that the problem allows.
    pub(super) fn improved(mut self, problem: &Problem) -> Self {
        self.fill(problem, None);
        let mut trial = self.clone();
        for _ in 0..if problem.arcs.len() > SEARCHED_LANES { 0 } else { PASSES } {
            let before = self.gain;
            for lane in 0..problem.arcs.len() {
                for change in CHANGES {
                    self.try_out(&mut trial, |plan| change(plan, problem, lane));
                }
                let mut less = 1;
                while less < self.units[lane] {
                    self.try_out(&mut trial, |plan| with_less(plan, problem, lane, less));
                    less *= 2;
                }
                // The other lanes may make up for a part only.
                let mut units = self.wanted(problem, lane);
                while units > 0 {
                    self.try_out(&mut trial, |plan| through(plan, problem, lane, units));
                    units /= 2;
                }
            }
            if self.gain <= before + ROUNDING {
                break;
            }
        }
        self
    }

    /// Keeps a change that gains.
    fn try_out(&mut self, trial: &mut Self, change: impl FnOnce(&mut Self) -> bool) {
        trial.clone_from(self);
        if change(trial) && trial.gain > self.gain + ROUNDING {
            std::mem::swap(self, trial);
        }
    }

    /// Level of a location's stock in its table.
    pub(super) fn level(&self, problem: &Problem, site: usize) -> usize {
        problem.sites[site].most_out + self.got[site] - self.given[site]
    }

    /// Units that a lane can still take.
    fn room(&self, problem: &Problem, lane: usize) -> usize {
        let arc = &problem.arcs[lane];
        let (from, to) = (&problem.sites[arc.from], &problem.sites[arc.to]);
        (arc.most - self.units[lane])
            .min(from.most_out - self.given[arc.from])
            .min(to.most_in - self.got[arc.to])
            .min(to.top.saturating_sub(self.level(problem, arc.to)))
    }

    /// What so many units more on a lane gain, its fixed cost aside. Concave in the units.
    fn gain_of(&self, problem: &Problem, lane: usize, units: usize) -> f64 {
        let arc = &problem.arcs[lane];
        let (from, to) = (&problem.sites[arc.from].value, &problem.sites[arc.to].value);
        let (high, low) = (self.level(problem, arc.from), self.level(problem, arc.to));
        to[low + units] - to[low] - (from[high] - from[high - units]) - arc.unit_cost * units as f64
    }

    /// The number of units that a lane had best take on top of those it has, and what they gain, the fixed cost of
    /// opening it included.
    fn best(&self, problem: &Problem, lane: usize) -> (usize, f64) {
        let gain = |units: usize| self.gain_of(problem, lane, units);
        // The best number is the first after which another one no longer gains.
        let units = first(self.room(problem, lane), |units| gain(units + 1) <= gain(units));
        let opening = if self.units[lane] == 0 { problem.arcs[lane].fixed_cost } else { 0.0 };
        (units, if units > 0 { gain(units) - opening } else { 0.0 })
    }

    /// Units that pay at the receiver when the giver's loss does not count.
    fn wanted(&self, problem: &Problem, lane: usize) -> usize {
        let (arc, low) = (&problem.arcs[lane], self.level(problem, problem.arcs[lane].to));
        let value = &problem.sites[arc.to].value;
        first(self.room(problem, lane), |units| value[low + units + 1] - value[low + units] <= arc.unit_cost)
    }

    /// Puts units on a lane, whatever they gain.
    fn put(&mut self, problem: &Problem, lane: usize, units: usize) {
        if units == 0 {
            return;
        }
        let arc = &problem.arcs[lane];
        self.gain += self.gain_of(problem, lane, units) - if self.units[lane] == 0 { arc.fixed_cost } else { 0.0 };
        self.units[lane] += units;
        self.given[arc.from] += units;
        self.got[arc.to] += units;
        self.refresh(problem, arc);
    }

    /// Weighs anew the lanes that touch a lane's ends.
    fn refresh(&mut self, problem: &Problem, moved: &Arc) {
        for site in [moved.from, moved.to] {
            for lane in &problem.sites[site].lanes {
                self.offers[*lane] = self.best(problem, *lane);
            }
        }
    }

    /// Adds the bundle that gains most until none gains; equal gains go to the earlier lane.
    fn fill(&mut self, problem: &Problem, closed: Option<usize>) {
        loop {
            let mut best = (None, ROUNDING);
            for (lane, (_, gain)) in self.offers.iter().enumerate() {
                if *gain > best.1 && Some(lane) != closed {
                    best = (Some(lane), *gain);
                }
            }
            let Some(lane) = best.0 else { return };
            self.put(problem, lane, self.offers[lane].0);
        }
    }

    /// Takes all units off a lane.
    fn clear(&mut self, problem: &Problem, lane: usize) {
        self.take_back(problem, lane, self.units[lane]);
    }

    fn take_back(&mut self, problem: &Problem, lane: usize, units: usize) {
        if units == 0 {
            return;
        }
        let arc = &problem.arcs[lane];
        let (from, to) = (&problem.sites[arc.from].value, &problem.sites[arc.to].value);
        let (low, high) = (self.level(problem, arc.from), self.level(problem, arc.to));
        let lost = to[high] - to[high - units] - (from[low + units] - from[low]);
        self.units[lane] -= units;
        let closing = if self.units[lane] == 0 { arc.fixed_cost } else { 0.0 };
        self.gain -= lost - arc.unit_cost * units as f64 - closing;
        self.given[arc.from] -= units;
        self.got[arc.to] -= units;
        self.refresh(problem, arc);
    }

    /// Clears the lanes at a location for which a property holds.
    fn clear_where(&mut self, problem: &Problem, site: usize, holds: impl Fn(&Arc) -> bool) {
        for lane in &problem.sites[site].lanes {
            if holds(&problem.arcs[*lane]) {
                self.clear(problem, *lane);
            }
        }
    }

    /// Opens a lane with its best bundle, even at a loss, and fills up around it.
    fn open(&mut self, problem: &Problem, lane: usize) {
        self.put(problem, lane, self.offers[lane].0);
        self.fill(problem, None);
    }
}

/// Changes that the local search tries at each lane; `false` when one has no meaning there.
const CHANGES: [fn(&mut Plan, &Problem, usize) -> bool; 4] = [without, anew, instead_at_receiver, instead_at_both];

/// Without this lane.
fn without(plan: &mut Plan, problem: &Problem, lane: usize) -> bool {
    let used = plan.units[lane] > 0;
    if used {
        plan.clear(problem, lane);
        plan.fill(problem, Some(lane));
    }
    used
}

/// Some units less here, for other lanes to take.
fn with_less(plan: &mut Plan, problem: &Problem, lane: usize, units: usize) -> bool {
    plan.take_back(problem, lane, units);
    plan.fill(problem, Some(lane));
    true
}

/// Its units weighed again, now that the rest stands.
fn anew(plan: &mut Plan, problem: &Problem, lane: usize) -> bool {
    let used = plan.units[lane] > 0;
    if used {
        plan.clear(problem, lane);
        plan.fill(problem, None);
    }
    used
}

/// This lane first, in place of those that now serve its receiver.
fn instead_at_receiver(plan: &mut Plan, problem: &Problem, lane: usize) -> bool {
    let to = problem.arcs[lane].to;
    let worth_it = plan.units[lane] == 0 && plan.got[to] > 0;
    if worth_it {
        plan.clear_where(problem, to, |arc| arc.to == to);
        plan.open(problem, lane);
    }
    worth_it
}

/// This lane first, in place of all that now give from or serve its giver or its receiver.
fn instead_at_both(plan: &mut Plan, problem: &Problem, lane: usize) -> bool {
    let Arc { from, to, .. } = problem.arcs[lane];
    let worth_it = plan.units[lane] == 0 && plan.given[from] + plan.got[from] + plan.given[to] > 0;
    if worth_it {
        plan.clear_where(problem, from, |_| true);
        plan.clear_where(problem, to, |_| true);
        plan.open(problem, lane);
    }
    worth_it
}

/// Up to so many units that the receiver wants, whatever the giver loses, for other lanes to make up to the giver: a
/// way through it.
fn through(plan: &mut Plan, problem: &Problem, lane: usize, units: usize) -> bool {
    let units = units.min(plan.wanted(problem, lane));
    plan.put(problem, lane, units);
    plan.fill(problem, None);
    units > 0
}
