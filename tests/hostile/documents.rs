//! Schemathesis over every OpenAPI document: thousands of requests that fit it and that do not. Whatever is answered
//! must be documented, with its content type, its shape and its headers, and nothing may be a server error.
//!
//! By hand, for long: `HOSTILE_EXAMPLES=2000 cargo test -p steward-e2e --test hostile documents`.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::Path,
    time::Duration,
};

use anyhow::{Context as _, Result, ensure};
use futures_util::future::try_join_all;
use serde_json::Value;
use steward::fleet::PREFIXES;
use testkit::{Program, Tool, require};

use super::fortress::{Fortress, HOOK_SECRET};

/// By operation: how often each status answered a request that fits the document.
type Tally = BTreeMap<String, BTreeMap<String, u32>>;

/// Operations that cannot succeed here, and why.
const NOTHING_TO_SHOW: [(&str, &str); 2] = [
    ("/scoring/v1/", "scoring has no effects, so no operations and no dead letters"),
    ("/supply/v1/", "its Odoo takes everything, so nothing is given up"),
];
/// Of all requests that fit a document, those that must get through.
const SHARE: f64 = 0.5;

#[tokio::test(flavor = "multi_thread")]
async fn every_answer_is_documented_and_none_is_a_server_error() -> Result<()> {
    require!(Schemathesis);
    let fortress = Fortress::start().await?;
    let mut told = Vec::new();
    // The person may call everything; what the program may not, must be refused as documented.
    for caller in ["owner", "n8n"] {
        let runs = PREFIXES
            .chunks(2)
            .map(|pair| async { try_join_all(pair.iter().map(|one| run(&fortress, one, caller))).await });
        for run in runs {
            told.extend(run.await?);
        }
    }
    let failures: Vec<&String> = told.iter().filter_map(|(_, printed)| printed.as_ref()).collect();
    ensure!(failures.is_empty(), "{}", failures.into_iter().cloned().collect::<Vec<_>>().join("\n"));
    let mut tally = Tally::new();
    for (operation, statuses) in told.into_iter().flat_map(|(tally, _)| tally) {
        let sum = tally.entry(operation).or_default();
        statuses.into_iter().for_each(|(status, count)| *sum.entry(status).or_default() += count);
    }
    enough_got_through(&fortress, &tally).await?;
    let errors = fortress.errors();
    ensure!(errors.is_empty(), "the fleet's log has errors:\n{}", errors.join("\n"));
    Ok(())
}

/// One document as one caller: the tally, and all that was printed if something was found.
async fn run(fortress: &Fortress, prefix: &str, caller: &str) -> Result<(Tally, Option<String>)> {
    let here = Path::new(env!("CARGO_MANIFEST_DIR")).join("hostile");
    let tally = fortress.folder.path().join(format!("{prefix}-{caller}.json"));
    let base = fortress.base_url();
    let mut args = vec!["--no-color".to_owned(), "--config-file".into(), "schemathesis.toml".into(), "run".into()];
    args.push(format!("{base}/{prefix}/openapi.json"));
    if caller != "owner" {
        // The limits of each field are the same for everybody.
        args.extend(["--phases".into(), "examples,fuzzing,stateful".into()]);
    }
    if let Ok(examples) = std::env::var("HOSTILE_EXAMPLES") {
        args.extend(["--max-examples".into(), examples]);
    }
    let program = Program::new(Tool::Schemathesis.find().context("schemathesis is gone")?).args(args).folder(here);
    let program = program.env("PYTHONDONTWRITEBYTECODE", "1").env("NO_COLOR", "1").envs([
        ("STEWARD_URL", base.clone()),
        ("STEWARD_KEY", fortress.key(caller)?),
        ("STEWARD_N8N_KEY", fortress.key("n8n")?),
        ("STEWARD_COLLEAGUE_KEY", fortress.colleague.clone()),
        ("STEWARD_HOOK_SECRET", HOOK_SECRET.to_owned()),
        ("STEWARD_DEAD_END", fortress.dead_end.uri()),
        ("STEWARD_MAILS", fortress.folder.path().join("data/mails").display().to_string()),
        ("STEWARD_RUN", format!("{prefix}-{caller}")),
        ("STEWARD_TALLY", tally.display().to_string()),
        // What an earlier run found must not decide what this one tries.
        ("HYPOTHESIS_STORAGE_DIRECTORY", fortress.folder.path().join("hypothesis").display().to_string()),
    ]);
    let patience = Duration::from_secs(if std::env::var_os("HOSTILE_EXAMPLES").is_some() { 7200 } else { 900 });
    let found = program.run(patience).await.err().map(|error| format!("{prefix} as {caller}: {error:#}"));
    let text = fs::read_to_string(&tally).with_context(|| format!("no tally: {found:?}"))?;
    Ok((serde_json::from_str(&text)?, found))
}

/// A run in which everything ends at the door proves nothing about the rooms behind it.
async fn enough_got_through(fortress: &Fortress, tally: &Tally) -> Result<()> {
    let mut operations = BTreeSet::new();
    for prefix in PREFIXES {
        let document: Value =
            reqwest::get(format!("{}/{prefix}/openapi.json", fortress.base_url())).await?.json().await?;
        for (path, item) in document["paths"].as_object().context("a document without paths")? {
            let methods =
                item.as_object().into_iter().flatten().filter(|(_, operation)| operation["responses"].is_object());
            operations.extend(methods.map(|(method, _)| format!("{} {path}", method.to_uppercase())));
        }
    }
    let (mut all, mut through) = (0, 0);
    let mut never = Vec::new();
    for operation in &operations {
        let statuses = tally.get(operation).cloned().unwrap_or_default();
        let good: u32 =
            statuses.iter().filter(|(status, _)| status.starts_with(['2', '3'])).map(|(_, count)| count).sum();
        all += statuses.values().sum::<u32>();
        through += good;
        let hopeless = NOTHING_TO_SHOW.iter().any(|(prefix, _)| operation.contains(prefix))
            && (operation.contains("/dead-letters/{id}") || operation.contains("/operations/{id}"));
        if good == 0 && !hopeless {
            never.push(format!("{operation}: {statuses:?}"));
        }
    }
    ensure!(never.is_empty(), "no valid request succeeded at\n{}", never.join("\n"));
    let share = f64::from(through) / f64::from(all.max(1));
    ensure!(share >= SHARE, "only {through} of {all} valid requests succeeded");
    Ok(())
}
