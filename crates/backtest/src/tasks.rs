//! The tasks: one file per data set, told in [`TASKS`].

mod allocation;
mod demand_signal;
mod inventory_exception;
mod replenishment;
mod supplier_risk;

use crate::Task;

/// Every task that can be evaluated.
pub const TASKS: &[Task] = &[
    Task {
        name: "demand-signal/stockout",
        about: "probability that a day of hourly sales was cut short by a stock-out, from sales alone",
        eval: demand_signal::stockout::eval,
    },
    Task {
        name: "demand-signal/recovery",
        about: "demand of a day whose sales end at a stock-out",
        eval: demand_signal::recovery::eval,
    },
    Task {
        name: "demand-signal/level",
        about: "how unusual each day of a series is, from the days before it",
        eval: demand_signal::level::eval,
    },
    Task {
        name: "demand-signal/promo",
        about: "how unusual each week of a series is, from the weeks before it",
        eval: demand_signal::promo::eval,
    },
    Task { name: "demand-signal/nab", about: "anomalies in streams of readings", eval: demand_signal::nab::eval },
    Task {
        name: "replenishment/leadtime",
        about: "demand over the lead time and the risk to run out, daily sales",
        eval: replenishment::leadtime::eval,
    },
    Task {
        name: "replenishment/parts",
        about: "demand over the lead time and the risk to run out, intermittent monthly sales",
        eval: replenishment::parts::eval,
    },
    Task {
        name: "replenishment/priority",
        about: "margin that will be lost before the next receipt, weekly sales with promotions",
        eval: replenishment::priority::eval,
    },
    Task {
        name: "replenishment/backorder",
        about: "probability of a backorder from a monthly snapshot",
        eval: replenishment::backorder::eval,
    },
    Task {
        name: "supplier-risk/scms",
        about: "late probability and delay of purchase lines, in the order of events",
        eval: supplier_risk::scms::eval,
    },
    Task {
        name: "supplier-risk/cargo",
        about: "late probability of transports at each milestone",
        eval: supplier_risk::cargo::eval,
    },
    Task {
        name: "inventory-exception/notes",
        about: "cause of a stock adjustment from the article's ledger",
        eval: inventory_exception::notes::eval,
    },
    Task {
        name: "inventory-exception/synthetic",
        about: "cause of a count variance from its context",
        eval: inventory_exception::synthetic::eval,
    },
    Task {
        name: "allocation/transfer",
        about: "transfers between stores before two days of demand",
        eval: allocation::transfer::eval,
    },
    Task { name: "allocation/brunel", about: "orders to plants of limited capacity", eval: allocation::brunel::eval },
];
