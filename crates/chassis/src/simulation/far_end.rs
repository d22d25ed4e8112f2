//! The outside world: peers of all three kinds, and the ledger of what reached them.

use std::{
    collections::{BTreeMap, BTreeSet},
    future::pending,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use async_trait::async_trait;
use serde_json::{Value, json};

use super::{
    Flaw, REFUSED,
    steps::{OpenTx, Steps},
};
use crate::{
    cx::Cx,
    relay::{Attempt, Effect, EffectKind, Executor, Settled},
    store::{StoreError, Tx},
};

/// A peer by its kind, and one that is told the state of a subject as often as need be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Peer {
    Idempotent,
    Probeable,
    InDoubt,
    Digest,
}

pub(super) const PEERS: [Peer; 4] = [Peer::Idempotent, Peer::Probeable, Peer::InDoubt, Peer::Digest];

impl Peer {
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Idempotent => "idempotent",
            Self::Probeable => "probeable",
            Self::InDoubt => "in_doubt",
            Self::Digest => "digest",
        }
    }
}

/// What arrived: never forgotten, whoever crashes.
#[derive(Default)]
pub(super) struct Ledger {
    /// `(executor, order key, number, effect's id)` in order of arrival.
    pub(super) arrived: Vec<(&'static str, String, u64, String)>,
    /// What the peer made of it; an idempotent peer makes nothing of a repeat.
    pub(super) made: BTreeMap<String, u32>,
    known: BTreeSet<String>,
    /// Arrivals of an effect whose answer was not given.
    pub(super) unanswered: BTreeMap<String, u32>,
    /// How much of a subject its last digest saw.
    pub(super) digests: BTreeMap<String, i64>,
}

pub(super) type FarEnd = Arc<Mutex<Ledger>>;

pub(super) fn ledger(far_end: &FarEnd) -> MutexGuard<'_, Ledger> {
    far_end.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Executor of one replica for one peer.
pub(super) struct Courier {
    pub(super) peer: Peer,
    pub(super) far_end: FarEnd,
    pub(super) steps: Steps,
    pub(super) flaw: Flaw,
}

impl Courier {
    fn arrive(&self, effect: &Effect, number: u64) {
        let mut ledger = ledger(&self.far_end);
        ledger.arrived.push((self.peer.name(), effect.order_key.clone(), number, effect.id.clone()));
        let repeat = !ledger.known.insert(effect.id.clone());
        if self.peer == Peer::Idempotent && repeat && self.flaw != Flaw::PeerForgets {
            return;
        }
        *ledger.made.entry(effect.id.clone()).or_default() += 1;
    }

    /// What the subject has come to, as of now.
    async fn digest(&self, cx: &Cx, subject: &str) -> Result<(), StoreError> {
        let _conversation = OpenTx::new(&self.steps);
        let mut reader = cx.store().read().await?;
        let select = "SELECT COUNT(*) FROM audit WHERE verb = 'heard' AND subject = $1";
        let (seen,): (i64,) = sqlx::query_as(select).bind(subject).fetch_one(&mut *reader).await?;
        ledger(&self.far_end).digests.insert(subject.to_owned(), seen);
        Ok(())
    }
}

#[async_trait]
impl Executor for Courier {
    fn name(&self) -> &'static str {
        self.peer.name()
    }

    fn kind(&self) -> EffectKind {
        match self.peer {
            Peer::Idempotent | Peer::Digest => EffectKind::IdempotentPeer,
            Peer::Probeable => EffectKind::Probeable,
            Peer::InDoubt => EffectKind::InDoubt,
        }
    }

    async fn probe(&self, _: &Cx, effect: &Effect) -> Result<Option<Value>, Attempt> {
        self.steps.reach(format!("probe {}", effect.about)).await.map_err(|_| Attempt::retry("not reached"))?;
        let known = ledger(&self.far_end).known.contains(&effect.id);
        Ok((known && self.flaw != Flaw::ProbeIsBlind).then(|| json!("found")))
    }

    async fn perform(&self, cx: &Cx, effect: &Effect) -> Result<Value, Attempt> {
        let what = format!("{} {}", self.peer.name(), effect.about);
        self.steps.reach(what.as_str()).await.map_err(|_| Attempt::retry("not reached"))?;
        if self.peer == Peer::Digest {
            self.digest(cx, &effect.order_key).await.map_err(|error| Attempt::retry(crate::chain(&error)))?;
        } else {
            let number = effect.payload.as_u64().unwrap_or(0);
            if self.peer == Peer::Idempotent && number == REFUSED {
                return Err(Attempt::refused("this one is refused"));
            }
            self.arrive(effect, number);
        }
        if self.steps.reach(format!("{what} answers")).await.is_err() {
            if self.peer == Peer::InDoubt {
                // Whoever cannot say whether it was delivered says nothing.
                *ledger(&self.far_end).unanswered.entry(effect.id.clone()).or_default() += 1;
                pending::<()>().await;
            }
            return Err(Attempt::retry("its answer was lost"));
        }
        Ok(json!("made"))
    }

    async fn settled(&self, _: &Cx, tx: &mut Tx, effect: &Effect, _: &Settled) -> Result<(), StoreError> {
        let subject = format!("{}/{}", self.peer.name(), effect.id);
        tx.audit("service:probe", "settled", &subject, json!({})).await
    }
}
