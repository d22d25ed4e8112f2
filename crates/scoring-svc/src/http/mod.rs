//! The HTTP surface, one file per resource.

mod judged;
mod recommendations;
mod replenishment;

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

pub(crate) fn routes(c: &mut ServiceConfig<'_>) {
    c.service(replenishment::score_replenishment)
        .service(replenishment::batch_replenishment)
        .service(replenishment::stream_replenishment)
        .service(replenishment::rank_replenishment)
        .service(recommendations::list_recommendations)
        .service(recommendations::get_recommendation);
}
