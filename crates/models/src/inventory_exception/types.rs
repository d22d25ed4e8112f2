//! Request, answer and outcome of the inventory-exception model: the API's own types.

use contracts::{Digest, LocationId, Money, ProductId};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::{Band, Contribution, Counterfactual, Missing, ModelRef, Score};

/// Judge one variance of one product at one location.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = InventoryExceptionRequest)]
pub struct Request {
    pub facts: Facts,
    #[serde(default)]
    pub options: Options,
}

/// What the caller may choose.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields, default)]
#[schema(as = InventoryExceptionOptions)]
pub struct Options {
    /// Whether to compute evidence, contributions and counterfactuals, which cost more than the probabilities.
    pub explain: bool,
}

impl Default for Options {
    fn default() -> Self {
        Self { explain: true }
    }
}

/// What is known about a variance. Only the variance itself is needed; a fact that is absent is no evidence.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = VarianceFacts)]
pub struct Facts {
    pub product: ProductId,
    pub location: LocationId,
    /// Category of the article; resolved cases of the same category are learnt from together.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(max_length = 64, example = "glassware")]
    pub category: Option<String>,
    /// When it was counted or booked.
    pub as_of: Timestamp,
    #[serde(default)]
    pub item: Item,
    #[serde(default)]
    pub count: Count,
    #[serde(default)]
    pub sales: Sales,
    #[serde(default)]
    pub receipts: Receipts,
    #[serde(default)]
    pub moves: Moves,
    #[serde(default)]
    pub neighbours: Neighbours,
    #[serde(default)]
    pub handling: Handling,
}

/// The article.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = VarianceItem)]
pub struct Item {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(max_length = 256, example = "SET OF 6 TEA CUPS")]
    pub name: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unit_cost: Option<Money>,
    /// Price of a unit, of the same currency; stands in for a cost that is not known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unit_price: Option<Money>,
    /// Units in the supplier's case; 1 when it comes singly.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(minimum = 1, maximum = 1_000_000)]
    pub case_pack: Option<f64>,
    /// How much the article is stolen: 0 little, 1 some, 2 much.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(minimum = 0, maximum = 2)]
    pub theft_risk: Option<u8>,
    /// How easily it breaks: 0 hardly, 1 somewhat, 2 very.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(minimum = 0, maximum = 2)]
    pub fragility: Option<u8>,
}

/// The count against the book. Either `variance`, or `system` and `counted`, is needed.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = VarianceCount)]
pub struct Count {
    /// Units counted less units in the book: negative when goods are missing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(minimum = -1e9, maximum = 1e9)]
    pub variance: Option<f64>,
    /// Units in the book; negative when more was sold than was ever received.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(minimum = -1e9, maximum = 1e9)]
    pub system: Option<f64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(minimum = 0, maximum = 1e9)]
    pub counted: Option<f64>,
    /// Units of a second, independent count.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(minimum = 0, maximum = 1e9)]
    pub recount: Option<f64>,
}

/// Sales of the article at the location.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = VarianceSales)]
pub struct Sales {
    /// Units sold in the `days` before the count.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(minimum = 0, maximum = 1e9)]
    pub units: Option<f64>,
    /// Days that `units` covers, best since the last count.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(minimum = 0, maximum = 3650)]
    pub days: Option<f64>,
    /// Days since the last sale.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(minimum = 0, maximum = 3650)]
    pub days_since_last: Option<f64>,
    /// Days without a sale directly before the count, while the book showed stock.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(minimum = 0, maximum = 3650)]
    pub idle_days: Option<f64>,
    /// Median units of a sales line.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(minimum = 0, maximum = 1e9)]
    pub typical_line: Option<f64>,
}

/// The last receipt of the article.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = VarianceReceipts)]
pub struct Receipts {
    /// Units that the supplier announced; negative when a return was announced.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(minimum = -1e9, maximum = 1e9)]
    pub last_announced: Option<f64>,
    /// Units that were booked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(minimum = 0, maximum = 1e9)]
    pub last_posted: Option<f64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(minimum = 0, maximum = 3650)]
    pub last_days_ago: Option<f64>,
}

/// Moves of goods that the book may not know yet.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = VarianceMoves)]
pub struct Moves {
    /// Units of the last transfer, either way.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(minimum = 0, maximum = 1e9)]
    pub transfer_units: Option<f64>,
    /// Whether a transfer waits for its confirmation.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub transfer_unconfirmed: Option<bool>,
    /// Units that documents not yet booked would add to the book.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(minimum = -1e9, maximum = 1e9)]
    pub open_document_units: Option<f64>,
}

/// Variances near this one.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = VarianceNeighbours)]
pub struct Neighbours {
    /// Variance of an article easily taken for this one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(minimum = -1e9, maximum = 1e9)]
    pub similar_product: Option<f64>,
    /// Variance of this article at another place of the same location.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(minimum = -1e9, maximum = 1e9)]
    pub other_place: Option<f64>,
    /// Other adjustments booked at the location around the same time; absent when nobody looked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(max_items = 200)]
    pub session: Option<Vec<Adjustment>>,
    /// Earlier adjustments of this article at the location; absent when nobody looked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(max_items = 200)]
    pub earlier: Option<Vec<Adjustment>>,
}

