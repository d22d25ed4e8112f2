//! The Merkle tree of RFC 9162, section 2.1 (the tree of RFC 6962): hashes, folding, and proofs that need no trust.

use std::{fmt, ops::Range};

use aws_lc_rs::digest;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// RFC 9162, section 2.1.1: leaves and inner nodes are hashed apart, so that neither can pass for the other.
const LEAF_PREFIX: u8 = 0;
const NODE_PREFIX: u8 = 1;

/// SHA-256 of a leaf or a node; 64 hexadecimal digits in JSON.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct TreeHash([u8; 32]);

impl TreeHash {
    /// Hash of raw leaf bytes.
    #[must_use]
    pub fn leaf(bytes: &[u8]) -> Self {
        Self::of(LEAF_PREFIX, &[bytes])
    }

    /// Hash of an inner node.
    #[must_use]
    pub fn node(left: Self, right: Self) -> Self {
        Self::of(NODE_PREFIX, &[&left.0, &right.0])
    }

    fn of(prefix: u8, parts: &[&[u8]]) -> Self {
        let mut context = digest::Context::new(&digest::SHA256);
        context.update(&[prefix]);
        parts.iter().for_each(|part| context.update(part));
        Self::from_digest(&context.finish())
    }

    fn from_digest(digest: &digest::Digest) -> Self {
        let mut bytes = [0; 32];
        bytes.copy_from_slice(digest.as_ref());
        Self(bytes)
    }

    #[must_use]
    pub fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// The tree over these perfect subtrees, largest (leftmost) first; over none, the hash of nothing (RFC 9162, 2.1.1).
    #[must_use]
    pub fn of_subtrees(roots: impl DoubleEndedIterator<Item = Self>) -> Self {
        let root = roots.rev().reduce(|right, left| Self::node(left, right));
        root.unwrap_or_else(|| Self::from_digest(&digest::digest(&digest::SHA256, b"")))
    }
}

impl From<[u8; 32]> for TreeHash {
    fn from(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }
}

impl fmt::Display for TreeHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex::encode(self.0))
    }
}

impl fmt::Debug for TreeHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl Serialize for TreeHash {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for TreeHash {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
        let mut bytes = [0; 32];
        hex::decode_to_slice(text.as_ref(), &mut bytes).map_err(serde::de::Error::custom)?;
        Ok(Self(bytes))
    }
}

impl utoipa::PartialSchema for TreeHash {
    fn schema() -> utoipa::openapi::RefOr<utoipa::openapi::schema::Schema> {
        use utoipa::openapi::schema::{ObjectBuilder, Type};
        ObjectBuilder::new().schema_type(Type::String).pattern(Some("^[0-9a-f]{64}$")).into()
    }
}
impl utoipa::ToSchema for TreeHash {}

/// An append-only Merkle tree in as few hashes as it can be continued from: the roots of its perfect subtrees, largest
/// first, one for every set bit of its size.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(try_from = "RawFold")]
pub struct Fold {
    size: u64,
    peaks: Vec<TreeHash>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawFold {
    size: u64,
    peaks: Vec<TreeHash>,
}

impl TryFrom<RawFold> for Fold {
    type Error = String;
    fn try_from(raw: RawFold) -> Result<Self, String> {
        let (want, have) = (raw.size.count_ones() as usize, raw.peaks.len());
        if want == have {
            return Ok(Self { size: raw.size, peaks: raw.peaks });
        }
        Err(format!("a tree of {} leaves has {want} peaks, not {have}", raw.size))
    }
}

impl Fold {
    /// Number of leaves.
    #[must_use]
    pub fn size(&self) -> u64 {
        self.size
    }

    /// Appends a leaf: like adding one to a binary number, where every carry merges two equal subtrees.
    pub fn append(&mut self, leaf: TreeHash) {
        self.append_with(leaf, |_, _| {});
    }

    /// As [`Fold::append`]; tells each perfect subtree that the leaf completes, the leaf itself first.
    pub fn append_with(&mut self, leaf: TreeHash, mut completed: impl FnMut(Subtree, TreeHash)) {
        let mut hash = leaf;
        let mut subtree = Subtree { level: 0, index: self.size };
        completed(subtree, hash);
        let carries = (self.size.trailing_ones() as usize).min(self.peaks.len());
        for left in self.peaks.split_off(self.peaks.len() - carries).into_iter().rev() {
            hash = TreeHash::node(left, hash);
            subtree = Subtree { level: subtree.level + 1, index: subtree.index >> 1 };
            completed(subtree, hash);
        }
        self.peaks.push(hash);
        self.size += 1;
    }

