//! `steward up`: the fleet in one process.

use std::{net::TcpListener, time::Instant};

use anyhow::Context;
use chassis::{
    Settings,
    host::{self, HostOptions},
    telemetry,
};

use super::{UpArgs, tell};
use crate::{console, fleet, home::Home};

pub(super) async fn run(args: &UpArgs) -> anyhow::Result<()> {
    let started = Instant::now();
    let listener = TcpListener::bind(("127.0.0.1", args.port))
        .with_context(|| format!("port {} is taken; choose another with --port, or 0 for any free one", args.port))?;
    let base_url = format!("http://{}", listener.local_addr()?);
    let home = Home::prepare(&args.data_dir)?;
    let own = home.settings(&base_url);
    let (settings, services) = Settings::load_with(&[&own], &args.configs, fleet::services)?;
    let telemetry = telemetry::init(&settings.common.telemetry)?;
    let options = HostOptions {
        listener: Some(listener),
        extra: Some(console::routes(&base_url, &settings)?),
        ..HostOptions::default()
    };
    let running = host::start(services, &settings, options).await?;
    let sign_in = home.sign_in_link(&base_url, &settings)?;
    tell(&welcome(&base_url, &sign_in, &home, started));
    host::stop_signal().await;
    tell("draining ...");
    running.shutdown().await;
    telemetry.shutdown().await;
    Ok(())
}

fn welcome(base_url: &str, sign_in: &str, home: &Home, started: Instant) -> String {
    format!(
        "\nSteward is ready after {:.1} s.\n\n\
         Console    {}\n\
         APIs       {base_url}/scoring/docs/  /approvals/docs/  /supply/docs/  /notify/docs/\n\
         Data       {}\n\
         Mails      {} (no SMTP server is configured, so they are written here)\n\n\
         Next: `steward demo` plays the low-stock scenario; README shows how to connect n8n\n\
         (its credentials are in {}).\n",
        started.elapsed().as_secs_f64(),
        sign_in,
        home.path().display(),
        home.path().join("mails").display(),
        home.path().join("n8n-credentials.json").display(),
    )
}
