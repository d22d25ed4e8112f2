//! Observations: what tills, shops and warehouses tell, one JSON object a line, parsed at the door.

use chassis::http::parse_json;
use contracts::{FieldError, LocationId, Money, OrderRef, Problem, ProductId, RegionId, SupplierId};
use jiff::{Timestamp, civil::Date};
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use serde_json::{Map, Value};

/// The kinds, each once: variant, reader and schema come from the same list. An enum tagged by serde could not say which
/// field of a line is wrong, and its schema could not forbid unknown fields.
macro_rules! kinds {
    ($($kind:literal => $variant:ident($type:ty)),+ $(,)?) => {
        /// One line, by its `kind`. All are upserts: telling the same twice changes nothing.
        #[derive(Clone, Debug, PartialEq)]
        pub(crate) enum Observation {
            $($variant($type)),+
        }

        impl Observation {
            fn read(kind: &str, fields: Map<String, Value>) -> Result<Self, Problem> {
                match kind {
                    $($kind => typed(fields).map(Self::$variant),)+
                    other => Err(invalid(vec![FieldError::new("/kind", format!("{other:?} is no kind of observation"))])),
                }
            }
        }

        impl utoipa::PartialSchema for Observation {
            fn schema() -> utoipa::openapi::RefOr<utoipa::openapi::Schema> {
                utoipa::openapi::OneOfBuilder::new()$(.item(of_kind($kind, <$type as utoipa::PartialSchema>::schema())))+.into()
            }
        }

        impl utoipa::ToSchema for Observation {
            fn schemas(schemas: &mut Vec<(String, utoipa::openapi::RefOr<utoipa::openapi::Schema>)>) {
                $(<$type as utoipa::ToSchema>::schemas(schemas);)+
            }
        }
    };
}

kinds! {
    "product" => Product(ProductSeen),
    "location" => Location(LocationSeen),
    "sales" => Sales(DaySold),
    "planned_promotion" => PlannedPromotion(PromotionPlanned),
    "holiday" => Holiday(HolidayTold),
    "stock" => Stock(StockSeen),
    "incoming" => Incoming(ReceiptAhead),
    "lead_time" => LeadTime(LeadTimeSeen),
    "promised_lead_time" => PromisedLeadTime(LeadTimePromised),
    "lane" => Lane(LaneSeen),
    "reorder_point" => ReorderPoint(ReorderPointSet),
    "xref" => Xref(XrefTold),
}

/// The schema of one kind's fields with its tag among them.
fn of_kind(
    kind: &str,
    fields: utoipa::openapi::RefOr<utoipa::openapi::Schema>,
) -> utoipa::openapi::RefOr<utoipa::openapi::Schema> {
    // Qualified, because the names in scope would make the derived schemas below look over-qualified to the lint.
    use utoipa::openapi::{ObjectBuilder, RefOr, Schema, Type};
    match fields {
        RefOr::T(Schema::Object(mut object)) => {
            let tag = ObjectBuilder::new().schema_type(Type::String).enum_values(Some([kind]));
            object.properties.insert("kind".to_owned(), tag.into());
            object.required.push("kind".to_owned());
            object.into()
        }
        other => other,
    }
}

/// Master data of a product; what is absent stays as it was.
#[derive(Clone, Debug, PartialEq, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct ProductSeen {
    pub product: ProductId,
    pub name: Option<String>,
    pub category: Option<String>,
    pub unit_cost: Option<Money>,
    pub unit_price: Option<Money>,
    #[schema(minimum = 1)]
    pub pack: Option<u32>,
    pub moq: Option<u32>,
    pub shelf_life_days: Option<u32>,
    /// What a unit still brings when its shelf life is over, in the currency of its cost.
    pub salvage_value: Option<Money>,
    /// Litres that a unit takes in transport and on the shelf.
    #[schema(minimum = 0, maximum = 1_000_000)]
    pub unit_volume_litres: Option<f64>,
}

/// Master data of a location; what is absent stays as it was.
#[derive(Clone, Debug, PartialEq, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct LocationSeen {
    pub location: LocationId,
    pub name: Option<String>,
    pub region: Option<RegionId>,
    /// IANA time zone.
    pub time_zone: Option<String>,
}

