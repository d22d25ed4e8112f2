//! The four services as processes, one or several replicas of each: one configuration file, each its own port.

use std::{
    collections::BTreeMap,
    fmt::Write as _,
    fs,
    path::{Path, PathBuf},
    time::Duration,
};

use anyhow::{Context as _, Result, ensure};
use chassis::{
    Ids,
    auth::{Grantee, KeyId, KeysFile, Role, generate_key},
};
use contracts::PersonId;
use futures_util::future::try_join_all;
use governance::GrantSigner;
use odoo::OdooConfig;
use secrecy::ExposeSecret as _;
use serde_json::{Value, json};
use testkit::{Process, Program, Scratch, free_port};

use super::Gateway;

const PATIENCE: Duration = Duration::from_secs(60);
/// Prefix and binary.
const SERVICES: [(&str, &str); 4] = [
    ("scoring", "scoring-svc"),
    ("approvals", "approval-svc"),
    ("supply", "supplier-sync-svc"),
    ("notify", "notifier-svc"),
];
/// Before the rows of the shipped policy: one that nobody can keep, to see what happens at its end.
const HASTY_ROW: &str = "rows:
  - name: hasty
    why: For the test of what happens when nobody decides.
    when: { kind: [transfer], category: [Hasty] }
    then:
      steps:
        - ask: { role: regional_ops, at: from }
          decide_within: 4s
";

/// A caller with a key, or nobody.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Who {
    /// The service key of the workflows.
    N8n,
    /// Reads everything.
    Operator,
    /// Both answer for transfers out of the region south.
    Olga,
    Otto,
    Nobody,
}

impl Who {
    const KEYED: [Self; 4] = [Self::N8n, Self::Operator, Self::Olga, Self::Otto];

    fn id(self) -> &'static str {
        match self {
            Self::N8n => "n8n",
            Self::Operator => "operator",
            Self::Olga => "olga",
            Self::Otto => "otto",
            Self::Nobody => "nobody",
        }
    }

    fn roles(self) -> Vec<Grantee> {
        match self {
            Self::N8n => vec![Grantee::everywhere(Role::Service)],
            Self::Operator => {
                [Role::Operator, Role::Auditor, Role::Admin, Role::PolicyOwner].map(Grantee::everywhere).to_vec()
            }
            Self::Olga | Self::Otto => vec![Grantee::everywhere(Role::RegionalOps)],
            Self::Nobody => Vec::new(),
        }
    }

    fn is_person(self) -> bool {
        matches!(self, Self::Olga | Self::Otto)
    }

    /// Where their mail goes.
    pub fn address(self) -> String {
        format!("{}@shop.example", self.id())
    }
}

/// Everything secret, made for this run.
pub struct Secrets {
    keys: BTreeMap<Who, String>,
    file: KeysFile,
    pub(super) webhook: String,
    pub(super) callback: String,
    pub(super) odoo: String,
    links: String,
    /// One for all replicas, or the grants of one would be strange to the executor that asked another for its keys.
    pub(super) grants: GrantSigner,
}

impl Secrets {
    pub fn new() -> Result<Self> {
        let ids = Ids::default();
        let secret = || ids.secret_bytes::<24>().iter().map(|byte| format!("{byte:02x}")).collect::<String>();
        let (mut keys, mut file) = (BTreeMap::new(), KeysFile::default());
        for who in Who::KEYED {
            let (key, mut entry) = generate_key(&ids, &KeyId::try_from(who.id().to_owned())?);
            entry.roles = who.roles();
            entry.person = who.is_person().then(|| PersonId::new(who.id())).transpose()?;
            keys.insert(who, key);
            file.keys.push(entry);
        }
        let grants = GrantSigner::from_seed(&ids.secret_bytes())?;
        Ok(Self { keys, file, webhook: secret(), callback: secret(), odoo: secret(), links: secret(), grants })
    }

    pub(super) fn n8n_key(&self) -> &str {
        self.keys.get(&Who::N8n).map_or("", String::as_str)
    }
}

/// Where the others are.
pub struct Peers {
    pub database: String,
    pub bus: String,
    pub redis: String,
    pub smtp: String,
    pub odoo: OdooConfig,
}

