//! What the replenishment tasks share: the model for a task, its predictions, and facts that files leave open.

use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use contracts::{
    Facts, LocationId, ProductId,
    facts::{DailyDemand, Item, LeadTime, Place, Stock},
};
use jiff::{Timestamp, civil::Date, tz::TimeZone};
use models::{
    Case, Judge,
    replenishment::{Answer, Assessment, Model, Options, Outcome, Parameters, Request},
};
use serde::{Deserialize, de::DeserializeOwned};

use crate::files;

/// A row of an inputs file as a request under its case id.
pub(super) trait Row: DeserializeOwned {
    fn case(&self) -> &str;
    fn request(&self) -> anyhow::Result<Request>;
}

#[derive(Deserialize)]
struct Truth {
    case: String,
    demand: f64,
}

/// Requests of an inputs file with their case ids, in the file's order.
pub(super) fn requests<R: Row>(path: &Path) -> anyhow::Result<Vec<(String, Request)>> {
    let of = |row: R| -> anyhow::Result<(String, Request)> {
        let place = || format!("cannot read {}, case {}", path.display(), row.case());
        Ok((row.case().to_owned(), row.request().with_context(place)?))
    };
    files::rows::<R>(path)?.map(|row| of(row?)).collect()
}

/// The model fitted to a public inputs file and the demand that came.
pub(super) fn fitted<R: Row>(train: &Path, inputs: &str, truth: &str) -> anyhow::Result<Model> {
    let file = |name: &str| -> PathBuf { train.join("replenishment").join(name) };
    let outcomes: Vec<Truth> = files::rows(&file(truth))?.collect::<anyhow::Result<_>>()?;
    let outcomes: std::collections::HashMap<_, _> =
        outcomes.into_iter().map(|truth| (truth.case, truth.demand)).collect();
    let known = |(case, request): (String, Request)| {
        let demand = *outcomes.get(&case)?;
        Some(Case { request, outcome: Outcome { demand: Some(demand), ..Outcome::default() } })
    };
    let cases: Vec<_> = requests::<R>(&file(inputs))?.into_iter().filter_map(known).collect();
    let start = Model::standard()?;
    model(Model::fit(start.parameters(), "task", &cases, &mut |_| ())?)
}

/// The model that answers every case: the measures want a forecast even where the service would ask for more facts.
pub(super) fn model(mut parameters: Parameters) -> anyhow::Result<Model> {
    let demand = &mut parameters.demand;
    for cadence in [&mut demand.day, &mut demand.week, &mut demand.month] {
        (cadence.sufficiency.history, cadence.sufficiency.in_stock) = (0, 0);
    }
    Ok(Model::new(parameters)?)
}

/// The assessment of one case.
pub(super) fn assess(model: &Model, case: &str, request: &Request) -> anyhow::Result<Assessment> {
    match model.judge(request) {
        Ok(Answer::Scored(told)) => Ok(*told),
        Ok(Answer::InsufficientData { missing, .. }) => bail!("case {case} lacks {missing:?}"),
        Err(errors) => bail!("case {case} is refused: {errors:?}"),
    }
}

/// Writes the quantiles of demand and the stock-out probability of each case.
pub(super) fn write_quantiles(out: &Path, model: &Model, cases: &[(String, Request)]) -> anyhow::Result<()> {
    let mut rows = Vec::with_capacity(cases.len());
    for (case, request) in cases {
        let told = assess(model, case, request)?;
        let demand = &told.demand;
        let quantiles = [demand.p50, demand.p80, demand.p90, demand.p95, demand.p98].map(|units| units.to_string());
        let [q50, q80, q90, q95, q98] = quantiles;
        rows.push([case.clone(), q50, q80, q90, q95, q98, told.stock_out_probability.to_string()]);
    }
    files::write(out, ["case", "q50", "q80", "q90", "q95", "q98", "p_stockout"], rows)
}

/// A request about one article on the first day after its history.
pub(super) fn request(
    demand: DailyDemand,
    today: Date,
    available: f64,
    lead_days: Vec<f64>,
) -> anyhow::Result<Request> {
    let as_of: Timestamp = today.to_zoned(TimeZone::UTC)?.timestamp();
    let facts = Facts {
        product: ProductId::new("article")?,
        location: LocationId::new("store")?,
        as_of,
        item: Item::default(),
        place: Place::default(),
        stock: Stock { on_hand: available, reserved: 0.0, observed_at: as_of },
        demand,
        incoming: Vec::new(),
        lead_time: LeadTime { seen_days: lead_days, ..LeadTime::default() },
        donors: Vec::new(),
        hash: None,
    };
    // The files ask about the lead time alone: stock need not last any longer.
    Ok(Request { facts, options: Options { review_period_days: 0.0, explain: false, ..Options::default() } })
}
