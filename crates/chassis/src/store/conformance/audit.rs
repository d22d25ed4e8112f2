//! The audit log: every leaf gets one place, what is folded is proved, and nothing of it changes or goes.

use contracts::audit::{Checkpoint, extends, includes};

use super::*;
use crate::audit::{Checked, Log, check, fold_all, lag};

fn cx(store: &Store) -> Cx {
    Cx::over(store.clone(), Metrics::default())
}

async fn write(store: &Store, subject: &str, leaves: u32) {
    let mut tx = store.begin().await.unwrap();
    for number in 0..leaves {
        tx.audit("key:test", "counted", subject, json!({"number": number, "part": 0.1})).await.unwrap();
    }
    tx.commit().await.unwrap();
}

pub(super) async fn conform(bed: &Bed) {
    what_is_written_is_folded_once_and_proved(bed).await;
    the_log_of_today_begins_with_the_log_of_yesterday(bed).await;
    two_sequencers_give_each_leaf_one_place(bed).await;
    nothing_of_the_log_changes_or_goes(bed).await;
    what_was_changed_past_the_service_is_found(bed).await;
}

/// By who may do anything in the database: takes the guard away, changes a leaf, and puts the guard back.
async fn what_was_changed_past_the_service_is_found(bed: &Bed) {
    let cx = cx(&bed.one);
    let sound = check(&cx).await.unwrap();
    assert!(sound.is_sound() && sound.leaves > 1_000, "{sound:?}");
    let index = Log::open(&cx).await.unwrap().unwrap().leaves_of("proved").await.unwrap()[3].index;
    let (open, close) = match bed.one.dialect() {
        Dialect::Sqlite => ("DROP TRIGGER audit_keeps", "SELECT 1"),
        Dialect::Postgres => {
            ("ALTER TABLE audit DISABLE TRIGGER append_only", "ALTER TABLE audit ENABLE TRIGGER append_only")
        }
    };
    let change = format!(
        "UPDATE audit SET actor = 'key:other' WHERE seq = (SELECT seq FROM audit_log WHERE leaf_index = {index})"
    );
    for statement in [open.to_owned(), change, close.to_owned()] {
        let mut tx = bed.one.begin().await.unwrap();
        sqlx::query(sqlx::AssertSqlSafe(statement)).execute(tx.conn()).await.unwrap();
        tx.commit().await.unwrap();
    }
    let found = check(&cx).await.unwrap();
    assert_eq!(found, Checked { leaves: sound.leaves, changed: vec![index], other_root: true });
}

async fn what_is_written_is_folded_once_and_proved(bed: &Bed) {
    let cx = cx(&bed.one);
    // What the other laws wrote.
    fold_all(&cx).await.unwrap();
    write(&bed.one, "proved", 700).await;
    assert_eq!(lag(&cx).await.unwrap().unfolded, 700);
    assert_eq!(fold_all(&cx).await.unwrap(), 700);
    assert_eq!(lag(&cx).await.unwrap().unfolded, 0);
    let mut log = Log::open(&cx).await.unwrap().unwrap();
    let checkpoint = Checkpoint::open(log.note(), &cx.notary().keys().published).unwrap();
    assert_eq!(&checkpoint, log.checkpoint());
    assert_eq!(log.root(checkpoint.size).await.unwrap(), checkpoint.root);
    let proved = log.leaves_of("proved").await.unwrap();
    assert_eq!(proved.len(), 700);
    for (number, one) in proved.iter().enumerate() {
        assert_eq!(one.leaf.details["number"], number, "in the order in which they were written");
        let hash = one.leaf.hash().unwrap();
        assert!(includes(checkpoint.root, checkpoint.size, one.index, hash, &one.path), "{number}");
    }
}

async fn the_log_of_today_begins_with_the_log_of_yesterday(bed: &Bed) {
    let cx = cx(&bed.one);
    let yesterday = Log::open(&cx).await.unwrap().unwrap().checkpoint().clone();
    write(&bed.two, "later", 300).await;
    fold_all(&cx).await.unwrap();
    let mut log = Log::open(&cx).await.unwrap().unwrap();
    let today = log.checkpoint().clone();
    let path = log.consistency(yesterday.size, today.size).await.unwrap();
    assert!(extends((yesterday.size, yesterday.root), (today.size, today.root), &path));
    let size = yesterday.size - 3;
    let (root, path) = (log.root(size).await.unwrap(), log.consistency(size, today.size).await.unwrap());
    assert!(extends((size, root), (today.size, today.root), &path), "from any size");
}

