//! Many at once: `/v1/replenishment/batch`, `/stream` and `/rank`. Nothing is kept, so no idempotency key is needed.

use actix_web::{HttpResponse, post, web};
use chassis::{
    http::{Line, Ndjson, parse_json},
    prelude::*,
};
use models::replenishment::{Answer as Judgement, Model, Options, RankRequest, Ranking, Request};
use serde::{Deserialize, Deserializer, Serialize, de::Error as _};
use serde_json::{Map, Value, value::RawValue};

use super::Score;

/// Most items of a batch or a ranking.
const MOST_ITEMS: usize = 10_000;

/// A request in bulk: as a single one, but explained only when that is asked for, because explaining costs several
/// times what scoring does.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct BulkRequest {
    facts: contracts::Facts,
    #[serde(default = "unexplained", deserialize_with = "bulk_options")]
    options: Options,
}

fn unexplained() -> Options {
    Options { explain: false, ..Options::default() }
}

fn bulk_options<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Options, D::Error> {
    let mut options = Map::deserialize(deserializer)?;
    options.entry("explain").or_insert(Value::Bool(false));
    Options::deserialize(Value::Object(options)).map_err(D::Error::custom)
}

fn judge(model: &Model, request: BulkRequest) -> Result<Judgement, Problem> {
    let request = Request { facts: request.facts, options: request.options };
    model.score(&request).map_err(|errors| ApiError::invalid(errors).into_problem())
}

/// Many items of which each is judged by itself.
#[derive(Debug, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct BatchRequest {
    /// Read one by one, so that a bad one costs only itself.
    #[schema(value_type = Vec<Request>, min_items = 1, max_items = 10_000)]
    items: Vec<Box<RawValue>>,
}

/// One answer per item, in the same order.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub(crate) struct BatchReply {
    items: Vec<BatchItem>,
}

/// An answer, or what is wrong with the item.
#[derive(Debug, Serialize, utoipa::ToSchema)]
#[serde(untagged)]
pub(crate) enum BatchItem {
    Judged(Judgement),
    Refused { problem: Problem },
}

/// Judges up to 10,000 items; a bad one has its `problem` in its place. `options.explain` is off unless asked for.
///
/// The whole body is bound by `http.body_limit_bytes`; with long histories, use the stream.
#[utoipa::path(tag = "replenishment", request_body = BatchRequest, responses((status = 200, body = BatchReply), Problems))]
#[post("/v1/replenishment/batch")]
pub(crate) async fn score_batch(
    _caller: Caller<Score>,
    model: web::Data<Model>,
    body: Body<BatchRequest>,
) -> Result<web::Json<BatchReply>, ApiError> {
    let items = body.into_inner().items;
    within_limit(items.len())?;
    let judge_item =
        move |raw: &RawValue| match parse_json(raw.get().as_bytes()).and_then(|request| judge(&model, request)) {
            Ok(judgement) => BatchItem::Judged(judgement),
            Err(problem) => BatchItem::Refused { problem },
        };
    // On a thread of its own: an HTTP worker that computes answers nobody else meanwhile.
    let judged = web::block(move || items.iter().map(|raw| judge_item(raw)).collect()).await;
    Ok(web::Json(BatchReply { items: judged.map_err(ApiError::internal)? }))
}

/// Judges a stream of requests, one JSON object per line of at most 64 KiB, answered line by line in order; a bad line
/// is answered by `{"line", "problem"}` in its place. `options.explain` is off unless asked for. Read while you send.
#[utoipa::path(tag = "replenishment",
    request_body(content = Request, content_type = "application/x-ndjson"),
    responses((status = 200, description = "One answer per line", body = Line<Judgement>,
        content_type = "application/x-ndjson"), Problems))]
#[post("/v1/replenishment/stream")]
pub(crate) async fn score_stream(_caller: Caller<Score>, model: web::Data<Model>, lines: Ndjson) -> HttpResponse {
    lines.each(move |request: BulkRequest| judge(&model, request))
}

/// Spends a budget on purchases where the next unit protects most margin.
#[utoipa::path(tag = "replenishment", request_body = RankRequest, responses((status = 200, body = Ranking), Problems))]
#[post("/v1/replenishment/rank")]
pub(crate) async fn rank(
    _caller: Caller<Score>,
    model: web::Data<Model>,
    body: Body<RankRequest>,
) -> Result<web::Json<Ranking>, ApiError> {
    let request = body.into_inner();
    within_limit(request.items.len())?;
    let ranked = web::block(move || model.rank(&request)).await.map_err(ApiError::internal)?;
    ranked.map(web::Json).map_err(ApiError::invalid)
}

fn within_limit(items: usize) -> Result<(), ApiError> {
    match items {
        1..=MOST_ITEMS => Ok(()),
        _ => Err(ApiError::invalid_field("/items", format!("must have 1 to {MOST_ITEMS} items, has {items}"))),
    }
}
