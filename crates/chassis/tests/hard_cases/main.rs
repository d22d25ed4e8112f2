//! The cases in which a reliable path is usually not one: panics, replicas beside each other, commits that cross,
//! claims that are given back; and whether a trace survives all of its hops.

#![expect(clippy::unwrap_used, reason = "a test says what it expects by unwrapping it")]

mod attempts;
mod commands;
mod crossings;
mod faults;
mod ground;
mod traces;
