//! Which policies judge. Versions are rows that never change; whether there is a new one is looked up every other second,
//! so that a replica learns of a publication without being told.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use chassis::{
    prelude::{Cx, StoreError},
    reload::Reloaded,
};
use governance::{
    Policy, Rulebook,
    policy::{Document, InvalidRulebook},
};

use crate::{
    settings::Filed,
    store::policies::{self, Published},
};

/// How long a replica may judge by what another one has replaced.
const FRESH: Duration = Duration::from_secs(2);
/// Who published the version that lies in the operator's file, or comes with the program.
pub(crate) const FILE: &str = "file";

/// The policies in force, and how they came to be.
pub(crate) struct Books {
    file: Reloaded<Filed>,
    known: Mutex<Option<Known>>,
}

#[derive(Clone)]
struct Known {
    book: Arc<Rulebook>,
    /// How often policies had changed.
    generation: i64,
    /// The file of then.
    file: Arc<Filed>,
    /// `None`: it is known to be out of date.
    looked: Option<Instant>,
}

impl Books {
    pub(crate) fn new(file: Reloaded<Filed>) -> Self {
        Self { file, known: Mutex::new(None) }
    }

    /// What requests are judged by, at most two seconds old.
    ///
    /// # Errors
    /// When the store fails, and nothing is known from before.
    pub(crate) async fn in_force(&self, cx: &Cx) -> Result<Arc<Rulebook>, StoreError> {
        let file = self.file.get();
        let last = self.known().clone().filter(|last| Arc::ptr_eq(&last.file, &file));
        if let Some(last) = &last
            && last.looked.is_some_and(|looked| looked.elapsed() < FRESH)
        {
            return Ok(Arc::clone(&last.book));
        }
        match (self.look(cx, file, last.as_ref()).await, last) {
            (Ok(found), _) => {
                let book = Arc::clone(&found.book);
                *self.known() = Some(found);
                Ok(book)
            }
            // What judged a moment ago judges on while the store is away.
            (Err(error), Some(last)) if error.is_unavailable() => Ok(last.book),
            (Err(error), _) => Err(error),
        }
    }

    /// The base policy as it was last looked at, without asking the store; the file's before the first look. For what
    /// compares amounts beside a judgement, not for judging.
    pub(crate) fn with_base_at_hand<R>(&self, look: impl FnOnce(&Policy) -> R) -> R {
        let known = self.known().as_ref().map(|known| Arc::clone(&known.book));
        match known {
            Some(book) => look(book.base()),
            None => look(&self.file.get().policy),
        }
    }

    /// What requests are judged by at this moment, and how often it has changed: what a change is built upon.
    ///
    /// # Errors
    /// When the store fails.
    pub(crate) async fn now(&self, cx: &Cx) -> Result<(Arc<Rulebook>, i64), StoreError> {
        let found = self.look(cx, self.file.get(), None).await?;
        Ok((found.book, found.generation))
    }

    /// This replica has changed something itself: it need not wait to know it.
    pub(crate) fn changed(&self) {
        if let Some(last) = self.known().as_mut() {
            last.looked = None;
        }
    }

    /// Id of the base policy; all others are overlays.
    pub(crate) fn base_id(&self) -> String {
        self.file.get().reference.id.clone()
    }

    async fn look(&self, cx: &Cx, file: Arc<Filed>, last: Option<&Known>) -> Result<Known, StoreError> {
        let mut reader = cx.store().read().await?;
        // The number before the documents: a change in between is then seen at the next look.
        let generation = policies::generation(&mut reader).await?;
        let looked = Some(Instant::now());
        if let Some(last) = last.filter(|last| last.generation == generation) {
            return Ok(Known { looked, ..last.clone() });
        }
        let active = policies::active(&mut reader).await?;
        let mut kept = policies::find(&mut reader, &file.reference.id, file.reference.version).await?;
        if kept.is_none() {
            // Who holds a connection and waits for another one stands still when all do.
            drop(reader);
            keep(cx, &file).await?;
            reader = cx.store().read().await?;
            kept = policies::find(&mut reader, &file.reference.id, file.reference.version).await?;
        }
        drop(reader);
        let filed = match kept {
            None => file.policy.clone(),
            Some(kept) if kept.published.reference == file.reference => file.policy.clone(),
            Some(kept) => {
                let reference = &file.reference;
                tracing::error!(policy = %reference.id, version = reference.version,
                    "the policy file differs from the version of this number that has judged; give it a new number");
                base_of(kept.document).unwrap_or_else(|| file.policy.clone())
            }
        };
        let mut base = filed;
        let mut overlays = Vec::new();
        for kept in active {
            match kept.document {
                Document::Policy(policy) if policy.policy == file.reference.id => base = policy,
                // Of a base that the file has replaced by another one.
                Document::Policy(_) => {}
                Document::Overlay(overlay) if overlay.over == file.reference.id => overlays.push(overlay),
                Document::Overlay(_) => {}
            }
        }
        let book = Rulebook::new(base, overlays).map_err(unreadable)?;
        Ok(Known { book: Arc::new(book), generation, file, looked })
    }

    fn known(&self) -> std::sync::MutexGuard<'_, Option<Known>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn base_of(document: Document) -> Option<Policy> {
    match document {
        Document::Policy(policy) => Some(policy),
        Document::Overlay(_) => None,
    }
}

/// Nothing is published that does not fit together, so this is a damaged store.
fn unreadable(error: InvalidRulebook) -> StoreError {
    sqlx::Error::Decode(error.into()).into()
}

/// Keeps the file's version beside the published ones; a twin that is faster keeps the same.
async fn keep(cx: &Cx, file: &Filed) -> Result<(), StoreError> {
    let mut tx = cx.store().begin().await?;
    let published = Published {
        reference: file.reference.clone(),
        findings: Vec::new(),
        published_by: FILE.to_owned(),
        published_at: tx.now(),
    };
    policies::add(&mut tx, &published, &Document::Policy(file.policy.clone())).await?;
    tx.commit().await
}
