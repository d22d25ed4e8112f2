//! Each server starts, does one real thing, ends, and leaves neither a process nor a folder.

use anyhow::{Context as _, Result, ensure};
use serde_json::json;
use std::fs;
use std::net::Ipv4Addr;
use std::path::PathBuf;
use std::time::Duration;
use testkit::{Browser, N8n, N8nConfig, Postgres, Program, RabbitMq, Redis, SmtpSink, Tool, eventually, require};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Mutex, MutexGuard};

const SOON: Duration = Duration::from_secs(20);

/// One test at a time: what another one has running is not what this one left behind.
async fn alone() -> MutexGuard<'static, ()> {
    static ALONE: Mutex<()> = Mutex::const_new(());
    ALONE.lock().await
}

/// Processes and folders of this test process.
fn left_behind() -> Result<Vec<String>> {
    let me = std::process::id();
    let (mark, folder) = (format!("STEWARD_TESTKIT={me}-"), format!("-{me}-"));
    let mut left = Vec::new();
    for process in fs::read_dir("/proc")?.flatten().map(|entry| entry.path()) {
        let environment = fs::read(process.join("environ")).unwrap_or_default();
        if environment.split(|byte| *byte == 0).any(|variable| variable.starts_with(mark.as_bytes())) {
            left.push(fs::read_to_string(process.join("cmdline")).unwrap_or_default());
        }
    }
    let entries = fs::read_dir(std::env::temp_dir())?.flatten().map(|entry| entry.file_name());
    let names = entries.filter_map(|name| name.into_string().ok());
    left.extend(names.filter(|name| name.starts_with("steward-") && name.contains(&folder)));
    Ok(left)
}

async fn assert_gone(port: u16) -> Result<()> {
    ensure!(!is_open(port).await, "something still listens on port {port}");
    let left = left_behind()?;
    ensure!(left.is_empty(), "left behind: {left:?}");
    Ok(())
}

async fn is_open(port: u16) -> bool {
    TcpStream::connect((Ipv4Addr::LOCALHOST, port)).await.is_ok()
}

async fn psql(url: &str, sql: &str) -> Result<String> {
    let server = Tool::Postgres.find().context("not installed")?;
    Ok(Program::new(server.with_file_name("psql")).args([url, "-Atc", sql]).run(SOON).await?.trim().to_owned())
}

#[tokio::test]
async fn postgres_keeps_commits_over_a_restart_and_a_kill_and_leaves_nothing() -> Result<()> {
    require!(Postgres);
    let _alone = alone().await;
    let mut postgres = Postgres::start().await?;
    let url = postgres.create_database("shop").await?;
    psql(&url, "CREATE TABLE stock (sku TEXT); INSERT INTO stock VALUES ('tea')").await?;
    postgres.restart().await?;
    psql(&url, "INSERT INTO stock VALUES ('jam')").await?;
    postgres.kill9();
    ensure!(!is_open(postgres.port()).await, "it survived kill -9");
    postgres.start_again().await?;
    let open = Program::new(Tool::Postgres.find().context("not installed")?.with_file_name("psql"));
    let open = open.args([&url, "-c", "BEGIN; INSERT INTO stock VALUES ('milk'); SELECT pg_sleep(60)"]);
    let (cut, stopped) = tokio::join!(open.run(SOON), async {
        tokio::time::sleep(Duration::from_millis(500)).await;
        postgres.stop_at_once().await
    });
    stopped?;
    ensure!(cut.is_err(), "a transaction outlived the server");
    postgres.start_again().await?;
    assert_eq!(psql(&url, "SELECT string_agg(sku, ',') FROM stock").await?, "tea,jam");
    let port = postgres.port();
    drop(postgres);
    assert_gone(port).await
}

#[tokio::test]
async fn rabbitmq_keeps_its_data_over_a_stop_and_a_kill_and_leaves_nothing() -> Result<()> {
    require!(RabbitMq);
    let _alone = alone().await;
    let mut rabbitmq = RabbitMq::start().await?;
    rabbitmq.ctl(&["add_vhost", "shop"]).await?;
    rabbitmq.stop().await?;
    ensure!(!is_open(rabbitmq.port()).await, "it survived its stop");
    rabbitmq.start_again().await?;
    rabbitmq.ctl(&["add_vhost", "warehouse"]).await?;
    rabbitmq.kill9();
    rabbitmq.start_again().await?;
    let hosts = rabbitmq.ctl(&["-q", "list_vhosts"]).await?;
    ensure!(hosts.contains("shop") && hosts.contains("warehouse"), "virtual hosts: {hosts}");
    for (raised, alarms) in [(true, "memory"), (false, "[]")] {
        rabbitmq.alarm(raised).await?;
        let raised = async || {
            let now = rabbitmq.ctl(&["eval", "rabbit_alarm:get_alarms()."]).await?;
            ensure!(now.contains(alarms), "its alarms are {now}");
            Ok(())
        };
        eventually(SOON, "the alarm is raised, and cleared again", raised).await;
    }
    ensure!(rabbitmq.queues().await?.is_empty(), "there are queues that nobody declared");
    let port = rabbitmq.port();
    drop(rabbitmq);
    assert_gone(port).await
}

