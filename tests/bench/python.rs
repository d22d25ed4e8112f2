//! Python with the libraries that data scientists use: what the models are held against.

use std::{
    env,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context as _, Result, ensure};

/// The scripts, beside this file.
const SCRIPTS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/bench/python");

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
