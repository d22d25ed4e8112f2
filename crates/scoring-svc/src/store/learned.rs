//! What models have learnt from resolved cases, and the cases.

use chassis::prelude::*;
use sqlx::AnyConnection;

/// Most resolved cases that are kept for versions to come: the latest.
pub(crate) const MOST_RESOLUTIONS: i64 = 10_000;

/// A state, and how many cases are in it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct State {
    pub cases: i64,
    /// The model's own JSON.
    pub state: String,
}

/// `None` before anything was learnt with these parameters.
pub(crate) async fn find(
    conn: &mut AnyConnection,
    model: &str,
    parameters: &Digest,
) -> Result<Option<State>, StoreError> {
    let select = "SELECT cases, state FROM learned WHERE model = $1 AND parameters = $2 AND state <> ''";
    let row: Option<(i64, String)> =
        sqlx::query_as(select).bind(model).bind(parameters.as_str()).fetch_optional(conn).await?;
    Ok(row.map(|(cases, state)| State { cases, state }))
}

/// The state, held until the transaction ends: of two who teach at once, the second learns on top of the first.
pub(crate) async fn hold(tx: &mut Tx, model: &str, parameters: &Digest) -> Result<Option<State>, StoreError> {
    let insert = "INSERT INTO learned (model, parameters, cases, state, learned_at) VALUES ($1, $2, 0, '', $3) \
                  ON CONFLICT DO NOTHING";
    let now = micros(tx.now());
    sqlx::query(insert).bind(model).bind(parameters.as_str()).bind(now).execute(tx.conn()).await?;
    let select = tx.dialect().pick(
        "SELECT cases, state FROM learned WHERE model = $1 AND parameters = $2",
        "SELECT cases, state FROM learned WHERE model = $1 AND parameters = $2 FOR UPDATE",
    );
    let (cases, state): (i64, String) =
        sqlx::query_as(select).bind(model).bind(parameters.as_str()).fetch_one(tx.conn()).await?;
    Ok((!state.is_empty()).then_some(State { cases, state }))
}

/// Writes a state that was held.
pub(crate) async fn keep(tx: &mut Tx, model: &str, parameters: &Digest, new: &State) -> Result<(), StoreError> {
    let now = micros(tx.now());
    sqlx::query("UPDATE learned SET cases = $1, state = $2, learned_at = $3 WHERE model = $4 AND parameters = $5")
        .bind(new.cases)
        .bind(new.state.as_str())
        .bind(now)
        .bind(model)
        .bind(parameters.as_str())
        .execute(tx.conn())
        .await?;
    Ok(())
}

/// Keeps a resolved case; beyond [`MOST_RESOLUTIONS`] the oldest goes.
pub(crate) async fn keep_resolution(tx: &mut Tx, model: &str, actor: &str, body: &str) -> Result<(), StoreError> {
    let (id, now) = (tx.new_id().to_string(), micros(tx.now()));
    sqlx::query("INSERT INTO resolutions (id, model, body, told_by, told_at) VALUES ($1, $2, $3, $4, $5)")
        .bind(id)
        .bind(model)
        .bind(body)
        .bind(actor)
        .bind(now)
        .execute(tx.conn())
        .await?;
    let oldest = "DELETE FROM resolutions WHERE model = $1 AND id < \
                  (SELECT id FROM resolutions WHERE model = $1 ORDER BY id DESC LIMIT 1 OFFSET $2)";
    sqlx::query(oldest).bind(model).bind(MOST_RESOLUTIONS - 1).execute(tx.conn()).await?;
    Ok(())
}

/// The resolved cases that are kept, oldest first, at most `limit`.
pub(crate) async fn resolutions(conn: &mut AnyConnection, model: &str, limit: i64) -> Result<Vec<String>, StoreError> {
    let select = "SELECT body FROM resolutions WHERE model = $1 ORDER BY id LIMIT $2";
    let rows: Vec<(String,)> = sqlx::query_as(select).bind(model).bind(limit).fetch_all(conn).await?;
    Ok(rows.into_iter().map(|(body,)| body).collect())
}
