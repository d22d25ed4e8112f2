//! Writing how effects ended: many in one transaction, each with what follows it.

use std::{sync::Arc, time::Duration};

use contracts::Trace;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use tracing::Instrument;

use super::{
    Attempt, EffectKind, Executor, RelayTools, Row, Settled,
    effects::{Ended, Ending},
    events::announce,
};
use crate::store::{StoreError, Tx};

/// Ends written in one transaction.
pub(super) const BATCH: usize = 128;
/// How often an end is written when the store answers and does not take it, or when the process is about to stop; a
/// second apart. A store that does not answer is waited for: nobody else can claim the row meanwhile.
const TRIES: u32 = 15;
/// How often an end is written that the store refuses for good.
const REFUSALS: u32 = 2;

#[derive(Debug, thiserror::Error)]
enum RecordError {
    #[error("the store failed")]
    Store(#[from] StoreError),
    #[error("what follows it {0}")]
    Panic(String),
}

/// Records the ends of one executor's effects.
pub(super) struct Recorder {
    tools: RelayTools,
    executor: Arc<dyn Executor>,
    stop: CancellationToken,
}

/// An end that waits to be written, and how often it was refused.
struct Waiting {
    ended: Ended,
    refusals: u32,
}

impl Recorder {
    pub(super) fn new(tools: RelayTools, executor: Arc<dyn Executor>, stop: CancellationToken) -> Self {
        Self { tools, executor, stop }
    }

    /// Until nobody can send any more.
    pub(super) async fn run(self, mut endings: mpsc::Receiver<Ended>) {
        let mut batch = Vec::with_capacity(BATCH);
        while endings.recv_many(&mut batch, BATCH).await > 0 {
            let taken = batch.len();
            self.record(std::mem::take(&mut batch)).await;
            // The next of these order keys are claimable now.
            self.tools.cx.store().outbox_commits().send_modify(|n| *n += 1);
            crate::linger(taken, BATCH).await;
        }
    }

    /// Writes them, or waits for the store to take them. A store that is away for a moment must not make an attempt one
    /// in doubt.
    pub(super) async fn record(&self, batch: Vec<Ended>) {
        let mut left: Vec<_> = batch.into_iter().map(|ended| Waiting { ended, refusals: 0 }).collect();
        let mut tries = 0;
        while tries < TRIES {
            let away = self.write(&mut left).await;
            if left.is_empty() {
                return;
            }
            tries += u32::from(!away || self.stop.is_cancelled());
            // Real time, as the store's absence is, whatever clock the service lives by.
            tokio::time::sleep(Duration::from_secs(1)).await;
        }
        for waiting in left {
            // The claim runs out and the effect is looked at again: nothing is lost.
            let id = waiting.ended.row.id;
            tracing::error!(executor = self.executor.name(), id, "an effect's end was not recorded");
        }
    }

    /// Together if that can be done; else one by one, so that one which cannot be written holds up nobody else. Leaves
    /// in `batch` what is to be written again; `true` = the store is away.
    async fn write(&self, batch: &mut Vec<Waiting>) -> bool {
        let all: Vec<&Ended> = batch.iter().map(|waiting| &waiting.ended).collect();
        if all.len() > 1 && self.conclude(&all).await.is_ok() {
            batch.clear();
            return false;
        }
        let mut left = Vec::new();
        let mut away = false;
        for mut waiting in std::mem::take(batch) {
            if !away {
                match self.conclude(&[&waiting.ended]).await {
                    Ok(()) => continue,
                    Err(RecordError::Store(error)) if error.is_unavailable() => {
                        tracing::warn!(error = %crate::chain(&error), "an effect's end is written again in a second");
                        away = !matches!(error, StoreError::Busy(_));
                    }
                    Err(error) => {
                        waiting.refusals += 1;
                        if waiting.refusals >= REFUSALS && self.bury(&waiting.ended, &error).await.is_ok() {
                            continue;
                        }
                    }
                }
            }
            left.push(waiting);
        }
        *batch = left;
        away
    }

