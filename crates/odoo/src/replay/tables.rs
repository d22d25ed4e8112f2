//! The records, and what happens to them.

use std::collections::{BTreeMap, HashMap};

use jiff::Timestamp;
use serde_json::{Map, Value, json};

use super::{
    ReplayError,
    methods::BOT,
    models::{Kind, column, columns, model},
};

/// A record as stored: links are bare ids, instants have microseconds, nothing is `false`.
pub(super) type Row = Map<String, Value>;

/// An error as Odoo describes it.
#[derive(Debug)]
pub(super) struct Fault {
    pub(super) status: u16,
    pub(super) name: &'static str,
    pub(super) message: String,
}

impl Fault {
    pub(super) fn new(status: u16, name: &'static str, message: impl Into<String>) -> Self {
        Self { status, name, message: message.into() }
    }

    /// A `ValueError`: a 500, although the caller is wrong.
    pub(super) fn value(message: impl Into<String>) -> Self {
        Self::new(500, "builtins.ValueError", message)
    }

    pub(super) fn missing(model: &str, id: i64) -> Self {
        let text = format!("Record does not exist or has been deleted.\n(Record: {model}({id},), User: 2)");
        Self::new(404, "odoo.exceptions.MissingError", text)
    }
}

#[derive(Clone, Debug, Default)]
pub(super) struct Tables {
    rows: HashMap<&'static str, BTreeMap<i64, Row>>,
    pub(super) external_ids: HashMap<String, i64>,
}

impl Tables {
    pub(super) fn rows(&self, model_name: &str) -> impl Iterator<Item = &Row> {
        self.rows.get(model_name).into_iter().flat_map(BTreeMap::values)
    }

    pub(super) fn row(&self, model_name: &str, id: i64) -> Option<&Row> {
        self.rows.get(model_name)?.get(&id)
    }

    /// Adds a record; what is not given is `false`.
    ///
    /// # Errors
    /// A `ValueError` for an unknown field or a bad selection, a `ValidationError` for a missing required field.
    pub(super) fn create(&mut self, model_name: &str, values: &Row, now: Timestamp) -> Result<i64, Fault> {
        let unknown =
            || Fault::new(404, "werkzeug.exceptions.NotFound", format!("the model '{model_name}' does not exist"));
        let (name, own) = model(model_name).ok_or_else(unknown)?;
        check_values(name, values)?;
        let mut row: Row = columns(name).map(|column| (column.name.to_owned(), Value::Bool(false))).collect();
        row.extend(defaults(name, now).into_iter().chain(values.clone()));
        if let Some(missing) = own.iter().find(|column| column.required && row[column.name] == Value::Bool(false)) {
            let text = format!("Missing required value for the field '{0}' ({0}).\nModel: '{name}'", missing.name);
            return Err(Fault::new(422, "odoo.exceptions.ValidationError", text));
        }
        let id = self.rows.get(name).and_then(BTreeMap::last_key_value).map_or(1, |(last, _)| last + 1);
        if name == "stock.picking" {
            row.insert("name".into(), json!(self.picking_name(id, &row)));
        }
        row.extend([("id".into(), json!(id)), ("write_date".into(), json!(micros(now)))]);
        row.insert("write_uid".into(), json!(BOT));
        self.rows.entry(name).or_default().insert(id, row);
        Ok(id)
    }

    pub(super) fn unlink(&mut self, model_name: &str, ids: &[i64]) -> bool {
        let table = self.rows.get_mut(model_name);
        table.is_some_and(|table| ids.iter().all(|id| table.remove(id).is_some()))
    }

    /// `WH/INT/00007`: warehouse, kind, number.
    fn picking_name(&self, id: i64, picking: &Row) -> String {
        let kind = picking["picking_type_id"].as_i64().and_then(|id| self.row("stock.picking.type", id));
        let short = if kind.is_some_and(|kind| kind["code"] == "incoming") { "IN" } else { "INT" };
        let warehouse = kind.and_then(|kind| self.row("stock.warehouse", kind["warehouse_id"].as_i64()?));
        let code = warehouse.and_then(|warehouse| warehouse["code"].as_str()).unwrap_or("WH");
        format!("{code}/{short}/{id:05}")
    }

    /// # Errors
    /// A `MissingError` for the first id that does not exist; then nothing is written.
    pub(super) fn write(&mut self, model_name: &str, ids: &[i64], values: &Row, now: Timestamp) -> Result<(), Fault> {
        check_values(model_name, values)?;
        if let Some(&missing) = ids.iter().find(|id| self.row(model_name, **id).is_none()) {
            return Err(Fault::missing(model_name, missing));
        }
        let mut stamped = values.clone();
        stamped.insert("write_date".into(), json!(micros(now)));
        stamped.entry("write_uid").or_insert(json!(BOT));
        let table = self.rows.get_mut(model_name).into_iter().flat_map(BTreeMap::iter_mut);
        for (_, row) in table.filter(|(id, _)| ids.contains(id)) {
            row.extend(stamped.clone());
        }
        Ok(())
    }

    /// A field as the API shows it: links with their names, instants cut to seconds, lines as ids.
    pub(super) fn shown(&self, model_name: &str, row: &Row, field: &str) -> Value {
        let stored = || row.get(field).cloned().unwrap_or(Value::Bool(false));
        match column(model_name, field).map(|column| column.kind) {
            Some(Kind::Many2one(other)) => match stored().as_i64() {
                Some(id) => json!([id, self.display_name(other, id)]),
                None => Value::Bool(false),
            },
            Some(Kind::One2many(other, back)) => {
                let owner = &row["id"];
                self.rows(other).filter(|line| line.get(back) == Some(owner)).map(|line| line["id"].clone()).collect()
            }
            Some(Kind::Datetime) => stored().as_str().map_or(Value::Bool(false), |text| json!(text.get(..19))),
            _ if field == "display_name" => {
                json!(self.display_name(model_name, row["id"].as_i64().unwrap_or_default()))
            }
            // There is one unit, so that in the line's unit is that in the product's.
            _ if field == "product_qty" => row.get("product_uom_qty").cloned().unwrap_or_default(),
            _ => stored(),
        }
    }

