//! What must be true of the store, over SQLite and PostgreSQL. Each law has its own names for what it writes, so all of
//! them share one database, as two replicas do.

mod audit;
mod claims;
mod leases;

use std::{
    sync::{
        Arc,
        atomic::{AtomicI64, Ordering},
    },
    time::Duration,
};

use contracts::events::StockRanLow;
use jiff::Timestamp;
use serde_json::json;
use testkit::{Scratch, borrow_database, require};

use super::*;
use crate::{cx::Cx, jobs::Lease, relay::Row, telemetry::Metrics};

/// Two replicas' stores over one database, and a clock that stands.
struct Bed {
    one: Store,
    two: Store,
    clock: Clock,
    options: StoreOptions,
}

impl Bed {
    async fn over(url: String) -> Self {
        let clock = Clock::manual("2026-11-23T08:00:00Z".parse().unwrap());
        let options = StoreOptions { url, owner_url: None, schema: "probe", max_connections: 5 };
        let opens = (0..4).map(|_| {
            let (options, clock) = (options.clone(), clock.clone());
            tokio::spawn(async move { Store::open(&options, &[], clock, Ids::default()).await })
        });
        let stores = futures_util::future::join_all(opens.collect::<Vec<_>>()).await;
        // All of them migrate at once, and none minds the others.
        let mut stores = stores.into_iter().map(|opened| opened.unwrap().unwrap());
        let (one, two) = (stores.next().unwrap(), stores.next().unwrap());
        for other in stores {
            other.close().await;
        }
        Self { one, two, clock, options }
    }
}

