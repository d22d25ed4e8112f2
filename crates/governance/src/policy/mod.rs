//! Policies: which changes pass, which are refused, and who is asked about the rest.
//!
//! A policy is a table in YAML or JSON. Its rows are ordered and the first that matches wins, as in a firewall: a
//! reader goes from top to bottom and stops. What no row matches is denied; [`Policy::check`] finds such gaps before
//! publishing, with rows that can never match and steps that nobody could ever satisfy.

mod check;
mod conversion;
mod overlay;
mod parse;
mod reach;
mod route;
pub mod simulate;
mod step;
mod table;

pub use check::{Finding, FindingKind, Level};
pub use conversion::{Conversion, Converted, Rate};
pub use overlay::{Document, InvalidRulebook, Overlay, Rulebook};
pub use parse::{InvalidPolicy, MAX_CASES, MAX_NAMES, MAX_ROWS};
pub use route::{CannotJudge, Input, NO_ROW, Route, Tried};
pub use step::{
    AnyOf, AtTimeout, Edited, Escalation, OnEdit, People, Reminders, RoleAt, SiteOf, Step, Then, Upon, Who,
};
pub use table::{
    Case, Expected, LocationRule, Policy, PolicyRef, RegionRule, RequesterExecutes, Row, RowName, Score, ScoreRange,
    ValueRange, When,
};

/// The policy that comes with Steward.
pub const DEFAULT_POLICY: &str = include_str!("../../policies/default.yaml");
