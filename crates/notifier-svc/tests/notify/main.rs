//! notifier-svc in process, with a mail sink and a programmable subscriber: what people, subscribers and operators see.

#![expect(clippy::unwrap_used, reason = "helpers of tests; clippy exempts only the test functions themselves")]

mod approvals;
mod exceptions;
mod messages;
mod postgres;
mod receipts;
mod subscriptions;
mod world;
