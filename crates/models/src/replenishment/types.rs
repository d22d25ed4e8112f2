//! Request and answer of the replenishment-priority model: the API's own types.

use std::fmt;

use contracts::{Action, Digest, Facts, FieldError, LocationId, Money, ProductId, RegionId, SupplierId};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::{Band, Contribution, Counterfactual, Missing, ModelRef, Score};

/// Lowest and highest service target that can be asked for.
const SERVICE_TARGETS: std::ops::RangeInclusive<f64> = 0.5..=0.999;
/// A quarter of the cost a year, the usual figure for capital, space and shrinkage (Silver, Pyke and Thomas 2017).
const HOLDING_RATE: f64 = 0.25;
/// Highest holding rate; beyond it a percentage was meant.
const MAX_HOLDING_RATE: f64 = 5.0;
/// Longest review period, in days. A year is beyond any replenishment cycle.
const MAX_REVIEW_DAYS: f64 = 365.0;
/// Most units of any one number. Beyond it a figure is a unit error, and exact counting in floats ends.
const MAX_UNITS: f64 = 1e9;
/// Longest lead or transfer time, in days.
const MAX_DAYS: f64 = 3650.0;

/// Judge one product at one location.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = ReplenishmentRequest)]
pub struct Request {
    pub facts: Facts,
    #[serde(default)]
    pub options: Options,
}

/// What the caller may choose.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields, default)]
#[schema(as = ReplenishmentOptions)]
pub struct Options {
    /// Probability that stock lasts until the receipt of the next order; decides the quantity.
    #[schema(minimum = 0.5, maximum = 0.999)]
    pub service_target: f64,
    /// Days until the next chance to order: stock must last for these and the lead time.
    #[schema(minimum = 0, maximum = 365)]
    pub review_period_days: f64,
    /// Whether stock of other locations may be recommended.
    pub allow_transfer: bool,
    /// Cost of placing and receiving an order, whatever its size. When it and the unit cost are known, a purchase is
    /// no smaller than the economic lot.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub order_cost: Option<Money>,
    /// Cost of holding stock for a year as a share of its unit cost.
    #[schema(minimum = 0, maximum = 5)]
    #[serde(skip_serializing_if = "is_usual_rate")]
    pub holding_rate: f64,
    /// Whether to compute contributions and counterfactuals, which cost more than the score itself.
    pub explain: bool,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            service_target: 0.95,
            review_period_days: 1.0,
            allow_transfer: true,
            order_cost: None,
            holding_rate: HOLDING_RATE,
            explain: true,
        }
    }
}

/// Left out of the JSON, so that requests from before the option existed keep their hash.
fn is_usual_rate(rate: &f64) -> bool {
    rate.total_cmp(&HOLDING_RATE).is_eq()
}

impl Request {
    /// Everything wrong with the request, each with its pointer; empty when it can be judged.
    #[must_use]
    pub fn violations(&self) -> Vec<FieldError> {
        let mut found = self.facts.violations("/facts");
        self.beyond_limits(&mut found);
        let options = &self.options;
        if !SERVICE_TARGETS.contains(&options.service_target) {
            found.push(FieldError::new("/options/service_target", "must be between 0.5 and 0.999"));
        }
        if !(0.0..=MAX_REVIEW_DAYS).contains(&options.review_period_days) {
            found.push(FieldError::new("/options/review_period_days", "must be between 0 and 365"));
        }
        if !(0.0..=MAX_HOLDING_RATE).contains(&options.holding_rate) {
            found.push(FieldError::new("/options/holding_rate", "must be between 0 and 5"));
        }
        self.money(&mut found);
        self.foreign_costs(&mut found);
        found
    }

    /// What is set against the unit cost is of its currency, and no cost is negative.
    fn money(&self, found: &mut Vec<FieldError>) {
        let item = &self.facts.item;
        let amounts = [
            ("/facts/item/unit_cost", item.unit_cost),
            ("/facts/item/unit_price", item.unit_price),
            ("/facts/item/salvage_value", item.salvage_value),
            ("/options/order_cost", self.options.order_cost),
        ];
        for (pointer, amount) in amounts.into_iter().filter_map(|(pointer, amount)| Some((pointer, amount?))) {
            if amount.minor < 0 {
                found.push(FieldError::new(format!("{pointer}/minor"), "must not be negative"));
            }
            if item.unit_cost.is_some_and(|cost| cost.currency != amount.currency) {
                found.push(FieldError::new(format!("{pointer}/currency"), "must be the currency of unit_cost"));
            }
        }
    }

