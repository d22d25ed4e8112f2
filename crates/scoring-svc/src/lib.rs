//! scoring-svc: judges facts with the models of the `models` crate, and remembers what it recommended.
//!
//! [`service`] is its table of contents. Its rules are the `models` crate, and it acts on no event. It has one room more
//! than others: `shelf`, where the versions of a model stand and one of them is active.

mod effects;
mod http;
mod replenishment;
mod settings;
mod shelf;
mod store;

use std::sync::Arc;

use actix_web::web;
use chassis::prelude::*;
use effects::summary::SummaryExecutor;
use http::{models::Models, summaries::SummaryWriter};
use models::catalogue::Entry;
use replenishment::Replenishment;
use shelf::{Changes, Shelf};

/// Prefix of its paths, name of its schema and of its section in the configuration.
const PREFIX: &str = "scoring";

/// Every model that judges here.
const MODELS: &[Entry] = &[Entry::of::<Replenishment>()];

/// # Errors
/// What is wrong in the section `scoring` of the settings, or when embedded parameters are not usable.
pub fn service(settings: &Settings) -> Result<Service, ConfigError> {
    let writer = settings::writer(settings)?;
    let changes = Arc::new(Changes::default());
    let unusable = |error| ConfigError::one(format!("{PREFIX}: {}", chassis::chain(&error)));
    let replenishment = Arc::new(Shelf::<Replenishment>::new(&changes).map_err(unusable)?);
    let executor = writer.clone().map(|writer| SummaryExecutor { writer });
    let writer = web::Data::new(SummaryWriter(writer.map(Arc::new)));
    let service = Service::new(
        PREFIX,
        "Scoring",
        "Judges facts: how urgent it is, what to do, and why. It recommends; it never acts.",
    )
    .migrations(chassis::migrations!("0101_recommendations", "0102_models", "0103_outcomes", "0104_summaries"))
    .routes(move |c| {
        c.app_data(web::Data::from(Arc::clone(&replenishment)))
            .app_data(web::Data::from(Arc::clone(&changes)))
            .app_data(web::Data::new(Models(MODELS)))
            .app_data(writer.clone());
        http::routes(c);
    });
    Ok(match executor {
        Some(executor) => service.executor(Arc::new(executor)),
        None => service,
    })
}
