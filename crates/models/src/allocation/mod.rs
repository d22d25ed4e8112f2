//! Allocation support: transfers and reservations of constrained supply.
//!
//! Firm orders come first: they are assigned exactly (`assign`), and what they reserve is not moved. What is left is
//! weighed against the demand that is expected (`forecast`): each location's earnings by stock and each lane's cost
//! make a `problem`, a `plan` is searched for, and a `bound` says how much a better one could gain at most. When
//! asked, `explain` says why. `learn` fits the parameters and measures them on realised demand.

mod assign;
mod bound;
mod explain;
mod forecast;
mod learn;
mod parameters;
mod plan;
mod problem;
mod types;
mod violations;

use contracts::{Digest, FieldError, Money};
use jiff::{Span, Timestamp};

use self::{
    assign::Assignment,
    forecast::{Outlook, outlooks},
    plan::Plan,
    problem::{Limits, Problem, Worth},
};
pub use self::{
    learn::Outcome,
    parameters::Parameters,
    types::{
        Answer, Assessment, Demand, Lane, Location, LocationOutlook, OneMore, Options, Order, OrderOutcome,
        OrderSource, Priority, Request, Reservation, Transfer,
    },
};
use crate::{Case, FitError, Judge, ModelRef, ParameterError, Score, judge, metrics::Figures};

/// The model: parameters and their name in answers.
#[derive(Clone, Debug)]
pub struct Model {
    parameters: Parameters,
    reference: ModelRef,
}

impl Judge for Model {
    const NAME: &'static str = "allocation-support";
    type Request = Request;
    type Answer = Answer;
    type Outcome = Outcome;
    type Parameters = Parameters;
    const STANDARD: &'static str = include_str!("../../parameters/allocation.v1.json");

    fn new(parameters: Parameters) -> Result<Self, ParameterError> {
        parameters.check()?;
        let reference = judge::reference::<Self>(&parameters.version, &parameters)?;
        Ok(Self { parameters, reference })
    }

    fn parameters(&self) -> &Parameters {
        &self.parameters
    }

    fn reference(&self) -> &ModelRef {
        &self.reference
    }

    fn judge(&self, request: &Request) -> Result<Answer, Vec<FieldError>> {
        let errors = request.violations();
        if !errors.is_empty() {
            return Err(errors);
        }
        let outlooks = match outlooks(request, &self.parameters) {
            Ok(outlooks) => outlooks,
            Err(missing) => return Ok(Answer::InsufficientData { product: request.product.clone(), missing }),
        };
        Ok(Answer::Scored(Box::new(self.assess(request, outlooks).map_err(judge::unhashable)?)))
    }

    fn backtest(&self, cases: &[Case<Request, Outcome>]) -> Figures {
        learn::backtest(self, cases)
    }

    fn fit(
        start: &Parameters,
        version: &str,
        cases: &[Case<Request, Outcome>],
        progress: &mut dyn FnMut(f64),
    ) -> Result<Parameters, FitError> {
        learn::fit(start, version, cases, progress)
    }
}

/// What is left for transfers once the orders are assigned, and the plan for it.
struct Planned<'a> {
    request: &'a Request,
    /// By location, before any transfer.
    outlooks: Vec<Outlook>,
    reservations: Vec<Reservation>,
    problem: Problem,
    plan: Plan,
    caution: f64,
}

impl<'a> Planned<'a> {
    fn of(request: &'a Request, mut outlooks: Vec<Outlook>, caution: f64) -> Self {
        let reservations = reserve(request, &mut outlooks);
        let problem = pose(request, &outlooks);
        let mut plan = Plan::of(&problem);
        if plan.gain < caution * deviation(request, &outlooks, &plan) {
            plan = Plan::nothing(&problem);
        }
        Self { request, outlooks, reservations, problem, plan, caution }
    }

    fn stock_after(&self, site: usize) -> usize {
        self.outlooks[site].stock + self.plan.got[site] - self.plan.given[site]
    }

    /// Expected value of the demand that is not met with given stock by location.
    fn loss(&self, stock: impl Fn(usize) -> usize) -> f64 {
        let options = &self.request.options;
        let lost = |(site, outlook): (usize, &Outlook)| {
            let (reserved, walk_in) = outlook.unserved(stock(site));
            options.reserved_value * reserved + options.margin * walk_in
        };
        self.outlooks.iter().enumerate().map(lost).sum()
    }
}

/// Assigns the orders and takes their units from the stock.
fn reserve(request: &Request, outlooks: &mut [Outlook]) -> Vec<Reservation> {
    if request.orders.is_empty() {
        return Vec::new();
    }
    // What customers of the location were promised before is not given to others.
    let stock: Vec<u64> =
        outlooks.iter().map(|outlook| outlook.stock.saturating_sub(outlook.reserved) as u64).collect();
    let assigned = Assignment::of(&request.orders, &stock).reservations();
    let reservation = |(order, location, units): (usize, usize, u64)| {
        // Never more than on hand, which is far below these types' limits.
        outlooks[location].stock -= units as usize;
        let sources = &request.orders[order].sources;
        let unit_cost = sources.iter().find(|source| source.location == location).map_or(0.0, |way| way.unit_cost);
        Reservation { order, location, quantity: units as u32, cost: unit_cost * units as f64 }
    };
    assigned.into_iter().map(reservation).collect()
}

