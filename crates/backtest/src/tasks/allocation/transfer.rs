//! Transfers between stores before two days of demand: one request per line.

use anyhow::{Context, anyhow};
use contracts::{LocationId, facts::DailyDemand, money::Currency};
use jiff::{ToSpan, civil::Date, tz::TimeZone};
use models::{
    Judge,
    allocation::{Answer, Demand, Lane, Location, Model, Options, Request},
};
use serde::Deserialize;

use crate::{Run, files};

/// Opening hours of a store's day, of which the file says how many were without stock.
const HOURS: f64 = 16.0;
/// The file's values have no currency and fractions; hundredths are minor units.
const MINOR: f64 = 100.0;

#[derive(Deserialize)]
struct Instance {
    id: String,
    date: Date,
    horizon_days: f64,
    margin: f64,
    reserved_value: f64,
    lane_fixed_cost: f64,
    stores: Vec<Store>,
    /// From, to, cost of a unit, capacity.
    lanes: Vec<(usize, usize, f64, u32)>,
}

#[derive(Deserialize)]
struct Store {
    store: u64,
    on_hand: u32,
    reserved: u32,
    hist_units: Vec<f64>,
    hist_oos_hours: Vec<f64>,
    plan_discount: Vec<f64>,
    last7_discount: f64,
}

impl Instance {
    fn request(&self) -> anyhow::Result<Request> {
        let lane = |(from, to, unit_cost, capacity): &(usize, usize, f64, u32)| Lane {
            from: *from,
            to: *to,
            unit_cost: unit_cost * MINOR,
            fixed_cost: self.lane_fixed_cost * MINOR,
            capacity: *capacity,
            days: 0.0,
        };
        Ok(Request {
            product: None,
            as_of: self.date.to_zoned(TimeZone::UTC)?.timestamp(),
            currency: Currency::new("XXX").map_err(|error| anyhow!(error))?,
            locations: self.stores.iter().map(|store| store.location(self.date)).collect::<anyhow::Result<_>>()?,
            lanes: self.lanes.iter().map(lane).collect(),
            orders: Vec::new(),
            options: Options {
                horizon_days: self.horizon_days,
                margin: self.margin * MINOR,
                reserved_value: self.reserved_value * MINOR,
                // The data set knows no cap: a giver's risk is in the value already.
                donor_risk_cap: 1.0,
                explain: false,
                ..Options::default()
            },
        })
    }
}

impl Store {
    /// The history ends the day before the horizon begins.
    fn location(&self, today: Date) -> anyhow::Result<Location> {
        let days = i64::try_from(self.hist_units.len())?;
        let planned = self.plan_discount.iter().sum::<f64>() / self.plan_discount.len() as f64;
        Ok(Location {
            location: LocationId::new(self.store.to_string())?,
            on_hand: self.on_hand,
            reserved: self.reserved,
            demand: Some(Demand::History {
                sales: Box::new(DailyDemand {
                    first_day: today.checked_sub(days.days())?,
                    units: self.hist_units.clone(),
                    out_of_stock: self.hist_oos_hours.iter().map(|hours| hours / HOURS).collect(),
                    ..DailyDemand::default()
                }),
                price_ratio: Some(planned / self.last7_discount),
            }),
        })
    }
}

pub(in crate::tasks) fn eval(run: &Run) -> anyhow::Result<()> {
    let model = Model::standard()?;
    let mut rows = Vec::new();
    for file in &run.inputs {
        for instance in files::lines::<Instance>(file)? {
            let instance = instance?;
            let place = || format!("instance {} of {}", instance.id, file.display());
            let request = instance.request().with_context(place)?;
            let answer = model.judge(&request).map_err(|errors| anyhow!("{errors:?}")).with_context(place)?;
            // Without enough history nothing is moved.
            let Answer::Scored(plan) = answer else { continue };
            rows.extend(plan.transfers.iter().map(|transfer| {
                let lane = &request.lanes[transfer.lane];
                [instance.id.clone(), lane.from.to_string(), lane.to.to_string(), transfer.quantity.to_string()]
            }));
        }
    }
    files::write(&run.out, ["id", "from", "to", "qty"], rows)
}
