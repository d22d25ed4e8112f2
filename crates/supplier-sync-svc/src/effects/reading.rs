//! What was read of Odoo: plain data, so that it can be the result of an effect and be settled in a transaction.

use std::collections::{BTreeMap, HashMap};

use contracts::{Digest, Money, OrderRef, ids::MAX_ID_BYTES, money::Currency};
use jiff::{Timestamp, civil::Date};
use odoo::stock::{Move, Orderpoint, Product, Quant, SupplierOffer};
use serde::{Deserialize, Serialize};

use crate::rules::observation::Entity;

/// The model whose webhooks are hints.
pub(crate) const QUANT: &str = "stock.quant";

/// One product at one warehouse: the sum of its quants there, and what is on its way.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Reading {
    /// The record that was written last: a quant of the product there, or, where there is none, what made us look.
    pub model: String,
    pub record_id: i64,
    /// Internal reference; empty when Odoo has none.
    pub sku: String,
    pub product_name: String,
    pub category: Option<String>,
    pub unit_cost: Option<Money>,
    pub unit_price: Option<Money>,
    /// Short name; empty when the location belongs to no warehouse.
    pub warehouse: String,
    pub warehouse_name: String,
    pub on_hand: f64,
    pub reserved: f64,
    /// The latest time of writing among the quants, cut to the second by the API.
    pub written_at: Timestamp,
    /// Minimum of Odoo's own replenishment rule.
    pub reorder_point: Option<f64>,
    /// All that is on its way from outside of the warehouse.
    pub incoming: Vec<Receipt>,
    pub promise: Option<Promise>,
    /// Why it cannot be mapped, if so.
    pub trouble: Option<Trouble>,
}

/// Something in Odoo that nobody can map without a person's word.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Trouble {
    pub entity: Entity,
    pub external: String,
    pub reason: String,
}

/// A place of a warehouse, as far as stock is concerned.
#[derive(Clone, Debug)]
pub(crate) struct Site {
    pub warehouse_id: i64,
    pub code: String,
    pub name: String,
    /// Root of its shelves, where its reorder rules are.
    pub stock_location: i64,
    /// Whether the place lies there, rather than at the dock or where goods are packed.
    pub is_shelf: bool,
}

/// A product with what must be known beside its own row.
#[derive(Clone, Debug)]
pub(crate) struct Article {
    pub product: Product,
    pub promise: Option<Promise>,
    /// Other products answer to the same internal reference.
    pub ambiguous: bool,
}

impl Reading {
    /// Of what was read; the same state has the same digest, whoever reads it when.
    pub(crate) fn digest(&self) -> Result<Digest, serde_json::Error> {
        Digest::of(&(self.on_hand, self.reserved, self.written_at))
    }
}

/// A receipt on its way.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Receipt {
    pub order: OrderRef,
    pub due: Timestamp,
    /// In the product's unit.
    pub quantity: f64,
}

/// What a product's main supplier promises.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Promise {
    /// The supplier's name in Odoo.
    pub supplier: String,
    /// From order to receipt.
    pub days: f64,
}

/// A product at a warehouse, by Odoo's ids.
pub(super) type Pair = (i64, i64);

/// Why a pair is read: the record that was seen there.
#[derive(Clone, Debug)]
pub(super) struct Cause {
    pub model: &'static str,
    pub id: i64,
    pub product: i64,
    pub site: Site,
}

/// The quants of a pair, added up.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Level {
    pub on_hand: f64,
    pub reserved: f64,
    /// When the latest was written, and which it is.
    pub written: (Timestamp, i64),
}

/// What was read around the causes, each call once for many of them.
pub(super) struct Surroundings {
    pub levels: HashMap<Pair, Level>,
    pub orderpoints: Vec<Orderpoint>,
    pub incoming: HashMap<Pair, Vec<Receipt>>,
    /// Of all prices, if there is one.
    pub currency: Option<Currency>,
    /// Cut to the second as Odoo's times are, or a level that Odoo wrote in the same second would count as older.
    pub now: Timestamp,
}

/// The pairs that quants and moves speak of. Quants at no warehouse of ours are the caller's to report.
pub(super) fn causes(quants: &[Quant], moves: &[Move], site_of: &HashMap<i64, Site>) -> Vec<Cause> {
    let mut causes = BTreeMap::new();
    let mut add = |model, id, product: i64, site: Option<&Site>| {
        if let Some(site) = site {
            causes.insert((product, site.warehouse_id), Cause { model, id, product, site: site.clone() });
        }
    };
    for line in moves {
        add("stock.move", line.id, line.product.id, from_outside(line, site_of));
    }
    for quant in quants {
        add(QUANT, quant.id, quant.product.id, site_of.get(&quant.location.id));
    }
    causes.into_values().collect()
}

