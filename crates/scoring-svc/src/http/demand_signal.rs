//! `/v1/demand-signal` and `/v1/demand-signal-hours`: what is unusual about sales.

use chassis::prelude::*;
use models::demand_signal;
use models::demand_signal::hours;

use super::judged::stamp::*;

judged!(
    one, demand_signal::Model, demand_signal::Request, demand_signal::Answer, "demand-signal",
    /// Judges a series by days, weeks or readings: spikes, drops, level shifts, demand cut short by an empty shelf.
    ///
    /// `status` is `scored`, or `insufficient_data` with what is missing: the model does not guess.
    score_demand_signal = "/v1/demand-signal/score",
    batch_demand_signal = "/v1/demand-signal/batch",
    stream_demand_signal = "/v1/demand-signal/stream"
);

impl Served for demand_signal::Model {
    fn explain(request: &mut demand_signal::Request) -> &mut bool {
        &mut request.options.explain
    }
}

judged!(
    one, hours::Model, hours::Request, hours::Answer, "demand-signal-hours",
    /// Judges hourly sales: whether they were cut short by a stock-out, and what would have been sold.
    ///
    /// `status` is `scored`, or `insufficient_data` with what is missing: the model does not guess.
    score_demand_hours = "/v1/demand-signal-hours/score",
    batch_demand_hours = "/v1/demand-signal-hours/batch",
    stream_demand_hours = "/v1/demand-signal-hours/stream"
);

impl Served for hours::Model {
    fn explain(request: &mut hours::Request) -> &mut bool {
        &mut request.options.explain
    }
}
