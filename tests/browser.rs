//! The approver's page in a real browser: it is what people see of Steward, on a phone as often as not.

use std::{env, fs, path::PathBuf, time::Duration};

use anyhow::{Context as _, Result, ensure};
use chassis::{Clock, prelude::Timestamp};
use fantoccini::{Client, Locator};
use jiff::{ToSpan as _, tz::TimeZone};
use serde_json::{Value, json};
use testkit::{Browser, Process, Program, Scratch, SmtpSink, free_port};

const SOON: Duration = Duration::from_secs(20);
/// Width and height in CSS pixels.
const PHONE: (u32, u32) = (390, 844);
const DESKTOP: (u32, u32) = (1280, 900);

/// A fleet on this machine that sends its mail to us.
struct Fleet {
    base: String,
    key: String,
    mails: SmtpSink,
    _process: Process,
    _folder: Scratch,
}

impl Fleet {
    async fn start() -> Result<Self> {
        let (folder, mails, port) = (Scratch::new("browser")?, SmtpSink::start().await?, free_port());
        let data = folder.path().join("data");
        let args = ["up", "--port", &port.to_string(), "--data-dir", &data.display().to_string()].map(str::to_owned);
        let program = Program::built("steward")?.args(args).env("STEWARD__NOTIFY__SMTP__URL", mails.url());
        let mut process = Process::start(program)?;
        let base = format!("http://127.0.0.1:{port}");
        process.wait_ready(&format!("{base}/readyz"), SOON).await?;
        let key = fs::read_to_string(data.join("secrets/n8n.key"))?.trim().to_owned();
        Ok(Self { base, key, mails, _process: process, _folder: folder })
    }

    async fn call(&self, path: &str, body: Option<(&str, String)>) -> Result<String> {
        let url = format!("{}{path}", self.base);
        let http = reqwest::Client::new();
        let request = match body {
            Some((kind, text)) => {
                http.post(url).header("content-type", kind).header("idempotency-key", path).body(text)
            }
            None => http.get(url),
        };
        let answer = request.bearer_auth(&self.key).send().await?;
        let (status, text) = (answer.status(), answer.text().await?);
        ensure!(status.is_success(), "{path} answered {status}: {text}");
        Ok(text)
    }

    async fn post(&self, path: &str, body: &Value) -> Result<Value> {
        Ok(serde_json::from_str(&self.call(path, Some(("application/json", body.to_string()))).await?)?)
    }

    /// Asks for a transfer as the workflow does, and returns the approver's link.
    async fn ask(&self) -> Result<String> {
        self.call("/supply/v1/observations", Some(("application/x-ndjson", observations(Clock::system().now())?)))
            .await?;
        let facts: Value = serde_json::from_str(&self.call("/supply/v1/facts/OAT-1/store-1", None).await?)?;
        let answer = self.post("/scoring/v1/replenishment/score", &json!({"facts": facts})).await?;
        let parts = answer["contributions"].as_array().context("the score has no contributions")?;
        let parts: Vec<Value> = parts.iter().map(|one| json!({"name": one["name"], "micros": one["micros"]})).collect();
        let request = json!({
            "title": "Move oat drink from store-7 to store-1",
            "action": answer["recommendation"]["proposal"],
            "facts": facts,
            "score": {"micros": answer["score"], "band": answer["band"], "model": "replenishment-priority@1",
                "contributions": parts, "counterfactual": answer["counterfactuals"][0]["detail"]},
        });
        let asked = self.post("/approvals/v1/approvals", &request).await?;
        ensure!(asked["status"] == "waiting", "nobody was asked: {asked}");
        let mail = self.mails.wait_for(|mail| mail.link("/approvals/decide/").is_some(), SOON).await?;
        Ok(mail.link("/approvals/decide/").context("no link")?.to_owned())
    }
}

