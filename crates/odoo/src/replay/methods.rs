//! The methods that can be called, with Odoo's manner of refusing.

use jiff::Timestamp;
use serde_json::{Value, json};

use super::{
    models::{column, columns, model},
    tables::{Fault, Row, Tables, row},
};

/// A method's signature as far as JSON-2 checks it before calling.
struct Signature {
    method: &'static str,
    /// Called on the model, so ids are refused.
    on_model: bool,
    required: &'static [&'static str],
    optional: &'static [&'static str],
}

const fn on_model(
    method: &'static str,
    required: &'static [&'static str],
    optional: &'static [&'static str],
) -> Signature {
    Signature { method, on_model: true, required, optional }
}

const fn on_records(
    method: &'static str,
    required: &'static [&'static str],
    optional: &'static [&'static str],
) -> Signature {
    Signature { method, on_model: false, required, optional }
}

const SIGNATURES: &[Signature] = &[
    on_model("context_get", &[], &[]),
    on_model("fields_get", &[], &["allfields", "attributes"]),
    on_model("search_read", &[], &["domain", "fields", "order", "limit"]),
    on_records("read", &[], &["fields"]),
    on_model("create", &["vals_list"], &[]),
    on_records("write", &["vals"], &[]),
    on_model("load", &["fields", "data"], &[]),
    on_records("message_post", &["body"], &["message_type", "subtype_xmlid", "body_is_html"]),
    on_records("unlink", &[], &[]),
    on_records("activity_schedule", &[], &["act_type_xmlid", "date_deadline", "summary", "note", "user_id"]),
];

/// The user that the one key belongs to.
pub(super) const BOT: i64 = 2;

