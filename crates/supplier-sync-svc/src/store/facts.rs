//! The facts object, assembled in one place: as many queries for ten thousand items as for one.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    hash::Hash,
};

use chassis::store::{Dialect, StoreError, instant};
use contracts::{
    Facts, LocationId, Money, OrderRef, ProductId, RegionId, SupplierId,
    facts::{Donor, Incoming, Item, LeadTime, MAX_DONORS, Place, Stock},
    money::Currency,
};
use jiff::Timestamp;
use sqlx::{AnyConnection, AssertSqlSafe, FromRow, any::AnyRow};

use crate::{
    rules::history::{DONOR_DAYS, HISTORY_DAYS, PlannedDay, SoldDay, day_at, day_number, day_of, dense},
    settings::LaneDefaults,
};

/// Lead times carried with the facts: the most recent ones.
const MAX_LEAD_TIMES: usize = 100;

/// A product at a location: what facts are asked about.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Wanted {
    pub product: ProductId,
    pub location: LocationId,
}

type Pair = (String, String);
type Cost = (Option<i64>, Option<String>);

/// Assembles facts over one connection; inside a transaction they are of one moment.
pub(crate) struct Assembler<'a> {
    pub connection: &'a mut AnyConnection,
    pub dialect: Dialect,
    pub lane: &'a LaneDefaults,
    pub now: Timestamp,
}

/// Everything read for one call, by what it belongs to.
struct Read {
    items: HashMap<String, Item>,
    places: HashMap<String, Place>,
    /// All locations that hold a product, the wanted one among them.
    stock: HashMap<String, Vec<(String, Stock)>>,
    demand: HashMap<Pair, f64>,
    sold: HashMap<Pair, Vec<SoldDay>>,
    planned: HashMap<Pair, Vec<PlannedDay>>,
    holidays: HashMap<String, BTreeMap<i64, bool>>,
    incoming: HashMap<Pair, Vec<Incoming>>,
    seen: HashMap<Pair, Vec<(Option<String>, f64)>>,
    promised: HashMap<Pair, (Option<String>, f64)>,
    lanes: HashMap<Pair, (f64, Option<Money>)>,
}

