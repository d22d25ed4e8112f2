//! Evidence of how the article sells.

use super::{Kind, SALES, VARIANCE, step};

pub(super) const KINDS: [Kind; 5] = [
    Kind {
        name: "idle",
        pointer: "/facts/sales/idle_days",
        needs: VARIANCE | SALES,
        signed: true,
        levels: &[
            ("none", "it sold up to the day of the count"),
            ("one", "it did not sell on the last day, though the book showed stock"),
            ("two", "it did not sell for two days, though the book showed stock"),
            ("three", "it did not sell for three days, though the book showed stock"),
            ("five", "it did not sell for four or five days, though the book showed stock"),
            ("longer", "it did not sell for six days or more, though the book showed stock"),
        ],
        read: |view| Some(step(view.facts.sales.idle_days?, [0.5, 1.5, 2.5, 3.5, 5.5])),
    },
    Kind {
        name: "velocity",
        pointer: "/facts/sales/units",
        needs: SALES,
        signed: false,
        levels: &[
            ("tenth", "it sells less than one unit in ten days"),
            ("half", "it sells less than one unit in two days"),
            ("two", "it sells less than two units a day"),
            ("six", "it sells two to six units a day"),
            ("twenty", "it sells six to twenty units a day"),
            ("more", "it sells more than twenty units a day"),
        ],
        read: |view| {
            let daily = view.facts.sales.units? / view.facts.sales.days?.max(1.0);
            Some(step(daily, [0.1, 0.5, 2.0, 6.0, 20.0]))
        },
    },
    Kind {
        name: "last_sale",
        pointer: "/facts/sales/days_since_last",
        needs: SALES,
        signed: false,
        levels: &[
            ("day", "it sold within a day"),
            ("three_days", "it sold within three days"),
            ("ten_days", "it sold within ten days"),
            ("forty_days", "it sold within forty days"),
            ("longer", "it did not sell for forty days"),
        ],
        read: |view| Some(step(view.facts.sales.days_since_last?, [1.0, 3.0, 10.0, 40.0])),
    },
    Kind {
        name: "lines",
        pointer: "/facts/sales/typical_line",
        needs: VARIANCE | SALES,
        signed: false,
        levels: &[
            ("less", "less than a typical sale"),
            ("few", "as much as one to three typical sales"),
            ("some", "as much as four to fifteen typical sales"),
            ("many", "as much as sixteen to sixty-three typical sales"),
            ("more", "as much as sixty-four typical sales or more"),
        ],
        read: |view| {
            let line = view.facts.sales.typical_line.filter(|units| *units > 0.0)?;
            Some(step(view.size / line, [1.0, 4.0, 16.0, 64.0]))
        },
    },
    Kind {
        name: "line_units",
        pointer: "/facts/sales/typical_line",
        needs: SALES,
        signed: false,
        levels: &[
            ("single", "it is sold singly"),
            ("few", "it is sold a few at a time"),
            ("half_dozen", "it is sold by the half dozen"),
            ("dozen", "it is sold by the dozen"),
        ],
        read: |view| Some(step(view.facts.sales.typical_line?, [2.0, 6.0, 12.0])),
    },
];
