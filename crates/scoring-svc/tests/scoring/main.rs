//! scoring-svc in process: every route, its limits, and what it keeps.

mod bed;
mod judged;
mod outcomes;
mod summaries;
mod versions;
