//! Backorders before the next monthly snapshot of an ERP, one row per article.

use std::path::Path;

use anyhow::{Context, bail};
use contracts::ProductId;
use jiff::Timestamp;
use models::{
    Case, Judge,
    replenishment_snapshot::{Answer, Flags, Forecast, Model, Options, Outcome, Request, Sales, Stock, Supplier},
};
use serde::Deserialize;

use crate::{Run, files};

/// Stands for an unknown supplier performance.
const UNKNOWN: f64 = -99.0;

#[derive(Deserialize)]
struct Row {
    sku: String,
    national_inv: Option<f64>,
    lead_time: Option<f64>,
    in_transit_qty: f64,
    forecast_3_month: f64,
    forecast_6_month: f64,
    forecast_9_month: f64,
    sales_1_month: f64,
    sales_3_month: f64,
    sales_6_month: f64,
    sales_9_month: f64,
    min_bank: f64,
    potential_issue: f64,
    pieces_past_due: f64,
    perf_6_month_avg: Option<f64>,
    perf_12_month_avg: Option<f64>,
    local_bo_qty: f64,
    deck_risk: f64,
    oe_constraint: f64,
    ppap_risk: f64,
    stop_auto_buy: f64,
    rev_stop: f64,
    /// Known of the public rows only.
    went_on_backorder: Option<f64>,
}

impl Row {
    fn request(&self) -> anyhow::Result<Request> {
        let known = |performance: Option<f64>| performance.filter(|performance| *performance != UNKNOWN);
        let set = |flag: f64| flag != 0.0;
        Ok(Request {
            product: ProductId::new(self.sku.as_str()).with_context(|| format!("{:?} is no product", self.sku))?,
            location: None,
            // The file does not say when it was taken; only `valid_until` depends on it.
            as_of: Timestamp::UNIX_EPOCH,
            stock: Stock {
                on_hand: self.national_inv,
                in_transit: self.in_transit_qty,
                minimum: self.min_bank,
                overdue: self.pieces_past_due,
                backordered: self.local_bo_qty,
            },
            lead_time_weeks: self.lead_time,
            forecast: Forecast {
                months_3: self.forecast_3_month,
                months_6: self.forecast_6_month,
                months_9: self.forecast_9_month,
            },
            sales: Sales {
                month_1: self.sales_1_month,
                months_3: self.sales_3_month,
                months_6: self.sales_6_month,
                months_9: self.sales_9_month,
            },
            supplier: Supplier {
                performance_6_months: known(self.perf_6_month_avg),
                performance_12_months: known(self.perf_12_month_avg),
            },
            flags: Flags {
                source_issue: set(self.potential_issue),
                deck_risk: set(self.deck_risk),
                maker_constraint: set(self.oe_constraint),
                part_approval_risk: set(self.ppap_risk),
                automatic_ordering_stopped: set(self.stop_auto_buy),
                revision_stop: set(self.rev_stop),
            },
            options: Options { explain: false },
        })
    }
}

/// The model fitted to the rows whose outcome is known.
fn fitted(path: &Path) -> anyhow::Result<Model> {
    let mut cases = Vec::new();
    for row in files::rows::<Row>(path)? {
        let row = row?;
        if let Some(label) = row.went_on_backorder {
            cases.push(Case { request: row.request()?, outcome: Outcome { went_on_backorder: label != 0.0 } });
        }
    }
    let start = Model::standard()?;
    let parameters = Model::fit(start.parameters(), "task", &cases, &mut |_| ())?;
    Ok(Model::new(parameters)?)
}

pub(in crate::tasks) fn eval(run: &Run) -> anyhow::Result<()> {
    let inputs = files::with_columns(&run.inputs, &["sku", "national_inv", "perf_12_month_avg"])?;
    let model = fitted(&run.train.join("replenishment/backorder.csv.gz"))?;
    let mut rows = Vec::new();
    for row in files::rows::<Row>(inputs)? {
        let row = row?;
        let probability = match model.judge(&row.request()?) {
            Ok(Answer::Scored(told)) => told.backorder_probability,
            // The measure wants a number of every article; those that cannot be judged end the list.
            Ok(Answer::InsufficientData { .. }) => 0.0,
            Err(errors) => bail!("article {} of {} is refused: {errors:?}", row.sku, inputs.display()),
        };
        rows.push([row.sku, probability.to_string()]);
    }
    files::write(&run.out, ["sku", "score"], rows)
}
