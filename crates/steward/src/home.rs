//! The folder of `steward up`: what a first start makes, and what it is told to the services.
//!
//! Nothing in here is needed in a cluster, where secrets are mounted and people are managed elsewhere. On a laptop the
//! first start makes it all, so that there is nothing to prepare.

use std::{
    fs,
    io::Write,
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
    time::Duration,
};

use anyhow::Context;
use base64::{Engine, engine::general_purpose::STANDARD};
use chassis::{
    Clock, Ids, Settings,
    auth::{Auth, Grantee, KeyId, KeysFile, Role, generate_key},
    shared::Shared,
};
use contracts::PersonId;
use governance::GrantSigner;
use serde_json::json;

/// The person who owns the laptop; the sign-in link is theirs.
const OWNER: &str = "owner";
/// How long the printed sign-in link works.
const SIGN_IN: Duration = Duration::from_secs(24 * 3600);
/// Header with which Steward proves itself to n8n's webhook, and to its Wait nodes.
const WEBHOOK_HEADER: &str = "X-Steward-Webhook";
const CALLBACK_HEADER: &str = "X-Steward-Callback";
/// Where n8n listens unless told otherwise.
const N8N: &str = "http://127.0.0.1:5678";

/// A data folder.
#[derive(Clone, Debug)]
pub(crate) struct Home(PathBuf);

impl Home {
    /// The folder as it is.
    pub(crate) fn at(path: &Path) -> Self {
        Self(path.to_owned())
    }

    /// Makes what is missing: keys, secrets, the people and contacts of a laptop.
    pub(crate) fn prepare(path: &Path) -> anyhow::Result<Self> {
        for folder in ["", "secrets", "mails", "store"] {
            let folder = path.join(folder);
            fs::create_dir_all(&folder).with_context(|| format!("cannot make {}", folder.display()))?;
        }
        let home = Self(fs::canonicalize(path)?);
        let ids = Ids::default();
        let text = |ids: &Ids| hex::encode(ids.secret_bytes::<32>());
        let webhook_secret = |ids: &Ids| format!("whsec_{}", STANDARD.encode(ids.secret_bytes::<32>()));
        home.once("secrets/session", || Ok(text(&ids).into_bytes()))?;
        home.once("secrets/links", || Ok(text(&ids).into_bytes()))?;
        home.once("secrets/webhook-header", || Ok(text(&ids).into_bytes()))?;
        home.once("secrets/callback-header", || Ok(text(&ids).into_bytes()))?;
        home.once("secrets/webhook", || Ok(webhook_secret(&ids).into_bytes()))?;
        home.once("secrets/callback", || Ok(webhook_secret(&ids).into_bytes()))?;
        home.once("secrets/grants.der", || {
            Ok(GrantSigner::from_seed(&ids.secret_bytes::<32>())?.pkcs8_der().to_vec())
        })?;
        home.once("secrets/audit.der", || Ok(GrantSigner::from_seed(&ids.secret_bytes::<32>())?.pkcs8_der().to_vec()))?;
        home.once("directory.yaml", || Ok(include_bytes!("../defaults/directory.yaml").to_vec()))?;
        home.once("contacts.yaml", || Ok(include_bytes!("../defaults/contacts.yaml").to_vec()))?;
        home.make_keys(&ids)?;
        home.once("n8n-credentials.json", || home.n8n_credentials())?;
        Ok(home)
    }

    pub(crate) fn path(&self) -> &Path {
        &self.0
    }

    /// A plain API key: `n8n` (service), `operator` or `owner`.
    pub(crate) fn key(&self, id: &str) -> anyhow::Result<String> {
        self.secret(&format!("{id}.key"))
    }

    /// A link that signs the owner in once.
    pub(crate) fn sign_in_link(&self, base_url: &str, settings: &Settings) -> anyhow::Result<String> {
        let clock = Clock::system();
        let shared = Shared::in_process(&clock);
        let auth = Auth::new(&settings.common.auth, clock, shared)?;
        let token = auth.sign_in_token(&KeyId::try_from(OWNER.to_owned())?, Some(&PersonId::new(OWNER)?), SIGN_IN)?;
        Ok(format!("{base_url}/sign-in?token={token}"))
    }