impl Assembler<'_> {
    /// Sealed facts in the order asked for; `None` where no stock level is known.
    ///
    /// # Errors
    /// When the store fails.
    pub(crate) async fn assemble(mut self, wanted: &[Wanted]) -> Result<Vec<Option<Facts>>, StoreError> {
        let pairs: BTreeSet<(&str, &str)> = wanted.iter().map(|w| (w.product.as_str(), w.location.as_str())).collect();
        let read = self.read(&serde_json::to_string(&pairs)?).await?;
        wanted.iter().map(|wanted| self.one(wanted, &read)).collect()
    }

    async fn read(&mut self, wanted: &str) -> Result<Read, StoreError> {
        Ok(Read {
            items: self.items(wanted).await?,
            places: self.places(wanted).await?,
            stock: self.stock(wanted).await?,
            demand: self.demand(wanted).await?,
            sold: self.sold(wanted).await?,
            planned: self.planned(wanted).await?,
            holidays: self.holidays(wanted).await?,
            incoming: self.incoming(wanted).await?,
            seen: self.seen(wanted).await?,
            promised: self.promised(wanted).await?,
            lanes: self.lanes(wanted).await?,
        })
    }

    fn one(&self, wanted: &Wanted, read: &Read) -> Result<Option<Facts>, StoreError> {
        let (product, location) = (wanted.product.as_str(), wanted.location.as_str());
        let holders = read.stock.get(product).map_or(&[][..], Vec::as_slice);
        let Some((_, stock)) = holders.iter().find(|(holder, _)| holder == location) else { return Ok(None) };
        let key = (product.to_owned(), location.to_owned());
        let place = read.places.get(location).cloned().unwrap_or_default();
        let sold = read.sold.get(&key).map_or(&[][..], Vec::as_slice);
        let planned = read.planned.get(&key).map_or(&[][..], Vec::as_slice);
        let none = BTreeMap::new();
        let calendar = read.holidays.get(location).unwrap_or(&none);
        let facts = Facts {
            product: wanted.product.clone(),
            location: wanted.location.clone(),
            as_of: self.now,
            item: read.items.get(product).cloned().unwrap_or_default(),
            demand: dense(sold, planned, calendar, day_number(day_at(self.now, place.time_zone.as_deref()))),
            place,
            stock: stock.clone(),
            incoming: read.incoming.get(&key).cloned().unwrap_or_default(),
            lead_time: lead_time(&key, read),
            donors: self.donors(wanted, holders, read),
            hash: None,
        };
        Ok(Some(facts.seal()?))
    }

    fn donors(&self, wanted: &Wanted, holders: &[(String, Stock)], read: &Read) -> Vec<Donor> {
        let (product, here) = (wanted.product.as_str(), wanted.location.as_str());
        let donor = |(holder, stock): &(String, Stock)| {
            let lane = read.lanes.get(&(holder.clone(), here.to_owned()));
            let (transfer_days, transfer_cost) =
                lane.copied().unwrap_or((self.lane.transfer_days, self.lane.transfer_cost));
            let place = read.places.get(holder).cloned().unwrap_or_default();
            Some(Donor {
                location: LocationId::new(holder.as_str()).ok()?,
                name: place.name,
                region: place.region,
                stock: stock.clone(),
                daily_demand: read.demand.get(&(product.to_owned(), holder.clone())).copied().unwrap_or(0.0),
                transfer_days,
                transfer_cost,
            })
        };
        let others = holders.iter().filter(|(holder, stock)| holder != here && stock.on_hand > 0.0);
        let mut donors: Vec<Donor> = others.filter_map(donor).collect();
        // Nearest first, and among equals always in the same order, or equal facts would have different hashes.
        donors.sort_by(|a, b| a.transfer_days.total_cmp(&b.transfer_days).then_with(|| a.location.cmp(&b.location)));
        donors.truncate(MAX_DONORS);
        donors
    }

    /// Runs a query whose first parameter is the list of wanted pairs, which the text sees as table `wanted`.
    async fn fetch<T>(&mut self, wanted: &str, select: &'static str) -> Result<Vec<T>, StoreError>
    where
        T: for<'r> FromRow<'r, AnyRow> + Send + Unpin,
    {
        let table = self.dialect.pick(
            "SELECT json_extract(value, '$[0]'), json_extract(value, '$[1]') FROM json_each($1)",
            "SELECT value ->> 0, value ->> 1 FROM jsonb_array_elements(CAST($1 AS jsonb))",
        );
        let sql = AssertSqlSafe(format!("WITH wanted (product, location) AS ({table}) {select}"));
        Ok(sqlx::query_as(sql).bind(wanted).fetch_all(&mut *self.connection).await?)
    }

    async fn items(&mut self, wanted: &str) -> Result<HashMap<String, Item>, StoreError> {
        type Row = (
            String,
            Option<String>,
            Option<String>,
            Option<i64>,
            Option<String>,
            Option<i64>,
            Option<String>,
            Option<i64>,
            Option<i64>,
            Option<i64>,
            Option<i64>,
            Option<String>,
            Option<f64>,
        );
        let select = "SELECT product, name, category, cost_minor, cost_currency, price_minor, price_currency, pack, \
                      moq, shelf_life_days, salvage_minor, salvage_currency, unit_volume_litres \
                      FROM products WHERE product IN (SELECT product FROM wanted)";
        let rows: Vec<Row> = self.fetch(wanted, select).await?;
        let small = |number: Option<i64>| number.and_then(|number| u32::try_from(number).ok());
        let item = |row: Row| {
            let (product, name, category, cost, cost_in, price, price_in, pack, moq, life, rest, rest_in, litres) = row;
            let item = Item {
                name,
                category,
                unit_cost: money((cost, cost_in)),
                unit_price: money((price, price_in)),
                pack: small(pack),
                moq: small(moq),
                shelf_life_days: small(life),
                salvage_value: money((rest, rest_in)),
                unit_volume_litres: litres,
            };
            (product, item)
        };
        Ok(rows.into_iter().map(item).collect())
    }

    async fn places(&mut self, wanted: &str) -> Result<HashMap<String, Place>, StoreError> {
        type Row = (String, Option<String>, Option<String>, Option<String>);
        let select = "SELECT location, name, region, time_zone FROM locations WHERE location IN (SELECT s.location \
                      FROM stock s WHERE s.product IN (SELECT product FROM wanted))";
        let rows: Vec<Row> = self.fetch(wanted, select).await?;
        let place = |(location, name, region, time_zone): Row| {
            (location, Place { name, region: region.and_then(|region| RegionId::new(region).ok()), time_zone })
        };
        Ok(rows.into_iter().map(place).collect())
    }

    async fn stock(&mut self, wanted: &str) -> Result<HashMap<String, Vec<(String, Stock)>>, StoreError> {
        let select = "SELECT product, location, on_hand, reserved, observed_at FROM stock \
                      WHERE product IN (SELECT product FROM wanted)";
        let rows: Vec<(String, String, f64, f64, i64)> = self.fetch(wanted, select).await?;
        let mut found: HashMap<String, Vec<_>> = HashMap::new();
        for (product, location, on_hand, reserved, at) in rows {
            found.entry(product).or_default().push((location, Stock { on_hand, reserved, observed_at: instant(at) }));
        }
        Ok(found)
    }

    /// Mean units a day over the days in stock among the last four weeks with sales, at all locations of the products.
    /// Days without a row sold nothing; days with a stock-out say nothing about demand.
    async fn demand(&mut self, wanted: &str) -> Result<HashMap<Pair, f64>, StoreError> {
        const { assert!(DONOR_DAYS == 28, "the text below says 28 and 27") };
        let select = "SELECT s.product, s.location, \
                      SUM(CASE WHEN s.out_of_stock > 0.0 THEN 0.0 ELSE s.units END), \
                      CASE WHEN l.last_day - l.first_day < 27 THEN l.last_day - l.first_day + 1 ELSE 28 END, \
                      COUNT(CASE WHEN s.out_of_stock > 0.0 THEN 1 END) FROM sales s JOIN (SELECT product, location, \
                      MIN(day) AS first_day, MAX(day) AS last_day FROM sales WHERE product IN (SELECT product FROM wanted) \
                      GROUP BY product, location) l ON l.product = s.product AND l.location = s.location \
                      WHERE s.day > l.last_day - 28 GROUP BY s.product, s.location, l.first_day, l.last_day";
        let rows: Vec<(String, String, f64, i64, i64)> = self.fetch(wanted, select).await?;
        let mean = |(product, location, units, days, out): (String, String, f64, i64, i64)| {
            #[expect(clippy::cast_precision_loss, reason = "at most 28")]
            let mean = if days > out { units / (days - out) as f64 } else { 0.0 };
            ((product, location), mean)
        };
        Ok(rows.into_iter().map(mean).collect())
    }

    async fn sold(&mut self, wanted: &str) -> Result<HashMap<Pair, Vec<SoldDay>>, StoreError> {
        const { assert!(HISTORY_DAYS == 90, "the text below says 90") };
        let select = "SELECT s.product, s.location, s.day, s.units, s.out_of_stock, s.promotion, s.price_share, \
                      s.advertised FROM sales s JOIN (SELECT w.product, w.location, MAX(x.day) AS last_day FROM wanted w JOIN sales x \
                      ON x.product = w.product AND x.location = w.location GROUP BY w.product, w.location) l \
                      ON l.product = s.product AND l.location = s.location WHERE s.day > l.last_day - 90 ORDER BY s.day";
        type Row = (String, String, i64, f64, f64, i64, f64, i64);
        let rows: Vec<Row> = self.fetch(wanted, select).await?;
        let day = |(product, location, day, units, out_of_stock, promotion, price_share, advertised): Row| {
            let (promotion, advertised) = (promotion == 1, advertised == 1);
            ((product, location), SoldDay { day, units, out_of_stock, promotion, price_share, advertised })
        };
        Ok(grouped(rows.into_iter().map(day)))
    }

    async fn planned(&mut self, wanted: &str) -> Result<HashMap<Pair, Vec<PlannedDay>>, StoreError> {
        type Row = (String, String, i64, f64, i64);
        let select = "SELECT p.product, p.location, p.day, p.price_share, p.advertised FROM planned_promotions p \
                      JOIN wanted w ON w.product = p.product AND w.location = p.location ORDER BY p.day";
        let rows: Vec<Row> = self.fetch(wanted, select).await?;
        let day = |(product, location, day, price_share, advertised): Row| {
            ((product, location), PlannedDay { day, price_share, advertised: advertised == 1 })
        };
        Ok(grouped(rows.into_iter().map(day)))
    }

    async fn holidays(&mut self, wanted: &str) -> Result<HashMap<String, BTreeMap<i64, bool>>, StoreError> {
        let select = "SELECT location, day, holiday FROM holidays WHERE location IN (SELECT location FROM wanted)";
        let rows: Vec<(String, i64, i64)> = self.fetch(wanted, select).await?;
        let mut found: HashMap<String, BTreeMap<i64, bool>> = HashMap::new();
        for (location, day, holiday) in rows {
            found.entry(location).or_default().insert(day, holiday == 1);
        }
        Ok(found)
    }

    async fn incoming(&mut self, wanted: &str) -> Result<HashMap<Pair, Vec<Incoming>>, StoreError> {
        let select = "SELECT i.product, i.location, i.order_ref, i.due, i.quantity FROM incoming_counted i JOIN wanted w \
                      ON w.product = i.product AND w.location = i.location ORDER BY i.due, i.order_ref";
        let rows: Vec<(String, String, String, i64, f64)> = self.fetch(wanted, select).await?;
        Ok(grouped(rows.into_iter().filter_map(|(product, location, order, due, quantity)| {
            let order = OrderRef::new(order).ok()?;
            Some(((product, location), Incoming { order, due: day_of(due), quantity }))
        })))
    }

    async fn seen(&mut self, wanted: &str) -> Result<HashMap<Pair, Vec<(Option<String>, f64)>>, StoreError> {
        let select = "SELECT t.product, t.location, t.supplier, t.days FROM lead_times t JOIN wanted w \
                      ON w.product = t.product AND w.location = t.location ORDER BY t.seq";
        let rows: Vec<(String, String, Option<String>, f64)> = self.fetch(wanted, select).await?;
        Ok(grouped(rows.into_iter().map(|(product, location, supplier, days)| ((product, location), (supplier, days)))))
    }

    async fn promised(&mut self, wanted: &str) -> Result<HashMap<Pair, (Option<String>, f64)>, StoreError> {
        let select = "SELECT t.product, t.location, t.supplier, t.days FROM promised_counted t JOIN wanted w \
                      ON w.product = t.product AND w.location = t.location";
        let rows: Vec<(String, String, Option<String>, f64)> = self.fetch(wanted, select).await?;
        Ok(rows
            .into_iter()
            .map(|(product, location, supplier, days)| ((product, location), (supplier, days)))
            .collect())
    }

    async fn lanes(&mut self, wanted: &str) -> Result<HashMap<Pair, (f64, Option<Money>)>, StoreError> {
        type Row = (String, String, f64, Option<i64>, Option<String>);
        let select = "SELECT from_location, to_location, transfer_days, cost_minor, cost_currency FROM lanes \
                      WHERE to_location IN (SELECT location FROM wanted)";
        let rows: Vec<Row> = self.fetch(wanted, select).await?;
        Ok(rows.into_iter().map(|(from, to, days, minor, code)| ((from, to), (days, money((minor, code))))).collect())
    }
}

fn lead_time(key: &Pair, read: &Read) -> LeadTime {
    let seen = read.seen.get(key).map_or(&[][..], Vec::as_slice);
    let recent = &seen[seen.len().saturating_sub(MAX_LEAD_TIMES)..];
    let promised = read.promised.get(key);
    let supplier = promised.and_then(|(supplier, _)| supplier.clone());
    let supplier = supplier.or_else(|| recent.iter().rev().find_map(|(supplier, _)| supplier.clone()));
    LeadTime {
        supplier: supplier.and_then(|id| SupplierId::new(id).ok()),
        promised_days: promised.map(|(_, days)| *days),
        seen_days: recent.iter().map(|(_, days)| *days).collect(),
    }
}

fn money((minor, code): Cost) -> Option<Money> {
    Some(Money::new(minor?, Currency::new(&code?).ok()?))
}

fn grouped<K: Eq + Hash, V>(rows: impl Iterator<Item = (K, V)>) -> HashMap<K, Vec<V>> {
    let mut groups: HashMap<K, Vec<V>> = HashMap::new();
    for (key, value) in rows {
        groups.entry(key).or_default().push(value);
    }
    groups
}
