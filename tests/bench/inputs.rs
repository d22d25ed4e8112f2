//! Generated requests of the models, the same for us and for what we are held against.

use serde_json::{Value, json};

/// A model by the name of its route, and how many rows it is asked.
pub(crate) struct Inputs {
    pub(crate) model: &'static str,
    pub(crate) rows: u64,
    row: fn(u64) -> Value,
}

pub(crate) const INPUTS: [Inputs; 4] = [
    Inputs { model: "replenishment", rows: 20_000, row: alone },
    Inputs { model: "demand-signal", rows: 5_000, row: series },
    Inputs { model: "replenishment-snapshot", rows: 20_000, row: snapshot },
    Inputs { model: "allocation", rows: 40, row: stores },
];

impl Inputs {
    /// One request per line.
    pub(crate) fn text(&self) -> String {
        (0..self.rows).map(|n| (self.row)(n).to_string() + "\n").collect()
    }
}

/// A question with two months of daily sales.
pub(crate) fn question(n: u64) -> Value {
    let units: Vec<f64> = (0..60).map(|day| [3.0, 2.0, 0.0, 5.0, 4.0, 7.0, 1.0][(day + n as usize) % 7]).collect();
    json!({"facts": {
        "product": format!("SKU-{n}"), "location": "N1", "as_of": "2026-11-23T07:59:00Z",
        "item": {"unit_cost": {"minor": 500, "currency": "EUR"}, "unit_price": {"minor": 900, "currency": "EUR"}},
        "place": {"region": "north", "time_zone": "Europe/Berlin"},
        "stock": {"on_hand": 4.0, "reserved": 1.0, "observed_at": "2026-11-23T07:58:00Z"},
        "demand": {"first_day": "2026-09-24", "units": units},
        "lead_time": {"seen_days": [6.0, 7.0, 6.0, 9.0]},
        "donors": [{"location": "N2", "region": "north", "daily_demand": 1.0, "transfer_days": 1.0,
            "stock": {"on_hand": 60.0, "observed_at": "2026-11-23T07:58:00Z"}}],
    }})
}

/// The same without another location to take stock from, and with sales and stock of its own.
fn alone(n: u64) -> Value {
    let mut asked = question(n);
    asked["facts"]["demand"]["units"] = (0..60).map(|day| f64::from(noise(n, day) % (2 + noise(n, 99) % 9))).collect();
    asked["facts"]["stock"]["on_hand"] = json!(f64::from(1 + noise(n, 98) % 40));
    asked["facts"]["donors"] = json!([]);
    asked["options"] = json!({"explain": false});
    asked
}

/// Two months of intermittent sales.
fn series(n: u64) -> Value {
    let units: Vec<f64> = (0..60).map(|day| f64::from((noise(n, day) % 7).saturating_sub(3))).collect();
    json!({"series": {"grain": "day", "first": "2026-09-24", "units": units}, "options": {"explain": false}})
}

/// A snapshot whose outcome is known: backorders come where stock is short of the forecast, and by chance.
fn snapshot(n: u64) -> Value {
    let units = |salt: u64, most: u32| f64::from(noise(n, salt) % most);
    let (forecast, on_hand, month) = (units(1, 300), units(2, 400), units(8, 100));
    let short = f64::from(noise(n, 3) % 100) < if on_hand < forecast { 40.0 } else { 3.0 };
    let request = json!({
        "product": format!("SKU-{n}"), "as_of": "2026-11-23T07:59:00Z",
        "stock": {"on_hand": on_hand, "in_transit": units(4, 90), "minimum": units(5, 20), "overdue": units(6, 5),
            "backordered": 0.0},
        "lead_time_weeks": units(7, 16),
        "forecast": {"months_3": forecast, "months_6": forecast * 2.0, "months_9": forecast * 3.0},
        // Each horizon includes the shorter ones.
        "sales": {"month_1": month, "months_3": month + units(9, 200), "months_6": 300.0 + units(10, 300),
            "months_9": 600.0 + units(11, 300)},
        "supplier": {"performance_6_months": units(12, 101) / 100.0, "performance_12_months": units(13, 101) / 100.0},
        "options": {"explain": false},
    });
    json!({"request": request, "outcome": {"went_on_backorder": short}})
}

/// Twelve stores of which some have too much and some too little, each with a lane to the next three.
fn stores(n: u64) -> Value {
    let store = |i: u64| {
        let mean = f64::from(2 + noise(n, i) % 12);
        json!({"location": format!("N{i}"), "on_hand": noise(n, 100 + i) % 30,
            "demand": {"forecast": {"mean": mean, "variance": mean * 1.8}}})
    };
    let lane = |i: u64| {
        let (from, to) = (i / 3, (i / 3 + 1 + i % 3) % 12);
        json!({"from": from, "to": to, "unit_cost": 2.0 + f64::from(noise(n, 200 + i) % 5), "fixed_cost": 10.0,
            "capacity": 12})
    };
    json!({"as_of": "2026-11-23T07:59:00Z", "currency": "EUR",
        "locations": (0..12).map(store).collect::<Vec<_>>(), "lanes": (0..36).map(lane).collect::<Vec<_>>(),
        "options": {"margin": 100.0, "donor_risk_cap": 1.0, "explain": false}})
}

/// The same number for the same place, with no pattern that a model could find (SplitMix64's finalizer).
fn noise(n: u64, salt: u64) -> u32 {
    let mut x = n.wrapping_mul(0x9E37_79B9_7F4A_7C15).wrapping_add(salt.wrapping_mul(0xD1B5_4A32_D192_ED03));
    x = (x ^ (x >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    x = (x ^ (x >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    (x >> 40) as u32
}
