//! Evidence of adjustments around this one: who corrects one article corrects several, for one reason.

use contracts::ProductId;

use super::{Kind, NEIGHBOURS, VARIANCE, View};
use crate::inventory_exception::types::Adjustment;

/// Adjustments this close in time are one sitting of one person.
const SITTING_MINUTES: f64 = 15.0;
/// Article numbers this close belong to one range of articles.
const SAME_RANGE: u64 = 5;

pub(super) const KINDS: [Kind; 4] = [
    Kind {
        name: "sitting",
        pointer: "/facts/neighbours/session",
        needs: VARIANCE | NEIGHBOURS,
        signed: false,
        levels: &[
            ("alone", "no other adjustment around the same time"),
            ("mostly_other_way", "adjustments around the same time go the other way"),
            ("mixed", "adjustments around the same time go both ways"),
            ("same_way", "all adjustments around the same time go the same way"),
        ],
        read: |view| {
            let (same, all) = sitting(view)?.fold((0.0, 0.0), |(same, all), one| {
                (same + f64::from(u8::from(one.units * view.variance > 0.0)), all + 1.0)
            });
            Some(match same / all {
                share if share < 0.34 => 1,
                share if share < 0.99 => 2,
                share if share >= 0.99 => 3,
                _ => 0,
            })
        },
    },
    Kind {
        name: "counterpart",
        pointer: "/facts/neighbours/session",
        needs: VARIANCE | NEIGHBOURS,
        signed: false,
        levels: &[
            ("none", "no adjustment around the same time offsets it"),
            ("offsets_it", "an adjustment around the same time offsets it: two articles taken for each other"),
        ],
        read: |view| {
            let offsets = |one: &Adjustment| (one.units + view.variance).abs() <= 0.1 * view.size;
            Some(usize::from(sitting(view)?.any(offsets)))
        },
    },
    Kind {
        name: "range",
        pointer: "/facts/neighbours/session",
        needs: NEIGHBOURS,
        signed: false,
        levels: &[
            ("alone", "no article of the same range is adjusted around the same time"),
            ("together", "articles of the same range are adjusted around the same time"),
        ],
        read: |view| {
            let own = number(&view.facts.product);
            let close = |one: &Adjustment| matches!((own, number(&one.product)), (Some(a), Some(b)) if a.abs_diff(b) <= SAME_RANGE);
            Some(usize::from(sitting(view)?.any(close)))
        },
    },
    Kind {
        name: "earlier",
        pointer: "/facts/neighbours/earlier",
        needs: NEIGHBOURS,
        signed: false,
        levels: &[
            ("never", "the article was not adjusted before"),
            ("once", "the article was adjusted once before"),
            ("often", "the article was adjusted several times before"),
            ("just_now", "the article was adjusted within the last day"),
            ("just_now_often", "the article was adjusted several times, the last within a day"),
        ],
        read: |view| {
            const DAY: f64 = 24.0 * 60.0;
            let earlier = view.facts.neighbours.earlier.as_ref()?;
            let recent = earlier.iter().any(|one| minutes(view, one) <= DAY);
            Some(earlier.len().min(2) + if recent { 2 } else { 0 })
        },
    },
];

fn minutes(view: &View<'_>, one: &Adjustment) -> f64 {
    one.at.duration_since(view.facts.as_of).as_secs_f64().abs() / 60.0
}

fn sitting<'a>(view: &'a View<'_>) -> Option<impl Iterator<Item = &'a Adjustment>> {
    let session = view.facts.neighbours.session.as_ref()?;
    Some(session.iter().filter(|one| minutes(view, one) <= SITTING_MINUTES))
}

/// The digits that an article number begins with.
fn number(product: &ProductId) -> Option<u64> {
    let text = product.as_str();
    let digits = text.find(|c: char| !c.is_ascii_digit()).map_or(text, |end| &text[..end]);
    digits.parse().ok()
}
