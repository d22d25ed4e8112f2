//! The HTTP surface, one file per resource.

mod allocation;
mod deliveries;
mod demand_series;
mod demand_signal;
pub(crate) mod fits;
mod inventory_exception;
mod judged;
pub(crate) mod models;
mod outcomes;
mod recommendations;
mod replenishment;
mod replenishment_snapshot;
pub(crate) mod summaries;
mod supplier_risk;

use chassis::prelude::*;
pub(crate) use judged::Served;

permission!(
    /// Have facts judged.
    pub(crate) Score = "scoring:score" for [Service, StoreManager, RegionalOps, ProcurementLead, Operator, Admin]
);
permission!(
    /// See what was recommended.
    pub(crate) ReadRecommendations = "recommendations:read" for
        [Service, StoreManager, RegionalOps, Finance, ProcurementLead, Auditor, Operator, Admin]
);
permission!(
    /// Fit and publish versions of models, and choose which one judges.
    pub(crate) PublishModels = "models:publish" for [ProcurementLead, Operator, Admin]
);
permission!(
    /// Keep cases with known outcomes, and have models learn from them.
    pub(crate) KeepCases = "models:teach" for [Service, ProcurementLead, Operator, Admin]
);
permission!(
    /// Tell what became of a recommendation.
    pub(crate) RecordOutcomes = "outcomes:record" for
        [Service, StoreManager, RegionalOps, ProcurementLead, Operator, Admin]
);
permission!(
    /// Have an exception summarised.
    pub(crate) Summarise = "summaries:write" for
        [Service, StoreManager, RegionalOps, ProcurementLead, Operator, Admin]
);

pub(crate) fn routes(c: &mut ServiceConfig<'_>) {
    c.service(replenishment::score_replenishment)
        .service(replenishment::batch_replenishment)
        .service(replenishment::stream_replenishment)
        .service(replenishment::rank_replenishment)
        .service(replenishment_snapshot::score_replenishment_snapshot)
        .service(replenishment_snapshot::batch_replenishment_snapshot)
        .service(replenishment_snapshot::stream_replenishment_snapshot)
        .service(demand_signal::score_demand_signal)
        .service(demand_signal::batch_demand_signal)
        .service(demand_signal::stream_demand_signal)
        .service(demand_signal::score_demand_hours)
        .service(demand_signal::batch_demand_hours)
        .service(demand_signal::stream_demand_hours)
        .service(demand_series::observe_demand)
        .service(demand_series::get_demand_series)
        .service(supplier_risk::score_supplier_risk)
        .service(supplier_risk::batch_supplier_risk)
        .service(supplier_risk::stream_supplier_risk)
        .service(deliveries::tell_deliveries)
        .service(deliveries::get_delivery)
        .service(deliveries::get_supplier)
        .service(supplier_risk::score_shipment_risk)
        .service(supplier_risk::batch_shipment_risk)
        .service(supplier_risk::stream_shipment_risk)
        .service(inventory_exception::score_inventory_exception)
        .service(inventory_exception::batch_inventory_exception)
        .service(inventory_exception::stream_inventory_exception)
        .service(inventory_exception::resolve_inventory_exception)
        .service(inventory_exception::get_learned)
        .service(allocation::score_allocation)
        .service(allocation::batch_allocation)
        .service(allocation::stream_allocation)
        .service(allocation::keep_allocation_plan)
        .service(models::list_models)
        .service(models::list_versions)
        .service(models::get_version)
        .service(models::publish_version)
        .service(models::activate_version)
        .service(models::keep_cases)
        .service(fits::fit_model)
        .service(recommendations::list_recommendations)
        .service(recommendations::get_recommendation)
        .service(outcomes::record_outcome)
        .service(outcomes::report_outcomes)
        .service(summaries::summarise)
        .service(summaries::list_summaries)
        .service(summaries::get_summary);
}
