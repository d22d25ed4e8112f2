//! supplier-sync-svc as its callers see it, in one process with a replayed Odoo.

#![expect(clippy::unwrap_used, reason = "clippy excuses the tests themselves, but not what they share")]

mod approvals;
mod bed;
mod facts;
mod inbound;
mod postgres;
mod revoked;
mod scope;
mod shortages;
mod stock;
mod transfers;
