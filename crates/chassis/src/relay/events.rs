//! Events: from the outbox to the bus, in order of each subject.

use std::time::Duration;

use contracts::{
    Envelope,
    events::{DeadLettered, EventPayload},
};
use tokio_util::sync::CancellationToken;

use super::{RelayTools, Row};
use crate::{
    bus::{Bus, PublishError},
    store::{StoreError, Tx},
};

/// Rows per round. One commit and one wait for confirms serve them all.
const BATCH: usize = 256;
/// A claim must outlive the slowest round: the confirm timeout and a commit.
const HOLD: Duration = Duration::from_secs(60);
/// Longest sleep between looks at the outbox, in case a replica died and left rows behind.
const POLL: Duration = Duration::from_millis(1000);

/// Publishes until cancelled.
pub(crate) async fn run(tools: RelayTools, bus: Bus, stop: CancellationToken) {
    let mut commits = tools.cx.store().outbox_commits().subscribe();
    let mut failures = 0;
    let mut claimed = Vec::new();
    while !stop.is_cancelled() || !claimed.is_empty() {
        commits.borrow_and_update();
        let pause = match round(&tools, &bus, &stop, &mut claimed).await {
            Ok(Round::Idle) => {
                failures = 0;
                POLL
            }
            Ok(Round::Moved(rows)) => {
                failures = 0;
                crate::linger(rows, BATCH).await;
                continue;
            }
            // The broker is away. Nobody's attempts are used up by that; we wait and try one batch again.
            Ok(Round::BusAway) => {
                failures += 1;
                Duration::from_millis(200 * u64::from(2_u32.pow(failures.min(6))))
            }
            Err(error) => {
                tracing::warn!(error = %crate::chain(&error), "the outbox cannot be read");
                POLL
            }
        };
        if !claimed.is_empty() {
            continue;
        }
        tokio::select! {
            () = tools.cx.clock().sleep(pause) => {}
            _ = commits.changed(), if failures == 0 => {}
            () = stop.cancelled() => {}
        }
    }
}

enum Round {
    Idle,
    Moved(usize),
    BusAway,
}

/// Publishes what is claimed, or else what can be. After a full batch there is likely more: that is claimed meanwhile
/// and left in `claimed` for the next round, so that store and broker work at the same time.
async fn round(
    tools: &RelayTools,
    bus: &Bus,
    stop: &CancellationToken,
    claimed: &mut Vec<Row>,
) -> Result<Round, StoreError> {
    let store = tools.cx.store();
    let claim = || Row::claim(store, "bus", false, BATCH, HOLD);
    let rows = if claimed.is_empty() { claim().await? } else { std::mem::take(claimed) };
    if rows.is_empty() {
        bus.look_again().await;
        return Ok(Round::Idle);
    }
    if rows.len() < BATCH || stop.is_cancelled() {
        return carry(tools, bus, stop, &rows).await;
    }
    let (carried, next) = tokio::join!(carry(tools, bus, stop, &rows), claim());
    // What could not be claimed now is claimed by the next round, which tells why if it cannot either.
    *claimed = next.unwrap_or_default();
    carried
}

/// Publishes a batch, and writes down how it fared.
async fn carry(tools: &RelayTools, bus: &Bus, stop: &CancellationToken, rows: &[Row]) -> Result<Round, StoreError> {
    let service = tools.cx.store().service();
    let envelopes = rows.iter().map(|row| envelope(row, service)).collect::<Result<Vec<_>, _>>()?;
    let outcomes = bus.publish(&envelopes).await;
    let deadline = tokio::time::Instant::now() + HOLD;
    loop {
        match conclude(tools, rows, &outcomes).await {
            // Left alone, the rows would wait for their claim to run out and then be published once more.
            Err(error) if error.is_unavailable() && tokio::time::Instant::now() < deadline && !stop.is_cancelled() => {
                tracing::warn!(error = %crate::chain(&error), "what was published is written down again in a second");
                tokio::time::sleep(POLL).await;
            }
            ended => return ended,
        }
    }
}

/// Writes down how a batch fared.
async fn conclude(
    tools: &RelayTools,
    rows: &[Row],
    outcomes: &[Result<(), PublishError>],
) -> Result<Round, StoreError> {
    let store = tools.cx.store();
    let mut tx = store.begin().await?;
    let now = tx.now();
    let mut away = false;
    let mut published = Vec::with_capacity(rows.len());
    for (row, outcome) in rows.iter().zip(outcomes) {
        match outcome {
            Ok(()) => published.push((row, "null".to_owned())),
            Err(PublishError::Away(cause)) => {
                tracing::debug!(event = %row.id, cause, "the bus is away");
                away = true;
                row.unclaim(&mut tx, now).await?;
            }
            Err(PublishError::Refused(cause)) => {
                tracing::warn!(event = %row.id, kind = %row.about, cause, "the bus refused an event");
                match tools.schedule.after(row.attempts, None, store.ids().jitter()) {
                    Some(delay) => row.put_back(&mut tx, cause, now + delay, false).await?,
                    None => bury(&mut tx, row, cause).await?,
                }
            }
        }
    }
    Row::all_done(&mut tx, &published).await?;
    tx.commit().await?;
    for (row, _) in published {
        tools.cx.metrics().event_published(&row.about);
    }
    Ok(if away { Round::BusAway } else { Round::Moved(rows.len()) })
}

fn envelope(row: &Row, service: &str) -> Result<Envelope, StoreError> {
    Ok(Envelope {
        id: row.id.clone(),
        source: format!("/{service}"),
        kind: row.about.clone(),
        time: row.created_at,
        subject: row.order_key.clone(),
        trace: row.trace.clone(),
        data: serde_json::value::RawValue::from_string(row.payload.clone())?,
    })
}

/// Gives a row up and tells of it; the telling itself, when it cannot be published, is not told of again.
async fn bury(tx: &mut Tx, row: &Row, cause: &str) -> Result<(), StoreError> {
    if row.give_up(tx, "dead", cause).await? && row.about != DeadLettered::TYPE {
        announce(tx, row, &row.about, cause).await?;
    }
    Ok(())
}

/// Tells the world that a row was given up, so that it becomes somebody's exception.
pub(super) async fn announce(tx: &mut Tx, row: &Row, destination: &str, cause: &str) -> Result<(), StoreError> {
    let dead_letter = DeadLettered {
        row_id: row.id.clone(),
        service: tx.service().to_owned(),
        destination: destination.to_owned(),
        about: row.order_key.clone(),
        cause: cause.to_owned(),
        attempts: row.attempts,
        first_failed_at: row.first_failed_at.unwrap_or(tx.now()),
    };
    tx.emit(&dead_letter).await?;
    Ok(())
}
