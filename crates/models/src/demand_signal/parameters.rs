//! The model's constants: a versioned file, embedded, hashed, named in every answer.

use serde::{Deserialize, Serialize};

use crate::{ParameterError, score::BandLimits};

/// Most buckets of a window of evidence; also bounds the state that is kept for a series.
pub(super) const MAX_WINDOW: usize = 7;

/// Constants of the model. Their meaning is documented here, their values in `parameters/demand-signal.v1.json`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Parameters {
    pub version: String,
    pub bands: BandLimits,
    pub day: CountParameters,
    pub week: CountParameters,
    pub reading: ReadingParameters,
}

/// How counts per day or per week are judged.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CountParameters {
    /// Share of ordinary buckets that may be called an event; the score is one half where it is reached.
    pub false_alarm_rate: f64,
    /// Buckets with a count before the model speaks.
    pub least_buckets: u32,
    pub level_prior: LevelPrior,
    /// Weight of a bucket relative to the next, newer one.
    pub memory: f64,
    pub recent: RecentLevel,
    /// Weekday pattern; none where a bucket is a week.
    pub weekday: Option<WeekdayParameters>,
    pub promotion: PromotionParameters,
    pub dispersion: DispersionParameters,
    pub stock: StockParameters,
    pub clip: Clip,
    /// Windows of buckets that are tested side by side; the first is a single bucket.
    pub windows: Vec<Window>,
    /// Independent tests that the windows amount to, for both directions together.
    pub tests: f64,
    /// How far one false alarm raises a series' own limit, in powers of ten of the tail probability.
    pub tightening: f64,
}

/// The level before anything was sold.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LevelPrior {
    /// Units per bucket.
    pub units: f64,
    /// Buckets that it counts for.
    pub buckets: f64,
}

/// A second level with a short memory, mixed in geometrically: after a spike the next bucket is expected higher, after
/// a trough lower.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RecentLevel {
    pub memory: f64,
    /// Its share of the mixture, 0 for none.
    pub weight: f64,
}

/// How fast weekday factors are learnt.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WeekdayParameters {
    /// Variance of the factors between weekdays: sets how many buckets a factor needs before it is believed, more of
    /// them the noisier the counts are.
    pub variance: f64,
    /// Weight of a weekday relative to the same one a week later.
    pub memory: f64,
}

/// What promotions and holidays are expected to do, on the log of the units.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PromotionParameters {
    /// Effect of the log of the price cut, before any was seen.
    pub elasticity: f64,
    /// Evidence that it counts for: squared log price cuts, weighted by their information.
    pub elasticity_prior: f64,
    /// Variance of the elasticity between articles: how little a price that changed is trusted.
    pub elasticity_variance: f64,
    /// Effect of the promotion flag and its variance.
    pub flag: f64,
    pub flag_variance: f64,
    /// Effect of a holiday.
    pub holiday: f64,
}

/// Squared coefficient of variation beyond Poisson: the variance is `m + dispersion · m²`.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DispersionParameters {
    pub prior: f64,
    pub prior_buckets: f64,
    pub memory: f64,
}

/// What stock-outs do to counts.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StockParameters {
    /// Share of buckets without stock where nothing is told about stock: explains zeros that demand does not.
    pub unseen_stock_out: f64,
    /// A bucket in stock for share `e` saw `e^exposure` of its demand.
    pub exposure: f64,
    /// The same bucket is trusted `e^trust`.
    pub trust: f64,
    /// Out-of-stock share from which a bucket that is not high counts as censored.
    pub censored_share: f64,
}

/// How far one bucket may pull the level, in standard deviations.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Clip {
    pub below: f64,
    pub above: f64,
}

/// Buckets judged together, the last one included, and how their tail probabilities are calibrated.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Window {
    /// 1 to 7.
    pub buckets: usize,
    pub up: Tail,
    pub down: Tail,
}

/// An exponential tail, as extremes of light-tailed scores have (Pickands 1975): 5 % of ordinary buckets lie beyond
/// `start`, and each step of `1 / slope` further is ten times rarer. Both in `-log10` of the nominal probability.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Tail {
    pub start: f64,
    pub slope: f64,
}

