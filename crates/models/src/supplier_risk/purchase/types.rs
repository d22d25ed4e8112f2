//! Request and answer for a purchase line: the API's own types.

use std::ops::RangeInclusive;

use contracts::{Digest, FieldError, Money, SupplierId};
use jiff::{
    Timestamp,
    civil::{Date, date},
};
use serde::{Deserialize, Serialize};

use crate::{Band, Contribution, Counterfactual, Missing, ModelRef, Score};

/// Longest name of a channel, country, account or order, in bytes.
const MAX_NAME: usize = 120;
/// Most receipts behind one figure; beyond it a count is a unit error.
const MAX_RECEIPTS: f64 = 1e9;
/// Slack that can be asked for, in days.
pub(super) const SLACK_DAYS: RangeInclusive<i16> = -365..=365;
pub(super) const SECONDS_OF_DAY: i64 = 86_400;
/// Longest time between any two of the line's dates, in days: no promise reaches further.
const MAX_DAYS: i64 = 3650;

/// Judge one line of a purchase order.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = SupplierRiskRequest)]
pub struct Request {
    pub line: Line,
    /// The moment of judgement: its day in UTC, with nothing received by then.
    pub as_of: Timestamp,
    /// How comparable lines fared before, counted when the request is made; without it there is insufficient data.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub evidence: Option<Evidence>,
    #[serde(default)]
    pub options: Options,
}

/// An ordered line that is not yet received.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = SupplierRiskLine)]
pub struct Line {
    /// Its name in the caller's system.
    #[schema(max_length = 120, example = "PO-4711/1")]
    pub id: String,
    pub supplier: SupplierId,
    /// How it is delivered: direct, through a distribution centre. Lines of different channels share no lane.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    #[schema(max_length = 120, example = "direct")]
    pub channel: String,
    /// Air, sea, road; empty when unknown.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    #[schema(max_length = 120, example = "air")]
    pub mode: String,
    /// Country or site it goes to: with the channel its lane.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    #[schema(max_length = 120, example = "NG")]
    pub destination: String,
    /// Customer, project or department that it is bought for.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    #[schema(max_length = 120, example = "wholesale-north")]
    pub account: String,
    /// Day the order was placed, not after `promised`.
    pub ordered: Date,
    /// Day the supplier promised.
    pub promised: Date,
    /// Days after the promise from which it counts as late; negative when the goods are needed before.
    #[serde(default)]
    #[schema(minimum = -365, maximum = 365)]
    pub slack_days: i16,
    /// What each day of delay costs, not negative.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cost_per_day: Option<Money>,
}

/// Outcomes of comparable lines, from the widest circle to the narrowest. Each circle is estimated around the one
/// before it, so that little history moves it little.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields, default)]
#[schema(as = SupplierRiskEvidence)]
pub struct Evidence {
    /// Every line.
    pub all: Tally,
    /// Lines of the channel.
    pub channel: Tally,
    /// Lines of the channel by this mode.
    pub mode: Tally,
    /// Lines of the channel promised for this month of any year.
    pub season: Tally,
    /// Lines of the supplier.
    pub supplier: Tally,
    /// Lines of the channel to this destination.
    pub lane: Tally,
    /// Lines of the channel for this account.
    pub account: Tally,
    /// Lines of the supplier to this destination.
    pub supplier_lane: Tally,
}

/// Outcomes within one circle. Old ones fade, so counts are not whole; `recent` fades within months, `long` within
/// years.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields, default)]
#[schema(as = SupplierRiskTally)]
pub struct Tally {
    #[schema(inline)]
    pub recent: Counts,
    #[schema(inline)]
    pub long: Counts,
    /// Days late of those in `long` that came late and were received, in total, faded alike, and how many they are.
    #[schema(minimum = 0)]
    pub days_late: f64,
    #[schema(minimum = 0)]
    pub received_late: f64,
}

/// Lines whose outcome is known (received, or overdue) and how many of them were late.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields, default)]
#[schema(as = SupplierRiskCounts)]
pub struct Counts {
    #[schema(minimum = 0, maximum = 1e9)]
    pub lines: f64,
    /// At most `lines`.
    #[schema(minimum = 0, maximum = 1e9)]
    pub late: f64,
}

/// What the caller may choose.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields, default)]
#[schema(as = SupplierRiskOptions)]
pub struct Options {
    /// Whether to compute contributions and counterfactuals, which cost more than the score itself.
    pub explain: bool,
}

impl Default for Options {
    fn default() -> Self {
        Self { explain: true }
    }
}

impl Evidence {
    /// The circles with their names, widest first.
    #[must_use]
    pub fn circles(&self) -> [(&'static str, &Tally); 8] {
        [
            ("all", &self.all),
            ("channel", &self.channel),
            ("mode", &self.mode),
            ("season", &self.season),
            ("supplier", &self.supplier),
            ("lane", &self.lane),
            ("account", &self.account),
            ("supplier_lane", &self.supplier_lane),
        ]
    }
}

impl Request {
    /// Days from the promise to the day of judgement; negative while the promise lies ahead.
    pub(super) fn overdue_days(&self) -> i64 {
        day(self.as_of) - days(date(1970, 1, 1), self.line.promised)
    }

