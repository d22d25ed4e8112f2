//! `steward demo`: the low-stock scenario on real retail sales, in this process, with nothing installed.
//!
//! The fleet is the one that `steward up` starts. Around it stand a replayed Odoo, a stand-in that makes the calls of
//! n8n's workflow, and a person who answers a mail. What is printed at the end was read from answers of the services.

mod api;
mod approver;
mod company;
mod sales;
mod stage;
mod stand_in;
mod story;
mod triage;

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use anyhow::{Context, ensure};
use chassis::{Clock, host};
use clap::Args;
use indicatif::{ProgressBar, ProgressStyle};
use jiff::{ToSpan, tz::TimeZone};
use odoo::replay::Delivery;
use serde_json::Value;

use self::{
    approver::Approver,
    company::{Company, Level, Shelf},
    sales::{Day, Sales},
    stage::Stage,
    story::{Case, Cast, Counts, Story},
    triage::Triage,
};
use crate::{cli::tell, fleet::PREFIXES};

/// For a push after the level behind it was read back.
const PATIENCE: Duration = Duration::from_secs(15);

/// How the demo runs.
#[derive(Clone, Debug, Args)]
pub(crate) struct DemoArgs {
    /// Empty folder for databases, secrets and mails. Default: a temporary one that is removed at the end.
    #[arg(long)]
    pub data_dir: Option<PathBuf>,
    /// Print the story as JSON.
    #[arg(long)]
    pub json: bool,
    /// Leave the fleet running at the end, with a sign-in link to its console, until Ctrl-C.
    #[arg(long)]
    pub keep: bool,
}

/// Plays the scenario and prints what happened.
pub(crate) async fn run(args: &DemoArgs) -> anyhow::Result<()> {
    let temporary = match args.data_dir {
        Some(_) => None,
        None => Some(tempfile::Builder::new().prefix("steward-demo-").tempdir().context("no temporary folder")?),
    };
    let folder = args.data_dir.as_deref().or(temporary.as_ref().map(tempfile::TempDir::path)).context("no folder")?;
    // Facts of an earlier week would be judged together with this one's.
    let empty = std::fs::read_dir(folder).map_or(true, |mut entries| entries.next().is_none());
    ensure!(empty, "{} is not empty; the demo needs a folder of its own", folder.display());
    let outcome = play_in(folder, args).await;
    if let Some(temporary) = temporary {
        temporary.close().context("the temporary folder could not be removed")?;
    }
    outcome
}

async fn play_in(folder: &Path, args: &DemoArgs) -> anyhow::Result<()> {
    let started = Instant::now();
    let clock = Clock::system();
    let yesterday = clock.now().to_zoned(TimeZone::UTC).date().checked_sub(1.day())?;
    let sales = Sales::bundled(yesterday)?;
    let company = Company::bundled()?;
    let levels = company.levels(&sales);
    let mut stage = Stage::set(folder, &company, &levels).await?;
    let mut play = Play { sales: &sales, company: &company, levels, clock, counts: Counts::default() };
    let story = play.perform(&mut stage, started).await;
    let shown = match story {
        Ok(story) => show(&story, &stage, args).await,
        Err(error) => Err(error),
    };
    stage.strike().await;
    shown
}

async fn show(story: &Story, stage: &Stage, args: &DemoArgs) -> anyhow::Result<()> {
    if args.json {
        tell(&serde_json::to_string_pretty(story)?);
    } else {
        tell(&story.text());
    }
    if args.keep {
        let link = stage.home.sign_in_link(&stage.base_url, &stage.settings)?;
        let case = story.cases.last().map_or(String::new(), |case| {
            format!(
                "\nThe last case, step by step, with its audit trail: {}/cases/{}",
                stage.base_url, case.correlation_id
            )
        });
        let line = format!("The fleet keeps running. Sign in: {link}{case}\nCtrl-C ends it.");
        if args.json {
            eprint_line(&line)
        } else {
            tell(&line)
        }
        host::stop_signal().await;
    } else if !args.json {
        tell(
            "`steward demo --keep` leaves the fleet running, so that you can look at each case's audit trail in the console.",
        );
    }
    Ok(())
}

/// Beside the JSON, not in it.
#[expect(clippy::print_stderr, reason = "the command line's own output")]
fn eprint_line(line: &str) {
    eprintln!("{line}");
}

/// The play in progress.
struct Play<'a> {
    sales: &'a Sales,
    company: &'a Company,
    levels: BTreeMap<Shelf, Level>,
    clock: Clock,
    counts: Counts,
}

