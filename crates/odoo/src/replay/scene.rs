use jiff::Timestamp;
use serde::Deserialize;
use serde_json::{Value, json};

use super::{
    ReplayError,
    tables::{Fault, Row, Tables, micros, row},
};

/// What the replayed Odoo holds at start. Records are named by SKU and warehouse code; Odoo's ids follow the order.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Scene {
    /// ISO 4217 code of the company's currency; `USD` when empty, as in a fresh Odoo.
    pub currency: String,
    pub products: Vec<ProductSeed>,
    pub warehouses: Vec<WarehouseSeed>,
    pub stock: Vec<StockSeed>,
    pub orderpoints: Vec<OrderpointSeed>,
    pub suppliers: Vec<SupplierSeed>,
    pub receipts: Vec<ReceiptSeed>,
    /// Logins of people beside the client's own user; the first has the id 3.
    pub users: Vec<String>,
}

#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ProductSeed {
    pub sku: String,
    pub name: String,
    #[serde(default)]
    pub category: Option<String>,
    /// Per unit.
    pub cost: f64,
    pub price: f64,
}

#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WarehouseSeed {
    pub code: String,
    pub name: String,
}

#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StockSeed {
    pub sku: String,
    pub warehouse: String,
    pub on_hand: f64,
    #[serde(default)]
    pub reserved: f64,
}

#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OrderpointSeed {
    pub sku: String,
    pub warehouse: String,
    pub min: f64,
    pub max: f64,
}

#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SupplierSeed {
    pub sku: String,
    pub name: String,
    pub lead_days: i64,
    pub price: f64,
    pub min_qty: f64,
}

/// A confirmed receipt on its way from a supplier.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ReceiptSeed {
    pub sku: String,
    pub warehouse: String,
    pub quantity: f64,
    pub due: Timestamp,
    /// Name of the purchase order.
    pub origin: String,
}

/// Fills the tables in an order that always finds what it refers to.
struct Seeding {
    tables: Tables,
    now: Timestamp,
    vendors: i64,
    unit: i64,
    currency: i64,
}

impl Scene {
    pub(super) fn tables(&self, now: Timestamp) -> Result<Tables, ReplayError> {
        let mut seeding = Seeding { tables: Tables::default(), now, vendors: 0, unit: 0, currency: 0 };
        seeding.company(if self.currency.is_empty() { "USD" } else { &self.currency })?;
        self.users.iter().try_for_each(|login| seeding.add("res.users", json!({"login": login})).map(drop))?;
        self.warehouses.iter().try_for_each(|seed| seeding.warehouse(seed))?;
        self.products.iter().try_for_each(|seed| seeding.product(seed))?;
        self.stock.iter().try_for_each(|seed| seeding.stock(seed))?;
        self.orderpoints.iter().try_for_each(|seed| seeding.orderpoint(seed))?;
        self.suppliers.iter().try_for_each(|seed| seeding.supplier(seed))?;
        self.receipts.iter().try_for_each(|seed| seeding.receipt(seed))?;
        Ok(seeding.tables)
    }
}

impl Seeding {
    fn add(&mut self, model: &str, values: Value) -> Result<i64, ReplayError> {
        self.tables.create(model, &row(values), self.now).map_err(|fault| refused(model, fault))
    }

    fn named(&mut self, model: &str, name: &str) -> Result<i64, ReplayError> {
        match self.tables.id_by(model, "name", name) {
            Some(id) => Ok(id),
            None => self.add(model, json!({"name": name})),
        }
    }

    fn product_id(&self, sku: &str) -> Result<i64, ReplayError> {
        let found = self.tables.id_by("product.product", "default_code", sku);
        found.ok_or_else(|| ReplayError::Unknown { what: "product", name: sku.to_owned() })
    }

    fn home(&self, warehouse: &str) -> Result<i64, ReplayError> {
        let found = self.tables.stock_location(warehouse);
        found.ok_or_else(|| ReplayError::Unknown { what: "warehouse", name: warehouse.to_owned() })
    }

    fn company(&mut self, currency: &str) -> Result<(), ReplayError> {
        self.currency = self.named("res.currency", currency)?;
        self.unit = self.named("uom.uom", "Units")?;
        self.add("res.company", json!({"name": "My Company", "currency_id": self.currency}))?;
        self.add("res.users", json!({"login": "__system__"}))?;
        self.add("res.users", json!({"login": "steward-bot"}))?;
        self.vendors = self.add("stock.location", json!({"complete_name": "Vendors", "usage": "supplier"}))?;
        Ok(())
    }