/// One command in Redis' inline form.
async fn redis(port: u16, command: &str) -> Result<String> {
    let mut connection = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).await?;
    connection.write_all(format!("{command}\r\nQUIT\r\n").as_bytes()).await?;
    let mut answer = String::new();
    connection.read_to_string(&mut answer).await?;
    Ok(answer)
}

#[tokio::test]
async fn redis_serves_forgets_when_stopped_and_leaves_nothing() -> Result<()> {
    require!(Redis);
    let _alone = alone().await;
    let mut server = Redis::start().await?;
    let port = server.port();
    redis(port, "SET sku tea").await?;
    assert_eq!(redis(port, "GET sku").await?, "$3\r\ntea\r\n+OK\r\n");
    server.stop().await?;
    ensure!(!is_open(port).await, "it survived its stop");
    server.start_again().await?;
    assert_eq!(redis(port, "GET sku").await?, "$-1\r\n+OK\r\n");
    drop(server);
    assert_gone(port).await
}

const MAIL: &str = "From: Steward <steward@example.test>\r\nTo: Ann <ann@example.test>\r\n\
    Subject: =?utf-8?Q?Approve_50_=C3=97_tea=3F?=\r\nMessage-ID: <m1@example.test>\r\nMIME-Version: 1.0\r\n\
    Content-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\n\
    Decide here: <http://127.0.0.1:8080/approvals/v1/decide?t=3Dabc=\r\ndef>\r\n..and be quick.\r\n";

#[tokio::test]
async fn the_smtp_sink_reads_a_link_out_of_a_quoted_printable_mail() -> Result<()> {
    let sink = SmtpSink::start().await?;
    let mut client = TcpStream::connect((Ipv4Addr::LOCALHOST, sink.port())).await?;
    let envelope = "EHLO me\r\nMAIL FROM:<bounce@example.test>\r\nRCPT TO:<ann@example.test>\r\nDATA\r\n";
    client.write_all(format!("{envelope}{MAIL}.\r\nQUIT\r\n").as_bytes()).await?;
    let mail = sink.wait_for(|mail| mail.subject.contains("tea"), SOON).await?;
    let mut answers = String::new();
    client.read_to_string(&mut answers).await?;
    ensure!(answers.ends_with("250 kept\r\n221 bye\r\n"), "it answered {answers}");
    assert_eq!(mail.subject, "Approve 50 × tea?");
    assert_eq!(
        (mail.from.as_str(), mail.to.as_slice()),
        ("bounce@example.test", ["ann@example.test".to_owned()].as_slice())
    );
    assert_eq!(mail.header_to, ["ann@example.test"]);
    assert_eq!(mail.message_id, "m1@example.test");
    assert_eq!(mail.link("decide"), Some("http://127.0.0.1:8080/approvals/v1/decide?t=abcdef"));
    ensure!(mail.body_text.contains("\n.and be quick."), "the dot stayed stuffed: {}", mail.body_text);
    let port = sink.port();
    drop(sink);
    eventually(SOON, "the sink is closed", async || {
        ensure!(!is_open(port).await, "it still listens");
        Ok(())
    })
    .await;
    Ok(())
}

#[tokio::test]
async fn a_held_receipt_comes_after_the_mail_is_kept() -> Result<()> {
    let sink = SmtpSink::start().await?;
    sink.hold_receipts(SOON);
    let mut client = TcpStream::connect((Ipv4Addr::LOCALHOST, sink.port())).await?;
    let envelope = "EHLO me\r\nMAIL FROM:<bounce@example.test>\r\nRCPT TO:<ann@example.test>\r\nDATA\r\n";
    client.write_all(format!("{envelope}{MAIL}.\r\n").as_bytes()).await?;
    sink.wait_for(|mail| mail.subject.contains("tea"), SOON).await?;
    let mut heard = [0; 4096];
    let read = tokio::time::timeout(Duration::from_millis(300), async {
        let mut told = String::new();
        while let Ok(read @ 1..) = client.read(&mut heard).await {
            told.push_str(&String::from_utf8_lossy(&heard[..read]));
            ensure!(!told.contains("250 kept"), "the receipt came with the mail");
        }
        Ok(())
    });
    ensure!(read.await.is_err(), "the sink hung up");
    assert_eq!(sink.count(), 1);
    Ok(())
}

