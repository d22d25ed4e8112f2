//! What the far ends' ledgers say afterwards.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Context as _, Result, ensure};
use serde_json::Value;
use testkit::Taken;

use crate::ground::{Ground, Stream, say};

/// What the relay logs before it repeats an effect that may have happened.
const IN_DOUBT: &str = "may double it";

/// What had been before the stream.
pub(crate) struct Before {
    doubts: usize,
    loud: BTreeMap<(String, String), usize>,
}

impl Before {
    pub(crate) async fn of(ground: &Ground) -> Self {
        let logs = ground.fleet.lock().await.logs();
        let doubts = logs.values().flat_map(|log| log.lines()).filter(|line| line.contains(IN_DOUBT)).count();
        Self { doubts, loud: loud(logs.values()) }
    }
}

/// Warnings and errors by level and text.
fn loud<'a>(logs: impl Iterator<Item = &'a String>) -> BTreeMap<(String, String), usize> {
    let mut count = BTreeMap::new();
    for line in logs.flat_map(|log| log.lines()) {
        let Ok(line) = serde_json::from_str::<Value>(line) else { continue };
        if matches!(line["level"].as_str(), Some("WARN" | "ERROR")) {
            let text = |field: &str| line[field].as_str().unwrap_or_default().to_owned();
            *count.entry((text("level"), text("message"))).or_default() += 1;
        }
    }
    count
}

impl Stream {
    /// Every fall was pushed under one id, every case has one decision, one transfer and one mail to each who was
    /// asked; a mail came twice only where the fleet said that it might.
    pub(crate) async fn prove(self, ground: &Ground, before: &Before) -> Result<()> {
        let taken: Vec<Taken> = ground.ears.taken();
        let pushes = self.ids(&taken, |one| (one.path == "/pushes").then(|| product(&one.body)).flatten());
        once("pushed", self.skus(), &pushes)?;
        let resumed = self.ids(&taken, |one| one.path.strip_prefix("/resume/").map(str::to_owned));
        once("decided", self.cases(), &resumed)?;
        self.prove_transfers(ground)?;
        let doubles = self.mailed_twice(ground)?;
        let after = Before::of(ground).await;
        let doubts = after.doubts - before.doubts;
        ensure!(doubles <= doubts, "{doubles} mails came twice, but only {doubts} were said to be in doubt");
        let repeats: usize = taken.iter().map(|one| one.times - 1).sum();
        say(&format!("{}: {doubles} mails came twice ({doubts} in doubt); {repeats} pushes repeated so far", self.0));
        for (what, times) in after.loud {
            let news = times - before.loud.get(&what).copied().unwrap_or(0);
            if news > 0 {
                say(&format!("{}:   {news} x {} {}", self.0, what.0, what.1));
            }
        }
        Ok(())
    }

    /// The ids under which each article of the stream was told.
    fn ids(self, taken: &[Taken], sku: impl Fn(&Taken) -> Option<String>) -> BTreeMap<String, BTreeSet<String>> {
        let mut ids: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
        for one in taken {
            if let Some(sku) = sku(one).filter(|sku| sku.starts_with(self.0)) {
                ids.entry(sku).or_default().insert(one.key.clone());
            }
        }
        ids
    }

    /// One draft in Odoo, written once: a second `load` would undo what a person changed since.
    fn prove_transfers(self, ground: &Ground) -> Result<()> {
        let mut drafts: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
        let mut written: BTreeMap<String, usize> = BTreeMap::new();
        for call in ground.odoo.calls().iter().filter(|call| call.model == "stock.picking" && call.method == "load") {
            let origin = call.body["data"][0][1].as_str().context("a load without origin")?;
            *written.entry(origin.to_owned()).or_default() += 1;
        }
        let skus: Vec<String> = Self::ALL.into_iter().flat_map(Self::cases).collect();
        for picking in ground.odoo.pickings().into_iter().map(Value::Object) {
            let (Some(origin), Some(product)) =
                (picking["origin"].as_str(), picking["moves"][0]["product_id"].as_u64())
            else {
                continue;
            };
            // Odoo numbers records in the order in which they are made.
            let sku = skus.get(usize::try_from(product)? - 1).context("a transfer of an unknown article")?;
            ensure!(
                written.get(origin) == Some(&1),
                "the draft {origin} of {sku} was written {:?} times",
                written.get(origin)
            );
            drafts.entry(sku.clone()).or_default().insert(format!("{origin} {}", picking["id"]));
        }
        drafts.retain(|sku, _| sku.starts_with(self.0));
        once("drafted", self.cases(), &drafts)
    }

    /// How many mails about the stream came more often than once; each under the Message-ID of the first.
    fn mailed_twice(self, ground: &Ground) -> Result<usize> {
        let mut ids: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
        let mut copies = 0;
        for mail in ground.mails.messages() {
            let sku = self.cases().find(|sku| mail.subject.contains(sku.as_str()));
            if let Some(sku) = sku {
                copies += 1;
                ids.entry(format!("{sku} to {}", mail.to.join(","))).or_default().insert(mail.message_id);
            }
        }
        let asked = |sku: String| ["olga", "otto"].map(|who| format!("{sku} to {who}@shop.example"));
        once("mailed", self.cases().flat_map(asked), &ids)?;
        Ok(copies - ids.len())
    }
}

fn product(body: &[u8]) -> Option<String> {
    serde_json::from_slice::<Value>(body).ok()?["data"]["product"].as_str().map(str::to_owned)
}

/// Every one that was expected has exactly one id, and nothing else has any.
fn once(what: &str, expected: impl Iterator<Item = String>, ids: &BTreeMap<String, BTreeSet<String>>) -> Result<()> {
    let expected: BTreeSet<String> = expected.collect();
    let lost: Vec<_> = expected.iter().filter(|one| !ids.contains_key(*one)).collect();
    let doubled: Vec<_> = ids.iter().filter(|(_, ids)| ids.len() != 1).collect();
    let strange: Vec<_> = ids.keys().filter(|one| !expected.contains(*one)).collect();
    ensure!(lost.is_empty(), "{} of {} were not {what}: {lost:?}", lost.len(), expected.len());
    ensure!(doubled.is_empty(), "{what} under several ids: {doubled:?}");
    ensure!(strange.is_empty(), "{what} although nobody asked: {strange:?}");
    Ok(())
}
