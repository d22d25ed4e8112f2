//! Evidence of what people did with the article, and of the article itself.

use super::{ARTICLE, HANDLING, Kind, VARIANCE, View, step};

pub(super) const KINDS: [Kind; 9] = [
    Kind {
        name: "damage",
        pointer: "/facts/handling/damage_reports",
        needs: VARIANCE | HANDLING,
        signed: false,
        levels: &[
            ("none", "no damage was reported that was not booked"),
            ("one_no_loss", "a damage was reported and not booked, but no goods are missing"),
            ("one_few", "a damage was reported and not booked, and few units are missing"),
            ("one_many", "a damage was reported and not booked, but many units are missing"),
            ("several_no_loss", "damages were reported and not booked, but no goods are missing"),
            ("several_few", "damages were reported and not booked, and few units are missing"),
            ("several_many", "damages were reported and not booked, but many units are missing"),
        ],
        read: damage,
    },
    Kind {
        name: "waste",
        pointer: "/facts/handling/waste_units",
        needs: HANDLING,
        signed: false,
        levels: &[
            ("none", "no waste was booked"),
            ("one", "one unit was booked as waste"),
            ("several", "several units were booked as waste"),
        ],
        read: |view| Some(step(view.facts.handling.waste_units?, [0.5, 1.5])),
    },
    Kind {
        name: "manual_entries",
        pointer: "/facts/handling/manual_entries",
        needs: VARIANCE | HANDLING,
        signed: false,
        levels: &[
            ("none_small", "nothing was typed by hand, and the variance is small"),
            ("none_large", "nothing was typed by hand, and the variance is large"),
            ("one_small", "one quantity was typed by hand, and the variance is small"),
            ("one_large", "one quantity was typed by hand, and the variance is large"),
            ("several_small", "quantities were typed by hand, and the variance is small"),
            ("several_large", "quantities were typed by hand, and the variance is large"),
        ],
        read: |view| {
            let large = view.spread.map_or(view.size >= 10.0, |spread| view.size > 0.5 * spread);
            Some(2 * step(view.facts.handling.manual_entries?, [0.5, 1.5]) + usize::from(large))
        },
    },
    Kind {
        name: "largest_scan",
        pointer: "/facts/handling/largest_scan",
        needs: VARIANCE | HANDLING,
        signed: false,
        levels: &[
            ("usual", "no entry beyond a case"),
            ("above", "an entry above a case"),
            ("double", "an entry of two to four cases"),
            ("huge", "an entry of more than four cases"),
            ("above_match", "an entry above a case is the variance"),
            ("double_match", "an entry of two to four cases is the variance"),
            ("huge_match", "an entry of more than four cases is the variance"),
        ],
        read: |view| {
            let scan = view.facts.handling.largest_scan?;
            // Four singles are as usual as a case.
            let usual = view.facts.item.case_pack.unwrap_or(1.0).max(4.0);
            let level = step(scan / usual, [1.01, 2.0, 4.0]);
            let matches = (view.size - scan).abs() <= f64::max(1.0, 0.1 * scan);
            Some(level + if matches && level > 0 { 3 } else { 0 })
        },
    },
    Kind {
        name: "theft_risk",
        pointer: "/facts/item/theft_risk",
        needs: VARIANCE | ARTICLE,
        signed: true,
        levels: &[
            ("little", "an article that is hardly stolen"),
            ("some", "an article that is stolen at times"),
            ("much", "an article that is often stolen"),
        ],
        read: |view| view.facts.item.theft_risk.map(usize::from),
    },
    Kind {
        name: "fragility",
        pointer: "/facts/item/fragility",
        needs: VARIANCE | ARTICLE,
        signed: true,
        levels: &[
            ("hardly", "an article that hardly breaks"),
            ("some", "an article that breaks at times"),
            ("very", "an article that breaks easily"),
        ],
        read: |view| view.facts.item.fragility.map(usize::from),
    },
    Kind {
        name: "unit_worth",
        pointer: "/facts/item/unit_price",
        needs: ARTICLE,
        signed: false,
        levels: &[
            ("under_1", "a unit is worth less than 1 of the currency"),
            ("under_2", "a unit is worth 1 to 2 of the currency"),
            ("under_4", "a unit is worth 2 to 4 of the currency"),
            ("under_8", "a unit is worth 4 to 8 of the currency"),
            ("from_8", "a unit is worth 8 of the currency or more"),
        ],
        read: |view| {
            let worth = view.facts.item.unit_price.or(view.facts.item.unit_cost)?;
            // Whole units of money: currencies without decimals have few articles below 8, and that is then one level.
            let whole = worth.minor as f64 / 10_f64.powi(worth.currency.exponent().cast_signed());
            Some(step(whole, [1.0, 2.0, 4.0, 8.0]))
        },
    },
    Kind {
        name: "sold_as",
        pointer: "/facts/item/name",
        needs: ARTICLE,
        signed: false,
        levels: &[
            ("single", "its name tells of no set or pack"),
            ("set", "its name tells of a set or pack, which may be counted as one or as its parts"),
        ],
        read: |view| Some(usize::from(words(view)?.any(|word| SETS.iter().any(|set| word.eq_ignore_ascii_case(set))))),
    },
    Kind {
        name: "made_of",
        pointer: "/facts/item/name",
        needs: ARTICLE,
        signed: false,
        levels: &[
            ("sturdy", "its name tells of nothing that breaks"),
            ("brittle", "its name tells of something that breaks"),
        ],
        read: |view| {
            let brittle = |word: &str| BRITTLE.iter().any(|one| word.eq_ignore_ascii_case(one));
            Some(usize::from(words(view)?.any(brittle)))
        },
    },
];

/// English words for articles that are sold as several pieces.
const SETS: [&str; 6] = ["set", "sets", "pack", "packs", "box", "pair"];
/// English words for what breaks.
const BRITTLE: [&str; 14] = [
    "glass",
    "glasses",
    "ceramic",
    "porcelain",
    "china",
    "mug",
    "mugs",
    "cup",
    "vase",
    "plate",
    "plates",
    "bowl",
    "bowls",
    "candle",
];

fn words<'a>(view: &View<'a>) -> Option<impl Iterator<Item = &'a str>> {
    let name = view.facts.item.name.as_ref()?;
    Some(name.split(|c: char| !c.is_ascii_alphabetic()).filter(|word| !word.is_empty()))
}

/// Reports beyond the units already booked as waste, against the units missing: damage takes a few at a time.
fn damage(view: &View<'_>) -> Option<usize> {
    let reports = view.facts.handling.damage_reports?;
    let unbooked = step(reports - view.facts.handling.waste_units.unwrap_or(0.0), [0.5, 1.5]);
    if unbooked == 0 {
        return Some(0);
    }
    let missing = if view.variance >= 0.0 { 0 } else { 1 + usize::from(view.size > 3.0 * reports) };
    Some(1 + 3 * (unbooked - 1) + missing)
}
