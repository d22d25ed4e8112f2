//! The audit log of a service: leaves come with the transaction that they tell of ([`crate::store::Tx::audit`]), one
//! sequencer folds them into a Merkle tree and signs its checkpoints, and whoever asks gets proofs.
//!
//! Folding comes after the commit, so that two decisions do not wait for each other to be audited. [`MAXIMUM_LAG`] is
//! how long it may take before readiness says `degraded`; the metric `audit_lag_seconds` and the API tell how long it
//! does.

mod check;
mod fold;
mod notary;
mod proofs;

use std::time::Duration;

use contracts::audit::{AuditLeaf, TreeHash};
use serde_json::Value;
use sqlx::{Row, any::AnyRow};

pub use self::{
    check::{Checked, check},
    fold::fold_all,
    notary::{Keys, Notary},
    proofs::{Log, Proved},
};
pub(crate) use self::{
    check::{EVERY as CHECKED_EVERY, turn as check_turn},
    fold::run,
};
use crate::{
    cx::Cx,
    store::{StoreError, instant, micros},
};

/// A leaf is in a signed checkpoint after this long at most; more is a fault, which readiness and an alert tell of.
pub const MAXIMUM_LAG: Duration = Duration::from_secs(10);

/// How far folding is behind.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Lag {
    /// Leaves that are in no checkpoint yet.
    pub unfolded: u64,
    /// Age of the oldest of them, in seconds.
    pub seconds: f64,
}

impl Lag {
    pub(crate) fn is_too_long(self) -> bool {
        self.seconds > MAXIMUM_LAG.as_secs_f64()
    }
}

/// How far folding is behind now.
///
/// # Errors
/// When the store fails.
pub async fn lag(cx: &Cx) -> Result<Lag, StoreError> {
    let mut reader = cx.store().read().await?;
    let (unfolded, oldest): (i64, Option<i64>) =
        sqlx::query_as("SELECT COUNT(*), MIN(at) FROM audit_unfolded").fetch_one(&mut *reader).await?;
    let behind = oldest.map_or(0, |oldest| (micros(cx.clock().now()) - oldest).max(0));
    #[expect(clippy::cast_precision_loss, reason = "an age in seconds needs no 53 bits")]
    Ok(Lag { unfolded: u64::try_from(unfolded).unwrap_or(0), seconds: behind as f64 / 1e6 })
}

/// The columns that [`leaf_of`] reads.
macro_rules! leaf_columns {
    ($rest:literal) => {
        concat!(
            "audit.seq, audit.id, audit.at, audit.actor, audit.verb, audit.subject, audit.trace_id, \
             audit.correlation_id, audit.details ",
            $rest
        )
    };
}
pub(crate) use leaf_columns;

/// The leaf of a row, as it is hashed.
pub(crate) fn leaf_of(row: &AnyRow) -> Result<AuditLeaf, sqlx::Error> {
    Ok(AuditLeaf {
        id: row.try_get("id")?,
        at: instant(row.try_get("at")?),
        actor: row.try_get("actor")?,
        verb: row.try_get("verb")?,
        subject: row.try_get("subject")?,
        trace_id: row.try_get("trace_id")?,
        correlation_id: row.try_get("correlation_id")?,
        details: AuditLeaf::details_of(row.try_get("details")?),
    })
}

fn hash_of(text: &str) -> Result<TreeHash, StoreError> {
    Ok(serde_json::from_value(Value::String(text.to_owned()))?)
}
