//! What must hold for every input of every parser that reads bytes from outside.
//!
//! Each target takes any bytes and panics when a promise is broken. `tests/seeds.rs` replays all kept inputs in an
//! ordinary test; `run.sh` searches for new ones. A crasher that was found is kept beside the seeds.

mod documents;
mod http;
mod secrets;
mod services;
mod wire;

/// Reads bytes and panics where a promise is broken.
pub type Target = fn(&[u8]);

/// A target's name, which is also that of its folder of seeds, and the target.
pub const TARGETS: [(&str, Target); 20] = [
    ("envelope", wire::envelope),
    ("body", wire::body),
    ("canonical", wire::canonical),
    ("hint", wire::hint),
    ("policy", documents::policy),
    ("directory", documents::directory),
    ("keys", documents::keys),
    ("settings", documents::settings),
    ("pointer", documents::pointer),
    ("grant", secrets::grant),
    ("link", secrets::link),
    ("webhook", secrets::webhook),
    ("headers", http::headers),
    ("ndjson", http::ndjson),
    ("observation", supplier_sync_svc::fuzz::observation),
    ("contacts", notifier_svc::fuzz::contacts),
    ("report", notifier_svc::fuzz::report),
    ("mail-route", notifier_svc::fuzz::mail_route),
    ("mail", services::mail),
    ("odoo-answers", services::odoo_answers),
];

/// The first line of the input and the rest, for targets that need two things.
fn split(data: &[u8]) -> (&[u8], &[u8]) {
    let end = data.iter().position(|byte| *byte == b'\n').unwrap_or(data.len());
    (&data[..end], data.get(end + 1..).unwrap_or_default())
}
