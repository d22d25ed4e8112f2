//! The fault test on real servers with the large stream: kill -9, restarts and lying peers, 0 lost and 0 doubled.

use std::{
    process::Stdio,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, ensure};
use tokio::process::Command;

use crate::{
    Report,
    report::{Aim, Line},
};

const EVENTS: &str = "20000";
const PATIENCE: Duration = Duration::from_secs(3600);

pub(crate) async fn measure(report: &mut Report) -> Result<()> {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut test = Command::new(cargo);
    test.args(["test", "--release", "-p", "steward-e2e", "--test", "faults", "--", "--nocapture", "--test-threads=1"]);
    test.env("STEWARD_FAULT_EVENTS", EVENTS).stdin(Stdio::null()).kill_on_drop(true);
    let began = Instant::now();
    let ended = tokio::time::timeout(PATIENCE, test.status()).await.context("the fault test does not end")??;
    ensure!(ended.success(), "the fault test with {EVENTS} events: {ended}");
    report.line(Line {
        measure: format!("faults: {EVENTS} events through them, nothing lost, nothing doubled"),
        unit: "min",
        ours: began.elapsed().as_secs_f64() / 60.0,
        yardstick: None,
        aim: Aim::None,
    });
    Ok(())
}
