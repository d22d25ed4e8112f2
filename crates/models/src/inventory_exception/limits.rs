//! What a request may hold: every number has a range, every list a longest length.

use contracts::{FieldError, Money};

use super::types::{Adjustment, Facts, Request};

/// Most units of any one number. Beyond it a figure is a unit error, and exact counting in floats ends.
const MAX_UNITS: f64 = 1e9;
/// Most events (reports, entries) and units of a case.
const MAX_EVENTS: f64 = 1e6;
/// Ten years.
const MAX_DAYS: f64 = 3650.0;
const MAX_ADJUSTMENTS: usize = 200;
pub(super) const MAX_NAME: usize = 64;
const MAX_ITEM_NAME: usize = 256;
const MAX_GRADE: u8 = 2;

impl Request {
    /// Everything wrong with the request, each with its pointer; empty when it can be judged.
    #[must_use]
    pub fn violations(&self) -> Vec<FieldError> {
        let mut found = Vec::new();
        numbers(&self.facts, &mut found);
        lists(&self.facts, &mut found);
        texts(&self.facts, &mut found);
        grades(&self.facts, &mut found);
        money(&self.facts, &mut found);
        consistent(&self.facts, &mut found);
        found
    }
}

fn numbers(facts: &Facts, found: &mut Vec<FieldError>) {
    let mut within = |value: Option<f64>, least: f64, most: f64, pointer: &str| {
        // Written so that NaN is refused too.
        if value.is_some_and(|value| !(least..=most).contains(&value)) {
            let detail = format!("must be a number between {least} and {most}");
            found.push(FieldError::new(format!("/facts{pointer}"), detail));
        }
    };
    within(facts.item.case_pack, 1.0, MAX_EVENTS, "/item/case_pack");
    let count = &facts.count;
    within(count.variance, -MAX_UNITS, MAX_UNITS, "/count/variance");
    within(count.system, -MAX_UNITS, MAX_UNITS, "/count/system");
    within(count.counted, 0.0, MAX_UNITS, "/count/counted");
    within(count.recount, 0.0, MAX_UNITS, "/count/recount");
    let sales = &facts.sales;
    within(sales.units, 0.0, MAX_UNITS, "/sales/units");
    within(sales.days, 0.0, MAX_DAYS, "/sales/days");
    within(sales.days_since_last, 0.0, MAX_DAYS, "/sales/days_since_last");
    within(sales.idle_days, 0.0, MAX_DAYS, "/sales/idle_days");
    within(sales.typical_line, 0.0, MAX_UNITS, "/sales/typical_line");
    let receipts = &facts.receipts;
    within(receipts.last_announced, -MAX_UNITS, MAX_UNITS, "/receipts/last_announced");
    within(receipts.last_posted, 0.0, MAX_UNITS, "/receipts/last_posted");
    within(receipts.last_days_ago, 0.0, MAX_DAYS, "/receipts/last_days_ago");
    within(facts.moves.transfer_units, 0.0, MAX_UNITS, "/moves/transfer_units");
    within(facts.moves.open_document_units, -MAX_UNITS, MAX_UNITS, "/moves/open_document_units");
    within(facts.neighbours.similar_product, -MAX_UNITS, MAX_UNITS, "/neighbours/similar_product");
    within(facts.neighbours.other_place, -MAX_UNITS, MAX_UNITS, "/neighbours/other_place");
    let handling = &facts.handling;
    within(handling.damage_reports, 0.0, MAX_EVENTS, "/handling/damage_reports");
    within(handling.waste_units, 0.0, MAX_UNITS, "/handling/waste_units");
    within(handling.manual_entries, 0.0, MAX_EVENTS, "/handling/manual_entries");
    within(handling.largest_scan, 0.0, MAX_UNITS, "/handling/largest_scan");
}

fn lists(facts: &Facts, found: &mut Vec<FieldError>) {
    let neighbours = [("session", &facts.neighbours.session), ("earlier", &facts.neighbours.earlier)];
    for (name, list) in neighbours {
        let Some(list) = list else { continue };
        if list.len() > MAX_ADJUSTMENTS {
            let detail = format!("must hold at most {MAX_ADJUSTMENTS} adjustments, holds {}", list.len());
            found.push(FieldError::new(format!("/facts/neighbours/{name}"), detail));
            continue;
        }
        let sound = |one: &Adjustment| (-MAX_UNITS..=MAX_UNITS).contains(&one.units);
        found.extend(list.iter().enumerate().filter(|(_, one)| !sound(one)).map(|(i, _)| {
            let pointer = format!("/facts/neighbours/{name}/{i}/units");
            FieldError::new(pointer, format!("must be a number between -{MAX_UNITS} and {MAX_UNITS}"))
        }));
    }
}

fn texts(facts: &Facts, found: &mut Vec<FieldError>) {
    let texts = [("/facts/category", &facts.category, MAX_NAME), ("/facts/item/name", &facts.item.name, MAX_ITEM_NAME)];
    for (pointer, text, most) in texts {
        if text.as_ref().is_some_and(|text| text.is_empty() || text.len() > most) {
            found.push(FieldError::new(pointer, format!("must have 1 to {most} bytes")));
        }
    }
}

fn grades(facts: &Facts, found: &mut Vec<FieldError>) {
    let grades = [("theft_risk", facts.item.theft_risk), ("fragility", facts.item.fragility)];
    for (name, _) in grades.iter().filter(|(_, grade)| grade.is_some_and(|grade| grade > MAX_GRADE)) {
        found.push(FieldError::new(format!("/facts/item/{name}"), "must be 0, 1 or 2"));
    }
}

fn money(facts: &Facts, found: &mut Vec<FieldError>) {
    let negative = |money: Option<Money>| money.is_some_and(|money| money.minor < 0);
    for (name, money) in [("unit_cost", facts.item.unit_cost), ("unit_price", facts.item.unit_price)] {
        if negative(money) {
            found.push(FieldError::new(format!("/facts/item/{name}/minor"), "must not be negative"));
        }
    }
    if let (Some(cost), Some(price)) = (facts.item.unit_cost, facts.item.unit_price)
        && cost.currency != price.currency
    {
        found.push(FieldError::new("/facts/item/unit_price/currency", "must be the currency of unit_cost"));
    }
}

/// A variance that is told must be the one that the two counts make.
fn consistent(facts: &Facts, found: &mut Vec<FieldError>) {
    const ROUNDING: f64 = 1e-6;
    let count = &facts.count;
    if let (Some(variance), Some(system), Some(counted)) = (count.variance, count.system, count.counted)
        && (counted - system - variance).abs() > ROUNDING
    {
        found.push(FieldError::new("/facts/count/variance", "must be counted less system"));
    }
}
