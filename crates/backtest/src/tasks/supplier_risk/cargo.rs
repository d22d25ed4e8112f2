//! Transports at their checkpoints: each row is one transport with the milestones known by then.

use std::{collections::HashMap, path::Path};

use anyhow::{Context, bail};
use jiff::Timestamp;
use models::{
    Case, Judge,
    supplier_risk::shipment::{Answer, Leg, Milestone, Model, Options, Outcome, Request, Step, Transport},
};

use crate::{Run, files};

/// A row by the names of its columns: there are a hundred, four times the same set.
type Row = HashMap<String, String>;

/// Steps of a leg: column, milestone, and the column of the place where it is reached.
const STEPS: [(&str, Milestone, &str); 7] = [
    ("rcs", Milestone::Received, "dep_1_place"),
    ("dep_1", Milestone::Departed, "dep_1_place"),
    ("rcf_1", Milestone::Arrived, "rcf_1_place"),
    ("dep_2", Milestone::Connected, "dep_2_place"),
    ("rcf_2", Milestone::Arrived, "rcf_2_place"),
    ("dep_3", Milestone::Connected, "dep_3_place"),
    ("rcf_3", Milestone::Arrived, "rcf_3_place"),
];
/// Rows carry no clock: durations are relative, so any moment does.
const MOMENT: Timestamp = Timestamp::UNIX_EPOCH;

pub(in crate::tasks) fn eval(run: &Run) -> anyhow::Result<()> {
    let cases: Vec<_> =
        numbered(&run.train.join("supplier_risk/cargo2000.csv.gz"), case)?.collect::<anyhow::Result<_>>()?;
    let standard = Model::standard()?;
    let model = Model::new(Model::fit(standard.parameters(), "public", &cases, &mut |_| ())?)?;
    let mut predictions = Vec::new();
    for file in &run.inputs {
        let read = |row: &Row| Ok((request(row)?, text(row, "checkpoint")?.to_owned()));
        for row in numbered(file, read)? {
            let (request, checkpoint) = row?;
            let id = request.transport.id.clone();
            let late = match model.judge(&request) {
                Ok(Answer::Scored(answer)) => f64::from(answer.score.micros()) / 1e6,
                Ok(Answer::InsufficientData { missing, .. }) => bail!("case {id} cannot be judged: {missing:?}"),
                Err(errors) => bail!("case {id} is refused: {errors:?}"),
            };
            predictions.push([id, checkpoint, late.to_string()]);
        }
    }
    files::write(&run.out, ["case", "checkpoint", "p_late"], predictions)
}

/// Rows of a file, read each by `read`; what is wrong with one is told with its line, the first after the header being 2.
fn numbered<T>(
    file: &Path,
    read: impl Fn(&Row) -> anyhow::Result<T>,
) -> anyhow::Result<impl Iterator<Item = anyhow::Result<T>>> {
    let name = file.display().to_string();
    let rows = files::rows::<Row>(file)?.enumerate();
    Ok(rows.map(move |(index, row)| read(&row?).with_context(|| format!("{name}, line {}", index + 2))))
}

/// A finished transport, as it was before it began, and what its steps took.
fn case(row: &Row) -> anyhow::Result<Case<Request, Outcome>> {
    let mut request = request(row)?;
    let id = request.transport.id.clone();
    let mut finish = |leg: &mut Leg| -> anyhow::Result<Vec<f64>> {
        let took = leg.steps.iter_mut().map(|step| step.took_minutes.take());
        took.collect::<Option<_>>().with_context(|| format!("case {id} is not finished"))
    };
    let inbound = request.transport.inbound.iter_mut().map(&mut finish).collect::<anyhow::Result<_>>()?;
    let outbound = request.transport.outbound.as_mut().map(&mut finish).transpose()?.unwrap_or_default();
    Ok(Case { request, outcome: Outcome { inbound, outbound } })
}

fn request(row: &Row) -> anyhow::Result<Request> {
    let mut inbound = Vec::new();
    for name in ["i1", "i2", "i3"] {
        inbound.extend(leg(row, name)?);
    }
    let transport =
        Transport { id: text(row, "case")?.to_owned(), inbound, outbound: leg(row, "o")?, allowed_minutes: None };
    Ok(Request { transport, as_of: MOMENT, options: Options { explain: false } })
}

/// A leg of as many hops as it says; none of 0 hops.
fn leg(row: &Row, name: &str) -> anyhow::Result<Option<Leg>> {
    let hops: usize = text(row, &format!("{name}_hops"))?.parse().with_context(|| format!("{name}_hops"))?;
    if hops == 0 {
        return Ok(None);
    }
    if hops > 3 {
        bail!("{name}_hops is {hops}, at most 3 have columns");
    }
    let destination = format!("rcf_{hops}_place");
    let steps = STEPS.into_iter().take(1 + 2 * hops).chain([("dlv", Milestone::Delivered, destination.as_str())]);
    let step = |(column, until, place): (&str, Milestone, &str)| {
        let minutes = |kind: &str| number(row, &format!("{name}_{column}_{kind}"));
        let planned_minutes = minutes("p")?.with_context(|| format!("{name}_{column}_p is blank"))?;
        let place = text(row, &format!("{name}_{place}"))?.to_owned();
        Ok(Step { until, place, planned_minutes, took_minutes: minutes("e")?, elapsed_minutes: None })
    };
    Ok(Some(Leg { steps: steps.map(step).collect::<anyhow::Result<_>>()? }))
}

/// A number of minutes; `None` where the cell is blank.
fn number(row: &Row, column: &str) -> anyhow::Result<Option<f64>> {
    let cell = text(row, column)?;
    let parse = |cell: &str| cell.parse().with_context(|| format!("{column} is {cell:?}"));
    (!cell.is_empty()).then(|| parse(cell)).transpose()
}

fn text<'a>(row: &'a Row, column: &str) -> anyhow::Result<&'a str> {
    row.get(column).map(String::as_str).with_context(|| format!("no column {column}"))
}