/// How streams of readings are judged.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ReadingParameters {
    /// Share of readings that lie beyond the alarm limit by their rank; the score is one half there.
    pub false_alarm_rate: f64,
    /// Readings before the model speaks.
    pub least_readings: u32,
    /// Weight of a reading relative to the next in the same hour of the day.
    pub profile_memory: f64,
    /// Weight of a departure relative to the next in the sustained departure.
    pub sustained_memory: f64,
    /// Share of the largest departures that the tail is fitted to.
    pub tail_share: f64,
    /// Smallest tail index (Hill 1975): keeps a stream of near constant departures from infinite surprise.
    pub least_tail: f64,
    /// Readings after an event in which another belongs to the same incident.
    pub quiet_readings: u32,
    /// Hours after the last reading for which an answer stands.
    pub valid_hours: i64,
}

impl Parameters {
    /// Names the first value out of its range.
    pub(super) fn check(&self) -> Result<(), ParameterError> {
        self.day.check("/day")?;
        self.week.check("/week")?;
        let r = &self.reading;
        share("/reading/false_alarm_rate", r.false_alarm_rate)?;
        share("/reading/profile_memory", r.profile_memory)?;
        share("/reading/sustained_memory", r.sustained_memory)?;
        share("/reading/tail_share", r.tail_share)?;
        positive("/reading/least_tail", r.least_tail)
    }
}

impl CountParameters {
    fn check(&self, at: &str) -> Result<(), ParameterError> {
        share(&format!("{at}/false_alarm_rate"), self.false_alarm_rate)?;
        share(&format!("{at}/memory"), self.memory)?;
        share(&format!("{at}/recent/memory"), self.recent.memory)?;
        share(&format!("{at}/dispersion/memory"), self.dispersion.memory)?;
        share(&format!("{at}/stock/unseen_stock_out"), self.stock.unseen_stock_out)?;
        positive(&format!("{at}/level_prior/units"), self.level_prior.units)?;
        positive(&format!("{at}/level_prior/buckets"), self.level_prior.buckets)?;
        positive(&format!("{at}/dispersion/prior"), self.dispersion.prior)?;
        positive(&format!("{at}/dispersion/prior_buckets"), self.dispersion.prior_buckets)?;
        positive(&format!("{at}/promotion/elasticity_prior"), self.promotion.elasticity_prior)?;
        positive(&format!("{at}/clip/below"), self.clip.below)?;
        positive(&format!("{at}/clip/above"), self.clip.above)?;
        positive(&format!("{at}/tests"), self.tests)?;
        if let Some(weekday) = self.weekday {
            positive(&format!("{at}/weekday/variance"), weekday.variance)?;
            share(&format!("{at}/weekday/memory"), weekday.memory)?;
        }
        if self.windows.first().is_none_or(|window| window.buckets != 1) {
            return Err(range(format!("{at}/windows/0/buckets"), "must be 1"));
        }
        for (i, window) in self.windows.iter().enumerate() {
            if !(1..=MAX_WINDOW).contains(&window.buckets) {
                return Err(range(format!("{at}/windows/{i}/buckets"), "must be between 1 and 7"));
            }
            for (side, tail) in [("up", window.up), ("down", window.down)] {
                positive(&format!("{at}/windows/{i}/{side}/start"), tail.start)?;
                positive(&format!("{at}/windows/{i}/{side}/slope"), tail.slope)?;
            }
        }
        Ok(())
    }
}

fn range(pointer: String, detail: &str) -> ParameterError {
    ParameterError::Range { model: super::NAME, pointer, detail: detail.to_owned() }
}

fn share(pointer: &str, value: f64) -> Result<(), ParameterError> {
    if value > 0.0 && value < 1.0 { Ok(()) } else { Err(range(pointer.to_owned(), "must lie between 0 and 1")) }
}

fn positive(pointer: &str, value: f64) -> Result<(), ParameterError> {
    if value > 0.0 && value.is_finite() { Ok(()) } else { Err(range(pointer.to_owned(), "must be above 0")) }
}
