//! A model in a process of its own, on one thread, as `python/judge.py` runs its equivalent.

use std::{fs, hint::black_box, path::Path, time::Instant};

use anyhow::{Error, Result, bail};
use models::{
    Judge, allocation, demand_signal, inventory_exception, replenishment, replenishment_snapshot, supplier_risk,
};
use serde::{Deserialize, Serialize};

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

/// Asks a model what the lines of the file ask; it judges by these parameters, or those that it is shipped with.
pub(crate) fn run(model: &str, file: &Path, parameters: Option<&Path>) -> Result<Told> {
    let (text, parameters) = (fs::read_to_string(file)?, parameters.map(fs::read_to_string).transpose()?);
    let parameters = parameters.as_deref();
    match model {
        "replenishment" => judged::<replenishment::Model>(&text, parameters),
        "replenishment-snapshot" => judged::<replenishment_snapshot::Model>(&text, parameters),
        "demand-signal" => judged::<demand_signal::Model>(&text, parameters),
        "demand-signal-hours" => judged::<demand_signal::hours::Model>(&text, parameters),
        "supplier-risk" => judged::<supplier_risk::purchase::Model>(&text, parameters),
        "shipment-risk" => judged::<supplier_risk::shipment::Model>(&text, parameters),
        "inventory-exception" => judged::<inventory_exception::Model>(&text, parameters),
        "allocation" => judged::<allocation::Model>(&text, parameters),
        _ => bail!("there is no model {model:?}"),
    }
}

fn judged<J: Judge>(text: &str, parameters: Option<&str>) -> Result<Told> {
    let model = J::from_json(parameters.unwrap_or(J::STANDARD))?;
    let rows = text.lines().map(serde_json::from_str).collect::<Result<Vec<J::Request>, _>>()?;
    let answer = |row: &J::Request| model.judge(row).map_err(|errors| Error::msg(format!("refused: {errors:?}")));
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