/// How a fleet differs from that of a small shop.
#[derive(Debug, Clone)]
pub struct Shape {
    /// Of each service, behind the gateway.
    pub replicas: usize,
    /// Settings that go over the file's own, as JSON of the same shape.
    pub settings: Value,
}

impl Default for Shape {
    fn default() -> Self {
        Self { replicas: 1, settings: json!({}) }
    }
}

/// One process of a service: its prefix, and which of the replicas.
pub type Name = (&'static str, usize);

struct Replica {
    port: u16,
    process: Process,
}

pub struct Fleet {
    replicas: BTreeMap<Name, Replica>,
    keys: BTreeMap<Who, String>,
    _folder: Scratch,
}

impl Fleet {
    /// Starts all replicas and puts them behind the gateway.
    pub async fn of(shape: Shape, gateway: &Gateway, secrets: &Secrets, peers: &Peers) -> Result<Self> {
        let folder = Scratch::new("fleet")?;
        let config = write_config(folder.path(), gateway.base_url(), secrets, peers, shape.settings)?;
        let start = async |prefix: &'static str, binary: &str, number: usize| {
            let port = free_port();
            gateway.route(&format!("/{prefix}"), &format!("http://127.0.0.1:{port}"));
            let program = Program::built(binary)?.args(["--config".into(), config.clone().into_os_string()]);
            let program = program.env("STEWARD__HTTP__LISTEN", format!("127.0.0.1:{port}")).folder(folder.path());
            let mut replica = Replica { port, process: Process::start(program)? };
            replica.wait_ready().await?;
            anyhow::Ok(((prefix, number), replica))
        };
        let all = SERVICES.iter().flat_map(|(prefix, binary)| (0..shape.replicas).map(move |n| (*prefix, *binary, n)));
        let replicas = try_join_all(all.map(|(prefix, binary, number)| start(prefix, binary, number))).await?;
        Ok(Self { replicas: replicas.into_iter().collect(), keys: secrets.keys.clone(), _folder: folder })
    }

    pub fn key(&self, who: Who) -> Option<String> {
        self.keys.get(&who).cloned()
    }

    /// Of the first replica.
    pub(super) fn port(&self, prefix: &str) -> Result<u16> {
        let found = self.replicas.iter().find(|((known, _), _)| *known == prefix);
        found.map(|(_, replica)| replica.port).with_context(|| format!("no service {prefix}"))
    }

    /// Every replica with its base URL, past the gateway.
    pub fn addresses(&self) -> Vec<(Name, String)> {
        self.replicas.iter().map(|(name, replica)| (*name, format!("http://127.0.0.1:{}", replica.port))).collect()
    }

    pub fn kill9(&mut self, name: Name) -> Result<()> {
        self.replica(name)?.process.kill9();
        Ok(())
    }

    /// SIGTERM: it ends what it has begun, and its exit code must say so.
    pub async fn terminate(&mut self, name: Name) -> Result<()> {
        let ended = self.replica(name)?.process.terminate().await?;
        ensure!(ended.success(), "{name:?} ended with {ended}");
        Ok(())
    }

    /// Ready again when this returns.
    pub async fn start_again(&mut self, name: Name) -> Result<()> {
        let replica = self.replica(name)?;
        replica.process.start_again()?;
        replica.wait_ready().await
    }

    fn replica(&mut self, name: Name) -> Result<&mut Replica> {
        self.replicas.get_mut(&name).with_context(|| format!("no replica {name:?}"))
    }

    /// All that each replica has logged, over all its starts.
    pub fn logs(&self) -> BTreeMap<Name, String> {
        self.replicas.iter().map(|(name, replica)| (*name, replica.process.log())).collect()
    }

    /// Warnings and errors of all logs: the reason of a failed test is mostly among them.
    pub fn complaints(&self) -> String {
        let mut told = String::new();
        for ((prefix, number), log) in self.logs() {
            let loud = log.lines().filter(|line| line.contains("\"WARN\"") || line.contains("\"ERROR\""));
            let loud: Vec<&str> = loud.collect();
            for line in &loud[loud.len().saturating_sub(15)..] {
                let _ = writeln!(told, "{prefix} {number}: {line}");
            }
        }
        format!("the services complained of:\n{told}")
    }
}

