//! How much: the order-up-to level, and quantities that suppliers, packs and shelf lives allow.
//!
//! The policy is periodic review with an order-up-to level, the quantile of demand over lead time and review period
//! (Silver, Pyke and Thomas 2017, chapter 6). Where unmet demand is lost rather than kept waiting, the level is on the
//! safe side: it also covers demand that will be gone by the time the order arrives.

use contracts::facts::Item;

use super::{
    case::Case,
    position::{Receipt, RiskPeriod},
};

/// Probability with which stock shall last through the risk period.
///
/// The service target; but of an article that perishes within the period every unsold unit is written off, so it is
/// no more than the critical ratio of the newsvendor, margin over margin and loss, where the loss is the cost less what
/// is still got for it (Arrow, Harris and Marschak 1951).
pub(super) fn service_probability(case: &Case<'_>, days: f64) -> f64 {
    let item = &case.request.facts.item;
    let target = case.request.options.service_target;
    let perishes = item.shelf_life_days.is_some_and(|life| f64::from(life) <= days);
    match (item.unit_cost, item.unit_price) {
        (Some(cost), Some(price)) if perishes && price.minor > 0 => {
            let salvage = item.salvage_value.map_or(0, |value| value.minor);
            // What is got for it above its cost is no reason to buy more than the target.
            let loss = cost.minor.saturating_sub(salvage).max(0);
            target.min(critical_ratio(price.minor.saturating_sub(cost.minor) as f64, loss as f64))
        }
        _ => target,
    }
}

/// Newsvendor: the share of demand outcomes worth covering when a missing unit costs `under` and a left-over unit
/// costs `over`; 0 when a sale earns nothing.
pub(super) fn critical_ratio(under: f64, over: f64) -> f64 {
    if under <= 0.0 { 0.0 } else { under / (under + over) }
}

/// Days of a year, for yearly demand and holding cost.
const YEAR: f64 = 365.25;

/// Economic order quantity: the lot at which a year's ordering and holding costs are least (Harris 1913), from yearly
/// demand, cost of placing an order and cost of holding a unit for a year. 0 when any of them is.
pub(super) fn economic_lot(demand: f64, order_cost: f64, holding_cost: f64) -> f64 {
    if holding_cost > 0.0 { (2.0 * demand * order_cost / holding_cost).sqrt() } else { 0.0 }
}

/// The lot that is worth an order by itself; 0 when the cost of an order or of a unit is unknown.
pub(super) fn worthwhile_lot(case: &Case<'_>) -> f64 {
    let (options, item) = (&case.request.options, &case.request.facts.item);
    let (Some(order), Some(unit)) = (options.order_cost, item.unit_cost) else { return 0.0 };
    let holding = options.holding_rate * unit.minor as f64;
    economic_lot(case.demand.daily() * YEAR, order.minor as f64, holding)
}

/// A purchase quantity and what limited it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Purchase {
    Units(f64),
    /// The smallest quantity the supplier sells would outlive its shelf life.
    TooMuchForShelfLife,
}

/// Rounds a need to what can be bought: at least the MOQ and the lot worth an order, a multiple of the pack, and no
/// more than is sold before it must be written off.
pub(super) fn purchase(need: f64, item: &Item, worthwhile: f64, sold_in_shelf_life: Option<f64>) -> Purchase {
    if need <= 0.0 {
        return Purchase::Units(0.0);
    }
    let pack = f64::from(item.pack.unwrap_or(1).max(1));
    let least = f64::from(item.moq.unwrap_or(0));
    let packs = (need.max(least).max(worthwhile) / pack).ceil();
    let smallest = (least / pack).ceil().max(1.0);
    let sellable = sold_in_shelf_life.map_or(f64::INFINITY, |units| (units / pack).floor());
    if sellable < smallest { Purchase::TooMuchForShelfLife } else { Purchase::Units(packs.min(sellable) * pack) }
}

