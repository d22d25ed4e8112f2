//! `/v1/supplier-risk/deliveries` and `/v1/supplier-risk/suppliers`: what suppliers did before.

use std::collections::BTreeMap;

use actix_web::{get, post, web};
use chassis::{http::parse_json, prelude::*};
use contracts::SupplierId;
use jiff::{civil::Date, tz::TimeZone};
use models::supplier_risk::purchase::{End, Options, Request};
use serde::{Deserialize, Serialize};
use serde_json::{json, value::RawValue};

use super::{KeepCases, ReadRecommendations, supplier_risk::utc_day};
use crate::{
    history::SupplierHistory,
    shelf::Changes,
    store::deliveries::{self, Delivery, Told},
};

/// Most lines of one call, which is one transaction.
const MOST_LINES: usize = 1_000;
/// How often a line can be told otherwise.
const MOST_TELLINGS: usize = 100;
/// Longest delay, in days, as the model counts them.
const MOST_DAYS: i64 = 3_650;
/// Most units of a line.
const MOST_UNITS: f64 = 1e9;
/// Most lines that a supplier's figures are counted from: the latest known.
const MOST_COUNTED: u32 = 20_000;

/// What became of order lines.
#[derive(Debug, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Deliveries {
    /// Read one by one, so that a bad one costs only itself.
    #[schema(value_type = Vec<Delivery>, min_items = 1, max_items = 1_000)]
    items: Vec<Box<RawValue>>,
}

/// What was done with a line that was told.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
#[schema(as = DeliveryTaken)]
pub(crate) enum Taken {
    /// The line was not known.
    New,
    /// It was told before; nothing has changed.
    Same,
    /// It replaces what was told before, which is kept.
    Replaced,
}

/// What is kept of a line now.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub(crate) struct TakenLine {
    supplier: SupplierId,
    line: String,
    taken: Taken,
    /// Which telling of the line it is, counted from 1.
    telling: i64,
    /// Day on which it became known: judgements use it from the next day on.
    known: Date,
}

/// A line taken, or what is wrong with it.
#[derive(Debug, Serialize, utoipa::ToSchema)]
#[serde(untagged)]
pub(crate) enum DeliveryItem {
    Taken(TakenLine),
    Refused { problem: Problem },
}

/// One answer per item, in the same order.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub(crate) struct DeliveriesReply {
    items: Vec<DeliveryItem>,
}

/// Tells what became of up to 1,000 order lines: received, cancelled, partly received, or still open. From the day after
/// it became known, judgements without evidence of their own use it.
///
/// Supplier and line id name a line. The same again changes nothing; what is told otherwise replaces it, and judgements
/// as of a day before that still use what was known then. A bad item has its `problem` in its place.
#[utoipa::path(tag = "supplier-risk", request_body = Deliveries,
    responses((status = 200, body = DeliveriesReply), Problems))]
#[post("/v1/supplier-risk/deliveries")]
pub(crate) async fn tell_deliveries(
    cx: Cx,
    caller: Caller<KeepCases>,
    (history, changes): (web::Data<SupplierHistory>, web::Data<Changes>),
    body: Body<Deliveries>,
) -> Result<web::Json<DeliveriesReply>, ApiError> {
    let told = body.into_inner().items;
    if !(1..=MOST_LINES).contains(&told.len()) {
        let detail = format!("must have 1 to {MOST_LINES} items, has {}", told.len());
        return Err(ApiError::invalid_field("/items", detail));
    }
    let mut tx = cx.store().begin().await?;
    deliveries::hold(&mut tx).await?;
    let (actor, mut items, mut added) = (caller.actor(), Vec::with_capacity(told.len()), 0);
    for raw in told {
        items.push(match parse(&raw, utc_day(tx.now())) {
            Ok(delivery) => match take(&mut tx, &actor, delivery).await? {
                Ok(taken) => {
                    added += usize::from(taken.taken != Taken::Same);
                    DeliveryItem::Taken(taken)
                }
                Err(problem) => DeliveryItem::Refused { problem },
            },
            Err(problem) => DeliveryItem::Refused { problem },
        });
    }
    if added > 0 {
        deliveries::count(&mut tx, added, history.most).await?;
        tx.audit(&actor, "deliveries.told", "deliveries", json!({"lines": added})).await?;
        tx.commit().await?;
        changes.count_up();
    }
    Ok(web::Json(DeliveriesReply { items }))
}

fn parse(raw: &RawValue, today: Date) -> Result<Delivery, Problem> {
    let mut delivery: Delivery = parse_json(raw.get().as_bytes())?;
    let errors = violations(&delivery, today);
    if !errors.is_empty() {
        return Err(ApiError::invalid(errors).into_problem());
    }
    // Neither is a fact of the past: one is the caller's patience, the other his cost.
    delivery.line.slack_days = 0;
    delivery.line.cost_per_day = None;
    Ok(delivery)
}