/// Units sold on a day. A day that is told again replaces what was told of it.
#[derive(Clone, Debug, PartialEq, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct DaySold {
    pub product: ProductId,
    pub location: LocationId,
    #[schema(value_type = String, format = Date)]
    pub day: Date,
    #[schema(minimum = 0)]
    pub units: f64,
    /// Share of the opening hours without stock.
    #[serde(default)]
    #[schema(minimum = 0, maximum = 1)]
    pub out_of_stock: f64,
    #[serde(default)]
    pub promotion: bool,
    /// Price as a share of the regular price: 0.8 = a fifth off; the regular price when absent.
    #[schema(minimum = 0.01, maximum = 1)]
    pub price_share: Option<f64>,
    /// Whether it was in a leaflet or featured.
    #[serde(default)]
    pub advertised: bool,
}

/// A promotion on a day to come. A day that is told again replaces what was told of it.
#[derive(Clone, Debug, PartialEq, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct PromotionPlanned {
    pub product: ProductId,
    pub location: LocationId,
    #[schema(value_type = String, format = Date)]
    pub day: Date,
    /// Price as a share of the regular price: 0.8 = a fifth off; the regular price when absent.
    #[schema(minimum = 0.01, maximum = 1)]
    pub price_share: Option<f64>,
    /// Whether it will be in a leaflet or featured.
    #[serde(default)]
    pub advertised: bool,
}

/// A day that is not as the week says, past or to come. Nobody needs to tell Saturdays and Sundays.
#[derive(Clone, Debug, PartialEq, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct HolidayTold {
    pub location: LocationId,
    #[schema(value_type = String, format = Date)]
    pub day: Date,
    /// Whether people are off work; `false` takes a holiday back and makes a working day of a Saturday or Sunday.
    #[serde(default = "off_work")]
    #[schema(default = true)]
    pub holiday: bool,
}

fn off_work() -> bool {
    true
}

/// A stock level. The latest `observed_at` wins, whoever saw it and whenever it arrives.
#[derive(Clone, Debug, PartialEq, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct StockSeen {
    pub product: ProductId,
    pub location: LocationId,
    #[schema(minimum = 0)]
    pub on_hand: f64,
    #[serde(default)]
    #[schema(minimum = 0)]
    pub reserved: f64,
    pub observed_at: Timestamp,
    /// Who saw it: `pos`, `wms`, ...
    pub system: String,
}

/// A receipt on its way. Goes before what Odoo says of the same order; quantity 0 takes back what was told, because it
/// has arrived or was cancelled.
#[derive(Clone, Debug, PartialEq, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct ReceiptAhead {
    pub product: ProductId,
    pub location: LocationId,
    pub order: OrderRef,
    #[schema(value_type = String, format = Date)]
    pub due: Date,
    #[schema(minimum = 0)]
    pub quantity: f64,
}

/// Days from order to receipt of a past order.
#[derive(Clone, Debug, PartialEq, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct LeadTimeSeen {
    pub product: ProductId,
    pub location: LocationId,
    pub supplier: Option<SupplierId>,
    #[schema(minimum = 0)]
    pub days: f64,
    /// Makes a repeat of the line the same lead time; without it each line is another one.
    pub order: Option<OrderRef>,
}

/// Goes before what Odoo's main supplier promises.
#[derive(Clone, Debug, PartialEq, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct LeadTimePromised {
    pub product: ProductId,
    pub location: LocationId,
    pub supplier: Option<SupplierId>,
    #[schema(minimum = 0)]
    pub days: f64,
}

/// What a transfer between two locations takes.
#[derive(Clone, Debug, PartialEq, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct LaneSeen {
    pub from: LocationId,
    pub to: LocationId,
    #[schema(minimum = 0)]
    pub transfer_days: f64,
    /// Of one transfer, whatever its size.
    pub transfer_cost: Option<Money>,
}

/// At or below this level stock is low. Goes before a reorder point of Odoo's.
#[derive(Clone, Debug, PartialEq, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct ReorderPointSet {
    pub product: ProductId,
    pub location: LocationId,
    #[schema(minimum = 0)]
    pub units: f64,
}