/// An adjustment of stock beside the one in question.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = NearbyAdjustment)]
pub struct Adjustment {
    pub product: ProductId,
    /// Units added to the book; negative when taken off.
    #[schema(minimum = -1e9, maximum = 1e9)]
    pub units: f64,
    /// When it was booked.
    pub at: Timestamp,
}

/// What people did with the article since the last count.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = VarianceHandling)]
pub struct Handling {
    /// Damages reported.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(minimum = 0, maximum = 1_000_000)]
    pub damage_reports: Option<f64>,
    /// Units booked off as waste.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(minimum = 0, maximum = 1e9)]
    pub waste_units: Option<f64>,
    /// Quantities typed by hand instead of scanned.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(minimum = 0, maximum = 1_000_000)]
    pub manual_entries: Option<f64>,
    /// Largest quantity of one scan or entry.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(minimum = 0, maximum = 1e9)]
    pub largest_scan: Option<f64>,
}

/// What a case turned out to be, once somebody had looked.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = InventoryExceptionOutcome)]
pub struct Outcome {
    /// Name of a class: one of the model's own to learn from, any to fit with.
    #[schema(max_length = 64, example = "receiving_error")]
    pub class: String,
}

/// The judgement, or what is missing for one.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(tag = "status", rename_all = "snake_case")]
#[schema(as = InventoryExceptionAnswer)]
pub enum Answer {
    Scored(Box<Assessment>),
    /// The model does not guess: these facts are needed first.
    InsufficientData {
        product: ProductId,
        location: LocationId,
        missing: Vec<Missing>,
    },
}

/// What the variance likely is, what that costs, and who should look.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
#[schema(as = InventoryExceptionAssessment)]
pub struct Assessment {
    pub product: ProductId,
    pub location: LocationId,
    /// Urgency in millionths: the expected loss when nobody looks, on a saturating scale.
    pub score: Score,
    pub band: Band,
    /// Units counted less units in the book, as judged.
    pub variance: f64,
    /// The most probable class; absent when the model abstains.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub likely: Option<String>,
    /// Whether no class is probable enough for the precision that the parameters ask for.
    pub abstained: bool,
    /// Every class, the most probable first. The probabilities add up to 1.
    pub classes: Vec<ClassProbability>,
    pub route: Route,
    /// Expected loss when nobody looks; absent when neither cost nor price of a unit is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expected_loss: Option<Money>,
    /// Parts of the score, in millionths, that add up to it exactly; empty unless `explain` was asked for.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub contributions: Vec<Contribution>,
    /// Smallest changes that would move the answer into another band; empty unless `explain` was asked for.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub counterfactuals: Vec<Counterfactual>,
    /// Resolved cases that had been learnt from beside the parameters.
    pub learned_cases: u64,
    pub model: ModelRef,
    /// SHA-256 over the request as understood: its JSON with fields in the documented order and defaults filled in.
    pub input_hash: Digest,
    /// After this the facts are too old to act on the answer.
    pub valid_until: Timestamp,
}

/// How probable a class is, and why.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct ClassProbability {
    #[schema(example = "receiving_error")]
    pub class: String,
    #[schema(minimum = 0, maximum = 1)]
    pub probability: f64,
    /// What speaks for it and against it, the strongest first; empty unless `explain` was asked for.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub evidence: Vec<Evidence>,
}

/// One observation that speaks for or against a class.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
#[schema(as = VarianceEvidence)]
pub struct Evidence {
    /// Kind of evidence and what was observed, as in the parameters.
    #[schema(example = "announced/explains_it")]
    pub observed: String,
    /// The fact that it comes from, as JSON pointer into the request.
    #[schema(example = "/facts/receipts/last_announced")]
    pub pointer: String,
    #[schema(example = "the supplier announced another quantity than was booked, and the difference is the variance")]
    pub says: String,
    /// Change of the log odds of this class against the others; positive speaks for it.
    pub weight: f64,
}

/// Who should look, chosen by least expected cost.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
#[schema(as = InventoryExceptionRoute)]
pub struct Route {
    #[schema(example = "receiving")]
    pub to: String,
    /// Expected cost of this choice: the work, and what stays lost when the cause is another one. Absent when neither
    /// cost nor price of a unit is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expected_cost: Option<Money>,
    /// Part of the expected cost that knowing the cause for certain would save: the expected cost of being wrong.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cost_of_being_wrong: Option<Money>,
    /// Every choice, the cheapest first; empty unless `explain` was asked for.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub alternatives: Vec<Alternative>,
}

/// One choice of a route.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
#[schema(as = InventoryExceptionAlternative)]
pub struct Alternative {
    pub to: String,
    /// Expected cost in minor units: of the currency of the unit's cost, or of a typical unit when that is not known.
    pub expected_cost_minor: f64,
}
