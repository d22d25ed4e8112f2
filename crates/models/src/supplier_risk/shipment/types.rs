//! Request and answer for a transport: the API's own types.

use std::fmt;

use contracts::{Digest, FieldError};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::{Band, Contribution, Counterfactual, Missing, ModelRef, Score};

/// Longest name of a transport or place, in bytes.
const MAX_NAME: usize = 120;
/// Most legs that are consolidated into one, and most steps of a leg.
const MAX_LEGS: usize = 16;
const MAX_STEPS: usize = 32;
/// Longest duration, in minutes: two years.
const MAX_MINUTES: f64 = 1_051_200.0;

/// Judge a transport on its way.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = ShipmentRiskRequest)]
pub struct Request {
    pub transport: Transport,
    /// The moment at which the milestones were read.
    pub as_of: Timestamp,
    #[serde(default)]
    pub options: Options,
}

/// Legs that run side by side to a hub, and the one that goes on from there when the last has arrived.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = ShipmentRiskTransport)]
pub struct Transport {
    /// Its name in the caller's system: an air waybill, a container.
    #[schema(max_length = 120, example = "020-12345675")]
    pub id: String,
    /// Legs to the hub, or all legs when nothing is consolidated.
    #[schema(min_items = 1, max_items = 16)]
    pub inbound: Vec<Leg>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub outbound: Option<Leg>,
    /// Minutes from its start after which it is late; absent: what is planned for the longest inbound leg and the
    /// outbound one together.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(minimum = 0, maximum = 1_051_200)]
    pub allowed_minutes: Option<f64>,
}

/// Steps that follow one another.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = ShipmentRiskLeg)]
pub struct Leg {
    #[schema(min_items = 1, max_items = 32)]
    pub steps: Vec<Step>,
}

/// The time up to one milestone, from the milestone before it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = ShipmentRiskStep)]
pub struct Step {
    #[schema(inline)]
    pub until: Milestone,
    /// Where the milestone is reached; empty when unknown.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    #[schema(max_length = 120, example = "FRA")]
    pub place: String,
    #[schema(minimum = 0, maximum = 1_051_200)]
    pub planned_minutes: f64,
    /// How long it took; absent while the milestone is not reached.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(minimum = 0, maximum = 1_051_200)]
    pub took_minutes: Option<f64>,
    /// How long it has lasted without reaching the milestone; absent when it has not begun, or that is unknown.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(minimum = 0, maximum = 1_051_200)]
    pub elapsed_minutes: Option<f64>,
}

/// Milestones of a shipment, after those of Cargo iQ (formerly Cargo 2000).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
#[schema(as = ShipmentRiskMilestone)]
pub enum Milestone {
    /// Accepted from the shipper (RCS).
    Received,
    /// Left the first airport, port or depot (DEP).
    Departed,
    /// Left a place of transit (DEP).
    Connected,
    /// Accepted where it was carried to (RCF).
    Arrived,
    /// Handed over to the consignee or the hub (DLV): the last of a leg.
    Delivered,
}

/// What the caller may choose.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields, default)]
#[schema(as = ShipmentRiskOptions)]
pub struct Options {
    /// Whether to compute delay quantiles, contributions and counterfactuals, which cost more than the score itself.
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
        let Transport { id, inbound, outbound, allowed_minutes } = &self.transport;
        if id.is_empty() || id.len() > MAX_NAME {
            found.push(FieldError::new("/transport/id", "must have 1 to 120 bytes"));
        }
        if !(1..=MAX_LEGS).contains(&inbound.len()) {
            found.push(FieldError::new("/transport/inbound", "must have 1 to 16 legs"));
        }
        for (i, leg) in inbound.iter().take(MAX_LEGS).enumerate() {
            leg.violations(format_args!("/transport/inbound/{i}"), &mut found);
        }
        if let Some(leg) = outbound {
            leg.violations(format_args!("/transport/outbound"), &mut found);
        }
        if allowed_minutes.is_some_and(|minutes| !duration(minutes)) {
            found.push(FieldError::new("/transport/allowed_minutes", "must be between 0 and 1051200"));
        }
        found
    }
}