    /// Days from the order to the promise.
    pub(super) fn lead_days(&self) -> i64 {
        days(self.line.ordered, self.line.promised)
    }

    /// Everything wrong with the request, each with its pointer; empty when it can be judged.
    #[must_use]
    pub fn violations(&self) -> Vec<FieldError> {
        let mut found = Vec::new();
        let mut wrong = |pointer: &str, detail: &str| found.push(FieldError::new(pointer, detail));
        let line = &self.line;
        if line.id.is_empty() {
            wrong("/line/id", "must not be empty");
        }
        for (pointer, name) in [
            ("/line/id", &line.id),
            ("/line/channel", &line.channel),
            ("/line/mode", &line.mode),
            ("/line/destination", &line.destination),
            ("/line/account", &line.account),
        ] {
            if name.len() > MAX_NAME {
                wrong(pointer, "must be at most 120 bytes");
            }
        }
        if !(0..=MAX_DAYS).contains(&self.lead_days()) {
            wrong("/line/promised", "must be 0 to 3650 days after ordered");
        }
        if !(-MAX_DAYS..=MAX_DAYS).contains(&self.overdue_days()) {
            wrong("/as_of", "must be within 3650 days of promised");
        }
        if !SLACK_DAYS.contains(&line.slack_days) {
            wrong("/line/slack_days", "must be between -365 and 365");
        }
        if line.cost_per_day.is_some_and(|cost| cost.minor < 0) {
            wrong("/line/cost_per_day/minor", "must not be negative");
        }
        if let Some(evidence) = &self.evidence {
            for (circle, tally) in evidence.circles() {
                tally.violations(circle, &mut found);
            }
        }
        found
    }
}

impl Tally {
    fn violations(&self, circle: &str, found: &mut Vec<FieldError>) {
        let mut check = |field: &str, value: f64, most: f64, detail: &str| {
            if !(0.0..=most).contains(&value) {
                found.push(FieldError::new(format!("/evidence/{circle}/{field}"), detail));
            }
        };
        let Self { recent, long, .. } = self;
        check("recent/lines", recent.lines, MAX_RECEIPTS, "must be between 0 and 1e9");
        check("recent/late", recent.late, recent.lines, "must be between 0 and lines");
        check("long/lines", long.lines, MAX_RECEIPTS, "must be between 0 and 1e9");
        check("long/late", long.late, long.lines, "must be between 0 and lines");
        check("received_late", self.received_late, MAX_RECEIPTS, "must be between 0 and 1e9");
        let most = self.received_late * MAX_DAYS as f64;
        check("days_late", self.days_late, most, "must be between 0 and 3650 for each line received late");
    }
}

/// The day of a moment in UTC, counted from 1970-01-01. Unix time has days of equal length.
pub(super) fn day(moment: Timestamp) -> i64 {
    moment.as_second().div_euclid(SECONDS_OF_DAY)
}

/// Days from one date to another.
pub(super) fn days(from: Date, to: Date) -> i64 {
    from.duration_until(to).as_hours() / 24
}

/// The judgement, or what is missing for one.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(tag = "status", rename_all = "snake_case")]
#[schema(as = SupplierRiskAnswer)]
pub enum Answer {
    Scored(Box<Assessment>),
    /// The model does not guess: these facts are needed first.
    InsufficientData {
        line: String,
        missing: Vec<Missing>,
    },
}

/// How likely the line is late, and by how much.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
#[schema(as = SupplierRiskAssessment)]
pub struct Assessment {
    pub line: String,
    /// Probability, in millionths, that it is received later than promised plus slack.
    pub score: Score,
    pub band: Band,
    /// No outcome of this supplier is known: the answer is that of its channel, mode and season.
    pub new_supplier: bool,
    pub delay: Delay,
    /// Expected days of delay at `cost_per_day`; absent without one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expected_delay_cost: Option<Money>,
    /// Parts of the score, in millionths, that add up to it exactly; empty unless `explain` was asked for.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub contributions: Vec<Contribution>,
    /// Smallest changes that would move the answer into another band; empty unless `explain` was asked for.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub counterfactuals: Vec<Counterfactual>,
    pub model: ModelRef,
    /// SHA-256 over the request as understood: its JSON with fields in the documented order and defaults filled in.
    pub input_hash: Digest,
    /// After this a day has passed that changes the answer.
    pub valid_until: Timestamp,
}

/// Delay in days after the promise plus slack; what comes by then has none.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
#[schema(as = SupplierRiskDelay)]
pub struct Delay {
    /// Expected days, each line counting at most `delay_cap_days` of the parameters.
    pub mean: f64,
    pub p50: f64,
    pub p80: f64,
    pub p95: f64,
}

/// What became of a line.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = SupplierRiskOutcome)]
pub struct Outcome {
    /// Days from the promise to the receipt; negative when it came early.
    #[schema(minimum = -3650, maximum = 3650)]
    pub delay_days: i16,
}
