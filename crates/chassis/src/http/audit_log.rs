//! `/v1/audit/...`: what the audit log proves.

use actix_web::{HttpResponse, get, http::header, web};
use contracts::audit::{AuditLeaf, Jwk, TreeHash};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::{ApiError, Params, Problems};
use crate::{
    audit::{self, Log, MAXIMUM_LAG},
    auth::{Caller, permissions::ReadAudit},
    cx::Cx,
    store::StoreError,
};

/// The newest signed state of this service's audit log, and how far behind it is.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub(crate) struct CheckpointView {
    /// Name of the log.
    #[schema(example = "steward/approvals")]
    origin: String,
    /// Leaves.
    size: u64,
    /// RFC 9162 hash over all of them.
    root: TreeHash,
    /// The three of them signed: a C2SP checkpoint. Keep it: a later log must prove that it begins with this one.
    note: String,
    folded_at: Timestamp,
    /// Leaves that are written and in no checkpoint yet.
    unfolded: u64,
    /// Age of the oldest of them.
    lag_seconds: f64,
    /// What it may be; above it the service reports itself degraded.
    maximum_lag_seconds: u64,
}

/// The newest checkpoint.
#[utoipa::path(tag = "audit", responses((status = 200, body = CheckpointView), Problems))]
#[get("/v1/audit/checkpoint")]
pub(crate) async fn get_checkpoint(cx: Cx, _caller: Caller<ReadAudit>) -> Result<web::Json<CheckpointView>, ApiError> {
    let (log, lag) = (open(&cx).await?, audit::lag(&cx).await?);
    let checkpoint = log.checkpoint();
    Ok(web::Json(CheckpointView {
        origin: checkpoint.origin.clone(),
        size: checkpoint.size,
        root: checkpoint.root,
        note: log.note().to_owned(),
        folded_at: log.folded_at(),
        unfolded: lag.unfolded,
        lag_seconds: lag.seconds,
        maximum_lag_seconds: MAXIMUM_LAG.as_secs(),
    }))
}

/// Which leaf to prove.
#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(crate) struct InclusionQuery {
    /// Id of the leaf, from `/v1/audit`.
    id: String,
    /// In the log of this many leaves; without it, of the newest checkpoint.
    #[param(minimum = 1, maximum = 2147483647)]
    size: Option<u64>,
}

/// A leaf and its place in the log.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub(crate) struct InclusionProof {
    leaf: AuditLeaf,
    /// Of the leaf's canonical JSON (RFC 8785).
    leaf_hash: TreeHash,
    index: u64,
    size: u64,
    root: TreeHash,
    /// RFC 9162, section 2.1.3.
    path: Vec<TreeHash>,
    /// The newest checkpoint, when it has exactly that size.
    #[serde(skip_serializing_if = "Option::is_none")]
    note: Option<String>,
}

/// Proves that a leaf is in the log.
#[utoipa::path(tag = "audit", params(InclusionQuery), responses((status = 200, body = InclusionProof), Problems))]
#[get("/v1/audit/proofs/inclusion")]
pub(crate) async fn prove_inclusion(
    cx: Cx,
    _caller: Caller<ReadAudit>,
    query: Params<InclusionQuery>,
) -> Result<web::Json<InclusionProof>, ApiError> {
    let mut log = open(&cx).await?;
    let size = within(&log, "/size", query.size)?;
    let proved = log.leaf(&query.id, size).await?;
    let proved = proved.ok_or_else(|| ApiError::not_found("leaf in the log of that size"))?;
    let newest = log.checkpoint().size == size;
    Ok(web::Json(InclusionProof {
        leaf_hash: proved.leaf.hash().map_err(StoreError::from)?,
        leaf: proved.leaf,
        index: proved.index,
        size,
        root: log.root(size).await?,
        path: proved.path,
        note: newest.then(|| log.note().to_owned()),
    }))
}

/// Which two states of the log to compare.
#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(crate) struct ConsistencyQuery {
    /// Leaves of the older state.
    #[param(minimum = 0, maximum = 2147483647)]
    from: u64,
    /// Leaves of the newer state; without it, of the newest checkpoint.
    #[param(minimum = 0, maximum = 2147483647)]
    to: Option<u64>,
}

/// Two states of the log, of which the newer begins with the older.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub(crate) struct ConsistencyProof {
    from: u64,
    from_root: TreeHash,
    to: u64,
    to_root: TreeHash,
    /// RFC 9162, section 2.1.4.
    path: Vec<TreeHash>,
    /// The newest checkpoint, when `to` is its size.
    #[serde(skip_serializing_if = "Option::is_none")]
    note: Option<String>,
}

/// Proves that the log was only appended to between two of its states.
#[utoipa::path(tag = "audit", params(ConsistencyQuery), responses((status = 200, body = ConsistencyProof), Problems))]
#[get("/v1/audit/proofs/consistency")]
pub(crate) async fn prove_consistency(
    cx: Cx,
    _caller: Caller<ReadAudit>,
    query: Params<ConsistencyQuery>,
) -> Result<web::Json<ConsistencyProof>, ApiError> {
    let mut log = open(&cx).await?;
    let to = within(&log, "/to", query.to)?;
    let from = query.from;
    if from > to {
        return Err(ApiError::invalid_field("/from", format!("must be at most {to}, which the newer state has")));
    }
    let newest = log.checkpoint().size == to;
    Ok(web::Json(ConsistencyProof {
        from,
        from_root: log.root(from).await?,
        to,
        to_root: log.root(to).await?,
        path: log.consistency(from, to).await?,
        note: newest.then(|| log.note().to_owned()),
    }))
}

/// The keys of this service's checkpoints.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub(crate) struct AuditKeys {
    /// As a JWKS: the key that signs, then those that did.
    keys: Vec<Jwk>,
    /// The key that signs, as C2SP's tools take it.
    #[schema(example = "steward/approvals+0a1b2c3d+AX...")]
    verifier: String,
}

/// Public keys of checkpoints and evidence.
#[utoipa::path(tag = "audit", security(()), responses((status = 200, body = AuditKeys), Problems))]
#[get("/v1/audit/keys")]
pub(crate) async fn get_audit_keys(cx: Cx) -> HttpResponse {
    let keys = cx.notary().keys();
    let answer = AuditKeys { keys: keys.published.keys.clone(), verifier: keys.signer.verifier() };
    HttpResponse::Ok().insert_header((header::CACHE_CONTROL, "public, max-age=300")).json(answer)
}

async fn open(cx: &Cx) -> Result<Log, ApiError> {
    Log::open(cx).await?.ok_or_else(|| ApiError::not_found("checkpoint; nothing has been folded yet"))
}

/// A size that the newest checkpoint covers.
fn within(log: &Log, pointer: &str, size: Option<u64>) -> Result<u64, ApiError> {
    let newest = log.checkpoint().size;
    match size {
        Some(size) if size > newest => Err(ApiError::invalid_field(pointer, format!("the log has {newest} leaves"))),
        size => Ok(size.unwrap_or(newest)),
    }
}