    /// The Merkle tree hash; of an empty tree the hash of nothing.
    #[must_use]
    pub fn root(&self) -> TreeHash {
        TreeHash::of_subtrees(self.peaks.iter().copied())
    }
}

/// A perfect subtree: the leaves from `index << level`, `1 << level` of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Subtree {
    pub level: u32,
    pub index: u64,
}

/// The perfect subtrees that the leaves of `range` consist of, leftmost first. The range must begin at a multiple of
/// its length rounded up to a power of two, as all ranges of proofs do.
#[must_use]
pub fn subtrees(range: Range<u64>) -> Vec<Subtree> {
    let mut found = Vec::new();
    let mut start = range.start;
    while start < range.end {
        // The largest power of two that fits; it is aligned, because the ones before it were larger.
        let level = 63 - (range.end - start).leading_zeros();
        found.push(Subtree { level, index: start >> level });
        start += 1 << level;
    }
    found
}

/// The largest power of two below `size`, where a tree of two leaves or more parts.
fn part(size: u64) -> u64 {
    1 << (63 - (size - 1).leading_zeros())
}

/// Whose hashes prove that leaf `index` is in the tree of `size` leaves, in the order of the proof (RFC 9162, 2.1.3.1).
/// Empty when there is no such leaf.
#[must_use]
pub fn inclusion_path(index: u64, size: u64) -> Vec<Range<u64>> {
    let (mut tree, mut path) = (0..size, Vec::new());
    if index >= size {
        return path;
    }
    while tree.end - tree.start > 1 {
        let middle = tree.start + part(tree.end - tree.start);
        let (left, right) = (tree.start..middle, middle..tree.end);
        let (inside, beside) = if index < middle { (left, right) } else { (right, left) };
        path.push(beside);
        tree = inside;
    }
    path.reverse();
    path
}

/// Whose hashes prove that the tree of `from` leaves is the beginning of the tree of `to` leaves (RFC 9162, 2.1.4.1).
/// Empty when nothing needs a proof: no leaves, or as many.
#[must_use]
pub fn consistency_path(from: u64, to: u64) -> Vec<Range<u64>> {
    let (mut tree, mut path) = (0..to, Vec::new());
    if from == 0 || from >= to {
        return path;
    }
    // Whether the part that is left is the old tree as a whole: its root is known to who asks.
    let mut whole = true;
    while from != tree.end {
        let middle = tree.start + part(tree.end - tree.start);
        if from <= middle {
            path.push(middle..tree.end);
            tree = tree.start..middle;
        } else {
            path.push(tree.start..middle);
            tree = middle..tree.end;
            whole = false;
        }
    }
    if !whole {
        path.push(tree);
    }
    path.reverse();
    path
}

/// Whether `path` proves that the leaf with this hash is the one at `index` (RFC 9162, 2.1.3.2).
#[must_use]
pub fn includes(root: TreeHash, size: u64, index: u64, leaf: TreeHash, path: &[TreeHash]) -> bool {
    if index >= size {
        return false;
    }
    let (mut inner, mut last, mut hash) = (index, size - 1, leaf);
    for step in path {
        if last == 0 {
            return false;
        }
        if inner & 1 == 1 || inner == last {
            hash = TreeHash::node(*step, hash);
            while inner & 1 == 0 && inner != 0 {
                (inner, last) = (inner >> 1, last >> 1);
            }
        } else {
            hash = TreeHash::node(hash, *step);
        }
        (inner, last) = (inner >> 1, last >> 1);
    }
    last == 0 && hash == root
}

