//! Places where a part of the system may be stopped, and what becomes of it there.
//!
//! Whoever comes to a step waits until the scheduler lets it go on, so one conversation with the store happens at a
//! time, and a run depends on nothing but its seed.

use std::{
    collections::BTreeSet,
    future::pending,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
};

use rand::{RngExt, SeedableRng, rngs::StdRng};
use tokio::sync::{Notify, oneshot};

use crate::store::StoreError;

/// What becomes of whoever stands at a step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fate {
    Go,
    /// The step fails, or, where it is the way back, its answer is lost.
    Fail,
    /// The replica crashes here.
    Crash,
    /// It stands here until its claim, its timeout, whatever there is, has run out.
    Stall,
}

/// What the scheduler's turn came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Turn {
    Moved,
    Stalled,
    NobodyWaits,
}

/// Where the faults of a run fall.
#[derive(Clone, Copy, Debug)]
pub(super) enum Faults {
    /// By chance, at most so many.
    Random(u32),
    /// One, at the step of this number.
    At(usize, Fate),
}

/// A step failed.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Failed;

/// Everything that the scheduler knows.
pub(super) struct World {
    state: Mutex<State>,
    /// Conversations with the store that are under way on another thread.
    open: AtomicUsize,
    waits: AtomicBool,
    quiet: Notify,
}

struct State {
    rng: StdRng,
    faults: Faults,
    decided: usize,
    parked: Vec<Parked>,
    crashed: BTreeSet<usize>,
    /// What happened, in order: the same for the same seed.
    trace: Vec<String>,
}

struct Parked {
    replica: usize,
    /// Grows with every task that is spawned. Those who wait are sorted by it, because the order in which one bell wakes
    /// many tasks is tokio's, and random.
    task: u64,
    what: String,
    go: oneshot::Sender<Result<(), Failed>>,
}

impl World {
    pub(super) fn new(seed: u64, faults: Faults) -> Arc<Self> {
        let (parked, crashed, trace) = Default::default();
        let rng = StdRng::seed_from_u64(seed);
        let state = State { rng, faults, decided: 0, parked, crashed, trace };
        Arc::new(Self {
            state: Mutex::new(state),
            open: AtomicUsize::new(0),
            waits: AtomicBool::new(false),
            quiet: Notify::new(),
        })
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The runtime has nothing to do: what it still waits for is a step, the clock, or a conversation with the store.
    pub(super) fn idle(&self) {
        if self.open.load(Ordering::SeqCst) == 0 && self.waits.swap(false, Ordering::SeqCst) {
            self.quiet.notify_one();
        }
    }

    /// Returns when everybody waits for a step or for the clock.
    pub(super) async fn quiet(&self) {
        self.waits.store(true, Ordering::SeqCst);
        self.quiet.notified().await;
    }

    /// Lets one of those who wait go on to its fate.
    pub(super) fn release_one(&self) -> Turn {
        let mut state = self.state();
        // An attempt that timed out waits no more.
        state.parked.retain(|parked| !parked.go.is_closed());
        if state.parked.is_empty() {
            return Turn::NobodyWaits;
        }
        state.parked.sort_by_key(|parked| parked.task);
        let waiting = state.parked.len();
        let chosen = state.rng.random_range(0..waiting);
        let parked = state.parked.remove(chosen);
        match state.fate(parked.replica, &parked.what) {
            Fate::Go => drop(parked.go.send(Ok(()))),
            Fate::Fail => drop(parked.go.send(Err(Failed))),
            // Its sender is dropped, and it waits for ever.
            Fate::Crash => {}
            Fate::Stall => {
                state.parked.push(parked);
                return Turn::Stalled;
            }
        }
        Turn::Moved
    }

    pub(super) fn heal(&self) {
        self.state().faults = Faults::Random(0);
    }

    /// Whether a fault may still come.
    pub(super) fn is_troubled(&self) -> bool {
        let state = self.state();
        match state.faults {
            Faults::Random(left) => left > 0,
            Faults::At(step, _) => state.decided < step,
        }
    }

    /// The replicas that crashed since the last look. What is left of them gets no further than its next step.
    pub(super) fn crashed(&self) -> BTreeSet<usize> {
        std::mem::take(&mut self.state().crashed)
    }

    pub(super) fn one_in(&self, n: u32) -> bool {
        self.state().rng.random_ratio(1, n)
    }

    pub(super) fn pick<T: Copy>(&self, from: &[T]) -> T {
        from[self.state().rng.random_range(0..from.len())]
    }

    pub(super) fn note(&self, what: String) {
        self.state().trace.push(what);
    }

    pub(super) fn decided(&self) -> usize {
        self.state().decided
    }

    pub(super) fn trace(&self) -> Vec<String> {
        self.state().trace.clone()
    }
}

impl State {
    fn fate(&mut self, replica: usize, what: &str) -> Fate {
        self.decided += 1;
        let fate = match &mut self.faults {
            Faults::Random(0) => Fate::Go,
            Faults::Random(left) if self.rng.random_ratio(1, 12) => {
                *left -= 1;
                [Fate::Fail, Fate::Fail, Fate::Crash, Fate::Stall][self.rng.random_range(0..4)]
            }
            Faults::At(step, fate) if *step == self.decided => *fate,
            Faults::Random(_) | Faults::At(..) => Fate::Go,
        };
        if fate == Fate::Crash {
            self.crashed.insert(replica);
            self.parked.retain(|parked| parked.replica != replica);
        }
        self.trace.push(format!("{replica} {what} {fate:?}"));
        fate
    }
}

/// The steps of one replica, from its start to its crash.
#[derive(Clone)]
pub(crate) struct Steps {
    world: Arc<World>,
    replica: usize,
    /// Nothing of a replica that crashed goes on.
    dead: Arc<AtomicBool>,
}

impl Steps {
    pub(super) fn new(world: &Arc<World>, replica: usize) -> Self {
        Self { world: Arc::clone(world), replica, dead: Arc::default() }
    }

