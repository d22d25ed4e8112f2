//! Attempts over both stores: when the next one comes, and what a repeat does to a peer of each kind.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex},
    time::Duration,
};

use chassis::{
    relay::{Attempt, EffectKind},
    store::micros,
};
use serde_json::json;
use testkit::{eventually, require};

use crate::ground::{Ground, Replica, STEP, Ship, effect, service};

type Calls = Arc<Mutex<Vec<String>>>;

/// The row's attempts, and the instants of its last failure and its next attempt, in microseconds.
async fn resting(replica: &Replica) -> Option<(i64, i64, i64)> {
    let mut reader = replica.cx().store().read().await.unwrap();
    let select = "SELECT attempts, last_failed_at, next_attempt_at FROM outbox \
                  WHERE order_key = 'down' AND destination = 'ship' AND state = 'pending' AND claim IS NULL AND attempts > 0";
    sqlx::query_as(select).fetch_optional(&mut *reader).await.unwrap()
}

/// The third failure names a wish of its own, which counts; a shorter one than the schedule's would not.
async fn each_attempt_comes_when_the_schedule_says(ground: Ground) {
    let calls = Calls::default();
    let counted = Arc::clone(&calls);
    let ship = Ship::acting(move |_, effect| {
        counted.lock().unwrap().push(effect.id);
        let after = (effect.attempt >= 3).then(|| Duration::from_secs(if effect.attempt == 3 { 900 } else { 1 }));
        async move { Err(Attempt::Retry { cause: "503".into(), after }) }
    });
    let replica =
        ground.with("relay: {retry_seconds: [5, 10, 60, 300]}").host(service().executor(Arc::new(ship))).await;
    let id = replica.promise("down").await;
    for (attempt, range) in [(1, 4..=6), (2, 8..=12), (3, 900..=900), (4, 240..=360)] {
        let (_, failed, next) = eventually(Duration::from_secs(20), "it failed and rests", async || {
            let resting = resting(&replica).await.filter(|(attempts, ..)| *attempts == attempt);
            resting.ok_or_else(|| anyhow::anyhow!("{:?}", calls.lock().unwrap()))
        })
        .await;
        let seconds = range.start() * 1_000_000..=range.end() * 1_000_000;
        assert!(seconds.contains(&(next - failed)), "{} us after attempt {attempt}, wanted {seconds:?}", next - failed);
        let left = Duration::from_micros((next - micros(replica.clock.now())).unsigned_abs());
        replica.clock.advance(left - Duration::from_micros(1));
        tokio::time::sleep(Duration::from_millis(150)).await;
        assert_eq!(calls.lock().unwrap().len(), usize::try_from(attempt).unwrap(), "not a microsecond earlier");
        replica.clock.advance(Duration::from_micros(1));
        eventually(Duration::from_secs(20), "the next attempt", async || {
            // The loop looks once a second, and its second may have begun late.
            replica.clock.advance(Duration::from_millis(200));
            anyhow::ensure!(calls.lock().unwrap().len() > usize::try_from(attempt).unwrap());
            Ok(())
        })
        .await;
    }
    replica.until(STEP, "given up", 1, "SELECT COUNT(*) FROM outbox WHERE order_key = 'down' AND state = 'dead'").await;
    assert_eq!(*calls.lock().unwrap(), vec![id; 5], "the peer sees the same id each time");
    replica.running.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn each_attempt_comes_when_the_schedule_says_on_sqlite() {
    each_attempt_comes_when_the_schedule_says(Ground::laptop()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn each_attempt_comes_when_the_schedule_says_on_postgresql() {
    require!(Postgres);
    each_attempt_comes_when_the_schedule_says(Ground::postgres().await).await;
}

/// A replica was killed after it had carried out `left`, and before it could say so; `fresh` is new. The next replica
/// of a peer of this kind: what it carries out, and how many effects in doubt it counts.
async fn after_a_crash(ground: Ground, kind: EffectKind) -> (HashMap<String, usize>, String) {
    let calls = Calls::default();
    let counted = Arc::clone(&calls);
    let mut ship = Ship::acting(move |_, effect| {
        counted.lock().unwrap().push(effect.order_key);
        async { Ok(json!("made")) }
    });
    ship.kind = kind;
    let found = Arc::clone(&ship.found);
    let replica = ground.host(service().executor(Arc::new(ship))).await;
    let mut tx = replica.begin().await;
    let left = tx.effect(effect("left").not_before(tx.now() + Duration::from_secs(1))).await.unwrap();
    // A probe would find this one too: it is not asked before a first attempt.
    let fresh = tx.effect(effect("fresh").not_before(tx.now() + Duration::from_secs(1))).await.unwrap();
    tx.commit().await.unwrap();
    found.lock().unwrap().extend([left.clone(), fresh].map(|id| (id, json!("found"))));
    let mut tx = replica.begin().await;
    let crashed = "UPDATE outbox SET attempts = 1, claim = 'a dead replica', claimed_until = 0 WHERE id = $1";
    sqlx::query(crashed).bind(left).execute(tx.conn()).await.unwrap();
    tx.commit().await.unwrap();
    replica.until(STEP, "both are done", 2, "SELECT COUNT(*) FROM outbox WHERE state = 'done'").await;
    let metrics = reqwest::get(format!("{}/metrics", replica.running.base_url())).await.unwrap().text().await.unwrap();
    let counted = metrics.lines().find(|line| line.starts_with("in_doubt_total{")).unwrap_or_default().to_owned();
    replica.running.shutdown().await;
    let mut times = HashMap::new();
    for key in calls.lock().unwrap().drain(..) {
        *times.entry(key).or_default() += 1;
    }
    (times, counted)
}

async fn a_repeat_after_a_crash_is_as_the_peer_s_kind_bears(ground: impl AsyncFn() -> Ground) {
    let both = HashMap::from([("left".to_owned(), 1), ("fresh".to_owned(), 1)]);
    let idempotent = after_a_crash(ground().await, EffectKind::IdempotentPeer).await;
    assert_eq!(idempotent, (both.clone(), String::new()), "the peer knows the id");
    let (probed, counted) = after_a_crash(ground().await, EffectKind::Probeable).await;
    assert_eq!((probed, counted), (HashMap::from([("fresh".to_owned(), 1)]), String::new()), "asked before a repeat");
    let (doubtful, counted) = after_a_crash(ground().await, EffectKind::InDoubt).await;
    assert_eq!(doubtful, both);
    assert!(counted.contains("executor=\"ship\"") && counted.ends_with(" 1"), "{counted}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_repeat_after_a_crash_is_as_the_peer_s_kind_bears_on_sqlite() {
    a_repeat_after_a_crash_is_as_the_peer_s_kind_bears(async || Ground::laptop()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_repeat_after_a_crash_is_as_the_peer_s_kind_bears_on_postgresql() {
    require!(Postgres);
    a_repeat_after_a_crash_is_as_the_peer_s_kind_bears(Ground::postgres).await;
}
