//! `/v1/policy-simulations`: what a draft would have changed.

use std::sync::Arc;

use actix_web::{post, web};
use chassis::prelude::*;
use governance::policy::{
    Document,
    simulate::{Recorded, Simulation, Simulator},
};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use tokio::sync::{Semaphore, mpsc};

use super::{SimulatePolicies, policies::replaced};
use crate::{desk::Desk, store::policies};

/// Most decisions that are replayed at once, the latest of the time that is asked for.
const MOST: usize = 100_000;
/// Decisions read at a time.
const PAGE: u32 = 5_000;
/// Pages read ahead of the replay.
const AHEAD: usize = 2;

/// One simulation at a time on a replica: each takes a processor for seconds.
pub(crate) struct Turns(Semaphore);

impl Default for Turns {
    fn default() -> Self {
        Self(Semaphore::new(1))
    }
}

/// A draft or version of a policy or overlay, and the past to replay.
#[derive(Debug, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct SimulationRequest {
    /// Id of the policy or overlay.
    #[schema(example = "default")]
    policy: String,
    #[schema(minimum = 1)]
    version: Option<u32>,
    /// Stands in for what is in force. Neither version nor draft: what is in force itself is replayed.
    #[schema(value_type = Option<Document>)]
    draft: Option<Box<RawValue>>,
    /// Decisions that ended at this instant or later; the earliest when absent.
    ended_from: Option<Timestamp>,
    /// Decisions that ended before this instant; the latest when absent.
    ended_until: Option<Timestamp>,
}

/// What would have been different.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub(crate) struct SimulationReport {
    #[serde(flatten)]
    report: Simulation,
    /// There are more decisions in this time than the 100000 latest, which were replayed.
    more: bool,
}

/// Replays the decisions that have ended, at most the 100000 latest of the time that is asked for, and reports in money,
/// approvals and hours what would have been different. Nothing is kept.
#[utoipa::path(tag = "policy", request_body = SimulationRequest,
    responses((status = 200, body = SimulationReport), Problems))]
#[post("/v1/policy-simulations")]
pub(crate) async fn simulate_policy(
    cx: Cx,
    _caller: Caller<SimulatePolicies>,
    desk: web::Data<Desk>,
    turns: web::Data<Turns>,
    body: Body<SimulationRequest>,
) -> Result<web::Json<SimulationReport>, ApiError> {
    let asked = body.into_inner();
    let period = (asked.ended_from.unwrap_or(Timestamp::MIN), asked.ended_until.unwrap_or(Timestamp::MAX));
    if period.0 >= period.1 {
        return Err(ApiError::invalid_field("/ended_until", "must be later than ended_from"));
    }
    let (book, _) = desk.policies().now(&cx).await?;
    let draft = Arc::new(replaced(&cx, &desk, &book, &asked.policy, asked.version, asked.draft.as_deref()).await?);
    let _turn = turns.0.acquire().await.map_err(ApiError::internal)?;
    let (pages, mut read) = mpsc::channel::<Vec<String>>(AHEAD);
    let directory = desk.directory();
    let replay = web::block(move || {
        let mut simulator = Simulator::new(&draft, &directory);
        while let Some(page) = read.blocking_recv() {
            for record in page {
                simulator.replay(&serde_json::from_str::<Recorded>(&record)?);
            }
        }
        Ok::<_, serde_json::Error>(simulator.finish())
    });
    let (more, report) = futures_util::future::join(send(&cx, period, pages), replay).await;
    let report = report.map_err(ApiError::internal)?.map_err(StoreError::from)?;
    Ok(web::Json(SimulationReport { report, more: more? }))
}

/// Reads the past page by page; `true` when there is more than was read.
async fn send(cx: &Cx, period: (Timestamp, Timestamp), pages: mpsc::Sender<Vec<String>>) -> Result<bool, StoreError> {
    let mut reader = cx.store().read().await?;
    let (mut after, mut sent) = (None, 0);
    loop {
        let page = policies::past(&mut reader, period, after.as_ref(), PAGE).await?;
        let full = page.len() == PAGE as usize;
        after = page.last().map(|(at, id, _)| (*at, id.clone()));
        let records: Vec<String> = page.into_iter().map(|(_, _, record)| record).take(MOST - sent).collect();
        sent += records.len();
        // Nobody listens any more when a record could not be read; the replay then says so itself.
        if pages.send(records).await.is_err() || !full {
            return Ok(false);
        }
        if sent == MOST {
            return Ok(!policies::past(&mut reader, period, after.as_ref(), 1).await?.is_empty());
        }
    }
}
