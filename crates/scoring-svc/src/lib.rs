//! scoring-svc: judges facts with the models of the `models` crate, and remembers what it recommended.
//!
//! [`service`] is its table of contents. Most of its rules are the `models` crate, and it acts on no event. It has two
//! rooms more than others: `shelf`, where the versions of a model stand and one of them is active, and `history`, what
//! suppliers did before.

mod effects;
mod history;
mod http;
mod rules;
mod settings;
mod shelf;
mod store;

use std::sync::Arc;

use actix_web::web;
use chassis::prelude::*;
use effects::summary::SummaryExecutor;
use history::SupplierHistory;
use http::{fits::Fitting, models::Models, summaries::SummaryWriter};
use models::{
    allocation, catalogue::MODELS, demand_signal, inventory_exception, replenishment, replenishment_snapshot,
    supplier_risk,
};
use shelf::{Changes, Shelf};

/// Prefix of its paths, name of its schema and of its section in the configuration.
const PREFIX: &str = "scoring";

/// # Errors
/// What is wrong in the section `scoring` of the settings, or when embedded parameters are not usable.
pub fn service(settings: &Settings) -> Result<Service, ConfigError> {
    let writer = settings::writer(settings)?;
    let changes = Arc::new(Changes::default());
    let history = SupplierHistory::new(settings::supplier_history_lines(settings)?, &changes);
    let history = web::Data::new(history);
    let shelves = [
        shelved::<replenishment::Model>(&changes)?,
        shelved::<replenishment_snapshot::Model>(&changes)?,
        shelved::<demand_signal::Model>(&changes)?,
        shelved::<demand_signal::hours::Model>(&changes)?,
        shelved::<supplier_risk::purchase::Model>(&changes)?,
        shelved::<supplier_risk::shipment::Model>(&changes)?,
        shelved::<inventory_exception::Model>(&changes)?,
        shelved::<allocation::Model>(&changes)?,
    ];
    let fitting = web::Data::new(Fitting::default());
    let executor = writer.clone().map(|writer| SummaryExecutor { writer });
    let writer = web::Data::new(SummaryWriter(writer.map(Arc::new)));
    let service = Service::new(
        PREFIX,
        "Scoring",
        "Judges facts: how urgent it is, what to do, and why. It recommends; it never acts.",
    )
    .migrations(chassis::migrations!(
        "0101_recommendations",
        "0102_models",
        "0103_outcomes",
        "0104_summaries",
        "0105_learned",
        "0106_supplier_history",
        "0107_demand_series",
        "0108_resolutions"
    ))
    .routes(move |c| {
        shelves.iter().for_each(|shelve| shelve(c));
        c.app_data(web::Data::from(Arc::clone(&changes)))
            .app_data(web::Data::new(Models(MODELS)))
            .app_data(fitting.clone())
            .app_data(history.clone())
            .app_data(writer.clone());
        http::routes(c);
    });
    Ok(match executor {
        Some(executor) => service.executor(Arc::new(executor)),
        None => service,
    })
}

/// Puts a model's versions where its handlers find them.
type Shelve = Box<dyn Fn(&mut ServiceConfig<'_>) + Send + Sync>;

fn shelved<J: http::Served>(changes: &Arc<Changes>) -> Result<Shelve, ConfigError> {
    let shelf = Shelf::<J>::new(changes);
    let shelf = shelf.map_err(|error| ConfigError::one(format!("{PREFIX}: {}", chassis::chain(&error))))?;
    let shelf = web::Data::new(shelf);
    Ok(Box::new(move |c| {
        c.app_data(shelf.clone());
    }))
}