    pub(super) fn replica(&self) -> usize {
        self.replica
    }

    pub(super) fn die(&self) {
        self.dead.store(true, Ordering::SeqCst);
    }

    /// Waits here, where all others may overtake.
    pub(super) async fn reach(&self, what: impl Into<String>) -> Result<(), Failed> {
        if self.dead.load(Ordering::SeqCst) {
            pending::<()>().await;
        }
        let (go, gone) = oneshot::channel();
        let task = tokio::task::id().to_string().parse().unwrap();
        self.world.state().parked.push(Parked { replica: self.replica, task, what: what.into(), go });
        match gone.await {
            Ok(fate) => fate,
            Err(_) => pending().await,
        }
    }

    /// A step that nobody overtakes, as inside a transaction. After a crash it fails, which rolls back, and the next
    /// step is the last.
    pub(super) fn pass(&self, what: &str) -> Result<(), Failed> {
        if self.dead.load(Ordering::SeqCst) {
            return Err(Failed);
        }
        match self.world.state().fate(self.replica, what) {
            Fate::Go | Fate::Stall => Ok(()),
            Fate::Fail => Err(Failed),
            Fate::Crash => {
                self.die();
                Err(Failed)
            }
        }
    }

    /// The step before a transaction; `None` where nothing is simulated.
    pub(crate) async fn begin(steps: Option<&Self>) -> Result<Option<OpenTx>, StoreError> {
        let Some(steps) = steps else { return Ok(None) };
        steps.reach("begin").await?;
        Ok(Some(OpenTx::new(steps)))
    }
}

/// A conversation with the store, until it is dropped.
pub(crate) struct OpenTx(Steps);

impl OpenTx {
    pub(super) fn new(steps: &Steps) -> Self {
        steps.world.open.fetch_add(1, Ordering::SeqCst);
        Self(steps.clone())
    }

    pub(crate) fn before_commit(&self) -> Result<(), StoreError> {
        Ok(self.0.pass("commit")?)
    }

    /// It is committed, and the answer may be lost.
    pub(crate) fn after_commit(&self) -> Result<(), StoreError> {
        Ok(self.0.pass("committed")?)
    }
}

impl Drop for OpenTx {
    fn drop(&mut self) {
        self.0.world.open.fetch_sub(1, Ordering::SeqCst);
    }
}

impl From<Failed> for StoreError {
    fn from(_: Failed) -> Self {
        Self::Unavailable(sqlx::Error::PoolTimedOut)
    }
}