/// Our identifier and the one of another system. For Odoo that is a product's internal reference, a warehouse's short
/// name and a supplier's name.
#[derive(Clone, Debug, PartialEq, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct XrefTold {
    pub entity: Entity,
    /// Our identifier.
    #[schema(value_type = ProductId)]
    pub id: ProductId,
    #[schema(example = "odoo")]
    pub system: String,
    pub external_id: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Entity {
    Product,
    Location,
    Supplier,
}

impl ProductSeen {
    /// The models set cost, price and salvage value against each other: none is negative, all are of one currency.
    fn refuse(&self, mut refuse: impl FnMut(bool, &str, &str)) {
        refuse(self.pack == Some(0), "/pack", "must be at least 1");
        let litres = self.unit_volume_litres.unwrap_or(0.0);
        refuse(!(0.0..=MAX_LITRES).contains(&litres), "/unit_volume_litres", "must be between 0 and 1000000");
        let amounts =
            [("/unit_cost", self.unit_cost), ("/unit_price", self.unit_price), ("/salvage_value", self.salvage_value)];
        let mut currency = None;
        for (pointer, amount) in amounts.into_iter().filter_map(|(pointer, amount)| Some((pointer, amount?))) {
            refuse(amount.minor < 0, &format!("{pointer}/minor"), "must not be negative");
            let foreign = *currency.get_or_insert(amount.currency) != amount.currency;
            refuse(foreign, &format!("{pointer}/currency"), "must be the same for all amounts of the product");
        }
    }
}

impl Entity {
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Product => "product",
            Self::Location => "location",
            Self::Supplier => "supplier",
        }
    }
}

const OFF_PRICE: &str = "is a share of the regular price, from 0.01 to 1";
/// Prices as shares of the regular price, as the models take them.
const PRICE_SHARES: std::ops::RangeInclusive<f64> = 0.01..=1.0;
/// Most litres of a unit: a thousand cubic metres. Beyond it a figure is a unit error.
const MAX_LITRES: f64 = 1e6;
/// Longest free text kept (names, foreign identifiers), in bytes.
const MAX_TEXT: usize = 256;

impl Observation {
    /// Reads one line.
    ///
    /// # Errors
    /// A problem that names every bad field by its pointer into the line.
    pub(crate) fn parse(line: Value) -> Result<Self, Problem> {
        let one = |pointer: &str, detail: &str| invalid(vec![FieldError::new(pointer, detail)]);
        let Value::Object(mut fields) = line else { return Err(one("", "must be a JSON object")) };
        let kind = match fields.remove("kind") {
            Some(Value::String(kind)) => kind,
            _ => return Err(one("/kind", "must name the kind of observation")),
        };
        let observation = Self::read(&kind, fields)?;
        let violations = observation.violations();
        if violations.is_empty() { Ok(observation) } else { Err(invalid(violations)) }
    }

    fn violations(&self) -> Vec<FieldError> {
        let mut found = Vec::new();
        let mut refuse = |bad: bool, pointer: &str, detail: &str| {
            if bad {
                found.push(FieldError::new(pointer, detail));
            }
        };
        for (pointer, number) in self.numbers() {
            refuse(number < 0.0, pointer, "must not be negative");
        }
        for (pointer, text) in self.texts() {
            refuse(text.is_empty() || text.len() > MAX_TEXT, pointer, "must have 1 to 256 bytes");
        }
        let off_range = |share: Option<f64>| share.is_some_and(|share| !PRICE_SHARES.contains(&share));
        match self {
            Self::Product(seen) => seen.refuse(refuse),
            Self::Sales(sold) => {
                refuse(sold.out_of_stock > 1.0, "/out_of_stock", "is a share of the day, at most 1");
                refuse(off_range(sold.price_share), "/price_share", OFF_PRICE);
            }
            Self::PlannedPromotion(planned) => refuse(off_range(planned.price_share), "/price_share", OFF_PRICE),
            Self::Lane(lane) => refuse(lane.from == lane.to, "/to", "must differ from /from"),
            _ => {}
        }
        found
    }

