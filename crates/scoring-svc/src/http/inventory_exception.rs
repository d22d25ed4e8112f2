//! `/v1/inventory-exception`: what caused a variance.

use chassis::prelude::*;
use models::inventory_exception;

use super::judged::stamp::*;

judged!(
    one, inventory_exception::Model, inventory_exception::Request, inventory_exception::Answer, "inventory-exception",
    /// Judges a variance between count and book: likely causes, the evidence for each, and who should look.
    ///
    /// `status` is `scored`, or `insufficient_data` with what is missing: the model does not guess.
    score_inventory_exception = "/v1/inventory-exception/score",
    batch_inventory_exception = "/v1/inventory-exception/batch",
    stream_inventory_exception = "/v1/inventory-exception/stream"
);

impl Served for inventory_exception::Model {
    fn explain(request: &mut inventory_exception::Request) -> &mut bool {
        &mut request.options.explain
    }
}
