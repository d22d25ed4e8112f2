//! PostgreSQL dies in mid-transaction, again and again; Redis is not there at all.

use std::{sync::Arc, time::Duration};

use anyhow::{Result, ensure};
use tokio::time::sleep;

use crate::{
    chance::Chance,
    ground::{Ground, Stream, case},
    watch::SERVICES,
};

#[test]
fn a_database_that_dies_in_mid_transaction_loses_and_doubles_nothing() -> Result<()> {
    case(async |ground: &Arc<Ground>| {
        let dying = async {
            let mut chance = Chance::of("BASE");
            for round in 0..4 {
                sleep(chance.millis(800, 2500)).await;
                let mut postgres = ground.postgres.lock().await;
                if round % 2 == 0 {
                    postgres.kill9()
                } else {
                    postgres.stop_at_once().await?
                }
                // Once so long that no probe can wait for the end of it.
                sleep(if round == 0 { Duration::from_secs(8) } else { chance.millis(500, 2000) }).await;
                postgres.start_again().await?;
            }
            Ok(())
        };
        let seen = Stream("BASE").under(ground, Duration::from_secs(20), dying).await?;
        let red = |service: &&str| {
            seen.red.get(service).is_some_and(|reasons| reasons.iter().any(|reason| reason.contains("store: ")))
        };
        ensure!(SERVICES.iter().all(red), "not everybody told why it was red: {seen}");
        Ok(())
    })
}

#[test]
fn without_redis_everything_goes_on() -> Result<()> {
    case(async |ground: &Arc<Ground>| {
        ground.redis.lock().await.kill9();
        let ran = Stream("CACHE").under(ground, Duration::from_secs(5), async { Ok(()) }).await;
        ground.redis.lock().await.start_again().await?;
        let seen = ran?;
        ensure!(seen.red.is_empty(), "Redis is no reason to take no work: {seen}");
        Ok(())
    })
}
