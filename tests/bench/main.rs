//! `make bench`: what Steward does in a second, each figure beside a yardstick measured in the same run on the same
//! servers, because seconds alone say more about the machine than about the program.
//!
//! `make bench ONLY="path hook"` runs some of the measures. All servers are private and durable: PostgreSQL with fsync,
//! RabbitMQ with quorum queues. The table is printed and written to `target/bench.json`.

mod audit;
mod broker;
mod command;
mod cost;
mod faults;
mod generator;
mod governance;
mod ground;
mod hook;
mod inputs;
mod judge;
mod laptop;
mod load;
mod ndjson;
mod path;
mod probe;
mod public;
mod python;
mod report;
mod rounds;
mod rows;
mod timers;

use std::{path::Path, process::ExitCode, time::Instant};

use anyhow::{Context as _, Result, bail, ensure};
use testkit::{Tool, all_installed};

use crate::report::Line;

const MEASURES: [&str; 13] = [
    "generator",
    "path",
    "command",
    "timers",
    "hook",
    "ndjson",
    "models",
    "laptop",
    "audit",
    "policy",
    "public",
    "stream-10g",
    FAULTS,
];
/// Only when asked for by name: they take long.
const ON_REQUEST: [&str; 3] = ["public", "stream-10g", FAULTS];
const FAULTS: &str = "faults";

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    match args.first().map(String::as_str) {
        Some("probe") => chassis::host::run_main(|_| Ok(vec![probe::service()])),
        Some("nothing") => {
            let port = args.get(1).and_then(|port| port.parse().ok()).unwrap_or(0);
            generator::serve(port).map_or(ExitCode::FAILURE, |()| ExitCode::SUCCESS)
        }
        Some("judge") => outcome(judged(&args).map(|told| say(&told))),
        // cargo adds `--bench`.
        _ => outcome(bench(args.into_iter().filter(|arg| !arg.starts_with('-')).collect())),
    }
}

fn outcome(done: Result<()>) -> ExitCode {
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            say(&format!("{error:#}"));
            ExitCode::FAILURE
        }
    }
}

/// `judge MODEL FILE [PARAMETERS]`, a part of the measure `models`.
fn judged(args: &[String]) -> Result<String> {
    let [_, model, file, parameters @ ..] = args else { bail!("judge MODEL FILE [PARAMETERS]") };
    Ok(serde_json::to_string(&judge::run(model, Path::new(file), parameters.first().map(Path::new))?)?)
}

/// What has been measured so far.
#[derive(Default)]
pub(crate) struct Report {
    lines: Vec<Line>,
    notes: Vec<String>,
}

impl Report {
    pub(crate) fn line(&mut self, line: Line) {
        self.lines.push(line);
    }

    /// Something that explains a figure: printed at once, and kept.
    pub(crate) fn note(&mut self, note: String) {
        say(&format!("    {note}"));
        self.notes.push(note);
    }
}

#[tokio::main]
async fn bench(only: Vec<String>) -> Result<()> {
    for name in &only {
        ensure!(MEASURES.contains(&name.as_str()), "there is no measure {name:?}; there are {}", MEASURES.join(", "));
    }
    let tools = [Tool::Postgres, Tool::RabbitMq, Tool::N8n];
    ensure!(all_installed(&tools), "run `make setup` first");
    testkit::install_tls_provider();
    let mut report = Report::default();
    let wanted = |name: &str| {
        if only.is_empty() { !ON_REQUEST.contains(&name) } else { only.iter().any(|one| one == name) }
    };
    for name in MEASURES.into_iter().filter(|name| wanted(name)) {
        let began = Instant::now();
        say(&format!("==> {name}"));
        let measured = match name {
            "generator" => generator::measure(&mut report).await,
            "path" => path::measure(&mut report).await,
            "command" => command::measure(&mut report).await,
            "timers" => timers::measure(&mut report).await,
            "hook" => hook::measure(&mut report).await,
            "ndjson" => ndjson::measure(&mut report).await,
            "models" => rows::measure(&mut report).await,
            "laptop" => laptop::measure(&mut report).await,
            "audit" => audit::measure(&mut report).await,
            "policy" => governance::measure(&mut report).await,
            "public" => public::measure(&mut report),
            "stream-10g" => ndjson::endless(&mut report).await,
            _ => faults::measure(&mut report).await,
        };
        measured.with_context(|| format!("the measure {name} failed"))?;
        say(&format!("    {:.0} s", began.elapsed().as_secs_f64()));
    }
    say(&format!("\n{}", report::table(&report.lines)));
    // target/release/deps/bench-<hash>
    let program = std::env::current_exe()?;
    let target = program.ancestors().nth(3).context("the bench runs outside of a target folder")?;
    report::write_json(&report.lines, &report.notes, &target.join("bench.json"))
}

#[expect(clippy::print_stdout, reason = "the table is what the program is for")]
fn say(text: &str) {
    println!("{text}");
}