/// Sums quants by product and warehouse. Goods that `moves` carry to a shelf of the same warehouse are reserved for
/// that, but promised to nobody, so they count as free.
pub(super) fn sums(quants: &[Quant], moves: &[Move], site_of: &HashMap<i64, Site>) -> HashMap<Pair, Level> {
    let mut sums = HashMap::new();
    for quant in quants {
        let Some(site) = site_of.get(&quant.location.id) else { continue };
        let written = (quant.write_date, quant.id);
        let none = Level { on_hand: 0.0, reserved: 0.0, written };
        let sum = sums.entry((quant.product.id, site.warehouse_id)).or_insert(none);
        sum.on_hand += quant.quantity;
        sum.reserved += quant.reserved_quantity;
        sum.written = sum.written.max(written);
    }
    // Of a move that is only partly assigned it is not known how much is reserved.
    for line in moves.iter().filter(|line| line.state == "assigned" && from_outside(line, site_of).is_none()) {
        let Some(shelf) = site_of.get(&line.destination.id).filter(|site| site.is_shelf) else { continue };
        if let Some(sum) = sums.get_mut(&(line.product.id, shelf.warehouse_id)) {
            sum.reserved = (sum.reserved - line.product_quantity).max(0.0);
        }
    }
    sums
}

/// Open moves as receipts, by product and warehouse. `expected` says when one arrives.
pub(super) fn receipts(
    moves: &[Move],
    site_of: &HashMap<i64, Site>,
    expected: impl Fn(&Move) -> Timestamp,
) -> HashMap<Pair, Vec<Receipt>> {
    let mut found: HashMap<Pair, Vec<Receipt>> = HashMap::new();
    for line in moves.iter().filter(|line| line.product_quantity > 0.0) {
        let (Some(site), Some(order)) = (from_outside(line, site_of), order(line)) else { continue };
        let receipt = Receipt { order, due: expected(line), quantity: line.product_quantity };
        found.entry((line.product.id, site.warehouse_id)).or_default().push(receipt);
    }
    found
}

/// The warehouse that a move brings something: none when it stays inside, as from the dock to the shelf, because what
/// lies at the dock is on hand already.
fn from_outside<'a>(line: &Move, site_of: &'a HashMap<i64, Site>) -> Option<&'a Site> {
    let to = site_of.get(&line.destination.id)?;
    let from = site_of.get(&line.source.id);
    from.is_none_or(|from| from.warehouse_id != to.warehouse_id).then_some(to)
}

/// The purchase order or other cause, else the receipt itself. What cannot stand in an identifier of ours, such as the
/// slashes of `WH/IN/00007`, becomes a dash.
fn order(line: &Move) -> Option<OrderRef> {
    let name = line.origin.as_deref().or(line.picking.as_ref().map(|picking| picking.name.as_str()));
    let allowed = |c: char| if OrderRef::new(c.to_string()).is_ok() { c } else { '-' };
    let text: String = name.unwrap_or_default().chars().map(allowed).take(MAX_ID_BYTES).collect();
    OrderRef::new(text).or_else(|_| OrderRef::new(format!("stock.move:{}", line.id))).ok()
}

/// The promise of the main supplier: the first of the offers that hold today, in the order in which Odoo lists them.
pub(super) fn promise(offers: &[SupplierOffer], product: &Product, today: Date) -> Option<Promise> {
    let rank = |a: &&SupplierOffer, b: &&SupplierOffer| {
        let order = a.sequence.cmp(&b.sequence).then_with(|| b.min_qty.total_cmp(&a.min_qty));
        order.then_with(|| a.price.total_cmp(&b.price)).then_with(|| a.id.cmp(&b.id))
    };
    let main = offers.iter().filter(|offer| offer.holds(product, today)).min_by(rank)?;
    // Days fit a double; nobody promises to have delivered before the order.
    let days = i32::try_from(main.lead_days).ok().filter(|days| *days >= 0)?;
    Some(Promise { supplier: main.supplier.name.clone(), days: f64::from(days) })
}

