//! Requests for approval as Odoo shows them.

use chassis::store::{Store, StoreError, Tx, instant, micros};
use contracts::PersonId;
use jiff::Timestamp;

/// Which to-do.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub(crate) struct TodoKey {
    pub approval_id: String,
    pub step: u32,
    pub person: PersonId,
}

/// A to-do that stands in Odoo.
#[derive(Clone, Debug)]
pub(crate) struct OpenTodo {
    pub key: TodoKey,
    pub odoo_id: i64,
    pub user_id: i64,
    pub revision: u32,
}

/// What the people were asked.
#[derive(Clone, Debug)]
pub(crate) struct Shown {
    pub title: String,
    pub reason: String,
    pub product: String,
}

/// Keeps what is asked; an edited request is asked anew.
pub(crate) async fn show_approval(
    tx: &mut Tx,
    approval_id: &str,
    shown: &Shown,
    revision: u32,
) -> Result<(), StoreError> {
    sqlx::query(
        "INSERT INTO approvals_shown (approval_id, title, reason, product, revision) VALUES ($1, $2, $3, $4, $5) \
         ON CONFLICT (approval_id) DO UPDATE SET title = excluded.title, reason = excluded.reason, \
         product = excluded.product, revision = excluded.revision",
    )
    .bind(approval_id)
    .bind(&shown.title)
    .bind(&shown.reason)
    .bind(&shown.product)
    .bind(i64::from(revision))
    .execute(tx.conn())
    .await?;
    Ok(())
}

/// The request was edited in a way that leaves its steps as they are.
pub(crate) async fn revised(tx: &mut Tx, approval_id: &str, revision: u32) -> Result<(), StoreError> {
    sqlx::query("UPDATE approvals_shown SET revision = $2 WHERE approval_id = $1 AND revision < $2")
        .bind(approval_id)
        .bind(i64::from(revision))
        .execute(tx.conn())
        .await?;
    Ok(())
}

/// What was asked, unless it was never told here or has ended.
pub(crate) async fn undecided(tx: &mut Tx, approval_id: &str) -> Result<Option<Shown>, StoreError> {
    let row: Option<(String, String, String)> = sqlx::query_as(
        "SELECT title, reason, product FROM approvals_shown \
         WHERE approval_id = $1 AND title IS NOT NULL AND decision IS NULL",
    )
    .bind(approval_id)
    .fetch_optional(tx.conn())
    .await?;
    Ok(row.map(|(title, reason, product)| Shown { title, reason, product }))
}

/// Keeps the end as a sentence. Answers with the transfer that waits for it, if one is drafted already.
pub(crate) async fn keep_decision(tx: &mut Tx, approval_id: &str, decision: &str) -> Result<Option<i64>, StoreError> {
    let row: (Option<i64>,) = sqlx::query_as(
        "INSERT INTO approvals_shown (approval_id, decision) VALUES ($1, $2) \
         ON CONFLICT (approval_id) DO UPDATE SET decision = excluded.decision RETURNING picking_id",
    )
    .bind(approval_id)
    .bind(decision)
    .fetch_one(tx.conn())
    .await?;
    Ok(row.0)
}

/// Keeps which transfer was drafted. Answers with the decision behind it, if that has arrived already.
pub(crate) async fn keep_draft(tx: &mut Tx, approval_id: &str, picking: i64) -> Result<Option<String>, StoreError> {
    let row: (Option<String>,) = sqlx::query_as(
        "INSERT INTO approvals_shown (approval_id, picking_id) VALUES ($1, $2) \
         ON CONFLICT (approval_id) DO UPDATE SET picking_id = excluded.picking_id RETURNING decision",
    )
    .bind(approval_id)
    .bind(picking)
    .fetch_one(tx.conn())
    .await?;
    Ok(row.0)
}

/// Wants a to-do about the request as it is now. `false`: this person has or had one for this step.
pub(crate) async fn want_todo(tx: &mut Tx, key: &TodoKey, email: &str, due: Timestamp) -> Result<bool, StoreError> {
    let added = sqlx::query(
        "INSERT INTO approval_todos (approval_id, step, person, email, state, revision, due) \
         SELECT approval_id, $2, $3, $4, 'wanted', revision, $5 FROM approvals_shown WHERE approval_id = $1 \
         ON CONFLICT (approval_id, step, person) DO NOTHING",
    )
    .bind(&key.approval_id)
    .bind(i64::from(key.step))
    .bind(key.person.as_str())
    .bind(email)
    .bind(micros(due))
    .execute(tx.conn())
    .await?;
    Ok(added.rows_affected() == 1)
}

/// Forgets a to-do that was answered, closed, or is about an earlier revision; answers with Odoo's id where it stands.
pub(crate) async fn forget_stale_todo(tx: &mut Tx, key: &TodoKey, revision: u32) -> Result<Option<i64>, StoreError> {
    let gone: Option<(Option<i64>, String)> = sqlx::query_as(
        "DELETE FROM approval_todos WHERE approval_id = $1 AND step = $2 AND person = $3 \
         AND (state IN ('answered', 'closed') OR revision < $4) RETURNING odoo_id, state",
    )
    .bind(&key.approval_id)
    .bind(i64::from(key.step))
    .bind(key.person.as_str())
    .bind(i64::from(revision))
    .fetch_optional(tx.conn())
    .await?;
    Ok(gone.and_then(|(id, state)| id.filter(|_| state == "open")))
}

