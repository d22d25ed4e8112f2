//! The files of `n8n-workflows/` are right before any n8n sees them. n8n itself imports nearly anything and fails later,
//! in the middle of a case; so each rule here is about a failure that was seen on a running n8n.

mod calls;
mod doctored;
mod expression;
mod flow;
mod model;
mod shape;

use model::Shipment;

/// Every rule over every file; one line per finding, which names file and node.
fn findings(shipment: &Shipment) -> Vec<String> {
    let rules: [fn(&Shipment) -> Vec<String>; 10] = [
        shape::files_carry_no_noise,
        shape::nodes_are_named_and_known,
        shape::connections_lead_somewhere,
        shape::doors_are_locked,
        shape::error_workflows_and_sub_workflows_exist,
        flow::nothing_reads_the_environment,
        flow::nothing_is_indexed_optionally,
        flow::fields_read_exist,
        flow::error_branches_read_details_only,
        calls::calls_fit_the_documents,
    ];
    rules.iter().flat_map(|rule| rule(shipment)).collect()
}

#[test]
fn the_shipped_workflows_are_right() {
    let shipment = Shipment::read(&crate::root());
    assert!(shipment.workflows.len() >= 3, "found only {:?}", shipment.workflows.keys());
    let found = findings(&shipment);
    assert!(found.is_empty(), "{} findings in n8n-workflows/:\n{}", found.len(), found.join("\n"));
}
