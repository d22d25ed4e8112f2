//! Stock and what is known around it, read as types. An empty slice of ids means "all".

use std::time::Duration;

use jiff::{SignedDuration, Timestamp, civil::Date};
use serde::Deserialize;

use crate::{
    Client, Domain, Error, Record, Ref, Version,
    value::{datetime, falsy, format_datetime, optional_datetime},
};

/// Stock of one product at one location (and one lot and package, where these are tracked, so there can be several).
#[derive(Clone, Debug, PartialEq, Deserialize)]
pub struct Quant {
    pub id: i64,
    #[serde(rename = "product_id")]
    pub product: Ref,
    #[serde(rename = "location_id")]
    pub location: Ref,
    /// On hand, in the product's unit.
    pub quantity: f64,
    /// Part of it that is promised to moves.
    pub reserved_quantity: f64,
    /// Cut to the second by the API.
    #[serde(deserialize_with = "datetime")]
    pub write_date: Timestamp,
}

impl Record for Quant {
    const MODEL: &'static str = "stock.quant";
    const FIELDS: &'static [&'static str] =
        &["id", "product_id", "location_id", "quantity", "reserved_quantity", "write_date"];
}

/// A product variant.
#[derive(Clone, Debug, PartialEq, Deserialize)]
pub struct Product {
    pub id: i64,
    /// Internal reference.
    #[serde(rename = "default_code", deserialize_with = "falsy")]
    pub sku: Option<String>,
    pub name: String,
    #[serde(rename = "categ_id", deserialize_with = "falsy")]
    pub category: Option<Ref>,
    /// Cost per unit in the company's currency.
    pub standard_price: f64,
    /// Sales price per unit in the company's currency.
    pub list_price: f64,
    #[serde(rename = "product_tmpl_id")]
    pub template: Ref,
    #[serde(rename = "uom_id")]
    pub unit: Ref,
}

impl Record for Product {
    const MODEL: &'static str = "product.product";
    const FIELDS: &'static [&'static str] =
        &["id", "default_code", "name", "categ_id", "standard_price", "list_price", "product_tmpl_id", "uom_id"];
}

/// A warehouse or store.
#[derive(Clone, Debug, PartialEq, Deserialize)]
pub struct Warehouse {
    pub id: i64,
    /// Short name, at most five characters in Odoo.
    pub code: String,
    pub name: String,
    /// Root of the locations that hold its stock.
    #[serde(rename = "lot_stock_id")]
    pub stock_location: Ref,
}

impl Record for Warehouse {
    const MODEL: &'static str = "stock.warehouse";
    const FIELDS: &'static [&'static str] = &["id", "code", "name", "lot_stock_id"];
}

/// A place inside a warehouse; quants may lie below its stock location and beside it.
#[derive(Clone, Debug, PartialEq, Deserialize)]
pub struct Location {
    pub id: i64,
    pub complete_name: String,
    #[serde(rename = "warehouse_id", deserialize_with = "falsy")]
    pub warehouse: Option<Ref>,
    /// Ids from the root to this one, as `1/7/8/`.
    #[serde(deserialize_with = "falsy")]
    pub parent_path: Option<String>,
}

impl Location {
    /// Whether it is that location or lies below it.
    #[must_use]
    pub fn lies_in(&self, ancestor: i64) -> bool {
        let above = self.parent_path.as_deref().unwrap_or_default().split('/');
        self.id == ancestor || above.filter_map(|id| id.parse().ok()).any(|id: i64| id == ancestor)
    }
}

impl Record for Location {
    const MODEL: &'static str = "stock.location";
    const FIELDS: &'static [&'static str] = &["id", "complete_name", "warehouse_id", "parent_path"];
}

/// Minimum and maximum that Odoo's own replenishment keeps.
#[derive(Clone, Debug, PartialEq, Deserialize)]
pub struct Orderpoint {
    pub id: i64,
    #[serde(rename = "product_id")]
    pub product: Ref,
    #[serde(rename = "location_id")]
    pub location: Ref,
    #[serde(rename = "product_min_qty")]
    pub min: f64,
    #[serde(rename = "product_max_qty")]
    pub max: f64,
}

impl Record for Orderpoint {
    const MODEL: &'static str = "stock.warehouse.orderpoint";
    const FIELDS: &'static [&'static str] = &["id", "product_id", "location_id", "product_min_qty", "product_max_qty"];
}

