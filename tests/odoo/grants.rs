//! A grant that does not stand drafts nothing, and the refusal says why.

use anyhow::{Context as _, Result, ensure};
use serde_json::Value;
use steward_e2e::bed::{Answer, Bed, DONOR_ABROAD, SOON, STORE, Who};
use testkit::poll;

use crate::ground::{ask, case, ended, granted, promised};

/// The problem of a refusal; its type is a page of its own.
fn refused(answer: &Answer, status: u16, slug: &str) -> Result<Value> {
    let problem: Value = serde_json::from_str(&answer.text).with_context(|| format!("no problem: {}", answer.text))?;
    let kind = problem["type"].as_str().unwrap_or_default();
    ensure!(answer.status == status && kind.ends_with(&format!("/{slug}")), "answered {}: {problem}", answer.status);
    Ok(problem)
}

async fn drafts_nothing(bed: &Bed, sku: &str) -> Result<()> {
    let drafts = bed.transfers(sku).await?;
    ensure!(drafts.is_empty(), "drafted all the same: {drafts:?}");
    Ok(())
}

#[test]
fn a_used_grant_is_refused_with_the_operation_that_used_it() -> Result<()> {
    case(async |bed| {
        let grant = granted(bed, "USED").await?;
        let id = promised(bed, "USED", &grant).await?;
        ended(bed, &id).await?;
        let problem = refused(&ask(bed, "USED", "once-more", &grant).await?, 409, "grant-used")?;
        ensure!(problem["detail"].as_str().is_some_and(|detail| detail.contains(&id)), "it says {problem}");
        bed.transfer("USED").await?;
        Ok(())
    })
}

#[test]
fn a_foreign_expired_or_altered_grant_is_refused_each_by_its_own_name() -> Result<()> {
    case(async |bed| {
        let good = granted(bed, "FOREIGN").await?;
        let foreign = bed.forge(&good, |grant| grant.audience = "steward/notify".into())?;
        let expired = bed.forge(&good, |grant| grant.expires_at = grant.issued_at)?;
        let strange = good.split('.').map(|part| part.chars().rev().collect()).collect::<Vec<String>>().join(".");
        let other = granted(bed, "OTHER").await?;
        for (name, grant, slug) in [
            ("foreign", &foreign, "grant-foreign"),
            ("expired", &expired, "grant-expired"),
            ("strange", &strange, "grant-malformed"),
            ("other", &other, "grant-other-action"),
        ] {
            refused(&ask(bed, "FOREIGN", name, grant).await?, 403, slug)?;
        }
        drafts_nothing(bed, "FOREIGN").await?;
        // None of them has used up the good one.
        promised(bed, "FOREIGN", &good).await?;
        bed.transfer("FOREIGN").await?;
        Ok(())
    })
}

#[test]
fn a_grant_whose_facts_have_moved_in_odoo_is_refused_with_the_fact() -> Result<()> {
    case(async |bed| {
        let grant = granted(bed, "DRIFT").await?;
        bed.count("DRIFT", DONOR_ABROAD, 30.0).await?;
        let known = async || {
            let facts = bed.api(Who::N8n).get(&format!("/supply/v1/facts/DRIFT/{STORE}")).await?.success()?;
            ensure!(facts["donors"][0]["stock"]["on_hand"] == 30.0, "known: {}", facts["donors"]);
            Ok(())
        };
        poll(SOON, "the count is known", known).await?;
        let problem = refused(&ask(bed, "DRIFT", "drifted", &grant).await?, 409, "facts-drifted")?;
        let fact = format!("/donors/[location={DONOR_ABROAD}]/stock/on_hand");
        let named = problem["errors"].as_array().is_some_and(|errors| errors.iter().any(|one| one["pointer"] == fact));
        ensure!(named, "it says {problem}");
        drafts_nothing(bed, "DRIFT").await
    })
}
