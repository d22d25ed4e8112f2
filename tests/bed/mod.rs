//! Everything of the first scenario on one machine: four services as separate processes, PostgreSQL, RabbitMQ, Redis, a
//! mail server, n8n with the workflows as they are shipped, an Odoo (real, or replaying a real one), and one gateway before
//! all.

mod api;
mod erp;
mod fleet;
mod gateway;
mod n8n;
mod scene;
mod trail;

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use chassis::Clock;
use governance::{Grant, GrantVerifier, grant::Jwks};
use odoo::replay::Webhook;
use serde_json::{Value, json};
use testkit::{Mail, N8n, Postgres, RabbitMq, Redis, SmtpSink, poll};

use self::scene::Shop;
pub use self::{
    api::{Answer, Api},
    erp::{Erp, RealOdoo},
    fleet::{Fleet, Name, Peers, Secrets, Shape, Who},
    gateway::{Exchange, Gateway},
    scene::{Article, DONOR_ABROAD, DONOR_NEAR, SECOND_STORE, STORE},
    trail::{Leaf, Trail},
};

/// What must happen by itself: hint, read-back (debounced by a second), bus, n8n, mail.
pub const SOON: Duration = Duration::from_secs(30);

/// What a ground has other than usual.
#[derive(Debug, Default)]
pub struct Twist {
    pub shape: Shape,
    /// A real Odoo instead of the replayed one.
    pub real_odoo: bool,
    /// What n8n's Wait nodes wait instead of minutes.
    pub n8n_minutes: Option<&'static str>,
    /// How many seconds apart the workflows run that run by the clock, instead of every morning or hour, and then with
    /// pages of five.
    pub watch_seconds: Option<u32>,
    /// Scarce stock is shared out by the clock, instead of a triage of each fall.
    pub allocation: bool,
}

/// The whole ground. Its servers end with the test process.
pub struct Bed {
    pub gateway: Gateway,
    pub odoo: Erp,
    pub mails: SmtpSink,
    pub n8n: N8n,
    fleet: Fleet,
    shop: Shop,
    /// Where Odoo posts its hints.
    hook: String,
    secrets: Secrets,
    _servers: (Postgres, RabbitMq, Redis),
}

impl Bed {
    /// Starts it all with these articles in the shop. About 25 seconds, most of them n8n's.
    pub async fn start(articles: &[Article]) -> Result<Self> {
        Self::start_with(articles, &Twist::default()).await
    }