fn duration(minutes: f64) -> bool {
    (0.0..=MAX_MINUTES).contains(&minutes)
}

impl Leg {
    fn violations(&self, leg: fmt::Arguments<'_>, found: &mut Vec<FieldError>) {
        if !(1..=MAX_STEPS).contains(&self.steps.len()) {
            found.push(FieldError::new(format!("{leg}/steps"), "must have 1 to 32 steps"));
        }
        for (i, step) in self.steps.iter().take(MAX_STEPS).enumerate() {
            let mut wrong =
                |field: &str, detail: &str| found.push(FieldError::new(format!("{leg}/steps/{i}/{field}"), detail));
            if step.place.len() > MAX_NAME {
                wrong("place", "must be at most 120 bytes");
            }
            if step.until == Milestone::Delivered && i + 1 < self.steps.len() {
                wrong("until", "must not be delivered before the last step");
            }
            let minutes = [
                ("planned_minutes", Some(step.planned_minutes)),
                ("took_minutes", step.took_minutes),
                ("elapsed_minutes", step.elapsed_minutes),
            ];
            for (field, minutes) in minutes {
                if minutes.is_some_and(|minutes| !duration(minutes)) {
                    wrong(field, "must be between 0 and 1051200");
                }
            }
            if step.took_minutes.is_some() && step.elapsed_minutes.is_some() {
                wrong("elapsed_minutes", "must be absent where took_minutes is known");
            }
        }
    }

    /// Minutes planned for all steps.
    pub(super) fn planned(&self) -> f64 {
        self.steps.iter().map(|step| step.planned_minutes).sum()
    }
}

impl Transport {
    /// Minutes from the start after which it is late by plan.
    pub(super) fn planned(&self) -> f64 {
        let inbound = self.inbound.iter().map(Leg::planned).fold(0.0, f64::max);
        inbound + self.outbound.as_ref().map_or(0.0, Leg::planned)
    }

    pub(super) fn allowed(&self) -> f64 {
        self.allowed_minutes.unwrap_or_else(|| self.planned())
    }
}

/// The judgement, or what is missing for one.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(tag = "status", rename_all = "snake_case")]
#[schema(as = ShipmentRiskAnswer)]
pub enum Answer {
    Scored(Box<Assessment>),
    /// The model does not guess: these facts are needed first.
    InsufficientData {
        transport: String,
        missing: Vec<Missing>,
    },
}

/// How likely the transport is late, and by how much.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
#[schema(as = ShipmentRiskAssessment)]
pub struct Assessment {
    pub transport: String,
    /// Probability, in millionths, that it takes longer than allowed.
    pub score: Score,
    pub band: Band,
    /// Steps still ahead at places where the model has seen none like them: it takes those for average ones.
    pub unknown_places: u32,
    /// Absent unless `explain` was asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub delay: Option<Delay>,
    /// Parts of the score, in millionths, that add up to it exactly; empty unless `explain` was asked for.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub contributions: Vec<Contribution>,
    /// Smallest changes that would move the answer into another band; empty unless `explain` was asked for.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub counterfactuals: Vec<Counterfactual>,
    pub model: ModelRef,
    /// SHA-256 over the request as understood: its JSON with fields in the documented order and defaults filled in.
    pub input_hash: Digest,
    /// After this a milestone has been reached, or is overdue enough to change the answer.
    pub valid_until: Timestamp,
}

/// Delay beyond the allowed minutes, in minutes; what comes within them has none.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
#[schema(as = ShipmentRiskDelay)]
pub struct Delay {
    pub p50: f64,
    pub p80: f64,
    pub p95: f64,
}

/// What became of a transport: minutes that each step took, leg by leg as in the request.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = ShipmentRiskOutcome)]
pub struct Outcome {
    pub inbound: Vec<Vec<f64>>,
    #[serde(default)]
    pub outbound: Vec<f64>,
}

impl Outcome {
    /// Minutes from start to end.
    #[must_use]
    pub fn minutes(&self) -> f64 {
        let inbound = self.inbound.iter().map(|leg| leg.iter().sum()).fold(0.0, f64::max);
        inbound + self.outbound.iter().sum::<f64>()
    }
}
