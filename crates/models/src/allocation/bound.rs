//! How much the best plan could gain at most: a Lagrangian bound (Geoffrion 1974; Fisher 1981).
//!
//! Give every unit that leaves a location a price. Then locations part: each buys and sells as many as pay, and what
//! they earn together is no less than what any plan gains, whatever the prices are. A few steps down the subgradient
//! find prices at which that is little.

use super::{
    plan::Plan,
    problem::{Problem, Site},
};

/// Steps of the descent. More tighten the bound by less than a thousandth on real cases.
const STEPS: usize = 40;
/// Part of Polyak's step length that is taken at first; halved whenever a few steps did not help.
const FIRST_STEP: f64 = 1.0;
const PATIENCE: usize = 4;

/// An upper bound on the gain of any plan of the problem, not below that of `plan`.
pub(super) fn bound(problem: &Problem, plan: &Plan) -> f64 {
    let lanes = Lanes::of(problem);
    let mut prices = first_prices(problem, plan);
    let (mut lowest, mut best) = (f64::INFINITY, prices.clone());
    let (mut share, mut waited) = (FIRST_STEP, 0);
    let mut excess = vec![0.0; prices.len()];
    for _ in 0..STEPS {
        let value = lanes.relaxed(problem, &prices, &mut excess);
        if value < lowest {
            (lowest, waited) = (value, 0);
            best.clone_from(&prices);
        } else {
            waited += 1;
        }
        if waited == PATIENCE {
            (share, waited) = (share / 2.0, 0);
            prices.clone_from(&best);
            lanes.relaxed(problem, &prices, &mut excess);
        }
        let norm: f64 = excess.iter().map(|excess| excess * excess).sum();
        if norm == 0.0 || lowest <= plan.gain {
            break;
        }
        let step = share * (lowest - plan.gain) / norm;
        for (price, excess) in prices.iter_mut().zip(&excess) {
            *price = (*price - step * excess).max(0.0);
        }
    }
    lowest.max(plan.gain)
}

/// What a location's last unit earns it under the plan: what it would have to be paid.
fn first_prices(problem: &Problem, plan: &Plan) -> Vec<f64> {
    let price = |(index, site): (usize, &Site)| {
        let level = plan.level(problem, index);
        if level == 0 { 0.0 } else { site.value[level] - site.value[level - 1] }
    };
    problem.sites.iter().enumerate().map(price).collect()
}

/// Lanes by receiver.
struct Lanes(Vec<Receiver>);

struct Receiver {
    arcs: Vec<usize>,
    /// Units that the `k` widest lanes can bring, for `k` = 1, 2, ...: so many units need at least so many lanes.
    widest: Vec<usize>,
    fixed_cost: f64,
}

impl Lanes {
    fn of(problem: &Problem) -> Self {
        let empty = || Receiver { arcs: Vec::new(), widest: Vec::new(), fixed_cost: f64::INFINITY };
        let mut receivers: Vec<_> = problem.sites.iter().map(|_| empty()).collect();
        for (lane, arc) in problem.arcs.iter().enumerate() {
            let receiver = &mut receivers[arc.to];
            receiver.arcs.push(lane);
            receiver.widest.push(arc.most);
            receiver.fixed_cost = receiver.fixed_cost.min(arc.fixed_cost);
        }
        for receiver in &mut receivers {
            receiver.widest.sort_unstable_by(|a, b| b.cmp(a));
            let mut sum = 0;
            for width in &mut receiver.widest {
                sum += *width;
                *width = sum;
            }
        }
        Self(receivers)
    }

    /// What all locations earn at these prices, and by how much the units on offer exceed those asked for.
    fn relaxed(&self, problem: &Problem, prices: &[f64], excess: &mut [f64]) -> f64 {
        excess.fill(0.0);
        let mut value = 0.0;
        let mut offers = Vec::new();
        for (index, receiver) in self.0.iter().enumerate() {
            offers.clear();
            offers.extend(receiver.arcs.iter().map(|lane| {
                let arc = &problem.arcs[*lane];
                (prices[arc.from] + arc.unit_cost, *lane)
            }));
            offers.sort_unstable_by(|a, b| a.0.total_cmp(&b.0).then(a.1.cmp(&b.1)));
            let trade = receiver.trade(problem, &problem.sites[index], prices[index], &offers);
            value += trade.earned;
            excess[index] += trade.sold as f64;
            take(problem, &offers, trade.bought, |from, units| excess[from] -= units as f64);
        }
        value
    }
}

/// What a location does at given prices.
#[derive(Clone, Copy, Debug, Default)]
struct Trade {
    bought: usize,
    sold: usize,
    earned: f64,
}

impl Receiver {
    /// The best trade of a location: it buys from the cheapest offers on, and sells what earns less than its price.
    /// Fixed costs are counted for as few lanes as can bring so many units, which no plan can do for less.
    fn trade(&self, problem: &Problem, site: &Site, price: f64, offers: &[(f64, usize)]) -> Trade {
        // Levels whose unit earns at least the price are kept, the others sold.
        let kept = site.value.windows(2).take_while(|pair| pair[1] - pair[0] >= price).count();
        let with = |bought: usize, cost: f64| {
            let level = site.most_out + bought;
            let sold = level.saturating_sub(kept).min(site.most_out);
            (level - sold <= site.top.max(site.most_out)).then(|| Trade {
                bought,
                sold,
                earned: site.value[level - sold] + price * sold as f64 - cost,
            })
        };
        let mut best = with(0, 0.0).unwrap_or_default();
        let (mut last, mut bought, mut cost, mut lanes) = (best.earned, 0, 0.0, 1);
        for (offer, lane) in offers {
            for _ in 0..problem.arcs[*lane].most {
                bought += 1;
                cost += offer;
                // Concave but for fixed costs, which only rise: once a unit does not pay, no further one does.
                let Some(trade) = with(bought, cost).filter(|trade| bought <= site.most_in && trade.earned > last)
                else {
                    return best;
                };
                last = trade.earned;
                while self.widest[lanes - 1] < bought {
                    lanes += 1;
                }
                let earned = trade.earned - self.fixed_cost * lanes as f64;
                if earned > best.earned {
                    best = Trade { earned, ..trade };
                }
            }
        }
        best
    }
}

/// Takes units from the cheapest offers on.
fn take(problem: &Problem, offers: &[(f64, usize)], mut units: usize, mut each: impl FnMut(usize, usize)) {
    for (_, lane) in offers {
        let arc = &problem.arcs[*lane];
        let taken = units.min(arc.most);
        each(arc.from, taken);
        units -= taken;
        if units == 0 {
            return;
        }
    }
}
