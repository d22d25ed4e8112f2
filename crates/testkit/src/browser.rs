use crate::{Process, Program, Scratch, Tool, free_port};
use anyhow::{Context as _, Result};
use fantoccini::{Client, ClientBuilder};
use nix::sys::signal::Signal;
use serde_json::{Map, Value, json};
use std::path::Path;
use std::time::Duration;

/// Without the last three, chromium tries to phone home at every start, which a closed network refuses.
const FLAGS: [&str; 9] = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--window-size=1280,900",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
];

/// A headless chromium with an empty profile, driven over WebDriver.
#[derive(Debug)]
pub struct Browser {
    client: Client,
    _driver: Process,
    _profile: Scratch,
}

impl Browser {
    pub async fn start() -> Result<Self> {
        let driver = Tool::Browser.find().context("chromedriver is not installed")?;
        crate::install_tls_provider();
        let (profile, port) = (Scratch::new("chromium")?, free_port());
        let home = format!("--user-data-dir={}", profile.path().join("profile").display());
        // HOME too, because chromium keeps crash reports and a certificate store there, whatever the profile.
        let program = Program::new(driver).args([format!("--port={port}")]).env("HOME", profile.path());
        let program = program.last_signal(Signal::SIGTERM);
        let mut driver = Process::start(program)?;
        let url = format!("http://127.0.0.1:{port}");
        driver.wait_ready(&format!("{url}/status"), Duration::from_secs(30)).await?;

        let arguments: Vec<&str> = FLAGS.into_iter().chain([home.as_str()]).collect();
        let mut capabilities = Map::new();
        capabilities.insert("goog:chromeOptions".to_owned(), json!({"args": arguments}));
        // A test wants to see an alert, not to have it dismissed.
        capabilities.insert("unhandledPromptBehavior".to_owned(), Value::from("ignore"));
        let client = ClientBuilder::rustls()?.capabilities(capabilities).connect(&url).await;
        let client = client.with_context(|| format!("chromium does not start:\n{}", driver.log()))?;
        Ok(Self { client, _driver: driver, _profile: profile })
    }

    pub fn client(&self) -> &Client {
        &self.client
    }

    /// Writes what the window shows to a PNG file.
    pub async fn screenshot(&self, file: &Path) -> Result<()> {
        let png = self.client.screenshot().await?;
        tokio::fs::write(file, png).await.with_context(|| format!("cannot write {}", file.display()))
    }
}
