//! The first scenario end to end: stock falls in Odoo, n8n asks how urgent it is, the policy or a person allows the
//! transfer, Odoo gets it as a draft exactly once, and everybody concerned is told.

mod decisions;
mod faults;
mod ground;
mod watch;
