//! Which inputs reach which row, exactly.
//!
//! The thresholds and names in a table cut every dimension of the input into few cells within which no row can tell
//! two inputs apart; one representative stands for each. A row is then a box: a set of cells per dimension. Taking
//! the boxes of the rows away one after the other leaves the gaps, and a row whose box is already gone is unreachable.
//! Two rows overlap where both boxes meet in what is still there when the earlier one has its turn. Conditions on
//! regions depend on each other, so these are one dimension, and on the kind, so each kind has a space of its own.

use contracts::{LocationId, Money, RegionId, money::Currency};

use super::{
    check::Rows,
    route::{Input, Seen},
    table::{LocationRule, RegionRule, Row, When},
};
use crate::{Kind, Site};

/// Give up beyond this many boxes; tables that people can read stay far below.
const MAX_BOXES: usize = 20_000;
/// Give up beyond this many cells in all dimensions together.
const MAX_CELLS: usize = 1 << 15;
const DIMENSIONS: usize = 10;

/// A set of cells in each dimension, every dimension from a word of its own on.
type Region = Vec<u64>;

/// What the rows of a table leave over, and where they compete.
#[derive(Default)]
pub(super) struct Reach {
    /// Indices of rows that no input reaches.
    pub(super) unreachable: Vec<usize>,
    /// Inputs that no row covers, one from each region left over.
    pub(super) gaps: Vec<Input>,
    pub(super) overlaps: Vec<Overlap>,
}

/// Two rows with different outcomes both match, and neither is a special case of the other.
pub(super) struct Overlap {
    pub(super) earlier: usize,
    pub(super) later: usize,
    /// An input that comes to the earlier row and that the later one matches as well.
    pub(super) example: Input,
}

/// `None` when the table cuts the space into too many regions to tell.
pub(super) fn reach(table: &Rows<'_>) -> Option<Reach> {
    let rows = &table.policy.rows;
    let mut reached = vec![false; rows.len()];
    let mut found = Reach::default();
    for kind in Kind::ALL {
        let space = Space::of(table, kind)?;
        let boxes: Vec<Region> = rows.iter().map(|row| space.covered_by(&row.when)).collect();
        let mut left = vec![space.everything()];
        for (i, (row, covered)) in rows.iter().zip(&boxes).enumerate() {
            let turn: Vec<Region> = left.iter().filter_map(|region| space.common(region, covered)).collect();
            if turn.is_empty() {
                continue;
            }
            reached[i] = true;
            let later = rows.iter().zip(&boxes).enumerate().skip(i + 1);
            for (j, (other, rest)) in later.filter(|(_, (other, _))| other.then != row.then) {
                let known = found.overlaps.iter().any(|overlap| (overlap.earlier, overlap.later) == (i, j));
                if known || row.shadows.contains(&other.name) || within(covered, rest) {
                    continue;
                }
                if let Some(both) = turn.iter().find_map(|region| space.common(region, rest)) {
                    found.overlaps.push(Overlap { earlier: i, later: j, example: space.example(&both) });
                }
            }
            left = left.into_iter().flat_map(|region| space.without(region, covered)).collect();
            if left.len() > MAX_BOXES {
                return None;
            }
        }
        found.gaps.extend(left.iter().map(|region| space.example(region)));
    }
    found.unreachable = (0..rows.len()).filter(|i| !reached[*i]).collect();
    found.overlaps.retain(|overlap| reached[overlap.later]);
    Some(found)
}

fn within(inner: &Region, outer: &Region) -> bool {
    inner.iter().zip(outer).all(|(inner, outer)| inner & !outer == 0)
}

/// One input per cell of each dimension, in which only the fields of that dimension mean anything.
struct Space {
    cells: [Vec<Input>; DIMENSIONS],
    /// The words of each dimension.
    words: [std::ops::Range<usize>; DIMENSIONS],
}

