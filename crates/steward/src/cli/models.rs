//! `steward models`: evaluate, fit and measure models over files, and publish a fitted version to a running fleet. What
//! judges here is what the API judges.

use std::{
    path::{Path, PathBuf},
    time::Duration,
};

use anyhow::{Context, bail};
use backtest::{cases::Cases, report::Report};
use chassis::Ids;
use clap::{Args, Subcommand};
use indicatif::{ProgressBar, ProgressStyle};
use models::catalogue::{self, Entry};
use reqwest::Method;
use serde_json::{Value, json};

use super::{
    RemoteArgs,
    remote::{Remote, segment},
    tell,
};

/// Cases are sent in pieces of at most so many bytes, well below the fleet's limit for a body.
const PIECE: usize = 512 * 1024;
/// A publication measures two versions over all cases before it answers.
const PATIENCE: Duration = Duration::from_secs(300);

/// What to do with models.
#[derive(Clone, Debug, Subcommand)]
pub(super) enum ModelVerb {
    /// The models with their shipped versions, and the tasks that `eval` knows.
    List {
        /// Print JSON.
        #[arg(long)]
        json: bool,
    },
    /// Judge the files of a data set's task and write the predictions.
    Eval {
        /// `model/task`; `steward models list` names them.
        task: String,
        #[command(flatten)]
        run: backtest::Run,
    },
    /// Fit a model's parameters to cases with known outcomes.
    Fit {
        model: String,
        /// NDJSON of {request, outcome}, or CSV with JSON pointers as column names; `.gz` is unpacked.
        #[arg(long, value_name = "FILE")]
        data: PathBuf,
        /// Where the parameters go.
        #[arg(long, value_name = "FILE")]
        out: PathBuf,
        /// Parameters to start from; default: those shipped.
        #[arg(long, value_name = "FILE")]
        start: Option<PathBuf>,
        /// Name of the fitted version; default: one made from the time.
        #[arg(long = "as", value_name = "VERSION")]
        version: Option<String>,
    },
    /// Measure versions of a model over cases with known outcomes, the shipped one first.
    Backtest {
        model: String,
        /// As for `fit`.
        #[arg(long, value_name = "FILE")]
        data: PathBuf,
        /// Parameters to compare with those shipped; may be given several times.
        #[arg(long, value_name = "FILE")]
        parameters: Vec<PathBuf>,
        /// Write a page with plots.
        #[arg(long, value_name = "FILE")]
        html: Option<PathBuf>,
        /// Print JSON.
        #[arg(long)]
        json: bool,
    },
    /// Publish parameters to a running fleet, where they judge from then on; refused when they measure worse.
    Publish(PublishArgs),
    /// The versions of a model in a running fleet: which one judges, and what was published before.
    Versions {
        model: String,
        #[command(flatten)]
        remote: RemoteArgs,
    },
    /// Make a version judge that was published before, or the shipped one.
    Activate {
        model: String,
        version: String,
        /// Kept in the audit trail.
        #[arg(long)]
        reason: String,
        #[command(flatten)]
        remote: RemoteArgs,
    },
}

/// A version to publish.
#[derive(Clone, Debug, Args)]
pub(super) struct PublishArgs {
    model: String,
    /// Parameters, as `fit` writes them.
    #[arg(long, value_name = "FILE")]
    parameters: PathBuf,
    /// Cases that it was not fitted to, as for `fit`: both versions are measured over them.
    #[arg(long, value_name = "FILE")]
    data: PathBuf,
    /// Publish it although it measures worse.
    #[arg(long, requires = "reason")]
    force: bool,
    /// Kept in the audit trail.
    #[arg(long)]
    reason: Option<String>,
    #[command(flatten)]
    remote: RemoteArgs,
}

pub(super) async fn run(verb: ModelVerb) -> anyhow::Result<()> {
    match verb {
        ModelVerb::Publish(args) => publish(&args).await,
        ModelVerb::Versions { model, remote } => versions(&model, &remote).await,
        ModelVerb::Activate { model, version, reason, remote } => activate((&model, &version), reason, &remote).await,
        // Computes for long and waits for nothing.
        local => tokio::task::spawn_blocking(move || compute(local)).await?,
    }
}

