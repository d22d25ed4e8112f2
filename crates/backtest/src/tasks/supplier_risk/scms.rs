//! Purchase lines in the order of events: each is judged on what was known when it was ordered.

use anyhow::{Context, bail};
use contracts::SupplierId;
use jiff::{civil::Date, tz::TimeZone};
use models::{
    Judge,
    supplier_risk::purchase::{Answer, History, Line, Model, Options, Request},
};
use serde::Deserialize;

use crate::{Run, files};

/// An ordered line, in the public table and in the stream alike.
#[derive(Deserialize)]
struct Ordered {
    id: u64,
    ordered: Date,
    promised: Date,
    country: String,
    project: String,
    fulfill_via: String,
    mode: String,
    vendor: String,
}

/// A row of the public table: a line and, when it was known by then, its receipt.
#[derive(Deserialize)]
struct Past {
    #[serde(flatten)]
    ordered: Ordered,
    known: Option<Date>,
    delay_days: Option<f64>,
}

#[derive(Deserialize)]
#[serde(tag = "ev", rename_all = "lowercase")]
enum Event {
    Line(Ordered),
    Receipt { date: Date, id: u64, delay_days: f64 },
}

pub(in crate::tasks) fn eval(run: &Run) -> anyhow::Result<()> {
    let model = Model::standard()?;
    let past = run.train.join("supplier_risk/scms_lines.csv.gz");
    let past: Vec<Past> = files::rows(&past)?.collect::<anyhow::Result<_>>()?;
    let mut history = replayed(past, &model)?;
    let mut predictions = Vec::new();
    for file in &run.inputs {
        for event in files::lines::<Event>(file)? {
            match event? {
                Event::Line(ordered) => predictions.push(predicted(&model, &mut history, ordered)?),
                Event::Receipt { date, id, delay_days } => {
                    history.receive(&id.to_string(), date, whole(delay_days)?);
                }
            }
        }
    }
    files::write(&run.out, ["id", "p_late", "delay_days"], predictions)
}

/// The public lines and their receipts, told in the order of days; a line comes before a receipt of the same day.
fn replayed(past: Vec<Past>, model: &Model) -> anyhow::Result<History> {
    let mut history = History::new(model.parameters().memory);
    let mut receipts = Vec::new();
    let mut lines = Vec::with_capacity(past.len());
    for Past { ordered, known, delay_days } in past {
        if let (Some(known), Some(delay)) = (known, delay_days) {
            receipts.push((known, ordered.id, whole(delay)?));
        }
        lines.push(line(ordered)?);
    }
    lines.sort_by_key(|line| line.ordered);
    receipts.sort_unstable();
    let mut receipts = receipts.into_iter().peekable();
    for line in lines {
        while let Some((known, id, delay)) = receipts.next_if(|(known, ..)| *known < line.ordered) {
            history.receive(&id.to_string(), known, delay);
        }
        history.order(line);
    }
    for (known, id, delay) in receipts {
        history.receive(&id.to_string(), known, delay);
    }
    Ok(history)
}

fn predicted(model: &Model, history: &mut History, ordered: Ordered) -> anyhow::Result<[String; 3]> {
    let line = line(ordered)?;
    history.order(line.clone());
    let id = line.id.clone();
    let request = Request {
        as_of: line.ordered.to_zoned(TimeZone::UTC)?.timestamp(),
        evidence: Some(history.evidence(&line)),
        line,
        options: Options { explain: false },
    };
    match model.judge(&request) {
        Ok(Answer::Scored(answer)) => {
            Ok([id, (f64::from(answer.score.micros()) / 1e6).to_string(), answer.delay.mean.to_string()])
        }
        Ok(Answer::InsufficientData { missing, .. }) => bail!("line {id} cannot be judged: {missing:?}"),
        Err(errors) => bail!("line {id} is refused: {errors:?}"),
    }
}

fn line(ordered: Ordered) -> anyhow::Result<Line> {
    Ok(Line {
        id: ordered.id.to_string(),
        supplier: supplier(&ordered.vendor)?,
        channel: ordered.fulfill_via,
        mode: ordered.mode,
        destination: ordered.country,
        account: ordered.project,
        ordered: ordered.ordered,
        promised: ordered.promised,
        slack_days: 0,
        cost_per_day: None,
    })
}

/// The vendor's name as an identifier, which has neither spaces nor more than 64 bytes.
fn supplier(vendor: &str) -> anyhow::Result<SupplierId> {
    let id: String = vendor.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '-' }).take(64).collect();
    SupplierId::new(id).with_context(|| format!("vendor {vendor:?}"))
}

/// Delays are whole days, though written with a decimal point.
fn whole(days: f64) -> anyhow::Result<i16> {
    // Checked to be a whole number within the range of the target type.
    if days.fract() == 0.0 && days.abs() <= f64::from(i16::MAX) {
        Ok(days as i16)
    } else {
        bail!("delay of {days} days")
    }
}
