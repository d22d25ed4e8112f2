//! A test whose server is not installed is skipped for all to see, and fails in CI.

use anyhow::{Result, ensure};
use std::fs;
use std::process::{Command, Output};
use testkit::{Scratch, require};

#[test]
#[ignore = "run by the tests below, with an empty cache folder"]
fn needs_n8n() {
    require!(N8n);
    panic!("not skipped");
}

/// Runs `needs_n8n` where no n8n can be found.
fn run_without_n8n(scratch: &Scratch, ci: &str) -> Result<Output> {
    let missing = scratch.path().join("steward/missing");
    fs::create_dir_all(&missing)?;
    fs::write(missing.join("n8n"), "no network\n")?;
    let mut test = Command::new(std::env::current_exe()?);
    test.args(["--exact", "needs_n8n", "--ignored", "--nocapture"]).env("CI", ci);
    test.env("XDG_CACHE_HOME", scratch.path()).env("STEWARD_SKIPPED", scratch.path().join("skipped"));
    Ok(test.output()?)
}

#[test]
fn a_missing_tool_skips_the_test_and_names_the_test_and_the_reason() -> Result<()> {
    let scratch = Scratch::new("skip")?;
    let output = run_without_n8n(&scratch, "")?;
    ensure!(output.status.success(), "it failed: {output:?}");
    let line = "*** SKIPPED needs_n8n: not installed: n8n (no network) ***";
    ensure!(String::from_utf8_lossy(&output.stderr).contains(line), "it said: {output:?}");
    assert_eq!(fs::read_to_string(scratch.path().join("skipped"))?, format!("{line}\n"));
    Ok(())
}

#[test]
fn a_missing_tool_fails_the_test_in_ci() -> Result<()> {
    let scratch = Scratch::new("skip")?;
    let output = run_without_n8n(&scratch, "true")?;
    ensure!(!output.status.success(), "it passed: {output:?}");
    ensure!(!String::from_utf8_lossy(&output.stdout).contains("not skipped"), "it ran: {output:?}");
    Ok(())
}
