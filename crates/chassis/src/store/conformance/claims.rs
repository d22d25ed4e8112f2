//! Claims of outbox rows: whoever has one is alone with it, until it runs out.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Mutex, PoisonError},
};

use super::*;
use crate::relay::Row;

const HOLD: Duration = Duration::from_secs(60);

pub(super) async fn conform(bed: &Bed) {
    a_crowd_claims_each_row_once_and_each_key_in_order(bed).await;
    a_claim_that_ran_out_is_taken_by_another(bed).await;
    what_is_given_back_has_lost_no_attempt(bed).await;
    a_dead_head_holds_its_key_where_that_is_said(bed).await;
}

/// What the crowd saw of the rows.
#[derive(Default)]
struct Seen {
    under_way: BTreeSet<String>,
    done: BTreeMap<String, Vec<i64>>,
}

async fn a_crowd_claims_each_row_once_and_each_key_in_order(bed: &Bed) {
    const ROWS: usize = 2_000;
    const KEYS: usize = 250;
    let mut tx = bed.one.begin().await.unwrap();
    for row in 0..ROWS {
        tx.effect(effect("crowd", &format!("key-{}", row % KEYS))).await.unwrap();
    }
    tx.commit().await.unwrap();
    let seen = Arc::new(Mutex::new(Seen::default()));
    let claimers = (0..8).map(|claimer| {
        let store = if claimer % 2 == 0 { bed.one.clone() } else { bed.two.clone() };
        tokio::spawn(carry_out_all(store, Arc::clone(&seen)))
    });
    for claimer in claimers.collect::<Vec<_>>() {
        claimer.await.unwrap();
    }
    let seen = seen.lock().unwrap_or_else(PoisonError::into_inner);
    assert!(seen.under_way.is_empty());
    assert_eq!(seen.done.values().map(Vec::len).sum::<usize>(), ROWS, "each row once");
    for (key, seqs) in &seen.done {
        assert!(seqs.is_sorted_by(|earlier, later| earlier < later), "{key}: {seqs:?}");
    }
}

async fn carry_out_all(store: Store, seen: Arc<Mutex<Seen>>) {
    let left = "SELECT COUNT(*) FROM outbox WHERE destination = $1 AND state = 'pending'";
    while count(&store, left, "crowd").await > 0 {
        let rows = Row::claim(&store, "crowd", false, 40, HOLD).await.unwrap();
        for row in &rows {
            let mut seen = seen.lock().unwrap_or_else(PoisonError::into_inner);
            assert!(seen.under_way.insert(row.order_key.clone()), "{} is with two at once", row.order_key);
            assert_eq!((row.attempts, row.doubts), (1, 0));
        }
        tokio::task::yield_now().await;
        let mut tx = store.begin().await.unwrap();
        let ended: Vec<_> = rows.iter().map(|row| (row, "null".to_owned())).collect();
        assert!(Row::all_done(&mut tx, &ended).await.unwrap().into_iter().all(|done| done));
        for row in &rows {
            // Before the commit: after it, the next of the key may be with another already.
            let mut seen = seen.lock().unwrap_or_else(PoisonError::into_inner);
            seen.under_way.remove(&row.order_key);
            seen.done.entry(row.order_key.clone()).or_default().push(row.seq);
        }
        tx.commit().await.unwrap();
    }
}

async fn promise(bed: &Bed, executor: &'static str, keys: &[&str]) {
    let mut tx = bed.one.begin().await.unwrap();
    for key in keys {
        tx.effect(effect(executor, key)).await.unwrap();
    }
    tx.commit().await.unwrap();
}

async fn a_claim_that_ran_out_is_taken_by_another(bed: &Bed) {
    promise(bed, "slept", &["a"]).await;
    let claim = async |store: &Store| Row::claim(store, "slept", false, 5, HOLD).await.unwrap();
    let slept = claim(&bed.one).await;
    bed.clock.advance(HOLD - Duration::from_micros(1));
    assert!(claim(&bed.two).await.is_empty(), "it has not run out");
    bed.clock.advance(Duration::from_micros(1));
    let taken = claim(&bed.two).await;
    assert_eq!((taken[0].seq, taken[0].attempts, taken[0].doubts), (slept[0].seq, 2, 1));
    let mut tx = bed.one.begin().await.unwrap();
    let now = tx.now();
    assert_eq!(Row::all_done(&mut tx, &[(&slept[0], "1".into())]).await.unwrap(), [false]);
    assert!(!slept[0].give_up(&mut tx, "dead", "late").await.unwrap());
    slept[0].put_back(&mut tx, "late", now, true).await.unwrap();
    slept[0].unclaim(&mut tx, now).await.unwrap();
    tx.commit().await.unwrap();
    let mut tx = bed.two.begin().await.unwrap();
    // Both in one batch, as in a process that took its own row again after a long sleep.
    let both = [(&taken[0], "2".to_owned()), (&slept[0], "1".to_owned())];
    assert_eq!(Row::all_done(&mut tx, &both).await.unwrap(), [true, false]);
    tx.commit().await.unwrap();
    let ended = "SELECT attempts FROM outbox WHERE destination = $1 AND state = 'done' AND result = '2' \
                 AND last_error IS NULL";
    assert_eq!(count(&bed.one, ended, "slept").await, 2, "nothing that came late has touched it");
}

async fn what_is_given_back_has_lost_no_attempt(bed: &Bed) {
    promise(bed, "given", &["a"]).await;
    let claimed = Row::claim(&bed.one, "given", false, 5, HOLD).await.unwrap();
    let mut tx = bed.one.begin().await.unwrap();
    let later = tx.now() + HOLD;
    claimed[0].unclaim(&mut tx, later).await.unwrap();
    tx.commit().await.unwrap();
    assert!(Row::claim(&bed.two, "given", false, 5, HOLD).await.unwrap().is_empty(), "it rests");
    bed.clock.advance(HOLD);
    let again = Row::claim(&bed.two, "given", false, 5, HOLD).await.unwrap();
    assert_eq!((again[0].attempts, again[0].doubts), (1, 0));
}

async fn a_dead_head_holds_its_key_where_that_is_said(bed: &Bed) {
    promise(bed, "headed", &["a", "a", "b"]).await;
    let heads = Row::claim(&bed.one, "headed", true, 5, HOLD).await.unwrap();
    assert_eq!(heads.iter().map(|row| row.order_key.as_str()).collect::<Vec<_>>(), ["a", "b"]);
    let mut tx = bed.one.begin().await.unwrap();
    assert!(heads[0].give_up(&mut tx, "dead", "no such place").await.unwrap());
    tx.commit().await.unwrap();
    assert!(Row::claim(&bed.two, "headed", true, 5, HOLD).await.unwrap().is_empty(), "the dead head holds");
    let skipped = Row::claim(&bed.two, "headed", false, 5, HOLD).await.unwrap();
    assert_eq!(skipped.len(), 1, "or is passed by");
}
