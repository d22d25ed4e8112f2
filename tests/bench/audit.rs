//! The audit log: how fast one sequencer folds while others write, how far it stays behind, and how long checking a
//! million leaves takes. PostgreSQL is durable; writers and sequencer share this process, as they share a service.

use std::{
    net::TcpListener,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, ensure};
use chassis::{
    Cx, Settings,
    audit::{self, Log},
    host::{self, HostOptions},
};
use futures_util::future::try_join_all;
use serde_json::json;

use crate::{
    Report,
    ground::durable_postgres,
    probe,
    report::{Aim, Line},
};

/// What is asked for: 3,000 leaves a second. Offered is a third more, in transactions of four leaves, as a decision has.
const WRITERS: u64 = 8;
const LEAVES: u64 = 4;
const OFFERED: u64 = 4_000;
const DURATION: Duration = Duration::from_secs(20);
/// Leaves that are checked.
const MANY: u64 = 1_000_000;

pub(crate) async fn measure(report: &mut Report) -> Result<()> {
    let postgres = durable_postgres().await?;
    let settings = json!({"store": {"url": postgres.url(), "max_connections": 20}}).to_string();
    let settings = Settings::from_yaml(&settings)?;
    let listener = Some(TcpListener::bind("127.0.0.1:0")?);
    let options = HostOptions { listener, ..HostOptions::default() };
    let running = host::start(vec![probe::service()], &settings, options).await?;
    let cx = running.cx("probe").context("the probe is hosted")?.clone();
    under_load(&cx, report).await?;
    a_million(&cx, report).await?;
    running.shutdown().await;
    Ok(())
}

async fn under_load(cx: &Cx, report: &mut Report) -> Result<()> {
    let over = Arc::new(AtomicBool::new(false));
    let (watched, seen) = (cx.clone(), Arc::clone(&over));
    let watch = tokio::spawn(async move {
        let mut worst: f64 = 0.0;
        while !seen.load(Ordering::Relaxed) {
            worst = worst.max(audit::lag(&watched).await?.seconds);
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        anyhow::Ok(worst)
    });
    let (began, before) = (Instant::now(), size(cx).await?);
    let pace = Duration::from_secs_f64((WRITERS * LEAVES) as f64 / OFFERED as f64);
    let writers = (0..WRITERS).map(|writer| {
        let cx = cx.clone();
        async move {
            let mut pace = tokio::time::interval(pace);
            while began.elapsed() < DURATION {
                pace.tick().await;
                write(&cx, writer).await?;
            }
            anyhow::Ok(())
        }
    });
    try_join_all(writers).await?;
    while audit::lag(cx).await?.unfolded > 0 {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let seconds = began.elapsed().as_secs_f64();
    over.store(true, Ordering::Relaxed);
    let worst = watch.await??;
    let folded = (size(cx).await? - before) as f64 / seconds;
    report.line(Line {
        measure: "audit leaves written with a durable commit per four, and folded".to_owned(),
        unit: "leaves/s",
        ours: folded,
        yardstick: Some(("asked for", 3_000.0)),
        aim: Aim::RatioAtLeast(1.0),
    });
    report.line(Line {
        measure: "audit: age of the oldest leaf outside of a checkpoint, worst seen".to_owned(),
        unit: "s",
        ours: worst,
        yardstick: None,
        aim: Aim::AtMost(1.0),
    });
    Ok(())
}

async fn write(cx: &Cx, writer: u64) -> Result<()> {
    let mut tx = cx.store().begin().await?;
    let subject = format!("approval:{}", tx.new_id());
    for step in 0..LEAVES {
        let details = json!({"step": step, "comment": "within the weekly plan", "via": "key", "version": 3, "writer": writer,
            "facts_hash": "sha256:9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08"});
        tx.audit("person:olga", "approval.approved", &subject, details).await?;
    }
    Ok(tx.commit().await?)
}

async fn size(cx: &Cx) -> Result<u64> {
    Ok(Log::open(cx).await?.map_or(0, |log| log.checkpoint().size))
}

async fn a_million(cx: &Cx, report: &mut Report) -> Result<()> {
    let missing = MANY.saturating_sub(size(cx).await?);
    let began = Instant::now();
    let mut left = missing;
    while left > 0 {
        let batch = left.min(2_000);
        let mut tx = cx.store().begin().await?;
        for number in 0..batch {
            let details = json!({"step": 0, "comment": "within the weekly plan", "via": "key", "number": number});
            tx.audit("person:olga", "approval.approved", "approval:many", details).await?;
        }
        tx.commit().await?;
        left -= batch;
    }
    while size(cx).await? < MANY {
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    report.note(format!("{missing} leaves written and folded in {:.0} s", began.elapsed().as_secs_f64()));
    let began = Instant::now();
    let checked = audit::check(cx).await?;
    let seconds = began.elapsed().as_secs_f64();
    ensure!(checked.is_sound() && checked.leaves >= MANY, "the log is not what was signed: {checked:?}");
    report.line(Line {
        measure: format!("audit: all {} leaves read, hashed and compared with the signed root", checked.leaves),
        unit: "s",
        ours: seconds,
        yardstick: None,
        aim: Aim::AtMost(5.0),
    });
    Ok(())
}
