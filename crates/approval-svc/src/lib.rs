//! approval-svc: who may do what, who was asked, what they said, and the grant that proves it.
//!
//! The judgement is `governance`'s. Here it gets its transaction, its clock and its words on the wire.

mod books;
mod desk;
mod effects;
mod events;
mod http;
mod reask;
mod revocation;
mod rules;
mod settings;
mod store;

use std::{sync::Arc, time::Duration};

use actix_web::web;
use chassis::prelude::*;
use contracts::events::{ApprovalAnswered, GrantConsumed, MessageFailed, MessageSent, TransferDrafted};
use desk::Desk;
use effects::callback::CallbackExecutor;
pub use reask::AsksAgain;
pub use rules::{
    proposal::{Callback, Contribution, NewApproval, Scored},
    view::{Approval, JudgedBy, Oversight, Status, StepState, StepView, Urgency},
};
use settings::ApprovalSettings;
pub use store::overrides::Overridden;

/// How often each replica looks what time has come for: a part of the second by which a timer may be late.
const TIMERS_EVERY: Duration = Duration::from_millis(200);

/// The service.
///
/// # Errors
/// Everything wrong in the section `approvals` of the settings and in the files it names.
pub fn service(settings: &Settings) -> Result<Service, ConfigError> {
    let section = ApprovalSettings::of(settings)?;
    let (desk, credentials) = match (Desk::new(settings, &section), section.callback_credentials()) {
        (Ok(desk), Ok(credentials)) => (Arc::new(desk), credentials),
        (Err(desk), Err(credentials)) => return Err(desk.and(credentials)),
        (Err(error), _) | (_, Err(error)) => return Err(error),
    };
    let (timer, answers) = (Arc::clone(&desk), Arc::clone(&desk));
    let turns = web::Data::new(http::Turns::default());
    Ok(Service::new("approvals", "Approvals", "Asks the right people, in time, and turns their word into a grant.")
        .migrations(chassis::migrations!(
            "0101_requests",
            "0102_grants",
            "0103_policies",
            "0104_deciding",
            "0105_authority",
            "0106_revoked",
            "0107_inbox"
        ))
        .routes(move |config: &mut ServiceConfig<'_>| {
            config.app_data(web::Data::from(Arc::clone(&desk))).app_data(turns.clone());
            http::routes(config);
        })
        .executor(Arc::new(CallbackExecutor { credentials }))
        .on::<GrantConsumed>(|_, tx, event| Box::pin(events::used(tx, event)))
        .on::<ApprovalAnswered>(move |_, tx, event| {
            let desk = Arc::clone(&answers);
            Box::pin(async move { events::answered(&desk, tx, event).await })
        })
        .on::<TransferDrafted>(|_, tx, event| Box::pin(events::drafted(tx, event)))
        .on::<MessageSent>(|_, tx, event| Box::pin(events::message_sent(tx, event)))
        .on::<MessageFailed>(|_, tx, event| Box::pin(events::message_failed(tx, event)))
        .job(Job::every("approvals.grants", Duration::from_secs(60), |cx, _| {
            Box::pin(async move { Ok(desk::tell_lapsed(cx).await?) })
        }))
        .job(Job::every("approvals.overrides", Duration::from_secs(10), |cx, _| {
            Box::pin(async move { Ok(desk::tell_unreviewed(cx).await?) })
        }))
        .job(Job::everywhere("approvals.timers", TIMERS_EVERY, move |cx| {
            let desk = Arc::clone(&timer);
            Box::pin(async move { Ok(desk.turn(cx).await?) })
        })))
}
