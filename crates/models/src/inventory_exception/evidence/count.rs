//! Evidence of the count itself: direction, size, recount, digits.

use super::{ARTICLE, Kind, RECOUNT, SALES, VARIANCE, View, step};

pub(super) const KINDS: [Kind; 9] = [
    Kind {
        name: "direction",
        pointer: "/facts/count",
        needs: VARIANCE,
        signed: false,
        levels: &[
            ("none", "the count is the book quantity"),
            ("shortage", "goods are missing"),
            ("surplus", "there are more goods than the book knows"),
        ],
        read: |view| Some(if view.variance == 0.0 { 0 } else { 1 + usize::from(view.variance > 0.0) }),
    },
    Kind {
        name: "size",
        pointer: "/facts/count",
        needs: VARIANCE,
        signed: true,
        levels: &[
            ("under_3", "fewer than 3 units"),
            ("under_10", "3 to 9 units"),
            ("under_30", "10 to 29 units"),
            ("under_100", "30 to 99 units"),
            ("under_300", "100 to 299 units"),
            ("under_1000", "300 to 999 units"),
            ("from_1000", "1000 units or more"),
        ],
        read: |view| Some(step(view.size, [3.0, 10.0, 30.0, 100.0, 300.0, 1000.0])),
    },
    Kind {
        name: "spread",
        pointer: "/facts/sales/units",
        needs: VARIANCE | SALES,
        signed: true,
        levels: &[
            ("tenth", "hardly any, for so many units sold"),
            ("quarter", "few, for so many units sold"),
            ("half", "no more than chance errors, for so many units sold"),
            ("one", "about what chance errors make, for so many units sold"),
            ("two", "more than chance errors make, for so many units sold"),
            ("six", "far more than chance errors make, for so many units sold"),
            ("twenty", "out of proportion to the units sold"),
            ("sixty", "far out of proportion to the units sold"),
            ("beyond", "extremely out of proportion to the units sold"),
        ],
        read: |view| Some(step(view.size / view.spread?, [0.1, 0.25, 0.5, 1.0, 2.0, 6.0, 20.0, 60.0])),
    },
    Kind {
        name: "share",
        pointer: "/facts/count/system",
        needs: VARIANCE,
        signed: true,
        levels: &[
            ("tenth", "less than a tenth of the book"),
            ("quarter", "less than a quarter of the book"),
            ("half", "less than half the book"),
            ("most", "more than half the book"),
            ("all", "about the whole book"),
            ("beyond", "more than the book holds"),
        ],
        // A few units are no meaningful share of a tiny book.
        read: |view| Some(step(view.size / (view.facts.count.system?.max(0.0) + 5.0), [0.1, 0.25, 0.5, 0.75, 1.5])),
    },
    Kind {
        name: "shelf",
        pointer: "/facts/count/counted",
        needs: VARIANCE,
        signed: false,
        levels: &[
            ("stocked", "goods were found"),
            ("emptied", "nothing is left of what the book holds"),
            ("empty", "book and shelf are both empty"),
        ],
        read: |view| {
            let emptied = view.facts.count.counted? <= 0.0;
            Some(if emptied { 1 + usize::from(view.facts.count.system? <= 0.0) } else { 0 })
        },
    },
    Kind {
        name: "recount",
        pointer: "/facts/count/recount",
        needs: VARIANCE | RECOUNT,
        signed: false,
        levels: &[
            ("same", "a recount found the same"),
            ("off_by_one", "a recount found the same but for one unit"),
            ("away", "a recount found even more of a difference"),
            ("confirms", "a recount found most of the difference again"),
            ("partly", "a recount found part of the difference"),
            ("at_book", "a recount found the book quantity"),
            ("beyond_book", "a recount found a difference the other way"),
        ],
        read: recount,
    },
    Kind {
        name: "digits",
        pointer: "/facts/count/counted",
        needs: VARIANCE,
        signed: false,
        levels: &[
            ("plain", "the digits of count and book are not alike"),
            ("tenfold", "the count is ten times the book: a digit too many"),
            ("tenth", "the count is a tenth of the book: a digit too few"),
            ("swapped", "the count has the digits of the book in another order"),
            ("nines", "the variance is a multiple of nine, as when digits slip"),
        ],
        read: digits,
    },
    Kind {
        name: "roundness",
        pointer: "/facts/count",
        needs: VARIANCE,
        signed: false,
        levels: &[
            ("small", "too few units to be round or not"),
            ("hundreds", "whole hundreds"),
            ("fifties", "a multiple of fifty"),
            ("dozens", "whole dozens"),
            ("tens", "whole tens"),
            ("odd", "no round number"),
        ],
        read: |view| {
            let whole = |unit: f64| view.size % unit == 0.0;
            Some(match view.size {
                size if size < 10.0 => 0,
                _ if whole(100.0) => 1,
                _ if whole(50.0) => 2,
                _ if whole(12.0) => 3,
                _ if whole(10.0) => 4,
                _ => 5,
            })
        },
    },
    Kind {
        name: "packs",
        pointer: "/facts/item/case_pack",
        needs: VARIANCE | ARTICLE,
        signed: true,
        levels: &[
            ("single", "the article comes singly"),
            ("less", "less than half a case"),
            ("whole", "whole cases"),
            ("nearly", "nearly whole cases"),
            ("broken", "no whole cases"),
        ],
        read: |view| Some(multiples(view.size, view.facts.item.case_pack?)),
    },
];

