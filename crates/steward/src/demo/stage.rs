//! Everything that has to run before the play begins, and its end.

use std::{collections::BTreeMap, net::TcpListener, path::Path, time::Duration};

use anyhow::{Context, bail};
use chassis::{
    Clock, Ids, Settings,
    host::{self, HostOptions, Running},
    telemetry,
};
use futures_util::{StreamExt, TryStreamExt, stream};
use odoo::replay::{API_KEY, DATABASE, Delivery, ReplayOdoo, Webhook};
use secrecy::SecretString;
use serde_json::{Value, json};

use super::{
    api::Api,
    company::{Company, Level, Shelf},
    stand_in::{Secrets, StandIn},
};
use crate::{console, fleet, home::Home};

/// Changes of stock that are made at once; a real Odoo has several workers too.
const AT_ONCE: usize = 8;
const PATIENCE: Duration = Duration::from_secs(30);
const LOOK_AGAIN: Duration = Duration::from_millis(100);

/// The running fleet, the replayed Odoo and the stand-in of n8n.
pub(super) struct Stage {
    pub home: Home,
    pub settings: Settings,
    pub base_url: String,
    pub stand_in: StandIn,
    /// The caller that n8n is.
    pub n8n: Api,
    pub operator: Api,
    running: Running,
    odoo: ReplayOdoo,
}

impl Stage {
    pub(super) async fn set(folder: &Path, company: &Company, levels: &BTreeMap<Shelf, Level>) -> anyhow::Result<Self> {
        let home = Home::prepare(folder)?;
        let listener = TcpListener::bind(("127.0.0.1", 0)).context("no free port")?;
        let base_url = format!("http://{}", listener.local_addr()?);
        let clock = Clock::system();
        let odoo_clock = clock.clone();
        let odoo = ReplayOdoo::start(company.scene(levels)?, std::sync::Arc::new(move || odoo_clock.now())).await?;
        let stand_in = StandIn::start(secrets(&home)?)?;
        let hook_secret = hex::encode(Ids::default().secret_bytes::<16>());
        let overlay = overlay(&home, &odoo, &stand_in, &hook_secret)?;
        let settings = Settings::load_over(&[&home.settings(&base_url), &overlay], &[])?;
        // Without it there are spans but no trace ids. Its exporter is flushed by nobody: a demo exports nowhere.
        let _guard = telemetry::init(&settings.common.telemetry)?;
        let options =
            HostOptions { clock, listener: Some(listener), extra: Some(console::routes(&base_url, &settings)?) };
        let running = host::start(fleet::services(&settings)?, &settings, options).await?;
        let authority = base_url.trim_start_matches("http://");
        odoo.set_webhook(Some(Webhook::to(&format!("http://odoo:{hook_secret}@{authority}/supply/v1/hooks/odoo"))));
        let n8n = Api::new(&base_url, home.key("n8n")?)?;
        let operator = Api::new(&base_url, home.key("operator")?)?;
        Ok(Self { home, settings, base_url, stand_in, n8n, operator, running, odoo })
    }

    /// Counts these levels in Odoo, as people do; Odoo's webhooks fire before this returns.
    pub(super) async fn count_in_odoo(
        &self,
        company: &Company,
        levels: &BTreeMap<Shelf, f64>,
    ) -> anyhow::Result<Delivery> {
        let count = |((product, store), on_hand): (&Shelf, &f64)| {
            let (product, code, on_hand) = (product.clone(), company.code(store).map(str::to_owned), *on_hand);
            async move { anyhow::Ok(self.odoo.set_quantity(&product, &code?, on_hand).await?) }
        };
        let counts: Vec<_> = levels.iter().map(count).collect();
        let deliveries: Vec<Delivery> = stream::iter(counts).buffer_unordered(AT_ONCE).try_collect().await?;
        Ok(deliveries.into_iter().fold(Delivery::default(), |sum, one| Delivery {
            posted: sum.posted + one.posted,
            accepted: sum.accepted + one.accepted,
        }))
    }

    /// Waits until supply has read these levels back from Odoo.
    pub(super) async fn until_read_back(&self, levels: &BTreeMap<Shelf, f64>) -> anyhow::Result<()> {
        let items: Vec<Value> =
            levels.keys().map(|(product, location)| json!({"product": product, "location": location})).collect();
        let body = json!({"items": items});
        let started = std::time::Instant::now();
        while started.elapsed() < PATIENCE {
            let answer = self.n8n.ask("/supply/v1/facts/batch", &body).await?;
            let known =
                answer["items"].as_array().into_iter().flatten().map(|one| one["facts"]["stock"]["on_hand"].as_f64());
            if known.zip(levels.values()).all(|(known, level)| known == Some(*level)) {
                return Ok(());
            }
            tokio::time::sleep(LOOK_AGAIN).await;
        }
        bail!("Odoo's stock was not read back within {} s", PATIENCE.as_secs())
    }

    pub(super) async fn strike(self) {
        self.running.shutdown().await;
        self.stand_in.stop().await;
        self.odoo.stop().await;
    }
}

fn secret(home: &Home, name: &str) -> anyhow::Result<SecretString> {
    let path = home.path().join("secrets").join(name);
    let text = std::fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))?;
    Ok(SecretString::from(text.trim_end()))
}

fn secrets(home: &Home) -> anyhow::Result<Secrets> {
    Ok(Secrets { push: secret(home, "webhook")?, callback: secret(home, "callback")? })
}

/// What the demo sets beyond a laptop's own settings: its Odoo, its people, and where n8n would be.
fn overlay(home: &Home, odoo: &ReplayOdoo, stand_in: &StandIn, hook_secret: &str) -> anyhow::Result<String> {
    let folder = home.path().join("demo");
    std::fs::create_dir_all(&folder).with_context(|| format!("cannot make {}", folder.display()))?;
    let (directory, contacts) = (folder.join("directory.yaml"), folder.join("contacts.yaml"));
    std::fs::write(&directory, include_str!("directory.yaml"))?;
    std::fs::write(&contacts, include_str!("contacts.yaml"))?;
    let subscription = json!({"id": "low-stock-triage", "types": ["steward.stock.ran_low.v1"],
        "url": stand_in.webhook_url(), "secret_file": home.path().join("secrets/webhook")});
    let settings = json!({
        "outgoing": {"callback_allow": [stand_in.base_url()]},
        // Warnings are part of a normal day; an error is what the person in front of the demo should see.
        "telemetry": {"log_filter": "error"},
        "supply": {"odoo": {"url": odoo.base_url(), "database": DATABASE, "api_key": API_KEY,
            "calls_per_second": 1000.0, "hook_secret": hook_secret}},
        "approvals": {"directory_file": directory},
        "notify": {"contacts_file": contacts, "subscriptions": [subscription]},
    });
    Ok(settings.to_string())
}
