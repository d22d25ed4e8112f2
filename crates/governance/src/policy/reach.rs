//! Which inputs reach which row, exactly.
//!
//! The thresholds and names in a table cut every dimension of the input into few cells within which no row can tell
//! two inputs apart; one representative stands for each. A row is then a box: a set of cells per dimension. Taking
//! the boxes of the rows away one after the other leaves the gaps, and a row whose box is already gone is unreachable.
//! Region conditions depend on each other and on the kind, so these three are one dimension.

use contracts::{Money, RegionId, money::Currency};

use super::{
    Input,
    table::{Policy, RegionRule, When},
};
use crate::{Kind, Site};

/// Give up beyond this many boxes; tables that people can read stay far below.
const MAX_BOXES: usize = 20_000;
const DIMENSIONS: usize = 6;

/// A set of cells of one dimension.
type Cells = Vec<bool>;
type Region = [Cells; DIMENSIONS];

/// What the rows of a policy leave over.
pub(super) struct Reach {
    /// Indices of rows that no input reaches.
    pub(super) unreachable: Vec<usize>,
    /// Inputs that no row covers, one from each region left over.
    pub(super) gaps: Vec<Input>,
}

/// `None` when the table cuts the space into too many regions to tell.
pub(super) fn reach(policy: &Policy) -> Option<Reach> {
    let space = Space::of(policy);
    let mut left = vec![space.everything()];
    let mut unreachable = Vec::new();
    for (i, row) in policy.rows.iter().enumerate() {
        let covered = space.covered_by(&row.when);
        if !left.iter().any(|region| meets(region, &covered)) {
            unreachable.push(i);
        }
        left = left.into_iter().flat_map(|region| without(region, &covered)).collect();
        if left.len() > MAX_BOXES {
            return None;
        }
    }
    Some(Reach { unreachable, gaps: left.iter().map(|region| space.example(region)).collect() })
}

fn meets(a: &Region, b: &Region) -> bool {
    a.iter().zip(b).all(|(a, b)| a.iter().zip(b).any(|(a, b)| *a && *b))
}

/// `region` less `taken`, as disjoint regions: for each dimension, what lies inside `taken` in the dimensions before
/// and outside in this one.
fn without(mut region: Region, taken: &Region) -> Vec<Region> {
    if !meets(&region, taken) {
        return vec![region];
    }
    let mut pieces = Vec::new();
    for dimension in 0..DIMENSIONS {
        let outside: Cells = region[dimension].iter().zip(&taken[dimension]).map(|(a, b)| *a && !*b).collect();
        if outside.contains(&true) {
            let mut piece = region.clone();
            piece[dimension] = outside;
            pieces.push(piece);
        }
        region[dimension].iter_mut().zip(&taken[dimension]).for_each(|(a, b)| *a &= *b);
    }
    pieces
}

/// One input per cell of each dimension, in which only the fields of that dimension mean anything.
struct Space([Vec<Input>; DIMENSIONS]);

impl Space {
    fn of(policy: &Policy) -> Self {
        let whens = || policy.rows.iter().map(|row| &row.when);
        let named = |field: fn(&When) -> &[String], set: fn(&mut Input, String)| {
            let mut names: Vec<String> = whens().flat_map(|when| field(when).iter().cloned()).collect();
            names.sort();
            names.dedup();
            // Every name that no row mentions behaves like no name at all.
            names.into_iter().map(|name| with(|input| set(input, name))).chain([blank(Kind::Transfer)]).collect()
        };
        Self([
            movements(policy),
            values(policy),
            named(|when| &when.category, |input, name| input.category = Some(name)),
            scores(policy),
            named(|when| &when.band, |input, name| input.band = Some(name)),
            named(|when| &when.business_unit, |input, name| input.business_unit = Some(name)),
        ])
    }

    fn everything(&self) -> Region {
        self.0.each_ref().map(|cells| vec![true; cells.len()])
    }

