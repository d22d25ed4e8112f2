//! Many articles, one budget: buy lot after lot where the next unit of money protects most margin.
//!
//! Under a cash and a volume budget the price of a lot is the sum of the shares it takes of both (after
//! Toyoda 1975, with fixed weights). The expected margin protected is concave in the quantity, so taking the best next lot each time is within one lot
//! of the best plan (Fox 1966, "Discrete optimization via marginal analysis").

use std::{cmp::Ordering, collections::BinaryHeap};

use contracts::{FieldError, Money};

use super::{
    case::Case,
    parameters::Model,
    position::RiskPeriod,
    quantity::{Purchase, service_probability},
    recommend::Need,
    types::{LeftOut, RankRequest, RankedLine, Ranking, Request},
};
use crate::Missing;

/// Most items of one ranking.
const MAX_ITEMS: usize = 10_000;
/// Most lots that one item's quantity is cut into; finer steps would not change the order noticeably.
const MAX_LOTS: f64 = 16.0;

/// One article with the lots it may get.
struct Candidate {
    line: RankedLine,
    /// Units after each lot, and the margin (minor units) that they protect.
    steps: Vec<(f64, f64)>,
    taken: usize,
    unit_cost: Money,
    /// Litres of a unit; 0 without a volume budget.
    unit_volume: f64,
}

/// What may be spent.
#[derive(Clone, Copy)]
struct Budgets {
    /// Minor units.
    cash: i64,
    /// Litres.
    volume: Option<f64>,
}

impl Budgets {
    /// What a lot takes up: its cost where only cash is scarce, else the shares of both budgets.
    fn price(self, cost: i64, volume: f64) -> f64 {
        // A free article has an endless return; a cost of one minor unit stands in for it.
        let cost = cost.max(1) as f64;
        match self.volume {
            None => cost,
            Some(room) => cost / self.cash.max(1) as f64 + volume / room.max(f64::MIN_POSITIVE),
        }
    }
}

/// The next lot of a candidate, ordered by margin per money.
#[derive(PartialEq)]
struct Offer {
    gain: f64,
    candidate: usize,
}

impl Eq for Offer {}
impl Ord for Offer {
    fn cmp(&self, other: &Self) -> Ordering {
        // Equal returns go to the earlier item, so that the same request gives the same ranking.
        self.gain.total_cmp(&other.gain).then_with(|| other.candidate.cmp(&self.candidate))
    }
}
impl PartialOrd for Offer {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Candidate {
    /// Cost in minor units of so many units, rounded up.
    fn cost(&self, units: f64) -> i64 {
        (units * self.unit_cost.minor as f64).ceil() as i64
    }

    fn current(&self) -> (f64, f64) {
        self.taken.checked_sub(1).map_or((0.0, 0.0), |last| self.steps[last])
    }

    /// Return, cost and volume of the next lot.
    fn next(&self, budgets: Budgets) -> Option<(f64, i64, f64)> {
        let (units, margin) = *self.steps.get(self.taken)?;
        let (units_now, margin_now) = self.current();
        let cost = self.cost(units) - self.cost(units_now);
        let volume = (units - units_now) * self.unit_volume;
        Some(((margin - margin_now) / budgets.price(cost, volume), cost, volume))
    }
}

impl Model {
    /// Spends a budget of cash, and of volume when one is given, on purchases where each further lot protects most
    /// expected margin.
    ///
    /// # Errors
    /// Every bad field of the request, by pointer.
    pub fn rank(&self, request: &RankRequest) -> Result<Ranking, Vec<FieldError>> {
        let errors = violations(request);
        if !errors.is_empty() {
            return Err(errors);
        }
        let budgets = Budgets { cash: request.budget.minor, volume: request.volume_budget_litres };
        let mut candidates = Vec::new();
        let mut left_out = Vec::new();
        for (index, item) in request.items.iter().enumerate() {
            match self.candidate(index, item, request.budget, budgets) {
                Ok(candidate) => candidates.push(candidate),
                Err(missing) => left_out.push(LeftOut {
                    index,
                    product: item.facts.product.clone(),
                    location: item.facts.location.clone(),
                    missing,
                }),
            }
        }
        let (spent, volume) = spend(&mut candidates, budgets);
        let currency = request.budget.currency;
        let mut lines: Vec<_> = candidates.into_iter().map(|candidate| candidate.line).collect();
        lines.sort_by(|a, b| b.first_return.total_cmp(&a.first_return).then(a.index.cmp(&b.index)));
        let protected = lines.iter().map(|line| line.margin_protected.minor).sum();
        Ok(Ranking {
            lines,
            spent: Money::new(spent, currency),
            volume_litres: request.volume_budget_litres.map(|_| volume),
            margin_protected: Money::new(protected, currency),
            left_out,
            model: self.reference.clone(),
        })
    }

