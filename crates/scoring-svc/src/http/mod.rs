//! The HTTP surface, one file per resource.

mod judged;
pub(crate) mod models;
mod outcomes;
mod recommendations;
mod replenishment;
pub(crate) mod summaries;

use chassis::prelude::*;

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
    /// Publish versions of models and choose which one judges.
    pub(crate) PublishModels = "models:publish" for [ProcurementLead, Operator, Admin]
);
permission!(
    /// Keep cases with known outcomes.
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
        .service(models::list_models)
        .service(models::list_versions)
        .service(models::get_version)
        .service(models::publish_version)
        .service(models::activate_version)
        .service(models::keep_cases)
        .service(recommendations::list_recommendations)
        .service(recommendations::get_recommendation)
        .service(outcomes::record_outcome)
        .service(outcomes::report_outcomes)
        .service(summaries::summarise)
        .service(summaries::list_summaries)
        .service(summaries::get_summary);
}