impl Space {
    fn of(table: &Rows<'_>, kind: Kind) -> Option<Self> {
        let rows = &table.policy.rows;
        let whens = || rows.iter().map(|row| &row.when);
        let named = |field: fn(&When) -> &[String], set: fn(&mut Input, String)| {
            let names = sorted(whens().flat_map(|when| field(when).iter().cloned()));
            // Every name that no row mentions behaves like no name at all.
            names.into_iter().map(|name| with(kind, |input| set(input, name))).chain([blank(kind)]).collect()
        };
        let units = match table.unit {
            // The table of a unit judges that unit and nobody else.
            Some(unit) => vec![with(kind, |input| input.business_unit = Some(unit.clone()))],
            None => named(|when| &when.business_unit, |input, name| input.business_unit = Some(name)),
        };
        let ends = |end: fn(&LocationRule) -> &[LocationId], set: fn(&mut Input, LocationId)| {
            let names = sorted(whens().flat_map(|when| end(&when.location).iter().cloned()));
            names.into_iter().map(|name| with(kind, |input| set(input, name))).chain([blank(kind)]).collect()
        };
        let (from, to) = if kind == Kind::Transfer {
            let from = ends(|rule| &rule.from, |input, id| input.from.location = Some(id));
            (from, ends(|rule| &rule.to, |input, id| input.to.location = Some(id)))
        } else {
            let both = whens().flat_map(|when| when.location.from.iter().chain(&when.location.to)).cloned();
            let place = |id: LocationId| Site { location: Some(id), region: None };
            let both = sorted(both).into_iter();
            let both =
                both.map(|id| with(kind, |input| (input.from, input.to) = (place(id.clone()), place(id.clone()))));
            (both.chain([blank(kind)]).collect(), vec![blank(kind)])
        };
        let known = |set: fn(&mut Input, u8), values: &[u8]| {
            values.iter().map(|value| with(kind, |input| set(input, *value))).chain([blank(kind)]).collect()
        };
        let cells = [
            regions(rows, kind),
            from,
            to,
            values(table, kind),
            named(|when| &when.category, |input, name| input.category = Some(name)),
            scores(rows, kind),
            named(|when| &when.band, |input, name| input.band = Some(name)),
            known(|input, severity| input.severity = Some(severity), &[1, 2, 3, 4]),
            known(|input, on| input.promotion = Some(on == 1), &[0, 1]),
            units,
        ];
        let mut next = 0;
        let words = cells.each_ref().map(|cells| {
            let first = next;
            next += cells.len().div_ceil(64);
            first..next
        });
        (cells.iter().map(Vec::len).sum::<usize>() <= MAX_CELLS).then_some(Self { cells, words })
    }

    fn region(&self, inside: impl Fn(usize, &Input) -> bool) -> Region {
        let mut region = vec![0; self.words[DIMENSIONS - 1].end];
        for (dimension, cells) in self.cells.iter().enumerate() {
            for (at, _) in cells.iter().enumerate().filter(|(_, cell)| inside(dimension, cell)) {
                region[self.words[dimension].start + at / 64] |= 1 << (at % 64);
            }
        }
        region
    }

    fn everything(&self) -> Region {
        self.region(|_, _| true)
    }

    /// Asks the evaluator itself, one dimension at a time, so that the two cannot disagree.
    fn covered_by(&self, when: &When) -> Region {
        let from = LocationRule { from: when.location.from.clone(), to: Vec::new() };
        let to = LocationRule { from: Vec::new(), to: when.location.to.clone() };
        let transfer = self.cells[0].iter().all(|cell| cell.kind == Kind::Transfer);
        let (from, to) = if transfer { (from, to) } else { (when.location.clone(), LocationRule::default()) };
        let parts: [When; DIMENSIONS] = [
            When { kind: when.kind.clone(), region: when.region.clone(), ..When::default() },
            When { location: from, ..When::default() },
            When { location: to, ..When::default() },
            When { value: when.value, ..When::default() },
            When { category: when.category.clone(), ..When::default() },
            When { score: when.score, ..When::default() },
            When { band: when.band.clone(), ..When::default() },
            When { severity: when.severity.clone(), ..When::default() },
            When { promotion: when.promotion, ..When::default() },
            When { business_unit: when.business_unit.clone(), ..When::default() },
        ];
        // Representatives of values are in the table's currency, so there is nothing to convert.
        self.region(|dimension, input| parts[dimension].first_failed(&Seen::of(input, None)).is_none())
    }

    /// Where both are; `None` when some dimension has no cell in common.
    fn common(&self, a: &Region, b: &Region) -> Option<Region> {
        let meet = |words: &std::ops::Range<usize>| words.clone().any(|word| a[word] & b[word] != 0);
        self.words.iter().all(meet).then(|| a.iter().zip(b).map(|(a, b)| a & b).collect())
    }

    /// `region` less `taken`, as disjoint regions: for each dimension, what lies inside `taken` in the dimensions before
    /// and outside in this one.
    fn without(&self, mut region: Region, taken: &Region) -> Vec<Region> {
        if self.common(&region, taken).is_none() {
            return vec![region];
        }
        let mut pieces = Vec::new();
        for words in &self.words {
            if words.clone().any(|word| region[word] & !taken[word] != 0) {
                let mut piece = region.clone();
                words.clone().for_each(|word| piece[word] &= !taken[word]);
                pieces.push(piece);
            }
            words.clone().for_each(|word| region[word] &= taken[word]);
        }
        pieces
    }

