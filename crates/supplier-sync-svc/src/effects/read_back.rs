//! `odoo.read_back`: a hint only says where to look; this looks.

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use chassis::prelude::*;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::{Peer, reading::Reading};
use crate::store;

/// Name of the executor.
pub(crate) const NAME: &str = "odoo.read_back";
/// Hints of one button come within a second and want one look after the last of them.
pub(crate) const DEBOUNCE: Duration = Duration::from_secs(1);

/// Which record to look at.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct LookAt {
    pub model: String,
    pub id: i64,
    /// When Odoo says it was written, if the rule sends that.
    pub written_at: Option<Timestamp>,
}

impl LookAt {
    /// The effect: one look for all hints of a record that come before it.
    pub(crate) fn effect(&self, now: Timestamp) -> Result<NewEffect, StoreError> {
        let key = format!("{}:{}", self.model, self.id);
        Ok(NewEffect::new(NAME, key.clone(), self)?.not_before(now + DEBOUNCE).coalesce(key))
    }
}

pub(crate) struct ReadBack(pub Arc<Peer>);

#[async_trait]
impl Executor for ReadBack {
    fn name(&self) -> &'static str {
        NAME
    }

    /// Reading twice does no harm.
    fn kind(&self) -> EffectKind {
        EffectKind::IdempotentPeer
    }

    /// More hands would only queue for Odoo's rate, until a call waits longer than its timeout.
    fn concurrency(&self) -> usize {
        2
    }

    fn timeout(&self) -> Duration {
        self.0.attempt()
    }

    async fn perform(&self, cx: &Cx, effect: &Effect) -> Result<Value, Attempt> {
        let LookAt { model, id, written_at } = effect.payload_as()?;
        match self.0.read_back(cx.clock(), id, written_at).await {
            Ok(Some(reading)) => Ok(json!(reading)),
            Ok(None) => Err(Attempt::Gone { cause: format!("Odoo has no {model} {id}: the hint was a phantom") }),
            Err(error) => Err(self.0.explain(error).await),
        }
    }

    async fn settled(&self, _cx: &Cx, tx: &mut Tx, _effect: &Effect, settled: &Settled) -> Result<(), StoreError> {
        if let Settled::Done(result) = settled {
            let reading = Reading::deserialize(result)?;
            store::take_reading(tx, &reading).await?;
        }
        Ok(())
    }
}