impl Play<'_> {
    async fn perform(&mut self, stage: &mut Stage, started: Instant) -> anyhow::Result<Story> {
        let progress = progress_bar(self.sales.history.len() + self.sales.played.len() + 1);
        self.open(stage, &progress).await?;
        let mut approver = Approver::new(stage.home.path().join("mails"))?;
        let mut cases = Vec::new();
        for day in &self.sales.played {
            progress.set_message(format!("{}: a day of sales", day.date));
            let falls = self.sell(stage, day).await?;
            for _ in 0..falls {
                progress.set_message(format!("{}: stock ran low", day.date));
                let push = stage.stand_in.next_push(PATIENCE).await?;
                let mut triage =
                    Triage { api: &stage.n8n, stand_in: &stage.stand_in, approver: &mut approver, clock: &self.clock };
                cases.push(triage.run(&push).await?);
            }
            progress.inc(1);
        }
        progress.finish_and_clear();
        self.tally(stage, &mut cases).await?;
        let counts = std::mem::take(&mut self.counts);
        Ok(Story { cast: self.cast()?, cases, counts, seconds: started.elapsed().as_secs_f64() })
    }

    /// Tells master data and four weeks of sales, and counts the opening stock in Odoo.
    async fn open(&mut self, stage: &Stage, progress: &ProgressBar) -> anyhow::Result<()> {
        progress.set_message("telling who sells what where");
        self.observe(stage, &self.company.master_data(&self.levels)).await?;
        for day in &self.sales.history {
            progress.set_message(format!("{}: loading four weeks of sales", day.date));
            self.tell_sales(stage, day).await?;
            progress.inc(1);
        }
        progress.set_message("counting the opening stock in Odoo");
        let opening = self.on_hand();
        let delivery = stage.count_in_odoo(self.company, &opening).await?;
        self.posted(delivery);
        stage.until_read_back(&opening).await?;
        progress.inc(1);
        Ok(())
    }

    /// Sells a day: sales are told, stock falls in Odoo. Answers how many shelves fell to their reorder point.
    async fn sell(&mut self, stage: &Stage, day: &Day) -> anyhow::Result<usize> {
        self.tell_sales(stage, day).await?;
        let mut falls = 0;
        for sold in &day.sold {
            let shelf = (sold.product.clone(), sold.location.clone());
            if let Some(level) = self.levels.get_mut(&shelf) {
                let before = level.on_hand;
                // What sold although the made-up stock was gone is not in it.
                level.on_hand = (before - sold.units).max(0.0);
                falls += usize::from(before > level.reorder_point && level.on_hand <= level.reorder_point);
            }
        }
        let levels = self.on_hand();
        let delivery = stage.count_in_odoo(self.company, &levels).await?;
        self.posted(delivery);
        // Else the next day's hints would be folded into this day's look, and a fall be seen a day late.
        stage.until_read_back(&levels).await?;
        Ok(falls)
    }

    async fn tell_sales(&mut self, stage: &Stage, day: &Day) -> anyhow::Result<()> {
        let lines: Result<Vec<Value>, _> = day.sold.iter().map(serde_json::to_value).collect();
        self.observe(stage, &lines?).await
    }

    async fn observe(&mut self, stage: &Stage, lines: &[Value]) -> anyhow::Result<()> {
        self.counts.observations += lines.len();
        stage.n8n.observe(lines).await
    }

    fn on_hand(&self) -> BTreeMap<Shelf, f64> {
        self.levels.iter().map(|(shelf, level)| (shelf.clone(), level.on_hand)).collect()
    }

    fn posted(&mut self, delivery: Delivery) {
        self.counts.webhooks_posted += delivery.posted;
        self.counts.webhooks_accepted += delivery.accepted;
    }

    /// What the fleet itself counted, and how long each case's audit trail is.
    async fn tally(&mut self, stage: &Stage, cases: &mut [Case]) -> anyhow::Result<()> {
        for service in PREFIXES {
            self.counts.dead_letters += stage.operator.all(&format!("/{service}/v1/dead-letters")).await?.len();
            for case in &mut *cases {
                let path = format!("/{service}/v1/audit?correlation_id={}", case.correlation_id);
                case.audit_entries += stage.operator.all(&path).await?.len();
            }
        }
        let metrics = stage.operator.text("/metrics").await?;
        self.counts.events_published = counted(&metrics, "events_published_total{", "");
        self.counts.effects_done = counted(&metrics, "effects_total{", "outcome=\"done\"");
        self.counts.effects_retried = counted(&metrics, "effects_total{", "outcome=\"retry\"");
        Ok(())
    }

    fn cast(&self) -> anyhow::Result<Cast> {
        let day = |days: &[Day], last: bool| if last { days.last() } else { days.first() }.map(|day| day.date);
        let regions = self.company.regions();
        Ok(Cast {
            odoo: "is the replayed one: it answers as an Odoo 19.0 was observed to; no Odoo is running".to_owned(),
            n8n: "is played by this demo, with the calls of n8n-workflows/low-stock-triage.json".to_owned(),
            sales: format!("{} real lines of {} shelves from {}", self.sales.lines(), self.levels.len(), sales::SOURCE),
            made_up: format!(
                "{regions} regions, names, prices, lead times, stock, and the date: days were moved to now"
            ),
            first_day: day(&self.sales.history, false).context("no history")?,
            last_day: day(&self.sales.played, true).context("no week")?,
        })
    }
}

/// The sum of a counter's samples whose labels hold this text.
fn counted(metrics: &str, counter: &str, label: &str) -> u64 {
    let samples = metrics.lines().filter(|line| line.starts_with(counter) && line.contains(label));
    samples.filter_map(|line| line.rsplit(' ').next()?.parse::<u64>().ok()).sum()
}

/// Drawn on the error stream, and only where that is a terminal.
fn progress_bar(steps: usize) -> ProgressBar {
    let style = ProgressStyle::with_template("{bar:30} {pos:>2}/{len} {msg}");
    let bar = ProgressBar::new(u64::try_from(steps).unwrap_or(u64::MAX));
    style.map_or(bar.clone(), |style| bar.with_style(style))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_samples_asked_for_are_counted() {
        let metrics = "# TYPE effects_total counter\neffects_total{executor=\"smtp\",outcome=\"done\"} 3\n\
            effects_total{executor=\"smtp\",outcome=\"retry\"} 2\neffects_total{executor=\"webhook\",outcome=\"done\"} 4\n";
        assert_eq!(counted(metrics, "effects_total{", "outcome=\"done\""), 7);
        assert_eq!(counted(metrics, "effects_total{", "outcome=\"dead\""), 0);
    }
}
