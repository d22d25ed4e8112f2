//! One file per resource.

mod facts;
mod hooks;
mod observations;
mod transfers;

use chassis::prelude::*;

pub(crate) fn routes(service: &mut ServiceConfig<'_>) {
    service
        .service(hooks::odoo)
        .service(observations::post)
        .service(facts::get)
        .service(facts::batch)
        .service(transfers::post);
}

permission!(pub(crate) ReadFacts = "supply:read_facts" for
    [Service, StoreManager, RegionalOps, Finance, ProcurementLead, Auditor, Operator, Admin]);
permission!(pub(crate) Observe = "supply:observe" for [Service, Operator, Admin]);
permission!(pub(crate) DraftTransfer = "supply:draft_transfer" for
    [Service, StoreManager, RegionalOps, Operator, Admin]);

/// The answer of everything that needs Odoo while none is configured.
fn odoo_not_configured() -> ApiError {
    ApiError::problem(
        Problem::new("odoo-not-configured", 503, "No Odoo is configured")
            .detail("set supply.odoo; facts and observations work without it"),
    )
}