    /// As [`Bed::start`], other than usual.
    pub async fn start_with(articles: &[Article], twist: &Twist) -> Result<Self> {
        testkit::install_tls_provider();
        let shop = Shop::of(articles);
        let clock = Clock::system();
        let now = clock.now();
        let mails = SmtpSink::start().await?;
        let gateway = Gateway::start().await?;
        let secrets = Secrets::new()?;
        let n8n_port = testkit::free_port();
        gateway.route("/webhook", &format!("http://127.0.0.1:{n8n_port}"));
        let fleet = async {
            let odoo =
                if twist.real_odoo { Erp::real(&shop, &gateway).await? } else { Erp::replayed(&shop, clock).await? };
            let servers = tokio::try_join!(Postgres::start(), RabbitMq::start(), Redis::start())?;
            let peers = Peers {
                database: servers.0.create_database("steward").await?,
                bus: servers.1.url(),
                redis: servers.2.url(),
                smtp: mails.url(),
                odoo: odoo.config(),
            };
            let fleet = Fleet::of(twist.shape.clone(), &gateway, &secrets, &peers).await?;
            anyhow::Ok((odoo, servers, fleet))
        };
        let ((odoo, servers, fleet), n8n) =
            tokio::try_join!(fleet, n8n::start(n8n_port, gateway.base_url(), &secrets, twist))?;
        let hook = format!("http://odoo:{}@127.0.0.1:{}/supply/v1/hooks/odoo", secrets.odoo, fleet.port("supply")?);
        odoo.tell(&hook).await?;
        let bed = Self { gateway, odoo, mails, n8n, fleet, shop, hook, secrets, _servers: servers };
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

    /// The rule in a replayed Odoo, as it is set up: each hint once.
    pub fn webhook(&self) -> Webhook {
        Webhook::to(&self.hook)
    }

    /// Somebody counts, and finds that much of the article left in the store. Odoo tells whoever listens.
    pub async fn stock_falls_to(&self, sku: &str, on_hand: f64) -> Result<()> {
        self.odoo.count(sku, STORE, on_hand).await
    }

    /// As [`stock_falls_to`](Self::stock_falls_to), in another place.
    pub async fn count(&self, sku: &str, warehouse: &str, on_hand: f64) -> Result<()> {
        self.odoo.count(sku, warehouse, on_hand).await
    }

    /// Has low stock pushed to n8n by a subscription of its own, which bears that much silence about a case.
    pub async fn subscribe_n8n(&self, receipt_within: Duration) -> Result<String> {
        let body = json!({"types": ["steward.stock.ran_low.v1"], "receipt_within_seconds": receipt_within.as_secs(),
            "url": format!("{}/webhook/steward-low-stock", self.gateway.base_url()),
            "header": {"name": "X-Steward-Webhook", "value": self.secrets.webhook}});
        let made = self.api(Who::Operator).create("/notify/v1/subscriptions", "n8n", &body).await?.success()?;
        Ok(made["id"].as_str().unwrap_or_default().to_owned())
    }

    /// Pushes to n8n what the notifier would push about an article, also about one that does not exist.
    pub async fn push_ran_low(&self, sku: &str) -> Result<()> {
        let data = json!({"product": sku, "location": STORE, "available": 1.0, "reorder_point": 9.0});
        let body = json!({"type": "steward.stock.ran_low.v1", "id": format!("event-{sku}"), "correlation_id": format!("case-{sku}"),
            "subject": format!("{sku}@{STORE}"), "data": data});
        let push = reqwest::Client::new().post(self.n8n.webhook_url("steward-low-stock")).json(&body);
        let answer = push.header("X-Steward-Webhook", &self.secrets.webhook).send().await?;
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

    /// The transfers of an article that Steward drafted in Odoo, each with its lines under `moves`.
    pub async fn transfers(&self, sku: &str) -> Result<Vec<Value>> {
        self.odoo.transfers(&self.shop, sku).await
    }

    /// The one transfer of an article, once it is there.
    pub async fn transfer(&self, sku: &str) -> Result<Value> {
        let found = async || match &self.transfers(sku).await?[..] {
            [one] => Ok(one.clone()),
            other => anyhow::bail!("Odoo has {} transfers of {sku}", other.len()),
        };
        poll(SOON, &format!("one transfer of {sku} stands in Odoo"), found).await
    }

    /// A grant with something changed, signed as approval-svc signs.
    pub fn forge(&self, grant: &str, change: impl FnOnce(&mut Grant)) -> Result<String> {
        let signer = &self.secrets.grants;
        let verifier = GrantVerifier::from_jwks(&Jwks { keys: vec![signer.jwk()] })?;
        let mut grant = verifier.verify(grant, "steward/supply", Clock::system().now())?;
        change(&mut grant);
        Ok(signer.sign(&grant)?)
    }

    /// The link in an approver's mail about an article.
    pub async fn link_to(&self, who: Who, sku: &str) -> Result<String> {
        let mail = self.mail(&who.address(), sku).await?;
        let link = mail.link("/approvals/decide/").context("the mail has no link")?;
        Ok(link.to_owned())
    }

    /// Presses a button of the page behind a link; answers with the status.
    pub async fn press(&self, link: &str, decision: &str, comment: &str) -> Result<u16> {
        let answer = self.api(Who::Nobody).post_form(link, &[("decision", decision), ("comment", comment)]).await?;
        Ok(answer.status.as_u16())
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
