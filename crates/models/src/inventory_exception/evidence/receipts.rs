//! Evidence of receipts and moves: what was announced, booked, or is under way.

use super::{ARTICLE, Kind, MOVES, RECEIPTS, VARIANCE, View, count::multiples, step};

/// A booked quantity, and how well it explains the variance; small quantities explain it by chance more often.
const EXPLANATION: [(&str, &str); 9] = [
    ("none", "there is none"),
    ("explains_it", "its quantity is the variance"),
    ("nearly", "its quantity is nearly the variance"),
    ("same_way", "it goes the same way, with another quantity"),
    ("other_way", "it goes the other way"),
    ("explains_it_few", "its one or two units are the variance"),
    ("nearly_few", "its one or two units are nearly the variance"),
    ("same_way_few", "its one or two units go the same way"),
    ("other_way_few", "its one or two units go the other way"),
];

pub(super) const KINDS: [Kind; 10] = [
    Kind {
        name: "announced",
        pointer: "/facts/receipts/last_announced",
        needs: VARIANCE | RECEIPTS,
        signed: false,
        levels: &[
            ("as_booked", "the supplier announced what was booked"),
            (
                "explains_it",
                "the supplier announced another quantity than was booked, and the difference is the variance",
            ),
            ("opposite", "announced and booked differ by the variance, the other way round"),
            ("same_way", "announced and booked differ, the same way as the variance"),
            ("other_way", "announced and booked differ, the other way than the variance"),
        ],
        read: |view| {
            let gap = view.facts.receipts.last_announced? - view.facts.receipts.last_posted?;
            Some(match gap {
                0.0 => 0,
                gap if view.explained_by(gap) <= 1 => 1,
                gap if view.explained_by(-gap) <= 1 => 2,
                gap if view.variance * gap > 0.0 => 3,
                _ => 4,
            })
        },
    },
    Kind {
        name: "receipt_age",
        pointer: "/facts/receipts/last_days_ago",
        needs: RECEIPTS,
        signed: false,
        levels: &[
            ("today", "a receipt on the day of the count"),
            ("under_4", "the last receipt was 1 to 3 days before"),
            ("under_8", "the last receipt was 4 to 7 days before"),
            ("under_15", "the last receipt was 8 to 14 days before"),
            ("under_22", "the last receipt was 15 to 21 days before"),
            ("older", "the last receipt was more than three weeks before"),
        ],
        read: |view| Some(step(view.facts.receipts.last_days_ago?, [1.0, 4.0, 8.0, 15.0, 22.0])),
    },
    Kind {
        name: "receipt_match",
        pointer: "/facts/receipts/last_posted",
        needs: VARIANCE | RECEIPTS,
        signed: true,
        levels: &[
            ("whole", "the quantity of the last receipt"),
            ("half", "half the quantity of the last receipt"),
            ("less", "less than the last receipt"),
            ("more", "more than the last receipt"),
        ],
        read: |view| {
            let posted = booked(view)?;
            let off = |units: f64| (view.size - units).abs() <= f64::max(2.0, 0.1 * posted);
            Some(if off(posted) {
                0
            } else if off(posted / 2.0) {
                1
            } else {
                2 + usize::from(view.size >= posted)
            })
        },
    },
    Kind {
        name: "receipt_fresh",
        pointer: "/facts/receipts/last_posted",
        needs: VARIANCE | RECEIPTS,
        signed: true,
        levels: &[
            ("tenth", "within a week, and hardly any of that receipt"),
            ("quarter", "within a week, and a small part of that receipt"),
            ("half", "within a week, and about half of that receipt"),
            ("whole", "within a week, and about all of that receipt"),
            ("more", "within a week, and more than that receipt"),
            ("old_tenth", "no receipt for a week, and hardly any of the last"),
            ("old_quarter", "no receipt for a week, and a small part of the last"),
            ("old_half", "no receipt for a week, and about half of the last"),
            ("old_whole", "no receipt for a week, and about all of the last"),
            ("old_more", "no receipt for a week, and more than the last"),
        ],
        read: |view| {
            let share = step(view.size / booked(view)?, [0.1, 0.25, 0.6, 1.15]);
            Some(share + if view.facts.receipts.last_days_ago? < 8.0 { 0 } else { 5 })
        },
    },
    Kind {
        name: "case_for_unit",
        pointer: "/facts/item/case_pack",
        needs: VARIANCE | ARTICLE,
        signed: true,
        levels: &[
            ("single", "the article comes singly"),
            ("less", "less than a case booked as one unit would make"),
            ("one", "what one case booked as one unit makes"),
            ("several", "what several cases booked as units make"),
            ("nearly", "nearly what cases booked as units make"),
            ("other", "not what cases booked as units make"),
        ],
        read: |view| {
            // Booking a case of p units as 1 leaves p - 1 too many, or too few, for each case.
            let extra = view.facts.item.case_pack? - 1.0;
            let level = multiples(view.size, extra);
            Some(if level < 2 { level } else { level + usize::from(level > 2 || view.size > 1.5 * extra) })
        },
    },
    Kind {
        name: "receipt_in_cases",
        pointer: "/facts/receipts/last_posted",
        needs: VARIANCE | RECEIPTS | ARTICLE,
        signed: true,
        levels: &[
            ("single", "the article comes singly"),
            ("explains_it", "what the last receipt makes when its cases are taken for units"),
            ("other", "not what the last receipt makes when its cases are taken for units"),
        ],
        read: |view| {
            let (posted, pack) = (booked(view)?, view.facts.item.case_pack?);
            let expected = posted - posted / pack;
            Some(if pack <= 1.0 {
                0
            } else {
                1 + usize::from((view.size - expected).abs() > f64::max(1.0, 0.1 * expected))
            })
        },
    },
    Kind {
        name: "open_document",
        pointer: "/facts/moves/open_document_units",
        needs: VARIANCE | MOVES,
        signed: false,
        levels: &EXPLANATION,
        read: |view| Some(explanation(view, view.facts.moves.open_document_units?)),
    },
    Kind {
        name: "transfer",
        pointer: "/facts/moves/transfer_unconfirmed",
        needs: VARIANCE | MOVES,
        signed: false,
        levels: &[
            ("confirmed", "no transfer waits for its confirmation"),
            ("confirmed_match", "the variance is the quantity of the last transfer, which was confirmed"),
            ("waiting", "a transfer waits for its confirmation"),
            ("waiting_match", "a transfer of the variance waits for its confirmation"),
        ],
        read: |view| {
            let units = view.facts.moves.transfer_units.unwrap_or(0.0);
            let matches = units > 0.0 && (view.size - units).abs() <= f64::max(1.0, 0.15 * units);
            Some(2 * usize::from(view.facts.moves.transfer_unconfirmed?) + usize::from(matches))
        },
    },
    Kind {
        name: "other_place",
        pointer: "/facts/neighbours/other_place",
        needs: VARIANCE | super::NEIGHBOURS,
        signed: false,
        levels: &EXPLANATION,
        // What is missing here and too many there lies at the wrong place.
        read: |view| Some(explanation(view, -view.facts.neighbours.other_place?)),
    },
    Kind {
        name: "similar_product",
        pointer: "/facts/neighbours/similar_product",
        needs: VARIANCE | super::NEIGHBOURS,
        signed: false,
        levels: &EXPLANATION,
        read: |view| Some(explanation(view, -view.facts.neighbours.similar_product?)),
    },
];

/// Units of the last receipt, when there was one.
fn booked(view: &View<'_>) -> Option<f64> {
    view.facts.receipts.last_posted.filter(|units| *units > 0.0)
}

fn explanation(view: &View<'_>, units: f64) -> usize {
    const FEW: f64 = 2.0;
    if units == 0.0 {
        return 0;
    }
    1 + view.explained_by(units) + if units.abs() <= FEW { 4 } else { 0 }
}
