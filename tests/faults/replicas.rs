//! Processes end: killed at random points, or asked to, one after another.

use std::{sync::Arc, time::Duration};

use anyhow::Result;
use steward_e2e::bed::Name;
use tokio::time::sleep;

use crate::{
    chance::Chance,
    ground::{Ground, PATIENCE, Stream, case},
};

/// How long the mail server keeps its receipt back: the window in which a kill leaves a mail in doubt.
const RECEIPT: Duration = Duration::from_millis(400);
/// How often each replica is killed.
const ROUNDS: usize = 2;

async fn names(ground: &Ground) -> Vec<Name> {
    ground.fleet.lock().await.addresses().into_iter().map(|(name, _)| name).collect()
}

/// Every replica dies twice, in random order, at random moments.
async fn kill_at_random(ground: &Ground) -> Result<()> {
    let mut chance = Chance::of("KILL");
    for _ in 0..ROUNDS {
        let mut victims = names(ground).await;
        chance.shuffle(&mut victims);
        for victim in victims {
            sleep(chance.millis(50, 700)).await;
            ground.fleet.lock().await.kill9(victim)?;
            sleep(chance.millis(0, 400)).await;
            ground.fleet.lock().await.start_again(victim).await?;
        }
    }
    Ok(())
}

/// Both notifiers die while the receipt of a mail is under way.
async fn kill_in_the_window(ground: &Ground) -> Result<()> {
    let known = ground.mails.count();
    while ground.mails.count() == known {
        sleep(Duration::from_millis(5)).await;
    }
    let mut fleet = ground.fleet.lock().await;
    for notifier in [("notify", 0), ("notify", 1)] {
        fleet.kill9(notifier)?;
    }
    for notifier in [("notify", 0), ("notify", 1)] {
        fleet.start_again(notifier).await?;
    }
    Ok(())
}

#[test]
fn replicas_killed_at_random_points_lose_nothing_and_double_only_what_is_in_doubt() -> Result<()> {
    case(async |ground: &Arc<Ground>| {
        ground.mails.hold_receipts(RECEIPT);
        let killing = async {
            tokio::time::timeout(PATIENCE, kill_in_the_window(ground)).await??;
            kill_at_random(ground).await
        };
        let ran = Stream("KILL").under(ground, Duration::from_secs(20), killing).await;
        ground.mails.hold_receipts(Duration::ZERO);
        ran.map(drop)
    })
}

#[test]
fn a_rolling_restart_loses_and_doubles_nothing() -> Result<()> {
    case(async |ground: &Arc<Ground>| {
        let rolling = async {
            for name in names(ground).await {
                let mut fleet = ground.fleet.lock().await;
                fleet.terminate(name).await?;
                fleet.start_again(name).await?;
            }
            Ok(())
        };
        let seen = Stream("ROLL").under(ground, Duration::from_secs(15), rolling).await?;
        let wrong: Vec<_> = seen.red.values().flatten().filter(|reason| !is_part_of_it(reason)).collect();
        anyhow::ensure!(wrong.is_empty(), "a rolling restart was told as trouble: {wrong:?}");
        Ok(())
    })
}

/// What a replica may say while it starts or ends.
fn is_part_of_it(reason: &str) -> bool {
    reason == "shutting down" || reason.ends_with("not connected yet") || reason.contains("store: ")
}