async fn conforms(bed: &Bed) {
    a_dropped_transaction_leaves_nothing(bed).await;
    an_event_of_the_same_id_is_the_same_event(bed).await;
    effects_of_one_coalescing_key_are_one_until_it_is_claimed(bed).await;
    events_of_a_subject_stand_in_the_order_of_their_locks(bed).await;
    cancelled_begins_leave_every_connection_healthy(bed).await;
    errors_say_whether_to_try_again(bed).await;
    what_nobody_can_ask_for_any_more_is_tidied_away(bed).await;
    claims::conform(bed).await;
    leases::conform(bed).await;
    audit::conform(bed).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn sqlite_conforms() {
    let folder = Scratch::new("store").unwrap();
    conforms(&Bed::over(format!("sqlite:{}", folder.path().display())).await).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn postgresql_conforms() {
    require!(Postgres);
    conforms(&Bed::over(borrow_database().await.unwrap()).await).await;
}

fn ran_low(product: &str, available: f64, at: Timestamp) -> StockRanLow {
    let event = json!({"product": product, "location": "store-1", "available": available, "reorder_point": 5.0,
        "observed_at": at});
    serde_json::from_value(event).unwrap()
}

fn effect(executor: &'static str, order_key: &str) -> NewEffect {
    NewEffect::new(executor, order_key, &json!({})).unwrap()
}

/// One number, from a question with one parameter.
async fn count(store: &Store, sql: &'static str, parameter: &str) -> i64 {
    let mut reader = store.read().await.unwrap();
    sqlx::query_scalar(sql).bind(parameter).fetch_one(&mut *reader).await.unwrap()
}

async fn a_dropped_transaction_leaves_nothing(bed: &Bed) {
    let mut tx = bed.one.begin().await.unwrap();
    let event = ran_low("dropped", 1.0, tx.now());
    tx.emit(&event).await.unwrap();
    tx.effect(effect("dropped", "dropped@store-1").coalesce("x")).await.unwrap();
    tx.audit("key:test", "dropped", "dropped", json!({})).await.unwrap();
    sqlx::query("INSERT INTO leases (name, holder, fence, expires_at) VALUES ('dropped', 'x', 1, 0)")
        .execute(tx.conn())
        .await
        .unwrap();
    drop(tx);
    let left = "SELECT (SELECT COUNT(*) FROM outbox WHERE order_key = 'dropped@store-1') + (SELECT COUNT(*) FROM audit \
                WHERE verb = $1) + (SELECT COUNT(*) FROM leases WHERE name = 'dropped')";
    assert_eq!(count(&bed.two, left, "dropped").await, 0);
}

async fn an_event_of_the_same_id_is_the_same_event(bed: &Bed) {
    let id = bed.one.ids().next();
    for (store, twice) in [(&bed.one, true), (&bed.two, false)] {
        let mut tx = store.begin().await.unwrap();
        let event = ran_low("same", 1.0, tx.now());
        assert_eq!(tx.emit_as(id, &event).await.unwrap(), id.to_string());
        if twice {
            tx.emit_as(id, &event).await.unwrap();
        }
        tx.commit().await.unwrap();
    }
    let rows = "SELECT COUNT(*) FROM outbox WHERE order_key = $1";
    assert_eq!(count(&bed.one, rows, "same@store-1").await, 1);
}

async fn effects_of_one_coalescing_key_are_one_until_it_is_claimed(bed: &Bed) {
    let promise = async |store: &Store, key: &str| {
        let mut tx = store.begin().await.unwrap();
        let first = tx.effect(effect("coalesced", "sku").coalesce(key)).await.unwrap();
        let again = tx.effect(effect("coalesced", "sku").coalesce(key)).await.unwrap();
        assert_eq!(first, again, "within one transaction");
        tx.commit().await.unwrap();
        first
    };
    let first = promise(&bed.one, "a").await;
    assert_eq!(promise(&bed.two, "a").await, first, "across transactions");
    assert_ne!(promise(&bed.two, "b").await, first, "another key is another effect");
    let claimed = Row::claim(&bed.one, "coalesced", false, 1, Duration::from_secs(60)).await.unwrap();
    assert_eq!(claimed[0].id, first);
    assert_ne!(promise(&bed.one, "a").await, first, "what is being carried out cannot see what is written now");
}

/// Writers who lock what they write about: whoever writes first commits first, and its event stands first.
async fn events_of_a_subject_stand_in_the_order_of_their_locks(bed: &Bed) {
    const SUBJECTS: usize = 3;
    const WRITERS: usize = 8;
    const EACH: usize = 12;
    for subject in 0..SUBJECTS {
        let mut tx = bed.one.begin().await.unwrap();
        let lock = "INSERT INTO leases (name, holder, fence, expires_at) VALUES ($1, 'lock', 0, 0)";
        sqlx::query(lock).bind(format!("turn-{subject}")).execute(tx.conn()).await.unwrap();
        tx.commit().await.unwrap();
    }
    let writers = (0..WRITERS).map(|writer| {
        let store = if writer % 2 == 0 { bed.one.clone() } else { bed.two.clone() };
        tokio::spawn(async move {
            for turn in 0..EACH {
                let subject = (writer + turn) % SUBJECTS;
                let mut tx = store.begin().await.unwrap();
                let lock = "UPDATE leases SET fence = fence + 1 WHERE name = $1 RETURNING fence";
                let number: i64 =
                    sqlx::query_scalar(lock).bind(format!("turn-{subject}")).fetch_one(tx.conn()).await.unwrap();
                let event = ran_low(&format!("turn-{subject}"), f64::from(i32::try_from(number).unwrap()), tx.now());
                tx.emit(&event).await.unwrap();
                tokio::task::yield_now().await;
                tx.commit().await.unwrap();
            }
        })
    });
    for writer in writers.collect::<Vec<_>>() {
        writer.await.unwrap();
    }
    let mut reader = bed.one.read().await.unwrap();
    let select = "SELECT order_key, payload FROM outbox WHERE order_key LIKE 'turn-%' ORDER BY order_key, seq";
    let written: Vec<(String, String)> = sqlx::query_as(select).fetch_all(&mut *reader).await.unwrap();
    let subject_of = |row: &(String, String)| row.0.clone();
    let number_of = |row: &(String, String)| serde_json::from_str::<StockRanLow>(&row.1).unwrap().available;
    assert_eq!(written.len(), WRITERS * EACH);
    for pair in written.windows(2).filter(|pair| subject_of(&pair[0]) == subject_of(&pair[1])) {
        assert!(number_of(&pair[0]) < number_of(&pair[1]), "{pair:?}");
    }
}

/// Callers that go away while they begin, among others that work: sqlx (issue 4385) gives back a connection inside a
/// transaction then, and its next user fails or commits what is not its own.
async fn cancelled_begins_leave_every_connection_healthy(bed: &Bed) {
    let worked = Arc::new(AtomicI64::new(0));
    let callers = (0..400_u64).map(|caller| {
        let (store, worked) = (bed.one.clone(), Arc::clone(&worked));
        tokio::spawn(async move {
            let work = async {
                let mut tx = store.begin().await.unwrap();
                tx.audit("key:test", "worked", "cancelled", json!({})).await.unwrap();
                tx.commit().await.unwrap();
                worked.fetch_add(1, Ordering::SeqCst);
            };
            if caller % 8 == 0 {
                work.await;
            } else {
                let patience = Duration::from_micros(caller * 37 % 2500);
                let _given_up = tokio::time::timeout(patience, store.begin()).await;
            }
        })
    });
    for caller in callers.collect::<Vec<_>>() {
        caller.await.unwrap();
    }
    let connections = (0..bed.options.max_connections).map(|_| async {
        let mut tx = bed.one.begin().await.unwrap();
        tx.audit("key:test", "worked", "cancelled", json!({})).await.unwrap();
        tx.commit().await.unwrap();
        worked.fetch_add(1, Ordering::SeqCst);
    });
    futures_util::future::join_all(connections).await;
    let kept = count(&bed.two, "SELECT COUNT(*) FROM audit WHERE subject = $1", "cancelled").await;
    assert_eq!(kept, worked.load(Ordering::SeqCst), "what was answered is kept, and nothing else");
}

async fn errors_say_whether_to_try_again(bed: &Bed) {
    let mut tx = bed.one.begin().await.unwrap();
    let mistake = StoreError::from(sqlx::query("SELECT * FROM nowhere").execute(tx.conn()).await.unwrap_err());
    assert!(matches!(mistake, StoreError::Sql(_)) && !mistake.is_unavailable(), "{mistake:?}");
    drop(tx);
    let mut tx = bed.one.begin().await.unwrap();
    let insert = "INSERT INTO leases (name, holder, fence, expires_at) VALUES ('twice', 'x', 1, 0)";
    sqlx::query(insert).execute(tx.conn()).await.unwrap();
    let twice = StoreError::from(sqlx::query(insert).execute(tx.conn()).await.unwrap_err());
    assert!(matches!(twice, StoreError::Duplicate(_)) && !twice.is_unavailable(), "{twice:?}");
    drop(tx);
    locked_rows_are_busy(bed).await;
    if bed.one.dialect() == Dialect::Postgres {
        let mut tx = bed.one.begin().await.unwrap();
        let cut = sqlx::query("SELECT pg_terminate_backend(pg_backend_pid())").execute(tx.conn()).await;
        let error = StoreError::from(cut.unwrap_err());
        assert!(matches!(error, StoreError::Unavailable(_)), "{error:?}");
    }
    let closed = Store::open(&bed.options, &[], bed.clock.clone(), Ids::default()).await.unwrap();
    closed.close().await;
    let error = closed.begin().await.err().unwrap();
    assert!(matches!(error, StoreError::Closed) && error.is_unavailable(), "{error:?}");
}

/// What another transaction holds is worth another try, and is not waited for without end.
async fn locked_rows_are_busy(bed: &Bed) {
    let mut holder = bed.one.begin().await.unwrap();
    let lock = "INSERT INTO leases (name, holder, fence, expires_at) VALUES ('held', 'x', 1, 0)";
    sqlx::query(lock).execute(holder.conn()).await.unwrap();
    let error = match bed.two.begin().await {
        Ok(mut tx) => StoreError::from(sqlx::query(lock).execute(tx.conn()).await.unwrap_err()),
        Err(error) => error,
    };
    assert!(error.is_unavailable(), "{error:?}");
    holder.commit().await.unwrap();
}

async fn what_nobody_can_ask_for_any_more_is_tidied_away(bed: &Bed) {
    let days_ago = |days: u64| micros(bed.clock.now() - Duration::from_secs(days * 24 * 3600));
    let outbox = "INSERT INTO outbox (id, kind, destination, order_key, about, payload, state, next_attempt_at, \
                  created_at, finished_at) VALUES ($1, 'effect', 'old', $1, 'tidied', '{}', $2, 0, 0, $3)";
    let inbox = "INSERT INTO inbox (event_id, type, subject, message, state, next_attempt_at, received_at, finished_at) \
                 VALUES ($1, 'old', 'tidied', '', $2, 0, 0, $3)";
    let mut tx = bed.one.begin().await.unwrap();
    for (table, keep) in [(outbox, 30), (inbox, 90)] {
        for state in ["done", "discarded", "dead"] {
            for (age, days) in [("kept", keep - 1), ("gone", keep + 1)] {
                let id = format!("{age}-{state}");
                sqlx::query(table).bind(id).bind(state).bind(days_ago(days)).execute(tx.conn()).await.unwrap();
            }
        }
    }
    let key = "INSERT INTO idempotency (scope, idempotency_key, fingerprint, status, body, expires_at) \
               VALUES ($1, 'key', '', 200, '', $2)";
    for (scope, expires) in [("kept", days_ago(0)), ("gone", days_ago(0) - 1)] {
        sqlx::query(key).bind(scope).bind(expires).execute(tx.conn()).await.unwrap();
    }
    tx.commit().await.unwrap();
    let lease = Lease::take(&bed.one, "tidy", "test", Duration::from_secs(60)).await.unwrap().unwrap();
    crate::housekeeping::turn(&Cx::over(bed.one.clone(), Metrics::default()), &lease).await.unwrap();
    let mut reader = bed.two.read().await.unwrap();
    let left = "SELECT id FROM outbox WHERE about = 'tidied' UNION ALL SELECT event_id FROM inbox WHERE subject = 'tidied' \
                UNION ALL SELECT scope FROM idempotency ORDER BY 1";
    let left: Vec<(String,)> = sqlx::query_as(left).fetch_all(&mut *reader).await.unwrap();
    let left: Vec<&str> = left.iter().map(|(id,)| id.as_str()).collect();
    let both = ["gone-dead", "kept-dead", "kept-discarded", "kept-done"];
    let mut expected: Vec<&str> = both.iter().chain(&both).copied().chain(["kept"]).collect();
    expected.sort_unstable();
    assert_eq!(left, expected, "a dead letter waits for a person, however long that takes");
}
