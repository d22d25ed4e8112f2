//! `/v1/allocation`: who gets what there is.

use chassis::prelude::*;
use models::allocation;

use super::judged::stamp::*;

judged!(
    one, allocation::Model, allocation::Request, allocation::Answer, "allocation",
    /// Plans transfers and reservations of one product under the limits given, and says how far from the best plan it is.
    ///
    /// `status` is `scored`, or `insufficient_data` with what is missing: the model does not guess.
    score_allocation = "/v1/allocation/score",
    batch_allocation = "/v1/allocation/batch",
    stream_allocation = "/v1/allocation/stream"
);

impl Served for allocation::Model {
    fn explain(request: &mut allocation::Request) -> &mut bool {
        &mut request.options.explain
    }
}
