//! What time does: reminders, escalations, expiries, and grants that ran out unused.

use chassis::prelude::{Cx, StoreError, Timestamp};
use contracts::events::GrantLapsed;
use governance::Command;
use jiff::SignedDuration;
use serde_json::json;

use super::{Desk, DeskError, subject};
use crate::{
    rules::proposal::Case,
    store::{self, Lapsed, Stored, timers},
};

/// Requests looked after in one transaction: enough that its commit costs each of them little, few enough that nobody
/// waits long for one of them.
const BATCH: u32 = 64;
/// How long a request rests whose timer failed.
const REST: SignedDuration = SignedDuration::from_secs(60);
/// The news that a grant was used in its last minute may still be under way.
const NEWS_TRAVEL: SignedDuration = SignedDuration::from_mins(15);
/// Lapsed grants told in one turn of their job.
const TURN: u32 = 200;

impl Desk {
    /// One turn of the timers: goes on until nothing is due. What to do lies in the rows, so a restart loses nothing;
    /// replicas turn at the same time, and each claims what no other has.
    ///
    /// # Errors
    /// When the store fails as a whole; one request that fails is put off.
    pub(crate) async fn turn(&self, cx: &Cx) -> Result<(), StoreError> {
        while timers::any_due(&mut cx.store().read().await?, cx.clock().now()).await? {
            // All that is left is in other hands.
            if Box::pin(self.batch(cx)).await? == 0 {
                break;
            }
        }
        Ok(())
    }

    /// Takes a batch of what is due, and says how many it had to do with.
    async fn batch(&self, cx: &Cx) -> Result<usize, StoreError> {
        let mut tx = cx.store().begin().await?;
        let now = tx.now();
        let due = timers::claim_due(&mut tx, now, BATCH).await?;
        let ids: Vec<String> = due.iter().map(|request| request.id.clone()).collect();
        for request in due {
            tx.turn_to(request.thread.clone());
            match Box::pin(self.carry_out_on(&mut tx, request, &Command::Tick, "timer")).await {
                Ok(_) => {}
                Err(DeskError::Store(error)) if error.is_unavailable() => return Err(error),
                Err(_) => {
                    drop(tx);
                    return self.one_by_one(cx, &ids).await;
                }
            }
        }
        tx.commit().await?;
        Ok(ids.len())
    }

    /// A request that fails must not hold up those beside it.
    async fn one_by_one(&self, cx: &Cx, ids: &[String]) -> Result<usize, StoreError> {
        for id in ids {
            let mut tx = cx.store().begin().await?;
            let Some(request) = store::lock(&mut tx, id).await? else { continue };
            let Stored { thread, .. } = &request;
            tx.turn_to(thread.clone());
            match Box::pin(self.carry_out_on(&mut tx, request, &Command::Tick, "timer")).await {
                Ok(_) => tx.commit().await?,
                Err(DeskError::Store(error)) if error.is_unavailable() => return Err(error),
                Err(error) => {
                    tracing::error!(id, error = %chassis::chain(&error), "a request's timer failed; it rests a minute");
                    drop(tx);
                    let mut tx = cx.store().begin().await?;
                    timers::put_off(&mut tx, id, REST).await?;
                    tx.commit().await?;
                }
            }
        }
        Ok(ids.len())
    }
}

/// One turn of the job that tells which approvals came to nothing.
///
/// # Errors
/// When the store fails; what was told by then stays told.
pub(crate) async fn tell_lapsed(cx: &Cx) -> Result<(), StoreError> {
    let before = cx.clock().now().checked_sub(NEWS_TRAVEL).unwrap_or(Timestamp::MIN);
    let lapsed = store::lapsed(&mut cx.store().read().await?, before, TURN).await?;
    for Lapsed { grant_id, expired_at, request } in lapsed {
        let mut tx = cx.store().begin_in(request.thread).await?;
        if store::forget_unused(&mut tx, &grant_id).await? {
            let details = json!({"grant_id": grant_id, "expired_at": expired_at});
            tx.audit("steward", "grant.lapsed", &subject(&request.id), details).await?;
            let Case { title, action, .. } = request.case;
            tx.emit(&GrantLapsed { grant_id, approval_id: request.id, title, action, expired_at }).await?;
        }
        tx.commit().await?;
    }
    Ok(())
}
