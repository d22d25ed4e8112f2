//! `steward up` on SQLite: how much memory it holds when nothing happens, and how soon it is ready. Beside it n8n, which
//! stands on the same laptop.

use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use testkit::{N8n, N8nConfig, Process, Program, Scratch, free_port};

use crate::{
    Report,
    cost::{resident, resident_descendants},
    report::{Aim, Line},
    rounds::median,
};

const STARTS: usize = 10;
const IDLE: Duration = Duration::from_secs(30);
const PATIENCE: Duration = Duration::from_secs(60);

pub(crate) async fn measure(report: &mut Report) -> Result<()> {
    let folder = Scratch::new("laptop")?;
    let mut took = Vec::new();
    for _ in 0..STARTS {
        let (mut process, ready) = up(&folder).await?;
        took.push(ready);
        process.terminate().await?;
    }
    let (mut process, _) = up(&folder).await?;
    let mut n8n = N8n::start(N8nConfig::default()).await?;
    tokio::time::sleep(IDLE).await;
    let pid = process.pid().context("steward has ended")?;
    let ours = resident(pid).context("steward has ended")?.0;
    // Nothing else runs now.
    let theirs = resident_descendants() - ours;
    n8n.stop().await?;
    let began = Instant::now();
    n8n.start_again().await?;
    let n8n_ready = began.elapsed().as_secs_f64() * 1000.0;
    report.line(Line {
        measure: format!("laptop: memory of `steward up` after {} s idle", IDLE.as_secs()),
        unit: "MiB",
        ours,
        yardstick: Some(("n8n", theirs)),
        aim: Aim::None,
    });
    report.line(Line {
        measure: format!("laptop: start to ready, median of {STARTS}"),
        unit: "ms",
        ours: median(&took, |took| *took),
        yardstick: Some(("n8n", n8n_ready)),
        aim: Aim::None,
    });
    Ok(())
}

/// Milliseconds from the start of the process to the first good answer of `/readyz`.
async fn up(folder: &Scratch) -> Result<(Process, f64)> {
    let port = free_port();
    let data = folder.path().join("data").display().to_string();
    let args = ["up", "--port", &port.to_string(), "--data-dir", &data].map(str::to_owned);
    let program = Program::built("steward")?.args(args);
    let url = format!("http://127.0.0.1:{port}/readyz");
    let began = Instant::now();
    let mut process = Process::start(program)?;
    process.wait_ready(&url, PATIENCE).await?;
    Ok((process, began.elapsed().as_secs_f64() * 1000.0))
}
