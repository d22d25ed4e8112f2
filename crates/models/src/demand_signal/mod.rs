//! Demand signal: spikes, drops, level shifts and demand cut short by a stock-out.

pub mod hours;
