use std::{collections::HashMap, sync::Arc};

use serde::{Deserialize, de::DeserializeOwned};
use serde_json::{Map, Value, json};
use tokio::sync::Mutex;

use crate::{
    Domain, Error, OdooConfig, Schema, TransportChoice, Version,
    wire::{Call, Http, Json2, JsonRpc, Wire},
};

/// Records fetched per call when everything is wanted.
const PAGE: usize = 500;

/// A connection to one database as one user. Clones share the schema cache and the call rate.
#[derive(Clone, Debug)]
pub struct Client {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    wire: Wire,
    version: Version,
    uid: i64,
    schemas: Mutex<HashMap<String, Arc<Schema>>>,
}

/// A model as a Rust type: which fields to ask for and how to read them.
pub trait Record: DeserializeOwned {
    /// Odoo's name of the model.
    const MODEL: &'static str;
    /// Asked for in every read; all must exist, or the read fails closed with [`Error::Schema`].
    const FIELDS: &'static [&'static str];
}

/// A table for [`Client::load`]: import paths (`move_ids/product_id/.id`) and rows of texts.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LoadRows {
    pub fields: Vec<String>,
    pub rows: Vec<Vec<String>>,
}

impl Client {
    /// Finds the version, chooses the transport, signs in.
    ///
    /// # Errors
    /// [`Error::Config`] for a configuration that cannot work with this server, [`Error::Unauthorized`] for a bad key, and whatever a
    /// call can give.
    pub async fn connect(config: OdooConfig) -> Result<Self, Error> {
        let http = Arc::new(Http::new(&config)?);
        let version = Version::detect(&http).await?;
        if version < Version::OLDEST {
            return Err(Error::Config(format!("Odoo {version} is older than {}", Version::OLDEST)));
        }
        if config.transport == TransportChoice::Json2 && version < Version::JSON2 {
            return Err(Error::Config(format!("Odoo {version} has no JSON-2, it came with {}", Version::JSON2)));
        }
        let json2 = match config.transport {
            TransportChoice::Auto => version >= Version::JSON2,
            TransportChoice::Json2 => true,
            TransportChoice::JsonRpc => false,
        };
        let (wire, uid) = if json2 {
            let (wire, uid) = Json2::sign_in(http, config.database, config.api_key).await?;
            (Wire::Json2(wire), uid)
        } else {
            let login =
                config.login.ok_or_else(|| Error::Config(format!("Odoo {version} needs a login (JSON-RPC)")))?;
            let (wire, uid) = JsonRpc::sign_in(http, config.database, &login, config.api_key).await?;
            (Wire::JsonRpc(wire), uid)
        };
        tracing::info!(%version, json2, uid, "connected to Odoo");
        Ok(Self { shared: Arc::new(Shared { wire, version, uid, schemas: Mutex::default() }) })
    }

    #[must_use]
    pub fn version(&self) -> Version {
        self.shared.version
    }

    /// Odoo's id of the user behind the key.
    #[must_use]
    pub fn uid(&self) -> i64 {
        self.shared.uid
    }

    /// Any public method. `ids` is `None` for methods of the model itself (`search_read`, `create`, ...), which refuse
    /// ids; arguments go by name, and `context` is one of them.
    ///
    /// # Errors
    /// As Odoo answers; see [`Error`].
    pub async fn call(
        &self,
        model: &str,
        method: &str,
        ids: Option<&[i64]>,
        args: Map<String, Value>,
    ) -> Result<Value, Error> {
        let answer = self.shared.wire.call(Call { model, method, ids, args }).await;
        match &answer {
            Ok(_) => tracing::debug!(model, method, "called Odoo"),
            Err(error) => tracing::debug!(model, method, %error, retryable = error.is_retryable(), "Odoo call failed"),
        }
        answer
    }

    /// Rows that match, as Odoo writes them. `limit` 0 is no limit, as in Odoo.
    ///
    /// # Errors
    /// As [`Client::call`].
    pub async fn search_read(
        &self,
        model: &str,
        domain: &Domain,
        fields: &[&str],
        order: &str,
        limit: usize,
    ) -> Result<Vec<Map<String, Value>>, Error> {
        let args = named(json!({"domain": domain, "fields": fields, "order": order, "limit": limit}));
        parsed(model, "search_read", self.call(model, "search_read", None, args).await?)
    }

