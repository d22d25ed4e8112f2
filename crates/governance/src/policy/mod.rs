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
mod table;

pub use check::{Finding, FindingKind, Level};
pub use conversion::{Conversion, Converted, Rate};
pub use overlay::{Document, InvalidRulebook, Overlay, Rulebook};
pub use parse::{InvalidPolicy, MAX_CASES, MAX_NAMES, MAX_ROWS};
pub use route::{CannotJudge, Input, NO_ROW, Route, Tried};
pub use table::{
    AtTimeout, Case, Escalation, Expected, LocationRule, People, Policy, PolicyRef, RegionRule, RoleAt, Row, RowName,
    Score, ScoreRange, SiteOf, Step, Then, ValueRange, When, Who,
};

/// The policy that comes with Steward.
pub const DEFAULT_POLICY: &str = include_str!("../../policies/default.yaml");
