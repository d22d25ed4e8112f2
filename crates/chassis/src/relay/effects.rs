//! Effects: from the outbox to the outside world, through their executor.

use std::{sync::Arc, time::Duration};

use contracts::Trace;
use serde_json::Value;
use tokio_util::sync::CancellationToken;
use tracing::Instrument;

use super::{Attempt, DeadHead, Effect, EffectKind, Executor, RelayTools, Row, Settled, events::announce};
use crate::store::StoreError;

const POLL: Duration = Duration::from_millis(1000);
/// How often an effect's end is written when the store is away, a second apart: within the half minute by which a claim
/// outlives its attempt, and within the time to drain.
const RECORD_TRIES: u32 = 15;

/// Carries out one executor's effects until cancelled; what is under way is finished.
pub(crate) async fn run(tools: RelayTools, executor: Arc<dyn Executor>, stop: CancellationToken) {
    let store = tools.cx.store().clone();
    let mut commits = store.outbox_commits().subscribe();
    let slots = Arc::new(tokio::sync::Semaphore::new(executor.concurrency()));
    // A claim outlives its attempt and the writing of its end, or two replicas would carry out one effect.
    let hold = executor.timeout() * 2 + Duration::from_secs(30);
    while !stop.is_cancelled() {
        commits.borrow_and_update();
        // A slot first: a row that is claimed and waits here could have been carried out by another replica.
        let slot = tokio::select! {
            slot = Arc::clone(&slots).acquire_owned() => slot,
            () = stop.cancelled() => break,
        };
        let Ok(slot) = slot else { return };
        let free = slots.available_permits() + 1;
        drop(slot);
        let holds = executor.dead_head() == DeadHead::Hold;
        let rows = Row::claim(&store, executor.name(), holds, free, hold).await.unwrap_or_else(|error| {
            tracing::warn!(executor = executor.name(), error = %crate::chain(&error), "the outbox cannot be read");
            Vec::new()
        });
        let idle = rows.is_empty();
        for row in rows {
            let Ok(slot) = Arc::clone(&slots).acquire_owned().await else { return };
            let (tools, executor) = (tools.clone(), Arc::clone(&executor));
            tokio::spawn(async move {
                carry_out(&tools, executor.as_ref(), &row).await;
                drop(slot);
                // The next of this order key is claimable now.
                tools.cx.store().outbox_commits().send_modify(|n| *n += 1);
            });
        }
        if idle {
            tokio::select! {
                () = tools.cx.clock().sleep(POLL) => {}
                _ = commits.changed() => {}
                () = stop.cancelled() => {}
            }
        }
    }
    let all = u32::try_from(executor.concurrency()).unwrap_or(u32::MAX);
    drop(slots.acquire_many(all).await);
}

async fn carry_out(tools: &RelayTools, executor: &dyn Executor, row: &Row) {
    let span = tracing::info_span!("effect", executor = executor.name(), id = %row.id, attempt = row.attempts);
    let span = crate::telemetry::span_from(row.trace.traceparent.as_deref(), span);
    let cause = match crate::caught(one(tools, executor, row)).instrument(span).await {
        Ok(Ok(())) => return,
        Ok(Err(error)) => crate::chain(&error),
        Err(panic) => panic,
    };
    // The claim runs out and the effect is looked at again: nothing is lost by an error here.
    tracing::error!(executor = executor.name(), id = %row.id, cause, "an effect's end was not recorded");
}

async fn one(tools: &RelayTools, executor: &dyn Executor, row: &Row) -> Result<(), StoreError> {
    let store = tools.cx.store();
    let effect = Effect {
        id: row.id.clone(),
        executor: executor.name().to_owned(),
        order_key: row.order_key.clone(),
        about: row.about.clone(),
        payload: serde_json::from_str(&row.payload)?,
        attempt: row.attempts,
        created_at: row.created_at,
        trace: row.trace.clone(),
    };
    let destination = executor.destination(&effect);
    if let Some(until) = tools.breakers.resting(&destination, tools.cx.clock().now()) {
        let mut tx = store.begin().await?;
        row.unclaim(&mut tx, until).await?;
        return tx.commit().await;
    }
    if row.attempts > tools.schedule.attempts() {
        // Earlier ones ended with their process. Whatever it is that kills, it does so a bounded number of times.
        let cause = format!("{} attempts began and none came to an end", row.attempts - 1);
        return record(tools, executor, &effect, row, Err(Attempt::Refused { cause })).await;
    }
    if row.doubts > 0 && executor.kind() == EffectKind::InDoubt {
        tracing::warn!(executor = executor.name(), id = %row.id, "an earlier attempt may have been delivered; this one may double it");
        tools.cx.metrics().in_doubt(executor.name());
    }
    let outcome = attempt(tools, executor, &effect, row).await;
    let reached = !matches!(outcome, Err(Attempt::Retry { .. }));
    tools.breakers.record(&destination, reached, tools.cx.clock().now());
    record(tools, executor, &effect, row, outcome).await
}

