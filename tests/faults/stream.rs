//! Business as usual, while something else goes on.

use std::{sync::Arc, time::Duration};

use anyhow::Result;
use chassis::Clock;
use serde_json::json;
use steward_e2e::bed::STORE;
use tokio::time::{Instant, sleep};

use crate::{
    ground::{Ground, Stream, say},
    proof,
    watch::{Seen, Watch},
    workflow,
};

/// Falls told in one call.
const BATCH: usize = 50;

impl Stream {
    /// Runs the whole stream, told within about `span`, while the fault goes on; returns when all has settled and the
    /// far ends' ledgers have proved that nothing was lost or doubled. What the replicas said of themselves meanwhile
    /// is the answer.
    pub(crate) async fn under(
        self,
        ground: &Arc<Ground>,
        span: Duration,
        fault: impl Future<Output = Result<()>>,
    ) -> Result<Seen> {
        let started = Instant::now();
        let before = proof::Before::of(ground).await;
        let watch = Watch::start(ground);
        tokio::try_join!(self.pour(ground, span), workflow::follow(ground, self), async {
            fault.await?;
            say(&format!("{}: the fault is over after {:.1?}", self.0, started.elapsed()));
            Ok(())
        })?;
        let seen = watch.settled(ground, self).await?;
        self.prove(ground, &before).await?;
        say(&format!("{}: {} events settled after {:.1?}; {seen}", self.0, Self::events(), started.elapsed()));
        Ok(seen)
    }

    /// Every article falls below its reorder point, once.
    async fn pour(self, ground: &Ground, span: Duration) -> Result<()> {
        let skus: Vec<String> = self.skus().collect();
        let pause = span / u32::try_from(skus.len().div_ceil(BATCH))?;
        for batch in skus.chunks(BATCH) {
            let now = Clock::system().now();
            let fall = |sku: &String| {
                let point = json!({"kind": "reorder_point", "product": sku, "location": STORE, "units": 100.0});
                let stock = json!({"kind": "stock", "product": sku, "location": STORE, "on_hand": 10.0,
                    "observed_at": now, "system": "pos"});
                [point, stock]
            };
            let lines: Vec<_> = batch.iter().flat_map(fall).collect();
            let started = Instant::now();
            ground.observe(&lines).await?;
            sleep(pause.saturating_sub(started.elapsed())).await;
        }
        Ok(())
    }
}