impl Replica {
    async fn wait_ready(&mut self) -> Result<()> {
        self.process.wait_ready(&format!("http://127.0.0.1:{}/readyz", self.port), PATIENCE).await
    }
}

/// Lays one tree of settings over another; what is no object replaces.
fn lay_over(base: &mut Value, over: Value) {
    match (base, over) {
        (Value::Object(base), Value::Object(over)) => {
            for (key, value) in over {
                lay_over(base.entry(key).or_insert(Value::Null), value);
            }
        }
        (base, over) => *base = over,
    }
}

fn write_config(folder: &Path, base_url: &str, secrets: &Secrets, peers: &Peers, over: Value) -> Result<PathBuf> {
    let file = |name: &str, content: &[u8]| -> Result<String> {
        let path = folder.join(name);
        fs::write(&path, content)?;
        Ok(path.display().to_string())
    };
    let keys = secrets.file.to_yaml().map_err(anyhow::Error::msg)?;
    let policy = governance::policy::DEFAULT_POLICY.replacen("rows:\n", HASTY_ROW, 1);
    let mut config = json!({
        "public_url": base_url,
        "store": {"url": peers.database},
        "bus": {"url": peers.bus},
        "shared": {"redis_url": peers.redis},
        "auth": {"keys_file": file("keys.yaml", keys.as_bytes())?},
        // n8n and the published keys answer through the gateway.
        "outgoing": {"allow": ["127.0.0.1"], "callback_allow": [base_url]},
        "approvals": {
            "directory_file": file("directory.yaml", directory().to_string().as_bytes())?,
            "policy_file": file("policy.yaml", policy.as_bytes())?,
            "signing_key_file": file("grants.der", secrets.grants.pkcs8_der())?,
            "link_secret": secrets.links,
            "callback_header": {"name": "X-Steward-Callback", "value": secrets.callback},
        },
        "supply": {"odoo": {
            "url": peers.odoo.base_url, "database": peers.odoo.database, "api_key": peers.odoo.api_key.expose_secret(),
            "calls_per_second": 500.0, "hook_secret": secrets.odoo,
        }},
        "notify": {
            "smtp": {"url": peers.smtp, "from": "Steward <steward@shop.example>"},
            "contacts_file": file("contacts.yaml", contacts().to_string().as_bytes())?,
            "subscriptions": [{
                "id": "n8n-low-stock", "types": ["steward.stock.ran_low.v1"],
                "url": format!("{base_url}/webhook/steward-low-stock"),
                "secret": "whsec_bm90LXNlY3JldC1idXQtbG9uZy1lbm91Z2g=",
                "header": {"name": "X-Steward-Webhook", "value": secrets.webhook},
                "receipt_within_seconds": 900,
            }],
        },
    });
    lay_over(&mut config, over);
    // JSON is YAML.
    Ok(file("steward.yaml", config.to_string().as_bytes())?.into())
}

fn directory() -> Value {
    let person = |who: Who, name: &str| {
        let roles = json!([{"role": "regional_ops", "region": "south"}]);
        json!({"id": who.id(), "name": name, "email": who.address(), "roles": roles})
    };
    let rest = ["operator", "finance", "procurement_lead", "store_manager"].map(|role| json!({"role": role}));
    json!({"people": [
        person(Who::Olga, "Olga Ruiz"), person(Who::Otto, "Otto Meyer"),
        {"id": "paula", "name": "Paula Stein", "email": "paula@shop.example", "roles": rest},
    ]})
}

fn contacts() -> Value {
    let desk = |id: &str, role: &str, location: &str| json!({"id": id, "name": id, "email": format!("{id}@shop.example"), "roles": [role], "locations": [location]});
    json!({"contacts": [
        desk("warehouse-south", "warehouse", "S1"), desk("warehouse-north", "warehouse", "N2"),
        desk("store-north", "store_manager", "N1"),
        {"id": "paula", "name": "Paula Stein", "email": "paula@shop.example", "roles": ["procurement_lead", "operator"]},
        {"id": "acme-orders", "name": "Acme", "email": "orders@acme.example", "suppliers": ["acme"]},
    ]})
}
