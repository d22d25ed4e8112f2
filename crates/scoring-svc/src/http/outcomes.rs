//! `/v1/outcomes`: what became of recommendations, and what that says about them.

use actix_web::{get, post, web};
use chassis::prelude::*;
use contracts::{LocationId, ProductId};
use models::{
    Judge,
    outcomes::{Calibration, Report},
    supplier_risk::purchase,
};
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::{ReadRecommendations, RecordOutcomes, supplier_risk::utc_day};
use crate::store::{
    deliveries,
    outcomes::{self, Outcome, Recorded, Wanted},
    recommendations,
};

/// How much a teller's clock may be ahead of ours, in seconds.
const AHEAD: i64 = 300;
/// Days that a report looks back when it is not told.
const LOOK_BACK: i64 = 90;
/// Most recommendations of one report, which is computed in memory.
const MOST_CASES: u32 = 100_000;

/// What became of a recommendation.
#[derive(Clone, Debug, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct NewOutcome {
    recommendation_id: String,
    /// When it was so; not before the stage before it.
    at: Timestamp,
    outcome: Outcome,
}

impl NewOutcome {
    fn violations(&self, now: Timestamp) -> Vec<FieldError> {
        let mut found = match &self.outcome {
            Outcome::Approved(approved) => approved.violations("/outcome"),
            Outcome::Executed(executed) => executed.violations("/outcome"),
            Outcome::Realised(realised) => realised.violations("/outcome"),
        };
        if self.at.as_second() > now.as_second() + AHEAD {
            found.push(FieldError::new("/at", format!("must not be in the future, it is {now}")));
        }
        found
    }

    /// The stage that must have been told before, or why this one cannot come.
    fn stage_before<'a>(&self, known: &'a [Recorded]) -> Result<Option<&'a Recorded>, String> {
        let told = |stage: &str| known.iter().find(|one| one.outcome.stage() == stage);
        let declined =
            matches!(told("approved"), Some(Recorded { outcome: Outcome::Approved(one), .. }) if one.action == "none");
        match &self.outcome {
            Outcome::Approved(_) => Ok(None),
            Outcome::Executed(_) if declined => Err("it was declined, so nothing can be executed".to_owned()),
            Outcome::Realised(_) if !declined => {
                told("executed").map(Some).ok_or_else(|| "executed must be told before realised".to_owned())
            }
            other => {
                told("approved").map(Some).ok_or_else(|| format!("approved must be told before {}", other.stage()))
            }
        }
    }
}

/// Tells what became of a recommendation, stage by stage: approved (or declined, with the action `none`), executed,
/// realised.
///
/// Each stage is told once: the same again changes nothing, something else is refused.
#[utoipa::path(tag = "outcomes", request_body = NewOutcome, responses(
    (status = 201, description = "Recorded", body = Recorded),
    (status = 200, description = "It was told before", body = Recorded), Problems))]
#[post("/v1/outcomes")]
pub(crate) async fn record_outcome(
    cx: Cx,
    caller: Caller<RecordOutcomes>,
    body: Body<NewOutcome>,
) -> Result<Answer, ApiError> {
    let new = body.into_inner();
    let mut tx = cx.store().begin().await?;
    let violations = new.violations(tx.now());
    if !violations.is_empty() {
        return Err(ApiError::invalid(violations));
    }
    let recommendation = recommendations::find(tx.conn(), &new.recommendation_id).await?;
    let recommendation = recommendation.ok_or_else(|| ApiError::not_found("recommendation"))?;
    let known = outcomes::of(tx.conn(), &recommendation.id).await?;
    if let Some(first) = known.iter().find(|one| one.outcome.stage() == new.outcome.stage()) {
        return told_before(first, &new);
    }
    let before = new
        .stage_before(&known)
        .map_err(|detail| ApiError::conflict("outcome-out-of-order", "The stage cannot come now", detail))?;
    let not_before = before.map_or(recommendation.made_at, |one| one.at);
    if new.at < not_before {
        let stage = before.map_or("the recommendation", |one| one.outcome.stage());
        return Err(ApiError::invalid_field("/at", format!("must not be before {stage}, which was at {not_before}")));
    }
    let recorded = Recorded {
        recommendation_id: recommendation.id,
        at: new.at,
        outcome: new.outcome.clone(),
        recorded_by: caller.actor(),
        recorded_at: tx.now(),
    };
    if !outcomes::add(&mut tx, &recorded).await? {
        // A twin was faster; what it told is now there to be compared with.
        let known = outcomes::of(tx.conn(), &recorded.recommendation_id).await?;
        let first = known.iter().find(|one| one.outcome.stage() == new.outcome.stage());
        return told_before(first.ok_or_else(|| ApiError::internal("the twin's outcome is gone"))?, &new);
    }
    let subject = format!("recommendation:{}", recorded.recommendation_id);
    tx.audit(&recorded.recorded_by, "outcome.recorded", &subject, json!({"at": new.at, "outcome": new.outcome}))
        .await?;
    tx.commit().await?;
    Answer::new(&Reply::created(recorded))
}

