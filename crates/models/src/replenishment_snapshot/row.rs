//! A snapshot as the row of numbers that is judged, and which fact each number speaks of.

use super::types::Request;
use crate::ensemble::Monotone::{self, Falling, Free, Rising};

/// Numbers in a row.
pub(super) const WIDTH: usize = 23;

/// A snapshot's numbers in the order of [`COLUMNS`]; NaN is unknown.
pub(super) type Row = [f64; WIDTH];

/// Places in a row that are read by name.
pub(super) const ON_HAND: usize = 0;
pub(super) const IN_TRANSIT: usize = 1;
pub(super) const OVERDUE: usize = 3;
pub(super) const LEAD_TIME: usize = 5;
pub(super) const PERFORMANCE: usize = 14;
const FORECAST_3: usize = 6;
const SALES_1: usize = 9;
const SALES_3: usize = 10;
const SHORTFALL: usize = 21;
const SHORTFALL_ON_HAND: usize = 22;

/// Name of each number, the fact it belongs to, and which way economics lets the risk go when it rises.
///
/// More stock never raises the risk, a longer lead time or more overdue units never lower it. The rest is free: what a
/// high forecast or a flag means depends on what planners have already done about it.
pub(super) const COLUMNS: [(&str, Fact, Monotone); WIDTH] = [
    ("on_hand", Fact::StockCover, Falling),
    ("in_transit", Fact::InTransit, Falling),
    ("minimum", Fact::MinimumStock, Free),
    ("overdue", Fact::Overdue, Rising),
    ("backordered", Fact::Backordered, Free),
    ("lead_time_weeks", Fact::LeadTime, Rising),
    ("forecast_3", Fact::Forecast, Free),
    ("forecast_6", Fact::Forecast, Free),
    ("forecast_9", Fact::Forecast, Free),
    ("sales_1", Fact::Sales, Free),
    ("sales_3", Fact::Sales, Free),
    ("sales_6", Fact::Sales, Free),
    ("sales_9", Fact::Sales, Free),
    ("performance_6", Fact::Supplier, Free),
    ("performance_12", Fact::Supplier, Free),
    ("source_issue", Fact::Flags, Free),
    ("deck_risk", Fact::Flags, Free),
    ("maker_constraint", Fact::Flags, Free),
    ("part_approval_risk", Fact::Flags, Free),
    ("automatic_ordering_stopped", Fact::Flags, Free),
    ("revision_stop", Fact::Flags, Free),
    ("shortfall", Fact::StockCover, Rising),
    ("shortfall_on_hand", Fact::StockCover, Rising),
];

/// What a buyer calls the facts that a score is made of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fact {
    StockCover,
    InTransit,
    MinimumStock,
    Overdue,
    Backordered,
    LeadTime,
    Forecast,
    Sales,
    Supplier,
    Flags,
}

impl Fact {
    /// Each fact in the order of its discriminant, as contributions call it, with its place in the request.
    pub(super) const ALL: [(&str, &str); 10] = [
        ("stock_cover", "/stock/on_hand"),
        ("in_transit", "/stock/in_transit"),
        ("minimum_stock", "/stock/minimum"),
        ("overdue", "/stock/overdue"),
        ("backordered", "/stock/backordered"),
        ("lead_time", "/lead_time_weeks"),
        ("forecast", "/forecast"),
        ("sales", "/sales"),
        ("supplier", "/supplier"),
        ("flags", "/flags"),
    ];
}

/// Units a month that forecast and recent sales speak for: the highest of the three, as running out is what is judged.
pub(super) fn monthly_demand(row: &Row) -> f64 {
    (row[FORECAST_3] / 3.0).max(row[SALES_1]).max(row[SALES_3] / 3.0)
}

/// Log-odds that demand with this mean exceeds the stock.
///
/// Demand is geometric, the negative binomial of size 1: its spread is as large as its mean, which is what months of
/// slow articles show. The tail is then `(m / (1 + m))^(s + 1)`.
pub(super) fn shortfall(mean: f64, stock: f64) -> f64 {
    /// An article without demand still sells one in a hundred months.
    const LEAST_DEMAND: f64 = 0.01;
    /// Beyond these odds an article is as good as safe, or short.
    const FARTHEST: f64 = 14.0;
    let mean = mean.max(LEAST_DEMAND);
    let log_tail = (stock.floor() + 1.0).max(0.0) * (mean / (1.0 + mean)).ln();
    // ln(p / (1 - p)) for p = e^x.
    (log_tail - (-log_tail.exp_m1()).ln()).clamp(-FARTHEST, FARTHEST)
}

/// The row of a snapshot that says what is on hand.
pub(super) fn row(request: &Request, on_hand: f64) -> Row {
    let Request { stock, forecast, sales, supplier, flags, .. } = request;
    let unknown = |value: Option<f64>| value.unwrap_or(f64::NAN);
    let flag = |set: bool| f64::from(u8::from(set));
    let mut row = [
        on_hand,
        stock.in_transit,
        stock.minimum,
        stock.overdue,
        stock.backordered,
        unknown(request.lead_time_weeks),
        forecast.months_3,
        forecast.months_6,
        forecast.months_9,
        sales.month_1,
        sales.months_3,
        sales.months_6,
        sales.months_9,
        unknown(supplier.performance_6_months),
        unknown(supplier.performance_12_months),
        flag(flags.source_issue),
        flag(flags.deck_risk),
        flag(flags.maker_constraint),
        flag(flags.part_approval_risk),
        flag(flags.automatic_ordering_stopped),
        flag(flags.revision_stop),
        0.0,
        0.0,
    ];
    derive(&mut row);
    row
}

/// Fills in, or after a change of stock again, what follows from the other numbers.
pub(super) fn derive(row: &mut Row) {
    let demand = monthly_demand(row);
    row[SHORTFALL] = shortfall(demand, row[ON_HAND] + row[IN_TRANSIT]);
    row[SHORTFALL_ON_HAND] = shortfall(demand, row[ON_HAND]);
}
