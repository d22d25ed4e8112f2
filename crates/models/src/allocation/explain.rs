//! Why this plan, what each part of it is worth, and what one more of something scarce would be worth.

use contracts::Action;

use super::{
    Planned,
    types::{LocationOutlook, OneMore, OrderOutcome, Request, Transfer},
};
use crate::{Contribution, Score, explain};

/// Most lanes and most locations of which one more is tried.
const TRIED: usize = 3;
/// Minor units below which one more is worth nothing.
const NOTHING: f64 = 1e-6;

/// Parts of the score before rounding: of each used lane, and of the orders each location serves.
pub(super) struct Shares {
    lanes: Vec<(usize, f64)>,
    orders: Vec<(usize, f64)>,
}

impl Shares {
    pub(super) fn total(&self) -> f64 {
        self.lanes.iter().chain(&self.orders).map(|(_, share)| share).sum()
    }
}

pub(super) fn shares(planned: &Planned<'_>, loss_before: f64) -> Shares {
    let Request { orders, options, locations, .. } = planned.request;
    let worth = |order: usize| orders[order].value.unwrap_or(options.reserved_value.max(f64::MIN_POSITIVE));
    let ordered: f64 = orders.iter().enumerate().map(|(i, order)| worth(i) * f64::from(order.units)).sum();
    let at_stake = loss_before + ordered;
    let share = |value: f64| if at_stake > 0.0 { value / at_stake } else { 0.0 };
    let mut served = vec![0.0; locations.len()];
    for reservation in &planned.reservations {
        served[reservation.location] += worth(reservation.order) * f64::from(reservation.quantity);
    }
    Shares {
        lanes: used(planned).map(|lane| (lane, share(lane_gain(planned, lane)))).collect(),
        orders: served.into_iter().map(share).enumerate().filter(|(_, share)| *share > 0.0).collect(),
    }
}

fn used(planned: &Planned<'_>) -> impl Iterator<Item = usize> {
    (0..planned.plan.units.len()).filter(|lane| planned.plan.units[*lane] > 0)
}

/// A lane's part of what its giver loses and its receiver wins, by units. A location that does both is taken to give
/// first.
fn lost_and_won(planned: &Planned<'_>, lane: usize) -> (f64, f64) {
    let (problem, plan) = (&planned.problem, &planned.plan);
    let (arc, units) = (&problem.arcs[lane], plan.units[lane] as f64);
    let (giver, receiver) = (&problem.sites[arc.from], &problem.sites[arc.to]);
    let (given, got) = (plan.given[arc.from], plan.got[arc.to]);
    let lost = giver.value[giver.most_out] - giver.value[giver.most_out - given];
    let high = plan.level(problem, arc.to);
    let won = receiver.value[high] - receiver.value[high - got];
    (lost * units / given as f64, won * units / got as f64)
}

fn lane_cost(planned: &Planned<'_>, lane: usize) -> f64 {
    let arc = &planned.problem.arcs[lane];
    arc.fixed_cost + arc.unit_cost * planned.plan.units[lane] as f64
}

fn lane_gain(planned: &Planned<'_>, lane: usize) -> f64 {
    let (lost, won) = lost_and_won(planned, lane);
    won - lost - lane_cost(planned, lane)
}

pub(super) fn transfers(planned: &Planned<'_>) -> Vec<Transfer> {
    used(planned).map(|lane| transfer(planned, lane)).collect()
}

fn transfer(planned: &Planned<'_>, lane: usize) -> Transfer {
    let Request { locations, product, .. } = planned.request;
    let arc = &planned.problem.arcs[lane];
    let (from, to) = (locations[arc.from].location.clone(), locations[arc.to].location.clone());
    // A lane's capacity is a u32.
    let quantity = planned.plan.units[lane] as u32;
    let (lost, won) = lost_and_won(planned, lane);
    let cost = lane_cost(planned, lane);
    let risk = |site: usize, stock: usize| planned.outlooks[site].risk(stock);
    let propose = |product: &contracts::ProductId| Action::Transfer {
        product: product.clone(),
        from: from.clone(),
        to: to.clone(),
        quantity: f64::from(quantity),
    };
    Transfer {
        lane,
        proposal: product.as_ref().map(propose),
        reason: format!(
            "{quantity} units are expected to earn {won:.0} minor units at {to} and {lost:.0} at {from}, and cost \
             {cost:.0} to move"
        ),
        from,
        to,
        quantity,
        cost,
        gain: won - lost - cost,
        donor_risk_before: risk(arc.from, planned.outlooks[arc.from].stock),
        donor_risk_after: risk(arc.from, planned.stock_after(arc.from)),
        receiver_risk_before: risk(arc.to, planned.outlooks[arc.to].stock),
        receiver_risk_after: risk(arc.to, planned.stock_after(arc.to)),
    }
}

pub(super) fn orders(planned: &Planned<'_>) -> Option<OrderOutcome> {
    let orders = &planned.request.orders;
    let mut served = vec![0_u64; orders.len()];
    for reservation in &planned.reservations {
        served[reservation.order] += u64::from(reservation.quantity);
    }
    let short = |(order, served): (usize, &u64)| (*served < u64::from(orders[order].units)).then_some(order);
    (!orders.is_empty()).then(|| OrderOutcome {
        units: orders.iter().map(|order| u64::from(order.units)).sum(),
        units_served: served.iter().sum(),
        cost: planned.reservations.iter().map(|reservation| reservation.cost).sum(),
        short: served.iter().enumerate().filter_map(short).collect(),
    })
}

