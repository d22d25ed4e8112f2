use actix_web::{HttpResponse, post};
use chassis::{
    http::{Line, Ndjson},
    prelude::*,
};
use serde::Serialize;
use serde_json::{Value, json};

use super::Observe;
use crate::{rules::observation::Observation, store};

/// What a good line is answered with; a bad one with `{"line": 7, "problem": {...}}`.
#[derive(Clone, Copy, Debug, Serialize, utoipa::ToSchema)]
pub(crate) struct LineTaken {
    /// Always true: the line is committed.
    accepted: bool,
}

/// Observations of tills, shops and warehouses, one JSON object a line; one line of answer for each. A bad line has a
/// problem in its place and harms no other. Everything is an upsert, so a stream that broke off is sent again whole.
#[utoipa::path(
    tag = "observations",
    request_body(content = Observation, content_type = "application/x-ndjson"),
    responses((status = 200, content_type = "application/x-ndjson", body = Line<LineTaken>), Problems)
)]
#[post("/v1/observations")]
pub(crate) async fn post_observations(cx: Cx, caller: Caller<Observe>, lines: Ndjson) -> HttpResponse {
    let actor = caller.actor();
    lines.batches(move |lines: Vec<Value>| {
        let (cx, actor) = (cx.clone(), actor.clone());
        async move {
            let parsed: Vec<Result<Observation, Problem>> = lines.into_iter().map(Observation::parse).collect();
            keep(&cx, &actor, &parsed).await?;
            Ok(parsed.into_iter().map(|line| line.map(|_| LineTaken { accepted: true })).collect())
        }
    })
}

/// Keeps the good ones in one transaction.
async fn keep(cx: &Cx, actor: &str, lines: &[Result<Observation, Problem>]) -> Result<(), StoreError> {
    let good: Vec<&Observation> = lines.iter().flatten().collect();
    if good.is_empty() {
        return Ok(());
    }
    let mut tx = cx.store().begin().await?;
    tx.audit(actor, "observations.taken", "observations", json!({"lines": good.len()})).await?;
    for observation in good {
        // What a line causes is a business case of its own.
        let case = tx.new_id().to_string();
        tx.correlate(case);
        store::record_observation(&mut tx, actor, observation).await?;
    }
    tx.commit().await
}
