//! One tree, grown leaf by leaf on histograms (Ke et al. 2017, LightGBM), its splits scored by Newton steps (Chen and
//! Guestrin 2016, XGBoost), monotone where asked by bounds that a split hands down to its children.

use std::ops::{AddAssign, Range, Sub};

use super::{
    bins::{BINS, Binned, MISSING},
    settings::{Feature, Settings},
};

/// Least gain that is not rounding.
const LEAST_GAIN: f64 = 1e-9;
/// Least curvature of a leaf: below it a Newton step means nothing.
const LEAST_CURVATURE: f64 = 1e-6;

/// Sums over the rows of a bin or a leaf.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Sums {
    slope: f64,
    curvature: f64,
    pub(super) weight: f64,
}

/// Slope, curvature and weight of a row; single precision halves what a histogram has to read.
pub(super) type Step = [f32; 3];

impl AddAssign for Sums {
    fn add_assign(&mut self, other: Self) {
        self.slope += other.slope;
        self.curvature += other.curvature;
        self.weight += other.weight;
    }
}

impl Sub for Sums {
    type Output = Self;

    fn sub(self, other: Self) -> Self {
        Self {
            slope: self.slope - other.slope,
            curvature: self.curvature - other.curvature,
            weight: self.weight - other.weight,
        }
    }
}

impl From<Step> for Sums {
    fn from([slope, curvature, weight]: Step) -> Self {
        Self { slope: slope.into(), curvature: curvature.into(), weight: weight.into() }
    }
}

impl Sums {
    /// The step that lowers the loss most.
    pub(super) fn best_step(self, l2: f64) -> f64 {
        -self.slope / (self.curvature + l2).max(LEAST_CURVATURE)
    }

    /// Twice the loss that a step takes away.
    fn lowered(self, step: f64, l2: f64) -> f64 {
        -step * (2.0 * self.slope + (self.curvature + l2) * step)
    }
}

/// Where a node sends a row.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Split {
    pub(super) feature: usize,
    /// Bins up to this one go left.
    pub(super) bin: u8,
    pub(super) missing_left: bool,
    gain: f64,
}

impl Split {
    pub(super) fn goes_left(&self, bin: u8) -> bool {
        if bin == MISSING { self.missing_left } else { bin <= self.bin }
    }
}

/// A node; a leaf without a split. Children come after their parent.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Node {
    pub(super) sums: Sums,
    /// Its rows, as a range of [`Tree::rows`].
    pub(super) rows: Range<usize>,
    pub(super) split: Option<(Split, [usize; 2])>,
}

/// A tree without values.
pub(super) struct Tree {
    pub(super) nodes: Vec<Node>,
    /// Row numbers, those of each node together.
    pub(super) rows: Vec<u32>,
}

/// Lowest and highest value that monotone splits above leave to a node.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Bounds {
    low: f64,
    high: f64,
}

impl Bounds {
    pub(super) const NONE: Self = Self { low: f64::NEG_INFINITY, high: f64::INFINITY };

    pub(super) fn clamp(self, value: f64) -> f64 {
        value.clamp(self.low, self.high)
    }

    /// Bounds of the children of a split on a feature of this sign whose children want these values: no value on one
    /// side may pass the middle between the two.
    pub(super) fn divide(self, sign: f64, values: [f64; 2]) -> [Self; 2] {
        let middle = f64::midpoint(self.clamp(values[0]), self.clamp(values[1]));
        let (below, above) = (Self { high: middle, ..self }, Self { low: middle, ..self });
        match sign {
            s if s > 0.0 => [below, above],
            s if s < 0.0 => [above, below],
            _ => [self, self],
        }
    }
}

/// A leaf that may still be split.
struct Candidate {
    node: usize,
    depth: usize,
    bounds: Bounds,
    histogram: Vec<Sums>,
    best: Option<Split>,
}

/// What a tree is grown from.
pub(super) struct Grower<'a> {
    pub(super) binned: &'a Binned,
    pub(super) features: &'a [Feature],
    pub(super) settings: &'a Settings,
    /// Features this tree may use.
    pub(super) columns: Vec<usize>,
    /// One for each row of the table.
    pub(super) steps: &'a [Step],
}