/// Wants it again, after an answer that did not count: whose it is and when the step times out. `None`: the to-do is
/// not in this state.
pub(crate) async fn want_again(
    tx: &mut Tx,
    key: &TodoKey,
    from: &str,
) -> Result<Option<(String, Timestamp)>, StoreError> {
    let row: Option<(String, i64)> = sqlx::query_as(
        "UPDATE approval_todos SET state = 'wanted', odoo_id = NULL, \
         revision = (SELECT revision FROM approvals_shown s WHERE s.approval_id = $1) \
         WHERE approval_id = $1 AND step = $2 AND person = $3 AND state = $4 RETURNING email, due",
    )
    .bind(&key.approval_id)
    .bind(i64::from(key.step))
    .bind(key.person.as_str())
    .bind(from)
    .fetch_optional(tx.conn())
    .await?;
    Ok(row.map(|(email, due)| (email, instant(due))))
}

/// It stands in Odoo. `false`: nobody wants it any more.
pub(crate) async fn todo_opened(tx: &mut Tx, key: &TodoKey, odoo_id: i64, user_id: i64) -> Result<bool, StoreError> {
    let opened = sqlx::query(
        "UPDATE approval_todos SET state = 'open', odoo_id = $4, user_id = $5 \
         WHERE approval_id = $1 AND step = $2 AND person = $3 AND state = 'wanted'",
    )
    .bind(&key.approval_id)
    .bind(i64::from(key.step))
    .bind(key.person.as_str())
    .bind(odoo_id)
    .bind(user_id)
    .execute(tx.conn())
    .await?;
    Ok(opened.rows_affected() == 1)
}

/// Takes it from `open` to another state; `false` when another replica did, or it is no longer open.
pub(crate) async fn end_todo(tx: &mut Tx, todo: &OpenTodo, state: &str) -> Result<bool, StoreError> {
    let ended = sqlx::query("UPDATE approval_todos SET state = $1 WHERE odoo_id = $2 AND state = 'open'")
        .bind(state)
        .bind(todo.odoo_id)
        .execute(tx.conn())
        .await?;
    Ok(ended.rows_affected() == 1)
}

/// Closes every to-do of a request that is not answered; answers with Odoo's ids of those that stand there.
pub(crate) async fn close_todos(tx: &mut Tx, approval_id: &str) -> Result<Vec<i64>, StoreError> {
    let closed: Vec<(Option<i64>,)> = sqlx::query_as(
        "UPDATE approval_todos SET state = 'closed' WHERE approval_id = $1 AND state IN ('wanted', 'open') \
         RETURNING odoo_id",
    )
    .bind(approval_id)
    .fetch_all(tx.conn())
    .await?;
    Ok(closed.into_iter().filter_map(|(id,)| id).collect())
}

/// Whether it is still to be put up.
pub(crate) async fn is_wanted(store: &Store, key: &TodoKey) -> Result<bool, StoreError> {
    let mut reader = store.read().await?;
    let found: Option<(i64,)> = sqlx::query_as(
        "SELECT step FROM approval_todos WHERE approval_id = $1 AND step = $2 AND person = $3 AND state = 'wanted'",
    )
    .bind(&key.approval_id)
    .bind(i64::from(key.step))
    .bind(key.person.as_str())
    .fetch_optional(&mut *reader)
    .await?;
    Ok(found.is_some())
}

/// At most `limit` to-dos that stand in Odoo, after that id.
pub(crate) async fn open_todos(store: &Store, after: i64, limit: i64) -> Result<Vec<OpenTodo>, StoreError> {
    todos(store, "odoo_id > $1", after, limit).await
}

/// The to-do with Odoo's id, if it is one of ours and open.
pub(crate) async fn open_todo(store: &Store, odoo_id: i64) -> Result<Option<OpenTodo>, StoreError> {
    Ok(todos(store, "odoo_id = $1", odoo_id, 1).await?.pop())
}

async fn todos(store: &Store, which: &'static str, id: i64, limit: i64) -> Result<Vec<OpenTodo>, StoreError> {
    let mut reader = store.read().await?;
    let sql = format!(
        "SELECT approval_id, step, person, odoo_id, user_id, revision FROM approval_todos \
         WHERE state = 'open' AND {which} ORDER BY odoo_id LIMIT $2"
    );
    let rows: Vec<(String, i64, String, i64, i64, i64)> =
        sqlx::query_as(sqlx::AssertSqlSafe(sql)).bind(id).bind(limit).fetch_all(&mut *reader).await?;
    let todo = |(approval_id, step, person, odoo_id, user_id, revision)| {
        let key = TodoKey { approval_id, step: u32::try_from(step).ok()?, person: PersonId::new(person).ok()? };
        Some(OpenTodo { key, odoo_id, user_id, revision: u32::try_from(revision).ok()? })
    };
    Ok(rows.into_iter().filter_map(todo).collect())
}
