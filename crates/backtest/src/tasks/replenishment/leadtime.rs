//! Demand of the next three days of articles sold daily.

use contracts::facts::DailyDemand;
use jiff::{Span, civil::Date};
use models::replenishment::Request;
use serde::Deserialize;

use super::cases::{self, fitted, requests, write_quantiles};
use crate::{Run, files};

/// Hours a store is open, of which `hist_oos_hours` counts those without stock.
const OPEN_HOURS: f64 = 16.0;

#[derive(Deserialize)]
struct Row {
    case: String,
    /// First day after the history.
    date: Date,
    hist_units: String,
    hist_oos_hours: String,
    hist_discount: String,
    plan_discount: String,
    plan_activity: String,
    plan_holiday: String,
    on_hand: f64,
}

impl cases::Row for Row {
    fn case(&self) -> &str {
        &self.case
    }

    fn request(&self) -> anyhow::Result<Request> {
        let units: Vec<f64> = files::list(&self.hist_units)?;
        let flags = |cell: &str| -> anyhow::Result<Vec<bool>> {
            Ok(files::list::<u8>(cell)?.into_iter().map(|flag| flag != 0).collect())
        };
        let price_share_ahead: Vec<f64> = files::list(&self.plan_discount)?;
        let lead_days = price_share_ahead.len() as f64;
        let hours = files::list::<f64>(&self.hist_oos_hours)?;
        let demand = DailyDemand {
            first_day: self.date.checked_sub(Span::new().try_days(i64::try_from(units.len())?)?)?,
            out_of_stock: hours.into_iter().map(|hours| hours / OPEN_HOURS).collect(),
            units,
            promotion_ahead: flags(&self.plan_activity)?,
            price_share: files::list(&self.hist_discount)?,
            price_share_ahead,
            holiday_ahead: flags(&self.plan_holiday)?,
            ..DailyDemand::default()
        };
        cases::request(demand, self.date, self.on_hand, vec![lead_days])
    }
}

pub(in crate::tasks) fn eval(run: &Run) -> anyhow::Result<()> {
    let model = fitted::<Row>(&run.train, "leadtime_inputs.csv.gz", "leadtime_truth.csv.gz")?;
    let inputs = files::with_columns(&run.inputs, &["case", "hist_oos_hours", "plan_discount"])?;
    write_quantiles(&run.out, &model, &requests::<Row>(inputs)?)
}
