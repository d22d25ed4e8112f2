//! Real adjustments with a ledger of sales: the public ones that a clerk explained to fit, others to judge.

use std::collections::{BTreeMap, HashMap, HashSet};

use anyhow::Context;
use contracts::{LocationId, Money, ProductId, money::Currency};
use jiff::{SignedDuration, Timestamp, civil::DateTime, tz::TimeZone};
use models::{
    Case,
    inventory_exception::{
        Adjustment, Count, Facts, Handling, Item, Moves, Neighbours, Outcome, Receipts, Request, Sales,
    },
};
use serde::Deserialize;

use super::{OPTIONS, fitted, predict};
use crate::{Run, files};

/// Window of the sales that a request tells, and of the adjustments around one.
const SALES_DAYS: i64 = 30;
const AROUND: SignedDuration = SignedDuration::from_mins(30);
/// As many adjustments as a request may hold.
const MOST: usize = 200;

#[derive(Deserialize)]
struct AdjustmentRow {
    eid: String,
    time: String,
    stockcode: String,
    quantity: f64,
    /// Class read from the clerk's note; only in the public file, empty without a note.
    #[serde(default)]
    label: String,
}

#[derive(Deserialize)]
struct LedgerRow {
    time: String,
    stockcode: String,
    quantity: f64,
    unitprice: f64,
}

#[derive(Deserialize)]
struct ItemRow {
    stockcode: String,
    description: String,
}

/// An adjustment as booked.
struct Booked {
    eid: String,
    label: String,
    /// The article's code as in the ledger.
    code: String,
    one: Adjustment,
}

struct Sale {
    at: Timestamp,
    units: f64,
    price: f64,
}

/// Everything known of the shop, to be asked as of a moment.
struct Books {
    sales: HashMap<String, Vec<Sale>>,
    names: HashMap<String, String>,
    /// All adjustments, explained or not, in order of time.
    adjustments: Vec<Booked>,
    /// Places in `adjustments` of each article.
    of_article: BTreeMap<String, Vec<usize>>,
    location: LocationId,
    currency: Currency,
}

pub(in crate::tasks) fn eval(run: &Run) -> anyhow::Result<()> {
    let folder = run.train.join("inventory_exception");
    let inputs = files::with_columns(&run.inputs, &["eid", "stockcode", "quantity"])?;
    let asked: HashSet<String> =
        files::rows(inputs)?.map(|row| row.map(|row: AdjustmentRow| row.eid)).collect::<Result<_, _>>()?;
    let mut ledgers = vec![folder.join("or_ledger.csv.gz")];
    ledgers.extend(files::with_columns(&run.inputs, &["unitprice", "customerid"]).ok().map(Into::into));
    let adjustments = folder.join("or_adjustments.csv.gz");
    let books = Books::read(&ledgers, &[adjustments, inputs.into()], &folder.join("or_items.csv.gz"))?;
    let explained = |booked: &&Booked| !booked.label.is_empty() && !asked.contains(&booked.eid);
    let cases: Vec<Case<Request, Outcome>> = books
        .adjustments
        .iter()
        .filter(explained)
        .map(|booked| Case { request: books.request(booked), outcome: Outcome { class: booked.label.clone() } })
        .collect();
    let model = fitted(&cases)?;
    let wanted = books.adjustments.iter().filter(|booked| asked.contains(&booked.eid));
    predict(&model, "eid", wanted.map(|booked| (booked.eid.clone(), books.request(booked))), &run.out)
}

impl Books {
    fn read(
        ledgers: &[std::path::PathBuf],
        adjustments: &[std::path::PathBuf],
        items: &std::path::Path,
    ) -> anyhow::Result<Self> {
        let mut sales: HashMap<String, Vec<Sale>> = HashMap::new();
        for ledger in ledgers {
            for row in files::rows::<LedgerRow>(ledger)? {
                let row = row?;
                // Returns tell nothing of how the article sells.
                if row.quantity > 0.0 {
                    let at = moment(&row.time)?;
                    sales.entry(row.stockcode).or_default().push(Sale {
                        at,
                        units: row.quantity,
                        price: row.unitprice,
                    });
                }
            }
        }
        sales.values_mut().for_each(|sales| sales.sort_by_key(|sale| sale.at));
        let mut by_id: BTreeMap<String, Booked> = BTreeMap::new();
        for file in adjustments {
            for row in files::rows::<AdjustmentRow>(file)? {
                let booked = booked(row?)?;
                // The public file comes first and knows the label.
                by_id.entry(booked.eid.clone()).or_insert(booked);
            }
        }
        let mut adjustments: Vec<Booked> = by_id.into_values().collect();
        adjustments.sort_by_key(|booked| booked.one.at);
        let mut of_article: BTreeMap<String, Vec<usize>> = BTreeMap::new();
        for (place, booked) in adjustments.iter().enumerate() {
            of_article.entry(booked.code.clone()).or_default().push(place);
        }
        let names = files::rows::<ItemRow>(items)?.map(|row| row.map(|row| (row.stockcode, row.description)));
        Ok(Self {
            sales,
            names: names.collect::<Result<_, _>>()?,
            adjustments,
            of_article,
            location: LocationId::new("warehouse")?,
            currency: Currency::new("GBP").map_err(anyhow::Error::msg)?,
        })
    }

