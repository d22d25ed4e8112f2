//! `/v1/replenishment-snapshot`: how likely a backorder is, from an ERP's totals alone.

use chassis::prelude::*;
use models::replenishment_snapshot;

use super::judged::stamp::*;

judged!(
    one, replenishment_snapshot::Model, replenishment_snapshot::Request, replenishment_snapshot::Answer, "replenishment-snapshot",
    /// Judges one product from a monthly snapshot, where no daily history is known.
    ///
    /// `status` is `scored`, or `insufficient_data` with what is missing: the model does not guess.
    score_replenishment_snapshot = "/v1/replenishment-snapshot/score",
    batch_replenishment_snapshot = "/v1/replenishment-snapshot/batch",
    stream_replenishment_snapshot = "/v1/replenishment-snapshot/stream"
);

impl Served for replenishment_snapshot::Model {
    fn explain(request: &mut replenishment_snapshot::Request) -> &mut bool {
        &mut request.options.explain
    }
}
