//! scoring-svc in process: every route, its limits, and what it keeps.

#![expect(clippy::unwrap_used, reason = "clippy excuses the tests themselves, but not what they share")]

mod bed;
mod fits;
mod history;
mod judged;
mod lessons;
mod outcomes;
mod series;
mod summaries;
mod versions;
