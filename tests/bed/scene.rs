//! A shop with one store that runs low and two that may give: one in the same region, one in another.

use anyhow::Result;
use chassis::prelude::Timestamp;
use jiff::ToSpan as _;
use serde_json::{Value, json};

/// Runs low. Region north.
pub const STORE: &str = "N1";
/// In the same region.
pub const DONOR_NEAR: &str = "N2";
/// In the same region too; exists where an article has some there.
pub const SECOND_STORE: &str = "N3";
/// In the region south.
pub const DONOR_ABROAD: &str = "S1";

/// Stock at which Odoo's own rule calls an article low.
const REORDER_POINT: f64 = 100.0;
const PLENTY: f64 = 400.0;
const DAYS: i64 = 60;

/// An article of the shop. Each test has its own, so that tests do not meet.
#[derive(Debug, Clone, Copy)]
pub struct Article {
    pub sku: &'static str,
    /// Policies may have rows for a category.
    pub category: &'static str,
    /// Who has some, and how much.
    pub donors: &'static [(&'static str, f64)],
}

pub(super) struct Shop(Vec<Article>);

impl Shop {
    pub(super) fn of(articles: &[Article]) -> Self {
        Self(articles.to_vec())
    }

    pub(super) fn articles(&self) -> &[Article] {
        &self.0
    }

    /// Only where an article lies there: nothing else is told of it.
    fn has_second_store(&self) -> bool {
        self.0.iter().flat_map(|article| article.donors).any(|(at, _)| *at == SECOND_STORE)
    }

    /// In a replayed Odoo, which numbers records in the order in which they are made.
    pub(super) fn replayed_id(&self, sku: &str) -> usize {
        self.0.iter().position(|article| article.sku == sku).map_or(0, |at| at + 1)
    }

    /// What stands in Odoo.
    pub(super) fn scene(&self) -> Value {
        let (mut products, mut stock, mut rules) = (Vec::new(), Vec::new(), Vec::new());
        for Article { sku, category, donors } in &self.0 {
            products.push(json!({"sku": sku, "name": name(sku), "category": category, "cost": 1.1, "price": 2.3}));
            stock.push(json!({"sku": sku, "warehouse": STORE, "on_hand": PLENTY}));
            stock.extend(donors.iter().map(|(at, units)| json!({"sku": sku, "warehouse": at, "on_hand": units})));
            rules.push(json!({"sku": sku, "warehouse": STORE, "min": REORDER_POINT, "max": PLENTY}));
        }
        let mut warehouses = vec![
            json!({"code": STORE, "name": "North 1"}),
            json!({"code": DONOR_NEAR, "name": "North 2"}),
            json!({"code": DONOR_ABROAD, "name": "South 1"}),
        ];
        if self.has_second_store() {
            warehouses.push(json!({"code": SECOND_STORE, "name": "North 3"}));
        }
        json!({"currency": "EUR", "products": products, "warehouses": warehouses, "stock": stock, "orderpoints": rules})
    }

    /// What tills and the planning system know: places, sales of two months, lead times.
    pub(super) fn observations(&self, now: Timestamp) -> Result<String> {
        let place = |id: &str, region: &str| json!({"kind": "location", "location": id, "region": region, "time_zone": "Europe/Berlin"});
        let second = self.has_second_store().then(|| place(SECOND_STORE, "north"));
        let mut lines = vec![place(STORE, "north"), place(DONOR_NEAR, "north"), place(DONOR_ABROAD, "south")];
        lines.extend(second);
        let today = now.to_zoned(jiff::tz::TimeZone::UTC).date();
        for Article { sku, donors, .. } in &self.0 {
            for back in 1..=DAYS {
                let day = today.checked_sub(back.days())?;
                let sold = |at: &str, units: f64| json!({"kind": "sales", "product": sku, "location": at, "day": day.to_string(), "units": units});
                // Saturdays sell more; no two weeks alike, none wild.
                let units = if back % 7 == 0 { 31.0 } else { 18.0 + f64::from(i32::try_from(back % 5)?) };
                lines.push(sold(STORE, units));
                lines.extend(donors.iter().map(|(at, _)| sold(at, 1.0)));
            }
            let lead = |(at, days): (usize, f64)| {
                json!({"kind": "lead_time", "product": sku, "location": STORE, "supplier": "acme", "days": days,
                    "order": format!("{sku}-P{at}")})
            };
            lines.extend([9.0, 10.0, 11.0, 10.0].into_iter().enumerate().map(lead));
        }
        Ok(lines.iter().map(|line: &Value| format!("{line}\n")).collect())
    }
}

/// People see the name, programs the SKU; here each tells the other.
fn name(sku: &str) -> String {
    format!("Article {sku}")
}
