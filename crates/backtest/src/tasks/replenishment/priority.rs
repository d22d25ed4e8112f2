//! Margin that will be lost before the next receipt, in weekly lists of cases of articles that are often promoted.

use contracts::{
    Money,
    facts::{DailyDemand, Every, Item},
    money::Currency,
};
use jiff::{ToSpan, civil::Date};
use models::{
    Judge,
    replenishment::{Model, Request},
};
use serde::Deserialize;

use super::cases::{self, assess, model, requests};
use crate::{Run, files};

/// The file counts weeks; any calendar in which they follow one another will do.
const WEEK_ZERO: Date = Date::constant(2000, 1, 3);
/// Minor units of the currency in one unit of `unit_margin`.
const CENTS: f64 = 100.0;

#[derive(Deserialize)]
struct Row {
    case: String,
    /// Last week of the history; the plans begin with the next.
    week: i64,
    hist_units: String,
    hist_feat: String,
    plan_feat: String,
    plan_deal: String,
    hist_lead_weeks: String,
    position: f64,
    unit_margin: f64,
}

impl cases::Row for Row {
    fn case(&self) -> &str {
        &self.case
    }

    fn request(&self) -> anyhow::Result<Request> {
        let flags = |cell: &str| -> anyhow::Result<Vec<bool>> {
            Ok(files::list::<u8>(cell)?.into_iter().map(|flag| flag != 0).collect())
        };
        let sold: Vec<f64> = files::list(&self.hist_units)?;
        let today = WEEK_ZERO.checked_add(self.week.weeks())?;
        let demand = DailyDemand {
            first_day: today.checked_sub(i64::try_from(sold.len())?.weeks())?,
            every: Every::Week,
            // A missing week is written as -1.
            out_of_stock: sold.iter().map(|units| f64::from(u8::from(*units < 0.0))).collect(),
            units: sold.into_iter().map(|units| units.max(0.0)).collect(),
            promotion_ahead: flags(&self.plan_deal)?,
            advertised: flags(&self.hist_feat)?,
            advertised_ahead: flags(&self.plan_feat)?,
            ..DailyDemand::default()
        };
        let weeks: Vec<f64> = files::list(&self.hist_lead_weeks)?;
        let lead_days = weeks.into_iter().map(|weeks| weeks * Every::Week.days()).collect();
        let mut request = cases::request(demand, today, self.position, lead_days)?;
        // Only the margin is known: a price above a cost of nothing says the same.
        let currency = Currency::new("USD").map_err(anyhow::Error::msg)?;
        let margin = (self.unit_margin * CENTS).round() as i64;
        request.facts.item = Item {
            unit_cost: Some(Money::new(0, currency)),
            unit_price: Some(Money::new(margin, currency)),
            ..Item::default()
        };
        Ok(request)
    }
}

pub(in crate::tasks) fn eval(run: &Run) -> anyhow::Result<()> {
    let model = model(Model::standard()?.parameters().clone())?;
    let inputs = files::with_columns(&run.inputs, &["case", "position", "unit_margin"])?;
    let mut rows = Vec::new();
    for (case, request) in requests::<Row>(inputs)? {
        let told = assess(&model, &case, &request)?;
        let lost = told.expected_margin_lost.map_or(0, |margin| margin.minor);
        rows.push([case, lost.to_string(), told.stock_out_probability.to_string()]);
    }
    files::write(&run.out, ["case", "score", "p_stockout"], rows)
}
