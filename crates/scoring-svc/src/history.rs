//! What suppliers did before, as far as it was told: read from the store once, and again when it has changed.

use std::{sync::Arc, time::Duration};

use actix_web::web;
use chassis::prelude::*;
use models::{
    Judge,
    supplier_risk::purchase::{Memory, Model, Timeline},
};
use tokio::{sync::Mutex, time::Instant};

use crate::{shelf::Changes, store::deliveries};

/// How long a replica may judge by what was known before another one was told more.
const FRESH: Duration = Duration::from_secs(2);
/// Timelines held: one for each way that versions in use let outcomes fade.
const MOST_HELD: usize = 4;
/// A history that takes longer to read than this is not read again before so many times as long has passed, whatever was
/// told meanwhile: at most a tenth of the time goes into it. What becomes known today counts from tomorrow anyway.
const LONG: Duration = Duration::from_millis(200);
const REST: u32 = 10;

/// The timelines of this replica, and how many tellings the service keeps.
pub(crate) struct SupplierHistory {
    pub(crate) most: i64,
    own: Arc<Changes>,
    // Held while the store is read: whoever comes meanwhile wants the same.
    held: Mutex<Held>,
}

#[derive(Default)]
struct Held {
    /// How often something was told, when that was looked up, and after how many changes of this replica's own.
    seen: Option<(Option<i64>, Instant, u64)>,
    timelines: Vec<Kept>,
}

/// What was read, and after how many tellings.
struct Kept {
    memory: Memory,
    told: Option<i64>,
    rests_until: Instant,
    timeline: Arc<Timeline>,
}

impl SupplierHistory {
    pub(crate) fn new(most: i64, own: &Arc<Changes>) -> Self {
        Self { most, own: Arc::clone(own), held: Mutex::default() }
    }

    /// What is known of suppliers, fading as the model lets it; `None` before anything was told.
    pub(crate) async fn timeline(&self, cx: &Cx, model: &Model) -> Result<Option<Arc<Timeline>>, ApiError> {
        let memory = model.parameters().memory;
        let mut held = self.held.lock().await;
        let told = self.told(cx, &mut held).await?;
        if told.is_none() {
            return Ok(None);
        }
        let known = held.timelines.iter().position(|kept| kept.memory == memory);
        if let Some(kept) = known.and_then(|at| held.timelines.get(at))
            && (kept.told == told || Instant::now() < kept.rests_until)
        {
            return Ok(Some(Arc::clone(&kept.timeline)));
        }
        let began = Instant::now();
        let lines = deliveries::all(&mut *cx.store().read().await?).await?;
        let timeline = web::block(move || Timeline::of(memory, &lines)).await.map_err(ApiError::internal)?;
        let timeline = Arc::new(timeline);
        let took = began.elapsed();
        let rests_until = Instant::now() + if took > LONG { took * REST } else { Duration::ZERO };
        if let Some(at) = known.or((held.timelines.len() == MOST_HELD).then_some(0)) {
            held.timelines.remove(at);
        }
        held.timelines.push(Kept { memory, told, rests_until, timeline: Arc::clone(&timeline) });
        Ok(Some(timeline))
    }

    /// How often something was told, as far as this replica need know it now.
    async fn told(&self, cx: &Cx, held: &mut Held) -> Result<Option<i64>, ApiError> {
        let change = self.own.count();
        if let Some((told, at, seen)) = held.seen
            && seen == change
            && at.elapsed() < FRESH
        {
            return Ok(told);
        }
        let looked = async { deliveries::changes(&mut *cx.store().read().await?).await };
        let told = match (looked.await, held.seen) {
            (Ok(told), _) => told,
            // What was known a moment ago is known still while the store is away.
            (Err(error), Some((told, ..))) if error.is_unavailable() => told,
            (Err(error), _) => return Err(error.into()),
        };
        held.seen = Some((told, Instant::now(), change));
        Ok(told)
    }
}
