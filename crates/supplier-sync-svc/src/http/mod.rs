//! One file per resource.

mod facts;
mod hooks;
mod observations;
mod scope;
mod shortages;
mod transfers;
mod xref;

use chassis::prelude::*;

pub(crate) fn routes(service: &mut ServiceConfig<'_>) {
    service
        .service(hooks::take_odoo_hook)
        .service(observations::post_observations)
        .service(facts::list_sold)
        .service(facts::get_facts)
        .service(facts::get_facts_batch)
        .service(shortages::list_shortages)
        .service(transfers::post_transfer)
        .service(xref::list_xref_conflicts);
}

permission!(
    /// Read what is known of products at locations.
    pub(crate) ReadFacts = "facts:read" for
        [Service, StoreManager, RegionalOps, Finance, ProcurementLead, Auditor, Operator, Admin]
);
permission!(
    /// Tell what tills, shops and warehouses saw.
    pub(crate) Observe = "observations:write" for [Service, Operator, Admin]
);
permission!(
    /// Present a grant and have its transfer drafted.
    pub(crate) DraftTransfer = "transfers:draft" for [Service, StoreManager, RegionalOps, Operator, Admin]
);

permission!(
    /// See what of Odoo cannot be mapped.
    pub(crate) ReadXref = "xref:read" for [Service, Auditor, Operator, Admin]
);

/// The answer of everything that needs Odoo while none is configured.
fn odoo_not_configured() -> ApiError {
    ApiError::problem(
        Problem::new("odoo-not-configured", 503, "No Odoo is configured")
            .detail("set supply.odoo; facts and observations work without it"),
    )
}
