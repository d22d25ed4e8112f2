//! All SQL of this service, as few deep verbs. Whatever changes something takes the transaction, so that state, events,
//! effects and audit commit together.

mod facts;
mod grants;
mod hints;
mod inbound;
mod observations;
mod places;
mod shortages;
mod sold;
mod stock;
mod sweep;
mod todos;
mod xref;

pub(crate) use facts::{Assembler, Wanted};
pub(crate) use grants::{
    Consumption, consume_grant, fetched_keys, forget_grant, keys_are_due, published_keys, want_keys,
};
pub(crate) use hints::{NewHint, Taken, take_hint};
pub(crate) use observations::record_observation;
pub(crate) use places::regions;
pub(crate) use shortages::{Shortage, shortages};
pub(crate) use sold::{Sold, sold_since};
pub(crate) use stock::{Outcome, projected_available, take_reading};
pub(crate) use sweep::{advance, forget_hints, was_announced, watermark};
pub(crate) use todos::{
    OpenTodo, Shown, TodoKey, close_todos, end_todo, forget_stale_todo, is_wanted, keep_decision, keep_draft,
    open_todo, open_todos, revised, show_approval, todo_opened, undecided, want_again, want_todo,
};
pub(crate) use xref::{ODOO, XrefConflict, conflicts, external_id};

/// Who speaks in the tables where Odoo is one voice among others: an observation, which goes before Odoo's word.
const OURS: &str = "steward";
