//! The boosting loop (Friedman 2001): trees that each step down the slope of the loss.

use std::{panic::resume_unwind, thread};

use super::{
    Ensemble,
    bins::Binned,
    forest::{Forest, TreeFile},
    generator::Generator,
    grow::{Bounds, Grower, Step, Tree},
    objective::weighted_quantile,
    settings::{Feature, Objective, Settings},
};
use crate::FitError;

/// A table whose cells were checked, as every member of a fit sees it.
struct Task<'a> {
    binned: Binned,
    features: &'a [Feature],
    target: &'a [f64],
    weights: Vec<f64>,
    settings: &'a Settings,
    unit: f64,
    /// Constant of each class, in units.
    bias: Vec<i64>,
}

impl Ensemble {
    /// Trees that foretell `target` from `rows`, which hold one cell per feature; NaN is missing. Without `weights`
    /// every row counts 1. Deterministic; `progress` hears shares of the work done.
    ///
    /// # Errors
    /// When lengths differ, a cell is infinite, a target is none of the objective, a weight is negative, or a setting
    /// is out of its range.
    pub fn fit<R: AsRef<[f64]> + Sync>(
        features: &[Feature],
        rows: &[R],
        target: &[f64],
        weights: Option<&[f64]>,
        settings: &Settings,
        progress: &mut dyn FnMut(f64),
    ) -> Result<Self, FitError> {
        settings.check()?;
        settings.objective.accept(target)?;
        check_table(features, rows, target, weights)?;
        let weights = weights.map_or_else(|| vec![1.0; rows.len()], <[f64]>::to_vec);
        let unit = settings.objective.unit(target);
        let bias = settings.objective.constant(target, &weights).into_iter().map(|raw| (raw / unit).round() as i64);
        let task = Task {
            binned: Binned::of(rows, features.len()),
            features,
            target,
            unit,
            bias: bias.collect(),
            weights,
            settings,
        };
        // Members share nothing but the table, so threads change nothing but the time taken.
        let forests = thread::scope(|scope| {
            let others: Vec<_> = (1..settings.members)
                .map(|member| {
                    scope.spawn({
                        let task = &task;
                        move || task.boost(member, &mut |_| ())
                    })
                })
                .collect();
            let mut all = vec![task.boost(0, progress)];
            for other in others {
                all.push(other.join().unwrap_or_else(|panic| resume_unwind(panic)));
            }
            all
        });
        Ok(task.average(forests))
    }
}

fn check_table<R: AsRef<[f64]>>(
    features: &[Feature],
    rows: &[R],
    target: &[f64],
    weights: Option<&[f64]>,
) -> Result<(), FitError> {
    let unusable = |why: String| Err(FitError::Unusable(why));
    if rows.is_empty() || features.is_empty() || features.len() > super::MAX_FEATURES {
        return unusable(format!("a table of {} rows and {} features", rows.len(), features.len()));
    }
    if rows.len() != target.len() || weights.is_some_and(|weights| weights.len() != rows.len()) {
        return unusable("rows, targets and weights differ in number".to_owned());
    }
    if weights.is_some_and(|weights| {
        !weights.iter().all(|w| w.is_finite() && *w >= 0.0) || weights.iter().sum::<f64>() <= 0.0
    }) {
        return unusable("weights must be finite, not negative and not all 0".to_owned());
    }
    let good = |row: &[f64]| row.len() == features.len() && !row.iter().any(|cell| cell.is_infinite());
    match rows.iter().position(|row| !good(row.as_ref())) {
        None => Ok(()),
        Some(row) => unusable(format!("row {row} has an infinite cell or not {} of them", features.len())),
    }
}

/// Raw scores of all rows while trees are added, and which rows teach.
struct State {
    /// In units; all classes of a row together.
    raw: Vec<i64>,
    teaching: Vec<u32>,
    kept_aside: Vec<u32>,
}

