//! Every model by the row: in process, through its stream over HTTP, and beside what a data scientist would write in
//! Python with the usual libraries, on the same rows: numpy and scipy, statsforecast, LightGBM, scikit-learn, HiGHS.
//!
//! In process, either side has one thread. Through the stream a service as it is shipped answers with all cores, of which
//! the client takes its part; it is held against Python from text to text, which is the same work without HTTP. What
//! Python answers is simpler; `python/judge.py` says what.

use std::{
    env, fs,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context as _, Result, ensure};
use models::catalogue;
use serde_json::{Value, json};
use testkit::{Program, Scratch};

use crate::{
    Report,
    cost::{forget_peak, resident},
    ground::Hosted,
    inputs::{INPUTS, Inputs},
    judge::Told,
    ndjson::{Pieces, post},
    python,
    report::{Aim, Line},
};

/// Seconds that a stream is to last.
const SECONDS: f64 = 3.0;
/// SKU-locations a second through the stream, on two cores.
const REPLENISHMENT: f64 = 200_000.0;
/// Cases that a fitted version is published with; that it is better is not the question here.
const HOLDOUT: usize = 500;

/// What one model is asked, in files that either side reads.
struct Asked<'a> {
    inputs: &'a Inputs,
    lines: Vec<String>,
    rows: PathBuf,
    fitted: Option<Fitted>,
}

/// A version that was fitted to the cases of the rows.
struct Fitted {
    parameters: String,
    parameters_file: PathBuf,
    cases: Vec<String>,
    cases_file: PathBuf,
}

pub(crate) async fn measure(report: &mut Report) -> Result<()> {
    let python = python::interpreter().inspect_err(|error| report.note(format!("without Python: {error:#}"))).ok();
    for inputs in &INPUTS {
        let folder = Scratch::new("models")?;
        let asked = Asked::write(inputs, folder.path())?;
        let ours = told(&mut asked.judge()?)?;
        let (streamed, server) = asked.stream().await?;
        let theirs = python.as_ref().map(|python| told(&mut asked.judge_in(python))).transpose()?;
        let mut line = |what: &str, unit, ours, theirs: Option<f64>, aim| {
            let (measure, yardstick) = (format!("{}: {what}", inputs.model), theirs.map(|figure| ("Python", figure)));
            report.line(Line { measure, unit, ours, yardstick, aim });
        };
        let theirs = |figure: fn(&Told) -> f64| theirs.as_ref().map(figure);
        let through = if inputs.model == "replenishment" { Aim::AtLeast(REPLENISHMENT) } else { Aim::None };
        line("judged in process", "rows/s", ours.judged, theirs(|told| told.judged), Aim::RatioAtLeast(1.0));
        line("from text to text", "rows/s", ours.from_text, theirs(|told| told.from_text), Aim::RatioAtLeast(10.0));
        line("through the stream", "rows/s", streamed, theirs(|told| told.from_text), through);
        line("peak memory in process", "MiB", ours.peak_mib, theirs(|told| told.peak_mib), Aim::RatioAtMost(1.0));
        line("peak memory of the service", "MiB", server, theirs(|told| told.peak_mib), Aim::RatioAtMost(1.0));
    }
    Ok(())
}

impl<'a> Asked<'a> {
    fn write(inputs: &'a Inputs, folder: &Path) -> Result<Self> {
        let (lines, rows) = (inputs.lines(), folder.join("rows.ndjson"));
        fs::write(&rows, lines.join("\n") + "\n")?;
        let fitted = inputs.cases().map(|cases| Fitted::to(inputs.model, cases, folder)).transpose()?;
        Ok(Self { inputs, lines, rows, fitted })
    }

    /// In a process of its own.
    fn judge(&self) -> Result<Command> {
        let mut command = Command::new(env::current_exe()?);
        command.arg("judge").arg(self.inputs.model).arg(&self.rows);
        command.args(self.fitted.as_ref().map(|fitted| &fitted.parameters_file));
        Ok(command)
    }

    fn judge_in(&self, python: &Path) -> Command {
        let mut command = python::single_threaded(python, "judge.py");
        command.arg(self.inputs.model).arg(&self.rows);
        command.args(self.fitted.as_ref().map(|fitted| &fitted.cases_file));
        command
    }

    /// Rows a second through the stream of a service that has just started, and the most memory it took, in MiB.
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a count")]
    async fn stream(&self) -> Result<(f64, f64)> {
        let folder = Scratch::new("stream")?;
        let store = json!({"store": {"data_dir": folder.path()}});
        let mut service = Hosted::start(Program::built("scoring-svc")?, &store).await?;
        if let Some(fitted) = &self.fitted {
            fitted.publish(&service, self.inputs.model).await?;
        }
        let path = format!("/scoring/v1/{}/stream", self.inputs.model);
        let pieces = Pieces::of(&self.lines, self.inputs.piece());
        // All rows once, to warm up and to know how many will do.
        let rate = post(&service, &path, &pieces, self.lines.len()).await?;
        let pid = service.pid()?;
        forget_peak(pid)?;
        let most = (rate * SECONDS) as usize / self.inputs.piece() * self.inputs.piece();
        let rate = post(&service, &path, &pieces, most.max(self.lines.len())).await?;
        Ok((rate, resident(pid).context("the service has ended")?.1))
    }
}

impl Fitted {
    fn to(model: &str, cases: Vec<String>, folder: &Path) -> Result<Self> {
        let entry = catalogue::find(model).with_context(|| format!("no model {model:?}"))?;
        let texts: Vec<&str> = cases.iter().map(String::as_str).collect();
        let parameters = entry.fit(entry.standard, "bench", &texts, &mut |_| ())?;
        let (parameters_file, cases_file) = (folder.join("parameters.json"), folder.join("cases.ndjson"));
        fs::write(&parameters_file, &parameters)?;
        fs::write(&cases_file, cases.join("\n") + "\n")?;
        Ok(Self { parameters, parameters_file, cases, cases_file })
    }

    async fn publish(&self, service: &Hosted, model: &str) -> Result<()> {
        let parameters: Value = serde_json::from_str(&self.parameters)?;
        let cases = self.cases.iter().take(HOLDOUT).map(|case| serde_json::from_str(case));
        let cases = cases.collect::<Result<Vec<Value>, _>>()?;
        let body = json!({"parameters": parameters, "cases": cases, "force": true, "reason": "measured by its speed"});
        let url = service.url(&format!("/scoring/v1/models/{model}/versions"));
        let answer = reqwest::Client::new().post(url).bearer_auth(service.key()).json(&body).send().await?;
        let status = answer.status();
        ensure!(status.is_success(), "{model} was not published: {status} {}", answer.text().await?);
        Ok(())
    }
}

/// Runs a program whose last line is what it tells.
fn told(command: &mut Command) -> Result<Told> {
    let output = command.output()?;
    let printed = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    ensure!(output.status.success(), "{command:?} failed: {}{}", printed(&output.stdout), printed(&output.stderr));
    let text = String::from_utf8(output.stdout)?;
    Ok(serde_json::from_str(text.lines().last().context("it told nothing")?)?)
}
