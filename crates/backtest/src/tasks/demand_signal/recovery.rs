//! Demand of days whose sales end at a known stock-out, after three weeks of daily sales.

use anyhow::Context;
use contracts::{LocationId, ProductId};
use jiff::{Timestamp, civil::Date};
use models::{
    Judge,
    demand_signal::hours::{Answer, DailySales, HourlySales, Model, Options, Request},
};
use serde::Deserialize;

use crate::{Run, files};

/// Hours from 6 to 22, over which the file counts.
const OPENING_HOURS: f64 = 16.0;
const HOURS: usize = 24;

#[derive(Deserialize)]
struct Row {
    case: String,
    stockout_hour: usize,
    units_before: String,
    discount: f64,
    date: Date,
    holiday: u8,
    hist_units_6_21: String,
    hist_oos_hours: String,
    hist_discount: String,
}

pub(in crate::tasks) fn eval(run: &Run) -> anyhow::Result<()> {
    let model = Model::standard()?;
    let path = files::with_columns(&run.inputs, &["case", "stockout_hour", "units_before", "hist_units_6_21"])?;
    let mut rows = Vec::new();
    for row in files::rows::<Row>(path)? {
        let row = row?;
        let place = || format!("{}, case {}", path.display(), row.case);
        let request = request(&row).with_context(place)?;
        let answer = model.judge(&request).map_err(|errors| anyhow::anyhow!("{errors:?}")).with_context(place)?;
        let units = match answer {
            Answer::Scored(assessment) => assessment.latest.demand.mean,
            // Nothing is known but what was sold.
            Answer::InsufficientData { .. } => request.sales.units.iter().sum(),
        };
        rows.push([row.case, units.to_string()]);
    }
    files::write(&run.out, ["case", "units"], rows)
}

fn request(row: &Row) -> anyhow::Result<Request> {
    let mut units: Vec<f64> = files::list(&row.units_before)?;
    units.resize(HOURS, 0.0);
    let prices = files::list(&row.hist_discount)?.into_iter().map(super::price).collect();
    Ok(Request {
        product: ProductId::new(&row.case)?,
        location: LocationId::new("store")?,
        as_of: Timestamp::UNIX_EPOCH,
        sales: HourlySales {
            first_day: row.date,
            units,
            out_of_stock: (0..HOURS).map(|hour| hour >= row.stockout_hour).collect(),
            records_complete: true,
            price_share: vec![super::price(row.discount)],
            holidays: if row.holiday == 0 { Vec::new() } else { vec![row.date] },
        },
        earlier: Some(DailySales {
            units: files::list(&row.hist_units_6_21)?,
            out_of_stock: files::list(&row.hist_oos_hours)?
                .into_iter()
                .map(|hours: f64| hours / OPENING_HOURS)
                .collect(),
            price_share: prices,
        }),
        unit_margin: None,
        options: Options { look_back: 0, explain: false },
    })
}
