//! `load`, as far as a transfer with its lines needs it: external ids, `.id` links, lines under their head.

use jiff::Timestamp;
use serde_json::{Value, json};

use super::{
    models::{Kind, column},
    tables::{Fault, Row, Tables, row},
};

/// The answer when another call with the same external id was first: a 200 all the same.
pub(super) fn lost_race() -> Value {
    failed("could not serialize access due to concurrent update\n")
}

fn failed(message: &str) -> Value {
    let message = json!({"rows": {"from": 0, "to": 0}, "record": 0, "type": "error", "message": message});
    json!({"ids": false, "messages": [message], "nextrow": 0})
}

impl Tables {
    /// Creates or overwrites. What is wrong with a value is reported inside the answer, and nothing is written.
    pub(super) fn load(&mut self, model: &str, fields: &Value, data: &Value, now: Timestamp) -> Result<Value, Fault> {
        let texts = |list: &Value| -> Vec<String> {
            list.as_array().into_iter().flatten().map(|cell| cell.as_str().unwrap_or_default().to_owned()).collect()
        };
        let fields = texts(fields);
        let rows: Vec<Vec<String>> = data.as_array().into_iter().flatten().map(texts).collect();
        let before = self.clone();
        match self.load_rows(model, &fields, &rows, now) {
            Ok(ids) => Ok(json!({"ids": ids, "messages": [], "nextrow": 0})),
            Err(fault) => {
                *self = before;
                match fault.name {
                    "odoo.exceptions.ValidationError" => Ok(failed(&fault.message)),
                    _ => Err(fault),
                }
            }
        }
    }

    fn load_rows(
        &mut self,
        model: &str,
        fields: &[String],
        rows: &[Vec<String>],
        now: Timestamp,
    ) -> Result<Vec<i64>, Fault> {
        let mut heads = Vec::new();
        for cells in rows {
            let (own, lines) = self.cells(model, fields, cells)?;
            if let Some((external_id, values)) = own {
                heads.push(self.upsert(model, external_id.as_deref(), &values, now)?);
            }
            let Some(&head) = heads.last() else { return Err(Fault::value("a line without a head")) };
            for (field, external_id, mut values) in lines {
                let Some(Kind::One2many(other, back)) = column(model, &field).map(|column| column.kind) else {
                    return Err(Fault::value(format!("Invalid field name '{field}'")));
                };
                values.insert(back.to_owned(), json!(head));
                self.upsert(other, external_id.as_deref(), &values, now)?;
            }
        }
        Ok(heads)
    }

    fn upsert(&mut self, model: &str, external_id: Option<&str>, values: &Row, now: Timestamp) -> Result<i64, Fault> {
        let known = external_id.and_then(|xid| self.external_ids.get(xid)).copied();
        if let Some(id) = known.filter(|id| self.row(model, *id).is_some()) {
            self.write(model, &[id], values, now)?;
            return Ok(id);
        }
        let id = self.create(model, values, now)?;
        self.external_ids.extend(external_id.map(|xid| (xid.to_owned(), id)));
        Ok(id)
    }

    /// Splits a row into the head's own values (none when all its cells are empty) and one line per x2many field.
    #[expect(clippy::type_complexity, reason = "two small tuples that live for one call")]
    fn cells(
        &self,
        model: &str,
        fields: &[String],
        cells: &[String],
    ) -> Result<(Option<(Option<String>, Row)>, Vec<(String, Option<String>, Row)>), Fault> {
        let mut own: Option<(Option<String>, Row)> = None;
        let mut lines: Vec<(String, Option<String>, Row)> = Vec::new();
        for (path, cell) in fields.iter().zip(cells).filter(|(_, cell)| !cell.is_empty()) {
            let (field, rest) = path.split_once('/').unwrap_or((path, ""));
            let (target, path, external_id, values) = match column(model, field).map(|column| column.kind) {
                Some(Kind::One2many(other, _)) => {
                    if lines.last().is_none_or(|(known, ..)| known != field) {
                        lines.push((field.to_owned(), None, Row::new()));
                    }
                    let Some((_, external_id, values)) = lines.last_mut() else { continue };
                    (other, rest, external_id, values)
                }
                _ => {
                    let (external_id, values) = own.get_or_insert_default();
                    (model, path.as_str(), external_id, values)
                }
            };
            if path == "id" {
                *external_id = Some(cell.clone());
            } else {
                values.extend(self.cell(target, path, cell)?);
            }
        }
        Ok((own, lines))
    }

    fn cell(&self, model: &str, path: &str, cell: &str) -> Result<Row, Fault> {
        let (field, by) = path.split_once('/').unwrap_or((path, ""));
        let column = column(model, field).ok_or_else(|| Fault::value(format!("Invalid field name '{field}'")))?;
        let refuse = |text: String| Fault::new(422, "odoo.exceptions.ValidationError", text);
        let value = match (column.kind, by) {
            (Kind::Many2one(other), ".id") => {
                let id = cell.parse::<i64>().ok().filter(|id| self.row(other, *id).is_some());
                let text = || format!("No matching record found for database id '{cell}' in field '{field}'");
                json!(id.ok_or_else(|| refuse(text()))?)
            }
            (Kind::Float, "") => {
                let number: Result<f64, _> = cell.parse();
                json!(number.map_err(|_| refuse(format!("'{cell}' does not seem to be a number for field '{field}'")))?)
            }
            (_, "") => json!(cell),
            _ => return Err(Fault::value(format!("Invalid field name '{path}'"))),
        };
        Ok(row(json!({ field: value })))
    }
}
