//! `steward up` with an Odoo that replays a real one, and peers that refuse everything.

use std::{fs, path::Path};

use anyhow::{Context as _, Result};
use chassis::{
    Clock, Ids,
    auth::{Grantee, KeyId, KeysFile, Role, generate_key},
};
use contracts::PersonId;
use odoo::replay::ReplayOdoo;
use serde_json::json;
use testkit::{Process, Program, Scratch, free_port};
use wiremock::{Mock, MockServer, ResponseTemplate, matchers::any};

pub(super) const HOOK_SECRET: &str = "the-hook-s-secret";

/// The fleet in one process. All of it ends with the value.
pub(super) struct Fortress {
    pub(super) process: Process,
    pub(super) port: u16,
    /// Callbacks and pushes go there and are refused, so that there are dead letters.
    pub(super) dead_end: MockServer,
    pub(super) folder: Scratch,
    /// The key of a second person: who approves alone does not review that.
    pub(super) colleague: String,
    _odoo: ReplayOdoo,
}

impl Fortress {
    pub(super) async fn start() -> Result<Self> {
        testkit::install_tls_provider();
        let dead_end = MockServer::start().await;
        Mock::given(any()).respond_with(ResponseTemplate::new(400)).mount(&dead_end).await;
        let clock = Clock::system();
        let odoo =
            ReplayOdoo::start(serde_json::from_value(scene())?, std::sync::Arc::new(move || clock.now())).await?;
        let folder = Scratch::new("hostile")?;
        let config = folder.path().join("steward.yaml");
        let settings = json!({
            "http": {"rate_limit_per_minute": 0},
            // Given up after two attempts: dead letters are wanted here.
            "relay": {"retry_seconds": [0]},
            "outgoing": {"allow": ["127.0.0.1"], "callback_allow": [dead_end.uri()]},
            "supply": {"sweep_seconds": 1, "odoo": {
                "url": odoo.base_url(), "database": odoo.config().database, "api_key": odoo::replay::API_KEY,
                "calls_per_second": 500.0, "hook_secret": HOOK_SECRET,
            }},
        });
        fs::write(&config, settings.to_string())?;
        let port = free_port();
        let (data, config) = (folder.path().join("data").display().to_string(), config.display().to_string());
        let args = ["up", "--port", &port.to_string(), "--data-dir", &data, "--config", &config].map(str::to_owned);
        let mut process = Process::start(Program::built("steward")?.args(args))?;
        process.wait_ready(&format!("http://127.0.0.1:{port}/readyz"), std::time::Duration::from_secs(30)).await?;
        let colleague = add_colleague(&folder.path().join("data/keys.yaml"))?;
        Ok(Self { process, port, dead_end, folder, colleague, _odoo: odoo })
    }

    pub(super) fn base_url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// An API key: `n8n` (a program), `owner` (a person) or `operator`.
    pub(super) fn key(&self, id: &str) -> Result<String> {
        let path = self.folder.path().join(format!("data/secrets/{id}.key"));
        Ok(fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))?.trim().to_owned())
    }

    /// What went wrong inside: a refusal of a caller is a warning, everything louder is ours. But for what the dead end
    /// refuses, which is given up on purpose.
    pub(super) fn errors(&self) -> Vec<String> {
        let log = self.process.log();
        let loud = log.lines().filter(|line| line.contains("ERROR") || line.contains("panicked"));
        loud.filter(|line| !line.contains("an effect was given up")).map(str::to_owned).collect()
    }
}

/// A key for the second person whom a laptop's directory knows; the services read the file again when it has changed.
fn add_colleague(path: &Path) -> Result<String> {
    let (plain, mut entry) = generate_key(&Ids::default(), &KeyId::try_from("colleague".to_owned())?);
    entry.roles = vec![Grantee::everywhere(Role::Operator)];
    entry.person = Some(PersonId::new("colleague")?);
    let mut file = KeysFile::from_yaml(&fs::read_to_string(path)?).map_err(anyhow::Error::msg)?;
    file.keys.push(entry);
    let fresh = path.with_extension("new");
    fs::write(&fresh, file.to_yaml().map_err(anyhow::Error::msg)?)?;
    fs::rename(fresh, path)?;
    Ok(plain)
}

/// One article in three places, as `hooks.py` tells of them.
fn scene() -> serde_json::Value {
    let stock = |(at, units): (&str, f64)| json!({"sku": "OAT-1", "warehouse": at, "on_hand": units});
    let stock = [("N1", 4.0), ("N2", 500.0), ("S1", 500.0)].map(stock);
    let warehouses = ["N1", "N2", "S1"].map(|code| json!({"code": code, "name": code}));
    json!({
        "currency": "EUR",
        "products": [{"sku": "OAT-1", "name": "Oats", "category": "Dry", "cost": 1.1, "price": 2.3}],
        "warehouses": warehouses,
        "stock": stock,
    })
}
