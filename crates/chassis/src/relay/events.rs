//! Events: from the outbox to the bus, in order of each subject.

use std::time::Duration;

use contracts::{
    Envelope,
    events::{DeadLettered, EventPayload},
};
use futures_util::future::join_all;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use super::{RelayTools, Row};
use crate::{
    bus::{Bus, PublishError},
    store::{BUS, StoreError, Tx},
};

/// Rows per round. One commit and one wait for confirms serve them all.
const BATCH: usize = 256;
/// A claim must outlive the slowest round: the confirm timeout and a commit.
const HOLD: Duration = Duration::from_secs(60);
/// Longest sleep between looks at the outbox, in case a replica died and left rows behind.
const POLL: Duration = Duration::from_millis(1000);

/// Batches that are under way at a time: while one waits for its confirms, another is claimed or written down.
const AT_ONCE: usize = 3;

/// Publishes until cancelled; a batch that is under way is finished.
pub(crate) async fn run(tools: RelayTools, bus: Bus, stop: CancellationToken) {
    let relay = Relay { tools, bus, stop, more: Notify::new() };
    let helpers = join_all((1..AT_ONCE).map(|_| relay.help()));
    tokio::join!(relay.watch(), helpers);
}

struct Relay {
    tools: RelayTools,
    bus: Bus,
    stop: CancellationToken,
    /// Rung with each full batch: there is likely more, for somebody who has nothing to do.
    more: Notify,
}

enum Round {
    Idle,
    Moved(usize),
    BusAway,
}

impl Relay {
    /// Looks at the outbox after each commit, and now and then.
    async fn watch(&self) {
        let mut commits = self.tools.cx.store().outbox_commits().subscribe();
        let mut failures = 0;
        while !self.stop.is_cancelled() {
            commits.borrow_and_update();
            let pause = match self.round().await {
                Ok(Round::Idle) => {
                    failures = 0;
                    self.bus.look_again().await;
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
            tokio::select! {
                () = self.tools.cx.clock().sleep(pause) => {}
                _ = commits.changed(), if failures == 0 => {}
                () = self.stop.cancelled() => {}
            }
        }
    }

    /// Takes batches as long as they are full. What fails is left to [`Relay::watch`], which meets it too.
    async fn help(&self) {
        while !self.stop.is_cancelled() {
            tokio::select! {
                () = self.more.notified() => {}
                () = self.stop.cancelled() => return,
            }
            while !self.stop.is_cancelled() && matches!(self.round().await, Ok(Round::Moved(BATCH))) {}
        }
    }

    /// Claims what is due, and publishes it. Of one subject at most one event is claimed at a time, by whomever.
    async fn round(&self) -> Result<Round, StoreError> {
        let rows = Row::claim(self.tools.cx.store(), BUS, false, BATCH, HOLD).await?;
        match rows.len() {
            0 => return Ok(Round::Idle),
            BATCH => self.more.notify_one(),
            _ => {}
        }
        carry(&self.tools, &self.bus, &self.stop, &rows).await
    }
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

/// Writes down how a batch fared. An event whose end is forgotten goes out again, and the inbox knows it.
async fn conclude(
    tools: &RelayTools,
    rows: &[Row],
    outcomes: &[Result<(), PublishError>],
) -> Result<Round, StoreError> {
    let store = tools.cx.store();
    let mut tx = store.begin_relaxed().await?;
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
