//! RabbitMQ goes away in every way that it can.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use anyhow::{Result, ensure};
use testkit::Way;
use tokio::time::sleep;

use crate::ground::{Ground, Stream, case};

/// Longer than a publisher waits for its confirms.
const NO_CONFIRM: Duration = Duration::from_secs(12);

async fn restarts(ground: &Ground) -> Result<()> {
    sleep(Duration::from_secs(1)).await;
    let mut rabbitmq = ground.rabbitmq.lock().await;
    rabbitmq.stop().await?;
    sleep(Duration::from_secs(2)).await;
    rabbitmq.start_again().await?;
    sleep(Duration::from_secs(3)).await;
    rabbitmq.kill9();
    rabbitmq.start_again().await
}

#[test]
fn a_broker_that_is_stopped_killed_and_cut_off_loses_and_doubles_nothing() -> Result<()> {
    case(async |ground: &Arc<Ground>| {
        let away = async {
            restarts(ground).await?;
            for _ in 0..10 {
                sleep(Duration::from_millis(700)).await;
                ground.wire.cut();
            }
            ground.wire.refuse();
            sleep(Duration::from_secs(3)).await;
            ground.wire.resume();
            Ok(())
        };
        let seen = Stream("BUS").under(ground, Duration::from_secs(25), away).await?;
        ensure!(seen.told("notify", "bus: consumer"), "the notifier's readiness never told of it: {seen}");
        ensure!(seen.told("supply", "bus: publisher"), "supply's readiness never told of it: {seen}");
        let red = seen.red.get("supply");
        ensure!(red.is_none(), "supply takes work without a broker, but said that it was not ready: {red:?}");
        Ok(())
    })
}

/// Connections that the broker holds, by the name that a service gave to each.
async fn connections(ground: &Ground) -> Result<BTreeMap<String, usize>> {
    let rabbitmq = ground.rabbitmq.lock().await;
    let list = rabbitmq.ctl(&["-q", "--no-table-headers", "list_connections", "client_properties"]).await?;
    let mut counts = BTreeMap::new();
    for name in list.lines().filter_map(|line| line.split('"').find(|part| part.starts_with("steward."))) {
        *counts.entry(name.to_owned()).or_default() += 1;
    }
    Ok(counts)
}

#[test]
fn a_broker_under_alarm_and_one_that_never_confirms_lose_and_double_nothing() -> Result<()> {
    case(async |ground: &Arc<Ground>| {
        let silent = async {
            sleep(Duration::from_secs(1)).await;
            // What is published arrives, and nobody hears of it.
            ground.wire.stall(Way::ToClient);
            sleep(NO_CONFIRM).await;
            ground.wire.resume();
            sleep(Duration::from_secs(1)).await;
            ground.rabbitmq.lock().await.alarm(true).await?;
            sleep(NO_CONFIRM * 2).await;
            let held = connections(ground).await?;
            ground.rabbitmq.lock().await.alarm(false).await?;
            // One of each replica; those that were given up would stay until the broker reads again.
            ensure!(held.values().all(|count| *count <= 2), "connections pile up under the alarm: {held:?}");
            ensure!(held.contains_key("steward.supply.publisher"), "these are not our connections: {held:?}");
            Ok(())
        };
        let seen = Stream("ALARM").under(ground, Duration::from_secs(25), silent).await?;
        ensure!(seen.told("supply", "resource alarm"), "supply's readiness never told of the alarm: {seen}");
        ensure!(seen.told("supply", "timed out"), "supply's readiness never told of the silence: {seen}");
        Ok(())
    })
}
