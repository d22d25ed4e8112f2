//! Request and answer of the model `demand-signal-hours`: the API's own types.

use contracts::{Digest, FieldError, LocationId, Money, ProductId};
use jiff::{Timestamp, civil::Date};
use serde::{Deserialize, Serialize};

use crate::{Band, Contribution, Counterfactual, Missing, ModelRef, Score};

/// Hours of a day on the location's clock.
pub(super) const HOURS: usize = 24;
/// Most days of hourly sales, and most of daily sales before them.
const MAX_DAYS: usize = 400;
/// Most units of any one number. Beyond it a figure is a unit error.
const MAX_UNITS: f64 = 1e6;
/// Lowest price, as share of the list price, that is told apart from a free article.
const LOWEST_PRICE: f64 = 0.01;
/// Highest price as share of the list price.
const HIGHEST_PRICE: f64 = 10.0;

/// Judge the hourly sales of one product at one location.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = DemandHoursRequest)]
pub struct Request {
    pub product: ProductId,
    pub location: LocationId,
    /// When the sales were read.
    pub as_of: Timestamp,
    pub sales: HourlySales,
    /// Daily sales of the days right before, where hours are not known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub earlier: Option<DailySales>,
    /// Margin of one unit; lost margin is told when it is given. Not negative.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unit_margin: Option<Money>,
    #[serde(default)]
    pub options: Options,
}

/// Sales by the hour from midnight of `first_day` on, oldest first, no gaps.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = DemandHoursSales)]
pub struct HourlySales {
    /// Date of the first 24 numbers.
    #[schema(value_type = String, format = Date)]
    pub first_day: Date,
    /// Units sold in each hour of the location's clock, 24 a day from midnight on: 0 to 1,000,000 each, at most 400
    /// days. The last day may still run; then its hours so far. An hour that the clock skips is 0, one that it repeats
    /// holds both.
    #[schema(min_items = 1, max_items = 9600)]
    pub units: Vec<f64>,
    /// Hours in which the shelf is known to have been empty, one for each number of `units`. Empty = no such record.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub out_of_stock: Vec<bool>,
    /// Whether all other hours are known to have been in stock. Off by default: records of stock tend to miss what
    /// happens on the shelf, so an hour that is not marked is judged from its sales.
    #[serde(default)]
    pub records_complete: bool,
    /// Price of each day as share of the list price, 0.01 to 10; 0.8 = a fifth off. Empty = the list price.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub price_share: Vec<f64>,
    /// Holidays among them, which trade as Saturdays. In order, each once.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schema(value_type = Vec<String>)]
    pub holidays: Vec<Date>,
}

/// Sales by the day in the opening hours, up to the day before the hourly ones, oldest first, no gaps.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = DemandHoursEarlier)]
pub struct DailySales {
    /// Units sold each day: 0 to 1,000,000, at most 400 days.
    #[schema(max_items = 400)]
    pub units: Vec<f64>,
    /// Share of each day's opening hours without stock, 0 to 1. Empty = never.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub out_of_stock: Vec<f64>,
    /// Price of each day as share of the list price, 0.01 to 10. Empty = the list price.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub price_share: Vec<f64>,
}

/// What the caller may choose.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields, default)]
#[schema(as = DemandHoursOptions)]
pub struct Options {
    /// Days before the last one that are judged too, each in the light of all days of the request, also later ones.
    #[schema(minimum = 0, maximum = 399)]
    pub look_back: usize,
    /// Whether to compute contributions and counterfactuals, which cost more than the score itself.
    pub explain: bool,
}

impl Default for Options {
    fn default() -> Self {
        Self { look_back: 0, explain: true }
    }
}

impl Request {
    /// Everything wrong with the request, each with its pointer; empty when it can be judged.
    #[must_use]
    pub fn violations(&self) -> Vec<FieldError> {
        let mut found = Vec::new();
        let sales = &self.sales;
        let days = sales.days();
        if !(1..=MAX_DAYS).contains(&days) {
            found.push(FieldError::new("/sales/units", "must hold the hours of 1 to 400 days"));
        }
        ranged(&mut found, "/sales/units", &sales.units, 0.0..=MAX_UNITS);
        if !sales.out_of_stock.is_empty() && sales.out_of_stock.len() != sales.units.len() {
            found.push(FieldError::new("/sales/out_of_stock", "must be empty or as long as units"));
        }
        if sales.records_complete && sales.out_of_stock.is_empty() {
            found.push(FieldError::new("/sales/records_complete", "needs out_of_stock"));
        }
        prices(&mut found, "/sales/price_share", &sales.price_share, days);
        self.dates(&mut found, days);
        if let Some(earlier) = &self.earlier {
            earlier.violations(&mut found);
        }
        if self.unit_margin.is_some_and(|margin| margin.minor < 0) {
            found.push(FieldError::new("/unit_margin/minor", "must not be negative"));
        }
        if self.options.look_back >= days.max(1) {
            found.push(FieldError::new("/options/look_back", "must be less than the days of hourly sales"));
        }
        found
    }

