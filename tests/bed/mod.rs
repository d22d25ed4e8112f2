//! Everything of the first scenario on one machine: four services as separate processes, PostgreSQL, RabbitMQ, Redis, a
//! mail server, n8n with the workflows as they are shipped, an Odoo that replays a real one, and one gateway before all.

mod api;
mod fleet;
mod gateway;
mod n8n;
mod scene;
mod trail;

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use chassis::Clock;
use odoo::replay::{ReplayOdoo, Webhook};
use serde_json::{Value, json};
use testkit::{Mail, N8n, Postgres, RabbitMq, Redis, SmtpSink, poll};

use self::scene::Shop;
pub use self::{
    api::{Answer, Api},
    fleet::{Fleet, Name, Peers, Secrets, Shape, Who},
    gateway::{Exchange, Gateway},
    scene::{Article, DONOR_ABROAD, DONOR_NEAR, STORE},
    trail::{Leaf, Trail},
};

/// What must happen by itself: hint, read-back (debounced by a second), bus, n8n, mail.
pub const SOON: Duration = Duration::from_secs(30);

/// The whole ground. Its servers end with the test process.
pub struct Bed {
    pub gateway: Gateway,
    pub odoo: ReplayOdoo,
    pub mails: SmtpSink,
    pub n8n: N8n,
    fleet: Fleet,
    shop: Shop,
    webhook: Webhook,
    /// What n8n's webhook asks for.
    webhook_header: String,
    _servers: (Postgres, RabbitMq, Redis),
}

impl Bed {
    /// Starts it all with these articles in the shop. About 25 seconds, most of them n8n's.
    pub async fn start(articles: &[Article]) -> Result<Self> {
        testkit::install_tls_provider();
        let shop = Shop::of(articles);
        let clock = Clock::system();
        let now = clock.now();
        let odoo = ReplayOdoo::start(shop.odoo()?, std::sync::Arc::new(move || clock.now())).await?;
        let mails = SmtpSink::start().await?;
        let gateway = Gateway::start().await?;
        let secrets = Secrets::new()?;
        let n8n_port = testkit::free_port();
        gateway.route("/webhook", &format!("http://127.0.0.1:{n8n_port}"));
        let fleet = async {
            let servers = tokio::try_join!(Postgres::start(), RabbitMq::start(), Redis::start())?;
            let peers = Peers {
                database: servers.0.create_database("steward").await?,
                bus: servers.1.url(),
                redis: servers.2.url(),
                smtp: mails.url(),
                odoo: odoo.config(),
            };
            let fleet = Fleet::start(&gateway, &secrets, &peers).await?;
            anyhow::Ok((servers, fleet))
        };
        let ((servers, fleet), n8n) = tokio::try_join!(fleet, n8n::start(n8n_port, gateway.base_url(), &secrets))?;
        let hook = format!("http://odoo:{}@127.0.0.1:{}/supply/v1/hooks/odoo", secrets.odoo, fleet.port("supply")?);
        let webhook = Webhook::to(&hook);
        odoo.set_webhook(Some(webhook.clone()));
        let webhook_header = secrets.webhook.clone();
        let bed = Self { gateway, odoo, mails, n8n, fleet, shop, webhook, webhook_header, _servers: servers };
        bed.furnish(&bed.shop.observations(now)?).await?;
        Ok(bed)
    }

    /// Tells supply what Odoo does not know, and waits until its first sweep has met it.
    async fn furnish(&self, observations: &str) -> Result<()> {
        let api = self.api(Who::N8n);
        let answer = api.post_ndjson("/supply/v1/observations", observations).await?;
        let refused: Vec<&str> = answer.lines().filter(|line| !line.contains("\"accepted\":true")).collect();
        ensure!(refused.is_empty(), "observations refused: {refused:?}");
        for article in self.shop.articles() {
            let path = format!("/supply/v1/facts/{}/{STORE}", article.sku);
            let known = async || {
                let facts = api.get(&path).await?.success()?;
                let donors = facts["donors"].as_array().map_or(0, Vec::len);
                ensure!(donors == article.donors.len(), "{donors} donors are known: {}", facts["donors"]);
                Ok(())
            };
            poll(SOON, &format!("the facts of {} are there", article.sku), known).await?;
        }
        Ok(())
    }

    pub fn api(&self, who: Who) -> Api {
        Api::new(self.gateway.base_url(), self.fleet.key(who))
    }

    /// The rule in Odoo, as it is set up: each hint once.
    pub fn webhook(&self) -> Webhook {
        self.webhook.clone()
    }

    /// Somebody counts, and finds that much of the article left in the store. Odoo tells whoever listens.
    pub async fn stock_falls_to(&self, sku: &str, on_hand: f64) -> Result<()> {
        let told = self.odoo.set_quantity(sku, STORE, on_hand).await?;
        ensure!(told.posted > 0 && told.accepted == told.posted, "of Odoo's hints: {told:?}");
        Ok(())
    }

