//! Domains, in the prefix notation of Odoo, over the records in memory.

use std::cmp::Ordering;

use serde_json::Value;

use super::{
    models::{Kind, column},
    tables::{Fault, Row, Tables},
};

impl Tables {
    /// The ids that match, in order. `order` is `field [asc|desc]`, comma separated; `limit` 0 is none.
    pub(super) fn search(&self, model: &str, domain: &Value, order: &str, limit: usize) -> Result<Vec<i64>, Fault> {
        let empty = Vec::new();
        let terms = domain.as_array().unwrap_or(&empty);
        let mut found = Vec::new();
        for row in self.rows(model) {
            if self.all_match(model, row, terms)? {
                found.push(row);
            }
        }
        for key in order.split(',').rev().map(str::trim).filter(|key| !key.is_empty()) {
            let (field, direction) = key.split_once(' ').unwrap_or((key, "asc"));
            if column(model, field).is_none() {
                return Err(Fault::value(format!("Invalid field '{field}' on model '{model}'")));
            }
            found.sort_by(|a, b| {
                let by = compare(&a[field], &b[field]).unwrap_or(Ordering::Equal);
                if direction.eq_ignore_ascii_case("desc") { by.reverse() } else { by }
            });
        }
        let ids = found.into_iter().filter_map(|row| row["id"].as_i64());
        Ok(if limit == 0 { ids.collect() } else { ids.take(limit).collect() })
    }

    /// Terms without an operator between them are joined by "and".
    fn all_match(&self, model: &str, row: &Row, terms: &[Value]) -> Result<bool, Fault> {
        let mut rest = terms;
        let mut all = true;
        while !rest.is_empty() {
            let (one, after) = self.term(model, row, rest)?;
            all &= one;
            rest = after;
        }
        Ok(all)
    }

    fn term<'a>(&self, model: &str, row: &Row, terms: &'a [Value]) -> Result<(bool, &'a [Value]), Fault> {
        let Some((head, rest)) = terms.split_first() else {
            return Err(Fault::value("Domain() invalid: an operator lacks its operand"));
        };
        match head {
            Value::String(operator) if operator == "!" => {
                let (one, rest) = self.term(model, row, rest)?;
                Ok((!one, rest))
            }
            Value::String(operator) if operator == "&" || operator == "|" => {
                let (left, rest) = self.term(model, row, rest)?;
                let (right, rest) = self.term(model, row, rest)?;
                Ok((if operator == "&" { left && right } else { left || right }, rest))
            }
            Value::Array(parts) => match parts.as_slice() {
                [Value::String(field), Value::String(operator), value] => {
                    Ok((self.condition(model, row, field, operator, value)?, rest))
                }
                _ => Err(Fault::value(format!("Domain() invalid item in domain: {head}"))),
            },
            _ => Err(Fault::value(format!("Domain() invalid item in domain: {head}"))),
        }
    }

    fn condition(&self, model: &str, row: &Row, path: &str, operator: &str, value: &Value) -> Result<bool, Fault> {
        let (field, deeper) = path.split_once('.').map_or((path, None), |(field, deeper)| (field, Some(deeper)));
        let invalid =
            || Fault::value(format!("Invalid field {model}.{field} in condition ('{path}', '{operator}', {value})"));
        let column = column(model, field).ok_or_else(invalid)?;
        let stored = &row[field];
        if let Some(deeper) = deeper {
            let Kind::Many2one(other) = column.kind else { return Err(invalid()) };
            return match stored.as_i64().and_then(|id| self.row(other, id)) {
                Some(linked) => self.condition(other, linked, deeper, operator, value),
                None => Ok(false),
            };
        }
        let is_in = || value.as_array().is_some_and(|list| list.iter().any(|item| same(item, stored)));
        let by = |wanted: fn(Ordering) -> bool| compare(stored, value).is_some_and(wanted);
        let contains = || match (stored.as_str(), value.as_str()) {
            (Some(text), Some(part)) => text.to_lowercase().contains(&part.to_lowercase()),
            _ => false,
        };
        Ok(match operator {
            "=" => same(stored, value),
            "!=" => !same(stored, value),
            // Locations of a scene do not nest, so "this or below" is "this".
            "in" | "child_of" => is_in() || same(stored, value),
            "not in" => !is_in(),
            ">" => by(Ordering::is_gt),
            ">=" => by(Ordering::is_ge),
            "<" => by(Ordering::is_lt),
            "<=" => by(Ordering::is_le),
            "ilike" => contains(),
            _ => return Err(Fault::value(format!("Invalid operator in condition ('{path}', '{operator}', {value})"))),
        })
    }
}

/// 1 and 1.0 are the same number in Python.
fn same(a: &Value, b: &Value) -> bool {
    a == b || (a.is_number() && compare(a, b) == Some(Ordering::Equal))
}

fn compare(a: &Value, b: &Value) -> Option<Ordering> {
    match (a, b) {
        (Value::String(a), Value::String(b)) => Some(a.cmp(b)),
        _ => a.as_f64()?.partial_cmp(&b.as_f64()?),
    }
}