/// Units expected to be sold between the arrival of an order placed now and the end of its shelf life, beyond what
/// is left of earlier stock by then.
pub(super) fn sold_in_shelf_life(case: &Case<'_>, risk: &RiskPeriod<'_>) -> Option<f64> {
    let life = f64::from(case.request.facts.item.shelf_life_days?);
    let end = risk.arrives() + life;
    let earlier = case.request.facts.stock.available() + due_by(&case.receipts, end);
    Some((case.demand.over(end).mean() - earlier).max(0.0))
}

fn due_by(receipts: &[Receipt], days: f64) -> f64 {
    receipts.iter().filter(|receipt| receipt.days <= days).map(|receipt| receipt.units).sum()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::counts::Counts;

    fn item(pack: Option<u32>, moq: Option<u32>) -> Item {
        Item { pack, moq, ..Item::default() }
    }

    /// Mac's newsstand: a magazine bought at 25 cents sells for 75 and goes back for 10, with a weekly demand of mean
    /// 11.73 and standard deviation 4.74. The ratio is 0.77 and the order 15 (Nahmias, Production and Operations
    /// Analysis, 6th ed., examples 5.1 and 5.2).
    #[test]
    fn the_newsvendor_of_the_textbook_orders_fifteen() {
        let ratio = critical_ratio(75.0 - 25.0, 25.0 - 10.0);
        assert!((ratio - 0.769).abs() < 5e-4, "{ratio}");
        assert_eq!(Counts::by_moments(11.73, 4.74 * 4.74).quantile(ratio), 15.0);
        assert_eq!(critical_ratio(-5.0, 25.0), 0.0);
    }

    /// 60 pencils a week at 2 cents, 12 dollars to place an order, interest of 25 % a year: 3,870 at a time (Nahmias,
    /// as above, example 4.1).
    #[test]
    fn the_economic_lot_is_the_textbook_s() {
        let pencils = economic_lot(60.0 * 52.0, 12.0, 0.25 * 0.02);
        assert!((pencils - 3_870.0).abs() < 0.5, "{pencils}");
        assert_eq!(economic_lot(10_000.0, 40.0, 0.0), 0.0);
    }

    #[test]
    fn a_need_is_raised_to_the_economic_lot_and_never_beyond_the_shelf_life() {
        assert_eq!(purchase(13.0, &item(Some(6), None), 100.0, None), Purchase::Units(102.0));
        assert_eq!(purchase(13.0, &item(Some(6), None), 100.0, Some(50.0)), Purchase::Units(48.0));
        assert_eq!(purchase(0.0, &item(Some(6), None), 100.0, None), Purchase::Units(0.0));
    }

    #[test]
    fn a_need_becomes_whole_packs() {
        assert_eq!(purchase(13.0, &item(Some(6), None), 0.0, None), Purchase::Units(18.0));
        assert_eq!(purchase(13.0, &item(Some(6), Some(20)), 0.0, None), Purchase::Units(24.0));
        assert_eq!(purchase(12.2, &item(None, None), 0.0, None), Purchase::Units(13.0));
        assert_eq!(purchase(0.0, &item(Some(6), Some(20)), 0.0, None), Purchase::Units(0.0));
    }

    #[test]
    fn what_would_spoil_is_not_bought() {
        assert_eq!(purchase(30.0, &item(Some(6), None), 0.0, Some(20.0)), Purchase::Units(18.0));
        assert_eq!(purchase(30.0, &item(Some(6), Some(24)), 0.0, Some(20.0)), Purchase::TooMuchForShelfLife);
    }

    proptest! {
        #[test]
        fn a_quantity_is_zero_or_packs_from_the_moq_on(
            need in -10.0_f64..500.0, pack in 1_u32..24, moq in 0_u32..100, sold in 0.0_f64..600.0,
            lot in 0.0_f64..300.0,
        ) {
            if let Purchase::Units(units) = purchase(need, &item(Some(pack), Some(moq)), lot, Some(sold)) {
                prop_assert_eq!(units % f64::from(pack), 0.0);
                prop_assert!(units == 0.0 || units >= f64::from(moq));
                prop_assert!(units <= sold || units == 0.0);
            }
        }
    }
}