    /// Asks the evaluator itself, one dimension at a time, so that the two cannot disagree.
    fn covered_by(&self, when: &When) -> Region {
        let parts = [
            When { kind: when.kind.clone(), region: when.region.clone(), ..When::default() },
            When { value: when.value, ..When::default() },
            When { category: when.category.clone(), ..When::default() },
            When { score: when.score, ..When::default() },
            When { band: when.band.clone(), ..When::default() },
            When { business_unit: when.business_unit.clone(), ..When::default() },
        ];
        let mut parts = parts.iter();
        self.0.each_ref().map(|cells| {
            let part = parts.next();
            cells.iter().map(|input| part.is_none_or(|part| part.first_failed(input).is_none())).collect()
        })
    }

    /// An input inside the region, as fully known as the region allows: representatives put the unknown last.
    fn example(&self, region: &Region) -> Input {
        let cell = |dimension: usize| {
            let at = region[dimension].iter().position(|inside| *inside).unwrap_or_default();
            self.0[dimension][at].clone()
        };
        Input {
            value: cell(1).value,
            category: cell(2).category,
            score: cell(3).score,
            band: cell(4).band,
            business_unit: cell(5).business_unit,
            ..cell(0)
        }
    }
}

fn blank(kind: Kind) -> Input {
    Input {
        kind,
        value: None,
        category: None,
        from: Site::default(),
        to: Site::default(),
        score: None,
        band: None,
        business_unit: None,
    }
}

fn with(set: impl FnOnce(&mut Input)) -> Input {
    let mut input = blank(Kind::Transfer);
    set(&mut input);
    input
}

/// Kinds with every pair of regions that the table can tell apart: those it names, two that it does not (so that
/// stock can cross between them) and the unknown one. Only a transfer has two ends.
fn movements(policy: &Policy) -> Vec<Input> {
    let rules = policy.rows.iter().map(|row| &row.when.region);
    let mut regions: Vec<RegionId> =
        rules.flat_map(|RegionRule { from, to, .. }| from.iter().chain(to)).cloned().collect();
    regions.sort();
    regions.dedup();
    let named = regions.clone();
    let fresh = (1..).filter_map(|n| RegionId::new(format!("other-{n}")).ok()).filter(|id| !named.contains(id));
    regions.extend(fresh.take(2));
    let regions: Vec<Option<RegionId>> = regions.into_iter().map(Some).chain([None]).collect();
    let site = |region: &Option<RegionId>| Site { location: None, region: region.clone() };
    let mut cells = Vec::new();
    for kind in Kind::ALL {
        for from in &regions {
            let transfer = kind == Kind::Transfer;
            let ends = regions.iter().filter(|to| transfer || *to == from);
            cells.extend(ends.map(|to| Input { from: site(from), to: site(to), ..blank(kind) }));
        }
    }
    cells
}

/// For each currency zero and every limit, which is where a half-open range begins or ends; one other currency.
fn values(policy: &Policy) -> Vec<Input> {
    let ranges = || policy.rows.iter().filter_map(|row| row.when.value);
    let mut amounts: Vec<(Currency, i64)> = ranges()
        .flat_map(|range| {
            [Some(0), range.at_least, range.below].map(|limit| limit.map(|minor| (range.currency, minor)))
        })
        .flatten()
        .filter(|(_, minor)| *minor >= 0)
        .collect();
    // XTS is the ISO 4217 code for testing, XXX for no currency: at most one of them occurs in earnest.
    let other = ["XTS", "XXX"].into_iter().filter_map(|code| Currency::new(code).ok());
    amounts.extend(other.filter(|code| !ranges().any(|range| range.currency == *code)).take(1).map(|code| (code, 0)));
    amounts.sort_unstable();
    amounts.dedup();
    let known =
        amounts.into_iter().map(|(currency, minor)| with(|input| input.value = Some(Money::new(minor, currency))));
    known.chain([blank(Kind::Transfer)]).collect()
}

fn scores(policy: &Policy) -> Vec<Input> {
    let ranges = policy.rows.iter().filter_map(|row| row.when.score);
    let mut limits: Vec<u32> = ranges.flat_map(|range| [range.at_least, range.below]).flatten().map(|s| s.0).collect();
    limits.push(0);
    limits.sort_unstable();
    limits.dedup();
    limits.into_iter().map(|score| with(|input| input.score = Some(score))).chain([blank(Kind::Transfer)]).collect()
}