/// Whether `path` proves that the newer tree begins with the older one (RFC 9162, 2.1.4.2). Every tree begins with the
/// empty one, and with itself.
#[must_use]
pub fn extends(older: (u64, TreeHash), newer: (u64, TreeHash), path: &[TreeHash]) -> bool {
    let ((from, old_root), (to, new_root)) = (older, newer);
    if from == 0 || from >= to {
        return path.is_empty() && (from == 0 && old_root == Fold::default().root() || older == newer);
    }
    let known = from.is_power_of_two().then_some(old_root);
    let mut steps = known.into_iter().chain(path.iter().copied());
    let Some(first) = steps.next() else { return false };
    let skipped = (from - 1).trailing_ones();
    let (mut inner, mut last) = ((from - 1) >> skipped, (to - 1) >> skipped);
    let (mut old, mut new) = (first, first);
    for step in steps {
        if last == 0 {
            return false;
        }
        if inner & 1 == 1 || inner == last {
            (old, new) = (TreeHash::node(step, old), TreeHash::node(step, new));
            while inner & 1 == 0 && inner != 0 {
                (inner, last) = (inner >> 1, last >> 1);
            }
        } else {
            new = TreeHash::node(new, step);
        }
        (inner, last) = (inner >> 1, last >> 1);
    }
    last == 0 && old == old_root && new == new_root
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Leaves and roots of the reference implementation of RFC 6962 (certificate-transparency, `merkle_tree_test`).
    const LEAVES: [&str; 8] =
        ["", "00", "10", "2021", "3031", "40414243", "5051525354555657", "606162636465666768696a6b6c6d6e6f"];
    const ROOTS: [&str; 9] = [
        "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
        "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
        "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
        "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
        "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
        "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
        "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
        "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
        "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
    ];

    #[test]
    fn the_fold_gives_the_published_roots() {
        let mut fold = Fold::default();
        assert_eq!(fold.root().to_string(), ROOTS[0]);
        for (leaf, root) in LEAVES.iter().zip(&ROOTS[1..]) {
            fold.append(TreeHash::leaf(&hex::decode(leaf).unwrap()));
            assert_eq!(fold.root().to_string(), *root, "{} leaves", fold.size());
        }
    }

    #[test]
    fn a_fold_continues_where_it_was_stored() {
        let leaf = |i: u8| TreeHash::leaf(&[i]);
        let (mut whole, mut parts) = (Fold::default(), Fold::default());
        for i in 0..100 {
            whole.append(leaf(i));
            parts = serde_json::from_str(&serde_json::to_string(&parts).unwrap()).unwrap();
            parts.append(leaf(i));
        }
        assert_eq!(parts, whole);
        assert!(serde_json::from_str::<Fold>(r#"{"size": 3, "peaks": []}"#).is_err());
    }

    fn leaf(number: u64) -> TreeHash {
        TreeHash::leaf(&number.to_be_bytes())
    }

    fn tree(range: Range<u64>) -> TreeHash {
        let mut fold = Fold::default();
        range.for_each(|number| fold.append(leaf(number)));
        fold.root()
    }

    fn hashes(path: Vec<Range<u64>>) -> Vec<TreeHash> {
        path.into_iter().map(tree).collect()
    }

    #[test]
    fn every_leaf_of_every_small_tree_is_proved_and_no_other() {
        for size in 1..40 {
            let root = tree(0..size);
            for index in 0..size {
                let path = hashes(inclusion_path(index, size));
                assert!(includes(root, size, index, leaf(index), &path), "{index} of {size}");
                assert!(!includes(root, size, index, leaf(index + 1), &path), "another leaf");
                assert!(size == 1 || !includes(root, size, (index + 1) % size, leaf(index), &path), "another place");
                assert!(!includes(root, size, index, leaf(index), &[path.clone(), vec![root]].concat()), "longer");
                assert!(path.is_empty() || !includes(root, size, index, leaf(index), &path[1..]), "shorter");
            }
            assert!(!includes(root, size, size, leaf(size), &[]) && inclusion_path(size, size).is_empty());
        }
    }

    #[test]
    fn every_tree_extends_its_beginnings_and_no_other_tree() {
        for to in 0..40 {
            for from in 0..=to {
                let path = hashes(consistency_path(from, to));
                assert!(extends((from, tree(0..from)), (to, tree(0..to)), &path), "{from} to {to}");
                if from > 0 {
                    assert!(!extends((from, tree(1..from + 1)), (to, tree(0..to)), &path), "a fork {from} to {to}");
                    assert!(!extends((from, tree(0..from)), (to, tree(1..to + 1)), &path), "a fork {from} to {to}");
                }
                for changed in 0..path.len() {
                    let mut path = path.clone();
                    path[changed] = leaf(99);
                    assert!(!extends((from, tree(0..from)), (to, tree(0..to)), &path), "{from} to {to}");
                }
            }
            assert!(!extends((to + 1, tree(0..to + 1)), (to, tree(0..to)), &[]), "rolled back");
        }
    }

    #[test]
    fn ranges_of_proofs_consist_of_the_subtrees_that_a_fold_completes() {
        let mut completed = std::collections::HashMap::new();
        let mut fold = Fold::default();
        (0..100).for_each(|number| {
            fold.append_with(leaf(number), |subtree, hash| assert!(completed.insert(subtree, hash).is_none()));
        });
        for from in 0..100 {
            for range in consistency_path(from, 100).into_iter().chain(inclusion_path(from, 100)) {
                let parts = subtrees(range.clone());
                let parts: Vec<TreeHash> = parts.iter().map(|part| completed[part]).collect();
                assert_eq!(TreeHash::of_subtrees(parts.into_iter()), tree(range));
            }
        }
    }
}