    /// The rows with these ids. **Missing ids are left out without an error.**
    ///
    /// # Errors
    /// As [`Client::call`].
    pub async fn read(&self, model: &str, ids: &[i64], fields: &[&str]) -> Result<Vec<Map<String, Value>>, Error> {
        let answer = self.call(model, "read", Some(ids), named(json!({"fields": fields}))).await?;
        parsed(model, "read", answer)
    }

    /// Creates one record per element and answers with their ids. Not idempotent; see [`Client::load`].
    ///
    /// # Errors
    /// As [`Client::call`].
    pub async fn create(&self, model: &str, rows: Vec<Map<String, Value>>) -> Result<Vec<i64>, Error> {
        let answer = self.call(model, "create", None, named(json!({"vals_list": rows}))).await?;
        record_ids(model, "create", &answer)
    }

    /// Writes the same values on all records. The last writer wins: Odoo has no compare-and-set.
    ///
    /// # Errors
    /// As [`Client::call`].
    pub async fn write(&self, model: &str, ids: &[i64], values: Map<String, Value>) -> Result<(), Error> {
        self.call(model, "write", Some(ids), named(json!({"vals": values}))).await.map(drop)
    }

    /// Creates or **overwrites** records by external id (column `id`), in one transaction: the idempotent create of
    /// Odoo. Repeating it rewrites all fields, also those that a person has changed since, so look first.
    ///
    /// # Errors
    /// As [`Client::call`]; and failures that Odoo reports inside a 200: [`Error::Serialization`] when another call
    /// with the same external id was first, else [`Error::Validation`].
    pub async fn load(&self, model: &str, table: &LoadRows) -> Result<Vec<i64>, Error> {
        #[derive(Deserialize)]
        struct Loaded {
            ids: Value,
            #[serde(default)]
            messages: Vec<Message>,
        }
        #[derive(Deserialize)]
        struct Message {
            #[serde(rename = "type", default)]
            kind: String,
            #[serde(default)]
            message: String,
        }
        let args = named(json!({"fields": table.fields, "data": table.rows}));
        let loaded: Loaded = parsed(model, "load", self.call(model, "load", None, args).await?)?;
        let errors: Vec<_> = loaded.messages.iter().filter(|m| m.kind != "warning").map(|m| &*m.message).collect();
        if errors.is_empty() {
            return record_ids(model, "load", &loaded.ids);
        }
        // A lost race outweighs what else is reported, since that may be its consequence.
        let race = errors.iter().map(|text| Error::of_load(text)).find(Error::is_retryable);
        Err(race.unwrap_or_else(|| Error::of_load(&errors.join("; "))))
    }

    /// Writes an internal note on a record's history; plain text. Answers with the id of the message. Not idempotent: look with
    /// [`Client::find_message`] first.
    ///
    /// # Errors
    /// As [`Client::call`].
    pub async fn message_post(&self, model: &str, id: i64, body: &str) -> Result<i64, Error> {
        let args = json!({"body": body, "message_type": "comment", "subtype_xmlid": "mail.mt_note"});
        let answer = self.call(model, "message_post", Some(&[id]), named(args)).await?;
        one_id(model, "message_post", &answer)
    }

    /// The oldest message on the record whose text contains `marker`. In it `%` and `_` are wildcards.
    ///
    /// # Errors
    /// As [`Client::call`].
    pub async fn find_message(&self, model: &str, id: i64, marker: &str) -> Result<Option<i64>, Error> {
        let domain = Domain::all().and("model", "=", model).and("res_id", "=", id).and("body", "ilike", marker);
        self.first_id("mail.message", &domain).await
    }

