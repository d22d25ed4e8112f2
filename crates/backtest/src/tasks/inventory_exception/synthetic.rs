//! Count variances with their context: public cases to fit, others to judge.

use std::{collections::HashMap, path::Path};

use anyhow::Context;
use contracts::{LocationId, Money, ProductId, money::Currency};
use jiff::Timestamp;
use models::{
    Case,
    inventory_exception::{Count, Facts, Handling, Item, Moves, Neighbours, Outcome, Receipts, Request, Sales},
};
use serde::Deserialize;

use super::{OPTIONS, fitted, predict};
use crate::{Run, files};

#[derive(Deserialize)]
struct Row {
    case: String,
    unit_cost: f64,
    case_pack: f64,
    theft_risk: u8,
    fragility: u8,
    days_since_count: f64,
    sales_units: f64,
    last_asn_qty: Option<f64>,
    last_posted_qty: Option<f64>,
    last_receipt_days_ago: Option<f64>,
    transfer_qty: f64,
    transfer_unconfirmed: u8,
    open_document_qty: f64,
    neighbour_sku_variance: f64,
    other_location_variance: f64,
    damage_reports: f64,
    waste_units: f64,
    manual_entries: f64,
    largest_scan_qty: f64,
    idle_days: f64,
    system_qty: f64,
    counted_qty: f64,
    recount_qty: Option<f64>,
}

#[derive(Deserialize)]
struct Truth {
    case: String,
    label: String,
}

pub(in crate::tasks) fn eval(run: &Run) -> anyhow::Result<()> {
    let folder = run.train.join("inventory_exception");
    let model = fitted(&cases(&folder)?)?;
    let inputs = files::with_columns(&run.inputs, &["case", "variance", "recount_qty"])?;
    let requests = read(inputs)?.into_iter().map(|row| Ok((row.case.clone(), request(row)?)));
    predict(&model, "case", requests.collect::<anyhow::Result<Vec<_>>>()?, &run.out)
}

fn cases(folder: &Path) -> anyhow::Result<Vec<Case<Request, Outcome>>> {
    let truths = files::rows::<Truth>(&folder.join("synthetic_truth.csv.gz"))?;
    let truths: HashMap<String, String> =
        truths.map(|row| row.map(|row| (row.case, row.label))).collect::<Result<_, _>>()?;
    let labelled = |row: Row| {
        let class = truths.get(&row.case).with_context(|| format!("case {} has no label", row.case))?.clone();
        Ok(Case { request: request(row)?, outcome: Outcome { class } })
    };
    read(&folder.join("synthetic_inputs.csv.gz"))?.into_iter().map(labelled).collect()
}

fn read(path: &Path) -> anyhow::Result<Vec<Row>> {
    files::rows(path)?.collect()
}

fn request(row: Row) -> anyhow::Result<Request> {
    let currency = Currency::new("USD").map_err(anyhow::Error::msg)?;
    let facts = Facts {
        // Every case is of an article and a place of its own: nothing is known to come from the same.
        product: ProductId::new(row.case.clone())?,
        location: LocationId::new(row.case)?,
        category: None,
        // The file has ages in days, no dates.
        as_of: Timestamp::UNIX_EPOCH,
        item: Item {
            name: None,
            unit_cost: Some(Money::new((row.unit_cost * 100.0).round() as i64, currency)),
            unit_price: None,
            case_pack: Some(row.case_pack),
            theft_risk: Some(row.theft_risk),
            fragility: Some(row.fragility),
        },
        count: Count {
            variance: None,
            system: Some(row.system_qty),
            counted: Some(row.counted_qty),
            recount: row.recount_qty,
        },
        sales: Sales {
            units: Some(row.sales_units),
            days: Some(row.days_since_count),
            days_since_last: None,
            idle_days: Some(row.idle_days),
            typical_line: None,
        },
        receipts: Receipts {
            last_announced: row.last_asn_qty,
            last_posted: row.last_posted_qty,
            last_days_ago: row.last_receipt_days_ago,
        },
        moves: Moves {
            transfer_units: Some(row.transfer_qty),
            transfer_unconfirmed: Some(row.transfer_unconfirmed > 0),
            open_document_units: Some(row.open_document_qty),
        },
        neighbours: Neighbours {
            similar_product: Some(row.neighbour_sku_variance),
            other_place: Some(row.other_location_variance),
            session: None,
            earlier: None,
        },
        handling: Handling {
            damage_reports: Some(row.damage_reports),
            waste_units: Some(row.waste_units),
            manual_entries: Some(row.manual_entries),
            largest_scan: Some(row.largest_scan_qty),
        },
    };
    Ok(Request { facts, options: OPTIONS })
}
