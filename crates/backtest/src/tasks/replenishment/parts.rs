//! Demand of the next three months of spare parts sold now and then.

use contracts::facts::{DailyDemand, Every};
use jiff::{ToSpan, civil::Date};
use models::replenishment::Request;
use serde::Deserialize;

use super::cases::{self, fitted, requests, write_quantiles};
use crate::{Run, files};

/// Months that stock must last.
const LEAD_MONTHS: f64 = 3.0;
/// The file has no dates; months only need to follow one another.
const TODAY: Date = Date::constant(2000, 1, 1);

#[derive(Deserialize)]
struct Row {
    case: String,
    hist_units: String,
    on_hand: f64,
}

impl cases::Row for Row {
    fn case(&self) -> &str {
        &self.case
    }

    fn request(&self) -> anyhow::Result<Request> {
        let units: Vec<f64> = files::list(&self.hist_units)?;
        let first_day = TODAY.checked_sub(i64::try_from(units.len())?.months())?;
        let demand = DailyDemand { first_day, every: Every::Month, units, ..DailyDemand::default() };
        cases::request(demand, TODAY, self.on_hand, vec![LEAD_MONTHS * Every::Month.days()])
    }
}

pub(in crate::tasks) fn eval(run: &Run) -> anyhow::Result<()> {
    let model = fitted::<Row>(&run.train, "parts_inputs.csv.gz", "parts_truth.csv.gz")?;
    let inputs = files::with_columns(&run.inputs, &["case", "hist_units", "on_hand"])?;
    write_quantiles(&run.out, &model, &requests::<Row>(inputs)?)
}
