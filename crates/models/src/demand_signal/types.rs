//! Request and answer of the demand-signal model: the API's own types.

use contracts::{Digest, FieldError, LocationId, ProductId};
use jiff::{Timestamp, civil::Date};
use serde::{Deserialize, Serialize};

use super::{count::CountState, reading::ReadingState};
use crate::{Band, Contribution, Counterfactual, Missing, ModelRef, Score};

/// Most buckets of one request: eleven years of hours.
const MAX_BUCKETS: usize = 100_000;
/// Most units of a bucket. Beyond it a figure is a unit error.
const MAX_UNITS: f64 = 1e9;
/// Largest reading, either way.
const MAX_READING: f64 = 1e15;
/// Strictest and loosest false-alarm rate that can be asked for.
const RATES: std::ops::RangeInclusive<f64> = 1e-5..=0.2;
/// Prices as shares of the regular price.
const PRICE_SHARES: std::ops::RangeInclusive<f64> = 0.01..=1.0;

/// Judge the last bucket of a series by the buckets before it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = DemandSignalRequest)]
pub struct Request {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub product: Option<ProductId>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub location: Option<LocationId>,
    pub series: Series,
    #[serde(default)]
    pub options: Options,
}

/// What was observed, oldest first.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(tag = "grain", rename_all = "snake_case")]
#[schema(as = DemandSignalSeries)]
pub enum Series {
    /// Units sold per day.
    Day(CountSeries),
    /// Units sold per week.
    Week(CountSeries),
    /// Any quantity measured again and again: a sensor, a queue, an amount.
    Reading(ReadingSeries),
}

/// Units per bucket and what is known beside them. Lists are as long as `units`, or empty where nothing is known.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = DemandSignalCountSeries)]
pub struct CountSeries {
    /// First day of the first bucket.
    pub first: Date,
    /// Units sold; null where no count is known.
    #[schema(max_items = 100_000)]
    pub units: Vec<Option<f64>>,
    /// Share of the bucket without stock, 0 to 1. Empty where stock is not known: a bucket without a sale may then be
    /// an empty shelf.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub out_of_stock: Vec<f64>,
    /// Whether a promotion ran.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub promotion: Vec<bool>,
    /// Price as a share of the regular price, 0.01 to 1; 0.8 = a fifth off.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub price_share: Vec<f64>,
    /// Whether it was a holiday.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub holiday: Vec<bool>,
}

/// Readings and when they were taken.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = DemandSignalReadingSeries)]
pub struct ReadingSeries {
    /// Never earlier than the one before.
    #[schema(max_items = 100_000)]
    pub at: Vec<Timestamp>,
    /// As many as `at`; null where nothing was read.
    pub values: Vec<Option<f64>>,
}

/// What the caller may choose.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields, default)]
#[schema(as = DemandSignalOptions)]
pub struct Options {
    /// Share of ordinary buckets that may be called an event; absent for the rate of the parameters.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(minimum = 0.00001, maximum = 0.2)]
    pub false_alarm_rate: Option<f64>,
    /// Whether to answer for each bucket, each from the buckets before it, beside the last.
    pub history: bool,
    /// Whether to compute contributions and counterfactual, which cost more than the score itself.
    pub explain: bool,
}

impl Default for Options {
    fn default() -> Self {
        Self { false_alarm_rate: None, history: false, explain: true }
    }
}

/// One bucket of counts, for a series that is judged as it grows.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = DemandSignalBucket)]
pub struct Bucket {
    /// Units sold; null where no count is known.
    pub units: Option<f64>,
    /// Share of the bucket without stock, 0 to 1; null where unknown.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub out_of_stock: Option<f64>,
    #[serde(default)]
    pub promotion: bool,
    /// Price as a share of the regular price, 0.01 to 1; 0.8 = a fifth off.
    #[serde(default = "regular")]
    pub price_share: f64,
    #[serde(default)]
    pub holiday: bool,
}

fn regular() -> f64 {
    1.0
}

impl Default for Bucket {
    /// Nothing known, at the regular price.
    fn default() -> Self {
        Self { units: None, out_of_stock: None, promotion: false, price_share: regular(), holiday: false }
    }
}

/// One reading, for a stream that is judged as it grows.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = DemandSignalReading)]
pub struct Reading {
    pub at: Timestamp,
    pub value: Option<f64>,
}

/// The next observation of a series.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(tag = "grain", rename_all = "snake_case")]
#[schema(as = DemandSignalObservation)]
pub enum Observation {
    Day(Bucket),
    Week(Bucket),
    Reading(Reading),
}

/// What is known of a series: a constant number of figures, to be kept between observations.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(tag = "grain", rename_all = "snake_case")]
#[schema(as = DemandSignalState)]
pub enum State {
    Day(Box<CountState>),
    Week(Box<CountState>),
    Reading(Box<ReadingState>),
}

