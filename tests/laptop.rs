//! `steward up` on a laptop: nothing to install, nothing to prepare, no surprises at the end.

use std::{fs, path::Path, time::Duration};

use anyhow::{Context as _, Result, ensure};
use reqwest::Client;
use testkit::{Process, Program, Scratch, free_port};
use wiremock::{
    Mock, MockServer, ResponseTemplate,
    matchers::{method, path},
};

/// Measured at a quarter of a second; a busy machine gets its share.
const READY: Duration = Duration::from_secs(10);
/// Longest drain, and what lies around it.
const END: Duration = Duration::from_secs(25);

fn steward() -> Result<Program> {
    Program::built("steward")
}

async fn up(data: &Path) -> Result<(Process, String)> {
    start(steward()?, data).await
}

async fn start(program: Program, data: &Path) -> Result<(Process, String)> {
    let port = free_port();
    let args = ["up", "--port", &port.to_string(), "--data-dir", &data.display().to_string()].map(str::to_owned);
    let mut process = Process::start(program.args(args).patience(END))?;
    let base = format!("http://127.0.0.1:{port}");
    process.wait_ready(&format!("{base}/readyz"), READY).await?;
    Ok((process, base))
}

async fn fetch(url: &str) -> Result<String> {
    let answer = Client::new().get(url).send().await?;
    let (status, text) = (answer.status(), answer.text().await?);
    ensure!(status == 200, "{url} answered {status}: {text}");
    Ok(text)
}

#[tokio::test]
async fn it_starts_in_an_empty_folder_ends_when_asked_and_starts_again_on_what_it_left() -> Result<()> {
    let folder = Scratch::new("laptop")?;
    let data = folder.path().join("data");
    let (mut process, base) = up(&data).await?;
    for service in ["scoring", "approvals", "supply", "notify"] {
        let page = fetch(&format!("{base}/{service}/docs/")).await?;
        ensure!(page.contains("swagger"), "the docs of {service} are no Swagger page: {page}");
        fetch(&format!("{base}/{service}/openapi.json")).await?;
    }
    let printed = process.log();
    for told in [base.as_str(), "sign-in?token=", "steward demo"] {
        ensure!(printed.contains(told), "it does not say {told:?}: {printed}");
    }
    let keys = fs::read_to_string(data.join("keys.yaml"))?;
    ensure!(process.terminate().await?.success(), "it did not end well:\n{}", process.log());

    let (mut again, base) = up(&data).await?;
    fetch(&format!("{base}/readyz")).await?;
    ensure!(fs::read_to_string(data.join("keys.yaml"))? == keys, "the second start made other keys");
    ensure!(again.terminate().await?.success(), "the second start did not end well:\n{}", again.log());
    Ok(())
}

#[tokio::test]
async fn a_caller_s_trace_reaches_the_collector_before_the_process_ends() -> Result<()> {
    const TRACE: u128 = 0x4bf9_2f35_77b3_4da6_a3ce_929d_0e0e_4736;
    let collector = MockServer::start().await;
    Mock::given(method("POST"))
        .and(path("/v1/traces"))
        .respond_with(ResponseTemplate::new(200))
        .mount(&collector)
        .await;
    let folder = Scratch::new("laptop")?;
    let program = steward()?.env("STEWARD__TELEMETRY__OTLP_ENDPOINT", collector.uri());
    let (mut process, base) = start(program, &folder.path().join("data")).await?;
    let traceparent = format!("00-{TRACE:032x}-00f067aa0ba902b7-01");
    let answer = Client::new().get(format!("{base}/supply/v1/audit")).header("traceparent", traceparent).send().await?;
    ensure!(answer.status() == 401, "a stranger was answered {}", answer.status());
    ensure!(process.terminate().await?.success(), "it did not end well:\n{}", process.log());
    let exports = collector.received_requests().await.context("nothing was recorded")?;
    let id = TRACE.to_be_bytes();
    let told = exports.iter().any(|export| export.body.windows(id.len()).any(|window| window == id));
    ensure!(told, "none of {} exports holds the caller's trace id", exports.len());
    Ok(())
}

#[tokio::test]
async fn a_wrong_configuration_is_told_all_at_once_with_exit_code_2() -> Result<()> {
    let folder = Scratch::new("laptop")?;
    let config = folder.path().join("wrong.yaml");
    fs::write(
        &config,
        "http: {worker: 3, drain_seconds: 0}\nnotify: {smtp: {from: nobody}}\nsupply: {sweep_seconds: 0}\n",
    )?;
    let data = folder.path().join("data").display().to_string();
    let args = ["up", "--port", "0", "--data-dir", &data, "--config", &config.display().to_string()].map(str::to_owned);
    let mut process = Process::start(steward()?.args(args))?;
    let status = process.wait_exit(READY).await?;
    let told = process.log();
    ensure!(status.code() == Some(2), "exit code {:?}: {told}", status.code());
    for key in ["http.worker", "http.drain_seconds", "notify.smtp.from", "supply.sweep_seconds"] {
        ensure!(told.contains(key), "nothing is said about {key}: {told}");
    }
    ensure!(told.contains("workers"), "the nearest known key is not named: {told}");
    Ok(())
}

#[tokio::test]
async fn the_demo_plays_all_seven_steps() -> Result<()> {
    let folder = Scratch::new("laptop")?;
    let data = folder.path().join("data").display().to_string();
    let args = ["demo", "--data-dir", &data].map(str::to_owned);
    let printed = steward()?.args(args).run(Duration::from_secs(120)).await?;
    let printed = printed.to_lowercase();
    let steps = ["taken in", "scored", "passed", "asked", "approved", "drafted", "told"];
    let missing: Vec<_> = steps.into_iter().filter(|step| !printed.contains(step)).collect();
    ensure!(missing.is_empty(), "the demo does not tell {missing:?}:\n{printed}");
    ensure!(printed.contains("replay"), "it does not say that its Odoo is the replayed one:\n{printed}");
    printed.lines().next().context("the demo printed nothing")?;
    Ok(())
}
