//! Trees as they are written and as they are walked.

use serde::{Deserialize, Serialize};

use super::settings::{MAX_DEPTH, MAX_LEAVES};

/// In place of a feature in [`TreeFile::split`].
const LEAF: i32 = -1;
/// Trees that are walked side by side: enough that one's wait for memory is another's work.
const ABREAST: usize = 4;

/// A tree as it stands in a file, in pre-order: a node, its left subtree, its right subtree. The order alone says how
/// nodes hang together, so no file can hold a loop or a dangling child.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct TreeFile {
    /// Feature of each node; -1 for a leaf.
    split: Vec<i32>,
    /// Of each split: values up to this go left; null sends all known values left.
    at: Vec<Option<f64>>,
    /// Of each split: 1 when a missing value goes left.
    missing_left: Vec<u8>,
    /// Of each leaf: its value, in units of the raw score.
    leaf: Vec<i32>,
    /// Of each leaf: its share of the cases it was learnt from, in millionths.
    cover: Vec<u32>,
}

impl TreeFile {
    pub(super) fn push_split(&mut self, feature: u16, at: Option<f64>, missing_left: bool) {
        self.split.push(i32::from(feature));
        self.at.push(at);
        self.missing_left.push(u8::from(missing_left));
    }

    pub(super) fn push_leaf(&mut self, value: i32, cover: u32) {
        self.split.push(LEAF);
        self.leaf.push(value);
        self.cover.push(cover);
    }

    pub(super) fn nodes(&self) -> usize {
        self.split.len()
    }

    /// What is wrong with the tree, if anything.
    pub(super) fn check(&self, features: usize) -> Result<(), &'static str> {
        let leaves = self.split.iter().filter(|feature| **feature == LEAF).count();
        let splits = self.split.len() - leaves;
        if leaves == 0 || leaves > MAX_LEAVES || self.leaf.len() != leaves || self.cover.len() != leaves {
            return Err("has not the leaves it names");
        }
        if self.at.len() != splits || self.missing_left.len() != splits {
            return Err("has not the splits it names");
        }
        if self.split.iter().any(|feature| *feature != LEAF && !usize::try_from(*feature).is_ok_and(|f| f < features)) {
            return Err("splits on a feature that is not there");
        }
        if self.at.iter().flatten().any(|at| !at.is_finite()) || self.missing_left.iter().any(|side| *side > 1) {
            return Err("has a split that is none");
        }
        // Depths at which subtrees are still owed: pre-order is whole when the last node pays the last debt.
        let mut owed = vec![0];
        for feature in &self.split {
            let Some(depth) = owed.pop() else { return Err("goes on after its last leaf") };
            if *feature != LEAF {
                if depth >= MAX_DEPTH {
                    return Err("is too deep");
                }
                owed.extend([depth + 1; 2]);
            }
        }
        if owed.is_empty() { Ok(()) } else { Err("breaks off") }
    }
}

/// A node as it is walked, 16 bytes. A leaf leads to itself.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Node {
    /// Values above go right.
    at: f64,
    /// The left child; the right one follows it.
    left: u32,
    feature: u16,
    missing_right: bool,
}

/// All trees of one class in flat arrays.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Forest {
    nodes: Vec<Node>,
    /// Of each node: the mean of the leaves below it by cover, in units; a leaf's own value.
    values: Vec<i32>,
    /// Of each tree: its root and its depth.
    roots: Vec<(u32, u32)>,
}

/// A subtree that was read: of which node, how deep, what mean and cover.
struct Subtree {
    depth: u32,
    value: i64,
    cover: u64,
}

impl Forest {
    /// Forest of trees that were checked.
    pub(super) fn planted(trees: &[TreeFile]) -> Self {
        let mut forest = Self::default();
        for tree in trees {
            let root = forest.claim(1);
            let mut reader = Reader { tree, node: 0, split: 0, leaf: 0 };
            let read = forest.plant(&mut reader, root);
            forest.roots.push((root as u32, read.depth));
        }
        forest
    }

