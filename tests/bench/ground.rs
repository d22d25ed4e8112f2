//! What the measures stand on: durable servers, and our services as processes of their own.

use std::{fs, time::Duration};

use anyhow::{Context as _, Error, Result};
use chassis::{
    Ids,
    auth::{Grantee, KeyId, KeysFile, Role, generate_key},
};
use serde_json::{Value, json};
use testkit::{Postgres, Process, Program, Scratch, free_port};

const PATIENCE: Duration = Duration::from_secs(60);

/// A PostgreSQL that keeps its word through a power cut. All else is as the distribution has it.
pub(crate) async fn durable_postgres() -> Result<Postgres> {
    Postgres::start_with(&["fsync=on", "full_page_writes=on", "synchronous_commit=on"]).await
}

/// One of our services, with a key for it.
pub(crate) struct Hosted {
    process: Process,
    port: u16,
    key: String,
    _folder: Scratch,
}

impl Hosted {
    /// Starts a program with `settings` beside what every service needs, and waits until it is ready. The rate limit is
    /// off, because all load comes from one caller; everything else is as shipped.
    pub(crate) async fn start(program: Program, settings: &Value) -> Result<Self> {
        let (folder, port) = (Scratch::new("bench")?, free_port());
        let (key, mut entry) = generate_key(&Ids::default(), &KeyId::try_from("bench".to_owned())?);
        entry.roles = [Role::Service, Role::PolicyOwner, Role::Operator].map(Grantee::everywhere).to_vec();
        let keys = KeysFile { keys: vec![entry] }.to_yaml().map_err(Error::msg)?;
        let (keys_file, config_file) = (folder.path().join("keys.yaml"), folder.path().join("steward.yaml"));
        fs::write(&keys_file, keys)?;
        let mut config = json!({
            "http": {"listen": format!("127.0.0.1:{port}"), "rate_limit_per_minute": 0},
            "auth": {"keys_file": keys_file},
        });
        merge(&mut config, settings);
        // JSON is YAML.
        fs::write(&config_file, config.to_string())?;
        let program = program.args(["--config".into(), config_file.into_os_string()]).folder(folder.path());
        let mut process = Process::start(program)?;
        process.wait_ready(&format!("http://127.0.0.1:{port}/readyz"), PATIENCE).await?;
        Ok(Self { process, port, key, _folder: folder })
    }

    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    pub(crate) fn pid(&mut self) -> Result<u32> {
        self.process.pid().context("the service has ended")
    }

    /// The header lines of a JSON request of the service key.
    pub(crate) fn headers(&self) -> String {
        format!("authorization: Bearer {}\r\ncontent-type: application/json\r\n", self.key)
    }

    pub(crate) fn key(&self) -> &str {
        &self.key
    }

    pub(crate) fn url(&self, path: &str) -> String {
        format!("http://127.0.0.1:{}{path}", self.port)
    }
}

fn merge(into: &mut Value, from: &Value) {
    match (into, from) {
        (Value::Object(into), Value::Object(from)) => {
            for (name, value) in from {
                merge(into.entry(name.clone()).or_insert(Value::Null), value);
            }
        }
        (into, from) => *into = from.clone(),
    }
}

/// This program once more, in another part: `Hosted` and yardsticks run in processes of their own.
pub(crate) fn ourselves(part: &str) -> Result<Program> {
    Ok(Program::new(std::env::current_exe()?).args([part]))
}