/// The reading of a pair. Where no quant is left nothing is on hand as of now. Odoo may hold negative quantities (sold
/// before received); there is no such stock, so they read as nothing.
pub(super) fn reading(cause: &Cause, article: &Article, around: &Surroundings) -> Reading {
    let (product, site) = (&article.product, &cause.site);
    let pair = (product.id, site.warehouse_id);
    let level = around.levels.get(&pair);
    let (model, record_id) = level.map_or((cause.model, cause.id), |level| (QUANT, level.written.1));
    let money = |price: f64| around.currency.and_then(|currency| amount(price, currency));
    let applies = |rule: &&Orderpoint| rule.product.id == product.id && rule.location.id == site.stock_location;
    Reading {
        model: model.into(),
        record_id,
        sku: product.sku.clone().unwrap_or_default(),
        product_name: product.name.clone(),
        category: product.category.as_ref().map(|category| category.name.clone()),
        unit_cost: money(product.standard_price),
        unit_price: money(product.list_price),
        warehouse: site.code.clone(),
        warehouse_name: site.name.clone(),
        on_hand: level.map_or(0.0, |level| level.on_hand.max(0.0)),
        reserved: level.map_or(0.0, |level| level.reserved.max(0.0)),
        written_at: level.map_or(around.now, |level| level.written.0),
        reorder_point: around.orderpoints.iter().find(applies).map(|rule| rule.min),
        incoming: around.incoming.get(&pair).cloned().unwrap_or_default(),
        promise: article.promise.clone(),
        trouble: trouble(article),
    }
}

/// The reading of a quant whose location belongs to no warehouse.
pub(super) fn homeless(quant: &Quant, article: &Article) -> Reading {
    let site = Site {
        warehouse_id: 0,
        code: String::new(),
        name: String::new(),
        stock_location: quant.location.id,
        is_shelf: false,
    };
    let cause = Cause { model: QUANT, id: quant.id, product: quant.product.id, site };
    let nothing = Surroundings {
        levels: HashMap::new(),
        orderpoints: Vec::new(),
        incoming: HashMap::new(),
        currency: None,
        now: quant.write_date,
    };
    let trouble = Trouble {
        entity: Entity::Location,
        external: format!("stock.location:{}", quant.location.id),
        reason: format!("{} belongs to no warehouse", quant.location.name),
    };
    Reading { trouble: Some(trouble), ..reading(&cause, article, &nothing) }
}

fn trouble(article: &Article) -> Option<Trouble> {
    let product = &article.product;
    let about = |external: String, reason: &str| {
        Some(Trouble { entity: Entity::Product, external, reason: format!("{} {reason}", product.name) })
    };
    match &product.sku {
        None => about(format!("product.product:{}", product.id), "has no internal reference"),
        Some(sku) if article.ambiguous => about(sku.clone(), "shares its internal reference with another product"),
        Some(_) => None,
    }
}

/// A price of Odoo's in minor units. Odoo has no empty price: 0 is what nobody has entered, and worth "unknown" here,
/// or a policy would take the goods for worthless.
fn amount(price: f64, currency: Currency) -> Option<Money> {
    let minor = (price * 10_f64.powi(i32::try_from(currency.exponent()).ok()?)).round();
    #[expect(clippy::cast_possible_truncation, reason = "checked to lie within the integers that a double holds")]
    (0.0 < minor && minor < 9e15).then(|| Money::new(minor as i64, currency))
}

#[cfg(test)]
mod tests {
    use odoo::Ref;
    use serde_json::{Value, json};

    use super::*;

    fn quant(id: i64, product: i64, location: i64, quantity: f64, second: i64) -> Quant {
        let link = |id| Ref { id, name: String::new() };
        Quant {
            id,
            product: link(product),
            location: link(location),
            quantity,
            reserved_quantity: 1.0,
            write_date: Timestamp::from_second(second).unwrap(),
        }
    }

    /// Shelf (8) and dock (9) of one warehouse, shelf (20) of another.
    fn sites() -> HashMap<i64, Site> {
        let site = |id, code: &str, is_shelf| Site {
            warehouse_id: id,
            code: code.into(),
            name: code.into(),
            stock_location: id,
            is_shelf,
        };
        HashMap::from([(8, site(1, "S1", true)), (9, site(1, "S1", false)), (20, site(2, "S2", true))])
    }