    /// The settings of a fleet that lives in this folder and answers at `base_url`; files and environment go over it.
    pub(crate) fn settings(&self, base_url: &str) -> String {
        let file = |name: &str| self.0.join(name).display().to_string();
        let settings = json!({
            "public_url": base_url,
            "store": {"data_dir": file("store")},
            "auth": {"keys_file": file("keys.yaml"), "session_secret_file": file("secrets/session"),
                "secure_cookie": false},
            "audit": {"signing_key_file": file("secrets/audit.der")},
            // This machine's own n8n and the fleet itself are what a laptop calls.
            "outgoing": {"allow": ["127.0.0.1", "localhost"], "callback_allow": [N8N, "http://localhost:5678"]},
            "telemetry": {"log_format": "text", "log_filter": "warn,lapin=off,actix_http=off"},
            "approvals": {
                "directory_file": file("directory.yaml"),
                "signing_key_file": file("secrets/grants.der"),
                "link_secret_file": file("secrets/links"),
                "callback_secret_file": file("secrets/callback"),
                "callback_header": {"name": CALLBACK_HEADER, "value_file": file("secrets/callback-header")}
            },
            "notify": {
                "smtp": {"url": format!("file://{}", file("mails")), "from": "Steward <steward@steward.example>"},
                "contacts_file": file("contacts.yaml")
            }
        });
        // JSON is YAML.
        settings.to_string()
    }

    fn make_keys(&self, ids: &Ids) -> anyhow::Result<()> {
        if self.0.join("keys.yaml").exists() {
            return Ok(());
        }
        let everywhere = |roles: &[Role]| roles.iter().copied().map(Grantee::everywhere).collect::<Vec<_>>();
        let owner_roles: Vec<Role> = Role::ALL.into_iter().filter(|role| *role != Role::Service).collect();
        let wanted = [
            ("n8n", everywhere(&[Role::Service]), None),
            ("operator", everywhere(&[Role::Operator, Role::Auditor, Role::Admin]), None),
            (OWNER, everywhere(&owner_roles), Some(PersonId::new(OWNER)?)),
        ];
        let mut keys = Vec::new();
        for (id, roles, person) in wanted {
            let (plain, mut entry) = generate_key(ids, &KeyId::try_from(id.to_owned())?);
            entry.roles = roles;
            entry.person = person;
            self.write(&format!("secrets/{id}.key"), plain.as_bytes())?;
            keys.push(entry);
        }
        self.write("keys.yaml", serde_saphyr::to_string(&KeysFile { keys })?.as_bytes())
    }

    /// Credentials to import into n8n; the workflows name them by these ids.
    fn n8n_credentials(&self) -> anyhow::Result<Vec<u8>> {
        let header = |id: &str, name: &str, header: &str, value: String| json!({"id": id, "name": name, "type": "httpHeaderAuth", "data": {"name": header, "value": value}});
        let api_key = format!("Bearer {}", self.key("n8n")?);
        let credentials = json!([
            header("stwApiKey0000001", "Steward API key", "Authorization", api_key),
            header("stwWebhook000001", "Steward webhook", WEBHOOK_HEADER, self.secret("webhook-header")?),
            header("stwResume0000001", "Steward resume", CALLBACK_HEADER, self.secret("callback-header")?),
        ]);
        Ok(serde_json::to_vec_pretty(&credentials)?)
    }

    fn secret(&self, name: &str) -> anyhow::Result<String> {
        let path = self.0.join("secrets").join(name);
        let text = fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))?;
        Ok(text.trim_end().to_owned())
    }

    /// Writes a file that is not there yet.
    fn once(&self, name: &str, content: impl FnOnce() -> anyhow::Result<Vec<u8>>) -> anyhow::Result<()> {
        if self.0.join(name).exists() { Ok(()) } else { self.write(name, &content()?) }
    }

    /// Readable by the owner alone, and never half written: the services read these files while they run.
    fn write(&self, name: &str, content: &[u8]) -> anyhow::Result<()> {
        let (path, fresh) = (self.0.join(name), self.0.join(format!("{name}.new")));
        let open = fs::OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&fresh);
        open.and_then(|mut file| file.write_all(content).and_then(|()| file.sync_all()))
            .and_then(|()| fs::rename(&fresh, &path))
            .with_context(|| format!("cannot write {}", path.display()))
    }
}
