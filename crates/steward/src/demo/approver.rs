//! The asked person: reads the mail, opens the link, looks at the page, presses a button.

use std::{
    collections::HashSet,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use anyhow::{Context, bail, ensure};
use mail_parser::MessageParser;
use reqwest::{StatusCode, redirect::Policy};

const LOOK_AGAIN: Duration = Duration::from_millis(50);
const PATIENCE: Duration = Duration::from_secs(15);
/// What begins the path of a decision link.
const LINK: &str = "/approvals/decide/";

/// A mail that asks for a decision.
#[derive(Debug)]
pub(super) struct Mail {
    pub to: String,
    pub subject: String,
    link: String,
}

/// Reads the folder into which notify writes mails when it has no mail server.
#[derive(Debug)]
pub(super) struct Approver {
    folder: PathBuf,
    read: HashSet<PathBuf>,
    client: reqwest::Client,
}

impl Approver {
    /// What is in the folder already is another day's.
    pub(super) fn new(folder: PathBuf) -> anyhow::Result<Self> {
        let client = reqwest::Client::builder().no_proxy().redirect(Policy::none()).timeout(PATIENCE).build()?;
        let read = mails(&folder)?.into_iter().collect();
        Ok(Self { folder, read, client })
    }

    /// The next mail that asks for a decision.
    pub(super) async fn next_mail(&mut self) -> anyhow::Result<Mail> {
        let started = Instant::now();
        while started.elapsed() < PATIENCE {
            for path in mails(&self.folder)? {
                if self.read.insert(path.clone())
                    && let Some(mail) = read(&path)?
                {
                    return Ok(mail);
                }
            }
            tokio::time::sleep(LOOK_AGAIN).await;
        }
        bail!("no mail that asks for a decision came within {} s", PATIENCE.as_secs())
    }

    /// Opens the page, as a mail program's preview would too.
    pub(super) async fn look(&self, mail: &Mail) -> anyhow::Result<()> {
        let page = self.client.get(&mail.link).send().await.context("the link of the mail does not answer")?;
        let status = page.status();
        let shown = page.text().await?;
        ensure!(status == StatusCode::OK, "the decision page answered {status}");
        ensure!(shown.contains(r#"value="approve""#), "the decision page has no button to approve");
        Ok(())
    }

    /// Presses the button.
    pub(super) async fn approve(&self, mail: &Mail, comment: &str) -> anyhow::Result<()> {
        let form = [("decision", "approve"), ("comment", comment)];
        let answer =
            self.client.post(&mail.link).form(&form).send().await.context("the decision page does not answer")?;
        let status = answer.status();
        ensure!(status == StatusCode::SEE_OTHER, "the decision page answered {status} to the decision");
        Ok(())
    }
}

fn mails(folder: &Path) -> anyhow::Result<Vec<PathBuf>> {
    if !folder.exists() {
        return Ok(Vec::new());
    }
    let entries = std::fs::read_dir(folder).with_context(|| format!("cannot read {}", folder.display()))?;
    let paths = entries.map(|entry| entry.map(|entry| entry.path()));
    let mut paths: Vec<PathBuf> = paths.collect::<Result<_, _>>()?;
    paths.retain(|path| path.extension().is_some_and(|extension| extension == "eml"));
    // Named by effect id, so the order of names is the order of time.
    paths.sort();
    Ok(paths)
}

/// `None` when the mail asks for no decision.
fn read(path: &Path) -> anyhow::Result<Option<Mail>> {
    let bytes = std::fs::read(path).with_context(|| format!("cannot read {}", path.display()))?;
    let mail = MessageParser::default().parse(&bytes).with_context(|| format!("{} is no mail", path.display()))?;
    let body = mail.body_text(0).unwrap_or_default();
    let Some(link) = body.split_whitespace().find(|word| word.contains(LINK)) else { return Ok(None) };
    let to = mail.to().and_then(|to| to.first()).and_then(|one| one.address()).unwrap_or_default();
    let subject = mail.subject().unwrap_or_default();
    Ok(Some(Mail { to: to.to_owned(), subject: subject.to_owned(), link: link.to_owned() }))
}
