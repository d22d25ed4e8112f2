//! The sequencer: gives leaves their places in the log. One replica at a time, under a lease whose fence is checked in
//! the transaction that folds, so that one that slept cannot give a place twice.

use std::time::Duration;

use contracts::audit::{Checkpoint, Fold, TreeHash};
use sqlx::Row;
use tokio_util::sync::CancellationToken;

use super::{leaf_columns, leaf_of};
use crate::{
    cx::Cx,
    jobs::{JobError, Lease},
    store::{StoreError, Tx, micros, rows},
};

/// How often it looks for leaves. Looking is one read; the lease is only taken when there is something to fold.
const LOOK: Duration = Duration::from_millis(200);
/// Leaves of one transaction: with a commit each, 10,000 a second are three of them.
const BATCH: i64 = 4_096;
const LEASE: &str = "chassis.audit";
/// A dead holder keeps the others from folding for so long; below [`super::MAXIMUM_LAG`].
const HOLD: Duration = Duration::from_secs(6);
/// Leaves of a subtree whose root is stored, as a power of two; see `audit_nodes`.
pub(super) const STEP: u32 = 8;

/// Folds until it is stopped. In real time, whatever clock the service lives by: a test that holds the clock still
/// wants its proofs all the same.
pub(crate) async fn run(cx: Cx, stop: CancellationToken) {
    let holder = cx.ids().next().to_string();
    let mut held = false;
    while !stop.is_cancelled() {
        let turn = crate::caught(turn(&cx, &holder)).await.map_err(JobError::Other);
        match turn.and_then(|folded| Ok(folded?)) {
            Ok(Some(folded)) => {
                held = true;
                if folded == BATCH.unsigned_abs() {
                    continue;
                }
            }
            Ok(None) => {}
            Err(JobError::Store(StoreError::Busy(_))) => tracing::debug!("another replica folds the audit log"),
            Err(error) => tracing::warn!(error = %crate::chain(&error), "the audit log is not folded; tried again"),
        }
        tokio::select! {
            () = tokio::time::sleep(LOOK) => {}
            () = stop.cancelled() => {}
        }
    }
    if held && let Err(error) = Lease::release(cx.store(), LEASE, &holder).await {
        tracing::debug!(error = %crate::chain(&error), "the lease of the audit log runs out by itself");
    }
}

/// Folds what is there, until nothing is left: for who needs a proof at once.
///
/// # Errors
/// When the store fails, or another replica is folding.
pub async fn fold_all(cx: &Cx) -> Result<u64, StoreError> {
    let holder = cx.ids().next().to_string();
    let mut folded = 0;
    while let Some(more) = turn(cx, &holder).await? {
        folded += more;
    }
    Lease::release(cx.store(), LEASE, &holder).await?;
    Ok(folded)
}

/// One batch; nothing when there is nothing to fold or to sign anew, or when it is another's to do.
async fn turn(cx: &Cx, holder: &str) -> Result<Option<u64>, StoreError> {
    if !is_due(cx).await? {
        return Ok(None);
    }
    let Some(lease) = Lease::take(cx.store(), LEASE, holder, HOLD).await? else { return Ok(None) };
    let mut tx = cx.store().begin().await?;
    lease.guard(&mut tx).await?;
    let folded = fold(cx, &mut tx).await?;
    tx.commit().await?;
    Ok(Some(folded))
}

/// Leaves wait, or the newest checkpoint is signed with a key that is no longer the one that signs.
async fn is_due(cx: &Cx) -> Result<bool, StoreError> {
    let mut reader = cx.store().read().await?;
    let waiting: Option<(i64,)> =
        sqlx::query_as("SELECT seq FROM audit_unfolded LIMIT 1").fetch_optional(&mut *reader).await?;
    if waiting.is_some() {
        return Ok(true);
    }
    let newest: Option<(String,)> = sqlx::query_as("SELECT note FROM audit_checkpoints ORDER BY seq DESC LIMIT 1")
        .fetch_optional(&mut *reader)
        .await?;
    let keys = cx.notary().keys();
    let own = contracts::audit::Jwks { keys: vec![keys.signer.jwk()] };
    Ok(newest.is_some_and(|(note,)| Checkpoint::open(&note, &own).is_err()))
}

/// A row of the log, or a node of its tree, that is not written yet.
struct Hashed {
    at: (i64, i64),
    hash: String,
}

fn bind<'q>(statement: rows::Statement<'q>, row: &'q Hashed) -> rows::Statement<'q> {
    statement.bind(row.at.0).bind(row.at.1).bind(row.hash.as_str())
}

async fn fold(cx: &Cx, tx: &mut Tx) -> Result<u64, StoreError> {
    let newest: Option<(String,)> = sqlx::query_as("SELECT fold FROM audit_checkpoints ORDER BY seq DESC LIMIT 1")
        .fetch_optional(tx.conn())
        .await?;
    let mut tree: Fold = newest.map_or_else(|| Ok(Fold::default()), |(fold,)| serde_json::from_str(&fold))?;
    // By number: of one subject the leaves stand in the order in which their transactions locked it.
    let select = concat!(
        "SELECT ",
        leaf_columns!(
            "FROM audit_unfolded JOIN audit ON audit.seq = audit_unfolded.seq ORDER BY audit_unfolded.seq LIMIT $1"
        )
    );
    let leaves = sqlx::query(select).bind(BATCH).fetch_all(tx.conn()).await?;
    let (mut places, mut nodes) = (Vec::with_capacity(leaves.len()), Vec::new());
    for row in &leaves {
        let hash = leaf_of(row)?.hash()?;
        places.push(Hashed { at: (signed(tree.size()), row.try_get("seq")?), hash: hash.to_string() });
        tree.append_with(hash, |subtree, hash: TreeHash| {
            if subtree.level > 0 && subtree.level % STEP == 0 {
                let at = (i64::from(subtree.level / STEP), signed(subtree.index));
                nodes.push(Hashed { at, hash: hash.to_string() });
            }
        });
    }
    rows::insert(tx.conn(), "audit_log (leaf_index, seq, hash)", &places, bind).await?;
    rows::insert(tx.conn(), "audit_nodes (level, place, hash)", &nodes, bind).await?;
    if let Some(last) = places.last() {
        // One with a lower number may have committed meanwhile: it is not in the log, and stays.
        sqlx::query(
            "DELETE FROM audit_unfolded WHERE seq <= $1 \
             AND EXISTS (SELECT 1 FROM audit_log WHERE audit_log.seq = audit_unfolded.seq)",
        )
        .bind(last.at.1)
        .execute(tx.conn())
        .await?;
    }
    sign(cx, tx, &tree).await?;
    Ok(places.len() as u64)
}

async fn sign(cx: &Cx, tx: &mut Tx, tree: &Fold) -> Result<(), StoreError> {
    let keys = cx.notary().keys();
    let checkpoint = Checkpoint { origin: keys.signer.name().to_owned(), size: tree.size(), root: tree.root() };
    sqlx::query("INSERT INTO audit_checkpoints (size, root, fold, note, folded_at) VALUES ($1, $2, $3, $4, $5)")
        .bind(signed(tree.size()))
        .bind(checkpoint.root.to_string())
        .bind(serde_json::to_string(tree)?)
        .bind(keys.signer.sign(&checkpoint.text()))
        .bind(micros(tx.now()))
        .execute(tx.conn())
        .await?;
    Ok(())
}

/// A count as the store holds it; none reaches 2^63.
pub(super) fn signed(count: u64) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}
