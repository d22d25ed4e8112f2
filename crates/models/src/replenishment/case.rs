//! Everything the model makes of one request, estimated once: demand, lead time, receipts, margin; and the urgency
//! formula over them.

use contracts::{
    Facts, Money,
    facts::{Every, Item},
};

use super::{
    demand::Demand,
    lead_time::LeadTimes,
    parameters::{Parameters, Sufficiency, UrgencyParameters},
    position::{Outlook, Receipt, receipts},
    types::Request,
};
use crate::Missing;

/// What the model makes of a request, before any judgement.
pub(super) struct Case<'a> {
    pub(super) request: &'a Request,
    pub(super) parameters: &'a Parameters,
    pub(super) demand: Demand,
    pub(super) lead_times: LeadTimes,
    pub(super) receipts: Vec<Receipt>,
    pub(super) stake: Stake,
}

impl<'a> Case<'a> {
    /// # Errors
    /// Names every fact without which the model does not guess.
    pub(super) fn read(request: &'a Request, parameters: &'a Parameters) -> Result<Self, Vec<Missing>> {
        let facts = &request.facts;
        let of_cadence = parameters.demand.of(facts.demand.every);
        let demand = Demand::estimate(facts, of_cadence);
        let mut missing = lacking(facts, &demand, &of_cadence.sufficiency);
        let lead_times = LeadTimes::estimate(&facts.lead_time, &parameters.lead_time);
        if lead_times.is_none() {
            let detail = "needs lead times of past receipts, or promised_days".to_owned();
            missing.push(Missing { pointer: "/facts/lead_time/seen_days".to_owned(), detail });
        }
        let Some(lead_times) = lead_times.filter(|_| missing.is_empty()) else { return Err(missing) };
        let receipts = receipts(facts, &demand);
        let stake = Stake::of(&facts.item, &parameters.urgency);
        Ok(Self { request, parameters, demand, lead_times, receipts, stake })
    }
}

/// What the sales history lacks to know the demand.
fn lacking(facts: &Facts, demand: &Demand, needs: &Sufficiency) -> Vec<Missing> {
    let has = facts.demand.units.len();
    let buckets = match facts.demand.every {
        Every::Day => "days",
        Every::Week => "weeks",
        Every::Month => "months",
    };
    let mut missing = Vec::new();
    let mut lack = |lacks: bool, pointer: &str, detail: &dyn Fn() -> String| {
        if lacks {
            missing.push(Missing { pointer: pointer.to_owned(), detail: detail() });
        }
    };
    lack(has < needs.history, "/facts/demand/units", &|| {
        format!("needs {} {buckets} of sales, has {has}", needs.history)
    });
    lack(demand.in_stock < needs.in_stock, "/facts/demand/out_of_stock", &|| {
        format!("needs {} {buckets} in stock for half the time or more, has {}", needs.in_stock, demand.in_stock)
    });
    lack(demand.silent_days > needs.stale_days, "/facts/demand/first_day", &|| {
        let silent = demand.silent_days;
        format!("sales end {silent} days before the facts were read, at most {} can be bridged", needs.stale_days)
    });
    missing
}

/// What one lost unit means.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Stake {
    /// Margin of a unit in minor units, never negative; `None` when cost or price is unknown.
    pub(super) margin: Option<Money>,
    /// Units lost at which the stake weighs 63 %.
    scale: f64,
}

impl Stake {
    fn of(item: &Item, parameters: &UrgencyParameters) -> Self {
        let (Some(cost), Some(price)) = (item.unit_cost, item.unit_price) else {
            return Self::typical(parameters);
        };
        let margin = price.minor.saturating_sub(cost.minor).max(0);
        let by_currency = parameters.margin_at_stake.get(price.currency.as_str());
        let at_stake = by_currency.copied().unwrap_or(parameters.margin_at_stake_default);
        // A margin of 0 gives an infinite scale: nothing is at stake but the sale itself.
        Self { margin: Some(Money::new(margin, price.currency)), scale: at_stake / margin as f64 }
    }

    /// An article of typical margin: what an unknown one is taken for.
    pub(super) fn typical(parameters: &UrgencyParameters) -> Self {
        Self { margin: None, scale: parameters.units_at_stake }
    }

    /// Worth of so many units in minor units of money, or in units when the margin is unknown.
    pub(super) fn worth(&self, units: f64) -> f64 {
        self.margin.map_or(units, |margin| units * margin.minor as f64)
    }

    pub(super) fn margin_of(&self, units: f64) -> Option<Money> {
        // A saturating conversion: more than i64 cents are lost in no store.
        self.margin.map(|margin| Money::new((units * margin.minor as f64).round() as i64, margin.currency))
    }

    /// Urgency in 0 to 1: `p · (floor + (1 - floor) · (1 - e^(-lost / scale)))`. Rises with the stock-out probability
    /// and with what is lost; a sure stock-out of a slow, cheap article is worth `floor`.
    pub(super) fn urgency(&self, outlook: Outlook, parameters: &UrgencyParameters) -> f64 {
        let weight = -(-outlook.units_lost / self.scale).exp_m1();
        outlook.probability * (parameters.floor + (1.0 - parameters.floor) * weight)
    }
}