    /// JSON has no NaN and no infinity, so the sign is all that can be wrong with a number.
    fn numbers(&self) -> Vec<(&'static str, f64)> {
        match self {
            Self::Sales(sold) => vec![("/units", sold.units), ("/out_of_stock", sold.out_of_stock)],
            Self::Stock(seen) => vec![("/on_hand", seen.on_hand), ("/reserved", seen.reserved)],
            Self::Incoming(ahead) => vec![("/quantity", ahead.quantity)],
            Self::LeadTime(seen) => vec![("/days", seen.days)],
            Self::PromisedLeadTime(promised) => vec![("/days", promised.days)],
            Self::Lane(lane) => vec![("/transfer_days", lane.transfer_days)],
            Self::ReorderPoint(point) => vec![("/units", point.units)],
            _ => Vec::new(),
        }
    }

    fn texts(&self) -> Vec<(&'static str, &str)> {
        match self {
            Self::Product(seen) => given([("/name", &seen.name), ("/category", &seen.category)]),
            Self::Location(seen) => given([("/name", &seen.name), ("/time_zone", &seen.time_zone)]),
            Self::Stock(seen) => vec![("/system", &seen.system)],
            Self::Xref(told) => vec![("/system", &told.system), ("/external_id", &told.external_id)],
            _ => Vec::new(),
        }
    }
}

fn given<'a>(texts: [(&'static str, &'a Option<String>); 2]) -> Vec<(&'static str, &'a str)> {
    texts.into_iter().filter_map(|(pointer, text)| Some((pointer, text.as_deref()?))).collect()
}

fn invalid(errors: Vec<FieldError>) -> Problem {
    Problem::new("invalid-request", 422, "The line has invalid fields").errors(errors)
}

fn typed<T: DeserializeOwned>(fields: Map<String, Value>) -> Result<T, Problem> {
    parse_json(Value::Object(fields).to_string().as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pointers(line: &str) -> Vec<String> {
        let problem = Observation::parse(serde_json::from_str(line).unwrap()).unwrap_err();
        problem.errors.into_iter().map(|error| error.pointer).collect()
    }

    #[test]
    fn every_bad_field_is_named() {
        let sales = r#"{"kind":"sales","product":"A","location":"s","day":"2026-01-01","units":-1,"out_of_stock":2}"#;
        assert_eq!(pointers(sales), ["/units", "/out_of_stock"]);
        assert_eq!(pointers(r#"{"kind":"location","location":"not an id"}"#), ["/location"]);
        assert_eq!(pointers(r#"{"kind":"product","product":"A","pack":0,"name":""}"#), ["/name", "/pack"]);
        assert_eq!(pointers(r#"{"kind":"lane","from":"a","to":"a","transfer_days":1}"#), ["/to"]);
        let money = |minor, currency| format!(r#"{{"minor":{minor},"currency":"{currency}"}}"#);
        let product = format!(
            r#"{{"kind":"product","product":"A","unit_cost":{},"salvage_value":{},"unit_volume_litres":-1}}"#,
            money(5, "EUR"),
            money(-5, "USD")
        );
        let wrong = ["/unit_volume_litres", "/salvage_value/minor", "/salvage_value/currency"];
        assert_eq!(pointers(&product), wrong);
        for share in ["0", "1.01", "-0.5"] {
            let day = r#""product":"A","location":"s","day":"2026-01-01""#;
            let sales = format!(r#"{{"kind":"sales",{day},"units":1,"price_share":{share}}}"#);
            assert_eq!(pointers(&sales), ["/price_share"]);
            let planned = format!(r#"{{"kind":"planned_promotion",{day},"price_share":{share}}}"#);
            assert_eq!(pointers(&planned), ["/price_share"]);
        }
        assert_eq!(pointers(r#"{"kind":"holiday","location":"s","day":"2026-02-30"}"#), ["/day"]);
        assert_eq!(pointers(r#"{"kind":"weather"}"#), ["/kind"]);
        assert_eq!(pointers(r#"{"product":"A"}"#), ["/kind"]);
        assert_eq!(pointers("[1]"), [""]);
    }

    #[test]
    fn an_unknown_field_is_an_error_that_names_it() {
        assert_eq!(pointers(r#"{"kind":"location","location":"s","colour":"red"}"#), ["/colour"]);
        assert_eq!(pointers(r#"{"kind":"location"}"#), ["/location"]);
    }
}