    /// What was known when the adjustment was booked, and which others were booked around it.
    fn request(&self, booked: &Booked) -> Request {
        let as_of = booked.one.at;
        let (item, sales) = self.article(&booked.code, as_of);
        let facts = Facts {
            product: booked.one.product.clone(),
            location: self.location.clone(),
            category: None,
            as_of,
            item,
            count: Count { variance: Some(booked.one.units), ..Count::default() },
            sales,
            receipts: Receipts::default(),
            moves: Moves::default(),
            neighbours: self.neighbours(booked),
            handling: Handling::default(),
        };
        Request { facts, options: OPTIONS }
    }

    fn article(&self, code: &str, as_of: Timestamp) -> (Item, Sales) {
        let name = self.names.get(code).map(|name| name.trim().to_owned()).filter(|name| !name.is_empty());
        let item = Item { name, ..Item::default() };
        let sold = self.sales.get(code).map_or(&[] as &[Sale], Vec::as_slice);
        let sold = &sold[..sold.partition_point(|sale| sale.at < as_of)];
        let Some(last) = sold.last() else { return (item, Sales::default()) };
        let since = |days: i64| as_of - SignedDuration::from_hours(24 * days);
        let recent = &sold[sold.partition_point(|sale| sale.at < since(SALES_DAYS))..];
        let price = (median(sold.iter().map(|sale| sale.price)) * 100.0).round();
        let item = Item { unit_price: Some(Money::new(price as i64, self.currency)), ..item };
        let sales = Sales {
            units: Some(recent.iter().map(|sale| sale.units).sum()),
            days: Some(SALES_DAYS as f64),
            days_since_last: Some(as_of.duration_since(last.at).as_secs_f64() / 86_400.0),
            idle_days: None,
            typical_line: Some(median(sold.iter().map(|sale| sale.units))),
        };
        (item, sales)
    }

    fn neighbours(&self, booked: &Booked) -> Neighbours {
        let as_of = booked.one.at;
        let from = self.adjustments.partition_point(|other| other.one.at < as_of - AROUND);
        let to = self.adjustments.partition_point(|other| other.one.at <= as_of + AROUND);
        let others = self.adjustments[from..to].iter().filter(|other| other.eid != booked.eid);
        let mut session: Vec<Adjustment> = others.map(|other| other.one.clone()).collect();
        session.sort_by_key(|other| other.at.duration_since(as_of).abs());
        session.truncate(MOST);
        let places = self.of_article.get(&booked.code).map_or(&[] as &[usize], Vec::as_slice);
        let same = places.iter().rev().map(|place| &self.adjustments[*place].one);
        let earlier = same.filter(|other| other.at < as_of).take(MOST).cloned().collect();
        Neighbours { session: Some(session), earlier: Some(earlier), ..Neighbours::default() }
    }
}

fn booked(row: AdjustmentRow) -> anyhow::Result<Booked> {
    let place = || format!("adjustment {}", row.eid);
    // Codes of this shop hold blanks at times, identifiers never do.
    let product = row.stockcode.trim().replace(|c: char| !(c.is_ascii_alphanumeric() || ".-_:@".contains(c)), "-");
    let one = Adjustment {
        product: ProductId::new(product).with_context(place)?,
        units: row.quantity,
        at: moment(&row.time).with_context(place)?,
    };
    Ok(Booked { code: row.stockcode, label: row.label, one, eid: row.eid })
}

/// The shop's clock as if it were UTC: only differences of times are used.
fn moment(text: &str) -> anyhow::Result<Timestamp> {
    let time: DateTime = text.parse().with_context(|| format!("{text:?} is no time"))?;
    Ok(time.to_zoned(TimeZone::UTC)?.timestamp())
}

/// The middle value, the mean of the two middle ones of an even number; NaN of nothing.
fn median(values: impl Iterator<Item = f64>) -> f64 {
    let mut sorted: Vec<f64> = values.collect();
    sorted.sort_by(f64::total_cmp);
    let half = sorted.len() / 2;
    match sorted.get(half) {
        Some(upper) if sorted.len().is_multiple_of(2) => f64::midpoint(sorted[half - 1], *upper),
        Some(middle) => *middle,
        None => f64::NAN,
    }
}
