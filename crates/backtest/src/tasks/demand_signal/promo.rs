//! Weeks of a brand in a store, each judged by the weeks before it: advertised weeks should stand out.

use std::collections::BTreeMap;

use anyhow::bail;
use jiff::{ToSpan, civil::date};
use models::{
    Judge,
    demand_signal::{Answer, CountSeries, Model, Options, Request, Series, Side},
};
use serde::Deserialize;

use crate::{Run, files};

#[derive(Deserialize)]
struct Row {
    store: u32,
    brand: u32,
    week: i32,
    units: f64,
}

pub(in crate::tasks) fn eval(run: &Run) -> anyhow::Result<()> {
    let path = files::with_columns(&run.inputs, &["store", "brand", "week", "units"])?;
    let mut series: BTreeMap<(u32, u32), BTreeMap<i32, f64>> = BTreeMap::new();
    for row in files::rows::<Row>(path)? {
        let row = row?;
        series.entry((row.store, row.brand)).or_default().insert(row.week, row.units);
    }
    let model = Model::standard()?;
    let mut predictions = Vec::new();
    for ((store, brand), weeks) in &series {
        let (Some((first, _)), Some((last, _))) = (weeks.first_key_value(), weeks.last_key_value()) else { continue };
        let units = (*first..=*last).map(|week| weeks.get(&week).copied()).collect();
        let signals = match model.judge(&request(*first, units)?) {
            Ok(Answer::Scored(assessment)) => assessment.history,
            // Too short a series to stand out in.
            Ok(Answer::InsufficientData { .. }) => Vec::new(),
            Err(errors) => bail!("store {store}, brand {brand}: {errors:?}"),
        };
        for week in weeks.keys() {
            let signal = signals.get(usize::try_from(week - first)?);
            // An advertised week sells more: what is low is the less likely one the stranger it is.
            let score = signal.map_or(0.0, |signal| match signal.side {
                Side::Above => signal.surprise,
                Side::Below => -signal.surprise,
            });
            predictions.push([store.to_string(), brand.to_string(), week.to_string(), format!("{score:.6}")]);
        }
    }
    files::write(&run.out, ["store", "brand", "week", "score"], predictions)
}

fn request(first: i32, units: Vec<Option<f64>>) -> anyhow::Result<Request> {
    let series = CountSeries {
        // The file counts weeks from an unknown date; only their order matters.
        first: date(1990, 1, 1).checked_add(first.weeks())?,
        units,
        out_of_stock: Vec::new(),
        promotion: Vec::new(),
        price_share: Vec::new(),
        holiday: Vec::new(),
    };
    let options = Options { history: true, explain: false, ..Options::default() };
    Ok(Request { product: None, location: None, series: Series::Week(series), options })
}
