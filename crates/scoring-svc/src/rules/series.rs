//! How a series of sales grows: the next bucket is judged by those before it and learnt from, once.

use contracts::{FieldError, LocationId, ProductId};
use jiff::{ToSpan, civil::Date};
use models::{
    Judge, ModelRef,
    demand_signal::{Bucket, Model, Observation, Signal, State},
};
use serde::{Deserialize, Serialize};

/// Latest buckets that are kept with their answers: what a repeat is known by, and what another version begins with.
pub(crate) const LATEST: usize = 28;
/// Longest gap, in buckets, over which a series goes on; after a longer one it begins anew.
const LONGEST_GAP: i32 = 400;

/// What a bucket spans.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
#[schema(as = DemandSeriesGrain)]
pub(crate) enum Grain {
    #[default]
    Day,
    Week,
}

impl Grain {
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Day => "day",
            Self::Week => "week",
        }
    }

    fn days(self) -> i32 {
        match self {
            Self::Day => 1,
            Self::Week => 7,
        }
    }

    pub(crate) fn observation(self, bucket: Bucket) -> Observation {
        match self {
            Self::Day => Observation::Day(bucket),
            Self::Week => Observation::Week(bucket),
        }
    }
}

/// Which series.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Key {
    pub product: ProductId,
    pub location: LocationId,
    pub grain: Grain,
}

/// A bucket as it was told, and what was answered.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
#[schema(as = DemandSeriesBucket)]
pub(crate) struct Answered {
    /// First day of the bucket.
    pub day: Date,
    pub bucket: Bucket,
    pub signal: Signal,
    /// The version that judged it.
    pub version: String,
}

/// A series as it is kept.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Series {
    /// Whose state it is: no other parameters ever go on with it.
    pub model: ModelRef,
    /// First bucket of the state, by which it counts the days of the week.
    pub first: Date,
    /// The latest buckets with their answers, oldest first.
    pub latest: Vec<Answered>,
    pub state: State,
}

/// What came of a bucket.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Grown {
    pub answered: Answered,
    /// It was told before; nothing was learnt.
    pub repeated: bool,
    /// Buckets that were learnt anew before it, because another version made the state; 0 when none did.
    pub relearned: usize,
}

/// Why a bucket cannot come now.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub(crate) enum Refusal {
    #[error("the bucket is refused")]
    Fields(Vec<FieldError>),
    #[error("the bucket of {0} was told otherwise before; a series learns from each bucket once")]
    Otherwise(Date),
    #[error("the last bucket of the series is {0}; what lies before it was passed over")]
    Passed(Date),
    #[error("weeks of this series begin 7, 14, ... days after {0}")]
    Between(Date),
}

impl Series {
    /// Puts the bucket of a day after those before it. Days between that nobody told of are passed as unknown.
    ///
    /// # Errors
    /// Why it cannot come; the series is then as it was.
    pub(crate) fn grow(
        series: &mut Option<Self>,
        model: &Model,
        grain: Grain,
        (day, bucket): (Date, Bucket),
    ) -> Result<Grown, Refusal> {
        let errors = grain.observation(bucket).violations();
        if !errors.is_empty() {
            return Err(Refusal::Fields(errors));
        }
        let Some(known) = series.as_mut() else {
            let mut new = Self::begin(model, grain, day);
            let answered = new.learn(model, grain, (day, bucket))?;
            *series = Some(new);
            return Ok(Grown { answered, repeated: false, relearned: 0 });
        };
        let last = known.latest.last().map_or(known.first, |last| last.day);
        if day <= last {
            let told = known.latest.iter().find(|told| told.day == day).ok_or(Refusal::Passed(last))?;
            let same = told.bucket == bucket;
            return if same {
                Ok(Grown { answered: told.clone(), repeated: true, relearned: 0 })
            } else {
                Err(Refusal::Otherwise(day))
            };
        }
        if (day - last).get_days() % grain.days() != 0 {
            return Err(Refusal::Between(known.first));
        }
        let mut relearned = 0;
        if (day - last).get_days() / grain.days() > LONGEST_GAP {
            *known = Self::begin(model, grain, day);
        } else if known.model.parameters != model.reference().parameters {
            relearned = known.latest.len();
            *known = known.relearnt(model, grain)?;
        }
        let answered = known.learn(model, grain, (day, bucket))?;
        Ok(Grown { answered, repeated: false, relearned })
    }

    fn begin(model: &Model, grain: Grain, first: Date) -> Self {
        let state = model.start(&grain.observation(Bucket::default()));
        Self { model: model.reference().clone(), first, latest: Vec::new(), state }
    }

    /// The series as this model would have learnt it from the latest buckets; the answers that were given stand.
    fn relearnt(&self, model: &Model, grain: Grain) -> Result<Self, Refusal> {
        let mut anew = Self::begin(model, grain, self.latest.first().map_or(self.first, |first| first.day));
        for told in &self.latest {
            anew.learn(model, grain, (told.day, told.bucket))?;
        }
        Ok(Self { latest: self.latest.clone(), ..anew })
    }

    fn learn(&mut self, model: &Model, grain: Grain, (day, bucket): (Date, Bucket)) -> Result<Answered, Refusal> {
        let passed = self.latest.last().map_or(0, |last| (day - last.day).get_days() / grain.days() - 1);
        for _ in 0..passed {
            let unknown = grain.observation(Bucket::default());
            model.observe(&mut self.state, &unknown).map_err(Refusal::Fields)?;
        }
        let signal = model.observe(&mut self.state, &grain.observation(bucket)).map_err(Refusal::Fields)?;
        let answered = Answered { day, bucket, signal, version: self.model.version.clone() };
        if self.latest.len() == LATEST {
            self.latest.remove(0);
        }
        self.latest.push(answered.clone());
        Ok(answered)
    }

    /// The day that is so many days of the week after the first: what the state's week is counted from.
    pub(crate) fn weekday(&self, after: i32) -> jiff::civil::Weekday {
        self.first.checked_add(after.days()).unwrap_or(self.first).weekday()
    }
}
