//! Orders to plants of limited daily capacity: one request per line, over edges that all of them share.

use std::{
    collections::{BTreeMap, HashMap},
    path::{Path, PathBuf},
};

use anyhow::{Context, anyhow};
use contracts::{LocationId, OrderRef, money::Currency};
use jiff::Timestamp;
use models::{
    Judge,
    allocation::{Answer, Location, Model, Options, Order, OrderSource, Priority, Request},
};
use serde::Deserialize;

use crate::{Run, files};

/// Where the edges lie in the public data, when no input holds them.
const EDGES: &str = "allocation/brunel_edges.csv.gz";
/// The file's costs have no currency and fractions; hundredths are minor units.
const MINOR: f64 = 100.0;

/// A plant that can serve an order.
#[derive(Deserialize)]
struct Edge {
    order: u64,
    plant: String,
    cost: f64,
}

#[derive(Deserialize)]
struct Variant {
    id: String,
    orders: Vec<u64>,
    capacity: BTreeMap<String, u32>,
}

impl Variant {
    /// Every order is one unit, to be served at whatever cost.
    fn request(&self, edges: &HashMap<u64, Vec<Edge>>) -> anyhow::Result<Request> {
        let position: HashMap<&str, usize> =
            self.capacity.keys().enumerate().map(|(place, plant)| (plant.as_str(), place)).collect();
        let location = |(plant, capacity): (&String, &u32)| {
            let location = LocationId::new(plant.as_str())?;
            anyhow::Ok(Location { location, on_hand: *capacity, reserved: 0, demand: None })
        };
        let source = |edge: &Edge| {
            let location = *position.get(edge.plant.as_str())?;
            Some(OrderSource { location, unit_cost: edge.cost * MINOR })
        };
        let mut orders = Vec::with_capacity(self.orders.len());
        for id in &self.orders {
            let sources: Vec<_> = edges.get(id).into_iter().flatten().filter_map(source).collect();
            // No plant of this variant can serve it: there is nothing to ask.
            if !sources.is_empty() {
                let order = OrderRef::new(id.to_string())?;
                orders.push(Order { order, units: 1, priority: Priority::Normal, value: None, sources });
            }
        }
        Ok(Request {
            product: None,
            as_of: Timestamp::UNIX_EPOCH,
            currency: Currency::new("XXX").map_err(|error| anyhow!(error))?,
            locations: self.capacity.iter().map(location).collect::<anyhow::Result<_>>()?,
            lanes: Vec::new(),
            orders,
            options: Options { explain: false, ..Options::default() },
        })
    }
}

/// Whether a file is CSV by its name; variants are NDJSON.
fn is_csv(path: &Path) -> bool {
    let name = path.to_string_lossy();
    name.trim_end_matches(".gz").ends_with(".csv")
}

fn edges(run: &Run, tables: &[PathBuf]) -> anyhow::Result<HashMap<u64, Vec<Edge>>> {
    let public = run.train.join(EDGES);
    let file = files::with_columns(tables, &["order", "plant", "cost"]).unwrap_or(&public);
    let mut edges: HashMap<u64, Vec<Edge>> = HashMap::new();
    for edge in files::rows::<Edge>(file)? {
        let edge = edge?;
        edges.entry(edge.order).or_default().push(edge);
    }
    Ok(edges)
}

pub(in crate::tasks) fn eval(run: &Run) -> anyhow::Result<()> {
    let model = Model::standard()?;
    let (tables, variants): (Vec<_>, Vec<_>) = run.inputs.iter().cloned().partition(|path| is_csv(path));
    let edges = edges(run, &tables)?;
    let mut rows = Vec::new();
    for file in &variants {
        for variant in files::lines::<Variant>(file)? {
            let variant = variant?;
            let place = || format!("variant {} of {}", variant.id, file.display());
            let request = variant.request(&edges).with_context(place)?;
            let answer = model.judge(&request).map_err(|errors| anyhow!("{errors:?}")).with_context(place)?;
            let Answer::Scored(plan) = answer else { continue };
            rows.extend(plan.reservations.iter().map(|one| {
                let (order, plant) = (&request.orders[one.order].order, &request.locations[one.location].location);
                [variant.id.clone(), order.to_string(), plant.to_string()]
            }));
        }
    }
    files::write(&run.out, ["id", "order", "plant"], rows)
}