pub(super) fn locations(planned: &Planned<'_>) -> Vec<LocationOutlook> {
    let outlook = |(site, outlook): (usize, &super::forecast::Outlook)| {
        let after = planned.stock_after(site);
        LocationOutlook {
            location: site,
            demand: outlook.demand(),
            // On hand and what lanes bring are u32 each, and limited far below.
            stock_before: outlook.stock as u32,
            stock_after: after as u32,
            risk_before: outlook.risk(outlook.stock),
            risk_after: outlook.risk(after),
            fill_before: outlook.fill(outlook.stock),
            fill_after: outlook.fill(after),
        }
    };
    planned.outlooks.iter().enumerate().map(outlook).collect()
}

/// Parts of the score in millionths that add up to it exactly: one for each transfer, one for the orders that each
/// location serves.
pub(super) fn contributions(planned: &Planned<'_>, shares: &Shares, score: Score) -> Vec<Contribution> {
    let Request { locations, lanes, .. } = planned.request;
    let transfers = shares.lanes.iter().map(|(lane, _)| {
        let (from, to) = (&locations[lanes[*lane].from].location, &locations[lanes[*lane].to].location);
        (format!("transfer {from} to {to}"), format!("/lanes/{lane}"))
    });
    let orders = shares
        .orders
        .iter()
        .map(|(site, _)| (format!("orders from {}", locations[*site].location), format!("/locations/{site}/on_hand")));
    let parts: Vec<f64> = shares.lanes.iter().chain(&shares.orders).map(|(_, share)| *share).collect();
    let names = transfers.chain(orders).map(|(name, pointer)| (name, Some(pointer)));
    explain::contributions(names, &parts, score)
}

/// What a plan earns beyond doing without: orders at their stated value, and what is not lost.
fn earned(planned: &Planned<'_>) -> (f64, u64) {
    let orders = &planned.request.orders;
    let value = |order: usize| orders[order].value.unwrap_or(0.0);
    let reserved = planned.reservations.iter();
    let served: f64 = reserved.clone().map(|one| value(one.order) * f64::from(one.quantity) - one.cost).sum();
    let loss = planned.loss(|site| planned.outlooks[site].stock);
    (served + planned.plan.gain - loss, reserved.map(|one| u64::from(one.quantity)).sum())
}

/// One unit more on each of the fullest lanes and at each of the shortest locations, tried one by one.
pub(super) fn one_more(planned: &Planned<'_>) -> Vec<OneMore> {
    let lanes = full_lanes(planned).into_iter().map(|lane| {
        let then = planned.with(|request| request.lanes[lane].capacity += 1);
        let Request { locations, lanes, .. } = planned.request;
        let (from, to) = (&locations[lanes[lane].from].location, &locations[lanes[lane].to].location);
        let what = format!("one more unit of capacity from {from} to {to}");
        told(format!("/lanes/{lane}/capacity"), lanes[lane].capacity, &what, then)
    });
    let stock = short_locations(planned).into_iter().map(|site| {
        let then = planned.with(|request| request.locations[site].on_hand += 1);
        let location = &planned.request.locations[site];
        let what = format!("one more unit on hand at {}", location.location);
        told(format!("/locations/{site}/on_hand"), location.on_hand, &what, then)
    });
    let mut found: Vec<_> = lanes.chain(stock).filter(|one| one.worth > NOTHING || one.units_served > 0).collect();
    found.sort_by(|a, b| b.units_served.cmp(&a.units_served).then(b.worth.total_cmp(&a.worth)));
    found
}

fn told(pointer: String, value_now: u32, what: &str, (worth, units_served): (f64, u64)) -> OneMore {
    let served =
        if units_served > 0 { format!(" and serves {units_served} more units of orders") } else { String::new() };
    let detail = format!("{what} is worth {worth:.2} minor units{served}");
    OneMore { pointer, value_now, value_then: value_now + 1, worth, units_served, detail }
}

/// Used to the last unit, those first where the next unit would gain most.
fn full_lanes(planned: &Planned<'_>) -> Vec<usize> {
    let lanes = &planned.request.lanes;
    let mut full: Vec<_> =
        used(planned).filter(|lane| planned.plan.units[*lane] == lanes[*lane].capacity as usize).collect();
    full.sort_by(|a, b| lane_gain(planned, *b).total_cmp(&lane_gain(planned, *a)).then(a.cmp(b)));
    full.truncate(TRIED);
    full
}

/// Those where a unit is most likely to be missed once the plan is done: by orders, then by own demand.
fn short_locations(planned: &Planned<'_>) -> Vec<usize> {
    let short_of_orders = |site: &usize| {
        planned.request.orders.iter().any(|order| order.sources.iter().any(|source| source.location == *site))
            && planned.outlooks[*site].stock <= planned.outlooks[*site].reserved
    };
    let risk: Vec<f64> = (0..planned.outlooks.len())
        .map(|site| {
            planned.outlooks[site].risk(planned.stock_after(site)) + if short_of_orders(&site) { 1.0 } else { 0.0 }
        })
        .collect();
    let mut sites: Vec<_> = (0..risk.len()).filter(|site| risk[*site] > 0.0).collect();
    sites.sort_by(|a, b| risk[*b].total_cmp(&risk[*a]).then(a.cmp(b)));
    sites.truncate(TRIED);
    sites
}

impl Planned<'_> {
    /// What is earned more, and how many more units of orders are served, when the request is changed and planned
    /// again.
    fn with(&self, change: impl FnOnce(&mut Request)) -> (f64, u64) {
        let mut request = self.request.clone();
        change(&mut request);
        let mut outlooks = self.outlooks.clone();
        for (outlook, location) in outlooks.iter_mut().zip(&request.locations) {
            outlook.stock = location.on_hand as usize;
        }
        let then = Planned::of(&request, outlooks, self.caution);
        let ((earned_then, served_then), (earned_now, served_now)) = (earned(&then), earned(self));
        (earned_then - earned_now, served_then.saturating_sub(served_now))
    }
}
