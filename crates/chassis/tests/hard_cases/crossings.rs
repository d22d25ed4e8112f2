//! Two at once: replicas, transactions that have not committed, claims that are given back.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};

use chassis::{HandleError, relay::Attempt};
use contracts::events::StockRanLow;
use serde_json::json;
use testkit::{eventually, require};
use tokio::sync::Semaphore;

use crate::ground::{Ground, STEP, Ship, effect, hear, service};

#[tokio::test(flavor = "multi_thread")]
async fn no_effect_is_claimed_while_nobody_is_free_to_carry_it_out() {
    let gate = Arc::new(Semaphore::new(0));
    let at_gate = Arc::clone(&gate);
    let mut ship = Ship::acting(move |_, _| {
        let gate = Arc::clone(&at_gate);
        async move {
            gate.acquire().await.unwrap().forget();
            Ok(json!({}))
        }
    });
    ship.concurrency = 1;
    let replica = Ground::laptop().host(service().executor(Arc::new(ship))).await;
    replica.promise("one").await;
    replica.promise("two").await;
    replica.until(STEP, "one is claimed", 1, "SELECT COUNT(*) FROM outbox WHERE claim IS NOT NULL").await;
    replica.idle().await;
    let claimed = "SELECT COUNT(*) FROM outbox WHERE claim IS NOT NULL";
    assert_eq!(replica.count(claimed).await, 1, "the other is left to a replica that is free");
    gate.add_permits(2);
    replica.until(STEP, "both are done", 2, "SELECT COUNT(*) FROM outbox WHERE state = 'done'").await;
    replica.running.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_effect_given_back_by_the_breaker_makes_room_for_its_coalesced_twin() {
    let calls = Arc::new(AtomicU32::new(0));
    let counted = Arc::clone(&calls);
    let mut ship = Ship::acting(move |_, _| {
        let call = counted.fetch_add(1, Ordering::SeqCst);
        async move { if call < 5 { Err(Attempt::retry("503")) } else { Ok(json!({})) } }
    });
    let (seen, claimed) = std::sync::mpsc::channel();
    let (go_on, held) = std::sync::mpsc::channel::<()>();
    let held = std::sync::Mutex::new(held);
    ship.look = Arc::new(move |effect| {
        if effect.order_key == "first" && seen.send(()).is_ok() {
            // Only its first claim is held up: the test then lets go of the other end.
            let _released = held.lock().unwrap().recv();
        }
    });
    let ground = Ground::laptop().with("relay: {retry_seconds: [0, 0, 0, 0, 0]}");
    let replica = ground.host(service().executor(Arc::new(ship))).await;
    // Five failures open the breaker.
    replica.promise("down").await;
    eventually(Duration::from_secs(10), "five attempts", async || {
        anyhow::ensure!(calls.load(Ordering::SeqCst) == 5);
        Ok(())
    })
    .await;
    let coalesced = async |order_key: &str| {
        let mut tx = replica.begin().await;
        tx.effect(effect(order_key).coalesce("sku")).await.unwrap();
        tx.commit().await.unwrap();
    };
    coalesced("first").await;
    tokio::task::block_in_place(|| claimed.recv_timeout(Duration::from_secs(10))).unwrap();
    coalesced("second").await;
    drop((claimed, go_on));
    let given_back = "SELECT COUNT(*) FROM outbox WHERE state = 'pending' AND claim IS NULL AND attempts = 0";
    replica.until(Duration::ZERO, "both are given back, with no attempt used up", 2, given_back).await;
    replica.until(STEP, "all done", 3, "SELECT COUNT(*) FROM outbox WHERE state = 'done' AND doubts = 0").await;
    replica.running.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_effect_onto_which_another_was_coalesced_waits_for_that_commit() {
    require!(Postgres);
    let calls = Arc::new(AtomicU32::new(0));
    let counted = Arc::clone(&calls);
    let ship = Ship::acting(move |_, _| {
        counted.fetch_add(1, Ordering::SeqCst);
        async { Ok(json!({})) }
    });
    let replica = Ground::postgres().await.host(service().executor(Arc::new(ship))).await;
    let mut tx = replica.begin().await;
    let later = tx.now() + Duration::from_secs(5);
    let first = tx.effect(effect("sku").coalesce("sku").not_before(later)).await.unwrap();
    tx.commit().await.unwrap();
    // What this transaction writes is not visible yet: carried out now, the effect would miss it.
    let mut tx = replica.begin().await;
    assert_eq!(tx.effect(effect("sku").coalesce("sku")).await.unwrap(), first);
    replica.idle().await;
    assert_eq!(calls.load(Ordering::SeqCst), 0, "it would have missed what is not committed");
    tx.commit().await.unwrap();
    replica.until(STEP, "done", 1, "SELECT COUNT(*) FROM outbox WHERE state = 'done'").await;
    assert_eq!(calls.load(Ordering::SeqCst), 1);
    replica.running.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn events_of_a_subject_keep_their_order_over_two_replicas() {
    require!(Postgres, RabbitMq);
    let (ground, _) = Ground::cluster().await;
    let slow_at_first = || {
        service().on::<StockRanLow>(|_, tx, event| {
            Box::pin(async move {
                // Long enough for the other replica to overtake, if it may.
                let pause = if event.payload.available > 8.0 { 800 } else { 0 };
                tokio::time::sleep(Duration::from_millis(pause)).await;
                hear(tx, &event.payload).await
            })
        })
    };
    let (one, two) = (ground.host(slow_at_first()).await, ground.host(slow_at_first()).await);
    for replica in [&one, &two] {
        eventually(Duration::from_secs(20), "ready", async || {
            let ready = reqwest::get(format!("{}/readyz", replica.running.base_url())).await?;
            anyhow::ensure!(ready.status() == 200, "{}", ready.text().await?);
            Ok(())
        })
        .await;
    }
    for available in [9.0, 3.0, 2.0, 1.0] {
        one.emit("sku", available).await;
    }
    one.until(STEP, "all heard", 4, "SELECT COUNT(*) FROM audit WHERE verb = 'heard'").await;
    let mut reader = one.cx().store().read().await.unwrap();
    let heard: Vec<(String,)> = sqlx::query_as("SELECT details FROM audit WHERE verb = 'heard' ORDER BY seq")
        .fetch_all(&mut *reader)
        .await
        .unwrap();
    drop(reader);
    let order: Vec<_> = heard.iter().map(|(details,)| details.as_str()).collect();
    assert_eq!(order, ["{\"available\":9.0}", "{\"available\":3.0}", "{\"available\":2.0}", "{\"available\":1.0}"]);
    one.running.shutdown().await;
    // Who takes over when the active one has gone.
    two.emit("sku", 0.5).await;
    two.until(STEP, "heard by the other", 5, "SELECT COUNT(*) FROM audit WHERE verb = 'heard'").await;
    two.running.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_event_that_queued_behind_another_has_all_its_attempts_left() {
    let service = service().on::<StockRanLow>(|_, _, _| Box::pin(async { Err(HandleError::Heal("not yet".into())) }));
    let replica = Ground::laptop().with("relay: {retry_seconds: [60]}").host(service).await;
    replica.emit("sku", 2.0).await;
    let kept = "SELECT COUNT(*) FROM inbox WHERE state = 'pending'";
    replica.until(Duration::from_millis(10), "kept", 1, kept).await;
    replica.emit("sku", 1.0).await;
    replica.until(Duration::from_millis(10), "queued", 2, kept).await;
    assert_eq!(replica.count("SELECT attempts FROM inbox ORDER BY seq DESC LIMIT 1").await, 0);
    replica.running.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_replica_that_stands_still_inside_a_transaction_loses_its_locks() {
    require!(Postgres);
    let replica = Ground::postgres().await.host(service()).await;
    let mut stuck = replica.begin().await;
    // What every connection is given, a minute, is more than a test should wait.
    let limit = "SELECT current_setting('idle_in_transaction_session_timeout')";
    let (given,): (String,) = sqlx::query_as(limit).fetch_one(stuck.conn()).await.unwrap();
    assert_eq!(given, "1min");
    sqlx::query("SET idle_in_transaction_session_timeout = '100ms'").execute(stuck.conn()).await.unwrap();
    let lock = "INSERT INTO leases (name, holder, fence, expires_at) VALUES ('x', 'stuck', 1, 0)";
    sqlx::query(lock).execute(stuck.conn()).await.unwrap();
    tokio::time::sleep(Duration::from_millis(400)).await;
    let mut free = replica.begin().await;
    sqlx::query(lock).execute(free.conn()).await.unwrap();
    free.commit().await.unwrap();
    let error = stuck.commit().await.unwrap_err();
    assert!(error.is_unavailable(), "{error:?}");
    replica.running.shutdown().await;
}
