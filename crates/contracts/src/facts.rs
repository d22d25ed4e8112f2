//! The facts object: what a model scores, an approver sees and the drift check compares. supplier-sync-svc assembles
//! it in one place; nobody else makes facts up.

use std::fmt;

use jiff::{Timestamp, civil::Date};
use serde::{Deserialize, Serialize};

use crate::{Digest, FieldError, LocationId, Money, OrderRef, ProductId, RegionId, SupplierId};

/// Longest history carried, in buckets. More is not read by any model.
pub const MAX_HISTORY_DAYS: usize = 730;
/// Longest plan carried, in buckets after the history.
pub const MAX_AHEAD: usize = 366;
/// Most donors carried with one location.
pub const MAX_DONORS: usize = 50;

/// Everything known of one product at one location at one time.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Facts {
    pub product: ProductId,
    pub location: LocationId,
    /// When they were read together.
    pub as_of: Timestamp,
    pub item: Item,
    pub place: Place,
    pub stock: Stock,
    pub demand: DailyDemand,
    /// Receipts still to come, soonest first.
    #[serde(default)]
    pub incoming: Vec<Incoming>,
    pub lead_time: LeadTime,
    /// Other locations that hold the product, nearest first.
    #[serde(default)]
    pub donors: Vec<Donor>,
    /// SHA-256 over the canonical JSON of everything above but `as_of`: equal facts have equal hashes whenever they
    /// are read. Absent only before [`Facts::seal`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hash: Option<Digest>,
}

/// Master data of the product. What is unknown is absent, never zero.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Item {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub category: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unit_cost: Option<Money>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unit_price: Option<Money>,
    /// Units per pack; quantities to order are multiples of it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(minimum = 1)]
    pub pack: Option<u32>,
    /// Minimum order quantity in units.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub moq: Option<u32>,
    /// Days until the article must be written off after receipt.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub shelf_life_days: Option<u32>,
    /// What a unit still brings when its shelf life is over; nothing when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub salvage_value: Option<Money>,
    /// Litres that a unit takes in transport and on the shelf.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(minimum = 0)]
    pub unit_volume_litres: Option<f64>,
}

/// Master data of the location.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Place {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub region: Option<RegionId>,
    /// IANA time zone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(example = "Europe/Berlin")]
    pub time_zone: Option<String>,
}

/// Stock at the location, in units.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Stock {
    #[schema(minimum = 0)]
    pub on_hand: f64,
    /// Part of `on_hand` that is promised already.
    #[serde(default)]
    #[schema(minimum = 0)]
    pub reserved: f64,
    pub observed_at: Timestamp,
}

impl Stock {
    /// What can still be sold: on hand less reserved, never below zero.
    #[must_use]
    pub fn available(&self) -> f64 {
        (self.on_hand - self.reserved).max(0.0)
    }
}

/// How often sales are counted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Every {
    #[default]
    Day,
    Week,
    /// A calendar month, from the day of the month that `first_day` has.
    Month,
}

impl Every {
    fn is_day(&self) -> bool {
        *self == Self::Day
    }

    /// Mean length in days; a month has a twelfth of a Julian year.
    #[must_use]
    pub fn days(self) -> f64 {
        match self {
            Self::Day => 1.0,
            Self::Week => 7.0,
            Self::Month => 365.25 / 12.0,
        }
    }
}

/// Sales over time, one element per bucket (a day, unless `every` says otherwise) from `first_day` on, oldest first, no
/// gaps: a bucket of which nothing is known has `out_of_stock` 1. What is planned goes on where the history ends.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct DailyDemand {
    /// First day of the first bucket.
    #[schema(value_type = String, format = Date)]
    pub first_day: Date,
    /// Length of a bucket; a day when absent.
    #[serde(default, skip_serializing_if = "Every::is_day")]
    pub every: Every,
    /// Units sold in the bucket.
    pub units: Vec<f64>,
    /// Share of the opening hours without stock, 0 to 1; 1 = nothing can be read from the bucket. Empty = never.
    #[serde(default)]
    pub out_of_stock: Vec<f64>,
    /// Whether the article was on promotion. Empty = never.
    #[serde(default)]
    pub promotion: Vec<bool>,
    /// Planned promotion for the buckets after the last one. Empty = none.
    #[serde(default)]
    pub promotion_ahead: Vec<bool>,
    /// Whether the article was advertised (leaflet, feature), which moves demand by another factor than the promotion
    /// itself. Empty = never.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub advertised: Vec<bool>,
    /// Planned advertising. Empty = none.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub advertised_ahead: Vec<bool>,
    /// Price as a share of the regular price: 1 = none off, 0.8 = 20 % off. Empty = regular price throughout.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub price_share: Vec<f64>,
    /// Planned price as a share of the regular one. Empty = regular price.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub price_share_ahead: Vec<f64>,
    /// Whether people were off work: weekends and public holidays. Empty = Saturdays and Sundays. Of days only.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub holiday: Vec<bool>,
    /// The same for the days ahead.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub holiday_ahead: Vec<bool>,
}

