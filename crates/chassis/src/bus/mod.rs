//! The bus between services: RabbitMQ, or the same promises inside one process.

mod acks;
#[cfg(test)]
mod conformance;
mod in_process;
mod rabbit;

use async_trait::async_trait;
use contracts::Envelope;
pub(crate) use in_process::InProcessBus;
pub(crate) use rabbit::RabbitBus;
use tokio_util::sync::CancellationToken;

use crate::inbox::Intake;

/// Why an event was not taken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum PublishError {
    /// The bus cannot be reached, or did not confirm in time; whether it took the event is unknown, and a repeat does
    /// no harm because the inbox knows the id.
    Away(String),
    /// The bus answered and refused: nobody is subscribed, or the broker rejected it.
    Refused(String),
}

/// What a bus must do. Adapters: RabbitMQ and in process.
#[async_trait]
pub(crate) trait BusPort: Send + Sync {
    /// Publishes; the answer for each event, in order, comes when the bus has made it durable.
    async fn publish(&self, events: &[Envelope]) -> Vec<Result<(), PublishError>>;

    /// Called while there is nothing to publish: a publisher that failed looks whether it works again. Its trouble would
    /// otherwise stand until its next event, which another replica may publish.
    async fn look_again(&self) {}

    /// Delivers events that match the intake's bindings, at least once and in order of each subject, until stopped.
    async fn consume(&self, intake: Intake, stop: CancellationToken);

    /// Told instead of [`BusPort::consume`] when the service subscribes to nothing.
    fn no_consumer(&self) {}

    /// Why it is not usable now.
    fn trouble(&self) -> Option<Trouble>;
}

/// What readiness says of a bus that is not usable.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Trouble {
    pub cause: String,
    /// It was usable before. Commands are still taken then, because the outbox holds what they promise; a process
    /// that never reached its bus is not ready at all.
    pub passing: bool,
}

pub(crate) type Bus = std::sync::Arc<dyn BusPort>;
