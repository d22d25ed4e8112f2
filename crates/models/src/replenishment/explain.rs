//! Why this score, and what would change it.
//!
//! Contributions are Shapley values (Shapley 1953; Lundberg and Lee 2017): each group of facts is set back to an
//! unremarkable value in every combination with the others, and gets the average of the difference it makes. They add
//! up to the score less that of the unremarkable article, which is the `baseline`.

use contracts::Facts;

use super::{
    case::{Case, Stake},
    lead_time::LeadTimes,
    position::RiskPeriod,
    quantity::service_probability,
};
use crate::{
    Band, Contribution, Counterfactual, Score,
    explain::{self, first, shapley},
};

/// Groups of facts, in the order of their bits below, each with the fact it is read from.
const GROUPS: [(&str, &str); 6] = [
    ("stock", "/facts/stock/on_hand"),
    ("incoming", "/facts/incoming"),
    ("lead_time", "/facts/lead_time/seen_days"),
    ("trend", "/facts/demand/units"),
    ("promotion", "/facts/demand/promotion_ahead"),
    ("margin", "/facts/item/unit_price"),
];
const COMBINATIONS: usize = 1 << GROUPS.len();
/// Most units more that the search for a counterfactual looks at.
const FARTHEST: f64 = 1e9;

/// Urgency with only some groups of facts as they are.
struct Reference<'a> {
    case: &'a Case<'a>,
    /// What the service target asks of the unremarkable article: its stock.
    stock: f64,
    /// Promised days, or the mean of those seen: a supplier that keeps its word.
    days: f64,
}

impl<'a> Reference<'a> {
    fn of(case: &'a Case<'a>) -> Self {
        let days = case.request.facts.lead_time.promised_days.unwrap_or_else(|| case.lead_times.mean());
        let mut reference = Self { case, stock: 0.0, days };
        reference.stock = reference.with_risk(0, |risk| {
            let [target] = risk.quantiles([service_probability(case, risk.days())]);
            target
        });
        reference
    }

    /// The risk period when only the groups in `facts` (a bit each) are as they are.
    fn with_risk<T>(&self, facts: usize, judge: impl FnOnce(&RiskPeriod<'_>) -> T) -> T {
        let mut demand = self.case.demand.clone();
        if facts & 0b00_1000 == 0 {
            demand.level = demand.long_run_level;
        }
        if facts & 0b01_0000 == 0 {
            demand.unplanned();
        }
        let lead_times = if facts & 0b00_0100 == 0 { LeadTimes::fixed(self.days) } else { self.case.lead_times };
        judge(&RiskPeriod::new(&demand, &lead_times, self.case.request.options.review_period_days))
    }

    fn urgency(&self, facts: usize) -> f64 {
        let case = self.case;
        let available = if facts & 0b00_0001 == 0 { self.stock } else { case.request.facts.stock.available() };
        let receipts = if facts & 0b00_0010 == 0 { &[] } else { case.receipts.as_slice() };
        let urgency = &case.parameters.urgency;
        let stake = if facts & 0b10_0000 == 0 { Stake::typical(urgency) } else { case.stake };
        stake.urgency(self.with_risk(facts, |risk| risk.outlook(available, receipts, 0.0)), urgency)
    }
}

/// Parts of the score in millionths that add up to it exactly: the baseline and each group of facts.
pub(super) fn contributions(case: &Case<'_>, score: Score) -> Vec<Contribution> {
    let reference = Reference::of(case);
    let urgency: [f64; COMBINATIONS] = std::array::from_fn(|facts| reference.urgency(facts));
    let mut parts = vec![urgency[0]];
    parts.extend(shapley(&urgency));
    let names = std::iter::once(("baseline", None)).chain(GROUPS.map(|(name, pointer)| (name, Some(pointer))));
    explain::contributions(names, &parts, score)
}

/// The smallest changes of stock and of lead time that lead to another band.
pub(super) fn counterfactuals(case: &Case<'_>, risk: &RiskPeriod<'_>, band: Band) -> Vec<Counterfactual> {
    [stock(case, risk, band), lead_time(case, band)].into_iter().flatten().collect()
}

/// Fewest units more on hand that lower the band; for a low band, fewest units less that raise it.
fn stock(case: &Case<'_>, risk: &RiskPeriod<'_>, band: Band) -> Option<Counterfactual> {
    let stock = &case.request.facts.stock;
    let parameters = &case.parameters.urgency;
    let sign = if band == Band::Low { -1.0 } else { 1.0 };
    let score = |change: f64| {
        let available = (stock.on_hand + sign * change - stock.reserved).max(0.0);
        Score::of(case.stake.urgency(risk.outlook(available, &case.receipts, 0.0), parameters))
    };
    let most = if band == Band::Low { stock.on_hand.floor() } else { FARTHEST };
    let change = first(most, |change| parameters.bands.band(score(change)) != band)?;
    let score_then = score(change);
    let band_then = parameters.bands.band(score_then);
    let more = if sign > 0.0 { "more" } else { "fewer" };
    Some(Counterfactual {
        pointer: "/facts/stock/on_hand".to_owned(),
        value_now: stock.on_hand,
        value_needed: stock.on_hand + sign * change,
        band_then,
        score_then,
        detail: format!("with {change} {more} units on hand the band would be {}", band_then.as_str()),
    })
}

/// Longest lead time, in whole days, that would lower the band if no receipt took longer.
fn lead_time(case: &Case<'_>, band: Band) -> Option<Counterfactual> {
    let parameters = case.parameters;
    let longest = longest_lead_time(&case.request.facts)?;
    let score = |cap: f64| {
        let mut capped = case.request.facts.lead_time.clone();
        capped.seen_days.iter_mut().for_each(|days| *days = days.min(cap));
        capped.promised_days = capped.promised_days.map(|days| days.min(cap));
        let lead_times = LeadTimes::estimate(&capped, &parameters.lead_time)?;
        let risk = RiskPeriod::new(&case.demand, &lead_times, case.request.options.review_period_days);
        let outlook = risk.outlook(case.request.facts.stock.available(), &case.receipts, 0.0);
        Some(Score::of(case.stake.urgency(outlook, &parameters.urgency)))
    };
    let cap_after = |less: f64| (longest - less).ceil().max(0.0);
    let lower = |less: f64| score(cap_after(less)).is_some_and(|score| parameters.urgency.bands.band(score) < band);
    let less = first(longest.ceil(), lower)?;
    let score_then = score(cap_after(less))?;
    let band_then = parameters.urgency.bands.band(score_then);
    let cap = cap_after(less);
    Some(Counterfactual {
        pointer: "/facts/lead_time/seen_days".to_owned(),
        value_now: longest,
        value_needed: cap,
        band_then,
        score_then,
        detail: format!("with no lead time above {cap} d the band would be {}", band_then.as_str()),
    })
}

fn longest_lead_time(facts: &Facts) -> Option<f64> {
    facts.lead_time.seen_days.iter().chain(&facts.lead_time.promised_days).copied().max_by(f64::total_cmp)
}
