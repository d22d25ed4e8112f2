//! How good the models are on public data, beside the classical rules recomputed in Python on the same split by time:
//! fitted to the earlier part, judged on the later one. `python/public.py` says what each rule is.

use std::{env, fs};

use anyhow::{Context as _, Result, ensure};
use serde_json::Value;

use crate::{Report, python};

pub(crate) fn measure(report: &mut Report) -> Result<()> {
    let python = python::interpreter()?;
    let target = env::current_exe()?.ancestors().nth(2).context("no target folder")?.to_path_buf();
    let table = target.join("public.json");
    let mut script = python::single_threaded(&python, "public.py");
    let done = script.arg(target.join("steward")).arg(&table).status()?;
    ensure!(done.success(), "{script:?} failed");
    let figures: Value = serde_json::from_str(&fs::read_to_string(&table)?)?;
    let text = figures["table"].as_str().context("public.py told no table")?;
    report.note(format!("on public data:\n{text}"));
    Ok(())
}
