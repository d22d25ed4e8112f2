//! Days cut short by an empty shelf, from hourly sales alone.

use std::{collections::BTreeMap, path::Path};

use anyhow::Context;
use contracts::{LocationId, ProductId};
use jiff::{Span, Timestamp, civil::Date};
use models::{
    Judge,
    demand_signal::hours::{Answer, HourlySales, Model, Options, Request},
    score::ONE,
};
use serde::Deserialize;

use crate::{Run, files};

/// Date of day 0.
const DAY_0: Date = jiff::civil::date(2024, 3, 28);
/// What is written where the model does not judge.
const NO_JUDGEMENT: f64 = 0.5;

/// One day of one series. Files with the truth have one column more.
#[derive(Deserialize)]
struct Row {
    series: String,
    day: i64,
    units: String,
    discount: f64,
}

type Days = BTreeMap<i64, (Vec<f64>, f64)>;

pub(in crate::tasks) fn eval(run: &Run) -> anyhow::Result<()> {
    let model = Model::standard()?;
    let inputs = series(files::with_columns(&run.inputs, &["series", "day", "units", "discount"])?)?;
    // Of a series that the public file has too, its sales there are the history.
    let known = series(&run.train.join("demand_signal/frn_hours.csv.gz"))?;
    let mut rows = Vec::new();
    for (name, days) in inputs {
        let asked: Vec<i64> = days.keys().copied().collect();
        for asked in asked.chunk_by(|a, b| a + 1 == *b) {
            let mut window = days.clone();
            window.retain(|day, _| asked.contains(day));
            let before = known.get(&name).into_iter().flat_map(|days| days.range(..asked[0]).rev());
            let consecutive = before.zip((0..asked[0]).rev()).take_while(|((day, _), expected)| *day == expected);
            window.extend(consecutive.map(|((day, of_day), _)| (*day, of_day.clone())));
            let scores = judge(&model, &name, &window, asked)?;
            rows.extend(
                asked.iter().zip(scores).map(|(day, score)| [name.clone(), day.to_string(), score.to_string()]),
            );
        }
    }
    files::write(&run.out, ["series", "day", "score"], rows)
}

fn series(path: &Path) -> anyhow::Result<BTreeMap<String, Days>> {
    let mut all: BTreeMap<String, Days> = BTreeMap::new();
    for row in files::rows::<Row>(path)? {
        let row = row?;
        let place = || format!("{}, series {}, day {}", path.display(), row.series, row.day);
        let units = files::list(&row.units).with_context(place)?;
        all.entry(row.series.clone()).or_default().insert(row.day, (units, row.discount));
    }
    Ok(all)
}

/// Scores of the last days of a window.
fn judge(model: &Model, name: &str, window: &Days, asked: &[i64]) -> anyhow::Result<Vec<f64>> {
    let place = || format!("series {name}");
    let first = window.keys().next().copied().unwrap_or_default();
    let request = Request {
        product: ProductId::new(name).with_context(place)?,
        location: LocationId::new("store").with_context(place)?,
        as_of: Timestamp::UNIX_EPOCH,
        sales: HourlySales {
            first_day: DAY_0.checked_add(Span::new().try_days(first)?)?,
            units: window.values().flat_map(|(units, _)| units).copied().collect(),
            out_of_stock: Vec::new(),
            records_complete: false,
            price_share: window.values().map(|(_, discount)| super::price(*discount)).collect(),
            holidays: Vec::new(),
        },
        earlier: None,
        unit_margin: None,
        options: Options { look_back: asked.len() - 1, explain: false },
    };
    let answer = model.judge(&request).map_err(|errors| anyhow::anyhow!("{errors:?}")).with_context(place)?;
    Ok(match answer {
        Answer::Scored(assessment) => {
            let days = assessment.earlier.iter().chain([&assessment.latest]);
            days.map(|day| f64::from(day.score.micros()) / f64::from(ONE)).collect()
        }
        Answer::InsufficientData { .. } => vec![NO_JUDGEMENT; asked.len()],
    })
}