/// A receipt on its way.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Incoming {
    pub order: OrderRef,
    #[schema(value_type = String, format = Date)]
    pub due: Date,
    #[schema(minimum = 0)]
    pub quantity: f64,
}

/// How long the supplier takes from order to receipt, in days.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct LeadTime {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub supplier: Option<SupplierId>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(minimum = 0)]
    pub promised_days: Option<f64>,
    /// Lead times of past receipts, oldest first.
    #[serde(default)]
    pub seen_days: Vec<f64>,
}

/// Another location that could give some of its stock.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Donor {
    pub location: LocationId,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub region: Option<RegionId>,
    pub stock: Stock,
    /// Mean units sold per day over the donor's own recent history.
    #[schema(minimum = 0)]
    pub daily_demand: f64,
    /// Days a transfer from here takes.
    #[schema(minimum = 0)]
    pub transfer_days: f64,
    /// Cost of one transfer, whatever its size.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub transfer_cost: Option<Money>,
}

impl Facts {
    /// Computes the hash over everything but `as_of` and the hash itself.
    ///
    /// # Errors
    /// When a number is not finite and so has no JSON form.
    pub fn digest(&self) -> Result<Digest, serde_json::Error> {
        let mut value = serde_json::to_value(self)?;
        if let Some(object) = value.as_object_mut() {
            object.remove("hash");
            object.remove("as_of");
        }
        Digest::of(&value)
    }

    /// Sets the hash.
    ///
    /// # Errors
    /// As [`Facts::digest`].
    pub fn seal(mut self) -> Result<Self, serde_json::Error> {
        self.hash = Some(self.digest()?);
        Ok(self)
    }

    /// Everything wrong with the numbers, each with its pointer below `base`; empty when they can be used.
    #[must_use]
    pub fn violations(&self, base: &str) -> Vec<FieldError> {
        let mut found = Vec::new();
        // Pointers are spelled only for what is wrong: thousands of facts a second pass through here.
        let mut number = |pointer: fmt::Arguments<'_>, value: f64| {
            if !value.is_finite() || value < 0.0 {
                found.push(FieldError::new(format!("{base}{pointer}"), "must be a number >= 0"));
            }
        };
        let mut stock = |pointer: fmt::Arguments<'_>, stock: &Stock| {
            number(format_args!("{pointer}/on_hand"), stock.on_hand);
            number(format_args!("{pointer}/reserved"), stock.reserved);
        };
        stock(format_args!("/stock"), &self.stock);
        self.donors.iter().enumerate().for_each(|(i, donor)| stock(format_args!("/donors/{i}/stock"), &donor.stock));
        let lists = [
            ("/demand/units", &self.demand.units),
            ("/demand/out_of_stock", &self.demand.out_of_stock),
            ("/demand/price_share", &self.demand.price_share),
            ("/demand/price_share_ahead", &self.demand.price_share_ahead),
            ("/lead_time/seen_days", &self.lead_time.seen_days),
        ];
        for (pointer, values) in lists {
            values.iter().enumerate().for_each(|(i, value)| number(format_args!("{pointer}/{i}"), *value));
        }
        self.incoming
            .iter()
            .enumerate()
            .for_each(|(i, order)| number(format_args!("/incoming/{i}/quantity"), order.quantity));
        for (i, donor) in self.donors.iter().enumerate() {
            number(format_args!("/donors/{i}/daily_demand"), donor.daily_demand);
            number(format_args!("/donors/{i}/transfer_days"), donor.transfer_days);
        }
        if let Some(days) = self.lead_time.promised_days {
            number(format_args!("/lead_time/promised_days"), days);
        }
        if let Some(litres) = self.item.unit_volume_litres {
            number(format_args!("/item/unit_volume_litres"), litres);
        }
        let mut money = |pointer: fmt::Arguments<'_>, value: Option<Money>| {
            if value.is_some_and(|money| money.minor < 0) {
                found.push(FieldError::new(format!("{base}{pointer}/minor"), "must not be negative"));
            }
        };
        money(format_args!("/item/unit_cost"), self.item.unit_cost);
        money(format_args!("/item/unit_price"), self.item.unit_price);
        self.donors
            .iter()
            .enumerate()
            .for_each(|(i, donor)| money(format_args!("/donors/{i}/transfer_cost"), donor.transfer_cost));
        found.extend(self.shape_violations(base));
        found
    }

    fn shape_violations(&self, base: &str) -> Vec<FieldError> {
        let mut found = self.demand.violations(&format_args!("{base}/demand"));
        let mut refuse = |bad: bool, pointer: fmt::Arguments<'_>, detail: fmt::Arguments<'_>| {
            if bad {
                found.push(FieldError::new(format!("{base}{pointer}"), detail.to_string()));
            }
        };
        let donors = self.donors.len();
        refuse(donors > MAX_DONORS, format_args!("/donors"), format_args!("at most {MAX_DONORS}, has {donors}"));
        refuse(self.item.pack == Some(0), format_args!("/item/pack"), format_args!("must be at least 1"));
        for (i, pair) in self.incoming.windows(2).enumerate() {
            let detail = format_args!("must not be due before the one before it");
            refuse(pair[1].due < pair[0].due, format_args!("/incoming/{}/due", i + 1), detail);
        }
        found
    }
}

