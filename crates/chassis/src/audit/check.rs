//! Whether the store still says what the log says: every leaf is hashed again and the tree built anew. It finds what was
//! changed past the service, by somebody who may do anything in the database.

use std::time::Duration;

use contracts::audit::{AuditLeaf, Fold, TreeHash};
use sqlx::Row;

use super::{fold::signed, hash_of, leaf_columns, leaf_of};
use crate::{cx::Cx, jobs::JobError, store::StoreError};

/// How often a service checks its log.
pub(crate) const EVERY: Duration = Duration::from_secs(6 * 3600);
/// Leaves that are read at once; while they are hashed, the next are read.
const PAGE: u64 = 8_192;

/// What a check found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Checked {
    /// Leaves of the newest checkpoint.
    pub leaves: u64,
    /// Places of leaves that are gone or are not what was folded, the first few.
    pub changed: Vec<u64>,
    /// The leaves make another tree than the signed one.
    pub other_root: bool,
}

impl Checked {
    #[must_use]
    pub fn is_sound(&self) -> bool {
        self.changed.is_empty() && !self.other_root
    }
}

/// Most places that are told of.
const MOST: usize = 20;

/// A page: places, the leaves as they are now, and their hashes as they were folded.
type Page = Vec<(u64, Option<AuditLeaf>, TreeHash)>;

/// Checks the log as of its newest checkpoint.
///
/// # Errors
/// When the store fails.
pub async fn check(cx: &Cx) -> Result<Checked, StoreError> {
    let mut reader = cx.store().read().await?;
    let newest: Option<(i64, String)> =
        sqlx::query_as("SELECT size, root FROM audit_checkpoints ORDER BY seq DESC LIMIT 1")
            .fetch_optional(&mut *reader)
            .await?;
    let Some((size, root)) = newest else { return Ok(Checked::default()) };
    let (size, root) = (size.unsigned_abs(), hash_of(&root)?);
    // LEFT: a leaf that is gone must show as one.
    let select = concat!(
        "SELECT audit_log.leaf_index, audit_log.hash, ",
        leaf_columns!(
            "FROM audit_log LEFT JOIN audit ON audit.seq = audit_log.seq WHERE leaf_index >= $1 AND leaf_index < $2 \
             ORDER BY leaf_index"
        )
    );
    let (mut tree, mut checked, mut first) = (Fold::default(), Checked { leaves: size, ..Checked::default() }, 0);
    let mut hashing: Option<tokio::task::JoinHandle<Result<Hashed, StoreError>>> = None;
    while first < size {
        let end = (first + PAGE).min(size);
        let rows = sqlx::query(select).bind(signed(first)).bind(signed(end)).fetch_all(&mut *reader).await?;
        if let Some(page) = hashing.take() {
            page.await.map_err(|_| StoreError::Closed)??.add_to(&mut tree, &mut checked);
        }
        hashing = Some(tokio::task::spawn_blocking(move || Hashed::of(&page_of(&rows)?)));
        first = end;
    }
    if let Some(page) = hashing {
        page.await.map_err(|_| StoreError::Closed)??.add_to(&mut tree, &mut checked);
    }
    checked.other_root = tree.size() != size || tree.root() != root;
    Ok(checked)
}

fn page_of(rows: &[sqlx::any::AnyRow]) -> Result<Page, StoreError> {
    let one = |row: &sqlx::any::AnyRow| {
        let leaf = row.try_get::<Option<String>, _>("id")?.map(|_| leaf_of(row)).transpose()?;
        Ok((row.try_get::<i64, _>("leaf_index")?.unsigned_abs(), leaf, hash_of(&row.try_get::<String, _>("hash")?)?))
    };
    rows.iter().map(one).collect()
}

/// The hashes of the leaves as they are now.
struct Hashed {
    hashes: Vec<TreeHash>,
    changed: Vec<u64>,
}

impl Hashed {
    fn of(page: &Page) -> Result<Self, StoreError> {
        let (mut hashes, mut changed) = (Vec::with_capacity(page.len()), Vec::new());
        for (index, leaf, folded) in page {
            let now = leaf.as_ref().map(AuditLeaf::hash).transpose()?;
            if now != Some(*folded) {
                changed.push(*index);
            }
            hashes.extend(now);
        }
        Ok(Self { hashes, changed })
    }

    fn add_to(self, tree: &mut Fold, checked: &mut Checked) {
        self.hashes.into_iter().for_each(|hash| tree.append(hash));
        let room = MOST.saturating_sub(checked.changed.len());
        checked.changed.extend(self.changed.into_iter().take(room));
    }
}

/// One turn of the job that every service has.
pub(crate) async fn turn(cx: &Cx) -> Result<(), JobError> {
    let checked = check(cx).await?;
    cx.metrics().set_audit_sound(cx.service(), checked.is_sound());
    if checked.is_sound() {
        tracing::info!(leaves = checked.leaves, "the audit log is what was signed");
    } else {
        let Checked { leaves, changed, other_root } = checked;
        tracing::error!(leaves, ?changed, other_root, "the audit log is NOT what was signed: rows were changed");
    }
    Ok(())
}