/// A line of a transfer, receipt or delivery.
#[derive(Clone, Debug, PartialEq, Deserialize)]
pub struct Move {
    pub id: i64,
    #[serde(rename = "product_id")]
    pub product: Ref,
    /// What is asked for, in the line's unit.
    #[serde(rename = "product_uom_qty")]
    pub quantity: f64,
    #[serde(rename = "product_uom")]
    pub unit: Ref,
    /// The same in the product's unit, which is what stock is counted in.
    #[serde(rename = "product_qty")]
    pub product_quantity: f64,
    /// `draft`, `waiting`, `confirmed`, `partially_available`, `assigned`, `done`, `cancel`.
    pub state: String,
    /// When it is planned.
    #[serde(deserialize_with = "datetime")]
    pub date: Timestamp,
    /// The promise that it belongs to. Stays when the plan moves.
    #[serde(deserialize_with = "optional_datetime")]
    pub date_deadline: Option<Timestamp>,
    /// Purchase order or other cause.
    #[serde(deserialize_with = "falsy")]
    pub origin: Option<String>,
    #[serde(rename = "location_id")]
    pub source: Ref,
    #[serde(rename = "location_dest_id")]
    pub destination: Ref,
    #[serde(rename = "picking_id", deserialize_with = "falsy")]
    pub picking: Option<Ref>,
    /// Cut to the second by the API.
    #[serde(deserialize_with = "datetime")]
    pub write_date: Timestamp,
}

impl Record for Move {
    const MODEL: &'static str = "stock.move";
    const FIELDS: &'static [&'static str] = &[
        "id",
        "product_id",
        "product_uom_qty",
        "product_uom",
        "product_qty",
        "state",
        "date",
        "date_deadline",
        "origin",
        "location_id",
        "location_dest_id",
        "picking_id",
        "write_date",
    ];
}

/// A supplier's offer for a product.
#[derive(Clone, Debug, PartialEq, Deserialize)]
pub struct SupplierOffer {
    pub id: i64,
    #[serde(rename = "partner_id")]
    pub supplier: Ref,
    #[serde(rename = "product_tmpl_id", deserialize_with = "falsy")]
    pub template: Option<Ref>,
    /// Set when the offer is for one variant only.
    #[serde(rename = "product_id", deserialize_with = "falsy")]
    pub product: Option<Ref>,
    /// Promised lead time in days.
    #[serde(rename = "delay")]
    pub lead_days: i64,
    pub price: f64,
    pub min_qty: f64,
    #[serde(rename = "currency_id")]
    pub currency: Ref,
    /// Preference; the smallest is first.
    pub sequence: i64,
    /// First day on which it counts.
    #[serde(rename = "date_start", deserialize_with = "falsy")]
    pub from: Option<Date>,
    /// Last day on which it counts.
    #[serde(rename = "date_end", deserialize_with = "falsy")]
    pub until: Option<Date>,
}

impl SupplierOffer {
    /// Whether it counts for this variant on that day.
    #[must_use]
    pub fn holds(&self, product: &Product, day: Date) -> bool {
        self.template.as_ref().is_none_or(|template| template.id == product.template.id)
            && self.product.as_ref().is_none_or(|variant| variant.id == product.id)
            && self.from.is_none_or(|from| from <= day)
            && self.until.is_none_or(|until| day <= until)
    }
}

impl Record for SupplierOffer {
    const MODEL: &'static str = "product.supplierinfo";
    const FIELDS: &'static [&'static str] = &[
        "id",
        "partner_id",
        "product_tmpl_id",
        "product_id",
        "delay",
        "price",
        "min_qty",
        "currency_id",
        "sequence",
        "date_start",
        "date_end",
    ];
}

/// A company; its currency is the one of costs and prices.
#[derive(Clone, Debug, PartialEq, Deserialize)]
pub struct Company {
    pub id: i64,
    pub name: String,
    /// Named by its ISO 4217 code.
    #[serde(rename = "currency_id")]
    pub currency: Ref,
}

impl Record for Company {
    const MODEL: &'static str = "res.company";
    const FIELDS: &'static [&'static str] = &["id", "name", "currency_id"];
}

impl Client {
    /// Quants of internal locations, restricted to these products and warehouses. The dock and the packing place of a
    /// warehouse hold its stock as the shelves do, as in Odoo's own "on hand".
    ///
    /// # Errors
    /// As [`Client::find`]; so for every verb here.
    pub async fn read_quants(&self, products: &[i64], warehouses: &[i64]) -> Result<Vec<Quant>, Error> {
        let quants = internal_quants().and_ids("product_id", "in", products);
        self.find(&quants.and_ids("location_id.warehouse_id", "in", warehouses)).await
    }

