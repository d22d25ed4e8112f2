use anyhow::{Context as _, Result, bail, ensure};
use reqwest::Client;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::time::Duration;

const PATIENCE: Duration = Duration::from_secs(60);

/// Who is known to a fresh [`Odoo`](crate::Odoo), each with an API key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OdooUser {
    /// May everything.
    Admin,
    /// The bot, with the rights that `deploy/odoo/README.md` gives it.
    Steward,
    /// Counts stock and edits transfers.
    Clerk,
}

impl OdooUser {
    pub fn login(self) -> &'static str {
        match self {
            Self::Admin => "admin",
            Self::Steward => "steward",
            Self::Clerk => "clerk",
        }
    }
}

/// A client of a real Odoo that shares no code with ours, so that a test sees what stands there and not what our client
/// makes of it. Speaks JSON-2.
#[derive(Debug, Clone)]
pub struct OdooApi {
    base_url: String,
    database: &'static str,
    keys: BTreeMap<String, String>,
    http: Client,
}

impl OdooApi {
    pub(crate) fn new(base_url: String, database: &'static str, keys: &Path) -> Result<Self> {
        crate::install_tls_provider();
        let keys = serde_json::from_str(&fs::read_to_string(keys)?).context("keys.json holds something else")?;
        Ok(Self { base_url, database, keys, http: Client::builder().timeout(PATIENCE).build()? })
    }

    /// Without a slash at its end.
    pub fn base_url(&self) -> &str {
        &self.base_url
    }

    pub fn database(&self) -> &'static str {
        self.database
    }

    pub fn key(&self, who: OdooUser) -> &str {
        self.keys.get(who.login()).map_or("", String::as_str)
    }

    /// `/json/2/<model>/<method>`: `ids` and `context` beside the method's arguments by name.
    pub async fn call(&self, who: OdooUser, model: &str, method: &str, body: Value) -> Result<Value> {
        let url = format!("{}/json/2/{model}/{method}", self.base_url);
        let request = self.http.post(url).bearer_auth(self.key(who)).header("X-Odoo-Database", self.database);
        let answer = request.json(&body).send().await?;
        let (status, text) = (answer.status(), answer.text().await?);
        if status.is_success() {
            return serde_json::from_str(&text).with_context(|| format!("no JSON: {text}"));
        }
        // The rest of it is the server's traceback.
        let message = serde_json::from_str::<Value>(&text).map_or(text, |error| error["message"].to_string());
        bail!("{model}/{method} {body} answered {status}: {message}")
    }

    /// The rows that match, oldest first.
    pub async fn search_read(&self, model: &str, domain: Value, fields: &[&str]) -> Result<Vec<Value>> {
        let wish = json!({"domain": domain, "fields": fields, "order": "id", "context": {"active_test": false}});
        let Value::Array(rows) = self.call(OdooUser::Admin, model, "search_read", wish).await? else {
            bail!("{model}/search_read answered no list")
        };
        Ok(rows)
    }

    /// The id of the one record that matches.
    pub async fn id_of(&self, model: &str, domain: Value) -> Result<i64> {
        let rows = self.search_read(model, domain.clone(), &["id"]).await?;
        ensure!(rows.len() == 1, "{} of {model} match {domain}", rows.len());
        rows[0]["id"].as_i64().context("an id is a number")
    }

    /// Creates one record and returns its id.
    pub async fn create(&self, who: OdooUser, model: &str, values: Value) -> Result<i64> {
        let made = self.call(who, model, "create", json!({"vals_list": [values]})).await?;
        made[0].as_i64().with_context(|| format!("{model}/create answered {made}"))
    }

    pub async fn write(&self, who: OdooUser, model: &str, id: i64, values: Value) -> Result<()> {
        self.call(who, model, "write", json!({"ids": [id], "vals": values})).await.map(drop)
    }
}
