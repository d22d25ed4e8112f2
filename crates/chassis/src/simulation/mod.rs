//! A seeded simulation of the reliable path: the real loops of one or two replicas, over a store and a bus that can
//! fail, lose an answer or crash the replica at each step.
//!
//! A scheduler lets one step happen at a time, in an order that its seed chooses; time stands still until it moves it.
//! So a seed replays a run exactly: `STEWARD_SEED=7 cargo test -p chassis simulation` (printed by every failure).
//! `STEWARD_RUNS=5000` runs that many seeds.

mod bus;
mod far_end;
mod laws;
mod replica;
mod steps;
#[cfg(test)]
mod tests;

use std::{
    collections::BTreeMap,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};

use actix_web::{FromRequest, test::TestRequest};
use contracts::events::StockRanLow;
use serde_json::json;
pub(crate) use steps::{OpenTx, Steps};
use tempfile::TempDir;
use tokio::task::JoinHandle;

use self::{
    bus::Broker,
    far_end::FarEnd,
    replica::Replica,
    steps::{Faults, Turn, World},
};
use crate::{
    auth::{Principal, generate_key},
    clock::{Clock, Ids},
    http::{IdempotencyKey, Reply, command},
    store::Store,
    telemetry::Metrics,
};

/// The number of an order that the idempotent peer refuses.
const REFUSED: u64 = 3;
/// Pauses when nobody waits; the longest is as long as the longest delay before another attempt.
const PAUSES: [Duration; 4] =
    [Duration::from_millis(300), Duration::from_secs(1), Duration::from_secs(4), Duration::from_secs(60)];
const STALL: Duration = Duration::from_secs(700);
/// Steps after which all is healed, though a fault were left.
const TROUBLED: usize = 1_000;
/// Steps in which all must have come to rest, many times what it takes.
const PATIENCE: usize = 6_000;

/// What a run is asked to do.
#[derive(Clone, Copy, Debug)]
struct Scenario {
    subjects: usize,
    /// Commands for each subject, one after another; those of different subjects come at once.
    each: u64,
    /// With the broker; without it there is one process with the bus inside.
    broker: bool,
    replicas: usize,
    flaw: Flaw,
}

impl Scenario {
    fn commands(&self) -> usize {
        self.subjects * usize::try_from(self.each).unwrap()
    }

    fn refusals(&self) -> usize {
        if self.each >= REFUSED { self.subjects } else { 0 }
    }
}

/// A fault of the model, made on purpose: a law that cannot see it is none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Flaw {
    None,
    PeerForgets,
    ProbeIsBlind,
    BrokerShuffles,
    AckComesFirst,
}

/// What the replicas stand on, and what outlives them.
struct Ground {
    world: Arc<World>,
    folder: TempDir,
    clock: Clock,
    ids: Ids,
    metrics: Metrics,
    broker: Option<Arc<Broker>>,
    far_end: FarEnd,
    flaw: Flaw,
    /// The replicas that run, by number.
    live: Mutex<BTreeMap<usize, Replica>>,
    /// Crashes, and pauses in which a claim ran out under whoever held it: what may double an effect in doubt.
    interruptions: AtomicU32,
}

impl Ground {
    fn new(seed: u64, scenario: Scenario, world: &Arc<World>) -> Self {
        Self {
            world: Arc::clone(world),
            folder: folder(),
            clock: Clock::manual("2026-11-23T08:00:00Z".parse().unwrap()),
            ids: Ids::seeded(seed),
            metrics: Metrics::default(),
            broker: scenario.broker.then(|| Broker::new(scenario.flaw)),
            far_end: FarEnd::default(),
            flaw: scenario.flaw,
            live: Mutex::default(),
            interruptions: AtomicU32::new(0),
        }
    }

    fn live(&self) -> MutexGuard<'_, BTreeMap<usize, Replica>> {
        self.live.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// In-doubt effects that were counted.
    fn in_doubt(&self) -> u32 {
        let text = self.metrics.render();
        let counted = text.lines().filter(|line| line.starts_with("in_doubt_total"));
        counted.filter_map(|line| line.rsplit(' ').next()?.parse::<u32>().ok()).sum()
    }
}

/// In memory where there is a place for it: thousands of runs would wait for the disk, which is not what they test.
fn folder() -> TempDir {
    tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir()).unwrap()
}

/// A person or program that asks for things, and asks again with the same key until it is answered.
async fn client(ground: Arc<Ground>, subject: usize, commands: u64) {
    for number in 1..=commands {
        let mut tries = 0;
        loop {
            let live: Vec<Replica> = ground.live().values().cloned().collect();
            let asked = match live.get((subject + tries) % live.len().max(1)) {
                Some(replica) => tokio::select! {
                    biased;
                    () = replica.gone.cancelled() => Err(()),
                    answer = ask(replica, subject, number) => answer,
                },
                None => Err(()),
            };
            if asked.is_ok() {
                break;
            }
            tries += 1;
            ground.clock.sleep(Duration::from_secs(1)).await;
        }
    }
}

async fn ask(replica: &Replica, subject: usize, number: u64) -> Result<(), ()> {
    let (key, caller, order) = (key(subject, number), caller(), (subject, number));
    let asked = command(&replica.cx, &caller, "sell", &key, &order, |tx| {
        Box::pin(async move {
            tx.audit("key:n8n", "asked", &format!("{subject}/{number}"), json!({})).await?;
            let event = json!({"product": format!("sku-{subject}"), "location": "store-1", "available": number,
                "reorder_point": 5.0, "observed_at": tx.now()});
            tx.emit(&serde_json::from_value::<StockRanLow>(event).unwrap()).await?;
            Ok(Reply::created(json!({"number": number})))
        })
    });
    asked.await.map_or(Err(()), |_| Ok(()))
}

