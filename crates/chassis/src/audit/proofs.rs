//! What the log says and proves.

use std::{collections::HashMap, ops::Range};

use contracts::audit::{AuditLeaf, Checkpoint, Subtree, TreeHash, consistency_path, inclusion_path, subtrees};
use jiff::Timestamp;
use sqlx::Row;

use super::{
    fold::{STEP, signed},
    hash_of, leaf_columns, leaf_of,
};
use crate::{
    cx::Cx,
    store::{Reader, StoreError, instant},
};

/// A leaf, its place, and the hashes that prove it.
#[derive(Clone, Debug, PartialEq)]
pub struct Proved {
    pub index: u64,
    pub leaf: AuditLeaf,
    pub path: Vec<TreeHash>,
}

/// The log as of its newest checkpoint. It only grows, so what was read stays true.
pub struct Log {
    reader: Reader,
    checkpoint: Checkpoint,
    note: String,
    folded_at: Timestamp,
    /// Rows of hashes by level (in steps) and number; a row has 256.
    known: HashMap<(u32, u64), Vec<TreeHash>>,
}

impl Log {
    /// `None` while nothing has been folded.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn open(cx: &Cx) -> Result<Option<Self>, StoreError> {
        let mut reader = cx.store().read().await?;
        let select = "SELECT size, root, note, folded_at FROM audit_checkpoints ORDER BY seq DESC LIMIT 1";
        let newest: Option<(i64, String, String, i64)> = sqlx::query_as(select).fetch_optional(&mut *reader).await?;
        let Some((size, root, note, at)) = newest else { return Ok(None) };
        let origin = cx.notary().keys().signer.name().to_owned();
        let checkpoint = Checkpoint { origin, size: size.unsigned_abs(), root: hash_of(&root)? };
        Ok(Some(Self { reader, checkpoint, note, folded_at: instant(at), known: HashMap::new() }))
    }

    #[must_use]
    pub fn checkpoint(&self) -> &Checkpoint {
        &self.checkpoint
    }

    /// The checkpoint, signed.
    #[must_use]
    pub fn note(&self) -> &str {
        &self.note
    }

    #[must_use]
    pub fn folded_at(&self) -> Timestamp {
        self.folded_at
    }

    /// The leaf of this id with its proof; `None` while it is not in the checkpoint, or when there is none.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn leaf(&mut self, id: &str, size: u64) -> Result<Option<Proved>, StoreError> {
        let select = concat!(
            "SELECT audit_log.leaf_index, ",
            leaf_columns!(
                "FROM audit JOIN audit_log ON audit_log.seq = audit.seq WHERE audit.id = $1 AND leaf_index < $2"
            )
        );
        let row = sqlx::query(select).bind(id).bind(signed(size)).fetch_optional(&mut *self.reader).await?;
        let Some(row) = row else { return Ok(None) };
        let index = row.try_get::<i64, _>("leaf_index")?.unsigned_abs();
        Ok(Some(Proved { index, leaf: leaf_of(&row)?, path: self.path(inclusion_path(index, size)).await? }))
    }

    /// All leaves of a subject that are in the checkpoint, in their order, with their proofs.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn leaves_of(&mut self, subject: &str) -> Result<Vec<Proved>, StoreError> {
        let select = concat!(
            "SELECT audit_log.leaf_index, ",
            leaf_columns!(
                "FROM audit JOIN audit_log ON audit_log.seq = audit.seq WHERE audit.subject = $1 AND leaf_index < $2 \
                 ORDER BY leaf_index"
            )
        );
        let size = self.checkpoint.size;
        let rows = sqlx::query(select).bind(subject).bind(signed(size)).fetch_all(&mut *self.reader).await?;
        let mut proved = Vec::with_capacity(rows.len());
        for row in &rows {
            let index = row.try_get::<i64, _>("leaf_index")?.unsigned_abs();
            let path = self.path(inclusion_path(index, size)).await?;
            proved.push(Proved { index, leaf: leaf_of(row)?, path });
        }
        Ok(proved)
    }

    /// The hashes that prove that the log of `to` leaves begins with that of `from`. Neither may be larger than the
    /// checkpoint.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn consistency(&mut self, from: u64, to: u64) -> Result<Vec<TreeHash>, StoreError> {
        self.path(consistency_path(from, to)).await
    }

    /// The hash over the first `size` leaves; not more than the checkpoint has.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn root(&mut self, size: u64) -> Result<TreeHash, StoreError> {
        self.over(0..size).await
    }

    async fn path(&mut self, ranges: Vec<Range<u64>>) -> Result<Vec<TreeHash>, StoreError> {
        let mut path = Vec::with_capacity(ranges.len());
        for range in ranges {
            path.push(self.over(range).await?);
        }
        Ok(path)
    }

    async fn over(&mut self, range: Range<u64>) -> Result<TreeHash, StoreError> {
        let mut roots = Vec::new();
        for subtree in subtrees(range) {
            roots.push(self.subtree(subtree).await?);
        }
        Ok(TreeHash::of_subtrees(roots.into_iter()))
    }

    /// From the stored level below it, whose hashes all lie in one row of 256.
    async fn subtree(&mut self, subtree: Subtree) -> Result<TreeHash, StoreError> {
        let (level, within) = (subtree.level / STEP, subtree.level % STEP);
        let (first, count) = (subtree.index << within, 1_usize << within);
        let (row, offset) = (first >> STEP, usize::try_from(first % (1 << STEP)).unwrap_or(0));
        if !self.known.contains_key(&(level, row)) {
            let read = self.row(level, row).await?;
            self.known.insert((level, row), read);
        }
        let hashes = self.known.get(&(level, row)).and_then(|row| row.get(offset..offset + count));
        let mut hashes = hashes.ok_or(StoreError::Sql(sqlx::Error::RowNotFound))?.to_vec();
        while hashes.len() > 1 {
            hashes = hashes.chunks(2).map(|pair| TreeHash::node(pair[0], pair[1])).collect();
        }
        Ok(hashes[0])
    }

    async fn row(&mut self, level: u32, row: u64) -> Result<Vec<TreeHash>, StoreError> {
        let (first, end) = (signed(row << STEP), signed((row + 1) << STEP));
        let rows: Vec<(String,)> = if level == 0 {
            let select = "SELECT hash FROM audit_log WHERE leaf_index >= $1 AND leaf_index < $2 ORDER BY leaf_index";
            sqlx::query_as(select).bind(first).bind(end).fetch_all(&mut *self.reader).await?
        } else {
            let select = "SELECT hash FROM audit_nodes WHERE level = $1 AND place >= $2 AND place < $3 ORDER BY place";
            sqlx::query_as(select).bind(i64::from(level)).bind(first).bind(end).fetch_all(&mut *self.reader).await?
        };
        rows.iter().map(|(hash,)| hash_of(hash)).collect()
    }
}
