//! scoring-svc: judges facts with the models of the `models` crate, and remembers what it recommended.
//!
//! [`service`] is its table of contents. Of the five rooms it has three: its rules are the `models` crate, and it acts
//! on no event.

mod http;
mod replenishment;
mod shelf;
mod store;

use std::sync::Arc;

use actix_web::web;
use chassis::prelude::*;
use http::models::Models;
use models::catalogue::Entry;
use replenishment::Replenishment;
use serde::Deserialize;
use shelf::{Changes, Shelf};

/// Prefix of its paths, name of its schema and of its section in the configuration.
const PREFIX: &str = "scoring";

/// Every model that judges here.
const MODELS: &[Entry] = &[Entry::of::<Replenishment>()];

/// The section of this service: nothing to set, since parameters belong to a model's version and not to a deployment.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct ScoringSettings {}

/// # Errors
/// When the `scoring` section has a key, or the embedded parameters are not usable.
pub fn service(settings: &Settings) -> Result<Service, ConfigError> {
    let ScoringSettings {} = settings.section(PREFIX)?;
    let changes = Arc::new(Changes::default());
    let unusable = |error| ConfigError::one(format!("{PREFIX}: {}", chassis::chain(&error)));
    let replenishment = Arc::new(Shelf::<Replenishment>::new(&changes).map_err(unusable)?);
    Ok(Service::new(
        PREFIX,
        "Scoring",
        "Judges facts: how urgent it is, what to do, and why. It recommends; it never acts.",
    )
    .migrations(chassis::migrations!("0101_recommendations", "0102_models", "0103_outcomes"))
    .routes(move |c| {
        c.app_data(web::Data::from(Arc::clone(&replenishment)))
            .app_data(web::Data::from(Arc::clone(&changes)))
            .app_data(web::Data::new(Models(MODELS)));
        http::routes(c);
    }))
}
