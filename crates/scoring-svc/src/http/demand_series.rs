//! `/v1/demand-signal/observations` and `/v1/demand-signal/series`: series that are judged as they grow.

use std::collections::BTreeMap;

use actix_web::{get, post, web};
use chassis::{http::parse_json, prelude::*};
use contracts::{LocationId, ProductId};
use jiff::civil::Date;
use models::{
    ModelRef,
    demand_signal::{Bucket, Description, Model, Signal},
};
use serde::{Deserialize, Serialize};
use serde_json::{json, value::RawValue};

use super::{KeepCases, ReadRecommendations, supplier_risk::utc_day};
use crate::{
    rules::series::{Answered, Grain, Grown, Key, Refusal, Series},
    shelf::Shelf,
    store::series,
};

/// Most buckets of one call, which is one transaction.
const MOST_BUCKETS: usize = 1_000;

/// Buckets of any number of series; those of one series in the order of their days.
#[derive(Debug, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct DemandObservations {
    /// Read one by one, so that a bad one costs only itself.
    #[schema(value_type = Vec<DemandObservation>, min_items = 1, max_items = 1_000)]
    items: Vec<Box<RawValue>>,
}

/// What was sold of a product at a location in a day or a week that is over.
#[derive(Clone, Debug, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct DemandObservation {
    product: ProductId,
    location: LocationId,
    #[serde(default)]
    grain: Grain,
    /// The day, or the first day of the week; not in the future.
    day: Date,
    bucket: Bucket,
}

/// What a bucket is, judged by those before it.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub(crate) struct ObservedBucket {
    product: ProductId,
    location: LocationId,
    grain: Grain,
    day: Date,
    /// `event` is `unknown` as long as too few buckets are known.
    signal: Signal,
    /// The version that judged it.
    version: String,
    /// It was told before: this is the answer of then, and nothing was learnt.
    repeated: bool,
    /// Buckets that the active version has learnt anew before this one, because another version made the state that was
    /// kept. A state is never continued by other parameters.
    #[serde(skip_serializing_if = "Option::is_none")]
    relearned: Option<usize>,
}

/// A bucket judged, or what is wrong with it.
#[derive(Debug, Serialize, utoipa::ToSchema)]
#[serde(untagged)]
pub(crate) enum ObservedItem {
    Observed(ObservedBucket),
    Refused { problem: Problem },
}

/// One answer per item, in the same order.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub(crate) struct ObservedReply {
    items: Vec<ObservedItem>,
}

/// Tells what was sold in up to 1,000 buckets. Each is judged by those before it in its series and learnt from, in one
/// pass: what is kept of a series does not grow with it.
///
/// A bucket counts once: the same again gets the first answer (of the latest 28), told otherwise it is refused (409), as
/// is one before the last of its series. Days that nobody told of are passed as unknown; after more than 400 buckets
/// without one a series begins anew. A bad item has its `problem` in
/// its place and harms no other.
#[utoipa::path(tag = "demand-signal", request_body = DemandObservations,
    responses((status = 200, body = ObservedReply), Problems))]
#[post("/v1/demand-signal/observations")]
pub(crate) async fn observe_demand(
    cx: Cx,
    caller: Caller<KeepCases>,
    shelf: web::Data<Shelf<Model>>,
    body: Body<DemandObservations>,
) -> Result<web::Json<ObservedReply>, ApiError> {
    let told = body.into_inner().items;
    if !(1..=MOST_BUCKETS).contains(&told.len()) {
        let detail = format!("must have 1 to {MOST_BUCKETS} items, has {}", told.len());
        return Err(ApiError::invalid_field("/items", detail));
    }
    let model = shelf.model(&cx, None).await?;
    let mut answers: Vec<Option<ObservedItem>> = Vec::new();
    let mut by_series: BTreeMap<Key, Vec<(usize, DemandObservation)>> = BTreeMap::new();
    let today = utc_day(cx.clock().now());
    for (place, raw) in told.iter().enumerate() {
        answers.push(match parse(raw, today) {
            Ok(one) => {
                let key = Key { product: one.product.clone(), location: one.location.clone(), grain: one.grain };
                by_series.entry(key).or_default().push((place, one));
                None
            }
            Err(problem) => Some(ObservedItem::Refused { problem }),
        });
    }
    let mut tx = cx.store().begin().await?;
    let mut learnt = 0;
    for (key, observations) in by_series {
        let mut known = series::hold(&mut tx, &key).await?;
        let mut changed = false;
        for (place, one) in observations {
            let grown = Series::grow(&mut known, &model, key.grain, (one.day, one.bucket));
            changed |= grown.as_ref().is_ok_and(|grown| !grown.repeated);
            learnt += usize::from(grown.as_ref().is_ok_and(|grown| !grown.repeated));
            answers[place] = Some(item(one, grown));
        }
        if let Some(known) = known.as_ref().filter(|_| changed) {
            series::keep(&mut tx, &key, known).await?;
        }
    }
    if learnt > 0 {
        tx.audit(&caller.actor(), "demand.observed", "demand-series", json!({"buckets": learnt})).await?;
        tx.commit().await?;
    }
    // Every place was filled: by its problem when it was read, or with its series.
    Ok(web::Json(ObservedReply { items: answers.into_iter().flatten().collect() }))
}

fn parse(raw: &RawValue, today: Date) -> Result<DemandObservation, Problem> {
    let one: DemandObservation = parse_json(raw.get().as_bytes())?;
    let observed = one.grain.observation(one.bucket);
    let below = |error: FieldError| FieldError::new(format!("/bucket{}", error.pointer), error.detail);
    let mut errors: Vec<FieldError> = observed.violations().into_iter().map(below).collect();
    if one.day > today {
        errors.push(FieldError::new("/day", format!("must not be after today, which is {today}")));
    }
    if errors.is_empty() { Ok(one) } else { Err(ApiError::invalid(errors).into_problem()) }
}