/// Writers on both stores while both fold: the lease lets one of them, and whoever lost it cannot commit.
async fn two_sequencers_give_each_leaf_one_place(bed: &Bed) {
    let before = Log::open(&cx(&bed.one)).await.unwrap().unwrap().checkpoint().size;
    let work = (0..24_u32).map(|turn| {
        let store = if turn % 2 == 0 { bed.one.clone() } else { bed.two.clone() };
        let cx = cx(&store);
        tokio::spawn(async move {
            write(&store, "raced", 10).await;
            match fold_all(&cx).await {
                Ok(_) | Err(StoreError::Busy(_)) => {}
                Err(error) => panic!("{error:?}"),
            }
        })
    });
    for one in work.collect::<Vec<_>>() {
        one.await.unwrap();
    }
    fold_all(&cx(&bed.one)).await.unwrap();
    let after = Log::open(&cx(&bed.two)).await.unwrap().unwrap().checkpoint().size;
    assert_eq!(after - before, 240);
    let places = "SELECT COUNT(*) FROM audit_log JOIN audit ON audit.seq = audit_log.seq WHERE audit.subject = $1";
    assert_eq!(count(&bed.one, places, "raced").await, 240);
}

fn a_column(table: &str) -> &'static str {
    match table {
        "audit" => "verb",
        "audit_checkpoints" => "root",
        _ => "hash",
    }
}

async fn nothing_of_the_log_changes_or_goes(bed: &Bed) {
    for table in ["audit", "audit_log", "audit_nodes", "audit_checkpoints"] {
        for statement in [format!("UPDATE {table} SET {} = 'x'", a_column(table)), format!("DELETE FROM {table}")] {
            let mut tx = bed.one.begin().await.unwrap();
            let refused = sqlx::query(sqlx::AssertSqlSafe(statement.clone())).execute(tx.conn()).await.unwrap_err();
            assert!(refused.to_string().contains("append-only"), "{statement}: {refused}");
        }
    }
    if bed.one.dialect() == Dialect::Sqlite {
        let mut tx = bed.one.begin().await.unwrap();
        let replace =
            "INSERT OR REPLACE INTO audit_log (leaf_index, seq, hash) SELECT leaf_index, seq, 'x' FROM audit_log";
        assert!(sqlx::query(replace).execute(tx.conn()).await.is_err());
    }
}

/// What holds against the service itself: its role owns nothing, so it can neither change the log nor the triggers.
#[tokio::test(flavor = "multi_thread")]
async fn a_role_that_does_not_own_the_log_cannot_touch_it() {
    require!(Postgres);
    let owner = borrow_database().await.unwrap();
    let clock = Clock::manual("2026-11-23T08:00:00Z".parse().unwrap());
    let setup = StoreOptions { url: owner.clone(), owner_url: None, schema: "setup", max_connections: 2 };
    let admin = Store::open(&setup, &[], clock.clone(), Ids::default()).await.unwrap();
    let mut tx = admin.begin().await.unwrap();
    let role = format!("role_{}", owner.rsplit('/').next().unwrap());
    let create = format!("CREATE ROLE {role} LOGIN");
    sqlx::query(sqlx::AssertSqlSafe(create)).execute(tx.conn()).await.unwrap();
    tx.commit().await.unwrap();
    admin.close().await;

    let url = owner.replace("steward@", &format!("{role}@"));
    let options = StoreOptions { url: url.clone(), owner_url: Some(owner), schema: "probe", max_connections: 4 };
    for _ in 0..2 {
        Store::open(&options, &[], clock.clone(), Ids::default()).await.unwrap().close().await;
    }
    // What the owner has migrated is served without the owner.
    let alone = StoreOptions { owner_url: None, ..options };
    let store = Store::open(&alone, &[], clock, Ids::default()).await.unwrap();
    write(&store, "guarded", 5).await;
    assert_eq!(fold_all(&cx(&store)).await.unwrap(), 5, "all that a service does, it may");
    for table in ["audit", "audit_log", "audit_nodes", "audit_checkpoints"] {
        let attempts = [
            format!("UPDATE {table} SET {} = 'x'", a_column(table)),
            format!("DELETE FROM {table}"),
            format!("TRUNCATE {table}"),
            format!("ALTER TABLE {table} DISABLE TRIGGER ALL"),
            format!("DROP TABLE {table}"),
            format!("CREATE TRIGGER mine BEFORE INSERT ON {table} EXECUTE FUNCTION audit_refuse()"),
        ];
        for statement in attempts {
            let mut tx = store.begin().await.unwrap();
            let refused = sqlx::query(sqlx::AssertSqlSafe(statement.clone())).execute(tx.conn()).await.unwrap_err();
            let text = refused.to_string();
            assert!(text.contains("permission denied") || text.contains("must be owner"), "{statement}: {text}");
        }
    }
    for statement in
        ["CREATE TABLE mine (a TEXT)", "DROP FUNCTION audit_refuse() CASCADE", "DELETE FROM _sqlx_migrations"]
    {
        let mut tx = store.begin().await.unwrap();
        assert!(sqlx::query(statement).execute(tx.conn()).await.is_err(), "{statement}");
    }
    store.close().await;
}
