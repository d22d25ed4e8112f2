//! The models beside what a data scientist would write in Python with the usual libraries, on the same rows, one thread
//! each: numpy and scipy, statsforecast, LightGBM, HiGHS. What Python answers is simpler; `python/judge.py` says what.

use std::{
    env, fs,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context as _, Result, ensure};

use crate::{
    Report,
    inputs::INPUTS,
    judge::Told,
    report::{Aim, Line},
};

/// The scripts, beside this file.
const SCRIPTS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/bench/python");

pub(crate) fn measure(report: &mut Report) -> Result<()> {
    let (python, folder) = (interpreter()?, env::temp_dir().join(format!("steward-bench-{}", std::process::id())));
    fs::create_dir_all(&folder)?;
    let measured = INPUTS.iter().try_for_each(|inputs| {
        let file = folder.join("rows.ndjson");
        fs::write(&file, inputs.text())?;
        let ours = told(Command::new(env::current_exe()?).arg("judge").arg(inputs.model).arg(&file))?;
        let theirs = told(single_threaded(&python, "judge.py").arg(inputs.model).arg(&file))?;
        let mut line = |what: &str, unit, ours, theirs, aim| {
            let (measure, yardstick) = (format!("{}: {what}", inputs.model), Some(("Python", theirs)));
            report.line(Line { measure, unit, ours, yardstick, aim });
        };
        line("judged in process", "rows/s", ours.judged, theirs.judged, Aim::RatioAtLeast(1.0));
        line("from text to text", "rows/s", ours.from_text, theirs.from_text, Aim::RatioAtLeast(10.0));
        line("peak memory", "MiB", ours.peak_mib, theirs.peak_mib, Aim::RatioAtMost(1.0));
        Ok(())
    });
    fs::remove_dir_all(&folder)?;
    measured
}

/// Runs a program whose last line is what it tells.
fn told(command: &mut Command) -> Result<Told> {
    let output = command.output()?;
    let printed = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    ensure!(output.status.success(), "{command:?} failed: {}{}", printed(&output.stdout), printed(&output.stderr));
    let text = String::from_utf8(output.stdout)?;
    Ok(serde_json::from_str(text.lines().last().context("it told nothing")?)?)
}

/// A script of ours, its libraries held to one thread.
pub(crate) fn single_threaded(python: &Path, script: &str) -> Command {
    let mut command = Command::new(python);
    command.arg(Path::new(SCRIPTS).join(script));
    for threads in ["OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMBA_NUM_THREADS"] {
        command.env(threads, "1");
    }
    command
}

/// Python with the libraries, installed when they are missing.
pub(crate) fn interpreter() -> Result<PathBuf> {
    let install = concat!(env!("CARGO_MANIFEST_DIR"), "/setup/install.sh");
    ensure!(Command::new(install).arg("python").status()?.success(), "{install} python failed");
    let home = || env::var_os("HOME").map(|home| PathBuf::from(home).join(".cache"));
    let cache = env::var_os("XDG_CACHE_HOME").map(PathBuf::from).or_else(home).context("HOME is not set")?;
    let python = cache.join("steward/python/bin/python");
    ensure!(
        python.exists(),
        "Python's libraries could not be installed; see {}",
        cache.join("steward/python.log").display()
    );
    Ok(python)
}
