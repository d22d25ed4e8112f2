//! Panics and failing stores: an attempt like any other, and never the end of a loop.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};

use chassis::{Job, relay::Attempt, store::StoreError};
use contracts::events::StockRanLow;
use serde_json::{Value, json};
use testkit::require;

use crate::ground::{Ground, Replica, STEP, Ship, hear, service};

const HEARD: &str = "SELECT COUNT(*) FROM audit WHERE verb = 'heard'";

/// A service whose handler panics at the first sight of each event of `fragile`.
async fn with_a_panicking_handler(ground: &Ground) -> Replica {
    let seen = Arc::new(AtomicU32::new(0));
    let service = service().on::<StockRanLow>(move |_, tx, event| {
        let seen = Arc::clone(&seen);
        Box::pin(async move {
            if event.payload.product.as_str() == "fragile" {
                assert!(seen.fetch_add(1, Ordering::SeqCst) > 0, "a handler's bug, made on purpose");
            }
            hear(tx, &event.payload).await
        })
    });
    ground.host(service).await
}

async fn a_handler_s_panic_is_tried_again_and_stops_nobody(replica: Replica) {
    replica.emit("fragile", 1.0).await;
    replica.emit("other", 1.0).await;
    replica.until(STEP, "both heard", 2, HEARD).await;
    replica.emit("fragile", 2.0).await;
    replica.until(STEP, "the same subject goes on", 3, HEARD).await;
    replica.running.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_panicking_handler_stops_nobody_in_process() {
    a_handler_s_panic_is_tried_again_and_stops_nobody(with_a_panicking_handler(&Ground::laptop()).await).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_panicking_handler_stops_nobody_on_rabbitmq() {
    require!(Postgres, RabbitMq);
    let (ground, _) = Ground::cluster().await;
    a_handler_s_panic_is_tried_again_and_stops_nobody(with_a_panicking_handler(&ground).await).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_executor_that_panics_uses_up_its_attempts_and_becomes_a_dead_letter() {
    let calls = Arc::new(AtomicU32::new(0));
    let counted = Arc::clone(&calls);
    let ship = Ship::acting(move |_, effect| {
        counted.fetch_add(1, Ordering::SeqCst);
        async move { if effect.order_key == "bad" { panic!("an executor's bug, made on purpose") } else { Ok(json!({})) } }
    });
    let ground = Ground::laptop().with("relay: {retry_seconds: [0, 1]}");
    let replica = ground.host(service().executor(Arc::new(ship))).await;
    replica.promise("bad").await;
    replica.until(STEP, "given up", 1, "SELECT COUNT(*) FROM outbox WHERE order_key = 'bad' AND state = 'dead'").await;
    assert_eq!(calls.load(Ordering::SeqCst), 3, "as many attempts as the schedule gives");
    replica.running.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn attempts_that_end_with_the_process_are_bounded_too() {
    let calls = Arc::new(AtomicU32::new(0));
    let counted = Arc::clone(&calls);
    let ship = Ship::acting(move |_, _| {
        counted.fetch_add(1, Ordering::SeqCst);
        async { Ok(json!({})) }
    });
    let ground = Ground::laptop().with("relay: {retry_seconds: [0, 1]}");
    let replica = ground.host(service().executor(Arc::new(ship))).await;
    // What three processes leave behind that were killed while they carried it out.
    let mut tx = replica.begin().await;
    let later = tx.now() + Duration::from_secs(3600);
    let id = tx.effect(crate::ground::effect("killer").not_before(later)).await.unwrap();
    tx.commit().await.unwrap();
    let mut tx = replica.begin().await;
    let left = "UPDATE outbox SET attempts = 3, claim = 'a dead replica', claimed_until = 0, next_attempt_at = 0 WHERE id = $1";
    sqlx::query(left).bind(id).execute(tx.conn()).await.unwrap();
    tx.commit().await.unwrap();
    replica
        .until(STEP, "given up", 1, "SELECT COUNT(*) FROM outbox WHERE order_key = 'killer' AND state = 'dead'")
        .await;
    assert_eq!(calls.load(Ordering::SeqCst), 0, "not carried out a fourth time");
    replica.running.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_end_that_the_store_did_not_take_is_recorded_again_without_doing_it_again() {
    let (calls, refusals) = (Arc::new(AtomicU32::new(0)), AtomicU32::new(2));
    let counted = Arc::clone(&calls);
    let mut ship = Ship::acting(move |_, _| {
        counted.fetch_add(1, Ordering::SeqCst);
        async { Ok::<Value, Attempt>(json!({})) }
    });
    ship.settle = Arc::new(move |_| {
        match refusals.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| left.checked_sub(1)) {
            Ok(_) => Err(StoreError::Unavailable(sqlx::Error::PoolTimedOut)),
            Err(_) => Ok(()),
        }
    });
    let replica = Ground::laptop().host(service().executor(Arc::new(ship))).await;
    replica.promise("calm").await;
    replica
        .until(Duration::ZERO, "done", 1, "SELECT COUNT(*) FROM outbox WHERE order_key = 'calm' AND state = 'done'")
        .await;
    assert_eq!(calls.load(Ordering::SeqCst), 1);
    replica.running.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_that_panics_has_its_next_turn() {
    let turns = Arc::new(AtomicU32::new(0));
    let counted = Arc::clone(&turns);
    let job = Job::every("fragile", Duration::from_secs(1), move |cx, _| {
        let turn = counted.fetch_add(1, Ordering::SeqCst);
        Box::pin(async move {
            assert!(turn > 0, "a job's bug, made on purpose");
            let mut tx = cx.store().begin().await?;
            tx.audit("service:probe", "turned", "job", json!({})).await?;
            Ok(tx.commit().await?)
        })
    });
    let replica = Ground::laptop().host(service().job(job)).await;
    let turned = "SELECT CASE WHEN COUNT(*) > 0 THEN 1 ELSE 0 END FROM audit WHERE verb = 'turned'";
    replica.until(STEP, "a later turn", 1, turned).await;
    replica.running.shutdown().await;
}
