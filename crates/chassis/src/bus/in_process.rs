//! The bus of one process: an event is published when the inbox of every subscriber has committed it. The outbox row
//! is the queue, so it is as durable as the database files.

use std::sync::{PoisonError, RwLock};

use async_trait::async_trait;
use contracts::Envelope;
use tokio_util::sync::CancellationToken;

use super::{BusPort, PublishError, Trouble};
use crate::inbox::Intake;

/// Subscribers known to this process.
#[derive(Default)]
pub(crate) struct InProcessBus(RwLock<Vec<Intake>>);

impl InProcessBus {
    fn subscribers(&self) -> Vec<Intake> {
        self.0.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// To one subscriber after another. When the store of one is away, all of them come again, and the inboxes of the
    /// others know them.
    async fn deliver(&self, events: &[Envelope]) -> Result<(), PublishError> {
        for intake in self.subscribers() {
            let wanted: Vec<_> = events.iter().filter(|event| intake.wants(&event.kind)).cloned().collect();
            let taken = intake.take_all(&wanted).await;
            taken.map_err(|error| PublishError::Away(format!("{}: {}", intake.service(), crate::chain(&error))))?;
        }
        Ok(())
    }
}

#[async_trait]
impl BusPort for InProcessBus {
    async fn publish(&self, events: &[Envelope]) -> Vec<Result<(), PublishError>> {
        vec![self.deliver(events).await; events.len()]
    }

    async fn consume(&self, intake: Intake, _stop: CancellationToken) {
        self.0.write().unwrap_or_else(PoisonError::into_inner).push(intake);
    }

    fn trouble(&self) -> Option<Trouble> {
        None
    }
}
