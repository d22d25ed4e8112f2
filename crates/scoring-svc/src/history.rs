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
    timelines: Vec<(Memory, Arc<Timeline>)>,
}

impl SupplierHistory {
    pub(crate) fn new(most: i64, own: &Arc<Changes>) -> Self {
        Self { most, own: Arc::clone(own), held: Mutex::default() }
    }

    /// What is known of suppliers, fading as the model lets it; `None` before anything was told.
    pub(crate) async fn timeline(&self, cx: &Cx, model: &Model) -> Result<Option<Arc<Timeline>>, ApiError> {
        let memory = model.parameters().memory;
        let mut held = self.held.lock().await;
        let change = self.own.count();
        let fresh = held.seen.is_some_and(|(_, at, seen)| seen == change && at.elapsed() < FRESH);
        if !fresh {
            let looked = async { deliveries::changes(&mut *cx.store().read().await?).await };
            let told = match (looked.await, held.seen) {
                (Ok(told), _) => told,
                // What was known a moment ago is known still while the store is away.
                (Err(error), Some((told, ..))) if error.is_unavailable() => told,
                (Err(error), _) => return Err(error.into()),
            };
            if held.seen.is_none_or(|(before, ..)| before != told) {
                held.timelines.clear();
            }
            held.seen = Some((told, Instant::now(), change));
        }
        if held.seen.is_none_or(|(told, ..)| told.is_none()) {
            return Ok(None);
        }
        if let Some((_, timeline)) = held.timelines.iter().find(|(known, _)| *known == memory) {
            return Ok(Some(Arc::clone(timeline)));
        }
        let lines = deliveries::all(&mut *cx.store().read().await?).await?;
        let timeline = web::block(move || Timeline::of(memory, &lines)).await.map_err(ApiError::internal)?;
        let timeline = Arc::new(timeline);
        if held.timelines.len() == MOST_HELD {
            held.timelines.remove(0);
        }
        held.timelines.push((memory, Arc::clone(&timeline)));
        Ok(Some(timeline))
    }
}
