//! Leases: one holder at a time, and a fence that tells a holder which slept from the one that came after it.

use super::*;
use crate::jobs::Lease;

const HOLD: Duration = Duration::from_secs(30);

async fn take(store: &Store, holder: &str) -> Option<Lease> {
    Lease::take(store, "sweep", holder, HOLD).await.unwrap()
}

pub(super) async fn conform(bed: &Bed) {
    let first = take(&bed.one, "one").await.unwrap();
    assert!(take(&bed.two, "two").await.is_none(), "it is held");
    bed.clock.advance(HOLD / 2);
    assert_eq!(take(&bed.one, "one").await.unwrap().fence, first.fence, "renewed, not taken anew");
    bed.clock.advance(HOLD - Duration::from_micros(1));
    assert!(take(&bed.two, "two").await.is_none(), "the renewal counts");
    bed.clock.advance(Duration::from_micros(1));
    whoever_guards_keeps_the_next_holder_waiting(bed, &first).await;
    a_holder_that_slept_is_refused_before_it_commits(bed, &first).await;
    a_lease_given_back_is_free_at_once(bed).await;
}

/// The lease has run out, and its holder is inside the transaction that it guards: nobody takes over in the middle.
async fn whoever_guards_keeps_the_next_holder_waiting(bed: &Bed, first: &Lease) {
    let mut tx = bed.one.begin().await.unwrap();
    first.guard(&mut tx).await.unwrap();
    let two = bed.two.clone();
    let next = tokio::spawn(async move { take(&two, "two").await });
    tokio::time::sleep(Duration::from_millis(150)).await;
    assert!(!next.is_finished());
    tx.audit("service:probe", "guarded", "lease", json!({})).await.unwrap();
    tx.commit().await.unwrap();
    assert_eq!(next.await.unwrap().unwrap().fence, first.fence + 1, "a new holder, a higher fence");
}

async fn a_holder_that_slept_is_refused_before_it_commits(bed: &Bed, slept: &Lease) {
    let mut tx = bed.one.begin().await.unwrap();
    tx.audit("service:probe", "guarded", "slept", json!({})).await.unwrap();
    let refused = slept.guard(&mut tx).await.unwrap_err();
    assert!(matches!(refused, StoreError::Busy(_)), "{refused:?}");
    drop(tx);
    let leaves = "SELECT COUNT(*) FROM audit WHERE verb = 'guarded' AND subject = $1";
    assert_eq!((count(&bed.two, leaves, "lease").await, count(&bed.two, leaves, "slept").await), (1, 0));
}

async fn a_lease_given_back_is_free_at_once(bed: &Bed) {
    Lease::release(&bed.one, "sweep", "one").await.unwrap();
    assert!(take(&bed.one, "one").await.is_none(), "only its holder gives it back");
    Lease::release(&bed.two, "sweep", "two").await.unwrap();
    let held = take(&bed.two, "two").await.unwrap();
    Lease::release(&bed.two, "sweep", "two").await.unwrap();
    assert_eq!(take(&bed.one, "one").await.unwrap().fence, held.fence + 1);
}
