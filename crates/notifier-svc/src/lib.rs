//! notifier-svc: tells the right person in time, pushes events to subscribers, and keeps what needs a person.
//!
//! [`service`] is its table of contents.

mod effects;
mod events;
#[cfg(feature = "fuzz")]
pub mod fuzz;
mod http;
mod notifier;
mod rules;
mod settings;
mod store;

use std::{sync::Arc, time::Duration};

use actix_web::web;
use chassis::prelude::*;
use contracts::events::{
    ApprovalDecided, ApprovalOverridden, ApprovalReminded, ApprovalRequested, ApprovalSentBack, ApprovalSuspected,
    DeadLettered, GrantLapsed, OverrideUnreviewed,
};

use crate::{
    effects::{
        smtp::SmtpExecutor,
        webhook::{self, WebhookExecutor},
    },
    notifier::Notifier,
    settings::NotifySettings,
};

/// Prefix of its paths, name of its schema and of its section in the configuration.
pub(crate) const PREFIX: &str = "notify";
/// How often it is looked for receipts that did not come.
const RECEIPTS_EVERY: Duration = Duration::from_secs(2);
/// Role that owns what is wrong with the machinery.
pub(crate) const OPERATOR: &str = "operator";
/// Role that looks at what people did.
pub(crate) const AUDITOR: &str = "auditor";

/// # Errors
/// Everything wrong with the `notify` section.
pub fn service(settings: &Settings) -> Result<Service, ConfigError> {
    let own = NotifySettings::read(settings)?;
    let smtp = SmtpExecutor { from: own.smtp.from()?, settings: own.smtp.clone() };
    let notifier = Arc::new(Notifier::new(&own)?);
    let (shared, pushing) = (Arc::clone(&notifier), Arc::clone(&notifier));
    let (requesting, reminding) = (Arc::clone(&notifier), Arc::clone(&notifier));
    let overriding = Arc::clone(&notifier);
    let (returning, ending) = (Arc::clone(&notifier), Arc::clone(&notifier));
    Ok(Service::new(
        PREFIX,
        "Notifications",
        "Messages to people, events to subscribers, and exceptions: what needs a person, with an owner.",
    )
    .migrations(chassis::migrations!("0101_messages", "0102_exceptions", "0103_subscriptions", "0104_receipts"))
    .routes(move |c| {
        c.app_data(web::Data::from(Arc::clone(&shared)));
        http::routes(c);
    })
    .on_any(move |_, tx, event| {
        let notifier = Arc::clone(&pushing);
        Box::pin(async move { events::any(&notifier, tx, event).await })
    })
    .on::<ApprovalRequested>(move |_, tx, event| {
        let notifier = Arc::clone(&requesting);
        Box::pin(async move { events::requested(&notifier, tx, event).await })
    })
    .on::<ApprovalReminded>(move |_, tx, event| {
        let notifier = Arc::clone(&reminding);
        Box::pin(async move { events::reminded(&notifier, tx, event).await })
    })
    .on::<ApprovalOverridden>(move |_, tx, event| {
        let notifier = Arc::clone(&overriding);
        Box::pin(async move { events::overridden(&notifier, tx, event).await })
    })
    .on::<OverrideUnreviewed>(|_, tx, event| Box::pin(events::unreviewed(tx, event)))
    .on::<ApprovalSuspected>(|_, tx, event| Box::pin(events::suspected(tx, event)))
    .on::<ApprovalSentBack>(move |_, tx, event| {
        let notifier = Arc::clone(&returning);
        Box::pin(async move { events::sent_back(&notifier, tx, event).await })
    })
    .on::<ApprovalDecided>(move |_, tx, event| {
        let notifier = Arc::clone(&ending);
        Box::pin(async move { events::decided(&notifier, tx, event).await })
    })
    .on::<DeadLettered>(|_, tx, event| Box::pin(events::dead_lettered(tx, event)))
    .on::<GrantLapsed>(|_, tx, event| Box::pin(events::lapsed(tx, event)))
    .executor(Arc::new(smtp))
    .executor(Arc::new(WebhookExecutor(notifier)))
    .job(Job::every("notify.receipts", RECEIPTS_EVERY, |cx, _| Box::pin(webhook::chase(cx)))))
}
