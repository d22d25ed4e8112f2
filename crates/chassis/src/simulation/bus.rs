//! Buses that can stop: a model of the broker, and the one of the process with steps around it.

use std::{
    collections::BTreeSet,
    hash::{DefaultHasher, Hash, Hasher},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use async_trait::async_trait;
use contracts::Envelope;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::{Flaw, steps::Steps};
use crate::{
    bus::{Bus, BusPort, PublishError, Trouble},
    clock::Clock,
    inbox::Intake,
};

/// The model's lanes: two show what eight do.
const LANES: u64 = 2;

/// A durable queue with one active consumer, whatever happens to its clients. What was delivered and not acknowledged
/// is delivered again, in its place.
pub(super) struct Broker {
    queue: Mutex<Queue>,
    changed: watch::Sender<()>,
    flaw: Flaw,
}

#[derive(Default)]
struct Queue {
    arrived: u64,
    messages: Vec<(u64, Envelope)>,
    consumers: BTreeSet<usize>,
    active: Option<usize>,
}

impl Broker {
    pub(super) fn new(flaw: Flaw) -> Arc<Self> {
        Arc::new(Self { queue: Mutex::default(), changed: watch::Sender::new(()), flaw })
    }

    fn queue(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn depth(&self) -> usize {
        self.queue().messages.len()
    }

    /// A client is gone, and the broker has noticed.
    pub(super) fn lost(&self, replica: usize) {
        let mut queue = self.queue();
        queue.consumers.remove(&replica);
        queue.active = queue.active.filter(|active| *active != replica).or(queue.consumers.first().copied());
        self.changed.send_replace(());
    }

    fn joined(&self, replica: usize) {
        let mut queue = self.queue();
        queue.consumers.insert(replica);
        queue.active = queue.active.or(Some(replica));
    }

    fn keep(&self, event: &Envelope) {
        let mut queue = self.queue();
        queue.arrived += 1;
        let message = (queue.arrived, event.clone());
        match self.flaw {
            Flaw::BrokerShuffles => queue.messages.insert(0, message),
            _ => queue.messages.push(message),
        }
        self.changed.send_replace(());
    }

    /// What waits in a lane, if this replica is the one that consumes.
    fn front(&self, replica: usize, lane: u64) -> Vec<(u64, Envelope)> {
        let queue = self.queue();
        let mine = |event: &Envelope| {
            let mut hasher = DefaultHasher::new();
            event.subject.hash(&mut hasher);
            queue.active == Some(replica) && hasher.finish() % LANES == lane
        };
        queue.messages.iter().filter(|(_, event)| mine(event)).cloned().collect()
    }

    fn forget(&self, numbers: &[u64]) {
        self.queue().messages.retain(|(number, _)| !numbers.contains(number));
    }
}

/// One replica's connection to the broker.
pub(super) struct ModelBus {
    pub(super) broker: Arc<Broker>,
    pub(super) steps: Steps,
    pub(super) clock: Clock,
}

impl ModelBus {
    async fn lane(&self, intake: &Intake, lane: u64) {
        let mut changed = self.broker.changed.subscribe();
        loop {
            changed.borrow_and_update();
            let waiting = self.broker.front(self.steps.replica(), lane);
            if waiting.is_empty() {
                drop(changed.changed().await);
                continue;
            }
            // An error is a session that broke: everything is delivered again.
            let _broke = self.deliver(intake, &waiting).await;
        }
    }

    async fn deliver(&self, intake: &Intake, waiting: &[(u64, Envelope)]) -> Result<(), super::steps::Failed> {
        let (numbers, events): (Vec<u64>, Vec<Envelope>) = waiting.iter().cloned().unzip();
        self.steps.reach(format!("deliver {}", events.len())).await?;
        if self.broker.flaw == Flaw::AckComesFirst {
            self.broker.forget(&numbers);
        }
        if intake.take_all(&events).await.is_err() {
            self.clock.sleep(Duration::from_secs(1)).await;
            return Ok(());
        }
        self.steps.reach("ack").await?;
        self.broker.forget(&numbers);
        Ok(())
    }
}

#[async_trait]
impl BusPort for ModelBus {
    async fn publish(&self, events: &[Envelope]) -> Vec<Result<(), PublishError>> {
        let away = || vec![Err(PublishError::Away("simulated".into())); events.len()];
        if self.steps.reach(format!("publish {}", events.len())).await.is_err() {
            return away();
        }
        let mut outcomes = Vec::with_capacity(events.len());
        for event in events {
            let refused = self.steps.pass("route").map_err(|_| PublishError::Refused("simulated".into()));
            if refused.is_ok() {
                self.broker.keep(event);
            }
            outcomes.push(refused);
        }
        match self.steps.reach("confirm").await {
            Ok(()) => outcomes,
            Err(_) => away(),
        }
    }

    async fn consume(&self, intake: Intake, _stop: CancellationToken) {
        self.broker.joined(self.steps.replica());
        futures_util::future::join_all((0..LANES).map(|lane| self.lane(&intake, lane))).await;
    }

    fn trouble(&self) -> Option<Trouble> {
        None
    }
}

/// The bus of the process, whose publisher may fail before and after.
pub(super) struct SteppedBus {
    pub(super) inner: Bus,
    pub(super) steps: Steps,
}

#[async_trait]
impl BusPort for SteppedBus {
    async fn publish(&self, events: &[Envelope]) -> Vec<Result<(), PublishError>> {
        let away = || vec![Err(PublishError::Away("simulated".into())); events.len()];
        if self.steps.reach(format!("publish {}", events.len())).await.is_err() {
            return away();
        }
        let outcomes = self.inner.publish(events).await;
        match self.steps.reach("confirm").await {
            Ok(()) => outcomes,
            Err(_) => away(),
        }
    }

    async fn consume(&self, intake: Intake, stop: CancellationToken) {
        self.inner.consume(intake, stop).await;
    }

    fn trouble(&self) -> Option<Trouble> {
        None
    }
}