    /// A transfer's cost is set against the margin it saves, so both are of one currency.
    fn foreign_costs(&self, found: &mut Vec<FieldError>) {
        let currency = self.facts.item.unit_price.map(|price| price.currency);
        for (i, donor) in self.facts.donors.iter().enumerate() {
            if donor.transfer_cost.is_some_and(|cost| currency.is_some_and(|currency| cost.currency != currency)) {
                let pointer = format!("/facts/donors/{i}/transfer_cost/currency");
                found.push(FieldError::new(pointer, "must be the currency of the item's price"));
            }
        }
    }

    fn beyond_limits(&self, found: &mut Vec<FieldError>) {
        let facts = &self.facts;
        let mut limit = |most: f64, value: f64, pointer: fmt::Arguments<'_>| {
            if value > most {
                found.push(FieldError::new(format!("/facts{pointer}"), format!("must be at most {most}")));
            }
        };
        limit(MAX_UNITS, facts.stock.on_hand, format_args!("/stock/on_hand"));
        limit(MAX_UNITS, facts.stock.reserved, format_args!("/stock/reserved"));
        limit(MAX_UNITS, facts.item.unit_volume_litres.unwrap_or(0.0), format_args!("/item/unit_volume_litres"));
        for (i, units) in facts.demand.units.iter().enumerate() {
            limit(MAX_UNITS, *units, format_args!("/demand/units/{i}"));
        }
        for (i, order) in facts.incoming.iter().enumerate() {
            limit(MAX_UNITS, order.quantity, format_args!("/incoming/{i}/quantity"));
        }
        for (i, days) in facts.lead_time.seen_days.iter().enumerate() {
            limit(MAX_DAYS, *days, format_args!("/lead_time/seen_days/{i}"));
        }
        limit(MAX_DAYS, facts.lead_time.promised_days.unwrap_or(0.0), format_args!("/lead_time/promised_days"));
        for (i, donor) in facts.donors.iter().enumerate() {
            limit(MAX_UNITS, donor.stock.on_hand, format_args!("/donors/{i}/stock/on_hand"));
            limit(MAX_UNITS, donor.daily_demand, format_args!("/donors/{i}/daily_demand"));
            limit(MAX_DAYS, donor.transfer_days, format_args!("/donors/{i}/transfer_days"));
        }
    }
}

/// The judgement, or what is missing for one.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(tag = "status", rename_all = "snake_case")]
#[schema(as = ReplenishmentAnswer)]
pub enum Answer {
    Scored(Box<Assessment>),
    /// The model does not guess: these facts are needed first.
    InsufficientData {
        product: ProductId,
        location: LocationId,
        missing: Vec<Missing>,
    },
}

/// How urgent replenishment is, and what to do.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
#[schema(as = ReplenishmentAssessment)]
pub struct Assessment {
    pub product: ProductId,
    pub location: LocationId,
    /// Urgency in millionths: stock-out probability, weighed by what is at stake.
    pub score: Score,
    pub band: Band,
    /// Probability that demand exceeds stock before an order placed at the next review is received, when nothing is
    /// done now. Receipts under way count from their due day.
    pub stock_out_probability: f64,
    /// Expected units of unmet demand in that time.
    pub expected_units_lost: f64,
    /// Expected margin of those units; absent when cost or price is unknown.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expected_margin_lost: Option<Money>,
    pub demand: DemandOutlook,
    pub recommendation: Recommendation,
    /// Parts of the score, in millionths, that add up to it exactly; empty unless `explain` was asked for.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub contributions: Vec<Contribution>,
    /// Smallest changes that would move the answer into another band; empty unless `explain` was asked for.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub counterfactuals: Vec<Counterfactual>,
    pub model: ModelRef,
    /// SHA-256 over the request as understood: its JSON with fields in the documented order and defaults filled in.
    pub input_hash: Digest,
    /// Hash of the facts; absent only when the facts came without one and `explain` was not asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub facts_hash: Option<Digest>,
    /// After this the facts are too old to act on the answer.
    pub valid_until: Timestamp,
}

