//! A model in a process of its own, on one thread, as `python/judge.py` runs its equivalent.

use std::{fs, hint::black_box, path::Path, time::Instant};

use anyhow::{Error, Result, bail};
use models::{Case, FitError, Judge, allocation, demand_signal, replenishment, replenishment_snapshot};
use serde::{Deserialize, Serialize, de::DeserializeOwned};

use crate::cost::resident;

/// What either side tells of itself.
#[derive(Serialize, Deserialize)]
pub(crate) struct Told {
    pub(crate) rows: usize,
    /// Rows a second, the input read already.
    pub(crate) judged: f64,
    /// Rows a second from JSON text to JSON text.
    pub(crate) from_text: f64,
    pub(crate) peak_mib: f64,
}

pub(crate) fn run(model: &str, file: &Path) -> Result<Told> {
    let text = fs::read_to_string(file)?;
    match model {
        "replenishment" => judged::<replenishment::Model, _>(&text, plain, |request| request),
        "demand-signal" => judged::<demand_signal::Model, _>(&text, plain, |request| request),
        "replenishment-snapshot" => judged::<replenishment_snapshot::Model, _>(&text, fitted, |case| &case.request),
        "allocation" => judged::<allocation::Model, _>(&text, plain, |request| request),
        _ => bail!("there is no model {model:?}"),
    }
}

fn plain<J: Judge>(_: &[J::Request]) -> Result<J> {
    Ok(J::standard()?)
}

/// Fitted to what it is asked, so that it has trees.
fn fitted<J: Judge>(cases: &[Case<J::Request, J::Outcome>]) -> Result<J>
where
    FitError: Into<Error>,
{
    let parameters = J::fit(J::standard()?.parameters(), "bench", cases, &mut |_| ())?;
    Ok(J::new(parameters)?)
}

fn judged<J: Judge, Row: DeserializeOwned>(
    text: &str,
    model: impl Fn(&[Row]) -> Result<J>,
    request: impl Fn(&Row) -> &J::Request,
) -> Result<Told> {
    let rows = text.lines().map(serde_json::from_str).collect::<Result<Vec<Row>, _>>()?;
    let model = model(&rows)?;
    let answer = |row: &Row| model.judge(request(row)).map_err(|errors| Error::msg(format!("refused: {errors:?}")));
    let judged =
        per_second(rows.len(), || rows.iter().try_for_each(|row| answer(row).map(|told| drop(black_box(told)))))?;
    let from_text = per_second(rows.len(), || {
        let mut out = Vec::new();
        for line in text.lines() {
            contracts::append_json(&mut out, &answer(&serde_json::from_str(line)?)?)?;
            out.push(b'\n');
        }
        black_box(out);
        Ok(())
    })?;
    let peak_mib = resident(std::process::id()).map_or(f64::NAN, |(_, peak)| peak);
    Ok(Told { rows: rows.len(), judged, from_text, peak_mib })
}

/// Again and again for at least a second.
#[expect(clippy::cast_precision_loss, reason = "far below 2^52")]
fn per_second(rows: usize, mut work: impl FnMut() -> Result<()>) -> Result<f64> {
    let (mut rounds, began) = (0, Instant::now());
    while rounds == 0 || began.elapsed().as_secs_f64() < 1.0 {
        work()?;
        rounds += 1;
    }
    Ok((rounds * rows) as f64 / began.elapsed().as_secs_f64())
}
