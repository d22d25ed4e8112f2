//! What to do: wait, buy, or take stock from another location, whichever protects most after its cost.

use contracts::{Action, facts::Donor};

use super::{
    case::Case,
    position::{Outlook, Receipt, RiskPeriod},
    quantity::{Purchase, purchase, service_probability, sold_in_shelf_life, worthwhile_lot},
    types::{Recommendation, Source, Verb},
};
use crate::counts::Counts;

/// Stock now, what lies ahead without action, and what the service target asks for.
pub(super) struct Need<'a> {
    pub(super) case: &'a Case<'a>,
    pub(super) risk: &'a RiskPeriod<'a>,
    pub(super) now: Outlook,
    pub(super) target: f64,
    available: f64,
    due: f64,
}

/// A possible transfer and what it is worth.
struct Transfer<'a> {
    donor: &'a Donor,
    units: f64,
    after: Outlook,
    donor_before: f64,
    donor_after: f64,
    /// Worth of the units saved here less those risked there and the cost of moving; money, or units without margin.
    gain: f64,
}

impl<'a> Need<'a> {
    pub(super) fn new(case: &'a Case<'a>, risk: &'a RiskPeriod<'a>, now: Outlook, target: f64) -> Self {
        let available = case.request.facts.stock.available();
        Self { case, risk, now, target, available, due: risk.due(&case.receipts) }
    }

    /// The purchase that brings the position up to the target.
    pub(super) fn purchase(&self) -> Purchase {
        let sold = sold_in_shelf_life(self.case, self.risk);
        let need = self.target - self.available - self.due;
        purchase(need, &self.case.request.facts.item, worthwhile_lot(self.case), sold)
    }

    pub(super) fn recommend(&self) -> Recommendation {
        let purchase = self.purchase();
        let bought = match purchase {
            Purchase::Units(units) => units,
            Purchase::TooMuchForShelfLife => 0.0,
        };
        let after_purchase =
            if bought > 0.0 { self.risk.outlook(self.available, &self.case.receipts, bought) } else { self.now };
        let purchase_gain = self.case.stake.worth(self.now.units_lost - after_purchase.units_lost);
        match self.best_transfer().filter(|transfer| transfer.gain > purchase_gain) {
            Some(transfer) => self.transfer(&transfer),
            None if bought > 0.0 => self.buy(bought, after_purchase),
            None => self.wait(purchase),
        }
    }

