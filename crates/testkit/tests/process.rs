//! Processes end with their descendants, in every way a test can end.

use anyhow::{Context as _, Result, ensure};
use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;
use testkit::{Process, Program, Redis, eventually, require};

const SOON: Duration = Duration::from_secs(10);

fn shell(script: &str) -> Program {
    Program::new("/bin/sh").args(["-c", script])
}

async fn logged(process: &Process, word: &str) -> String {
    eventually(SOON, &format!("{word} is in the log"), async || {
        let log = process.log();
        ensure!(log.contains(word), "the log is {log:?}");
        Ok(log)
    })
    .await
}

fn lives(pid: &str) -> bool {
    // A zombie has ended; only its parent has not asked yet.
    let status = std::fs::read_to_string(format!("/proc/{}/status", pid.trim())).unwrap_or_default();
    !status.is_empty() && !status.contains("State:\tZ")
}

#[tokio::test]
async fn terminate_lets_a_program_end_in_its_own_way() -> Result<()> {
    let mut process = Process::start(shell("trap 'echo bye; exit 3' TERM; echo ready; while :; do sleep 0.05; done"))?;
    logged(&process, "ready").await;
    assert_eq!(process.terminate().await?.code(), Some(3));
    ensure!(process.log().ends_with("bye\n"), "the log is {:?}", process.log());
    process.start_again()?;
    logged(&process, "bye\nready").await;
    Ok(())
}

#[tokio::test]
async fn terminate_kills_what_does_not_listen_and_says_so() -> Result<()> {
    let stubborn = shell("trap '' TERM; echo ready; while :; do sleep 0.05; done").patience(Duration::from_millis(200));
    let mut process = Process::start(stubborn)?;
    logged(&process, "ready").await;
    let failure = process.terminate().await.err().context("it ended")?;
    ensure!(format!("{failure:#}").contains("SIGTERM was not enough"), "{failure:#}");
    assert_eq!(process.pid(), None);
    Ok(())
}

#[tokio::test]
async fn a_descendant_that_left_the_process_group_ends_as_well() -> Result<()> {
    let process = Process::start(shell("setsid sh -c 'echo $$ ready; exec sleep 1000' & sleep 1000"))?;
    let log = logged(&process, "ready").await;
    let runaway = log.split(' ').next().context("no process id")?.to_owned();
    ensure!(lives(&runaway), "it never lived");
    let folder = process.log_path();
    drop(process);
    ensure!(!lives(&runaway), "{runaway} still lives");
    ensure!(!folder.exists(), "{} is still there", folder.display());
    Ok(())
}

#[tokio::test]
async fn waiting_for_a_program_that_has_ended_fails_at_once_and_shows_its_log() -> Result<()> {
    let mut process = Process::start(shell("echo no such table; exit 1"))?;
    let asked = std::time::Instant::now();
    let failure = process.wait_ready("http://127.0.0.1:9/", Duration::from_secs(60)).await.err().context("ready?")?;
    ensure!(asked.elapsed() < SOON, "it took {:?}", asked.elapsed());
    ensure!(format!("{failure:#}").contains("no such table"), "{failure:#}");
    Ok(())
}

#[tokio::test]
async fn settings_of_the_developer_do_not_reach_a_program() -> Result<()> {
    // cargo itself sets this one for every test.
    ensure!(std::env::var_os("CARGO_MANIFEST_DIR").is_some(), "not run by cargo");
    let seen = shell("env").env("STEWARD__PORT", "1").run(SOON).await?;
    ensure!(seen.contains("STEWARD__PORT=1") && !seen.contains("CARGO_MANIFEST_DIR"), "it saw {seen}");
    Ok(())
}

#[tokio::test]
async fn a_failed_run_tells_what_it_printed() -> Result<()> {
    let failure = shell("echo out; echo err >&2; exit 7").run(SOON).await.err().context("it succeeded")?;
    let text = format!("{failure:#}");
    ensure!(text.contains("exit status: 7") && text.contains("out\nerr"), "{text}");
    Ok(())
}

/// The victim of the next test: starts a server and a runaway, says where they are, and waits to be killed.
#[tokio::test]
#[ignore = "started and killed by a_killed_test_process_leaves_nothing"]
async fn victim() -> Result<()> {
    let redis = Redis::start().await?;
    let process = Process::start(shell("setsid sh -c 'echo $$ ready; exec sleep 1000' & sleep 1000"))?;
    let log = logged(&process, "ready").await;
    let runaway = log.split(' ').next().context("no process id")?.to_owned();
    std::fs::write(
        std::env::var("VICTIM_NOTE")?,
        format!("{} {runaway} {}", redis.port(), process.log_path().display()),
    )?;
    std::future::pending().await
}

#[tokio::test]
async fn a_killed_test_process_leaves_nothing() -> Result<()> {
    require!(Redis);
    let scratch = testkit::Scratch::new("note")?;
    let note = scratch.path().join("note");
    let mut victim = Command::new(std::env::current_exe()?)
        .args(["--exact", "victim", "--ignored", "--nocapture"])
        .env("VICTIM_NOTE", &note)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()?;
    let told = testkit::poll(SOON, "the victim is set up", async || {
        std::fs::read_to_string(&note).ok().filter(|note| note.split(' ').count() == 3).context("no note yet")
    })
    .await;
    victim.kill()?;
    victim.wait()?;
    let complaints: Vec<String> =
        BufReader::new(victim.stderr.take().context("piped")?).lines().map_while(Result::ok).collect();
    let told = told.with_context(|| complaints.join("\n"))?;
    let parts: Vec<&str> = told.split(' ').collect();
    let [port, runaway, log] = parts.as_slice() else { anyhow::bail!("the note says {told}") };
    let port: u16 = port.parse()?;
    eventually(SOON, "server, runaway and folder are gone", async || {
        ensure!(tokio::net::TcpStream::connect(("127.0.0.1", port)).await.is_err(), "the server still listens");
        ensure!(!lives(runaway), "the runaway still lives");
        ensure!(!Path::new(log).exists(), "the folder is still there");
        Ok(())
    })
    .await;
    Ok(())
}
