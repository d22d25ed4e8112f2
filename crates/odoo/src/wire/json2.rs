use std::sync::Arc;

use secrecy::{ExposeSecret, SecretString};
use serde_json::{Map, Value, json};

use super::{Call, Http};
use crate::Error;

/// Names the database on a server that has several.
const DATABASE_HEADER: &str = "X-Odoo-Database";

/// `POST /json/2/<model>/<method>`, Odoo 19 and later.
#[derive(Debug)]
pub(crate) struct Json2 {
    http: Arc<Http>,
    database: String,
    key: SecretString,
}

impl Json2 {
    /// Also finds out who the key belongs to, so that a bad key shows at start and not at the first write.
    pub(crate) async fn sign_in(http: Arc<Http>, database: String, key: SecretString) -> Result<(Self, i64), Error> {
        let wire = Self { http, database, key };
        let call = Call { model: "res.users", method: "context_get", ids: None, args: Map::new() };
        let uid = wire.call(call).await?["uid"].as_i64();
        let uid = uid.ok_or_else(|| Error::unexpected("res.users/context_get", "no uid"))?;
        Ok((wire, uid))
    }

    pub(crate) async fn call(&self, call: Call<'_>) -> Result<Value, Error> {
        let Call { model, method, ids, args: mut body } = call;
        if let Some(ids) = ids {
            body.insert("ids".to_owned(), json!(ids));
        }
        let request = self
            .http
            .post(&format!("/json/2/{model}/{method}"))
            .bearer_auth(self.key.expose_secret())
            .header(DATABASE_HEADER, &self.database)
            .json(&body);
        self.http.send(request).await?.json(&format!("{model}/{method}"))
    }
}
