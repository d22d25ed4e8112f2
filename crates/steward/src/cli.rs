//! The operator's command line. Every command takes `--json`; errors say what to do next.

mod audit;
mod keys;
mod models;
mod remote;
mod up;

use std::{path::PathBuf, process::ExitCode};

use anyhow::Context;
use chassis::Settings;
use clap::{Args, Parser, Subcommand};

use crate::{demo, documents, fleet, home::Home};

/// Steward stands beside Odoo and n8n: it scores, holds back for approval, keeps promises, and tells people in time.
#[derive(Debug, Parser)]
#[command(version, about, arg_required_else_help = true)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Start all four services in this process, on embedded defaults.
    Up(UpArgs),
    /// Play the low-stock scenario on a bundled week of real retail sales.
    Demo(demo::DemoArgs),
    /// Say whether a running fleet is ready, what waits and what failed.
    Status(RemoteArgs),
    /// List, show, replay or discard what was given up.
    Deadletters {
        #[command(subcommand)]
        verb: remote::DeadLetterVerb,
        #[command(flatten)]
        remote: RemoteArgs,
    },
    /// Evaluate, fit, measure and publish models.
    Models {
        #[command(subcommand)]
        verb: models::ModelVerb,
    },
    /// Check the evidence of a decision.
    Audit {
        #[command(subcommand)]
        verb: audit::AuditVerb,
    },
    /// Make API keys for `auth.keys_file`.
    Keys {
        #[command(subcommand)]
        verb: keys::KeyVerb,
    },
    /// Write the OpenAPI and AsyncAPI documents.
    Openapi {
        /// Folder to write to.
        #[arg(long, default_value = "openapi")]
        out: PathBuf,
    },
    /// Print the commented default configuration.
    Config,
}

/// How `steward up` runs.
#[derive(Clone, Debug, Args)]
pub(crate) struct UpArgs {
    /// Port on 127.0.0.1; 0 picks a free one.
    #[arg(long, default_value_t = 8080)]
    pub port: u16,
    /// Where databases, secrets and mails are kept; made when absent.
    #[arg(long, default_value = "steward-data")]
    pub data_dir: PathBuf,
    /// Settings over the embedded ones; may be given several times.
    #[arg(long = "config", value_name = "FILE")]
    pub configs: Vec<PathBuf>,
}

/// Which fleet to talk to.
#[derive(Clone, Debug, Args)]
pub(crate) struct RemoteArgs {
    /// Base URL of the fleet.
    #[arg(long, env = "STEWARD_URL", default_value = "http://127.0.0.1:8080")]
    pub url: String,
    /// API key with the role `operator`. Default: the operator's key in `--data-dir`.
    #[arg(long, env = "STEWARD_KEY", hide_env_values = true)]
    pub key: Option<String>,
    /// Where `steward up` keeps its data, to find the operator's key.
    #[arg(long, default_value = "steward-data")]
    pub data_dir: PathBuf,
    /// Print JSON.
    #[arg(long)]
    pub json: bool,
}

/// Runs the command line.
#[must_use]
pub fn run() -> ExitCode {
    // Two TLS providers may be compiled in; the first use panics unless one was chosen.
    let _chosen_already = rustls::crypto::aws_lc_rs::default_provider().install_default();
    let cli = Cli::parse();
    // Two workers at least: the trace exporter's shutdown must not wait for its own thread.
    let threads = std::thread::available_parallelism().map_or(2, |n| n.get().max(2));
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(threads).enable_all().build();
    let outcome = match runtime {
        Ok(runtime) => runtime.block_on(execute(cli.command)),
        Err(error) => Err(error.into()),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            if let Some(verdict) = error.downcast_ref::<audit::NotProved>() {
                return ExitCode::from(verdict.exit_code);
            }
            tell_error(&error);
            // What cannot be read has not been found broken.
            let unusable = error.is::<chassis::ConfigError>() || error.is::<audit::Unreadable>();
            ExitCode::from(if unusable { 2 } else { 1 })
        }
    }
}

async fn execute(command: Command) -> anyhow::Result<()> {
    match command {
        Command::Up(args) => up::run(&args).await,
        Command::Demo(args) => demo::run(&args).await,
        Command::Status(remote) => remote::status(&remote).await,
        Command::Deadletters { verb, remote } => remote::dead_letters(&remote, verb).await,
        Command::Models { verb } => models::run(verb).await,
        Command::Audit { verb } => audit::run(verb).await,
        Command::Keys { verb } => keys::run(verb),
        Command::Openapi { out } => write_documents(&out),
        Command::Config => {
            tell(chassis::config::DEFAULT_YAML);
            Ok(())
        }
    }
}

fn write_documents(out: &std::path::Path) -> anyhow::Result<()> {
    let settings = Settings::from_yaml("")?;
    std::fs::create_dir_all(out).with_context(|| format!("cannot make {}", out.display()))?;
    for (name, text) in documents::all(&fleet::services(&settings)?)? {
        let path = out.join(name);
        std::fs::write(&path, text).with_context(|| format!("cannot write {}", path.display()))?;
        tell(&format!("wrote {}", path.display()));
    }
    Ok(())
}

/// The operator's key in the home of `steward up`, when none was given.
fn operator_key(remote: &RemoteArgs) -> anyhow::Result<String> {
    match &remote.key {
        Some(key) => Ok(key.clone()),
        None => Home::at(&remote.data_dir)
            .key("operator")
            .context("no API key: give --key or STEWARD_KEY, or --data-dir of a `steward up` on this machine"),
    }
}

/// A line for the person at the terminal.
#[expect(clippy::print_stdout, reason = "the command line's own output")]
pub(crate) fn tell(line: &str) {
    println!("{line}");
}

#[expect(clippy::print_stderr, reason = "the command line's own output")]
fn tell_error(error: &anyhow::Error) {
    eprintln!("error: {error:#}");
}