    /// The fields of a model as this user sees them. Asked once per model and kept as long as the client.
    ///
    /// # Errors
    /// As [`Client::call`].
    pub async fn fields_get(&self, model: &str) -> Result<Arc<Schema>, Error> {
        // The lock is held over the call, so that many first users ask once.
        let mut schemas = self.shared.schemas.lock().await;
        if let Some(known) = schemas.get(model) {
            return Ok(Arc::clone(known));
        }
        let args = named(json!({"attributes": ["type", "required", "readonly"]}));
        let schema: Arc<Schema> =
            Arc::new(parsed(model, "fields_get", self.call(model, "fields_get", None, args).await?)?);
        schemas.insert(model.to_owned(), Arc::clone(&schema));
        Ok(schema)
    }

    /// Typed [`Client::read`], in Odoo's order; missing ids are left out.
    ///
    /// # Errors
    /// As [`Client::call`], and [`Error::Schema`] when the server lacks a field of the type.
    pub async fn get<R: Record>(&self, ids: &[i64]) -> Result<Vec<R>, Error> {
        if ids.is_empty() {
            return Ok(Vec::new());
        }
        self.fields_get(R::MODEL).await?.require(R::MODEL, R::FIELDS)?;
        let answer = self.call(R::MODEL, "read", Some(ids), named(json!({"fields": R::FIELDS}))).await?;
        parsed(R::MODEL, "read", answer)
    }

    /// Every record that matches, by id, fetched in pages of 500 that continue after the last id seen: what is
    /// created or deleted meanwhile cannot shift a page.
    ///
    /// # Errors
    /// As [`Client::get`].
    pub async fn find<R: Record>(&self, domain: &Domain) -> Result<Vec<R>, Error> {
        self.fields_get(R::MODEL).await?.require(R::MODEL, R::FIELDS)?;
        let mut found = Vec::new();
        let mut last = 0;
        loop {
            let page = domain.clone().and("id", ">", last);
            let rows = self.search_read(R::MODEL, &page, R::FIELDS, "id", PAGE).await?;
            let full = rows.len() == PAGE;
            for row in rows {
                last = row.get("id").and_then(Value::as_i64).unwrap_or(last);
                found.push(parsed(R::MODEL, "search_read", Value::Object(row))?);
            }
            if !full {
                return Ok(found);
            }
        }
    }

    pub(crate) async fn first_id(&self, model: &str, domain: &Domain) -> Result<Option<i64>, Error> {
        let rows = self.search_read(model, domain, &["id"], "id", 1).await?;
        Ok(rows.first().and_then(|row| row.get("id")).and_then(Value::as_i64))
    }
}

/// The map inside a literal object.
pub(crate) fn named(object: Value) -> Map<String, Value> {
    match object {
        Value::Object(map) => map,
        _ => Map::new(),
    }
}

fn parsed<T: DeserializeOwned>(model: &str, method: &str, answer: Value) -> Result<T, Error> {
    serde_json::from_value(answer).map_err(|error| Error::unexpected(format!("{model}/{method}"), error.to_string()))
}

/// JSON-2 answers with a list of ids; JSON-RPC of 17 with one id, or with the text `mail.activity(5,)`.
fn record_ids(model: &str, method: &str, answer: &Value) -> Result<Vec<i64>, Error> {
    let ids = match answer {
        Value::Number(id) => id.as_i64().map(|id| vec![id]),
        Value::Array(ids) => ids.iter().map(Value::as_i64).collect(),
        Value::String(text) => text
            .split_once('(')
            .map(|(_, ids)| ids.trim_end_matches(')').split(',').filter_map(|id| id.trim().parse().ok()).collect()),
        _ => None,
    };
    ids.ok_or_else(|| Error::unexpected(format!("{model}/{method}"), "no record ids"))
}

pub(crate) fn one_id(model: &str, method: &str, answer: &Value) -> Result<i64, Error> {
    let first = record_ids(model, method, answer)?.first().copied();
    first.ok_or_else(|| Error::unexpected(format!("{model}/{method}"), "no record was made"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_read_in_every_way_that_odoo_writes_them() {
        let read = |answer: Value| record_ids("m", "x", &answer).unwrap();
        assert_eq!(read(json!([7, 8])), [7, 8]);
        assert_eq!(read(json!(7)), [7]);
        assert_eq!(read(json!("mail.activity(5,)")), [5]);
        assert!(record_ids("m", "load", &json!(false)).is_err());
        assert!(one_id("m", "activity_schedule", &json!([])).is_err());
    }
}