/// One article, a store that is nearly out of it, and one far away that has plenty.
fn observations(now: Timestamp) -> Result<String> {
    let today = now.to_zoned(TimeZone::UTC).date();
    let money = |minor: i64| json!({"minor": minor, "currency": "EUR"});
    let place = |id: &str, name: &str, region: &str| json!({"kind": "location", "location": id, "name": name, "region": region, "time_zone": "Europe/Berlin"});
    let stock = |at: &str, units: f64| json!({"kind": "stock", "product": "OAT-1", "location": at, "on_hand": units, "observed_at": now, "system": "pos"});
    let mut lines = vec![
        json!({"kind": "product", "product": "OAT-1", "name": "Oat drink 1 l", "category": "Dairy", "unit_cost": money(110),
            "unit_price": money(230), "pack": 12}),
        place("store-1", "Hamburg Altona", "north"),
        place("store-7", "München Pasing", "south"),
        stock("store-1", 14.0),
        stock("store-7", 320.0),
        json!({"kind": "lane", "from": "store-7", "to": "store-1", "transfer_days": 2.0, "transfer_cost": money(2500)}),
    ];
    for (at, days) in [8.0, 9.0, 12.0].into_iter().enumerate() {
        lines.push(
            json!({"kind": "lead_time", "product": "OAT-1", "location": "store-1", "supplier": "acme", "days": days,
            "order": format!("P{at}")}),
        );
    }
    for back in 1..=60_i64 {
        let day = today.checked_sub(back.days())?.to_string();
        let units = if back % 7 == 0 { 31.0 } else { 18.0 + f64::from(i32::try_from(back % 5)?) };
        lines.push(json!({"kind": "sales", "product": "OAT-1", "location": "store-1", "day": day, "units": units,
            "promotion": (20..24).contains(&back)}));
        lines.push(json!({"kind": "sales", "product": "OAT-1", "location": "store-7", "day": day, "units": 2.0}));
    }
    Ok(lines.iter().map(|line| format!("{line}\n")).collect())
}

/// Where pictures go for whoever wants to look: the folder named by `STEWARD_PICTURES`, else away with the test.
async fn picture(browser: &Browser, scratch: &Scratch, name: &str) -> Result<()> {
    let folder = env::var_os("STEWARD_PICTURES").map_or_else(|| scratch.path().to_owned(), PathBuf::from);
    browser.screenshot(&folder.join(format!("{name}.png"))).await
}

async fn fits(client: &Client, (width, height): (u32, u32)) -> Result<()> {
    client.set_window_size(width, height).await?;
    let wider = "return document.documentElement.scrollWidth - document.documentElement.clientWidth";
    let wider = client.execute(wider, vec![]).await?;
    ensure!(wider == json!(0), "at {width} x {height} the page is {wider} px too wide");
    Ok(())
}

#[tokio::test]
async fn an_approver_sees_why_and_approves_by_clicking() -> Result<()> {
    testkit::require!(Browser);
    testkit::install_tls_provider();
    let (fleet, browser, scratch) = (Fleet::start().await?, Browser::start().await?, Scratch::new("pictures")?);
    let link = fleet.ask().await?;
    let client = browser.client();
    client.goto(&link).await?;
    ensure!(client.title().await?.contains("Move oat drink"), "the title is {:?}", client.title().await?);
    let bars = client.find_all(Locator::Css("svg rect")).await?;
    ensure!(bars.len() > 60, "{} bars for two months of sales and the score", bars.len());
    let text = client.find(Locator::Css("body")).await?.text().await?;
    for told in ["Hamburg Altona", "München Pasing", "critical", "You, the owner of this laptop"] {
        ensure!(text.contains(told), "the page does not say {told:?}:\n{text}");
    }
    let buttons = client.find_all(Locator::Css("button[name=decision]")).await?;
    ensure!(buttons.len() == 4, "{} buttons", buttons.len());
    fits(client, DESKTOP).await?;
    picture(&browser, &scratch, "approval-desktop").await?;
    fits(client, PHONE).await?;
    picture(&browser, &scratch, "approval-phone").await?;

    let comment = client.find(Locator::Css("textarea[name=comment]")).await?;
    comment.send_keys("Truck leaves at <b>four</b>").await?;
    picture(&browser, &scratch, "approval-phone-form").await?;
    client.find(Locator::Css("button[name=decision][value=approve]")).await?.click().await?;
    client.wait().at_most(SOON).for_element(Locator::Css("section.result.approved")).await?;
    let text = client.find(Locator::Css("body")).await?.text().await?;
    ensure!(text.contains("Truck leaves at <b>four</b>"), "the comment is not shown as it was written:\n{text}");
    ensure!(client.find_all(Locator::Css("button[name=decision]")).await?.is_empty(), "it can be decided again");
    picture(&browser, &scratch, "approved-phone").await?;
    fits(client, DESKTOP).await?;
    picture(&browser, &scratch, "approved-desktop").await
}
