//! supplier-sync-svc as its callers see it, in one process with a replayed Odoo.

mod bed;
mod facts;
mod stock;
mod transfers;