/// What a bucket is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
#[schema(as = DemandSignalEvent)]
pub enum Event {
    /// Far more than expected.
    Spike,
    /// Far less than expected though it could have been sold.
    Drop,
    /// Several buckets in a row that are too high together.
    LevelShiftUp,
    /// Several buckets in a row that are too low together.
    LevelShiftDown,
    /// Low because the shelf was empty: says nothing about demand.
    Censored,
    Ordinary,
    /// Nothing observed, or too little history to tell.
    Unknown,
}

impl Event {
    /// Whether it is one that somebody should look at.
    #[must_use]
    pub fn is_alarm(self) -> bool {
        matches!(self, Self::Spike | Self::Drop | Self::LevelShiftUp | Self::LevelShiftDown)
    }
}

/// Which side of the expectation.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
#[schema(as = DemandSignalSide)]
pub enum Side {
    #[default]
    Above,
    Below,
}

/// One bucket judged by the buckets before it.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
#[schema(as = DemandSignalSignal)]
pub struct Signal {
    pub event: Event,
    /// One half where the false-alarm rate of the parameters is reached; zero for a reading of an incident that was
    /// reported already.
    pub score: Score,
    /// `-log10` of the calibrated probability that an ordinary bucket is at least as far out: 2 is one in a hundred.
    pub surprise: f64,
    pub side: Side,
    /// Units, or reading, that was expected.
    pub expected: f64,
    /// Share of the bucket without stock, or the probability of an empty shelf where stock is not known.
    pub stock_out_probability: f64,
}

impl Signal {
    pub(super) fn unknown(expected: f64) -> Self {
        Self {
            event: Event::Unknown,
            score: Score::of(0.0),
            surprise: 0.0,
            side: Side::Above,
            expected,
            stock_out_probability: 0.0,
        }
    }
}

/// The judgement, or what is missing for one.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(tag = "status", rename_all = "snake_case")]
#[schema(as = DemandSignalAnswer)]
pub enum Answer {
    Scored(Box<Assessment>),
    /// The model does not guess: these facts are needed first.
    InsufficientData {
        #[serde(default, skip_serializing_if = "Option::is_none")]
        product: Option<ProductId>,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        location: Option<LocationId>,
        missing: Vec<Missing>,
    },
}

/// What the last bucket is, and what to do about it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
#[schema(as = DemandSignalAssessment)]
pub struct Assessment {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub product: Option<ProductId>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub location: Option<LocationId>,
    pub score: Score,
    pub band: Band,
    /// The last bucket, judged.
    pub signal: Signal,
    pub observed: f64,
    /// What it was expected to be, before it was seen.
    pub expected: Expected,
    /// Observed less expected: units to add to a plan, or lost to one.
    pub excess: f64,
    pub recommendation: Recommendation,
    /// Parts of the score, in millionths, that add up to it exactly; empty unless `explain` was asked for.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub contributions: Vec<Contribution>,
    /// The smallest change of the last bucket that would turn an event into an ordinary bucket, or the reverse; empty
    /// unless `explain` was asked for.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub counterfactuals: Vec<Counterfactual>,
    /// Each bucket of the series, judged by those before it; empty unless `history` was asked for.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub history: Vec<Signal>,
    pub model: ModelRef,
    /// SHA-256 over the request as understood: its JSON with fields in the documented order and defaults filled in.
    pub input_hash: Digest,
    /// After this the next bucket is complete and should be judged instead.
    pub valid_until: Timestamp,
}

/// A forecast of one bucket.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
#[schema(as = DemandSignalExpected)]
pub struct Expected {
    pub mean: f64,
    pub p05: f64,
    pub p50: f64,
    pub p95: f64,
}

/// What to trigger.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
#[schema(as = DemandSignalTrigger)]
pub enum Trigger {
    None,
    /// Check that stock lasts: more is being sold than planned.
    ReviewReplenishment,
    /// Look at shelf, price and display: less is sold than should be.
    CheckShelf,
    /// The plan no longer fits: forecast and order levels need a new base.
    ReviewForecast,
    /// Refill; and do not take the sales for demand.
    RestoreStock,
    /// Look at the source of the readings.
    Inspect,
}

/// What to trigger and why.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[schema(as = DemandSignalRecommendation)]
pub struct Recommendation {
    #[schema(inline)]
    pub trigger: Trigger,
    /// In one sentence.
    pub reason: String,
}