    fn best_transfer(&self) -> Option<Transfer<'a>> {
        let facts = &self.case.request.facts;
        if !self.case.request.options.allow_transfer || self.now.units_lost <= 0.0 {
            return None;
        }
        // Stock that comes no sooner than a purchase spares nobody a purchase.
        let in_time = facts.donors.iter().filter(|donor| donor.transfer_days < self.risk.arrives());
        in_time.filter_map(|donor| self.weigh(donor)).max_by(|a, b| a.gain.total_cmp(&b.gain))
    }

    fn weigh(&self, donor: &'a Donor) -> Option<Transfer<'a>> {
        let parameters = &self.case.parameters.transfer;
        let demand = self.case.demand.like(donor.daily_demand * self.risk.days());
        let units = self.short(donor.transfer_days).ceil().min(spare(donor, demand, parameters.donor_risk_cap));
        if units < 1.0 {
            return None;
        }
        let stock = donor.stock.available();
        let (before, after) = (demand.beyond(stock), demand.beyond(stock - units));
        let outlook = self.outlook_with(Receipt { days: donor.transfer_days, units });
        let saved = (self.now.units_lost - outlook.units_lost) - (after.excess - before.excess);
        let (cost, least) = match self.case.stake.margin {
            Some(_) => (donor.transfer_cost.map_or(0.0, |cost| cost.minor as f64), 0.0),
            None => (0.0, parameters.least_units_saved),
        };
        let gain = self.case.stake.worth(saved) - cost;
        (gain > 0.0 && gain >= least).then_some(Transfer {
            donor,
            units,
            after: outlook,
            donor_before: before.probability,
            // Tails are summed for small stocks and integrated for large ones, which may differ in the last bits.
            donor_after: after.probability.max(before.probability),
            gain,
        })
    }

    /// Units missing at the worst date after `from`, at the service target: before each receipt and at the end.
    fn short(&self, from: f64) -> f64 {
        let (end, days) = (self.target - self.available - self.due, self.risk.days());
        let probability = service_probability(self.case, days);
        let mut stock = self.available;
        let mut worst = end;
        for receipt in self.case.receipts.iter().take_while(|receipt| receipt.days <= days) {
            if receipt.days > from {
                worst = worst.max(self.case.demand.over(receipt.days).quantile(probability) - stock);
            }
            stock += receipt.units;
        }
        worst
    }

    fn outlook_with(&self, extra: Receipt) -> Outlook {
        let mut receipts = self.case.receipts.clone();
        let position = receipts.partition_point(|receipt| receipt.days <= extra.days);
        receipts.insert(position, extra);
        self.risk.outlook(self.available, &receipts, 0.0)
    }

    fn transfer(&self, transfer: &Transfer<'_>) -> Recommendation {
        let (facts, donor) = (&self.case.request.facts, transfer.donor);
        let here = &facts.place.region;
        let reason = self.told("another location can spare stock that arrives before a purchase would", || {
            format!(
                "{:.0} units from {} arrive in {:.1} days and save about {:.1} units of sales, while a purchase takes \
                 {:.1} days; the donor's stock-out risk goes from {:.1} % to {:.1} %",
                transfer.units,
                donor.location,
                donor.transfer_days,
                self.now.units_lost - transfer.after.units_lost,
                self.risk.arrives(),
                transfer.donor_before * 100.0,
                transfer.donor_after * 100.0,
            )
        });
        Recommendation {
            from: Some(Source {
                location: donor.location.clone(),
                region: donor.region.clone(),
                // An unknown region is treated as another one: the stricter route of approval.
                cross_region: here.is_none() || donor.region != *here,
                transfer_days: donor.transfer_days,
                transfer_cost: donor.transfer_cost,
                stock_out_probability_before: transfer.donor_before,
                stock_out_probability_after: transfer.donor_after,
            }),
            proposal: Some(Action::Transfer {
                product: facts.product.clone(),
                from: donor.location.clone(),
                to: facts.location.clone(),
                quantity: transfer.units,
            }),
            ..self.answer(Verb::Transfer, transfer.units, transfer.after, reason)
        }
    }

    fn buy(&self, units: f64, after: Outlook) -> Recommendation {
        let facts = &self.case.request.facts;
        let reason = self.told("stock is short of the service target", || {
            format!(
                "{:.0} units are available or due where the service target asks for {:.0}; an order placed now \
                 arrives in {:.1} days",
                self.available + self.due,
                self.target,
                self.risk.arrives(),
            )
        });
        let proposal = facts.lead_time.supplier.clone().map(|supplier| Action::Purchase {
            product: facts.product.clone(),
            to: facts.location.clone(),
            supplier,
            quantity: units,
        });
        Recommendation { proposal, ..self.answer(Verb::Purchase, units, after, reason) }
    }

    fn wait(&self, purchase: Purchase) -> Recommendation {
        let reason = match purchase {
            Purchase::TooMuchForShelfLife => {
                "stock is short of the service target, but the smallest order would outlive its shelf life".to_owned()
            }
            Purchase::Units(_) => self.told("stock meets the service target", || {
                format!(
                    "{:.0} units are available or due, the service target asks for {:.0}",
                    self.available + self.due,
                    self.target
                )
            }),
        };
        self.answer(Verb::None, 0.0, self.now, reason)
    }

    /// The reason in full where explanations are asked for: writing numbers out costs as much as judging.
    fn told(&self, short: &str, full: impl FnOnce() -> String) -> String {
        if self.case.request.options.explain { full() } else { short.to_owned() }
    }

    fn answer(&self, action: Verb, quantity: f64, after: Outlook, reason: String) -> Recommendation {
        Recommendation {
            action,
            quantity,
            from: None,
            proposal: None,
            projected_available: self.available + self.due + quantity,
            target: self.target,
            stock_out_probability_after: after.probability,
            expected_units_lost_after: after.units_lost,
            reason,
        }
    }
}

/// Most whole units a donor can give and still run out with no more than the probability `cap`.
fn spare(donor: &Donor, demand: Counts, cap: f64) -> f64 {
    let stock = donor.stock.available();
    // Spares the quantile for donors that have not even their mean demand.
    if stock <= demand.mean() { 0.0 } else { (stock - demand.quantile(1.0 - cap)).floor().max(0.0) }
}