/// The transfer problem.
fn pose(request: &Request, outlooks: &[Outlook]) -> Problem {
    let options = &request.options;
    let worth = Worth { margin: options.margin, reserved: options.reserved_value };
    let limits = Limits { risk_cap: options.donor_risk_cap, fill: fair_fill(options, outlooks) };
    let mut moved = vec![(0, 0, f64::INFINITY); outlooks.len()];
    let usable = |lane: &&Lane| lane.days <= options.latest_days;
    for lane in request.lanes.iter().filter(usable) {
        moved[lane.from].0 += lane.capacity as usize;
        moved[lane.to].1 += lane.capacity as usize;
        moved[lane.to].2 = lane.unit_cost.min(moved[lane.to].2);
    }
    let sites: Vec<_> = outlooks
        .iter()
        .zip(&moved)
        .map(|(outlook, (gives, gets, cheapest))| {
            problem::Site::of(outlook, worth, &limits, (*gives, *gets), *cheapest)
        })
        .collect();
    let arc = |lane: &Lane| problem::Arc {
        from: lane.from,
        to: lane.to,
        unit_cost: lane.unit_cost,
        fixed_cost: lane.fixed_cost,
        most: if usable(&lane) { lane.capacity as usize } else { 0 }
            .min(sites[lane.from].most_out)
            .min(sites[lane.to].most_in),
    };
    let arcs = request.lanes.iter().map(arc).collect();
    Problem::new(sites, arcs)
}

/// Lowest and highest fill rate that transfers may lead to.
fn fair_fill(options: &Options, outlooks: &[Outlook]) -> (f64, f64) {
    let Some(cap) = options.fairness_cap else { return (0.0, 1.0) };
    let stock: usize = outlooks.iter().map(|outlook| outlook.stock).sum();
    let demand: f64 = outlooks.iter().map(Outlook::demand).sum();
    let fair = if demand > 0.0 { (stock as f64 / demand).min(1.0) } else { 1.0 };
    (fair - cap, fair + cap)
}

/// Standard deviation of what a plan will turn out to gain, in minor units. Locations are taken as independent, given
/// their forecasts.
fn deviation(request: &Request, outlooks: &[Outlook], plan: &Plan) -> f64 {
    let margin = request.options.margin;
    let variance = |(site, outlook): (usize, &Outlook)| {
        let before = outlook.stock.saturating_sub(outlook.reserved);
        let after = (outlook.stock + plan.got[site] - plan.given[site]).saturating_sub(outlook.reserved);
        let (low, high) = (before.min(after), before.max(after));
        // Units sold between two stock levels: N = min(max(D - low, 0), high - low), E[N] and E[N²] by its tails.
        let mut tails = problem::Tails::of(&outlook.walk_in);
        let (mut mean, mut square) = (0.0, 0.0);
        for k in low..high {
            let tail = tails.above(k);
            mean += tail;
            square += tail * (2 * (k - low) + 1) as f64;
        }
        square - mean * mean
    };
    margin * outlooks.iter().enumerate().map(variance).sum::<f64>().max(0.0).sqrt()
}

impl Model {
    fn assess(&self, request: &Request, outlooks: Vec<Outlook>) -> Result<Assessment, serde_json::Error> {
        let planned = Planned::of(request, outlooks, self.parameters.caution);
        let bound = bound::bound(&planned.problem, &planned.plan);
        let gain = planned.plan.gain;
        let loss_before = planned.loss(|site| planned.outlooks[site].stock);
        let loss_after = planned.loss(|site| planned.stock_after(site));
        let shares = explain::shares(&planned, loss_before);
        let score = Score::of(shares.total());
        let money = |minor: f64| Money::new(minor.round() as i64, request.currency);
        let (locations, contributions, counterfactuals) = if request.options.explain {
            (
                explain::locations(&planned),
                explain::contributions(&planned, &shares, score),
                explain::one_more(&planned),
            )
        } else {
            (Vec::new(), Vec::new(), Vec::new())
        };
        Ok(Assessment {
            product: request.product.clone(),
            score,
            band: self.parameters.bands.band(score),
            expected_gain: money(gain),
            gain_bound: Money::new(bound.ceil() as i64, request.currency),
            gap: if bound > 0.0 { (bound - gain) / bound } else { 0.0 },
            expected_loss_before: money(loss_before),
            expected_loss_after: money(loss_after),
            transfers: explain::transfers(&planned),
            orders: explain::orders(&planned),
            reservations: planned.reservations,
            locations,
            contributions,
            counterfactuals,
            model: self.reference.clone(),
            input_hash: Digest::of_bytes(&serde_json::to_vec(request)?),
            valid_until: request
                .as_of
                .checked_add(Span::new().hours(self.parameters.valid_hours))
                .unwrap_or(Timestamp::MAX),
        })
    }
}
