//! The models over files: evaluation on data sets, fitting, backtests.
//!
//! A task maps the rows of a data set to a model's request type and its answers to rows of predictions, and does
//! nothing else: what is judged here is what the API judges.

pub mod cases;
pub mod files;
pub mod report;
mod tasks;

use std::path::PathBuf;

use anyhow::bail;
pub use tasks::TASKS;

/// One evaluation: what may be learnt from, what is to be judged, and where the predictions go.
#[derive(Clone, Debug, clap::Args)]
pub struct Run {
    /// Folder of the public data, the only thing that may be learnt from.
    #[arg(long, value_name = "DIR")]
    pub train: PathBuf,
    /// Files to judge, told apart by their columns; a task may need several.
    #[arg(long, required = true, num_args = 1.., value_name = "FILE")]
    pub inputs: Vec<PathBuf>,
    /// Predictions, as CSV.
    #[arg(long, value_name = "FILE")]
    pub out: PathBuf,
}

/// A task by name and what runs it.
pub struct Task {
    /// `model/task`.
    pub name: &'static str,
    /// One line for the help text.
    pub about: &'static str,
    eval: fn(&Run) -> anyhow::Result<()>,
}

/// Judges the inputs of a task and writes the predictions.
///
/// # Errors
/// When the task is unknown (the message lists those known), or a file cannot be read, is not of the task's form, or
/// cannot be written; names the file and line.
pub fn eval(task: &str, run: &Run) -> anyhow::Result<()> {
    match TASKS.iter().find(|one| one.name == task) {
        Some(task) => (task.eval)(run),
        None => {
            let known: Vec<_> = TASKS.iter().map(|one| one.name).collect();
            bail!("no task {task:?}; known are {}", known.join(", "))
        }
    }
}