fn key(subject: usize, number: u64) -> IdempotencyKey {
    let header = ("Idempotency-Key", format!("{subject}-{number}"));
    let request = TestRequest::default().insert_header(header).to_http_request();
    IdempotencyKey::extract(&request).into_inner().unwrap()
}

fn caller() -> Principal {
    generate_key(&Ids::seeded(0), &"n8n".to_owned().try_into().unwrap()).1.principal(false)
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "it was a small whole number")]
fn number_of(event: &StockRanLow) -> u64 {
    event.available as u64
}

/// What came of a run.
struct Outcome {
    seed: u64,
    steps: usize,
    trace: Vec<String>,
    broken: Option<laws::Broken>,
}

/// One run, on a runtime of its own.
fn run(seed: u64, faults: Faults, scenario: Scenario) -> Outcome {
    let world = World::new(seed, faults);
    let idle = Arc::clone(&world);
    let mut runtime = tokio::runtime::Builder::new_current_thread();
    let runtime = runtime.enable_all().start_paused(true).on_thread_park(move || idle.idle()).build().unwrap();
    let ground = Arc::new(Ground::new(seed, scenario, &world));
    let broken = runtime.block_on(async {
        // Paused time jumps to the next timer when nobody runs, but for those on a blocking thread. The store is on
        // threads of its own, and while it works nobody runs: so one stays on a blocking thread until the end.
        let (ends, held) = std::sync::mpsc::channel::<()>();
        let holds_time = tokio::task::spawn_blocking(move || held.recv());
        let broken = Scheduler::start(&ground, scenario).await.run().await;
        drop(ends);
        drop(holds_time.await);
        broken.err()
    });
    Outcome { seed, steps: world.decided(), trace: world.trace(), broken }
}

struct Scheduler<'a> {
    ground: &'a Arc<Ground>,
    scenario: Scenario,
    clients: Vec<JoinHandle<()>>,
    /// Looks at the tables from outside.
    observer: Store,
    missing: Vec<usize>,
}

impl<'a> Scheduler<'a> {
    async fn start(ground: &'a Arc<Ground>, scenario: Scenario) -> Self {
        let observer = replica::open(ground.folder.path(), ground).await;
        let missing = (0..scenario.replicas).collect();
        let client = |subject| tokio::spawn(client(Arc::clone(ground), subject, scenario.each));
        let clients = (0..scenario.subjects).map(client).collect();
        Self { ground, scenario, clients, observer, missing }
    }

    async fn run(mut self) -> Result<(), laws::Broken> {
        let world = Arc::clone(&self.ground.world);
        self.replace().await;
        let mut lingered = false;
        for step in 0..PATIENCE {
            world.quiet().await;
            self.bury();
            if step == TROUBLED {
                world.heal();
            }
            let healed = !world.is_troubled();
            if !self.missing.is_empty() && (healed || world.one_in(8)) {
                self.replace().await;
                continue;
            }
            if world.one_in(10) {
                self.let_pass(PAUSES[0]).await;
                continue;
            }
            match world.release_one() {
                Turn::Moved => lingered = false,
                Turn::Stalled => self.stall().await,
                Turn::NobodyWaits if healed && self.is_over().await => {
                    return laws::all(&self.observer, self.ground, &self.scenario).await;
                }
                // Between two batches they linger for milliseconds, and not until the next leap of time.
                Turn::NobodyWaits if !lingered => {
                    lingered = true;
                    tokio::time::advance(crate::LINGER).await;
                }
                Turn::NobodyWaits => {
                    lingered = false;
                    self.let_pass(world.pick(&PAUSES)).await;
                }
            }
        }
        Err(format!("not at rest after {PATIENCE} steps: {}", laws::what_waits(&self.observer).await))
    }

    /// Starts what is missing.
    async fn replace(&mut self) {
        for number in self.missing.drain(..) {
            self.ground.world.note(format!("{number} starts"));
            let replica = Replica::start(self.ground, number).await;
            self.ground.live().insert(number, replica);
        }
    }

    /// Whoever crashed is gone for its clients and for the broker.
    fn bury(&mut self) {
        for number in self.ground.world.crashed() {
            self.ground.interruptions.fetch_add(1, Ordering::SeqCst);
            if let Some(replica) = self.ground.live().remove(&number) {
                replica.steps.die();
                replica.gone.cancel();
            }
            if let Some(broker) = &self.ground.broker {
                broker.lost(number);
            }
            self.missing.push(number);
        }
    }

    /// Longer than any claim lasts, while somebody stands in the middle of his work.
    async fn stall(&self) {
        self.ground.interruptions.fetch_add(1, Ordering::SeqCst);
        self.let_pass(STALL).await;
    }

    async fn let_pass(&self, pause: Duration) {
        self.ground.world.note(format!("{} s pass", pause.as_secs_f64()));
        self.ground.clock.advance(pause);
        tokio::time::advance(pause).await;
    }

    async fn is_over(&self) -> bool {
        self.clients.iter().all(JoinHandle::is_finished) && laws::at_rest(&self.observer, self.ground).await
    }
}
