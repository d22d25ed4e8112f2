//! `/v1/approvals/{id}/evidence`: everything about one decision, in one file that proves itself.

use std::time::Duration;

use actix_web::{HttpResponse, get, http::header, web};
use chassis::{audit::Log, prelude::*};
use contracts::canonical_json;
use governance::evidence::{Bundle, Consistency, Evidence, EvidenceKeys, FORMAT, ProvedLeaf, Told, sealed_text};
use serde::Deserialize;

use super::{may_hold_grant, scope_of};
use crate::{
    desk::{Desk, subject},
    store::{self, Stored, Wanted, grants},
};

permission!(
    pub ReadEvidence = "evidence:read" for [RegionalOps, Finance, ProcurementLead, Auditor, Operator, Admin]
);

/// The sequencer needs a moment; what takes it longer is told to come again.
const LOOKS: u32 = 60;
const MOMENT: Duration = Duration::from_millis(50);

/// What the file is to prove beside itself.
#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(crate) struct EvidenceQuery {
    /// Leaves of a checkpoint that was kept from earlier: the file then proves that the log begins with it.
    #[param(minimum = 1, maximum = 2147483647)]
    consistent_with: Option<u64>,
}

/// The evidence of one request, as a file for `steward audit verify`: what was asked on which facts, the policy that
/// judged, people, messages, grant and what became of it, all audit leaves with proofs, and the signed checkpoint. Byte
/// for byte canonical JSON (RFC 8785). A grant that is still live is in it only for who may use it.
#[utoipa::path(tag = "audit", params(EvidenceQuery), responses((status = 200, body = Bundle), Problems))]
#[get("/v1/approvals/{id}/evidence")]
pub(crate) async fn get_evidence(
    cx: Cx,
    caller: Caller<ReadEvidence>,
    id: PathOf<String>,
    query: Params<EvidenceQuery>,
    desk: web::Data<Desk>,
) -> Result<HttpResponse, ApiError> {
    let wanted = Wanted { id: Some(id.into_inner()), limit: 1, ..Wanted::default() };
    let found = store::list(&mut cx.store().read().await?, &scope_of(&caller), &wanted).await?;
    let request = found.into_iter().next().ok_or_else(|| ApiError::not_found("approval"))?;
    let mut log = caught_up(&cx, &request.id).await?;
    let mut evidence = assemble(&cx, &desk, &request, &mut log, may_hold_grant(&caller, &request.requested_by)).await?;
    if let Some(from) = query.consistent_with {
        let size = log.checkpoint().size;
        if from == 0 || from > size {
            let detail = format!("must be 1 to {size}, the leaves of the log");
            return Err(ApiError::invalid_field("/consistent_with", detail));
        }
        let (root, path) = (log.root(from).await?, log.consistency(from, size).await?);
        evidence.consistency = Some(Consistency { from, root, path });
    }
    let digest = Digest::of(&evidence).map_err(StoreError::from)?;
    let seal = cx.notary().keys().signer.sign(&sealed_text(&digest));
    let file = canonical_json(&Bundle { evidence, seal }).map_err(StoreError::from)?;
    let name = format!("attachment; filename=\"evidence-{}.json\"", request.id);
    let kind = (header::CONTENT_TYPE, "application/json");
    Ok(HttpResponse::Ok().insert_header(kind).insert_header((header::CONTENT_DISPOSITION, name)).body(file))
}

/// The log, as soon as all leaves of the request are in it.
async fn caught_up(cx: &Cx, id: &str) -> Result<Log, ApiError> {
    for _ in 0..LOOKS {
        let select = "SELECT COUNT(*) FROM audit_unfolded JOIN audit ON audit.seq = audit_unfolded.seq \
                      WHERE audit.subject = $1";
        let mut reader = cx.store().read().await?;
        let waiting = sqlx::query_scalar::<_, i64>(select).bind(subject(id)).fetch_one(&mut *reader).await;
        drop(reader);
        if waiting.map_err(StoreError::from)? == 0
            && let Some(log) = Log::open(cx).await?
        {
            return Ok(log);
        }
        tokio::time::sleep(MOMENT).await;
    }
    Err(ApiError::unavailable(Duration::from_secs(2)))
}

async fn assemble(cx: &Cx, desk: &Desk, request: &Stored, log: &mut Log, may_hold: bool) -> Result<Evidence, ApiError> {
    let proved = log.leaves_of(&subject(&request.id)).await?;
    let leaves: Vec<ProvedLeaf> =
        proved.into_iter().map(|one| ProvedLeaf { index: one.index, leaf: one.leaf, path: one.path }).collect();
    let mut reader = cx.store().read().await?;
    let (grant, grant_withheld) = match &request.grant {
        Some(grant) => {
            let until = grants::unused_until(&mut reader, &grant.id).await?;
            let live = until.is_some_and(|until| cx.clock().now() < until);
            if live && !may_hold { (None, true) } else { (Some(grant.token.clone()), false) }
        }
        None => (grants::revoked(&mut reader, &request.id).await?.map(|revoked| revoked.token), false),
    };
    let (case, state) = (serde_json::to_value(&request.case), serde_json::to_value(&request.state));
    Ok(Evidence {
        format: FORMAT.to_owned(),
        exported_at: cx.clock().now(),
        approval_id: request.id.clone(),
        requested_by: request.requested_by.clone(),
        reference: request.reference.clone(),
        created_at: request.created_at,
        case: case.map_err(StoreError::from)?,
        policies: store::evidence::judged_by(&mut reader, &request.case.route).await?,
        state: state.map_err(StoreError::from)?,
        grant,
        grant_withheld,
        told: Told::of(leaves.iter().map(|one| &one.leaf)),
        leaves,
        checkpoint: log.note().to_owned(),
        consistency: None,
        keys: EvidenceKeys { audit: cx.notary().keys().published.clone(), grants: desk.grant_keys().published.clone() },
    })
}
