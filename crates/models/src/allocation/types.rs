//! Request and answer of the allocation model: the API's own types.

use contracts::{Action, Digest, LocationId, Money, OrderRef, ProductId, facts::DailyDemand, money::Currency};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::{Band, Contribution, Missing, ModelRef, Score};

/// Share what there is of one product: firm orders reserve stock first, then transfers move what is left to where
/// it is expected to earn most.
///
/// Amounts of money are in minor units of one currency and may have fractions, because moving a unit often costs
/// less than a cent.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = AllocationRequest)]
pub struct Request {
    /// With it each transfer is also told as an action to put before approval.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub product: Option<ProductId>,
    /// When the facts were read.
    pub as_of: Timestamp,
    pub currency: Currency,
    #[schema(min_items = 1, max_items = 500)]
    pub locations: Vec<Location>,
    /// Ways to move stock before the demand. At most one per pair of locations.
    #[serde(default)]
    #[schema(max_items = 20_000)]
    pub lanes: Vec<Lane>,
    /// Firm orders to be served from stock.
    #[serde(default)]
    #[schema(max_items = 50_000)]
    pub orders: Vec<Order>,
    #[serde(default)]
    pub options: Options,
}

/// A place that holds stock, sells it, or both.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = AllocationLocation)]
pub struct Location {
    pub location: LocationId,
    /// Whole units that are there; of a plant, what it can make in time.
    #[schema(maximum = 1_000_000)]
    pub on_hand: u32,
    /// Units already promised to customers of this location for the horizon. They are served first, at
    /// `reserved_value`. More than is on hand is allowed: that is a shortage that transfers may cover.
    #[serde(default)]
    #[schema(maximum = 1_000_000)]
    pub reserved: u32,
    /// What its customers will ask for; absent for a place that sells nothing itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub demand: Option<Demand>,
}

/// Demand of a location over the horizon.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
#[schema(as = AllocationDemand)]
pub enum Demand {
    /// Estimated from daily sales, as replenishment-priority estimates it, then brought in line with what is already
    /// reserved here and elsewhere.
    History {
        sales: Box<DailyDemand>,
        /// Planned price over the horizon as a share of the last week's; 1 = unchanged.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        #[schema(minimum = 0.2, maximum = 5)]
        price_ratio: Option<f64>,
    },
    /// Known to the caller: moments of the units asked for beyond the reserved ones, taken as they are.
    Forecast {
        #[schema(minimum = 0)]
        mean: f64,
        /// Less than the mean counts as equal to it (Poisson).
        #[schema(minimum = 0)]
        variance: f64,
    },
}

/// A way to move stock.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = AllocationLane)]
pub struct Lane {
    /// Position of the giving location in `locations`.
    pub from: usize,
    /// Position of the receiving location in `locations`.
    pub to: usize,
    /// Minor units for each unit moved.
    #[schema(minimum = 0)]
    pub unit_cost: f64,
    /// Minor units when anything is moved at all.
    #[serde(default)]
    #[schema(minimum = 0)]
    pub fixed_cost: f64,
    /// Most units.
    pub capacity: u32,
    /// Days until the units can be sold.
    #[serde(default)]
    #[schema(minimum = 0)]
    pub days: f64,
}

/// How urgent an order is: a higher one is served before any number of lower ones.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
#[schema(as = AllocationPriority)]
pub enum Priority {
    Low,
    #[default]
    Normal,
    High,
}

/// A firm order. Its units may come from several locations.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = AllocationOrder)]
pub struct Order {
    pub order: OrderRef,
    #[serde(default = "one")]
    #[schema(minimum = 1, maximum = 1_000_000)]
    pub units: u32,
    #[serde(default)]
    pub priority: Priority,
    /// Minor units that serving one unit is worth; it is then served only where it costs less. Absent: served
    /// whenever stock and priority allow, at whatever cost.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(minimum = 0)]
    pub value: Option<f64>,
    /// Where it can come from.
    #[schema(min_items = 1, max_items = 500)]
    pub sources: Vec<OrderSource>,
}

fn one() -> u32 {
    1
}

/// A location that can serve an order.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = AllocationOrderSource)]
pub struct OrderSource {
    /// Position in `locations`.
    pub location: usize,
    /// Minor units for each unit served from there.
    #[schema(minimum = 0)]
    pub unit_cost: f64,
}

/// What the caller may choose.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields, default)]
#[schema(as = AllocationOptions)]
pub struct Options {
    /// Days of demand that the plan looks at.
    #[schema(minimum = 0.5, maximum = 60)]
    pub horizon_days: f64,
    /// Minor units that a unit sold earns.
    #[schema(minimum = 0)]
    pub margin: f64,
    /// Minor units that a reserved unit served is worth; at least `margin`.
    #[schema(minimum = 0)]
    pub reserved_value: f64,
    /// Highest stock-out probability over the horizon that a giving location may be left with.
    #[schema(minimum = 0, maximum = 1)]
    pub donor_risk_cap: f64,
    /// Fairness cap. The fair fill rate is all stock over all expected demand; transfers lift no location above it by
    /// more than this share, and take none below it by more. Absent: no such cap.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(minimum = 0, maximum = 1)]
    pub fairness_cap: Option<f64>,
    /// Slowest lane that still helps, in days.
    #[schema(minimum = 0, maximum = 60)]
    pub latest_days: f64,
    /// Whether to tell contributions, outlooks of all locations and what more stock or capacity would be worth.
    pub explain: bool,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            horizon_days: 2.0,
            margin: 100.0,
            reserved_value: 300.0,
            donor_risk_cap: 0.1,
            fairness_cap: None,
            latest_days: 1.0,
            explain: true,
        }
    }
}