    /// One transaction: the rows ended, and what follows each of them.
    async fn conclude(&self, batch: &[&Ended]) -> Result<(), RecordError> {
        let (cx, executor) = (&self.tools.cx, self.executor.as_ref());
        let mut tx = cx.store().begin().await?;
        let done = batch.iter().filter_map(|ended| match &ended.ending {
            Ending::Attempted(Ok(result)) => Some((&ended.row, result.to_string())),
            _ => None,
        });
        let mut done = Row::all_done(&mut tx, &done.collect::<Vec<_>>()).await?.into_iter();
        let mut labels = Vec::with_capacity(batch.len());
        for ended in batch {
            tx.turn_to(thread_of(ended));
            let settled = match &ended.ending {
                Ending::Rests(until) => {
                    ended.row.unclaim(&mut tx, *until).await?;
                    None
                }
                Ending::Attempted(Ok(result)) => {
                    (done.next() == Some(true)).then(|| ("done", Settled::Done(result.clone())))
                }
                Ending::Attempted(Err(attempt)) => self.failed(&mut tx, ended, attempt, &mut labels).await?,
                Ending::Lost(cause) => {
                    // The peer may be at it still, and would answer a probe with no.
                    let patience = (executor.kind() == EffectKind::Probeable).then(|| executor.timeout());
                    let retry = Attempt::Retry { cause: cause.clone(), after: patience };
                    self.failed(&mut tx, ended, &retry, &mut labels).await?
                }
            };
            if let Some((label, settled)) = settled {
                let follow = crate::caught(executor.settled(cx, &mut tx, &ended.effect, &settled));
                follow.instrument(ended.span.clone()).await.map_err(RecordError::Panic)??;
                labels.push(label);
            }
        }
        tx.commit().await?;
        for label in labels {
            cx.metrics().effect(executor.name(), label);
        }
        cx.store().finished_effects().send_modify(|n| *n += 1);
        Ok(())
    }

    /// An attempt that did not succeed: another one later, or an end of another kind.
    async fn failed(
        &self,
        tx: &mut Tx,
        ended: &Ended,
        attempt: &Attempt,
        labels: &mut Vec<&'static str>,
    ) -> Result<Option<(&'static str, Settled)>, StoreError> {
        let row = &ended.row;
        let (label, cause) = match attempt {
            Attempt::Gone { cause } => {
                let gone = row.give_up(tx, "discarded", cause).await?;
                return Ok(gone.then(|| ("gone", Settled::Dead { cause: cause.clone() })));
            }
            Attempt::Refused { cause } => ("refused", cause),
            Attempt::Retry { cause, after } | Attempt::NotNow { cause, after } => {
                let jitter = self.tools.cx.store().ids().jitter();
                let Some(delay) = self.tools.schedule.after(row.attempts, *after, jitter) else {
                    return Ok(self.give_up(tx, ended, cause).await?.then(|| ("dead", dead(cause))));
                };
                ended.span.in_scope(|| {
                    tracing::info!(cause, delay_s = delay.as_secs_f64(), "an effect failed and will be tried again");
                });
                let next = tx.now() + delay;
                row.put_back(tx, cause, next, matches!(ended.ending, Ending::Lost(_))).await?;
                labels.push("retry");
                return Ok(None);
            }
        };
        Ok(self.give_up(tx, ended, cause).await?.then(|| (label, dead(cause))))
    }

    /// A dead letter, with everything a person needs; `false` when the claim had run out.
    async fn give_up(&self, tx: &mut Tx, ended: &Ended, cause: &str) -> Result<bool, StoreError> {
        let (row, executor) = (&ended.row, self.executor.name());
        if !row.give_up(tx, "dead", cause).await? {
            return Ok(false);
        }
        tracing::error!(executor, id = %row.id, cause, attempts = row.attempts, "an effect was given up");
        announce(tx, row, executor, cause).await?;
        Ok(true)
    }

    /// A dead letter without what follows it, because that is what cannot be written.
    async fn bury(&self, ended: &Ended, error: &RecordError) -> Result<(), StoreError> {
        let what = match ended.ending {
            Ending::Attempted(Ok(_)) => "it was carried out, but its end cannot be written",
            _ => "its end cannot be written",
        };
        let mut tx = self.tools.cx.store().begin_in(thread_of(ended)).await?;
        let buried = self.give_up(&mut tx, ended, &format!("{what}: {}", crate::chain(error))).await?;
        tx.commit().await?;
        if buried {
            self.tools.cx.metrics().effect(self.executor.name(), "dead");
            self.tools.cx.store().finished_effects().send_modify(|n| *n += 1);
        }
        Ok(())
    }
}

fn dead(cause: &str) -> Settled {
    Settled::Dead { cause: cause.to_owned() }
}

/// The thread of business that everything caused by this effect belongs to.
fn thread_of(ended: &Ended) -> Trace {
    let Trace { traceparent, correlation_id, .. } = &ended.effect.trace;
    let current = ended.span.in_scope(crate::telemetry::current_traceparent);
    Trace {
        traceparent: current.or_else(|| traceparent.clone()),
        correlation_id: correlation_id.clone(),
        causation_id: Some(ended.effect.id.clone()),
    }
}
