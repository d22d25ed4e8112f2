//! Which version of a model answers. Versions are rows that never change, so each is read once; which one is active is
//! looked up again every other second, so that a replica learns of a publication without being told.

use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use actix_web::web;
use chassis::prelude::*;
use contracts::Digest;
use models::ParameterError;
use serde_json::json;
use tokio::time::Instant;

use crate::{
    http::Served,
    store::{
        learned::{self, State},
        versions,
    },
};

/// How long a replica may judge by a version that another one has replaced.
const FRESH: Duration = Duration::from_secs(2);

/// Counts what this replica itself has changed: it need not wait to know it.
#[derive(Debug, Default)]
pub(crate) struct Changes(AtomicU64);

impl Changes {
    pub(crate) fn count_up(&self) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn count(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// A model in its versions.
pub(crate) struct Shelf<J> {
    shipped: Arc<J>,
    changes: Arc<Changes>,
    known: Mutex<Known<J>>,
}

struct Known<J> {
    /// The active version, when that was looked up, and after how many changes.
    active: Option<(String, Instant, u64)>,
    published: HashMap<String, Arc<J>>,
    taught: Option<Taught<J>>,
}

/// A version with what it has learnt, when that was looked up, and after how many changes.
struct Taught<J> {
    parameters: Digest,
    cases: i64,
    model: Arc<J>,
    looked: (Instant, u64),
}

impl<J: Served> Shelf<J> {
    /// # Errors
    /// When the embedded parameters are not usable.
    pub(crate) fn new(changes: &Arc<Changes>) -> Result<Self, ParameterError> {
        let known = Mutex::new(Known { active: None, published: HashMap::new(), taught: None });
        Ok(Self { shipped: Arc::new(J::standard()?), changes: Arc::clone(changes), known })
    }

    /// The version asked for, else the active one, with what resolved cases have taught it.
    pub(crate) async fn model(&self, cx: &Cx, wanted: Option<&str>) -> Result<Arc<J>, ApiError> {
        let model = self.fitted(cx, wanted).await?;
        if J::LEARNS { self.taught(cx, model).await } else { Ok(model) }
    }

    async fn taught(&self, cx: &Cx, fitted: Arc<J>) -> Result<Arc<J>, ApiError> {
        let parameters = fitted.reference().parameters.clone();
        let change = self.changes.count();
        let last = self.known().taught.take_if(|last| last.parameters == parameters);
        let fresh = |last: &Taught<J>| last.looked.1 == change && last.looked.0.elapsed() < FRESH;
        let found = match &last {
            Some(last) if fresh(last) => Ok(None),
            _ => self.state(cx, &fitted).await,
        };
        let looked = (Instant::now(), change);
        let taught = match (found, last) {
            // Nothing new, or the store is away: what was known a moment ago is known still.
            (Ok(None), Some(last)) if fresh(&last) => last,
            (Err(error), Some(last)) if error.is_unavailable() => last,
            (Err(error), _) => return Err(error.into()),
            (Ok(Some(state)), Some(last)) if state.cases == last.cases => Taught { looked, ..last },
            (Ok(Some(state)), _) => {
                let model = Arc::new(fitted.taught(&state.state).map_err(ApiError::internal)?);
                Taught { parameters, cases: state.cases, model, looked }
            }
            (Ok(None), _) => Taught { parameters, cases: 0, model: fitted, looked },
        };
        let model = Arc::clone(&taught.model);
        self.known().taught = Some(taught);
        Ok(model)
    }

    /// What this version has learnt. One that nobody has taught yet learns what is kept of the cases that taught others.
    async fn state(&self, cx: &Cx, fitted: &Arc<J>) -> Result<Option<State>, StoreError> {
        let parameters = &fitted.reference().parameters;
        let mut reader = cx.store().read().await?;
        let known = learned::find(&mut reader, J::NAME, parameters).await?;
        if known.is_some() || learned::resolutions(&mut reader, J::NAME, 1).await?.is_empty() {
            return Ok(known);
        }
        drop(reader);
        let mut tx = cx.store().begin().await?;
        if let Some(twin) = learned::hold(&mut tx, J::NAME, parameters).await? {
            return Ok(Some(twin));
        }
        let cases = learned::resolutions(tx.conn(), J::NAME, learned::MOST_RESOLUTIONS).await?;
        let (model, told) = (Arc::clone(fitted), cases.len());
        let learnt = web::block(move || model.relearn(&cases)).await.map_err(|_| StoreError::Closed)?;
        let (cases, state) = learnt.map_err(|error| sqlx::Error::Decode(error.into()))?;
        let state = State { cases, state };
        learned::keep(&mut tx, J::NAME, parameters, &state).await?;
        let subject = format!("model:{}@{}", J::NAME, fitted.reference().version);
        tx.audit("steward", "model.relearned", &subject, json!({"kept": told, "learned": cases})).await?;
        tx.commit().await?;
        Ok(Some(state))
    }

    /// The version asked for, else the active one, as it was fitted.
    pub(crate) async fn fitted(&self, cx: &Cx, wanted: Option<&str>) -> Result<Arc<J>, ApiError> {
        let version = match wanted {
            Some(version) => version.to_owned(),
            None => self.active(cx).await?,
        };
        if version == self.shipped.reference().version {
            return Ok(Arc::clone(&self.shipped));
        }
        if let Some(model) = self.known().published.get(&version) {
            return Ok(Arc::clone(model));
        }
        let found = versions::find(&mut *cx.store().read().await?, J::NAME, &version).await?;
        let Some(found) = found else {
            return Err(ApiError::not_found("version of this model"));
        };
        let model = Arc::new(J::from_json(&found.parameters).map_err(ApiError::internal)?);
        self.known().published.insert(version, Arc::clone(&model));
        Ok(model)
    }

    async fn active(&self, cx: &Cx) -> Result<String, ApiError> {
        let change = self.changes.count();
        let last = self.known().active.clone();
        if let Some((version, at, seen)) = &last
            && *seen == change
            && at.elapsed() < FRESH
        {
            return Ok(version.clone());
        }
        let looked = async { versions::active(&mut *cx.store().read().await?, J::NAME).await };
        let version = match (looked.await, last) {
            (Ok(active), _) => active.unwrap_or_else(|| self.shipped.reference().version.clone()),
            // What judged a moment ago judges on while the store is away: in bulk nothing else needs the store.
            (Err(error), Some((version, ..))) if error.is_unavailable() => version,
            (Err(error), _) => return Err(error.into()),
        };
        self.known().active = Some((version.clone(), Instant::now(), change));
        Ok(version)
    }

    fn known(&self) -> MutexGuard<'_, Known<J>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
