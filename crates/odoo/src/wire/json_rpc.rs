use std::sync::Arc;

use secrecy::{ExposeSecret, SecretString};
use serde_json::{Value, json};

use super::{Call, Http};
use crate::Error;

/// `POST /jsonrpc`, services `common` and `object`; Odoo 17 and 18. The API key takes the place of the password.
#[derive(Debug)]
pub(crate) struct JsonRpc {
    http: Arc<Http>,
    database: String,
    uid: i64,
    key: SecretString,
}

impl JsonRpc {
    pub(crate) async fn sign_in(
        http: Arc<Http>,
        database: String,
        login: &str,
        key: SecretString,
    ) -> Result<(Self, i64), Error> {
        let credentials = json!([database, login, key.expose_secret(), {}]);
        // A wrong login or key is no error here: the answer is `false`.
        let uid = http.json_rpc("common", "authenticate", credentials).await?.as_i64().ok_or(Error::Unauthorized)?;
        Ok((Self { http, database, uid, key }, uid))
    }

    pub(crate) async fn call(&self, call: Call<'_>) -> Result<Value, Error> {
        let Call { model, method, ids, args: mut named } = call;
        let mut positional = Vec::new();
        if let Some(ids) = ids {
            positional.push(json!(ids));
        }
        // 17 and 18 look at the first position to decide whether `create` answers with one id or a list.
        if method == "create"
            && let Some(rows) = named.remove("vals_list")
        {
            positional.push(rows);
        }
        let args = json!([self.database, self.uid, self.key.expose_secret(), model, method, positional, named]);
        self.http.json_rpc("object", "execute_kw", args).await
    }
}