impl Grower<'_> {
    pub(super) fn grow(&self, rows: Vec<u32>) -> Tree {
        let all = 0..rows.len();
        let mut tree = Tree { nodes: Vec::new(), rows };
        let histogram = self.histogram(&tree.rows);
        let sums = tree.rows.iter().fold(Sums::default(), |mut sums, row| {
            sums += self.steps[*row as usize].into();
            sums
        });
        tree.nodes.push(Node { sums, rows: all, split: None });
        let mut open = vec![self.candidate(&tree, 0, 0, Bounds::NONE, histogram)];
        for _ in 1..self.settings.leaves {
            let gain = |leaf: &Candidate| leaf.best.map_or(0.0, |split| split.gain);
            let best = (0..open.len()).max_by(|a, b| gain(&open[*a]).total_cmp(&gain(&open[*b])).then(b.cmp(a)));
            let Some(leaf) = best.map(|best| open.swap_remove(best)) else { break };
            let Some(split) = leaf.best else { break };
            open.extend(self.split(&mut tree, leaf, split));
        }
        tree
    }

    fn split(&self, tree: &mut Tree, leaf: Candidate, split: Split) -> [Candidate; 2] {
        let rows = tree.nodes[leaf.node].rows.clone();
        let middle = rows.start + self.partition(&mut tree.rows[rows.clone()], &split);
        let (left, right) = (rows.start..middle, middle..rows.end);
        let left_is_smaller = left.len() < right.len();
        let smaller = self.histogram(&tree.rows[if left_is_smaller { left.clone() } else { right.clone() }]);
        // The larger child is what the smaller leaves of the parent: no second pass over the rows.
        let mut larger = leaf.histogram;
        larger.iter_mut().zip(&smaller).for_each(|(all, less)| *all = *all - *less);
        let (left_histogram, right_histogram) = if left_is_smaller { (smaller, larger) } else { (larger, smaller) };
        let sums = [&left, &right].map(|rows| self.sum(&tree.rows[rows.clone()]));
        let bounds = leaf
            .bounds
            .divide(self.features[split.feature].monotone.sign(), sums.map(|sums| sums.best_step(self.settings.l2)));
        let first = tree.nodes.len();
        tree.nodes[leaf.node].split = Some((split, [first, first + 1]));
        tree.nodes.push(Node { sums: sums[0], rows: left, split: None });
        tree.nodes.push(Node { sums: sums[1], rows: right, split: None });
        [
            self.candidate(tree, first, leaf.depth + 1, bounds[0], left_histogram),
            self.candidate(tree, first + 1, leaf.depth + 1, bounds[1], right_histogram),
        ]
    }

    fn sum(&self, rows: &[u32]) -> Sums {
        let mut sums = Sums::default();
        rows.iter().for_each(|row| sums += self.steps[*row as usize].into());
        sums
    }

    /// Rows of the left child first, both in their old order; returns how many they are.
    fn partition(&self, rows: &mut [u32], split: &Split) -> usize {
        let column = &self.binned.columns[split.feature];
        let (left, right): (Vec<u32>, Vec<u32>) = rows.iter().partition(|row| split.goes_left(column[**row as usize]));
        rows[..left.len()].copy_from_slice(&left);
        rows[left.len()..].copy_from_slice(&right);
        left.len()
    }

    fn histogram(&self, rows: &[u32]) -> Vec<Sums> {
        let steps: Vec<Step> = rows.iter().map(|row| self.steps[*row as usize]).collect();
        let mut histogram = vec![Sums::default(); BINS * self.columns.len()];
        for (bins, feature) in histogram.chunks_exact_mut(BINS).zip(&self.columns) {
            let column = &self.binned.columns[*feature];
            for (row, step) in rows.iter().zip(&steps) {
                bins[usize::from(column[*row as usize])] += (*step).into();
            }
        }
        histogram
    }

    fn candidate(&self, tree: &Tree, node: usize, depth: usize, bounds: Bounds, histogram: Vec<Sums>) -> Candidate {
        let sums = tree.nodes[node].sums;
        let splittable = depth < self.settings.depth && sums.weight >= 2.0 * self.settings.min_leaf_weight;
        let best = splittable.then(|| self.best_split(sums, bounds, &histogram)).flatten();
        Candidate { node, depth, bounds, histogram, best }
    }

    fn best_split(&self, all: Sums, bounds: Bounds, histogram: &[Sums]) -> Option<Split> {
        let l2 = self.settings.l2;
        let kept = all.lowered(bounds.clamp(all.best_step(l2)), l2);
        let mut best: Option<Split> = None;
        for (bins, feature) in histogram.chunks_exact(BINS).zip(&self.columns) {
            let missing = bins[usize::from(MISSING)];
            let seen_missing = missing.weight > 0.0;
            for missing_left in [false, true] {
                // Without missing rows both sides are the same split; a row that misses the value later goes the
                // way of most.
                if missing_left && !seen_missing {
                    continue;
                }
                let start = if missing_left { missing } else { Sums::default() };
                if let Some((bin, lowered, left)) = self.best_cut(*feature, bins, start, all, bounds) {
                    let gain = lowered - kept;
                    if gain > best.map_or(LEAST_GAIN, |best| best.gain) {
                        let missing_left = if seen_missing { missing_left } else { left.weight * 2.0 > all.weight };
                        best = Some(Split { feature: *feature, bin, missing_left, gain });
                    }
                }
            }
        }
        best
    }

    /// The cut of one feature that lowers the loss most, and by how much, when `left` begins with the missing rows
    /// or with none.
    fn best_cut(
        &self,
        feature: usize,
        bins: &[Sums],
        mut left: Sums,
        all: Sums,
        bounds: Bounds,
    ) -> Option<(u8, f64, Sums)> {
        let (l2, least) = (self.settings.l2, self.settings.min_leaf_weight);
        let sign = self.features[feature].monotone.sign();
        let mut best: Option<(u8, f64, Sums)> = None;
        // The last range, too, is a cut where missing rows go right: it parts the known from the missing.
        for (bin, sums) in (0..=self.binned.cuts[feature].len() as u8).zip(bins) {
            left += *sums;
            let right = all - left;
            if right.weight < least || right.weight <= 0.0 {
                break;
            }
            if left.weight < least || left.weight <= 0.0 || sums.weight == 0.0 {
                continue;
            }
            let steps = [left, right].map(|sums| bounds.clamp(sums.best_step(l2)));
            if sign * (steps[1] - steps[0]) < 0.0 {
                continue;
            }
            let lowered = left.lowered(steps[0], l2) + right.lowered(steps[1], l2);
            if best.is_none_or(|(_, most, _)| lowered > most) {
                best = Some((bin, lowered, left));
            }
        }
        best
    }
}