    /// One quant, at any location; `None` when it is gone. Odoo deletes quants that have been empty for a while.
    pub async fn read_quant(&self, id: i64) -> Result<Option<Quant>, Error> {
        Ok(self.get(&[id]).await?.pop())
    }

    /// Quants of internal locations written at or after `since` less `overlap`.
    ///
    /// The API cuts `write_date` to seconds and a long transaction commits after the time it wrote, so the overlap
    /// must cover the longest transaction; what comes twice is recognised by its content. A quant that Odoo deleted
    /// is not found by any sweep: only a full [`Client::read_quants`] shows that.
    pub async fn changed_quants(&self, since: Timestamp, overlap: Duration) -> Result<Vec<Quant>, Error> {
        self.find(&written(internal_quants(), since, overlap)).await
    }

    /// Products by id.
    pub async fn products(&self, ids: &[i64]) -> Result<Vec<Product>, Error> {
        self.find(&Domain::all().and_ids("id", "in", ids)).await
    }

    /// Products by SKU. Odoo does not make it unique: several may answer to one.
    pub async fn products_by_sku(&self, skus: &[&str]) -> Result<Vec<Product>, Error> {
        self.find(&Domain::all().and("default_code", "in", skus.to_vec())).await
    }

    pub async fn warehouses(&self) -> Result<Vec<Warehouse>, Error> {
        self.find(&Domain::all()).await
    }

    /// All internal locations, to find the warehouse of a quant or move.
    pub async fn internal_locations(&self) -> Result<Vec<Location>, Error> {
        self.find(&Domain::all().and("usage", "=", "internal")).await
    }

    pub async fn orderpoints(&self, products: &[i64], locations: &[i64]) -> Result<Vec<Orderpoint>, Error> {
        self.find(&Domain::all().and_ids("product_id", "in", products).and_ids("location_id", "in", locations)).await
    }

    /// Confirmed moves, not yet done, into these warehouses: purchases, transfers, and moves between two places of one
    /// warehouse too, so compare source and destination. Every place of a warehouse counts as its destination: what is
    /// received in several steps first comes to lie outside of the stock location.
    pub async fn incoming_moves(&self, products: &[i64], warehouses: &[i64]) -> Result<Vec<Move>, Error> {
        let open = moves_inward().and("state", "in", vec!["waiting", "confirmed", "partially_available", "assigned"]);
        let open = open.and_ids("product_id", "in", products);
        self.find(&open.and_ids("location_dest_id.warehouse_id", "in", warehouses)).await
    }

    /// Moves to internal locations written at or after `since` less `overlap`, whatever their state: a receipt that is
    /// cancelled touches no quant. The overlap is as for [`Client::changed_quants`].
    pub async fn changed_moves(&self, since: Timestamp, overlap: Duration) -> Result<Vec<Move>, Error> {
        self.find(&written(moves_inward(), since, overlap)).await
    }

    /// When the goods of an open move are expected. Until 19.0 a postponed purchase line moves only the deadline and a
    /// postponed receipt only the plan, so the later of both counts; from 19.1 on the plan follows the purchase
    /// (odoo/odoo#221380).
    #[must_use]
    pub fn expected(&self, line: &Move) -> Timestamp {
        match line.date_deadline {
            Some(deadline) if self.version() < Version::PLAN_FOLLOWS => line.date.max(deadline),
            _ => line.date,
        }
    }

    /// Offers for these product templates ([`Product::template`]), by id; Odoo prefers the smallest `sequence`.
    pub async fn supplier_offers(&self, templates: &[i64]) -> Result<Vec<SupplierOffer>, Error> {
        self.find(&Domain::all().and_ids("product_tmpl_id", "in", templates)).await
    }

    /// The companies that the user belongs to.
    pub async fn companies(&self) -> Result<Vec<Company>, Error> {
        self.find(&Domain::all()).await
    }
}

fn moves_inward() -> Domain {
    Domain::all().and("location_dest_id.usage", "=", "internal")
}

fn written(what: Domain, since: Timestamp, overlap: Duration) -> Domain {
    let back = SignedDuration::try_from(overlap).unwrap_or(SignedDuration::MAX);
    let from = since.checked_sub(back).unwrap_or(Timestamp::UNIX_EPOCH);
    what.and("write_date", ">=", format_datetime(from))
}

/// Negative quants at vendors and adjustments mirror every receipt; they are bookkeeping, not stock.
fn internal_quants() -> Domain {
    Domain::all().and("location_id.usage", "=", "internal")
}
