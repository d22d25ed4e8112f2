//! The company around the sales. Everything in it is made up, in `company.yaml`, and told to the services the way a
//! company would tell it: master data as observations, stock and reorder rules in Odoo.

use std::collections::BTreeMap;

use anyhow::Context;
use odoo::replay::{OrderpointSeed, ProductSeed, Scene, WarehouseSeed};
use serde::Deserialize;
use serde_json::{Value, json};

use super::sales::Sales;

/// A product at a store.
pub(super) type Shelf = (String, String);

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Company {
    currency: String,
    stores: Vec<Store>,
    products: Vec<Product>,
    within_region: Lane,
    across_regions: Lane,
    reorder_at_days: f64,
    opening_days: f64,
    opening: Vec<Opening>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Store {
    id: String,
    /// Odoo's short name of the warehouse.
    code: String,
    name: String,
    region: String,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Product {
    /// Ours, and Odoo's internal reference.
    id: String,
    name: String,
    /// Minor units, as the price.
    cost: i64,
    price: i64,
    pack: u32,
    supplier: String,
    promised_days: f64,
    seen_days: Vec<f64>,
}

#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Lane {
    days: f64,
    cost: i64,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Opening {
    product: String,
    store: String,
    days: f64,
}

/// How a shelf begins.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Level {
    pub on_hand: f64,
    /// At or below it stock is low.
    pub reorder_point: f64,
}

impl Company {
    pub(super) fn bundled() -> anyhow::Result<Self> {
        serde_saphyr::from_str(include_str!("company.yaml")).context("company.yaml cannot be read")
    }

    /// Opening stock and reorder point of every shelf with sales, in whole units.
    pub(super) fn levels(&self, sales: &Sales) -> BTreeMap<Shelf, Level> {
        let days = |(product, store): &Shelf| {
            let own = self.opening.iter().find(|one| one.product == *product && one.store == *store);
            own.map_or(self.opening_days, |one| one.days)
        };
        let level = |(shelf, mean): (Shelf, f64)| {
            let on_hand = (mean * days(&shelf)).round();
            let reorder_point = (mean * self.reorder_at_days).round();
            (shelf, Level { on_hand, reorder_point })
        };
        sales.daily_means().into_iter().map(level).collect()
    }

    /// Odoo before the opening stock is counted into it.
    pub(super) fn scene(&self, levels: &BTreeMap<Shelf, Level>) -> anyhow::Result<Scene> {
        let euros = |minor: i64| {
            #[expect(clippy::cast_precision_loss, reason = "prices of groceries")]
            let minor = minor as f64;
            minor / 100.0
        };
        let product = |one: &Product| ProductSeed {
            sku: one.id.clone(),
            name: one.name.clone(),
            category: Some("Fresh".to_owned()),
            cost: euros(one.cost),
            price: euros(one.price),
        };
        let rule = |((product, store), level): (&Shelf, &Level)| {
            let warehouse = self.code(store)?.to_owned();
            Ok(OrderpointSeed { sku: product.clone(), warehouse, min: level.reorder_point, max: level.on_hand })
        };
        let rules: anyhow::Result<Vec<_>> = levels.iter().map(rule).collect();
        Ok(Scene {
            currency: self.currency.clone(),
            products: self.products.iter().map(product).collect(),
            warehouses: self
                .stores
                .iter()
                .map(|store| WarehouseSeed { code: store.code.clone(), name: store.name.clone() })
                .collect(),
            orderpoints: rules?,
            ..Scene::default()
        })
    }

    /// Odoo's short name of a store.
    pub(super) fn code(&self, store: &str) -> anyhow::Result<&str> {
        let found = self.stores.iter().find(|one| one.id == store);
        found.map(|one| one.code.as_str()).with_context(|| format!("company.yaml has no store {store}"))
    }

    pub(super) fn regions(&self) -> usize {
        self.stores.iter().map(|store| &store.region).collect::<std::collections::BTreeSet<_>>().len()
    }

    /// Everything but sales and stock, as observations.
    pub(super) fn master_data(&self, levels: &BTreeMap<Shelf, Level>) -> Vec<Value> {
        let mut lines = Vec::new();
        for Store { id, code, name, region } in &self.stores {
            lines.push(json!({"kind": "location", "location": id, "name": name, "region": region}));
            lines.push(json!({"kind": "xref", "entity": "location", "id": id, "system": "odoo", "external_id": code}));
        }
        for Product { id, name, pack, cost, price, .. } in &self.products {
            let (cost, price) = (self.money(*cost), self.money(*price));
            lines.push(json!({"kind": "product", "product": id, "name": name, "category": "fresh", "pack": pack,
                "unit_cost": cost, "unit_price": price}));
            lines.push(json!({"kind": "xref", "entity": "product", "id": id, "system": "odoo", "external_id": id}));
        }
        for (from, to) in self.stores.iter().flat_map(|from| self.stores.iter().map(move |to| (from, to))) {
            if from.id != to.id {
                let lane = if from.region == to.region { self.within_region } else { self.across_regions };
                lines.push(json!({"kind": "lane", "from": from.id, "to": to.id, "transfer_days": lane.days,
                    "transfer_cost": self.money(lane.cost)}));
            }
        }
        for (product, location) in levels.keys() {
            let Some(one) = self.products.iter().find(|one| one.id == *product) else { continue };
            let supplier = &one.supplier;
            lines.push(json!({"kind": "promised_lead_time", "product": product, "location": location,
                "supplier": supplier, "days": one.promised_days}));
            for (number, days) in one.seen_days.iter().enumerate() {
                let order = format!("{product}-{location}-{number}");
                lines.push(json!({"kind": "lead_time", "product": product, "location": location,
                    "supplier": supplier, "days": days, "order": order}));
            }
        }
        lines
    }

    fn money(&self, minor: i64) -> Value {
        json!({"minor": minor, "currency": self.currency})
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_shelf_with_sales_has_a_store_a_product_and_an_opening_stock_above_its_reorder_point() {
        let sales = Sales::bundled("2026-11-22".parse().unwrap()).unwrap();
        let company = Company::bundled().unwrap();
        let levels = company.levels(&sales);
        assert_eq!(levels.len(), 56);
        assert!(levels.values().all(|level| level.on_hand > level.reorder_point && level.reorder_point > 0.0));
        assert_eq!(company.scene(&levels).unwrap().orderpoints.len(), 56);
        assert!(company.opening.iter().all(|one| levels.contains_key(&(one.product.clone(), one.store.clone()))));
    }
}