    fn warehouse(&mut self, seed: &WarehouseSeed) -> Result<(), ReplayError> {
        let WarehouseSeed { code, name } = seed;
        let home =
            self.add("stock.location", json!({"complete_name": format!("{code}/Stock"), "usage": "internal"}))?;
        let id = self.add("stock.warehouse", json!({"code": code, "name": name, "lot_stock_id": home}))?;
        let link = row(json!({"warehouse_id": id}));
        let linked = self.tables.write("stock.location", &[home], &link, self.now);
        linked.map_err(|fault| refused("stock.location", fault))?;
        let operation =
            |label: &str, code: &str| json!({"name": format!("{name}: {label}"), "code": code, "warehouse_id": id});
        self.add("stock.picking.type", operation("Receipts", "incoming"))?;
        let internal = self.add("stock.picking.type", operation("Internal Transfers", "internal"))?;
        let linked = self.tables.write("stock.warehouse", &[id], &row(json!({"int_type_id": internal})), self.now);
        linked.map_err(|fault| refused("stock.warehouse", fault))?;
        Ok(())
    }

    fn product(&mut self, seed: &ProductSeed) -> Result<(), ReplayError> {
        let template = self.add("product.template", json!({"name": seed.name}))?;
        let category = match &seed.category {
            Some(name) => json!(self.named("product.category", name)?),
            None => json!(false),
        };
        let values = json!({"default_code": seed.sku, "name": seed.name, "categ_id": category, "standard_price": seed.cost,
            "list_price": seed.price, "product_tmpl_id": template, "uom_id": self.unit});
        self.add("product.product", values).map(drop)
    }

    fn stock(&mut self, seed: &StockSeed) -> Result<(), ReplayError> {
        let values = json!({"product_id": self.product_id(&seed.sku)?, "location_id": self.home(&seed.warehouse)?,
            "quantity": seed.on_hand, "reserved_quantity": seed.reserved});
        self.add("stock.quant", values).map(drop)
    }

    fn orderpoint(&mut self, seed: &OrderpointSeed) -> Result<(), ReplayError> {
        let values = json!({"product_id": self.product_id(&seed.sku)?, "location_id": self.home(&seed.warehouse)?,
            "product_min_qty": seed.min, "product_max_qty": seed.max});
        self.add("stock.warehouse.orderpoint", values).map(drop)
    }

    fn supplier(&mut self, seed: &SupplierSeed) -> Result<(), ReplayError> {
        let product = self.product_id(&seed.sku)?;
        let partner = self.named("res.partner", &seed.name)?;
        let template = self.tables.row("product.product", product).map(|row| row["product_tmpl_id"].clone());
        let values = json!({"partner_id": partner, "product_id": product, "product_tmpl_id": template, "delay": seed.lead_days,
            "price": seed.price, "min_qty": seed.min_qty, "currency_id": self.currency});
        self.add("product.supplierinfo", values).map(drop)
    }

    fn receipt(&mut self, seed: &ReceiptSeed) -> Result<(), ReplayError> {
        let (product, home) = (self.product_id(&seed.sku)?, self.home(&seed.warehouse)?);
        let warehouse = self.tables.id_by("stock.warehouse", "code", &seed.warehouse);
        let arrives = |kind: &&Row| kind["code"] == "incoming" && kind["warehouse_id"].as_i64() == warehouse;
        let kind = self.tables.rows("stock.picking.type").find(arrives).map(|kind| kind["id"].clone());
        let route =
            json!({"location_id": self.vendors, "location_dest_id": home, "origin": seed.origin, "state": "assigned"});
        let mut picking = row(route.clone());
        picking.insert("picking_type_id".into(), json!(kind));
        let picking = self.add("stock.picking", Value::Object(picking))?;
        let mut line = row(route);
        line.extend(row(json!({"picking_id": picking, "product_id": product, "product_uom_qty": seed.quantity,
            "product_uom": self.unit, "date": micros(seed.due), "date_deadline": micros(seed.due)})));
        self.add("stock.move", Value::Object(line)).map(drop)
    }
}

fn refused(model: &str, fault: Fault) -> ReplayError {
    ReplayError::Unknown { what: "valid record for", name: format!("{model}: {}", fault.message) }
}
