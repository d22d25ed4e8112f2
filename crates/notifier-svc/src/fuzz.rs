//! What must hold for any bytes that arrive here; driven by `tests/fuzz`.

use chassis::{http::parse_json, prelude::*};
use contracts::Trace;
use serde_json::Value;

use crate::{
    effects::smtp::{MailRoute, SmtpExecutor},
    http::exceptions::ExceptionReport,
    rules::contacts::{Audience, Contacts},
    settings::SmtpSettings,
};

/// A contacts file is taken or refused; who is in it can be found, and has an address.
///
/// # Panics
/// When a contact cannot be found by its own id.
pub fn contacts(file: &[u8]) {
    let Ok(text) = std::str::from_utf8(file) else { return };
    let Ok(contacts) = Contacts::parse(text) else { return };
    for contact in contacts.all() {
        assert_eq!(contacts.of(&Audience::Person(contact.id.clone())), [contact]);
    }
}

/// A report of n8n's error workflow is taken, or refused with the fields that are wrong.
///
/// # Panics
/// When a refusal names nothing.
pub fn report(body: &[u8]) {
    let Ok(report) = parse_json::<ExceptionReport>(body) else { return };
    assert!(report.violations().iter().all(|error| error.pointer.starts_with('/')));
}

/// Where mail goes is understood, or refused without repeating a password.
///
/// # Panics
/// When a refusal tells what it should keep.
pub fn mail_route(url: &[u8]) {
    let Ok(text) = std::str::from_utf8(url) else { return };
    if let Err(refusal) = MailRoute::parse(&text.to_owned().into()) {
        let password = url::Url::parse(text).ok().and_then(|url| url.password().map(str::to_owned));
        assert!(password.is_none_or(|secret| secret.len() < 8 || !refusal.contains(&secret)), "{refusal}");
    }
}

/// The mail of a payload as it goes over the wire; `None` when it is refused.
#[must_use]
pub fn mail(payload: &[u8]) -> Option<Vec<u8>> {
    let payload: Value = serde_json::from_slice(payload).ok()?;
    let effect = Effect {
        id: "0198".to_owned(),
        executor: "smtp".to_owned(),
        order_key: "-".to_owned(),
        about: "-".to_owned(),
        payload,
        attempt: 1,
        created_at: Timestamp::UNIX_EPOCH,
        trace: Trace::default(),
    };
    let from = "Steward <steward@localhost>".parse().ok()?;
    let executor = SmtpExecutor { settings: SmtpSettings::default(), from };
    let mail = effect.payload_as().ok()?;
    executor.compose(&effect, &mail).ok().map(|message| message.formatted())
}
