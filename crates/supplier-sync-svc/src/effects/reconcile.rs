//! The reconciler: webhooks get lost, so Odoo is swept by time of writing, and how many were lost is counted.

use std::{sync::Arc, time::Duration};

use chassis::prelude::*;
use serde_json::json;

use super::{Peer, reading::QUANT};
use crate::store::{self, Outcome};

/// Readings settled in one transaction: long enough to be quick, short enough to let others write.
const CHUNK: usize = 100;

/// One sweep. The watermark moves in the transaction of the last readings, so a sweep that breaks off is done again.
pub(crate) async fn turn(cx: &Cx, lease: &Lease, peer: &Arc<Peer>, overlap: Duration) -> Result<(), JobError> {
    let since = store::watermark(cx.store()).await?;
    let swept = match peer.sweep(cx.clock(), since, overlap).await {
        Ok(swept) => swept,
        Err(error) => {
            let cause = chassis::chain(&error);
            let _attempt = peer.explain(error).await;
            return Err(JobError::Other(format!("Odoo was not swept: {cause}")));
        }
    };
    let mut chunks = swept.readings.chunks(CHUNK).peekable();
    // A sweep without news still drops old hints.
    if chunks.peek().is_none() {
        let mut tx = cx.store().begin().await?;
        lease.guard(&mut tx).await?;
        store::forget_hints(&mut tx).await?;
        return Ok(tx.commit().await?);
    }
    while let Some(chunk) = chunks.next() {
        let mut tx = cx.store().begin().await?;
        lease.guard(&mut tx).await?;
        let (mut changes, mut lost) = (0, 0);
        for reading in chunk {
            // Each change starts a business case of its own.
            let case = tx.new_id().to_string();
            tx.correlate(case);
            if store::take_reading(&mut tx, reading).await? == Outcome::Changed {
                changes += 1;
                // The first sweep meets everything for the first time, and only quants have webhooks: nothing of the
                // rest was lost.
                let hinted = since.is_some() && reading.model == QUANT;
                let missed = hinted && !store::was_announced(&mut tx, reading).await?;
                lost += usize::from(missed);
            }
        }
        let reached = if chunks.peek().is_none() { swept.newest } else { since };
        if let Some(reached) = reached {
            store::advance(&mut tx, reached, changes, lost).await?;
        }
        if lost > 0 {
            tracing::warn!(lost, changes, "the sweep found changes that no webhook had announced");
            tx.audit("system:reconciler", "hints.lost", "odoo", json!({"lost": lost, "changes": changes})).await?;
        }
        tx.commit().await?;
        if lost > 0 {
            cx.metrics().events_lost(QUANT, u64::try_from(lost).unwrap_or(u64::MAX));
        }
    }
    Ok(())
}