fn violations(told: &Delivery, today: Date) -> Vec<FieldError> {
    let line = &told.line;
    // The model's own checks of a line, as of the day of its promise: there is no other that must be near it.
    let promised = line.promised.to_zoned(TimeZone::UTC).map_or(Timestamp::MAX, |day| day.timestamp());
    let request = Request { line: line.clone(), as_of: promised, evidence: None, options: Options::default() };
    let mut found = request.violations();
    let mut wrong = |pointer: &str, detail: String| found.push(FieldError::new(pointer, detail));
    if line.ordered > today {
        wrong("/line/ordered", format!("must not be after today, which is {today}"));
    }
    for (pointer, day) in [("/received", told.received), ("/cancelled", told.cancelled)] {
        let Some(day) = day else { continue };
        if day < line.ordered || day > today {
            wrong(pointer, format!("must be from the day of the order to today, which is {today}"));
        } else if (day - line.promised).get_days().abs() > i32::try_from(MOST_DAYS).unwrap_or(i32::MAX) {
            wrong(pointer, format!("must be within {MOST_DAYS} days of promised"));
        }
    }
    if told.units.is_some_and(|units| !(units > 0.0 && units <= MOST_UNITS)) {
        wrong("/units", format!("must be above 0, and at most {MOST_UNITS}"));
    }
    if told.units_received.is_some_and(|units| !(0.0..=MOST_UNITS).contains(&units)) {
        wrong("/units_received", format!("must be between 0 and {MOST_UNITS}"));
    }
    if told.units_received.is_some_and(|units| units > 0.0) && told.received.is_none() {
        wrong("/received", "is needed with units received".to_owned());
    }
    if told.known.is_some_and(|known| known < told.latest() || known > today) {
        wrong("/known", format!("must be from the latest day that is told of to today, which is {today}"));
    }
    found
}

/// Takes a delivery in, or says why it cannot be.
async fn take(tx: &mut Tx, actor: &str, delivery: Delivery) -> Result<Result<TakenLine, Problem>, StoreError> {
    let (supplier, line) = (delivery.line.supplier.clone(), delivery.line.id.clone());
    let before = deliveries::of_line(tx.conn(), &supplier, &line).await?;
    // Any earlier telling: a list that is sent again late must not undo what was told since.
    let same = before.iter().rev().find(|one| {
        let known = delivery.known.or(one.delivery.known);
        Delivery { known, ..delivery.clone() } == one.delivery
    });
    if let Some(same) = same {
        let (telling, known) = (same.telling, same.known());
        return Ok(Ok(TakenLine { supplier, line, taken: Taken::Same, telling, known }));
    }
    let last = before.last().map(Told::known);
    let known = delivery.known.unwrap_or_else(|| match last {
        Some(last) if delivery.latest() <= last => utc_day(tx.now()),
        _ => delivery.latest(),
    });
    if let Some(last) = last.filter(|last| known < *last) {
        let detail = format!("must not be before {last}, when what it replaces became known");
        return Ok(Err(ApiError::invalid_field("/known", detail).into_problem()));
    }
    if before.len() >= MOST_TELLINGS {
        let detail = format!("the line was told {MOST_TELLINGS} times already");
        return Ok(Err(ApiError::conflict("line-told-often", "The line was told too often", detail).into_problem()));
    }
    let telling = before.last().map_or(0, |one| one.telling) + 1;
    let delivery = Delivery { known: Some(known), ..delivery };
    let told = Told { telling, delivery, told_by: actor.to_owned(), told_at: tx.now() };
    deliveries::add(tx, &told).await?;
    let taken = if telling == 1 { Taken::New } else { Taken::Replaced };
    Ok(Ok(TakenLine { supplier, line, taken, telling, known }))
}

/// What was told of one line, in its order.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub(crate) struct LineHistory {
    supplier: SupplierId,
    line: String,
    /// Oldest first; the last one stands.
    tellings: Vec<Told>,
}

/// Which line to look at.
#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(crate) struct LineFilter {
    supplier: SupplierId,
    /// Its id in the caller's system.
    #[param(example = "PO-4711/1", min_length = 1, max_length = 120)]
    line: String,
}

/// Everything that was told of one order line: what stands, and what it replaced.
#[utoipa::path(tag = "supplier-risk", params(LineFilter), responses((status = 200, body = LineHistory), Problems))]
#[get("/v1/supplier-risk/deliveries")]
pub(crate) async fn get_delivery(
    cx: Cx,
    _caller: Caller<ReadRecommendations>,
    filter: Params<LineFilter>,
) -> Result<web::Json<LineHistory>, ApiError> {
    let LineFilter { supplier, line } = filter.into_inner();
    let tellings = deliveries::of_line(&mut *cx.store().read().await?, &supplier, &line).await?;
    if tellings.is_empty() {
        return Err(ApiError::not_found("order line"));
    }
    Ok(web::Json(LineHistory { supplier, line, tellings }))
}

