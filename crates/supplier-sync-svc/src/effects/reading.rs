//! What was read of Odoo: plain data, so that it can be the result of an effect and be settled in a transaction.

use std::collections::{BTreeMap, HashMap};

use contracts::{Digest, Money, money::Currency};
use jiff::Timestamp;
use odoo::stock::{Orderpoint, Product, Quant};
use serde::{Deserialize, Serialize};

use crate::rules::observation::Entity;

/// The level of one product at one warehouse: the sum of its quants there.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Reading {
    /// The record that made us look.
    pub model: String,
    pub record_id: i64,
    /// Internal reference; empty when Odoo has none.
    pub sku: String,
    pub product_name: String,
    pub category: Option<String>,
    pub unit_cost: Option<Money>,
    pub unit_price: Option<Money>,
    /// Short name; empty when the location belongs to no warehouse.
    pub warehouse: String,
    pub warehouse_name: String,
    pub on_hand: f64,
    pub reserved: f64,
    /// The latest time of writing among the quants, cut to the second by the API.
    pub written_at: Timestamp,
    /// Minimum of Odoo's own replenishment rule.
    pub reorder_point: Option<f64>,
    /// Why it cannot be mapped, if so.
    pub trouble: Option<Trouble>,
}

/// Something in Odoo that nobody can map without a person's word.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Trouble {
    pub entity: Entity,
    pub external: String,
    pub reason: String,
}

/// A warehouse as far as stock is concerned.
#[derive(Clone, Debug)]
pub(crate) struct Site {
    pub warehouse_id: i64,
    pub code: String,
    pub name: String,
    /// Root of the locations whose quants count.
    pub stock_location: i64,
}

/// A product with what must be known beside its own row.
#[derive(Clone, Debug)]
pub(crate) struct Article {
    pub product: Product,
    /// Other products answer to the same internal reference.
    pub ambiguous: bool,
}

impl Reading {
    /// Of what was read; the same state has the same digest, whoever reads it when.
    pub(crate) fn digest(&self) -> Result<Digest, serde_json::Error> {
        Digest::of(&(self.on_hand, self.reserved, self.written_at))
    }
}

/// Sums quants by product and warehouse.
pub(crate) fn sums(quants: &[Quant], site_of: &HashMap<i64, Site>) -> BTreeMap<(i64, i64), (f64, f64, Timestamp)> {
    let mut sums = BTreeMap::new();
    for quant in quants {
        let Some(site) = site_of.get(&quant.location.id) else { continue };
        let sum = sums.entry((quant.product.id, site.warehouse_id)).or_insert((0.0, 0.0, quant.write_date));
        *sum = (sum.0 + quant.quantity, sum.1 + quant.reserved_quantity, sum.2.max(quant.write_date));
    }
    sums
}

/// The reading of a product at a site. `sum` is absent when no quant is left there: then nothing is on hand as of
/// `now`. Odoo may hold negative quantities (sold before received); there is no such stock, so they read as nothing.
pub(crate) fn reading(
    cause: &Quant,
    article: &Article,
    site: &Site,
    sum: Option<&(f64, f64, Timestamp)>,
    orderpoints: &[Orderpoint],
    currency: Option<Currency>,
    now: Timestamp,
) -> Reading {
    let (on_hand, reserved, written_at) = sum.copied().unwrap_or((0.0, 0.0, now));
    let product = &article.product;
    let money = |price: f64| currency.and_then(|currency| amount(price, currency));
    let rule = orderpoints.iter().find(|rule| rule.product.id == product.id && rule.location.id == site.stock_location);
    Reading {
        model: "stock.quant".into(),
        record_id: cause.id,
        sku: product.sku.clone().unwrap_or_default(),
        product_name: product.name.clone(),
        category: product.category.as_ref().map(|category| category.name.clone()),
        unit_cost: money(product.standard_price),
        unit_price: money(product.list_price),
        warehouse: site.code.clone(),
        warehouse_name: site.name.clone(),
        on_hand: on_hand.max(0.0),
        reserved: reserved.max(0.0),
        written_at,
        reorder_point: rule.map(|rule| rule.min),
        trouble: trouble(article),
    }
}

/// The reading of a quant whose location belongs to no warehouse.
pub(crate) fn homeless(quant: &Quant, article: &Article) -> Reading {
    let nowhere = Site { warehouse_id: 0, code: String::new(), name: String::new(), stock_location: quant.location.id };
    let trouble = Trouble {
        entity: Entity::Location,
        external: format!("stock.location:{}", quant.location.id),
        reason: format!("{} belongs to no warehouse", quant.location.name),
    };
    let reading = reading(quant, article, &nowhere, None, &[], None, quant.write_date);
    Reading { trouble: Some(trouble), ..reading }
}

fn trouble(article: &Article) -> Option<Trouble> {
    let product = &article.product;
    let about = |external: String, reason: &str| {
        Some(Trouble { entity: Entity::Product, external, reason: format!("{} {reason}", product.name) })
    };
    match &product.sku {
        None => about(format!("product.product:{}", product.id), "has no internal reference"),
        Some(sku) if article.ambiguous => about(sku.clone(), "shares its internal reference with another product"),
        Some(_) => None,
    }
}

/// A price of Odoo's in minor units.
fn amount(price: f64, currency: Currency) -> Option<Money> {
    let minor = (price * 10_f64.powi(i32::try_from(currency.exponent()).ok()?)).round();
    #[expect(clippy::cast_possible_truncation, reason = "checked to lie within the integers that a double holds")]
    (minor.abs() < 9e15).then(|| Money::new(minor as i64, currency))
}

#[cfg(test)]
mod tests {
    use odoo::Ref;

    use super::*;

    fn quant(id: i64, product: i64, location: i64, quantity: f64, second: i64) -> Quant {
        let link = |id| Ref { id, name: String::new() };
        Quant {
            id,
            product: link(product),
            location: link(location),
            quantity,
            reserved_quantity: 1.0,
            write_date: Timestamp::from_second(second).unwrap(),
        }
    }

    #[test]
    fn shelves_and_lots_of_a_warehouse_add_up() {
        let site = |id, code: &str| Site { warehouse_id: id, code: code.into(), name: code.into(), stock_location: id };
        let sites = HashMap::from([(8, site(1, "S1")), (9, site(1, "S1")), (20, site(2, "S2"))]);
        let quants =
            [quant(1, 5, 8, 3.0, 10), quant(2, 5, 9, 4.0, 30), quant(3, 5, 20, 9.0, 20), quant(4, 5, 99, 7.0, 1)];
        let sums = sums(&quants, &sites);
        assert_eq!(sums[&(5, 1)], (7.0, 2.0, Timestamp::from_second(30).unwrap()));
        assert_eq!(sums[&(5, 2)], (9.0, 1.0, Timestamp::from_second(20).unwrap()));
        assert_eq!(sums.len(), 2, "a place outside of every warehouse holds no stock of ours");
    }

    #[test]
    fn a_price_has_as_many_decimals_as_its_currency() {
        let minor = |price, code| amount(price, Currency::new(code).unwrap()).unwrap().minor;
        assert_eq!((minor(12.99, "EUR"), minor(1299.0, "JPY"), minor(1.2345, "KWD")), (1299, 1299, 1235));
    }
}