/// The plan, or what is missing for one.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(tag = "status", rename_all = "snake_case")]
#[schema(as = AllocationAnswer)]
pub enum Answer {
    Scored(Box<Assessment>),
    /// The model does not guess: these facts are needed first.
    InsufficientData {
        #[serde(default, skip_serializing_if = "Option::is_none")]
        product: Option<ProductId>,
        missing: Vec<Missing>,
    },
}

/// Transfers and reservations, and what they are expected to achieve.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
#[schema(as = AllocationAssessment)]
pub struct Assessment {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub product: Option<ProductId>,
    /// How much of what would be lost without a plan this one saves, in millionths: expected gain of the transfers
    /// and worth of the orders served, over the expected loss without transfers and the worth of all orders. A unit
    /// ordered without a value counts `reserved_value`.
    pub score: Score,
    pub band: Band,
    /// Expected gain of the transfers: sales won less sales lost less costs.
    pub expected_gain: Money,
    /// No plan under the same limits gains more: the value of the relaxed problem in which every unit given has a
    /// price (Lagrangian dual).
    pub gain_bound: Money,
    /// `(bound - gain) / bound`: the plan is at most this share away from the best one; 0 when nothing can be gained.
    pub gap: f64,
    /// Expected value of demand that is not met, without and with the transfers.
    pub expected_loss_before: Money,
    pub expected_loss_after: Money,
    pub transfers: Vec<Transfer>,
    pub reservations: Vec<Reservation>,
    /// What became of the orders; absent when there were none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub orders: Option<OrderOutcome>,
    /// Every location before and after; empty unless `explain` was asked for.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub locations: Vec<LocationOutlook>,
    /// Parts of the score, in millionths, that add up to it exactly; empty unless `explain` was asked for.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub contributions: Vec<Contribution>,
    /// What one more unit of stock or of a full lane's capacity would be worth, the best first; empty unless
    /// `explain` was asked for.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub counterfactuals: Vec<OneMore>,
    pub model: ModelRef,
    /// SHA-256 over the request as understood: its JSON with fields in the documented order and defaults filled in.
    pub input_hash: Digest,
    /// After this the facts are too old to act on the answer.
    pub valid_until: Timestamp,
}

/// Units to move.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
#[schema(as = AllocationTransfer)]
pub struct Transfer {
    /// Position in the request's `lanes`.
    pub lane: usize,
    pub from: LocationId,
    pub to: LocationId,
    pub quantity: u32,
    /// Minor units for moving them, fixed cost included.
    pub cost: f64,
    /// Expected gain in minor units: this transfer's part of what giver and receiver lose and win, by units, less its
    /// cost. The transfers of a plan add up to its gain.
    pub gain: f64,
    /// Stock-out probability of the giver, before and after the whole plan.
    pub donor_risk_before: f64,
    pub donor_risk_after: f64,
    /// Stock-out probability of the receiver, before and after the whole plan.
    pub receiver_risk_before: f64,
    pub receiver_risk_after: f64,
    /// The same as an action to put before approval; absent when the product is not named.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub proposal: Option<Action>,
    /// Why, in one sentence.
    pub reason: String,
}

/// Units of an order held at a location.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
#[schema(as = AllocationReservation)]
pub struct Reservation {
    /// Position in the request's `orders`.
    pub order: usize,
    /// Position in the request's `locations`.
    pub location: usize,
    pub quantity: u32,
    /// Minor units for all of them.
    pub cost: f64,
}

/// What became of the orders. The assignment is exact: priority first, then units served, then cost.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
#[schema(as = AllocationOrderOutcome)]
pub struct OrderOutcome {
    pub units: u64,
    pub units_served: u64,
    /// Minor units.
    pub cost: f64,
    /// Positions of orders that got less than they asked for.
    pub short: Vec<usize>,
}

/// A location before and after the plan.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
#[schema(as = AllocationLocationOutlook)]
pub struct LocationOutlook {
    /// Position in the request's `locations`.
    pub location: usize,
    /// Units expected to be asked for, those reserved included.
    pub demand: f64,
    /// Stock for that demand: on hand less what orders reserve.
    pub stock_before: u32,
    pub stock_after: u32,
    /// Probability that demand exceeds stock.
    pub risk_before: f64,
    pub risk_after: f64,
    /// Expected units served over expected units asked for; 1 where nothing is asked for.
    pub fill_before: f64,
    pub fill_after: f64,
}

/// One unit more of something scarce. It was added and the plan was made again before this was told.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
#[schema(as = AllocationOneMore)]
pub struct OneMore {
    /// What to add one unit to, as JSON pointer into the request.
    #[schema(example = "/lanes/3/capacity")]
    pub pointer: String,
    pub value_now: u32,
    pub value_then: u32,
    /// What is earned more, in minor units: expected sales and the stated values of orders, less all costs.
    pub worth: f64,
    /// Units of orders that are served more.
    pub units_served: u64,
    #[schema(example = "one more unit of capacity from store-1 to store-2 is worth 42 minor units")]
    pub detail: String,
}