/// What is known of a supplier.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub(crate) struct SupplierView {
    supplier: SupplierId,
    /// Figures are counted as of today.
    as_of: Date,
    overall: Record,
    /// By channel, destination and mode.
    lanes: Vec<LaneRecord>,
    /// Whether there are more lines than the 20,000 latest known, which is what is counted.
    truncated: bool,
}

/// Figures of one lane and mode.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub(crate) struct LaneRecord {
    channel: String,
    destination: String,
    mode: String,
    #[serde(flatten)]
    record: Record,
}

/// What became of lines, unweighted: judgements let old ones fade and draw on comparable lines too.
#[derive(Debug, Default, Serialize, utoipa::ToSchema)]
#[schema(as = SupplierRecord)]
pub(crate) struct Record {
    lines: usize,
    received: usize,
    cancelled: usize,
    /// Not received, or not with all units.
    open: usize,
    /// Those of the open ones whose promise has passed.
    overdue: usize,
    /// Of those received, how many came by the promised day; absent when none was.
    #[serde(skip_serializing_if = "Option::is_none")]
    on_time_share: Option<f64>,
    /// Days from promise to receipt, negative when early; absent when none was received.
    #[serde(skip_serializing_if = "Option::is_none")]
    delay_days: Option<DelayQuantiles>,
}

/// Nearest-rank quantiles of the days from promise to receipt.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub(crate) struct DelayQuantiles {
    p50: i64,
    p80: i64,
    p95: i64,
}

impl Record {
    fn of<'a>(lines: impl Iterator<Item = &'a Delivery>, today: Date) -> Self {
        let (mut record, mut delays) = (Self::default(), Vec::new());
        for delivery in lines {
            let promised = delivery.line.promised;
            record.lines += 1;
            match delivery.end() {
                End::Received(day) => delays.push(i64::from((day - promised).get_days())),
                End::Cancelled(_) => record.cancelled += 1,
                End::Open => {
                    record.open += 1;
                    record.overdue += usize::from(promised < today);
                }
            }
        }
        record.received = delays.len();
        delays.sort_unstable();
        let nearest = |percent: usize| delays.get((delays.len() * percent).div_ceil(100).saturating_sub(1)).copied();
        let quantiles = nearest(50).zip(nearest(80)).zip(nearest(95));
        record.delay_days = quantiles.map(|((p50, p80), p95)| DelayQuantiles { p50, p80, p95 });
        let on_time = delays.partition_point(|delay| *delay <= 0);
        record.on_time_share = (!delays.is_empty()).then(|| on_time as f64 / delays.len() as f64);
        record
    }
}

/// A supplier.
#[derive(Clone, Debug, Deserialize, utoipa::ToSchema, utoipa::IntoParams)]
#[into_params(parameter_in = Path)]
#[serde(deny_unknown_fields)]
pub(crate) struct SupplierOf {
    #[param(inline)]
    supplier: SupplierId,
}

/// What is known of a supplier: how many lines, how many on time, how late the others, in all and by lane and mode.
#[utoipa::path(tag = "supplier-risk", params(SupplierOf), responses((status = 200, body = SupplierView), Problems))]
#[get("/v1/supplier-risk/suppliers/{supplier}")]
pub(crate) async fn get_supplier(
    cx: Cx,
    _caller: Caller<ReadRecommendations>,
    supplier: PathOf<SupplierOf>,
) -> Result<web::Json<SupplierView>, ApiError> {
    let SupplierOf { supplier } = supplier.into_inner();
    let mut known = deliveries::of_supplier(&mut *cx.store().read().await?, &supplier, MOST_COUNTED).await?;
    if known.is_empty() {
        return Err(ApiError::not_found("supplier among what was told of deliveries"));
    }
    let as_of = utc_day(cx.clock().now());
    let truncated = known.len() > MOST_COUNTED as usize;
    known.truncate(MOST_COUNTED as usize);
    let mut lanes: BTreeMap<[&str; 3], Vec<&Delivery>> = BTreeMap::new();
    for delivery in &known {
        let line = &delivery.line;
        lanes.entry([&line.channel, &line.destination, &line.mode]).or_default().push(delivery);
    }
    let lanes = lanes.into_iter().map(|([channel, destination, mode], lines)| LaneRecord {
        channel: channel.to_owned(),
        destination: destination.to_owned(),
        mode: mode.to_owned(),
        record: Record::of(lines.into_iter(), as_of),
    });
    let lanes = lanes.collect();
    Ok(web::Json(SupplierView { supplier, as_of, overall: Record::of(known.iter(), as_of), lanes, truncated }))
}