fn compute(verb: ModelVerb) -> anyhow::Result<()> {
    match verb {
        ModelVerb::List { json } => list(json),
        ModelVerb::Eval { task, run } => {
            let spinner = ProgressBar::new_spinner().with_message(task.clone());
            spinner.enable_steady_tick(Duration::from_millis(200));
            let done = backtest::eval(&task, &run);
            spinner.finish_and_clear();
            done
        }
        ModelVerb::Fit { model, data, out, start, version } => {
            let version = version.unwrap_or_else(|| Ids::default().next().to_string());
            fit(named(&model)?, &data, &out, start.as_deref(), &version)
        }
        ModelVerb::Backtest { model, data, parameters, html, json } => {
            measure(named(&model)?, &data, &parameters, html.as_deref(), json)
        }
        ModelVerb::Publish(_) | ModelVerb::Versions { .. } | ModelVerb::Activate { .. } => {
            bail!("this waits for the fleet")
        }
    }
}

fn named(model: &str) -> anyhow::Result<&'static Entry> {
    let known = || catalogue::MODELS.iter().map(|entry| entry.name).collect::<Vec<_>>().join(", ");
    catalogue::find(model).with_context(|| format!("no model {model:?}; known are {}", known()))
}

fn list(as_json: bool) -> anyhow::Result<()> {
    let shipped = catalogue::MODELS.iter().map(|entry| Ok(entry.reference(entry.standard)?));
    let shipped = shipped.collect::<anyhow::Result<Vec<_>>>()?;
    if as_json {
        let tasks: Vec<_> =
            backtest::TASKS.iter().map(|task| json!({"name": task.name, "about": task.about})).collect();
        tell(&serde_json::to_string_pretty(&json!({"models": shipped, "tasks": tasks}))?);
        return Ok(());
    }
    tell("Models, with the version that is shipped:");
    shipped.iter().for_each(|one| tell(&format!("  {:<24} {:<4} {}", one.name, one.version, one.parameters)));
    tell("\nTasks of `steward models eval`:");
    backtest::TASKS.iter().for_each(|task| tell(&format!("  {:<32} {}", task.name, task.about)));
    Ok(())
}

fn fit(entry: &Entry, data: &Path, out: &Path, start: Option<&Path>, version: &str) -> anyhow::Result<()> {
    let cases = Cases::read(data)?;
    let start = start.map_or_else(|| Ok(entry.standard.to_owned()), text)?;
    let bar = ProgressBar::new(1000).with_style(ProgressStyle::with_template("{bar:40} {percent} % {elapsed} {msg}")?);
    let fitted = entry.fit(&start, version, &cases.texts(), &mut |share| bar.set_position((share * 1000.0) as u64));
    bar.finish_and_clear();
    std::fs::write(out, fitted? + "\n").with_context(|| format!("cannot write {}", out.display()))?;
    tell(&format!(
        "wrote version {version} of {} to {}, fitted to {} cases",
        entry.name,
        out.display(),
        cases.texts().len()
    ));
    Ok(())
}

fn measure(
    entry: &Entry,
    data: &Path,
    parameters: &[PathBuf],
    html: Option<&Path>,
    as_json: bool,
) -> anyhow::Result<()> {
    let cases = Cases::read(data)?;
    let given = parameters.iter().map(|path| text(path)).collect::<anyhow::Result<Vec<_>>>()?;
    let versions: Vec<&str> = std::iter::once(entry.standard).chain(given.iter().map(String::as_str)).collect();
    let report = Report::measure(entry, &versions, &cases.texts())?;
    if let Some(path) = html {
        std::fs::write(path, report.page()?).with_context(|| format!("cannot write {}", path.display()))?;
    }
    tell(&if as_json { serde_json::to_string_pretty(&report)? } else { report.table() });
    Ok(())
}