fn told_before(first: &Recorded, new: &NewOutcome) -> Result<Answer, ApiError> {
    if first.at == new.at && first.outcome == new.outcome {
        return Answer::new(&Reply::ok(first));
    }
    let detail = format!(
        "{} was told otherwise by {} at {}: what became of a recommendation is written once",
        first.outcome.stage(),
        first.recorded_by,
        first.recorded_at
    );
    Err(ApiError::conflict("outcome-recorded", "The stage was told otherwise", detail))
}

/// Which recommendations to report on.
#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(crate) struct ReportFilter {
    /// Recommendations made at or after this instant; 90 days before `to` when absent.
    from: Option<Timestamp>,
    /// Recommendations made before this instant; now when absent.
    to: Option<Timestamp>,
    product: Option<ProductId>,
    location: Option<LocationId>,
    /// A model, or one version of it as `name@version`.
    #[param(example = "replenishment-priority", pattern = "^[a-z-]+(@[^%_]+)?$")]
    model: Option<String>,
}

/// How the recommendations of a time turned out.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub(crate) struct ReportReply {
    from: Timestamp,
    to: Timestamp,
    #[serde(flatten)]
    report: Report,
    /// Kept judgements of order lines whose day has passed, against what was told of their deliveries; absent with a
    /// product, a location or another model asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    late_deliveries: Option<Calibration>,
}

/// How recommendations turned out: service level, haste, ageing, time to resolution, calibration month by month, and
/// what following them saved against departing from them. Every figure has its 95 % interval, or the reason why it
/// cannot be known from these cases.
#[utoipa::path(tag = "outcomes", params(ReportFilter), responses((status = 200, body = ReportReply), Problems))]
#[get("/v1/outcomes/report")]
pub(crate) async fn report_outcomes(
    cx: Cx,
    _caller: Caller<ReadRecommendations>,
    filter: Params<ReportFilter>,
) -> Result<web::Json<ReportReply>, ApiError> {
    let now = cx.clock().now();
    let filter = filter.into_inner();
    // The name is looked for with LIKE, so it must not hold a pattern.
    let word = |c: char| c.is_ascii_lowercase() || c == '-';
    let is_name = |name: &str| !name.is_empty() && name.chars().all(word);
    let name = filter.model.as_deref().map(|model| model.split_once('@').unwrap_or((model, "1")));
    if name.is_some_and(|(name, version)| !is_name(name) || version.is_empty() || version.contains(['%', '_'])) {
        return Err(ApiError::bad_parameter("query:model", "is no name of a model"));
    }
    let to = filter.to.unwrap_or(now);
    let back = || Timestamp::from_second(to.as_second() - LOOK_BACK * 24 * 3600);
    let from =
        filter.from.map_or_else(back, Ok).map_err(|error| ApiError::bad_parameter("query:to", error.to_string()))?;
    if from >= to {
        return Err(ApiError::invalid_field("query:from", format!("must be before {to}")));
    }
    let supplier_risk = name.is_none_or(|(name, _)| name == purchase::Model::NAME);
    let of_lines = supplier_risk && filter.product.is_none() && filter.location.is_none();
    let late_deliveries =
        if of_lines { Some(late_deliveries(&cx, (from, to), filter.model.as_deref()).await?) } else { None };
    let wanted = Wanted { from, to, product: filter.product, location: filter.location, model: filter.model };
    let cases = outcomes::closed(&mut *cx.store().read().await?, &wanted, now, MOST_CASES).await?;
    if cases.len() > MOST_CASES as usize {
        let detail = format!("more than {MOST_CASES} recommendations were made in this time; ask for less of it");
        return Err(ApiError::bad_parameter("query:from", detail));
    }
    let report = web::block(move || Report::of(&cases)).await.map_err(ApiError::internal)?;
    Ok(web::Json(ReportReply { from, to, report, late_deliveries }))
}

async fn late_deliveries(cx: &Cx, time: (Timestamp, Timestamp), model: Option<&str>) -> Result<Calibration, ApiError> {
    let today = utc_day(cx.clock().now());
    let measured = deliveries::measured(&mut *cx.store().read().await?, time, model, today, MOST_CASES).await?;
    if measured.len() > MOST_CASES as usize {
        let detail = format!("more than {MOST_CASES} lines were judged in this time; ask for less of it");
        return Err(ApiError::bad_parameter("query:from", detail));
    }
    let calibration = move || {
        let known = measured.iter().filter_map(|one| Some((one.month.as_str(), one.probability, one.late?)));
        let known: Vec<_> = known.collect();
        Calibration::of_forecasts(&known, measured.len() - known.len(), "judged lines whose delivery is known")
    };
    web::block(calibration).await.map_err(ApiError::internal)
}
