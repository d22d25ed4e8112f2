//! `/v1/supplier-risk` and `/v1/shipment-risk`: what will come late.
//!
//! A purchase line is judged by how comparable lines fared. Who has counted that sends it with the request; else it is
//! read from what was told of deliveries before the day of the judgement, and never from what became known later.

use std::sync::Arc;

use chassis::prelude::*;
use jiff::{civil::Date, tz::TimeZone};
use models::{
    Judge,
    supplier_risk::{
        purchase::{Answer as Judgement, Assessment, Evidence, Model, Request, Timeline},
        shipment,
    },
};
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::judged::{each, judge_text, stamp::*};
use crate::{
    history::SupplierHistory,
    store::deliveries::{self, Forecast},
};

impl Served for Model {
    fn explain(request: &mut Request) -> &mut bool {
        &mut request.options.explain
    }
}

/// Whose evidence an answer rests on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum EvidenceSource {
    /// The request's own.
    Sent,
    /// What was told of deliveries before.
    Kept,
    /// Nothing was sent and nothing was told.
    None,
}

/// Where the evidence of an answer came from.
#[derive(Clone, Debug, Serialize, utoipa::ToSchema)]
pub(crate) struct EvidenceUsed {
    source: EvidenceSource,
    /// Lines that had ended, of those that were told; only of what was kept.
    #[serde(skip_serializing_if = "Option::is_none")]
    deliveries: Option<usize>,
    /// Nothing that became known on this day or later was used; only of what was kept.
    #[serde(skip_serializing_if = "Option::is_none")]
    known_before: Option<Date>,
    /// What was read: sent with the same request it gives the same answer with the same input hash. Only of what was
    /// kept, and only with `explain`.
    #[serde(skip_serializing_if = "Option::is_none")]
    used: Option<Box<Evidence>>,
}

/// The model's answer, and what it rests on. Its input hash covers the evidence that was used, wherever it came from.
#[derive(Clone, Debug, Serialize, utoipa::ToSchema)]
pub(crate) struct SupplierRiskReply {
    #[serde(flatten)]
    judgement: Judgement,
    evidence: EvidenceUsed,
    /// Whether it is the judgement of this line that is kept for this day and version; only when it was to be kept.
    #[serde(skip_serializing_if = "Option::is_none")]
    kept: Option<bool>,
}

/// Which version is to judge, and whether to measure it later.
#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(crate) struct Keeping {
    /// A version that was published; the active one when absent. The answer names the one that judged.
    #[param(example = "1", min_length = 1, max_length = 64)]
    version: Option<String>,
    /// Keep the judgement, so that the report over outcomes measures it by what is told of the line's delivery. The
    /// first of a line, day and version stands.
    #[serde(default)]
    keep: bool,
}

/// The model with what is known of suppliers.
struct Informed {
    model: Arc<Model>,
    timeline: Option<Arc<Timeline>>,
}

impl Informed {
    async fn read(
        cx: &Cx,
        (shelf, history): (&Shelf<Model>, &SupplierHistory),
        version: Option<&str>,
    ) -> Result<Self, ApiError> {
        let model = shelf.model(cx, version).await?;
        let timeline = history.timeline(cx, &model).await?;
        Ok(Self { model, timeline })
    }

    fn judge(&self, mut request: Request) -> Result<SupplierRiskReply, Vec<FieldError>> {
        let mut evidence =
            EvidenceUsed { source: EvidenceSource::Sent, deliveries: None, known_before: None, used: None };
        if request.evidence.is_none() {
            evidence.source = EvidenceSource::None;
            if let Some(timeline) = &self.timeline {
                let day = utc_day(request.as_of);
                let known = timeline.evidence(&request.line, day);
                request.evidence = Some(known);
                evidence = EvidenceUsed {
                    source: EvidenceSource::Kept,
                    deliveries: Some(timeline.ended(day)),
                    known_before: Some(day),
                    used: request.options.explain.then(|| Box::new(known)),
                };
            }
        }
        Ok(SupplierRiskReply { judgement: self.model.judge(&request)?, evidence, kept: None })
    }
}

/// The day of a moment in UTC, by which the model counts.
pub(super) fn utc_day(moment: Timestamp) -> Date {
    moment.to_zoned(TimeZone::UTC).date()
}

/// Judges a line of a purchase order: how likely it comes late, and how late. Ask again as days pass: with each day
/// that a line has not come the answer moves.
///
/// Without `evidence` the service reads its own, from the deliveries it was told of before the day of `as_of`; the
/// answer says which it was. `status` is `scored`, or `insufficient_data` with what is missing: the model does not
/// guess.
#[utoipa::path(tag = "supplier-risk", params(Keeping), request_body = Request,
    responses((status = 200, body = SupplierRiskReply), Problems))]