/// Demand over the risk period: lead time and review period.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct DemandOutlook {
    /// Expected length of the risk period.
    pub days: f64,
    /// Units expected in it.
    pub mean: f64,
    /// Quantiles of the units demanded in it, over uncertain demand and uncertain lead time.
    pub p05: f64,
    pub p50: f64,
    pub p80: f64,
    pub p90: f64,
    pub p95: f64,
    pub p98: f64,
    /// Expected units on an ordinary working day, without promotion.
    pub daily: f64,
    /// Days (or weeks, months) in which the article was in stock for at least half the time: what the estimate rests
    /// on.
    pub in_stock_days: u32,
}

/// What to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Verb {
    Transfer,
    Purchase,
    None,
}

impl Verb {
    /// The word as it stands in JSON.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Transfer => "transfer",
            Self::Purchase => "purchase",
            Self::None => "none",
        }
    }
}

/// The recommended action and what it achieves.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
#[schema(as = ReplenishmentRecommendation)]
pub struct Recommendation {
    #[schema(inline)]
    pub action: Verb,
    /// Units: whole for a transfer, a multiple of the pack and at least the MOQ for a purchase, 0 for none.
    pub quantity: f64,
    /// The giving location; with `transfer` only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<Source>,
    /// The same as an action to put before approval; absent with `none` and for a purchase from an unknown supplier.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub proposal: Option<Action>,
    /// Available, due within the risk period, and the recommended quantity together, in units.
    pub projected_available: f64,
    /// Units that the service target asks for over the risk period (order-up-to level).
    pub target: f64,
    /// Stock-out probability once the action is taken.
    pub stock_out_probability_after: f64,
    /// Expected units lost once the action is taken.
    pub expected_units_lost_after: f64,
    /// Why, in one sentence; without its numbers unless `explain` was asked for.
    pub reason: String,
}

/// The donor of a transfer.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
#[schema(as = TransferSource)]
pub struct Source {
    pub location: LocationId,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub region: Option<RegionId>,
    /// Whether it belongs to another region than the receiver; also when either region is unknown.
    pub cross_region: bool,
    pub transfer_days: f64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub transfer_cost: Option<Money>,
    /// Its own stock-out probability over the same risk period, before and after giving.
    pub stock_out_probability_before: f64,
    pub stock_out_probability_after: f64,
}

/// What became true of a request, as far as known: one line of a file to fit or to backtest with.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = ReplenishmentOutcome)]
pub struct Outcome {
    /// Units demanded from the moment of the facts until the receipt of an order placed then, and the review period
    /// after it. Sales are demand only when stock lasted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(minimum = 0)]
    pub demand: Option<f64>,
    /// Days that this took in the end; absent when it was what the request expects.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(minimum = 0)]
    pub days: Option<f64>,
    /// Whether stock ran out in that time; without it, demand is compared with what was available.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stocked_out: Option<bool>,
}

/// Spend a budget where the next unit protects most margin.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = ReplenishmentRankRequest)]
pub struct RankRequest {
    #[schema(min_items = 1, max_items = 10_000)]
    pub items: Vec<Request>,
    /// Purchase cost that may be spent in all.
    pub budget: Money,
    /// Litres that there is room for in all, in transport or on the shelf; every item then needs its unit volume.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(minimum = 0)]
    pub volume_budget_litres: Option<f64>,
}

/// Purchases under the budget, the best return first.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
#[schema(as = ReplenishmentRanking)]
pub struct Ranking {
    pub lines: Vec<RankedLine>,
    pub spent: Money,
    /// Litres of the purchases; absent without a volume budget.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub volume_litres: Option<f64>,
    /// Expected margin that the purchases protect.
    pub margin_protected: Money,
    /// Items that could not take part.
    pub left_out: Vec<LeftOut>,
    pub model: ModelRef,
}

/// One purchase of a ranking.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct RankedLine {
    /// Position in the request's `items`.
    pub index: usize,
    pub product: ProductId,
    pub location: LocationId,
    /// Units bought, a multiple of the pack and at least the MOQ; 0 when the budget did not reach it.
    pub quantity: f64,
    pub cost: Money,
    pub margin_protected: Money,
    /// Margin protected by the first lot per unit of money spent on it, or, under two budgets, per share of them that
    /// it takes up: what the order of the lines is by.
    pub first_return: f64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub supplier: Option<SupplierId>,
}

/// An item without the facts that a ranking needs.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct LeftOut {
    /// Position in the request's `items`.
    pub index: usize,
    pub product: ProductId,
    pub location: LocationId,
    pub missing: Vec<Missing>,
}
