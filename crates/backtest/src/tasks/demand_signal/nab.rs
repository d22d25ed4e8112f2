//! Streams of readings with labelled anomalies, each reading judged by those before it.

use std::collections::BTreeMap;

use anyhow::{Context, bail};
use jiff::{Timestamp, civil::DateTime, tz::TimeZone};
use models::{
    Judge,
    demand_signal::{Answer, Model, Options, ReadingSeries, Request, Series},
};
use serde::Deserialize;

use crate::{Run, files};

#[derive(Deserialize)]
struct Row {
    file: String,
    timestamp: String,
    value: Option<f64>,
}

pub(in crate::tasks) fn eval(run: &Run) -> anyhow::Result<()> {
    let path = files::with_columns(&run.inputs, &["file", "timestamp", "value"])?;
    let mut streams: BTreeMap<String, Vec<(Timestamp, Option<f64>)>> = BTreeMap::new();
    for row in files::rows::<Row>(path)? {
        let Row { file, timestamp, value } = row?;
        let at: DateTime =
            timestamp.parse().with_context(|| format!("{}: {timestamp:?} is not a time", path.display()))?;
        streams.entry(file).or_default().push((at.to_zoned(TimeZone::UTC)?.timestamp(), value));
    }
    let model = Model::standard()?;
    let mut predictions = Vec::new();
    for (file, readings) in &streams {
        // The API takes readings in the order of time; predictions go by the order of the file.
        let mut order: Vec<usize> = (0..readings.len()).collect();
        order.sort_by_key(|row| readings[*row].0);
        let scores = scores(&model, file, order.iter().map(|row| readings[*row]))?;
        let mut of_file: Vec<(usize, f64)> = order.into_iter().zip(scores).collect();
        of_file.sort_by_key(|(row, _)| *row);
        predictions
            .extend(of_file.into_iter().map(|(row, score)| [file.clone(), row.to_string(), format!("{score:.6}")]));
    }
    files::write(&run.out, ["file", "row", "score"], predictions)
}

fn scores(
    model: &Model,
    file: &str,
    readings: impl Iterator<Item = (Timestamp, Option<f64>)>,
) -> anyhow::Result<Vec<f64>> {
    let (at, values): (Vec<_>, Vec<_>) = readings.unzip();
    let length = at.len();
    let options = Options { history: true, explain: false, ..Options::default() };
    let series = Series::Reading(ReadingSeries { at, values });
    match model.judge(&Request { product: None, location: None, series, options }) {
        Ok(Answer::Scored(assessment)) => {
            Ok(assessment.history.iter().map(|signal| f64::from(signal.score.micros()) / 1e6).collect())
        }
        // Too short a stream, or one that ends without a reading, has nothing to stand out.
        Ok(Answer::InsufficientData { .. }) => Ok(vec![0.0; length]),
        Err(errors) => bail!("{file}: {errors:?}"),
    }
}