impl Request {
    /// Everything wrong with the request, each with its pointer; empty when it can be judged.
    #[must_use]
    pub fn violations(&self) -> Vec<FieldError> {
        let mut found = Vec::new();
        match &self.series {
            Series::Day(series) | Series::Week(series) => series.violations(&mut found),
            Series::Reading(series) => series.violations(&mut found),
        }
        if self.options.false_alarm_rate.is_some_and(|rate| !RATES.contains(&rate)) {
            found.push(FieldError::new("/options/false_alarm_rate", "must be between 0.00001 and 0.2"));
        }
        found
    }
}

impl CountSeries {
    /// The buckets one by one. Lists must be as long as `units`, or empty.
    pub(super) fn buckets(&self) -> impl Iterator<Item = Bucket> + '_ {
        (0..self.units.len()).map(|i| self.bucket(i))
    }

    pub(super) fn bucket(&self, i: usize) -> Bucket {
        Bucket {
            units: self.units[i],
            out_of_stock: self.out_of_stock.get(i).copied(),
            promotion: self.promotion.get(i).copied().unwrap_or(false),
            price_share: self.price_share.get(i).copied().unwrap_or(1.0),
            holiday: self.holiday.get(i).copied().unwrap_or(false),
        }
    }

    fn violations(&self, found: &mut Vec<FieldError>) {
        let buckets = self.units.len();
        too_many(buckets, "/series/units", found);
        for (name, length) in [
            ("out_of_stock", self.out_of_stock.len()),
            ("promotion", self.promotion.len()),
            ("price_share", self.price_share.len()),
            ("holiday", self.holiday.len()),
        ] {
            if length != 0 && length != buckets {
                let detail = format!("must be empty or have {buckets} entries as units has, not {length}");
                found.push(FieldError::new(format!("/series/{name}"), detail));
            }
        }
        let mut outside = |name: &str, i: usize, most: f64| {
            let detail = format!("must be between 0 and {most}");
            found.push(FieldError::new(format!("/series/{name}/{i}"), detail));
        };
        for (i, units) in self.units.iter().enumerate() {
            if units.is_some_and(|units| !(0.0..=MAX_UNITS).contains(&units)) {
                outside("units", i, MAX_UNITS);
            }
        }
        for (i, share) in self.out_of_stock.iter().enumerate() {
            if !(0.0..=1.0).contains(share) {
                outside("out_of_stock", i, 1.0);
            }
        }
        for (i, share) in self.price_share.iter().enumerate() {
            if !PRICE_SHARES.contains(share) {
                found.push(FieldError::new(format!("/series/price_share/{i}"), "must be between 0.01 and 1"));
            }
        }
    }
}

impl ReadingSeries {
    pub(super) fn readings(&self) -> impl Iterator<Item = Reading> + '_ {
        self.at.iter().zip(&self.values).map(|(at, value)| Reading { at: *at, value: *value })
    }

    fn violations(&self, found: &mut Vec<FieldError>) {
        too_many(self.at.len(), "/series/at", found);
        if self.values.len() != self.at.len() {
            let detail = format!("must have {} entries as at has, not {}", self.at.len(), self.values.len());
            found.push(FieldError::new("/series/values", detail));
        }
        for (i, pair) in self.at.windows(2).enumerate() {
            if pair[1] < pair[0] {
                found.push(FieldError::new(format!("/series/at/{}", i + 1), "is earlier than the one before"));
            }
        }
        for (i, value) in self.values.iter().enumerate() {
            if value.is_some_and(|value| !(-MAX_READING..=MAX_READING).contains(&value)) {
                found.push(FieldError::new(format!("/series/values/{i}"), "must be between -1e15 and 1e15"));
            }
        }
    }
}

impl Observation {
    /// Everything wrong with it, each with its pointer.
    #[must_use]
    pub fn violations(&self) -> Vec<FieldError> {
        let mut found = Vec::new();
        let mut outside = |name: &str, value: f64, least: f64, most: f64| {
            if !(least..=most).contains(&value) {
                found.push(FieldError::new(format!("/{name}"), format!("must be between {least} and {most}")));
            }
        };
        match self {
            Self::Day(bucket) | Self::Week(bucket) => {
                outside("units", bucket.units.unwrap_or(0.0), 0.0, MAX_UNITS);
                outside("out_of_stock", bucket.out_of_stock.unwrap_or(0.0), 0.0, 1.0);
                outside("price_share", bucket.price_share, *PRICE_SHARES.start(), *PRICE_SHARES.end());
            }
            Self::Reading(reading) => outside("value", reading.value.unwrap_or(0.0), -MAX_READING, MAX_READING),
        }
        found
    }
}

fn too_many(entries: usize, pointer: &str, found: &mut Vec<FieldError>) {
    if entries > MAX_BUCKETS {
        found.push(FieldError::new(pointer, format!("must have at most {MAX_BUCKETS} entries, has {entries}")));
    }
}