    fn candidate(
        &self,
        index: usize,
        item: &Request,
        budget: Money,
        budgets: Budgets,
    ) -> Result<Candidate, Vec<Missing>> {
        let case = Case::read(item, &self.parameters)?;
        let (Some(unit_cost), Some(_)) = (item.facts.item.unit_cost, case.stake.margin) else {
            let missing = |field: &str| Missing {
                pointer: format!("/facts/item/{field}"),
                detail: "a ranking by money needs cost and price".to_owned(),
            };
            return Err(vec![missing("unit_cost"), missing("unit_price")]);
        };
        let unit_volume = match (budgets.volume, item.facts.item.unit_volume_litres) {
            (None, _) => 0.0,
            (Some(_), Some(litres)) => litres,
            (Some(_), None) => {
                let pointer = "/facts/item/unit_volume_litres".to_owned();
                return Err(vec![Missing { pointer, detail: "a volume budget needs the unit's volume".to_owned() }]);
            }
        };
        let steps = steps(&case);
        let mut candidate = Candidate {
            line: RankedLine {
                index,
                product: item.facts.product.clone(),
                location: item.facts.location.clone(),
                quantity: 0.0,
                cost: Money::new(0, budget.currency),
                margin_protected: Money::new(0, budget.currency),
                first_return: 0.0,
                supplier: item.facts.lead_time.supplier.clone(),
            },
            steps,
            taken: 0,
            unit_cost,
            unit_volume,
        };
        candidate.line.first_return = candidate.next(budgets).map_or(0.0, |(gain, ..)| gain);
        Ok(candidate)
    }
}

/// Units after each lot up to the order-up-to level, and the margin in minor units that they protect.
fn steps(case: &Case<'_>) -> Vec<(f64, f64)> {
    let (item, stock) = (&case.request.facts.item, &case.request.facts.stock);
    let risk = RiskPeriod::new(&case.demand, &case.lead_times, case.request.options.review_period_days);
    let lost = |order: f64| risk.outlook(stock.available(), &case.receipts, order);
    let now = lost(0.0);
    let [target] = risk.quantiles([service_probability(case, risk.days())]);
    let wanted = match Need::new(case, &risk, now, target).purchase() {
        Purchase::Units(units) if units > 0.0 => units,
        _ => return Vec::new(),
    };
    let pack = f64::from(item.pack.unwrap_or(1));
    let first = (f64::from(item.moq.unwrap_or(0)) / pack).ceil().max(1.0) * pack;
    let lot = ((wanted - first) / pack / MAX_LOTS).ceil().max(1.0) * pack;
    let mut quantities = vec![first];
    while let Some(last) = quantities.last().copied().filter(|last| *last < wanted) {
        quantities.push((last + lot).min(wanted));
    }
    let protected = |units: f64| case.stake.worth(now.units_lost - lost(units).units_lost);
    quantities.into_iter().map(|units| (units, protected(units))).collect()
}

/// Takes the best next lot until nothing that protects margin fits the budgets; returns money and volume spent.
fn spend(candidates: &mut [Candidate], budgets: Budgets) -> (i64, f64) {
    let offer = |candidates: &[Candidate], index: usize| {
        candidates[index]
            .next(budgets)
            .filter(|(gain, ..)| *gain > 0.0)
            .map(|(gain, ..)| Offer { gain, candidate: index })
    };
    let mut offers: BinaryHeap<_> = (0..candidates.len()).filter_map(|index| offer(candidates, index)).collect();
    let (mut spent, mut filled) = (0, 0.0);
    while let Some(Offer { candidate: index, .. }) = offers.pop() {
        let candidate = &mut candidates[index];
        let fits = |cost: i64, volume: f64| {
            spent + cost <= budgets.cash && budgets.volume.is_none_or(|room| filled + volume <= room)
        };
        // A lot that does not fit ends its article; smaller lots of others still may.
        let Some((_, cost, volume)) = candidate.next(budgets).filter(|(_, cost, volume)| fits(*cost, *volume)) else {
            continue;
        };
        spent += cost;
        filled += volume;
        candidate.taken += 1;
        let (units, margin) = candidate.current();
        candidate.line.quantity = units;
        candidate.line.cost.minor = candidate.cost(units);
        candidate.line.margin_protected.minor = margin.round() as i64;
        offers.extend(offer(candidates, index));
    }
    (spent, filled)
}

fn violations(request: &RankRequest) -> Vec<FieldError> {
    let mut found = Vec::new();
    if request.items.is_empty() || request.items.len() > MAX_ITEMS {
        found.push(FieldError::new("/items", format!("must have 1 to {MAX_ITEMS} items, has {}", request.items.len())));
    }
    if request.budget.minor < 0 {
        found.push(FieldError::new("/budget/minor", "must not be negative"));
    }
    if request.volume_budget_litres.is_some_and(|litres| !litres.is_finite() || litres < 0.0) {
        found.push(FieldError::new("/volume_budget_litres", "must be a number >= 0"));
    }
    for (index, item) in request.items.iter().enumerate().take(MAX_ITEMS) {
        let base = format!("/items/{index}");
        let errors = item.violations().into_iter();
        found.extend(errors.map(|error| FieldError::new(format!("{base}{}", error.pointer), error.detail)));
        if item.facts.item.unit_cost.is_some_and(|cost| cost.currency != request.budget.currency) {
            let pointer = format!("{base}/facts/item/unit_cost/currency");
            found.push(FieldError::new(pointer, "must be the currency of the budget"));
        }
    }
    found
}
