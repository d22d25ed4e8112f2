//! What an operator would have seen: readiness and backlog of every replica, and the end of both.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use anyhow::{Context as _, Result, ensure};
use futures_util::future::join_all;
use serde_json::Value;
use testkit::poll;
use tokio::{task::JoinHandle, time::sleep};

use crate::ground::{Ground, PATIENCE, Stream};

const LOOK: Duration = Duration::from_millis(200);
const ANSWER: Duration = Duration::from_secs(8);
pub(crate) const SERVICES: [&str; 4] = ["scoring", "approvals", "supply", "notify"];

/// What was seen while the fault went on.
#[derive(Debug, Clone, Default)]
pub(crate) struct Seen {
    /// By service: why it was not ready (503).
    pub(crate) red: BTreeMap<&'static str, BTreeSet<String>>,
    /// By service: what it missed although it was ready.
    pub(crate) degraded: BTreeMap<&'static str, BTreeSet<String>>,
    /// Most rows that one service said to be waiting.
    pub(crate) backlog: u64,
}

impl Seen {
    /// Whether a replica of the service was red, or degraded, for such a reason.
    pub(crate) fn told(&self, service: &str, of: &str) -> bool {
        let says = |map: &BTreeMap<&str, BTreeSet<String>>| {
            map.get(service).is_some_and(|reasons| reasons.iter().any(|reason| reason.contains(of)))
        };
        says(&self.red) || says(&self.degraded)
    }
}

impl fmt::Display for Seen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "at most {} rows waited; red: {:?}; degraded: {:?}", self.backlog, self.red, self.degraded)
    }
}

pub(crate) struct Watch {
    seen: Arc<Mutex<Seen>>,
    looker: JoinHandle<()>,
}

impl Watch {
    pub(crate) fn start(ground: &Arc<Ground>) -> Self {
        let seen = Arc::new(Mutex::new(Seen::default()));
        let (ground, noted) = (Arc::clone(ground), Arc::clone(&seen));
        let looker = tokio::spawn(async move {
            loop {
                // All at once, or one that takes its time would hide the others.
                join_all(ground.addresses.iter().map(|(service, url)| look(&ground, service, url, &noted))).await;
                sleep(LOOK).await;
            }
        });
        Self { seen, looker }
    }

    /// Waits until nothing waits any more and everybody is well, by the databases, the broker and their own words.
    pub(crate) async fn settled(self, ground: &Ground, stream: Stream) -> Result<Seen> {
        let missing = async || {
            let heard = ground.ears.taken().iter().filter(|one| one.path == "/pushes").count();
            ensure!(heard > 0, "nothing was pushed");
            for service in SERVICES {
                let rows = format!(
                    "SELECT (SELECT count(*) FROM {service}.outbox WHERE state = 'pending') || ' ' || \
                     (SELECT count(*) FROM {service}.inbox WHERE state = 'pending')"
                );
                let waiting = ground.sql(&rows).await?;
                ensure!(waiting == "0 0", "in {service}'s outbox and inbox wait {waiting}");
            }
            let queues = ground.rabbitmq.lock().await.queues().await?;
            ensure!(queues.contains_key("steward.notify"), "these are not our queues: {queues:?}");
            ensure!(queues.values().all(|messages| *messages == 0), "in RabbitMQ wait {queues:?}");
            for (service, url) in &ground.addresses {
                let (status, told) = readiness(ground, url).await?;
                let degraded = told["degraded"].as_array().is_none_or(|list| !list.is_empty());
                ensure!(status == 200 && !degraded, "{service} says {status}: {told}");
                let rows = waiting(ground, url).await?;
                ensure!(rows == 0, "{service} says that {rows} rows wait");
            }
            sleep(LOOK).await;
            Ok(())
        };
        poll(PATIENCE, &format!("{} settles", stream.0), missing).await?;
        self.looker.abort();
        for service in SERVICES {
            let url = ground.url(&format!("/{service}/v1/dead-letters?limit=500"));
            let page = ground.http.get(url).bearer_auth(&ground.operator_key).send().await?.json::<Value>().await?;
            ensure!(page["items"].as_array().is_some_and(Vec::is_empty), "{service} gave up: {page}");
        }
        let seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner).clone();
        // Each fall is two events, and each event at most a row at both ends and one of its effect; cases are few.
        let bound = u64::try_from(Stream::events() * 4)? + 1000;
        ensure!(seen.backlog <= bound, "{} rows waited at once, more than {bound}", seen.backlog);
        Ok(seen)
    }
}

/// Notes what one replica says of itself. One that was killed says nothing, and that is no answer to note.
async fn look(ground: &Ground, service: &'static str, url: &str, seen: &Mutex<Seen>) {
    let Ok((status, told)) = readiness(ground, url).await else { return };
    let backlog = waiting(ground, url).await.unwrap_or(0);
    let mut seen = seen.lock().unwrap_or_else(PoisonError::into_inner);
    seen.backlog = seen.backlog.max(backlog);
    let reasons = if status == 200 { &told["degraded"] } else { &told["reasons"] };
    let list = if status == 200 { &mut seen.degraded } else { &mut seen.red };
    let reasons = reasons.as_array().into_iter().flatten().filter_map(Value::as_str).map(str::to_owned);
    list.entry(service).or_default().extend(reasons);
    list.retain(|_, reasons| !reasons.is_empty());
}

async fn readiness(ground: &Ground, url: &str) -> Result<(u16, Value)> {
    let answer = ground.http.get(format!("{url}/readyz")).timeout(ANSWER).send().await?;
    Ok((answer.status().as_u16(), answer.json().await?))
}

/// The sum of the replica's `queue_backlog`.
async fn waiting(ground: &Ground, url: &str) -> Result<u64> {
    let text = ground.http.get(format!("{url}/metrics")).timeout(ANSWER).send().await?.text().await?;
    let gauges = text.lines().filter(|line| line.starts_with("queue_backlog"));
    let value = |line: &str| line.rsplit(' ').next().context("no value")?.parse::<f64>().context("no number");
    let rows = gauges.map(value).sum::<Result<f64>>()?;
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a count of rows")]
    Ok(rows as u64)
}