/// `Waits`: webhook, answer at once with the resume URL, wait for a callback. `Calls`: webhook, call a sub-workflow,
/// answer what it returns. The sub-workflow and the error workflow come last, so that activation has to try again.
const WORKFLOWS: &str = include_str!("workflows.json");

#[tokio::test]
async fn n8n_runs_a_workflow_over_a_kill_while_it_waits_and_leaves_nothing() -> Result<()> {
    require!(N8n);
    let _alone = alone().await;
    let credential = json!({"id": "testkitHeader001", "name": "Token", "type": "httpHeaderAuth",
        "data": {"name": "Authorization", "value": "Bearer x"}});
    let config = N8nConfig {
        workflows: serde_json::from_str(WORKFLOWS)?,
        credentials: vec![credential],
        ..N8nConfig::default()
    };
    let mut n8n = N8n::start(config).await?;
    let http = reqwest::Client::new();
    let answer = http.post(n8n.webhook_url("testkit-waits")).json(&json!({"sku": "tea"})).send().await?;
    assert_eq!(answer.status(), 202, "the webhook was live as soon as start() returned");
    let answer: serde_json::Value = answer.json().await?;
    let id = answer["execution"].as_str().context("no execution id")?;
    let called = http.post(n8n.webhook_url("testkit-calls")).json(&json!({"quantity": 21})).send().await?;
    assert_eq!(called.json::<serde_json::Value>().await?, json!({"doubled": 42}));
    let parked = n8n.wait_parked(id, SOON).await?;
    assert_eq!(parked.output("Webhook")?["body"]["sku"], "tea");
    n8n.kill9();
    n8n.start_again().await?;
    let resume = answer["resume"].as_str().context("no resume URL")?;
    let resumed = http.post(resume).json(&json!({"decision": "approved"})).send().await?;
    assert_eq!(resumed.status(), 200);
    let execution = n8n.wait_execution(id, SOON).await?;
    assert_eq!((execution.status(), execution.id()?.as_str()), ("success", id));
    assert_eq!(execution.output("Wait")?["body"]["decision"], "approved");
    assert_eq!(n8n.executions("testkitWaits0001").await?.len(), 1);
    let url = reqwest::Url::parse(n8n.base_url())?;
    drop(n8n);
    assert_gone(url.port().context("no port")?).await
}

/// A page whose button changes its heading.
async fn serve_page() -> Result<u16> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
    let port = listener.local_addr()?.port();
    tokio::spawn(async move {
        let page =
            "<h1>waiting</h1><button onclick=\"document.querySelector('h1').textContent='approved'\">Go</button>";
        let head = "HTTP/1.1 200 OK\r\ncontent-type: text/html\r\nconnection: close\r\ncontent-length:";
        while let Ok((mut connection, _)) = listener.accept().await {
            let _ = connection.read(&mut [0; 4096]).await;
            let _ = connection.write_all(format!("{head} {}\r\n\r\n{page}", page.len()).as_bytes()).await;
        }
    });
    Ok(port)
}

#[tokio::test]
async fn the_browser_clicks_and_leaves_nothing() -> Result<()> {
    require!(Browser);
    let _alone = alone().await;
    let port = serve_page().await?;
    let browser = Browser::start().await?;
    let client = browser.client();
    client.goto(&format!("http://127.0.0.1:{port}/")).await?;
    let heading = fantoccini::Locator::Css("h1");
    assert_eq!(client.find(heading).await?.text().await?, "waiting");
    client.find(fantoccini::Locator::Css("button")).await?.click().await?;
    assert_eq!(client.find(heading).await?.text().await?, "approved");
    let scratch = testkit::Scratch::new("picture")?;
    let picture: PathBuf = scratch.path().join("page.png");
    browser.screenshot(&picture).await?;
    ensure!(fs::read(&picture)?.starts_with(b"\x89PNG"), "the screenshot is no PNG");
    drop((browser, scratch));
    let left = left_behind()?;
    ensure!(left.is_empty(), "left behind: {left:?}");
    Ok(())
}