    /// Room for nodes that stand side by side.
    fn claim(&mut self, count: usize) -> usize {
        let first = self.nodes.len();
        let blank = Node { at: f64::INFINITY, left: 0, feature: 0, missing_right: false };
        self.nodes.extend(std::iter::repeat_n(blank, count));
        self.values.extend(std::iter::repeat_n(0, count));
        first
    }

    /// Reads a subtree into a place; the depth of checked trees bounds the recursion.
    fn plant(&mut self, reader: &mut Reader<'_>, place: usize) -> Subtree {
        let feature = reader.tree.split[reader.node];
        reader.node += 1;
        let Ok(feature) = u16::try_from(feature) else {
            let (value, cover) = (reader.tree.leaf[reader.leaf], reader.tree.cover[reader.leaf]);
            reader.leaf += 1;
            self.nodes[place].left = place as u32;
            self.values[place] = value;
            return Subtree { depth: 0, value: i64::from(value), cover: u64::from(cover) };
        };
        let (at, side) = (reader.tree.at[reader.split], reader.tree.missing_left[reader.split]);
        reader.split += 1;
        let first = self.claim(2);
        self.nodes[place] =
            Node { at: at.unwrap_or(f64::INFINITY), left: first as u32, feature, missing_right: side == 0 };
        let (left, right) = (self.plant(reader, first), self.plant(reader, first + 1));
        let cover = left.cover + right.cover;
        let mean =
            (left.value as f64 * left.cover as f64 + right.value as f64 * right.cover as f64) / (cover.max(1)) as f64;
        // A mean of i32 is one.
        self.values[place] = mean.round() as i32;
        Subtree { depth: 1 + left.depth.max(right.depth), value: i64::from(self.values[place]), cover }
    }

    fn next(&self, node: u32, row: &[f64]) -> u32 {
        let Node { at, left, feature, missing_right } = self.nodes[node as usize];
        // A row that is too short misses its last cells.
        let value = row.get(usize::from(feature)).copied().unwrap_or(f64::NAN);
        left + u32::from((value > at) | (value.is_nan() & missing_right))
    }

    /// Sum of the leaves that a row falls into, in units.
    pub(super) fn sum(&self, row: &[f64]) -> i64 {
        let mut sum = 0;
        let (groups, rest) = self.roots.as_chunks::<ABREAST>();
        for group in groups {
            let mut at = group.map(|(root, _)| root);
            for _ in 0..group.iter().map(|(_, depth)| *depth).max().unwrap_or(0) {
                at.iter_mut().for_each(|node| *node = self.next(*node, row));
            }
            sum += at.iter().map(|node| i64::from(self.values[*node as usize])).sum::<i64>();
        }
        for (root, depth) in rest {
            let leaf = (0..*depth).fold(*root, |node, _| self.next(node, row));
            sum += i64::from(self.values[leaf as usize]);
        }
        sum
    }

    /// Adds to each feature's part what the splits on it changed, and returns the sum of the roots: what is expected
    /// of a row of which nothing is known.
    pub(super) fn explain(&self, row: &[f64], parts: &mut [i64]) -> i64 {
        let mut bias = 0;
        for (root, depth) in &self.roots {
            let mut node = *root;
            bias += i64::from(self.values[node as usize]);
            for _ in 0..*depth {
                let next = self.next(node, row);
                let change = i64::from(self.values[next as usize]) - i64::from(self.values[node as usize]);
                if let Some(part) = parts.get_mut(usize::from(self.nodes[node as usize].feature)) {
                    *part += change;
                }
                node = next;
            }
        }
        bias
    }
}

/// How far a tree's arrays were read.
struct Reader<'a> {
    tree: &'a TreeFile,
    node: usize,
    split: usize,
    leaf: usize,
}