impl DailyDemand {
    /// Lists of the wrong length, shares above 1, and facts that only days have; each below `base`.
    fn violations(&self, base: &fmt::Arguments<'_>) -> Vec<FieldError> {
        let buckets = self.units.len();
        let mut found = Vec::new();
        let mut refuse = |bad: bool, name: &str, detail: fmt::Arguments<'_>| {
            if bad {
                found.push(FieldError::new(format!("{base}{name}"), detail.to_string()));
            }
        };
        refuse(
            buckets > MAX_HISTORY_DAYS,
            "/units",
            format_args!("at most {MAX_HISTORY_DAYS} days (or other buckets), has {buckets}"),
        );
        let parallel = [
            ("/out_of_stock", self.out_of_stock.len()),
            ("/promotion", self.promotion.len()),
            ("/advertised", self.advertised.len()),
            ("/price_share", self.price_share.len()),
            ("/holiday", self.holiday.len()),
        ];
        for (name, length) in parallel {
            let detail = format_args!("must be empty or as long as units, {buckets}, has {length}");
            refuse(length != 0 && length != buckets, name, detail);
        }
        let ahead = [
            ("/promotion_ahead", self.promotion_ahead.len()),
            ("/advertised_ahead", self.advertised_ahead.len()),
            ("/price_share_ahead", self.price_share_ahead.len()),
            ("/holiday_ahead", self.holiday_ahead.len()),
        ];
        for (name, length) in ahead {
            refuse(length > MAX_AHEAD, name, format_args!("at most {MAX_AHEAD}, has {length}"));
        }
        let no_days = self.every != Every::Day && !(self.holiday.is_empty() && self.holiday_ahead.is_empty());
        refuse(no_days, "/holiday", format_args!("only days are holidays, these are longer buckets"));
        let shares = [
            ("/out_of_stock", &self.out_of_stock),
            ("/price_share", &self.price_share),
            ("/price_share_ahead", &self.price_share_ahead),
        ];
        for (name, values) in shares {
            for (i, _) in values.iter().enumerate().filter(|(_, share)| **share > 1.0) {
                found.push(FieldError::new(format!("{base}{name}/{i}"), "is a share, at most 1"));
            }
        }
        found
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    pub(crate) fn example() -> Facts {
        serde_json::from_value(serde_json::json!({
            "product": "SKU-1", "location": "store-1", "as_of": "2026-11-23T08:00:00Z",
            "item": {"pack": 6}, "place": {"region": "north"},
            "stock": {"on_hand": 4.0, "observed_at": "2026-11-23T07:59:00Z"},
            "demand": {"first_day": "2026-11-20", "units": [3.0, 2.0, 5.0]},
            "lead_time": {"seen_days": [2.0, 3.0]}
        }))
        .unwrap()
    }

    #[test]
    fn the_hash_is_of_the_facts_and_not_of_the_moment() {
        let sealed = example().seal().unwrap();
        let mut later = sealed.clone();
        later.as_of = "2026-11-24T00:00:00Z".parse().unwrap();
        assert_eq!(later.digest().unwrap(), sealed.digest().unwrap());
        later.stock.on_hand = 3.0;
        assert_ne!(later.digest().unwrap(), sealed.digest().unwrap());
    }

    #[test]
    fn every_bad_number_is_named() {
        let mut facts = example();
        facts.stock.on_hand = -1.0;
        facts.demand.units[1] = f64::NAN;
        facts.demand.promotion = vec![true];
        let pointers: Vec<_> = facts.violations("/facts").into_iter().map(|e| e.pointer).collect();
        assert_eq!(pointers, ["/facts/stock/on_hand", "/facts/demand/units/1", "/facts/demand/promotion"]);
        assert!(example().violations("").is_empty());
    }
}
