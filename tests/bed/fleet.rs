//! The four services as processes: one configuration file, each its own port.

use std::{
    collections::BTreeMap,
    fmt::Write as _,
    fs,
    path::{Path, PathBuf},
    time::Duration,
};

use anyhow::{Context as _, Result};
use chassis::{
    Ids,
    auth::{Grantee, KeyId, KeysFile, Role, generate_key},
};
use contracts::PersonId;
use futures_util::future::try_join_all;
use odoo::OdooConfig;
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
            Self::Operator => [Role::Operator, Role::Auditor, Role::Admin].map(Grantee::everywhere).to_vec(),
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
pub(super) struct Secrets {
    keys: BTreeMap<Who, String>,
    file: KeysFile,
    pub(super) webhook: String,
    pub(super) callback: String,
    pub(super) odoo: String,
    links: String,
}

impl Secrets {
    pub(super) fn new() -> Result<Self> {
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
        Ok(Self { keys, file, webhook: secret(), callback: secret(), odoo: secret(), links: secret() })
    }

    pub(super) fn n8n_key(&self) -> &str {
        self.keys.get(&Who::N8n).map_or("", String::as_str)
    }
}

/// Where the others are.
pub(super) struct Peers {
    pub(super) database: String,
    pub(super) bus: String,
    pub(super) redis: String,
    pub(super) smtp: String,
    pub(super) odoo: OdooConfig,
}

pub(super) struct Fleet {
    services: BTreeMap<&'static str, (u16, Process)>,
    keys: BTreeMap<Who, String>,
    _folder: Scratch,
}

impl Fleet {
    pub(super) async fn start(gateway: &Gateway, secrets: &Secrets, peers: &Peers) -> Result<Self> {
        let folder = Scratch::new("fleet")?;
        let config = write_config(folder.path(), gateway.base_url(), secrets, peers)?;
        let start = async |prefix: &'static str, binary: &str| {
            let port = free_port();
            gateway.route(&format!("/{prefix}"), &format!("http://127.0.0.1:{port}"));
            let program = Program::built(binary)?.args(["--config".into(), config.clone().into_os_string()]);
            let program = program.env("STEWARD__HTTP__LISTEN", format!("127.0.0.1:{port}")).folder(folder.path());
            let mut process = Process::start(program)?;
            process.wait_ready(&format!("http://127.0.0.1:{port}/readyz"), PATIENCE).await?;
            anyhow::Ok((prefix, (port, process)))
        };
        let services = try_join_all(SERVICES.map(|(prefix, binary)| start(prefix, binary))).await?;
        Ok(Self { services: services.into_iter().collect(), keys: secrets.keys.clone(), _folder: folder })
    }

    pub(super) fn key(&self, who: Who) -> Option<String> {
        self.keys.get(&who).cloned()
    }

    pub(super) fn port(&self, prefix: &str) -> Result<u16> {
        self.services.get(prefix).map(|(port, _)| *port).with_context(|| format!("no service {prefix}"))
    }

    /// Warnings and errors of all logs: the reason of a failed test is mostly among them.
    pub(super) fn complaints(&self) -> String {
        let mut told = String::new();
        for (prefix, (_, process)) in &self.services {
            let log = process.log();
            let loud = log.lines().filter(|line| line.contains("\"WARN\"") || line.contains("\"ERROR\""));
            let loud: Vec<&str> = loud.collect();
            for line in &loud[loud.len().saturating_sub(15)..] {
                let _ = writeln!(told, "{prefix}: {line}");
            }
        }
        format!("the services complained of:\n{told}")
    }
}

fn write_config(folder: &Path, base_url: &str, secrets: &Secrets, peers: &Peers) -> Result<PathBuf> {
    let file = |name: &str, content: &str| -> Result<String> {
        let path = folder.join(name);
        fs::write(&path, content)?;
        Ok(path.display().to_string())
    };
    let keys = secrets.file.to_yaml().map_err(anyhow::Error::msg)?;
    let policy = governance::policy::DEFAULT_POLICY.replacen("rows:\n", HASTY_ROW, 1);
    let config = json!({
        "public_url": base_url,
        "store": {"url": peers.database},
        "bus": {"url": peers.bus},
        "shared": {"redis_url": peers.redis},
        "auth": {"keys_file": file("keys.yaml", &keys)?},
        // n8n and the published keys answer through the gateway.
        "outgoing": {"allow": ["127.0.0.1"], "callback_allow": [base_url]},
        "approvals": {
            "directory_file": file("directory.yaml", &directory().to_string())?,
            "policy_file": file("policy.yaml", &policy)?,
            "link_secret": secrets.links,
            "callback_header": {"name": "X-Steward-Callback", "value": secrets.callback},
        },
        "supply": {"odoo": {
            "url": peers.odoo.base_url, "database": peers.odoo.database, "api_key": odoo::replay::API_KEY,
            "calls_per_second": 500.0, "hook_secret": secrets.odoo,
        }},
        "notify": {
            "smtp": {"url": peers.smtp, "from": "Steward <steward@shop.example>"},
            "contacts_file": file("contacts.yaml", &contacts().to_string())?,
            "subscriptions": [{
                "id": "n8n-low-stock", "types": ["steward.stock.ran_low.v1"],
                "url": format!("{base_url}/webhook/steward-low-stock"),
                "secret": "whsec_bm90LXNlY3JldC1idXQtbG9uZy1lbm91Z2g=",
                "header": {"name": "X-Steward-Webhook", "value": secrets.webhook},
            }],
        },
    });
    // JSON is YAML.
    Ok(file("steward.yaml", &config.to_string())?.into())
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