    /// Pushes to n8n what the notifier would push about an article, also about one that does not exist.
    pub async fn push_ran_low(&self, sku: &str) -> Result<()> {
        let data = json!({"product": sku, "location": STORE, "available": 1.0, "reorder_point": 9.0});
        let body = json!({"type": "steward.stock.ran_low.v1", "id": format!("event-{sku}"), "correlation_id": format!("case-{sku}"),
            "subject": format!("{sku}@{STORE}"), "data": data});
        let push = reqwest::Client::new().post(self.n8n.webhook_url("steward-low-stock")).json(&body);
        let answer = push.header("X-Steward-Webhook", &self.webhook_header).send().await?;
        ensure!(answer.status() == 202, "n8n answered {}", answer.status());
        Ok(())
    }

    /// The exception that was opened, once it is, with its details: `wanted` is a part of what the list says of it.
    pub async fn exception(&self, class: &str, wanted: &str, within: Duration) -> Result<Value> {
        let find = async || {
            let page = self.api(Who::Operator).get("/notify/v1/exceptions?limit=500").await?.success()?;
            let mut items = page["items"].as_array().cloned().unwrap_or_default().into_iter();
            let found = items.find(|one| one["class"] == class && one.to_string().contains(wanted));
            found.with_context(|| format!("there are {}", page["items"]))
        };
        let found = poll(within, &format!("an exception {class} about {wanted}"), find).await?;
        let path = format!("/notify/v1/exceptions/{}", found["id"].as_str().unwrap_or_default());
        self.api(Who::Operator).get(&path).await?.success()
    }

    /// A mail to this address whose subject contains `about`.
    pub async fn mail(&self, to: &str, about: &str) -> Result<Mail> {
        let wanted = |mail: &Mail| mail.to.iter().any(|one| one == to) && mail.subject.contains(about);
        self.mails.wait_for(wanted, SOON).await.with_context(|| format!("a mail to {to} about {about}"))
    }

    /// How many mails about the article this address has had.
    pub fn mails_to(&self, to: &str, about: &str) -> usize {
        let mails = self.mails.messages();
        mails.iter().filter(|mail| mail.to.iter().any(|one| one == to) && mail.subject.contains(about)).count()
    }

    /// The transfers of an article that Steward drafted in Odoo.
    pub fn transfers(&self, sku: &str) -> Vec<Value> {
        let product = self.shop.odoo_id(sku);
        let pickings = self.odoo.pickings().into_iter().map(Value::Object);
        let ours =
            pickings.filter(|picking| picking["origin"].as_str().is_some_and(|from| from.starts_with("steward:")));
        let of_product = |picking: &Value| {
            picking["moves"].as_array().is_some_and(|lines| lines.iter().any(|line| line["product_id"] == product))
        };
        ours.filter(of_product).collect()
    }

    /// The one transfer of an article, once it is there.
    pub async fn transfer(&self, sku: &str) -> Result<Value> {
        let found = async || match &self.transfers(sku)[..] {
            [one] => Ok(one.clone()),
            other => anyhow::bail!("Odoo has {} transfers of {sku}", other.len()),
        };
        poll(SOON, &format!("one transfer of {sku} stands in Odoo"), found).await
    }

    /// The thread of business that the latest fall of the article began.
    pub async fn case_of(&self, sku: &str) -> Result<String> {
        let path = format!("/supply/v1/audit?limit=500&subject=stock:{sku}@{STORE}");
        let latest = async || {
            let page = self.api(Who::Operator).get(&path).await?.success()?;
            let mut leaves = page["items"].as_array().into_iter().flatten();
            let fell = leaves.rfind(|leaf| leaf["verb"] == "stock.ran_low");
            let case = fell.and_then(|leaf| leaf["correlation_id"].as_str()).map(str::to_owned);
            case.with_context(|| format!("the audit says: {page}"))
        };
        poll(SOON, &format!("{sku} has run low"), latest).await
    }

    /// The request for approval of a case, once it is there.
    pub async fn approval_of(&self, sku: &str) -> Result<Value> {
        let find = async || {
            let page = self.api(Who::Operator).get("/approvals/v1/approvals?limit=500").await?.success()?;
            let mut items = page["items"].as_array().cloned().unwrap_or_default().into_iter();
            items.find(|item| item["action"]["product"] == sku).context("nobody has asked yet")
        };
        poll(SOON, &format!("approval is asked for {sku}"), find).await
    }

    /// The request once it has that status.
    pub async fn approval_becomes(&self, sku: &str, status: &str) -> Result<Value> {
        let is = async || {
            let approval = self.approval_of(sku).await?;
            ensure!(approval["status"] == status, "it is {}", approval["status"]);
            Ok(approval)
        };
        poll(SOON, &format!("the approval of {sku} is {status}"), is).await
    }

    /// Every audit entry of a thread of business, over all services.
    pub async fn trail(&self, case: &str) -> Result<Trail> {
        Trail::read(&self.api(Who::Operator), case).await
    }

    /// What went wrong inside, for the report of a failed test.
    pub fn complaints(&self) -> String {
        self.fleet.complaints()
    }
}
