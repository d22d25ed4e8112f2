//! The relay: the only place from which anything leaves a service.
//!
//! Rows of the outbox are claimed, carried out and finished. Several replicas may claim; a row belongs to whoever's
//! claim stands in it, and a claim that has run out may be taken by another. Delays between attempts live in the row,
//! so attempts do not multiply with replicas.

mod breaker;
mod effects;
mod events;
mod record;
mod rows;
mod schedule;

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
pub(crate) use breaker::Breakers;
use contracts::Trace;
pub(crate) use effects::run as run_effects;
pub(crate) use events::run as run_events;
use jiff::Timestamp;
pub(crate) use rows::Row;
pub use schedule::RetrySchedule;
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::{
    cx::Cx,
    outgoing::Response,
    store::{StoreError, Tx},
};

/// What a repeat of an effect would do to the peer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EffectKind {
    /// The peer takes the effect's id as an idempotency key: a repeat does nothing.
    IdempotentPeer,
    /// The peer can be asked what already happened, and is asked before a repeat.
    Probeable,
    /// Neither (SMTP, chat): after a crash between sending and commit it may go twice. Counted, and bounded by the
    /// number of crashes.
    InDoubt,
}

/// Whether an effect that was given up holds back the later ones of its order key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DeadHead {
    Skip,
    Hold,
}

/// An effect as its executor sees it.
#[derive(Clone, Debug)]
pub struct Effect {
    /// Also the idempotency key towards the peer, the same at every attempt.
    pub id: String,
    pub executor: String,
    pub order_key: String,
    pub about: String,
    pub payload: Value,
    /// 1 for the first.
    pub attempt: u32,
    pub created_at: Timestamp,
    pub trace: Trace,
}

impl Effect {
    /// The payload in the executor's own type.
    ///
    /// # Errors
    /// [`Attempt::Refused`] when it is of another shape: no repeat will mend that.
    pub fn payload_as<T: DeserializeOwned>(&self) -> Result<T, Attempt> {
        serde_json::from_value(self.payload.clone()).map_err(|error| Attempt::Refused {
            cause: format!("payload of {} is not readable: {error}", self.executor),
        })
    }
}

/// An attempt that did not succeed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Attempt {
    /// It may work later; `after` is the peer's own wish (`Retry-After`).
    Retry { cause: String, after: Option<Duration> },
    /// The peer is there and said no to this one for now. As `Retry`, but the circuit breaker takes it for reached: a
    /// rest would only keep from it what it does want.
    NotNow { cause: String, after: Option<Duration> },
    /// It cannot work: a dead letter now.
    Refused { cause: String },
    /// Nobody wants it any more (a finished execution, a withdrawn subscription): ended, and nobody need look.
    Gone { cause: String },
}

impl Attempt {
    pub fn retry(cause: impl Into<String>) -> Self {
        Self::Retry { cause: cause.into(), after: None }
    }

    /// A peer answered, and a later attempt may be answered otherwise. Whether it is well is seen by its answer: 5xx,
    /// 408 and 429 ask to be left alone, any other is about this one request.
    pub fn answered(response: &Response) -> Self {
        let (cause, after) = (format!("answered {}", response.status), response.retry_after());
        match response.status {
            408 | 429 | 500.. => Self::Retry { cause, after },
            _ => Self::NotNow { cause, after },
        }
    }

    pub fn refused(cause: impl Into<String>) -> Self {
        Self::Refused { cause: cause.into() }
    }
}

/// The end of an effect.
#[derive(Clone, Debug, PartialEq)]
pub enum Settled {
    /// Done, with the executor's result.
    Done(Value),
    /// Given up, or not wanted any more.
    Dead { cause: String },
}

/// Carries out one kind of effect. Executors are the only code with a client for the outside world.
#[async_trait]
pub trait Executor: Send + Sync {
    /// Stable name: the outbox's destination and a metric label.
    fn name(&self) -> &'static str;

    fn kind(&self) -> EffectKind;

    fn dead_head(&self) -> DeadHead {
        DeadHead::Skip
    }

    /// For one attempt, the probe included.
    fn timeout(&self) -> Duration {
        Duration::from_secs(15)
    }

    /// Effects carried out at the same time; those of one order key never are.
    fn concurrency(&self) -> usize {
        16
    }

    /// What the circuit breaker counts by: the host, where one executor has several.
    fn destination(&self, _effect: &Effect) -> String {
        self.name().to_owned()
    }

    /// Probeable effects only: what already happened, asked before every attempt but a first one that cannot have
    /// been made before.
    async fn probe(&self, _cx: &Cx, _effect: &Effect) -> Result<Option<Value>, Attempt> {
        Ok(None)
    }

    /// One attempt; `Ok` is the result that the row keeps and `/operations/{id}` shows.
    async fn perform(&self, cx: &Cx, effect: &Effect) -> Result<Value, Attempt>;

    /// Runs in the transaction that marks the row as ended: own tables and further promises.
    async fn settled(&self, _cx: &Cx, _tx: &mut Tx, _effect: &Effect, _settled: &Settled) -> Result<(), StoreError> {
        Ok(())
    }
}

/// Shared by the loops of one service.
#[derive(Clone)]
pub(crate) struct RelayTools {
    pub cx: Cx,
    pub breakers: Arc<Breakers>,
    pub schedule: Arc<RetrySchedule>,
}