    /// An input inside the region, as fully known as the region allows: representatives put the unknown last.
    fn example(&self, region: &Region) -> Input {
        let cell = |dimension: usize| {
            let first = self.words[dimension].start;
            let inside = |at: &usize| region[first + at / 64] & (1 << (at % 64)) != 0;
            let cells = &self.cells[dimension];
            cells[(0..cells.len()).find(inside).unwrap_or_default()].clone()
        };
        let place = cell(0);
        let (from, to) = (cell(1), cell(2));
        let to = if place.kind == Kind::Transfer { to.to.location } else { from.to.location };
        Input {
            from: Site { location: from.from.location, region: place.from.region },
            to: Site { location: to, region: place.to.region },
            value: cell(3).value,
            category: cell(4).category,
            score: cell(5).score,
            band: cell(6).band,
            severity: cell(7).severity,
            promotion: cell(8).promotion,
            business_unit: cell(9).business_unit,
            kind: place.kind,
        }
    }
}

fn sorted<T: Ord>(names: impl Iterator<Item = T>) -> Vec<T> {
    let mut names: Vec<T> = names.collect();
    names.sort();
    names.dedup();
    names
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
        severity: None,
        promotion: None,
        business_unit: None,
    }
}

fn with(kind: Kind, set: impl FnOnce(&mut Input)) -> Input {
    let mut input = blank(kind);
    set(&mut input);
    input
}

/// Every pair of regions that the table can tell apart: those it names, two that it does not (so that stock can cross
/// between them) and the unknown one. Only a transfer has two ends.
fn regions(rows: &[Row], kind: Kind) -> Vec<Input> {
    let rules = rows.iter().map(|row| &row.when.region);
    let mut regions: Vec<RegionId> =
        sorted(rules.flat_map(|RegionRule { from, to, .. }| from.iter().chain(to)).cloned());
    let named = regions.clone();
    let fresh = (1..).filter_map(|n| RegionId::new(format!("other-{n}")).ok()).filter(|id| !named.contains(id));
    regions.extend(fresh.take(2));
    let regions: Vec<Option<RegionId>> = regions.into_iter().map(Some).chain([None]).collect();
    let site = |region: &Option<RegionId>| Site { location: None, region: region.clone() };
    let mut cells = Vec::new();
    for from in &regions {
        let ends = regions.iter().filter(|to| kind == Kind::Transfer || *to == from);
        cells.extend(ends.map(|to| Input { from: site(from), to: site(to), ..blank(kind) }));
    }
    cells
}

/// For each currency zero and every limit, which is where a half-open range begins or ends; one other currency, unless
/// all are converted into one.
fn values(table: &Rows<'_>, kind: Kind) -> Vec<Input> {
    let base = table.policy.money.as_ref().map(|conversion| conversion.base);
    let ranges = || table.policy.rows.iter().filter_map(|row| row.when.value);
    let mut amounts: Vec<(Currency, i64)> = ranges()
        .flat_map(|range| {
            [Some(0), range.at_least, range.below].map(|limit| limit.map(|minor| (range.currency, minor)))
        })
        .flatten()
        .filter(|(_, minor)| *minor >= 0)
        .collect();
    match base {
        Some(base) => amounts.push((base, 0)),
        None => {
            // XTS is the ISO 4217 code for testing, XXX for no currency: at most one of them occurs in earnest.
            let other = ["XTS", "XXX"].into_iter().filter_map(|code| Currency::new(code).ok());
            let other = other.filter(|code| !ranges().any(|range| range.currency == *code));
            amounts.extend(other.take(1).map(|code| (code, 0)));
        }
    }
    let known = sorted(amounts.into_iter()).into_iter();
    let known = known.map(|(currency, minor)| with(kind, |input| input.value = Some(Money::new(minor, currency))));
    known.chain([blank(kind)]).collect()
}

fn scores(rows: &[Row], kind: Kind) -> Vec<Input> {
    let ranges = rows.iter().filter_map(|row| row.when.score);
    let limits = ranges.flat_map(|range| [range.at_least, range.below]).flatten().map(|score| score.0);
    let limits = sorted(limits.chain([0])).into_iter();
    limits.map(|score| with(kind, |input| input.score = Some(score))).chain([blank(kind)]).collect()
}