fn item(one: DemandObservation, grown: Result<Grown, Refusal>) -> ObservedItem {
    match grown {
        Ok(Grown { answered, repeated, relearned }) => ObservedItem::Observed(ObservedBucket {
            product: one.product,
            location: one.location,
            grain: one.grain,
            day: answered.day,
            signal: answered.signal,
            version: answered.version,
            repeated,
            relearned: (relearned > 0).then_some(relearned),
        }),
        Err(refusal) => ObservedItem::Refused { problem: problem(&refusal).into_problem() },
    }
}

fn problem(refusal: &Refusal) -> ApiError {
    match refusal {
        Refusal::Fields(errors) => ApiError::invalid(errors.clone()),
        Refusal::Between(_) => ApiError::invalid_field("/day", refusal.to_string()),
        Refusal::Otherwise(_) => {
            ApiError::conflict("bucket-told", "The bucket was told otherwise", refusal.to_string())
        }
        Refusal::Passed(_) => {
            ApiError::conflict("bucket-passed", "The series is past this bucket", refusal.to_string())
        }
    }
}

/// Which series.
#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(crate) struct SeriesFilter {
    /// Days when absent.
    #[serde(default)]
    #[param(inline)]
    grain: Grain,
}

/// What is known of a series.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub(crate) struct SeriesView {
    product: ProductId,
    location: LocationId,
    grain: Grain,
    /// The version whose state it is. When another one judges, it learns the latest buckets anew before the next.
    model: ModelRef,
    /// First and last bucket of the state.
    first: Date,
    last: Date,
    #[serde(flatten)]
    known: Description,
    /// Units on each day of the week as a share of the average day; empty for weeks.
    week: BTreeMap<String, f64>,
    /// In a few sentences.
    #[schema(example = "Sells 12.3 a day. Most on saturday, least on tuesday.")]
    summary: String,
    /// The latest buckets with their answers, oldest first, at most 28.
    latest: Vec<Answered>,
}

/// A product at a location.
#[derive(Clone, Debug, Deserialize, utoipa::ToSchema, utoipa::IntoParams)]
#[into_params(parameter_in = Path)]
#[serde(deny_unknown_fields)]
pub(crate) struct SeriesOf {
    #[param(inline)]
    product: ProductId,
    #[param(inline)]
    location: LocationId,
}

/// What is known of the sales of a product at a location: level, dispersion, days of the week, the latest signals.
#[utoipa::path(tag = "demand-signal", params(SeriesOf, SeriesFilter), responses((status = 200, body = SeriesView), Problems))]
#[get("/v1/demand-signal/series/{product}/{location}")]
pub(crate) async fn get_demand_series(
    cx: Cx,
    _caller: Caller<ReadRecommendations>,
    shelf: web::Data<Shelf<Model>>,
    path: PathOf<SeriesOf>,
    filter: Params<SeriesFilter>,
) -> Result<web::Json<SeriesView>, ApiError> {
    let SeriesOf { product, location } = path.into_inner();
    let key = Key { product, location, grain: filter.grain };
    let found = series::find(&mut *cx.store().read().await?, &key).await?;
    let found = found.ok_or_else(|| ApiError::not_found("series"))?;
    let model = shelf.model(&cx, Some(&found.model.version)).await?;
    let mut known = model.describe(&found.state).ok_or_else(|| ApiError::internal("a series of sales has counts"))?;
    let shares = std::mem::take(&mut known.weekdays);
    let week: BTreeMap<String, f64> =
        (0..).zip(shares).map(|(after, share)| (format!("{:?}", found.weekday(after)).to_lowercase(), share)).collect();
    let summary = summary(&known, &week, &found, key.grain);
    let last = found.latest.last().map_or(found.first, |last| last.day);
    let Key { product, location, grain } = key;
    let Series { model, first, latest, .. } = found;
    Ok(web::Json(SeriesView { product, location, grain, model, first, last, known, week, summary, latest }))
}

fn summary(known: &Description, week: &BTreeMap<String, f64>, series: &Series, grain: Grain) -> String {
    let mut text = format!("Sells {:.1} a {}", known.level, grain.as_str());
    let spread = if known.dispersion < 0.1 { "hardly more unevenly than chance" } else { "more unevenly than chance" };
    text.push_str(&format!(", {spread} (dispersion {:.2}).", known.dispersion));
    let by_share = |a: &(&String, &f64), b: &(&String, &f64)| a.1.total_cmp(b.1);
    if let (Some((most, high)), Some((least, low))) = (week.iter().max_by(by_share), week.iter().min_by(by_share)) {
        text.push_str(&format!(" Most on {most} ({high:.2} of an average day), least on {least} ({low:.2})."));
    }
    if !known.judges {
        text.push_str(&format!(" {} {}s with a count are too few to judge by.", known.observed, grain.as_str()));
    }
    if let Some(last) = series.latest.last() {
        let event = serde_json::to_value(last.signal.event).ok();
        let event = event.as_ref().and_then(|event| event.as_str()).unwrap_or_default().replace('_', " ");
        let expected = last.signal.expected;
        match last.bucket.units {
            Some(units) => text.push_str(&format!(" On {}: {units} sold, {expected:.1} expected: {event}.", last.day)),
            None => text.push_str(&format!(" On {}: no count is known.", last.day)),
        }
    }
    text
}