    fn moved(id: i64, from: i64, to: i64, origin: Option<&str>) -> Move {
        let line = json!({"id": id, "product_id": [5, "Oats"], "product_uom_qty": 2.0, "product_uom": [2, "Dozens"],
            "product_qty": 24.0, "state": "assigned", "date": "2026-11-28 08:00:00", "date_deadline": false,
            "origin": origin, "location_id": [from, ""], "location_dest_id": [to, ""],
            "picking_id": [3, "S1/IN/00003"], "write_date": "2026-11-23 08:00:00"});
        serde_json::from_value(line).unwrap()
    }

    #[test]
    fn what_comes_from_outside_of_the_warehouse_is_on_its_way_and_nothing_else() {
        let moves = [
            moved(1, 4, 8, Some("P00003")),
            moved(2, 8, 9, Some("dock to shelf")),
            moved(3, 20, 9, None),
            moved(4, 8, 4, Some("a sale")),
        ];
        let found = receipts(&moves, &sites(), |line| line.date);
        let due: Timestamp = "2026-11-28T08:00:00Z".parse().unwrap();
        let receipt = |order: &str| Receipt { order: OrderRef::new(order).unwrap(), due, quantity: 24.0 };
        assert_eq!(found[&(5, 1)], [receipt("P00003"), receipt("S1-IN-00003")], "in the unit of the stock");
        assert_eq!(found.len(), 1);
        let causes = causes(&[quant(7, 5, 20, 1.0, 10)], &moves, &sites());
        let pairs: Vec<_> = causes.iter().map(|cause| (cause.model, cause.id, cause.site.warehouse_id)).collect();
        assert_eq!(pairs, [("stock.move", 3, 1), (QUANT, 7, 2)]);
    }

    #[test]
    fn the_main_supplier_is_the_first_whose_offer_holds_today() {
        let offer = |id: i64, sequence: i64, variant: Value, until: Value| {
            let offer = json!({"id": id, "partner_id": [id, format!("supplier-{id}")], "product_tmpl_id": [1, ""],
                "product_id": variant, "delay": id, "price": 1.0, "min_qty": 1.0, "currency_id": [1, "EUR"],
                "sequence": sequence, "date_start": false, "date_end": until});
            serde_json::from_value::<SupplierOffer>(offer).unwrap()
        };
        let product = json!({"id": 5, "default_code": "OAT-1", "name": "Oats", "categ_id": false,
            "standard_price": 1.0, "list_price": 2.0, "product_tmpl_id": [1, ""], "uom_id": [1, "Units"]});
        let product: Product = serde_json::from_value(product).unwrap();
        let no = json!(false);
        let offers = [
            offer(9, 3, no.clone(), no.clone()),
            offer(8, 2, no.clone(), no.clone()),
            offer(7, 1, json!([6, "another variant"]), no.clone()),
            offer(6, 1, no.clone(), json!("2026-11-22")),
        ];
        let today = "2026-11-23".parse().unwrap();
        let expected = Promise { supplier: "supplier-8".into(), days: 8.0 };
        assert_eq!(promise(&offers, &product, today), Some(expected));
        assert_eq!(promise(&offers[2..], &product, today), None);
    }

    #[test]
    fn shelves_and_lots_of_a_warehouse_add_up() {
        let sites = sites();
        let quants =
            [quant(1, 5, 8, 3.0, 10), quant(2, 5, 9, 4.0, 30), quant(3, 5, 20, 9.0, 20), quant(4, 5, 99, 7.0, 1)];
        let inside = [moved(1, 9, 8, None), moved(2, 8, 9, None)];
        assert_eq!(sums(&quants[..2], &inside[..1], &sites)[&(5, 1)].reserved, 0.0, "for the shelf means for anybody");
        assert_eq!(
            sums(&quants[..2], &inside[1..], &sites)[&(5, 1)].reserved,
            2.0,
            "what leaves the shelf is promised"
        );
        let sums = sums(&quants, &[], &sites);
        let level = |on_hand, reserved, second, id| Level {
            on_hand,
            reserved,
            written: (Timestamp::from_second(second).unwrap(), id),
        };
        assert_eq!(sums[&(5, 1)], level(7.0, 2.0, 30, 2));
        assert_eq!(sums[&(5, 2)], level(9.0, 1.0, 20, 3));
        assert_eq!(sums.len(), 2, "a place outside of every warehouse holds no stock of ours");
    }

    #[test]
    fn a_price_has_as_many_decimals_as_its_currency() {
        let minor = |price, code| amount(price, Currency::new(code).unwrap()).unwrap().minor;
        assert_eq!((minor(12.99, "EUR"), minor(1299.0, "JPY"), minor(1.2345, "KWD")), (1299, 1299, 1235));
    }
}
