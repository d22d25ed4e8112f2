//! supplier-sync-svc: the border to Odoo.
//!
//! In: webhooks of Odoo, which are hints and are read back; a reconciler for the hints that get lost; observations from
//! tills, shops and warehouses. Between: the facts object that models, approvers and drift checks share. Out: transfers
//! drafted in Odoo, each with a grant that is used up by it. Nobody else in the house knows Odoo.

mod effects;
mod events;
#[cfg(feature = "fuzz")]
pub mod fuzz;
mod http;
mod rules;
mod settings;
mod store;

use std::{sync::Arc, time::Duration};

use actix_web::web;
use chassis::{Service, prelude::*};
use contracts::events::{AnswerRefused, ApprovalDecided, ApprovalReminded, ApprovalRequested, GrantRevoked};

use crate::{
    effects::{
        Peer,
        approval::{self, Approvals},
        grant_keys,
        read_back::ReadBack,
        reconcile,
        transfer::Transfer,
    },
    settings::SupplySettings,
};

/// What a grant must name as its audience to be honoured here.
pub const AUDIENCE: &str = "steward/supply";

/// How often the service looks whether grant keys are due; a grant of a key just published waits no longer than this.
const LOOK_FOR_KEYS: Duration = Duration::from_secs(5);

/// The service: its table of contents.
///
/// # Errors
/// When the section `supply` of the configuration is wrong.
pub fn service(settings: &Settings) -> Result<Service, ConfigError> {
    let own = Arc::new(SupplySettings::read(settings)?);
    let keys_url: Arc<str> = own.grant_keys_url(settings).into();
    let shared = web::Data::from(Arc::clone(&own));
    let service = Service::new(
        "supply",
        "Supplier sync",
        "The border to Odoo: stock read back from hints, facts for models and approvers, transfers drafted with a grant.",
    )
    .migrations(chassis::migrations!(
        "0101_supply",
        "0102_told_beside_sales",
        "0103_shortages",
        "0104_approval_todos",
        "0106_revoked"
    ))
    .routes(move |service: &mut ServiceConfig| {
        service.app_data(shared.clone());
        http::routes(service);
    })
    .on::<GrantRevoked>(|_, tx, event| Box::pin(async move { Ok(store::forget_grant(tx, &event.payload).await?) }))
    .job(Job::every("supply.grant_keys", LOOK_FOR_KEYS, move |cx, lease| {
        let url = Arc::clone(&keys_url);
        Box::pin(async move { grant_keys::turn(cx, lease, &url).await })
    }));
    Ok(match &own.odoo {
        Some(odoo) => with_odoo(service, &own, Arc::new(Peer::new(odoo.clone()))),
        None => service,
    })
}

fn with_odoo(service: Service, own: &SupplySettings, peer: Arc<Peer>) -> Service {
    let overlap = Duration::from_secs(own.sweep_overlap_seconds);
    let every = Duration::from_secs(own.sweep_seconds);
    let sweeper = Arc::clone(&peer);
    let service = service
        .executor(Arc::new(ReadBack(Arc::clone(&peer))))
        .executor(Arc::new(Transfer(Arc::clone(&peer))))
        .job(Job::every("supply.reconcile", every, move |cx, lease| {
            let peer = Arc::clone(&sweeper);
            Box::pin(async move { reconcile::turn(cx, lease, &peer, overlap).await })
        }))
        .executor(Arc::new(Approvals(Arc::clone(&peer))));
    if !own.odoo.as_ref().is_some_and(|odoo| odoo.approvals) {
        return service;
    }
    service
        .on::<ApprovalRequested>(|_, tx, event| Box::pin(events::requested(tx, event)))
        .on::<ApprovalReminded>(|_, tx, event| Box::pin(events::reminded(tx, event)))
        .on::<ApprovalDecided>(|_, tx, event| Box::pin(events::decided(tx, event)))
        .on::<AnswerRefused>(|_, tx, event| Box::pin(events::refused(tx, event)))
        .job(Job::every("supply.answers", every, move |cx, lease| {
            let peer = Arc::clone(&peer);
            Box::pin(async move { approval::turn(cx, lease, &peer).await })
        }))
}