/// Writes the end of an attempt. A store that is away for a moment must not make the attempt one in doubt.
async fn record(
    tools: &RelayTools,
    executor: &dyn Executor,
    effect: &Effect,
    row: &Row,
    outcome: Result<Value, Attempt>,
) -> Result<(), StoreError> {
    for _ in 1..RECORD_TRIES {
        match conclude(tools, executor, effect, row, outcome.clone()).await {
            Err(error) if error.is_unavailable() => {
                tracing::warn!(error = %crate::chain(&error), "an effect's end is written again in a second");
                // Real time, as the store's absence is, whatever clock the service lives by.
                tokio::time::sleep(Duration::from_secs(1)).await;
            }
            ended => return ended,
        }
    }
    conclude(tools, executor, effect, row, outcome).await
}

/// Probe if need be, then perform, within the executor's timeout.
async fn attempt(tools: &RelayTools, executor: &dyn Executor, effect: &Effect, row: &Row) -> Result<Value, Attempt> {
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
        Ok(Ok(outcome)) => outcome,
        Ok(Err(panic)) => Err(Attempt::retry(format!("{} {panic}", executor.name()))),
        Err(_) => Err(Attempt::retry(format!("no answer within {} s", limit.as_secs()))),
    }
}

async fn conclude(
    tools: &RelayTools,
    executor: &dyn Executor,
    effect: &Effect,
    row: &Row,
    outcome: Result<Value, Attempt>,
) -> Result<(), StoreError> {
    let store = tools.cx.store();
    let trace = Trace {
        correlation_id: effect.trace.correlation_id.clone(),
        causation_id: Some(effect.id.clone()),
        traceparent: crate::telemetry::current_traceparent().or_else(|| effect.trace.traceparent.clone()),
    };
    let mut tx = store.begin_in(trace).await?;
    let (label, settled) = match outcome {
        Ok(result) => row.done(&mut tx, &result.to_string()).await?.then_some(("done", Settled::Done(result))),
        Err(Attempt::Gone { cause }) => {
            row.give_up(&mut tx, "discarded", &cause).await?.then_some(("gone", Settled::Dead { cause }))
        }
        Err(Attempt::Refused { cause }) => bury(&mut tx, executor, row, cause).await?.map(|end| ("refused", end)),
        Err(Attempt::Retry { cause, after }) => match tools.schedule.after(row.attempts, after, store.ids().jitter()) {
            Some(delay) => {
                tracing::info!(cause, delay_s = delay.as_secs_f64(), "an effect failed and will be tried again");
                let next = tx.now() + delay;
                row.put_back(&mut tx, &cause, next).await?;
                tools.cx.metrics().effect(executor.name(), "retry");
                return tx.commit().await;
            }
            None => bury(&mut tx, executor, row, cause).await?.map(|end| ("dead", end)),
        },
    }
    .unzip();
    if let (Some(label), Some(settled)) = (label, settled) {
        executor.settled(&tools.cx, &mut tx, effect, &settled).await?;
        tx.commit().await?;
        tools.cx.metrics().effect(executor.name(), label);
        store.finished_effects().send_modify(|n| *n += 1);
    }
    Ok(())
}

/// A dead letter, with everything a person needs; `None` when the claim had run out.
async fn bury(
    tx: &mut crate::store::Tx,
    executor: &dyn Executor,
    row: &Row,
    cause: String,
) -> Result<Option<Settled>, StoreError> {
    if !row.give_up(tx, "dead", &cause).await? {
        return Ok(None);
    }
    tracing::error!(executor = executor.name(), id = %row.id, cause, attempts = row.attempts, "an effect was given up");
    announce(tx, row, executor.name(), &cause).await?;
    Ok(Some(Settled::Dead { cause }))
}
