//! `steward audit`: evidence checked without a network and without trust in who made it.

use std::path::{Path, PathBuf};

use anyhow::Context;
use clap::{Args, Subcommand};
use contracts::Jwks;
use governance::evidence::{self, Broken, Verified};
use serde_json::{Value, json};

use super::tell;

#[derive(Debug, Subcommand)]
pub(super) enum AuditVerb {
    /// Check an evidence bundle. Exit code 0: everything holds; 1: something does not; 2: a file cannot be read; 3: the
    /// bundle lacks the proof from the earlier checkpoint on, so it cannot be told.
    Verify(VerifyArgs),
}

#[derive(Debug, Args)]
pub(super) struct VerifyArgs {
    /// As `GET /approvals/v1/approvals/{id}/evidence` answered, byte for byte.
    file: PathBuf,
    /// A checkpoint kept from before: the note, the answer of `/v1/audit/checkpoint`, or an older evidence bundle. The log
    /// must begin with it.
    #[arg(long, value_name = "FILE")]
    checkpoint: Option<PathBuf>,
    /// Keys to trust instead of those in the file (JWKS): of the audit log (`/approvals/v1/audit/keys`) and of grants
    /// (`/approvals/.well-known/jwks.json`). May be given several times.
    #[arg(long, value_name = "FILE|URL")]
    jwks: Vec<String>,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

/// The file does not hold; it has been told why.
#[derive(Clone, Copy, Debug, thiserror::Error)]
#[error("the evidence does not hold")]
pub(crate) struct NotProved {
    pub(crate) exit_code: u8,
}

/// An input that cannot be used.
#[derive(Clone, Debug, thiserror::Error)]
#[error("{0}")]
pub(crate) struct Unreadable(String);

pub(super) async fn run(verb: AuditVerb) -> anyhow::Result<()> {
    let AuditVerb::Verify(args) = verb;
    let file = read(&args.file)?;
    let earlier = args.checkpoint.as_deref().map(earlier).transpose()?;
    let mut trusted = Jwks::default();
    for source in &args.jwks {
        trusted.keys.extend(keys(source).await?.keys);
    }
    let trusted = (!args.jwks.is_empty()).then_some(&trusted);
    let verdict = evidence::verify(&file, trusted, earlier.as_deref());
    if args.json {
        tell(&serde_json::to_string_pretty(&as_json(&verdict))?);
    } else {
        report(&verdict);
    }
    match verdict {
        Ok(_) => Ok(()),
        Err(Broken::Unproved { .. }) => Err(NotProved { exit_code: 3 }.into()),
        Err(_) => Err(NotProved { exit_code: 1 }.into()),
    }
}

fn read(path: &Path) -> anyhow::Result<Vec<u8>> {
    std::fs::read(path).with_context(|| Unreadable(format!("cannot read {}", path.display())))
}

/// The note in a file that holds one, or an answer or a bundle with one.
fn earlier(path: &Path) -> anyhow::Result<String> {
    let text = String::from_utf8(read(path)?).with_context(|| Unreadable(format!("{} is no text", path.display())))?;
    let Ok(value) = serde_json::from_str::<Value>(&text) else { return Ok(text) };
    let note = value["note"].as_str().or_else(|| value["evidence"]["checkpoint"].as_str());
    note.map(ToOwned::to_owned).with_context(|| Unreadable(format!("{} holds no checkpoint", path.display())))
}

async fn keys(source: &str) -> anyhow::Result<Jwks> {
    let bytes = if source.starts_with("https://") || source.starts_with("http://") {
        let answer = reqwest::get(source).await.and_then(reqwest::Response::error_for_status);
        answer.with_context(|| Unreadable(format!("cannot fetch {source}")))?.bytes().await?.to_vec()
    } else {
        read(Path::new(source))?
    };
    serde_json::from_slice(&bytes).with_context(|| Unreadable(format!("{source} is no JWKS of Ed25519 keys")))
}

fn as_json(verdict: &Result<Verified, Broken>) -> Value {
    match verdict {
        Ok(sound) => json!({
            "holds": true, "approval_id": sound.approval_id, "checks": sound.checks, "limits": sound.limits,
            "checkpoint": {"origin": sound.checkpoint.origin, "size": sound.checkpoint.size, "root": sound.checkpoint.root},
        }),
        Err(broken) => json!({"holds": false, "why": broken.to_string()}),
    }
}

fn report(verdict: &Result<Verified, Broken>) {
    match verdict {
        Ok(sound) => {
            tell(&format!("The evidence of approval {} holds.", sound.approval_id));
            sound.checks.iter().for_each(|check| tell(&format!("  ok    {check}")));
            sound.limits.iter().for_each(|limit| tell(&format!("  note  {limit}")));
            tell(&format!("Keep its checkpoint of {} leaves: a later file must begin with it.", sound.checkpoint.size));
        }
        Err(broken @ Broken::Unproved { .. }) => tell(&format!("NOT PROVED: {broken}")),
        Err(broken) => tell(&format!("DOES NOT HOLD: {broken}")),
    }
}
