//! Request and answer of the replenishment-snapshot model: the API's own types.

use contracts::{Digest, FieldError, LocationId, ProductId};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::{Band, Contribution, Counterfactual, Missing, ModelRef, Score};

/// Most units of any one number. Beyond it a figure is a unit error, and exact counting in floats ends.
const MAX_UNITS: f64 = 1e9;
/// Longest lead time, in weeks: ten years.
const MAX_WEEKS: f64 = 520.0;

/// Judge one product from what an ERP's monthly snapshot says of it: totals, no daily history.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = ReplenishmentSnapshotRequest)]
pub struct Request {
    pub product: ProductId,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub location: Option<LocationId>,
    /// When the snapshot was taken.
    pub as_of: Timestamp,
    pub stock: Stock,
    /// Weeks from order to receipt; null when unknown.
    #[serde(default)]
    #[schema(minimum = 0, maximum = 520)]
    pub lead_time_weeks: Option<f64>,
    pub forecast: Forecast,
    pub sales: Sales,
    #[serde(default)]
    pub supplier: Supplier,
    #[serde(default)]
    pub flags: Flags,
    #[serde(default)]
    pub options: Options,
}

/// Units there are, are coming, and are owed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = ReplenishmentSnapshotStock)]
pub struct Stock {
    /// Units on hand; negative when more is promised than there is; null when unknown, and then nothing is judged.
    #[schema(minimum = -1e9, maximum = 1e9)]
    pub on_hand: Option<f64>,
    /// Units under way from the supplier.
    #[serde(default)]
    #[schema(minimum = 0, maximum = 1e9)]
    pub in_transit: f64,
    /// Units that are to be kept at all times (minimum bank).
    #[serde(default)]
    #[schema(minimum = 0, maximum = 1e9)]
    pub minimum: f64,
    /// Units ordered whose due date has passed.
    #[serde(default)]
    #[schema(minimum = 0, maximum = 1e9)]
    pub overdue: f64,
    /// Units that stores wait for already.
    #[serde(default)]
    #[schema(minimum = 0, maximum = 1e9)]
    pub backordered: f64,
}

/// Units expected to be sold from now on, each horizon including the shorter ones.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = ReplenishmentSnapshotForecast)]
pub struct Forecast {
    #[schema(minimum = 0, maximum = 1e9)]
    pub months_3: f64,
    #[schema(minimum = 0, maximum = 1e9)]
    pub months_6: f64,
    #[schema(minimum = 0, maximum = 1e9)]
    pub months_9: f64,
}

/// Units sold up to now, each horizon including the shorter ones.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = ReplenishmentSnapshotSales)]
pub struct Sales {
    #[schema(minimum = 0, maximum = 1e9)]
    pub month_1: f64,
    #[schema(minimum = 0, maximum = 1e9)]
    pub months_3: f64,
    #[schema(minimum = 0, maximum = 1e9)]
    pub months_6: f64,
    #[schema(minimum = 0, maximum = 1e9)]
    pub months_9: f64,
}

/// How well the source has kept its word.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields, default)]
#[schema(as = ReplenishmentSnapshotSupplier)]
pub struct Supplier {
    /// Share of orders kept over the last 6 and 12 months; null when unknown.
    #[schema(minimum = 0, maximum = 1)]
    pub performance_6_months: Option<f64>,
    #[schema(minimum = 0, maximum = 1)]
    pub performance_12_months: Option<f64>,
}

/// Flags that planners set on an article.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields, default)]
#[schema(as = ReplenishmentSnapshotFlags)]
pub struct Flags {
    /// The source has a known problem.
    pub source_issue: bool,
    /// Stock may have to wait on deck before it can be shipped.
    pub deck_risk: bool,
    /// The maker of the original equipment limits the supply.
    pub maker_constraint: bool,
    /// The approval of the part or its production is not certain (PPAP).
    pub part_approval_risk: bool,
    /// Automatic ordering is switched off.
    pub automatic_ordering_stopped: bool,
    /// Held for a new revision.
    pub revision_stop: bool,
}