    fn dates(&self, found: &mut Vec<FieldError>, days: usize) {
        let holidays = &self.sales.holidays;
        for (i, pair) in holidays.windows(2).enumerate() {
            if pair[0] >= pair[1] {
                let pointer = format!("/sales/holidays/{}", i + 1);
                found.push(FieldError::new(pointer, "must be later than the one before"));
            }
        }
        // Four hundred days on both sides must be dates, so that no later step can leave the calendar.
        let span = jiff::Span::new().days(MAX_DAYS as i64);
        let first = self.sales.first_day;
        let (Ok(_), Ok(end)) = (first.checked_sub(span), first.checked_add(span)) else {
            found.push(FieldError::new("/sales/first_day", "is too close to the end of the calendar"));
            return;
        };
        let last = first.checked_add(jiff::Span::new().days(days.min(MAX_DAYS) as i64 - 1)).unwrap_or(end);
        for (i, holiday) in holidays.iter().enumerate() {
            if *holiday < first || *holiday > last {
                found.push(FieldError::new(format!("/sales/holidays/{i}"), "is not among the days of hourly sales"));
            }
        }
    }
}

impl HourlySales {
    /// Days, also one that still runs.
    pub(super) fn days(&self) -> usize {
        self.units.len().div_ceil(HOURS)
    }
}

impl DailySales {
    fn violations(&self, found: &mut Vec<FieldError>) {
        if self.units.len() > MAX_DAYS {
            found.push(FieldError::new("/earlier/units", "must hold at most 400 days"));
        }
        ranged(found, "/earlier/units", &self.units, 0.0..=MAX_UNITS);
        if !self.out_of_stock.is_empty() && self.out_of_stock.len() != self.units.len() {
            found.push(FieldError::new("/earlier/out_of_stock", "must be empty or as long as units"));
        }
        ranged(found, "/earlier/out_of_stock", &self.out_of_stock, 0.0..=1.0);
        prices(found, "/earlier/price_share", &self.price_share, self.units.len());
    }
}

fn prices(found: &mut Vec<FieldError>, pointer: &str, prices: &[f64], days: usize) {
    if !prices.is_empty() && prices.len() != days {
        found.push(FieldError::new(pointer, "must be empty or hold one price a day"));
    }
    ranged(found, pointer, prices, LOWEST_PRICE..=HIGHEST_PRICE);
}

fn ranged(found: &mut Vec<FieldError>, pointer: &str, values: &[f64], range: std::ops::RangeInclusive<f64>) {
    for (i, _) in values.iter().enumerate().filter(|(_, value)| !range.contains(value)) {
        let detail = format!("must be between {} and {}", range.start(), range.end());
        found.push(FieldError::new(format!("{pointer}/{i}"), detail));
    }
}

/// The judgement, or what is missing for one.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(tag = "status", rename_all = "snake_case")]
#[schema(as = DemandHoursAnswer)]
pub enum Answer {
    Scored(Box<Assessment>),
    /// The model does not guess: these facts are needed first.
    InsufficientData {
        product: ProductId,
        location: LocationId,
        missing: Vec<Missing>,
    },
}

/// Whether the last day's sales were cut short by an empty shelf, and what was lost.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
#[schema(as = DemandHoursAssessment)]
pub struct Assessment {
    pub product: ProductId,
    pub location: LocationId,
    #[serde(flatten)]
    pub latest: DayJudgement,
    /// The days before it that were asked for, oldest first, without contributions and counterfactuals.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub earlier: Vec<DayJudgement>,
    pub model: ModelRef,
    /// SHA-256 over the request as understood: its JSON with fields in the documented order and defaults filled in.
    pub input_hash: Digest,
    /// After this the next day's sales are due.
    pub valid_until: Timestamp,
}

/// One day.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
#[schema(as = DemandHoursDay)]
pub struct DayJudgement {
    #[schema(value_type = String, format = Date)]
    pub date: Date,
    /// Probability in millionths that the shelf was empty in at least four of the sixteen opening hours from 6 to 22;
    /// of a day that still runs, that it will have been.
    pub score: Score,
    pub band: Band,
    /// Expected opening hours with an empty shelf so far, 0 to 16.
    pub hours_out: f64,
    /// The longest stretch of opening hours in which an empty shelf is likelier than not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub empty: Option<Stretch>,
    /// Units sold in the opening hours.
    pub units_sold: f64,
    /// Units that would have sold in the opening hours so far with stock all the time.
    pub demand: DayDemand,
    /// Expected units that were not sold because the shelf was empty.
    pub units_lost: f64,
    /// Expected margin of those units; absent when the margin is unknown.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub margin_lost: Option<Money>,
    /// Parts of the score, in millionths, that add up to it exactly; empty unless `explain` was asked for.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub contributions: Vec<Contribution>,
    /// Smallest changes that would move the answer into another band; empty unless `explain` was asked for.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub counterfactuals: Vec<Counterfactual>,
}

/// Hours of a day.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[schema(as = DemandHoursStretch)]
pub struct Stretch {
    /// First hour, 6 to 21.
    pub since: u8,
    /// The hour after the last, 7 to 22.
    pub until: u8,
}

/// Unconstrained demand of a day's opening hours, in units.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
#[schema(as = DemandHoursDemand)]
pub struct DayDemand {
    pub mean: f64,
    pub p05: f64,
    pub p50: f64,
    pub p95: f64,
}

/// What became true of a request.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = DemandHoursOutcome)]
pub struct Outcome {
    /// Whether the shelf was empty, for each hour of the request's days, 24 a day also where the last day still ran.
    pub out_of_stock: Vec<bool>,
}