    fn display_name(&self, model_name: &str, id: i64) -> String {
        let Some(row) = self.row(model_name, id) else { return String::new() };
        let text = |field: &str| row.get(field).and_then(Value::as_str);
        match (model_name, text("default_code"), text("complete_name").or(text("name"))) {
            ("product.product", Some(sku), Some(name)) => format!("[{sku}] {name}"),
            (_, _, name) => name.or(text("login")).unwrap_or_default().to_owned(),
        }
    }

    /// The id of the first record with this value.
    pub(super) fn id_by(&self, model_name: &str, field: &str, value: &str) -> Option<i64> {
        self.rows(model_name).find(|row| row[field] == value)?["id"].as_i64()
    }

    /// Counts stock, and answers with the body of each post that a rule on quantity and reserved quantity would send.
    ///
    /// A decrease is a move out: Odoo reserves the difference, releases it and takes it, in one transaction, and each
    /// step is a post with the same `write_date`. An increase is one step. Equal is none.
    pub(super) fn count(
        &mut self,
        sku: &str,
        warehouse: &str,
        on_hand: f64,
        now: Timestamp,
    ) -> Result<Vec<Row>, ReplayError> {
        let unknown = |what, name: &str| ReplayError::Unknown { what, name: name.to_owned() };
        let product = self.id_by("product.product", "default_code", sku).ok_or_else(|| unknown("product", sku))?;
        let home = self.stock_location(warehouse).ok_or_else(|| unknown("warehouse", warehouse))?;
        let found = self.rows("stock.quant").find(|row| row["product_id"] == product && row["location_id"] == home);
        let (id, before, reserved) = match found {
            Some(row) => (row["id"].as_i64(), number(row, "quantity"), number(row, "reserved_quantity")),
            None => (None, 0.0, 0.0),
        };
        let steps = match on_hand - before {
            d if d < 0.0 => vec![(before, reserved - d), (before, reserved), (on_hand, reserved)],
            d if d > 0.0 => vec![(on_hand, reserved)],
            _ => return Ok(Vec::new()),
        };
        let id = match id {
            Some(id) => id,
            None => {
                let empty =
                    row(json!({"product_id": product, "location_id": home, "quantity": 0.0, "reserved_quantity": 0.0}));
                self.create("stock.quant", &empty, now).map_err(|fault| unknown("field", &fault.message))?
            }
        };
        let written = row(json!({"quantity": on_hand}));
        self.write("stock.quant", &[id], &written, now).map_err(|fault| unknown("quant", &fault.message))?;
        let body = |(quantity, reserved): (f64, f64)| {
            row(json!({"_id": id, "_model": "stock.quant", "id": id, "location_id": home, "product_id": product,
                "quantity": quantity, "reserved_quantity": reserved, "write_date": micros(now)}))
        };
        Ok(steps.into_iter().map(body).collect())
    }

    pub(super) fn stock_location(&self, warehouse: &str) -> Option<i64> {
        let id = self.id_by("stock.warehouse", "code", warehouse)?;
        self.row("stock.warehouse", id)?["lot_stock_id"].as_i64()
    }

    pub(super) fn pickings(&self) -> Vec<Row> {
        let with_lines = |picking: &Row| {
            let mut picking = picking.clone();
            let lines = self.rows("stock.move").filter(|line| line["picking_id"] == picking["id"]);
            let lines: Vec<Value> = lines.cloned().map(Value::Object).collect();
            picking.insert("moves".into(), lines.into());
            picking
        };
        self.rows("stock.picking").map(with_lines).collect()
    }
}

/// The map inside a literal object.
pub(super) fn row(object: Value) -> Row {
    crate::client::named(object)
}

pub(super) fn number(row: &Row, field: &str) -> f64 {
    row.get(field).and_then(Value::as_f64).unwrap_or_default()
}

/// As PostgreSQL holds it and as webhooks show it.
pub(super) fn micros(at: Timestamp) -> String {
    at.strftime("%Y-%m-%d %H:%M:%S.%6f").to_string()
}

fn check_values(model_name: &str, values: &Row) -> Result<(), Fault> {
    for (field, value) in values {
        let Some(column) = column(model_name, field) else {
            return Err(Fault::value(format!("Invalid field '{field}' in '{model_name}'")));
        };
        if let Kind::Selection(allowed) = column.kind
            && value.as_str().is_some_and(|text| !allowed.contains(&text))
        {
            return Err(Fault::value(format!(
                "Wrong value for {model_name}.{field}: '{}'",
                value.as_str().unwrap_or_default()
            )));
        }
    }
    Ok(())
}

/// What Odoo fills in by itself.
fn defaults(model_name: &str, now: Timestamp) -> Row {
    row(match model_name {
        "stock.picking" => json!({"state": "draft"}),
        "stock.move" => json!({"state": "draft", "date": micros(now)}),
        "stock.quant" => json!({"quantity": 0.0, "reserved_quantity": 0.0}),
        "product.supplierinfo" => json!({"sequence": 1}),
        "mail.activity" => json!({"active": true}),
        _ => json!({}),
    })
}