impl Task<'_> {
    /// Trees of each class, as one member's seed draws its rows and features.
    fn boost(&self, member: usize, progress: &mut dyn FnMut(f64)) -> Vec<Vec<TreeFile>> {
        let settings = self.settings;
        let classes = settings.objective.classes();
        let mut draw = Generator::new(settings.seed.wrapping_add(member as u64));
        let mut state = self.start(&mut draw);
        let mut trees = vec![Vec::new(); classes];
        let (mut best, mut best_loss) = (0, f64::INFINITY);
        for round in 0..settings.rounds {
            let rows: Vec<u32> = state.teaching.iter().copied().filter(|_| draw.share() < settings.row_share).collect();
            let steps: Vec<Vec<Step>> = (0..classes).map(|class| self.steps(&state, class)).collect();
            for (class, steps) in steps.iter().enumerate() {
                let grower = Grower {
                    binned: &self.binned,
                    features: self.features,
                    settings,
                    columns: draw.columns(self.features.len(), settings.column_share),
                    steps,
                };
                let tree = grower.grow(rows.clone());
                trees[class].push(self.finish(&tree, &mut state, class));
            }
            progress((round + 1) as f64 / settings.rounds as f64);
            if let Some(stop) = settings.early_stop {
                let loss = self.loss(&state);
                if loss < best_loss {
                    (best, best_loss) = (round + 1, loss);
                } else if round + 1 - best >= stop.patience {
                    break;
                }
            }
        }
        if settings.early_stop.is_some() {
            trees.iter_mut().for_each(|class| class.truncate(best));
        }
        trees
    }

    fn start(&self, draw: &mut Generator) -> State {
        let share = self.settings.early_stop.map_or(0.0, |stop| stop.share);
        // Tables of more than u32::MAX rows do not fit the memory of the machines this runs on.
        let (kept_aside, teaching) = (0..self.target.len() as u32).partition(|_| draw.share() < share);
        State { raw: self.bias.repeat(self.target.len()), teaching, kept_aside }
    }

    fn raw(&self, state: &State, row: usize, raw: &mut [f64]) {
        let classes = raw.len();
        let units = &state.raw[row * classes..][..classes];
        raw.iter_mut().zip(units).for_each(|(raw, units)| *raw = *units as f64 * self.unit);
    }

    fn steps(&self, state: &State, class: usize) -> Vec<Step> {
        let objective = self.settings.objective;
        let mut raw = vec![0.0; objective.classes()];
        let step = |row: usize| {
            self.raw(state, row, &mut raw);
            let (slope, curvature) = objective.derivatives(self.target[row], &raw, class);
            let weight = self.weights[row];
            [(slope * weight) as f32, (curvature * weight) as f32, weight as f32]
        };
        (0..self.target.len()).map(step).collect()
    }

    fn loss(&self, state: &State) -> f64 {
        let mut raw = vec![0.0; self.settings.objective.classes()];
        let of = |row: &u32| {
            let row = *row as usize;
            self.raw(state, row, &mut raw);
            self.weights[row] * self.settings.objective.loss(self.target[row], &raw)
        };
        state.kept_aside.iter().map(of).sum()
    }

    /// Gives the leaves their values, moves all raw scores by them, and writes the tree down.
    fn finish(&self, tree: &Tree, state: &mut State, class: usize) -> TreeFile {
        let values = self.values(tree, state, class);
        let classes = self.settings.objective.classes();
        for row in 0..self.target.len() {
            let mut node = &tree.nodes[0];
            let mut index = 0;
            while let Some((split, [left, right])) = node.split {
                let bin = self.binned.columns[split.feature][row];
                index = if split.goes_left(bin) { left } else { right };
                node = &tree.nodes[index];
            }
            state.raw[row * classes + class] += i64::from(values[index]);
        }
        self.write(tree, &values)
    }

    /// Value of each node, in units: what its rows want, within the bounds that monotone splits above leave.
    fn values(&self, tree: &Tree, state: &State, class: usize) -> Vec<i32> {
        let l2 = self.settings.l2;
        let wanted = |node: usize| match self.settings.objective {
            // A slope of fixed size says which way, not how far: the quantile of what is left over does.
            Objective::Pinball { probability } => {
                let left_over = |row: &u32| {
                    let row = *row as usize;
                    (self.target[row] - state.raw[row + class] as f64 * self.unit, self.weights[row])
                };
                let mut rows: Vec<_> = tree.rows[tree.nodes[node].rows.clone()].iter().map(left_over).collect();
                weighted_quantile(&mut rows, probability)
            }
            _ => tree.nodes[node].sums.best_step(l2),
        };
        let mut bounds = vec![Bounds::NONE; tree.nodes.len()];
        let mut values = vec![0; tree.nodes.len()];
        for (index, node) in tree.nodes.iter().enumerate() {
            if let Some((split, children)) = node.split {
                let sign = self.features[split.feature].monotone.sign();
                let divided =
                    if sign == 0.0 { [bounds[index]; 2] } else { bounds[index].divide(sign, children.map(wanted)) };
                (bounds[children[0]], bounds[children[1]]) = (divided[0], divided[1]);
            } else {
                let value = bounds[index].clamp(wanted(index)) * self.settings.learning_rate / self.unit;
                // A float saturates as it becomes an integer; no tree's step is worth 2,000 of the scale.
                values[index] = value.round() as i32;
            }
        }
        values
    }

    fn write(&self, tree: &Tree, values: &[i32]) -> TreeFile {
        let all = tree.nodes[0].sums.weight;
        let mut file = TreeFile::default();
        let mut open = vec![0];
        while let Some(index) = open.pop() {
            let node = &tree.nodes[index];
            match node.split {
                Some((split, [left, right])) => {
                    let cut = self.binned.cuts[split.feature].get(usize::from(split.bin)).copied();
                    file.push_split(split.feature as u16, cut, split.missing_left);
                    open.extend([right, left]);
                }
                None => file.push_leaf(values[index], (node.sums.weight / all * 1e6).round() as u32),
            }
        }
        file
    }

    /// The mean of the members: all their trees, in steps as many times finer as there are members.
    fn average(&self, members: Vec<Vec<Vec<TreeFile>>>) -> Ensemble {
        let count = members.len();
        let mut trees = vec![Vec::new(); self.settings.objective.classes()];
        for member in members {
            trees.iter_mut().zip(member).for_each(|(all, of_member)| all.extend(of_member));
        }
        let forests = trees.iter().map(|trees| Forest::planted(trees)).collect();
        Ensemble {
            objective: self.settings.objective,
            features: self.features.to_vec(),
            unit: self.unit / count as f64,
            bias: self.bias.iter().map(|bias| bias * count as i64).collect(),
            trees,
            forests,
        }
    }
}
