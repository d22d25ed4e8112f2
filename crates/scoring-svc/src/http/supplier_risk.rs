//! `/v1/supplier-risk` and `/v1/shipment-risk`: what will come late.

use chassis::prelude::*;
use models::supplier_risk::purchase;
use models::supplier_risk::shipment;

use super::judged::stamp::*;

judged!(
    one, purchase::Model, purchase::Request, purchase::Answer, "supplier-risk",
    /// Judges a line of a purchase order: how likely it comes late, and how late.
    ///
    /// `status` is `scored`, or `insufficient_data` with what is missing: the model does not guess.
    score_supplier_risk = "/v1/supplier-risk/score",
    batch_supplier_risk = "/v1/supplier-risk/batch",
    stream_supplier_risk = "/v1/supplier-risk/stream"
);

impl Served for purchase::Model {
    fn explain(request: &mut purchase::Request) -> &mut bool {
        &mut request.options.explain
    }
}

judged!(
    one, shipment::Model, shipment::Request, shipment::Answer, "shipment-risk",
    /// Judges a transport under way from the milestones that it has passed.
    ///
    /// `status` is `scored`, or `insufficient_data` with what is missing: the model does not guess.
    score_shipment_risk = "/v1/shipment-risk/score",
    batch_shipment_risk = "/v1/shipment-risk/batch",
    stream_shipment_risk = "/v1/shipment-risk/stream"
);

impl Served for shipment::Model {
    fn explain(request: &mut shipment::Request) -> &mut bool {
        &mut request.options.explain
    }
}