/// What the caller may choose.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields, default)]
#[schema(as = ReplenishmentSnapshotOptions)]
pub struct Options {
    /// Whether to compute contributions and counterfactuals, which cost more than the score itself.
    pub explain: bool,
}

impl Default for Options {
    fn default() -> Self {
        Self { explain: true }
    }
}

impl Request {
    /// Everything wrong with the request, each with its pointer; empty when it can be judged.
    #[must_use]
    pub fn violations(&self) -> Vec<FieldError> {
        let mut found = Vec::new();
        let mut range = |least: f64, most: f64, value: Option<f64>, pointer: &str| {
            // NaN is in no range.
            if value.is_some_and(|value| !(least..=most).contains(&value)) {
                found.push(FieldError::new(pointer, format!("must be between {least} and {most}")));
            }
        };
        let Self { stock, forecast, sales, supplier, .. } = self;
        range(-MAX_UNITS, MAX_UNITS, stock.on_hand, "/stock/on_hand");
        range(0.0, MAX_WEEKS, self.lead_time_weeks, "/lead_time_weeks");
        range(0.0, 1.0, supplier.performance_6_months, "/supplier/performance_6_months");
        range(0.0, 1.0, supplier.performance_12_months, "/supplier/performance_12_months");
        for (units, pointer) in [
            (stock.in_transit, "/stock/in_transit"),
            (stock.minimum, "/stock/minimum"),
            (stock.overdue, "/stock/overdue"),
            (stock.backordered, "/stock/backordered"),
            (forecast.months_3, "/forecast/months_3"),
            (forecast.months_6, "/forecast/months_6"),
            (forecast.months_9, "/forecast/months_9"),
            (sales.month_1, "/sales/month_1"),
            (sales.months_3, "/sales/months_3"),
            (sales.months_6, "/sales/months_6"),
            (sales.months_9, "/sales/months_9"),
        ] {
            range(0.0, MAX_UNITS, Some(units), pointer);
        }
        for (shorter, longer, pointer) in [
            (forecast.months_3, forecast.months_6, "/forecast/months_6"),
            (forecast.months_6, forecast.months_9, "/forecast/months_9"),
            (sales.month_1, sales.months_3, "/sales/months_3"),
            (sales.months_3, sales.months_6, "/sales/months_6"),
            (sales.months_6, sales.months_9, "/sales/months_9"),
        ] {
            if longer < shorter {
                found.push(FieldError::new(pointer, "must not be less than the shorter horizon, which it includes"));
            }
        }
        found
    }
}

/// The judgement, or what is missing for one.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(tag = "status", rename_all = "snake_case")]
#[schema(as = ReplenishmentSnapshotAnswer)]
pub enum Answer {
    Scored(Box<Assessment>),
    /// The model does not guess: these facts are needed first.
    InsufficientData {
        product: ProductId,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        location: Option<LocationId>,
        missing: Vec<Missing>,
    },
}

/// How likely the product goes on backorder.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
#[schema(as = ReplenishmentSnapshotAssessment)]
pub struct Assessment {
    pub product: ProductId,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub location: Option<LocationId>,
    /// Probability, in millionths, that the product goes on backorder before the next monthly snapshot.
    pub score: Score,
    pub band: Band,
    /// The same probability as a number.
    #[schema(minimum = 0, maximum = 1)]
    pub backorder_probability: f64,
    /// Units a month that forecast and sales speak for.
    pub monthly_demand: f64,
    /// Months that stock on hand and under way lasts at that demand; absent without demand.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub months_of_cover: Option<f64>,
    /// Parts of the score, in millionths, that add up to it exactly; empty unless `explain` was asked for.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub contributions: Vec<Contribution>,
    /// Smallest changes that would move the answer into another band; empty unless `explain` was asked for.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub counterfactuals: Vec<Counterfactual>,
    pub model: ModelRef,
    /// SHA-256 over the request as understood: its JSON with fields in the documented order and defaults filled in.
    pub input_hash: Digest,
    /// After this the snapshot is too old to act on the answer.
    pub valid_until: Timestamp,
}

/// What the next snapshot said.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = ReplenishmentSnapshotOutcome)]
pub struct Outcome {
    pub went_on_backorder: bool,
}
