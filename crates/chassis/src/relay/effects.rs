//! Effects: from the outbox to the outside world, through their executor.

use std::{sync::Arc, time::Duration};

use jiff::Timestamp;
use serde_json::Value;
use tokio::sync::{Semaphore, mpsc};
use tokio_util::sync::CancellationToken;
use tracing::{Instrument, Span};

use super::{
    Attempt, DeadHead, Effect, EffectKind, Executor, RelayTools, Row,
    record::{BATCH, Recorder},
};

const POLL: Duration = Duration::from_millis(1000);

/// An effect that was looked at, and what there is to write about it.
pub(super) struct Ended {
    pub(super) row: Row,
    pub(super) effect: Effect,
    pub(super) ending: Ending,
    /// Open from the attempt to the writing of its end.
    pub(super) span: Span,
}

pub(super) enum Ending {
    /// Its destination rests until then: nothing was attempted.
    Rests(Timestamp),
    Attempted(Result<Value, Attempt>),
    /// No answer came, so what became of it is not known.
    Lost(String),
}

/// Carries out one executor's effects until cancelled; what is under way is finished.
pub(crate) async fn run(tools: RelayTools, executor: Arc<dyn Executor>, stop: CancellationToken) {
    let mut commits = tools.cx.store().outbox_commits().subscribe();
    let slots = Arc::new(Semaphore::new(executor.concurrency()));
    let (ended, endings) = mpsc::channel(BATCH);
    let recorder = Recorder::new(tools.clone(), Arc::clone(&executor), stop.clone());
    let recorder = tokio::spawn(recorder.run(endings));
    while !stop.is_cancelled() {
        commits.borrow_and_update();
        // A slot first: a row that is claimed and waits here could have been carried out by another replica.
        let slot = tokio::select! {
            slot = Arc::clone(&slots).acquire_owned() => slot,
            () = stop.cancelled() => break,
        };
        drop(slot);
        let free = slots.available_permits();
        let rows = claim(&tools, executor.as_ref(), free).await;
        let taken = rows.len();
        for row in rows {
            let Ok(slot) = Arc::clone(&slots).acquire_owned().await else { return };
            let (tools, executor, ended) = (tools.clone(), Arc::clone(&executor), ended.clone());
            tokio::spawn(async move {
                // An error means that the recorder is gone; the claim runs out, and the effect is looked at again.
                let _ = ended.send(look_at(&tools, executor.as_ref(), row).await).await;
                drop(slot);
            });
        }
        if taken > 0 {
            crate::linger(taken, free).await;
        } else {
            tokio::select! {
                () = tools.cx.clock().sleep(POLL) => {}
                _ = commits.changed() => {}
                () = stop.cancelled() => {}
            }
        }
    }
    let all = u32::try_from(executor.concurrency()).unwrap_or(u32::MAX);
    drop(slots.acquire_many(all).await);
    drop(ended);
    if recorder.await.is_err() {
        tracing::error!(executor = executor.name(), "the ends of the last effects were not recorded");
    }
}

async fn claim(tools: &RelayTools, executor: &dyn Executor, limit: usize) -> Vec<Row> {
    // A claim outlives its attempt and the writing of its end, or two replicas would carry out one effect.
    let hold = executor.timeout() * 2 + Duration::from_secs(30);
    let holds = executor.dead_head() == DeadHead::Hold;
    Row::claim(tools.cx.store(), executor.name(), holds, limit, hold).await.unwrap_or_else(|error| {
        tracing::warn!(executor = executor.name(), error = %crate::chain(&error), "the outbox cannot be read");
        Vec::new()
    })
}

async fn look_at(tools: &RelayTools, executor: &dyn Executor, row: Row) -> Ended {
    let span = tracing::info_span!("effect", executor = executor.name(), id = %row.id, attempt = row.attempts);
    let span = crate::telemetry::span_from(row.trace.traceparent.as_deref(), span);
    let payload = serde_json::from_str(&row.payload);
    let unreadable = payload.as_ref().err().map(|error| format!("its payload is no JSON: {error}"));
    let effect = Effect {
        id: row.id.clone(),
        executor: executor.name().to_owned(),
        order_key: row.order_key.clone(),
        about: row.about.clone(),
        payload: payload.unwrap_or_default(),
        attempt: row.attempts,
        created_at: row.created_at,
        trace: row.trace.clone(),
    };
    let ending = match unreadable {
        Some(cause) => Ending::Attempted(Err(Attempt::Refused { cause })),
        None => carry_out(tools, executor, &effect, &row).instrument(span.clone()).await,
    };
    Ended { row, effect, ending, span }
}

async fn carry_out(tools: &RelayTools, executor: &dyn Executor, effect: &Effect, row: &Row) -> Ending {
    let destination = match crate::caught(async { executor.destination(effect) }).await {
        Ok(destination) => destination,
        Err(panic) => return Ending::Attempted(Err(Attempt::refused(format!("its destination {panic}")))),
    };
    if let Some(until) = tools.breakers.resting(&destination, tools.cx.clock().now()) {
        return Ending::Rests(until);
    }
    if row.attempts > tools.schedule.attempts() {
        // Earlier ones ended with their process. Whatever it is that kills, it does so a bounded number of times.
        let cause = format!("{} attempts began and none came to an end", row.attempts - 1);
        return Ending::Attempted(Err(Attempt::Refused { cause }));
    }
    if row.doubts > 0 && executor.kind() == EffectKind::InDoubt {
        tracing::warn!(executor = executor.name(), id = %row.id, "an earlier attempt may have been delivered; this one may double it");
        tools.cx.metrics().in_doubt(executor.name());
    }
    let ending = attempt(tools, executor, effect, row).await;
    let reached = !matches!(ending, Ending::Attempted(Err(Attempt::Retry { .. })) | Ending::Lost(_));
    tools.breakers.record(&destination, reached, tools.cx.clock().now());
    ending
}

/// Probe if need be, then perform, within the executor's timeout.
async fn attempt(tools: &RelayTools, executor: &dyn Executor, effect: &Effect, row: &Row) -> Ending {
    let work = async {
        if executor.kind() == EffectKind::Probeable
            && (row.attempts > 1 || row.doubts > 0)
            && let Some(found) = executor.probe(&tools.cx, effect).await?
        {
            tracing::info!("it had happened already");
            return Ok(found);
        }
        executor.perform(&tools.cx, effect).await
    };
    let limit = executor.timeout();
    match tokio::time::timeout(limit, crate::caught(work)).await {
        Ok(Ok(outcome)) => Ending::Attempted(outcome),
        Ok(Err(panic)) => Ending::Lost(format!("{} {panic}", executor.name())),
        Err(_) => Ending::Lost(format!("no answer within {} s", limit.as_secs())),
    }
}
