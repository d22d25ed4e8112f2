//! The first scenario with a real Odoo 19 at its end: its own webhook gives the hint, its own API shows what Steward
//! drafted. And what only a real one can show: that it may be killed at any moment, edited by people, and changed by
//! rules of its own, and there is still one transfer, which is the one that was granted.

mod approvals;
mod grants;
mod ground;
mod once;
mod outage;
mod scenario;
