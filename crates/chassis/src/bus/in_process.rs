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
    fn subscribers(&self, event: &Envelope) -> Vec<Intake> {
        let all = self.0.read().unwrap_or_else(PoisonError::into_inner);
        all.iter().filter(|intake| intake.wants(&event.kind)).cloned().collect()
    }

    async fn deliver(&self, event: &Envelope) -> Result<(), PublishError> {
        for intake in self.subscribers(event) {
            let taken = intake.take(event).await;
            taken.map_err(|error| PublishError::Away(format!("{}: {}", intake.service(), crate::chain(&error))))?;
        }
        Ok(())
    }
}

#[async_trait]
impl BusPort for InProcessBus {
    async fn publish(&self, events: &[Envelope]) -> Vec<Result<(), PublishError>> {
        let mut outcomes = Vec::with_capacity(events.len());
        for event in events {
            outcomes.push(self.deliver(event).await);
        }
        outcomes
    }

    async fn consume(&self, intake: Intake, _stop: CancellationToken) {
        self.0.write().unwrap_or_else(PoisonError::into_inner).push(intake);
    }

    fn trouble(&self) -> Option<Trouble> {
        None
    }
}