impl Tables {
    /// Calls `model.method`; `body` is the JSON-2 body.
    pub(super) fn call(&mut self, model_name: &str, method: &str, body: &Row, now: Timestamp) -> Result<Value, Fault> {
        let not_found = |message: String| Fault::new(404, "werkzeug.exceptions.NotFound", message);
        if model(model_name).is_none() {
            return Err(not_found(format!("the model '{model_name}' does not exist")));
        }
        if method.starts_with('_') {
            let text = format!("Private methods (such as '{model_name}.{method}') cannot be called remotely.");
            return Err(Fault::new(403, "odoo.exceptions.AccessError", text));
        }
        let signature = SIGNATURES.iter().find(|known| known.method == method);
        let signature =
            signature.ok_or_else(|| not_found(format!("The method '{model_name}.{method}' does not exist")))?;
        signature.check(model_name, body)?;
        let ids: Vec<i64> =
            body.get("ids").and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_i64).collect();
        let argument = |name: &str| body.get(name).cloned().unwrap_or(Value::Null);
        match method {
            "context_get" => Ok(json!({"lang": "en_US", "tz": false, "uid": BOT})),
            "fields_get" => Ok(fields_get(model_name)),
            "search_read" => {
                let limit = argument("limit").as_u64().and_then(|n| usize::try_from(n).ok()).unwrap_or(0);
                let order = argument("order");
                let found = self.search(model_name, &argument("domain"), order.as_str().unwrap_or_default(), limit)?;
                self.read(model_name, &found, &argument("fields"))
            }
            "read" => self.read(model_name, &ids, &argument("fields")),
            "create" => self.create_all(model_name, &argument("vals_list"), now),
            "write" => self.write(model_name, &ids, &row(argument("vals")), now).map(|()| json!(true)),
            "load" => self.load(model_name, &argument("fields"), &argument("data"), now),
            "unlink" => Ok(json!(self.unlink(model_name, &ids))),
            "message_post" => self.post(model_name, &ids, body, now),
            _ => self.schedule(model_name, &ids, body, now),
        }
    }

    /// Ids that do not exist are left out: a read of a missing record is an empty success.
    fn read(&self, model_name: &str, ids: &[i64], fields: &Value) -> Result<Value, Fault> {
        let asked: Vec<&str> = match fields.as_array() {
            Some(fields) if !fields.is_empty() => fields.iter().filter_map(Value::as_str).collect(),
            _ => columns(model_name).map(|column| column.name).collect(),
        };
        if let Some(field) = asked.iter().find(|field| column(model_name, field).is_none()) {
            return Err(Fault::value(format!("Invalid field '{field}' on '{model_name}'")));
        }
        let shown = |stored: &Row| {
            let fields = asked.iter().copied().chain(["id"]);
            let cells = fields.map(|field| (field.to_owned(), self.shown(model_name, stored, field)));
            Value::Object(cells.collect())
        };
        Ok(ids.iter().filter_map(|id| self.row(model_name, *id)).map(shown).collect())
    }

    fn create_all(&mut self, model_name: &str, rows: &Value, now: Timestamp) -> Result<Value, Fault> {
        let rows = rows.as_array().cloned().unwrap_or_default();
        let ids: Result<Vec<i64>, _> =
            rows.into_iter().map(|values| self.create(model_name, &row(values), now)).collect();
        ids.map(|ids| json!(ids))
    }

    fn post(&mut self, model_name: &str, ids: &[i64], body: &Row, now: Timestamp) -> Result<Value, Fault> {
        let target = self.existing(model_name, ids)?;
        // Plain text becomes a paragraph of escaped HTML.
        let text = body.get("body").and_then(Value::as_str).unwrap_or_default();
        let text = text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;");
        let values = json!({"model": model_name, "res_id": target, "body": format!("<p>{text}</p>"),
            "message_type": body.get("message_type")});
        self.create("mail.message", &row(values), now).map(|id| json!([id]))
    }

    fn schedule(&mut self, model_name: &str, ids: &[i64], body: &Row, now: Timestamp) -> Result<Value, Fault> {
        let target = self.existing(model_name, ids)?;
        let today = now.strftime("%Y-%m-%d").to_string();
        let mut values = row(json!({"res_model": model_name, "res_id": target, "date_deadline": today}));
        let given = ["summary", "note", "date_deadline", "user_id"];
        values.extend(body.iter().filter(|(name, _)| given.contains(&&***name)).map(|(k, v)| (k.clone(), v.clone())));
        self.create("mail.activity", &values, now).map(|id| json!([id]))
    }

    fn existing(&self, model_name: &str, ids: &[i64]) -> Result<i64, Fault> {
        let id = ids.first().copied().unwrap_or_default();
        if self.row(model_name, id).is_none() { Err(Fault::missing(model_name, id)) } else { Ok(id) }
    }
}

impl Signature {
    fn check(&self, model_name: &str, body: &Row) -> Result<(), Fault> {
        let refuse = |text: String| Err(Fault::new(422, "werkzeug.exceptions.UnprocessableEntity", text));
        let method = self.method;
        let has_ids = body.get("ids").and_then(Value::as_array).is_some_and(|ids| !ids.is_empty());
        if self.on_model && has_ids {
            return refuse(format!("cannot call {model_name}.{method} with ids"));
        }
        if let Some(missing) = self.required.iter().find(|name| !body.contains_key(**name)) {
            return refuse(format!("missing a required argument: '{missing}'"));
        }
        let known = |name: &str| {
            matches!(name, "ids" | "context") || self.required.contains(&name) || self.optional.contains(&name)
        };
        match body.keys().find(|name| !known(name)) {
            None => Ok(()),
            // This one takes any keyword and stumbles over it inside.
            Some(extra) if method == "search_read" => {
                let text = format!("BaseModel._read_format() got an unexpected keyword argument '{extra}'");
                Err(Fault::new(500, "builtins.TypeError", text))
            }
            Some(extra) => refuse(format!("got an unexpected keyword argument '{extra}'")),
        }
    }
}

fn fields_get(model_name: &str) -> Value {
    let describe =
        |kind: &str, required: bool, readonly: bool| json!({"type": kind, "required": required, "readonly": readonly});
    let fields = columns(model_name).map(|column| {
        let readonly = matches!(column.name, "id" | "display_name" | "write_date");
        (column.name.to_owned(), describe(column.kind.name(), column.required, readonly))
    });
    Value::Object(fields.collect())
}