/// Where a recount lies on the way from the count back to the book.
fn recount(view: &View<'_>) -> Option<usize> {
    let count = &view.facts.count;
    let (recount, counted, system) = (count.recount?, count.counted?, count.system?);
    let moved = recount - counted;
    if moved == 0.0 {
        return Some(0);
    }
    if moved.abs() <= 1.0 && view.size > 1.0 {
        return Some(1);
    }
    // A count that was right and is not found again has no way back to go: it counts as gone beyond.
    let way = if system == counted { f64::INFINITY } else { moved / (system - counted) };
    Some(2 + step(way, [0.0, 0.34, 0.75, 1.25]))
}

/// Slips of typing: a digit too many or too few, digits swapped (their differences are multiples of nine).
fn digits(view: &View<'_>) -> Option<usize> {
    let (counted, system) = (view.facts.count.counted?, view.facts.count.system?);
    // Later, small errors blur the factor of ten.
    let tenfold = |large: f64, small: f64| small > 0.0 && (large - 10.0 * small).abs() <= 1.0 + 0.06 * large;
    Some(if tenfold(counted, system) {
        1
    } else if tenfold(system, counted) && system >= 10.0 {
        2
    } else if view.size > 0.0 && swapped(counted, system) {
        3
    } else if view.size > 0.0 && view.size % 9.0 == 0.0 {
        4
    } else {
        0
    })
}

/// Whether two whole numbers have the same decimal digits.
fn swapped(a: f64, b: f64) -> bool {
    fn tally(number: f64) -> Option<u64> {
        let whole = number >= 10.0 && number.fract() == 0.0;
        // At most ten digits (the limit of a quantity), six bits for the count of each.
        let mut rest = whole.then_some(number as u64)?;
        let mut tally = 0;
        while rest > 0 {
            tally += 1_u64 << (6 * (rest % 10));
            rest /= 10;
        }
        Some(tally)
    }
    tally(a).is_some_and(|digits| tally(b) == Some(digits))
}

/// How a quantity relates to multiples of a pack: 0 no pack, 1 less than half of one, 2 whole, 3 nearly, 4 broken.
pub(super) fn multiples(size: f64, pack: f64) -> usize {
    if pack <= 1.0 {
        return 0;
    }
    let count = (size / pack).round();
    let off = (size - count * pack).abs();
    if count < 1.0 {
        1
    } else if off <= 0.5 {
        2
    } else if off <= (0.12 * pack).clamp(1.0, 3.0) {
        3
    } else {
        4
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn swapped_digits_are_seen_and_other_digits_are_not() {
        assert!(swapped(31.0, 13.0) && swapped(120.0, 102.0));
        assert!(!swapped(31.0, 14.0) && !swapped(110.0, 100.0) && !swapped(3.0, 3.0));
    }

    #[test]
    fn whole_cases_are_told_from_broken_ones() {
        let levels = [(24.0, 12.0), (25.0, 12.0), (30.0, 12.0), (3.0, 12.0), (24.0, 1.0)];
        assert_eq!(levels.map(|(size, pack)| multiples(size, pack)), [2, 3, 4, 1, 0]);
    }
}