fn text(path: &Path) -> anyhow::Result<String> {
    std::fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))
}

/// Keeps the cases under a name of their own, piece by piece, and publishes with a reference to them.
async fn publish(args: &PublishArgs) -> anyhow::Result<()> {
    let cases = Cases::read(&args.data)?;
    let parameters: Value = serde_json::from_str(&text(&args.parameters)?)
        .with_context(|| format!("{} is not JSON", args.parameters.display()))?;
    let remote = Remote::new(&args.remote, PATIENCE)?;
    let model = path(&args.model);
    let set = format!("cli-{}", Ids::default().next());
    let texts = cases.texts();
    let mut rest = texts.as_slice();
    while !rest.is_empty() {
        let (piece, after) = rest.split_at(piece_of(rest));
        let body =
            serde_json::from_str::<Value>(&format!("{{\"set\": {}, \"cases\": [{}]}}", json!(set), piece.join(",")))?;
        remote.call(Method::POST, &format!("{model}/cases"), Some(body)).await?;
        rest = after;
    }
    let body = json!({"parameters": parameters, "case_set": set, "force": args.force, "reason": args.reason});
    let published = remote.call(Method::POST, &format!("{model}/versions"), Some(body)).await?;
    judges(&published, &args.remote)
}

async fn activate((model, version): (&str, &str), reason: String, args: &RemoteArgs) -> anyhow::Result<()> {
    let path = format!("{}/versions/{}/activate", path(model), segment(version));
    let active = Remote::new(args, PATIENCE)?.call(Method::POST, &path, Some(json!({"reason": reason}))).await?;
    judges(&active, args)
}

fn judges(version: &Value, args: &RemoteArgs) -> anyhow::Result<()> {
    let text = |field: &str| version[field].as_str().unwrap_or_default();
    if args.json {
        tell(&serde_json::to_string_pretty(version)?);
    } else if version["active"] == json!(true) {
        tell(&format!("version {} of {} judges from now on", text("version"), text("model")));
    } else {
        // The same parameters were published before, and another version was chosen since.
        let (version, model) = (text("version"), text("model"));
        tell(&format!("version {version} of {model} is known and does not judge; see `steward models activate`"));
    }
    Ok(())
}

async fn versions(model: &str, args: &RemoteArgs) -> anyhow::Result<()> {
    let found = Remote::new(args, PATIENCE)?.call(Method::GET, &format!("{}/versions", path(model)), None).await?;
    if args.json {
        tell(&serde_json::to_string_pretty(&found)?);
        return Ok(());
    }
    for one in found["items"].as_array().into_iter().flatten() {
        let text = |field: &str| one[field].as_str();
        let mark = if one["active"] == json!(true) { "judges" } else { "" };
        let origin = match (text("published_at"), text("published_by")) {
            (Some(at), Some(by)) => format!("published {at} by {by}"),
            _ => "shipped".to_owned(),
        };
        let forced = text("reason").map_or(String::new(), |reason| format!(", forced: {reason}"));
        tell(&format!("{mark:<7} {:<24} {origin}{forced}", text("version").unwrap_or_default()));
    }
    Ok(())
}

/// A model in the fleet's API.
fn path(model: &str) -> String {
    format!("/scoring/v1/models/{}", segment(model))
}

/// How many of the cases fit into one piece: at least one, so that a case that is too large is refused and not skipped.
fn piece_of(cases: &[&str]) -> usize {
    let mut bytes = 0;
    let fitting = cases.iter().take_while(|case| {
        bytes += case.len() + 1;
        bytes <= PIECE
    });
    fitting.count().clamp(1, 10_000)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_piece_stays_below_its_limit_unless_one_case_alone_is_above_it() {
        let (small, large) = ("x".repeat(1000), "x".repeat(PIECE + 1));
        assert_eq!(piece_of(&vec![small.as_str(); 2000]), PIECE / 1001);
        assert_eq!(piece_of(&[&large, &small]), 1);
        assert_eq!(piece_of(&[&small, &large]), 1);
    }
}
