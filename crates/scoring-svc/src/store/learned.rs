//! What models have learnt from resolved cases.

use chassis::prelude::*;
use sqlx::AnyConnection;

/// A state, and how many cases are in it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct State {
    pub cases: i64,
    /// The model's own JSON.
    pub state: String,
}

/// `None` before the first case.
pub(crate) async fn find(
    conn: &mut AnyConnection,
    model: &str,
    parameters: &Digest,
) -> Result<Option<State>, StoreError> {
    let select = "SELECT cases, state FROM learned WHERE model = $1 AND parameters = $2 AND cases > 0";
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
    Ok((cases > 0).then_some(State { cases, state }))
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