#[post("/v1/supplier-risk/score")]
pub(crate) async fn score_supplier_risk(
    cx: Cx,
    caller: Caller<Score>,
    (shelf, history): (web::Data<Shelf<Model>>, web::Data<SupplierHistory>),
    keeping: Params<Keeping>,
    body: Body<Request>,
) -> Result<web::Json<SupplierRiskReply>, ApiError> {
    let Keeping { version, keep } = keeping.into_inner();
    let request = body.into_inner();
    let informed = Informed::read(&cx, (&shelf, &history), version.as_deref()).await?;
    let asked = keep.then(|| request.clone());
    let judged = web::block(move || informed.judge(request)).await.map_err(ApiError::internal)?;
    let mut reply = judged.map_err(ApiError::invalid)?;
    if let (Some(Request { line, as_of, .. }), Judgement::Scored(assessment)) = (asked, &reply.judgement) {
        let model = format!("{}@{}", assessment.model.name, assessment.model.version);
        let forecast =
            Forecast { line, day: utc_day(as_of), model, score: assessment.score.micros(), made_by: caller.actor() };
        reply.kept = Some(keep_forecast(&cx, &forecast, assessment).await?);
    }
    Ok(web::Json(reply))
}

async fn keep_forecast(cx: &Cx, forecast: &Forecast, assessment: &Assessment) -> Result<bool, StoreError> {
    let mut tx = cx.store().begin().await?;
    let kept = deliveries::keep_forecast(&mut tx, forecast).await?;
    if kept {
        let subject = format!("line:{}:{}", forecast.line.supplier, forecast.line.id);
        let details = json!({
            "model": assessment.model, "input_hash": assessment.input_hash, "score": forecast.score, "day": forecast.day,
        });
        tx.audit(&forecast.made_by, "delivery.forecast", &subject, details).await?;
        tx.commit().await?;
    }
    Ok(kept)
}

/// Judges up to 10,000 lines; a bad one has its `problem` in its place. Nothing is kept. `options.explain` is off unless
/// asked for. A line without `evidence` is judged by what the service was told of deliveries before its own `as_of`.
#[utoipa::path(tag = "supplier-risk", params(Version), request_body = BatchRequest<Request>,
    responses((status = 200, body = BatchReply<SupplierRiskReply>), Problems))]
#[post("/v1/supplier-risk/batch")]
pub(crate) async fn batch_supplier_risk(
    cx: Cx,
    _caller: Caller<Score>,
    (shelf, history): (web::Data<Shelf<Model>>, web::Data<SupplierHistory>),
    version: Params<Version>,
    body: Body<BatchRequest<Request>>,
) -> Result<web::Json<BatchReply<SupplierRiskReply>>, ApiError> {
    let informed = Informed::read(&cx, (&shelf, &history), version.version.as_deref()).await?;
    each(body.into_inner(), move |text| judge_text::<Model, _>(text, |request| informed.judge(request))).await
}

/// Judges a stream of lines, one JSON object per line of at most 64 KiB, answered line by line in order; a bad line is
/// answered by `{"line", "problem"}` in its place. One version and one history judge the whole stream; otherwise as in
/// a batch. Read while you send.
#[utoipa::path(tag = "supplier-risk", params(Version),
    request_body(content = Request, content_type = "application/x-ndjson"),
    responses((status = 200, description = "One answer per line", body = Line<SupplierRiskReply>,
        content_type = "application/x-ndjson"), Problems))]
#[post("/v1/supplier-risk/stream")]
pub(crate) async fn stream_supplier_risk(
    cx: Cx,
    _caller: Caller<Score>,
    (shelf, history): (web::Data<Shelf<Model>>, web::Data<SupplierHistory>),
    version: Params<Version>,
    lines: Ndjson,
) -> Result<HttpResponse, ApiError> {
    let informed = Informed::read(&cx, (&shelf, &history), version.version.as_deref()).await?;
    Ok(lines.each(move |line| judge_text::<Model, _>(line, |request| informed.judge(request))))
}

judged!(
    one, shipment::Model, shipment::Request, shipment::Answer, "shipment-risk",
    /// Judges a transport under way from the milestones that it has passed.
    ///
    /// `status` is `scored`, or `insufficient_data` with what is missing: the model does not guess.
    score_shipment_risk = "/v1/shipment-risk/score",
    batch_shipment_risk = "/v1/shipment-risk/batch",
    stream_shipment_risk = "/v1/shipment-risk/stream"
);

impl Served for shipment::Model {
    fn explain(request: &mut shipment::Request) -> &mut bool {
        &mut request.options.explain
    }
}
