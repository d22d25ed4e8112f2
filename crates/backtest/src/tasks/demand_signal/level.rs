//! Days of a series with promotions and holidays, each judged by the days before it.

use std::collections::BTreeMap;

use anyhow::{Context, bail};
use jiff::{ToSpan, civil::date};
use models::{
    Judge,
    demand_signal::{Answer, CountSeries, Model, Options, Request, Series},
};
use serde::Deserialize;

use crate::{Run, files};

#[derive(Deserialize)]
struct Row {
    series: String,
    day: i32,
    units: f64,
    /// Price as a share of the regular one.
    discount: f64,
    activity: u8,
    holiday: u8,
}

pub(in crate::tasks) fn eval(run: &Run) -> anyhow::Result<()> {
    let path = files::with_columns(&run.inputs, &["series", "day", "units", "discount", "activity", "holiday"])?;
    let mut series: BTreeMap<String, BTreeMap<i32, Row>> = BTreeMap::new();
    for row in files::rows::<Row>(path)? {
        let row = row?;
        series.entry(row.series.clone()).or_default().insert(row.day, row);
    }
    let model = Model::standard()?;
    let mut predictions = Vec::new();
    for (name, days) in &series {
        let request = request(days)?;
        let signals = match model.judge(&request) {
            Ok(Answer::Scored(assessment)) => assessment.history,
            // Too short a series to stand out in.
            Ok(Answer::InsufficientData { .. }) => Vec::new(),
            Err(errors) => bail!("series {name}: {errors:?}"),
        };
        let first = *days.keys().next().context("a series without a day")?;
        for day in days.keys() {
            let surprise = signals.get(usize::try_from(day - first)?).map_or(0.0, |signal| signal.surprise);
            predictions.push([name.clone(), day.to_string(), format!("{surprise:.6}")]);
        }
    }
    files::write(&run.out, ["series", "day", "score"], predictions)
}

fn request(days: &BTreeMap<i32, Row>) -> anyhow::Result<Request> {
    let (Some((first, _)), Some((last, _))) = (days.first_key_value(), days.last_key_value()) else {
        bail!("a series without a day");
    };
    let cells = || (*first..=*last).map(|day| days.get(&day));
    let series = CountSeries {
        // The file counts days from an unknown date; only their order matters.
        first: date(2024, 1, 1).checked_add((*first).days())?,
        units: cells().map(|row| row.map(|row| row.units)).collect(),
        out_of_stock: Vec::new(),
        promotion: cells().map(|row| row.is_some_and(|row| row.activity != 0)).collect(),
        price_share: cells().map(|row| row.map_or(1.0, |row| super::price(row.discount).min(1.0))).collect(),
        holiday: cells().map(|row| row.is_some_and(|row| row.holiday != 0)).collect(),
    };
    let options = Options { history: true, explain: false, ..Options::default() };
    Ok(Request { product: None, location: None, series: Series::Day(series), options })
}
