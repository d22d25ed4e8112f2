//! Generated requests of the models, the same for us and for what we are held against.

use serde_json::{Map, Value, json};

/// A model by the name of its route, and how many rows it is asked.
pub(crate) struct Inputs {
    pub(crate) model: &'static str,
    /// A multiple of [`Inputs::piece`].
    pub(crate) rows: usize,
    row: fn(u64) -> Value,
    /// What became of a row, for a model that is shipped without what it is to be measured with: it is fitted first.
    pub(crate) outcome: Option<fn(u64) -> Value>,
}

/// Every model of the service.
pub(crate) const INPUTS: [Inputs; 8] = [
    Inputs { model: "replenishment", rows: 20_000, row: alone, outcome: None },
    Inputs { model: "replenishment-snapshot", rows: 20_000, row: snapshot, outcome: Some(backorder) },
    Inputs { model: "demand-signal", rows: 5_000, row: series, outcome: None },
    Inputs { model: "demand-signal-hours", rows: 1_000, row: hours, outcome: None },
    Inputs { model: "supplier-risk", rows: 10_000, row: purchase, outcome: None },
    Inputs { model: "shipment-risk", rows: 5_000, row: transport, outcome: None },
    Inputs { model: "inventory-exception", rows: 10_000, row: variance, outcome: None },
    Inputs { model: "allocation", rows: 40, row: stores, outcome: None },
];

impl Inputs {
    /// One request per line.
    pub(crate) fn lines(&self) -> Vec<String> {
        (0..self.rows as u64).map(|n| (self.row)(n).to_string()).collect()
    }

    /// The same as cases, with what became of each; `None` for a model that is measured as it is shipped.
    pub(crate) fn cases(&self) -> Option<Vec<String>> {
        let outcome = self.outcome?;
        let case = |n| json!({"request": (self.row)(n), "outcome": outcome(n)}).to_string();
        Some((0..self.rows as u64).map(case).collect())
    }

    /// Rows that are sent together.
    pub(crate) fn piece(&self) -> usize {
        self.rows.min(100)
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

/// A month's stock, forecast and sales of an article.
fn snapshot(n: u64) -> Value {
    let units = |salt: u64, most: u32| f64::from(noise(n, salt) % most);
    let (forecast, on_hand) = (units(1, 300), units(2, 400));
    json!({
        "product": format!("SKU-{n}"), "as_of": "2026-11-23T07:59:00Z",
        "stock": {"on_hand": on_hand, "in_transit": units(4, 90), "minimum": units(5, 20), "overdue": units(6, 5),
            "backordered": 0.0},
        "lead_time_weeks": units(7, 16),
        "forecast": {"months_3": forecast, "months_6": forecast * 2.0, "months_9": forecast * 3.0},
        "sales": {"month_1": units(8, 100), "months_3": 100.0 + units(9, 200), "months_6": 300.0 + units(10, 300),
            "months_9": 600.0 + units(11, 300)},
        "supplier": {"performance_6_months": units(12, 101) / 100.0, "performance_12_months": units(13, 101) / 100.0},
        "options": {"explain": false},
    })
}

/// Backorders come where stock is short of the forecast, and by chance.
fn backorder(n: u64) -> Value {
    let short = noise(n, 2) % 400 < noise(n, 1) % 300;
    json!({"went_on_backorder": noise(n, 3) % 100 < if short { 40 } else { 3 }})
}

/// Four weeks of hourly sales of a shop that opens from 7 to 21.
fn hours(n: u64) -> Value {
    let sold = |hour: u64| if (7..21).contains(&(hour % 24)) { noise(n, hour) % (2 + noise(n, 999) % 4) } else { 0 };
    json!({"product": format!("SKU-{n}"), "location": "N1", "as_of": "2026-11-22T22:00:00Z",
        "sales": {"first_day": "2026-10-26", "units": (0..28 * 24).map(sold).collect::<Vec<_>>()},
        "options": {"explain": false}})
}

/// An ordered line, with what is known of lines like it in each circle around it.
fn purchase(n: u64) -> Value {
    let circles = ["all", "channel", "mode", "season", "supplier", "lane", "account", "supplier_lane"];
    let tally = |circle: u64| {
        let most = 4000 >> circle;
        let lines = f64::from(most / 2 + noise(n, circle) % (most / 2));
        let late = (lines * f64::from(noise(n, 20 + circle) % 40) / 100.0).floor();
        json!({"recent": {"lines": lines / 4.0, "late": late / 4.0}, "long": {"lines": lines, "late": late},
            "days_late": late * 9.0, "received_late": late})
    };
    let evidence: Map<String, Value> = circles.into_iter().map(str::to_owned).zip((0..).map(tally)).collect();
    let mode = ["air", "sea", "road"][n as usize % 3];
    json!({
        "line": {"id": format!("PO-{n}/1"), "supplier": format!("S-{}", n % 500), "channel": "direct",
            "mode": mode, "destination": "NG", "account": "wholesale-north",
            "ordered": "2026-10-01", "promised": "2026-11-20"},
        "as_of": format!("2026-11-{:02}T08:00:00Z", 1 + noise(n, 30) % 28),
        "evidence": evidence, "options": {"explain": false},
    })
}

/// Two legs to a hub, of which the first is on its way, and one from there.
fn transport(n: u64) -> Value {
    let leg = |leg: u64, passed: usize| {
        let step = |(i, until): (usize, &&str)| {
            let planned = f64::from(60 + noise(n, leg * 10 + i as u64) % 1500);
            let place = (100 + noise(n, 50 + leg) % 200).to_string();
            let mut step = json!({"until": until, "place": place, "planned_minutes": planned});
            if i < passed {
                step["took_minutes"] = json!(planned * f64::from(50 + noise(n, 70 + i as u64) % 100) / 100.0);
            }
            step
        };
        let steps: Vec<Value> = ["received", "departed", "arrived", "delivered"].iter().enumerate().map(step).collect();
        json!({"steps": steps})
    };
    json!({"as_of": "2026-11-23T07:59:00Z", "options": {"explain": false},
        "transport": {"id": format!("T-{n}"), "inbound": [leg(0, n as usize % 4), leg(1, 0)], "outbound": leg(2, 0)}})
}

/// A count that differs from the book, with the trace of one of six causes.
fn variance(n: u64) -> Value {
    let units = f64::from(1 + noise(n, 1) % 30);
    let book = 40.0 + units;
    let mut facts = json!({
        "product": format!("SKU-{n}"), "location": "N1", "category": "glassware", "as_of": "2026-11-23T07:59:00Z",
        "item": {"unit_cost": {"minor": 600, "currency": "EUR"}, "case_pack": 12.0, "theft_risk": noise(n, 2) % 3},
        "count": {"system": book, "counted": book - units},
        "sales": {"units": f64::from(noise(n, 3) % 200), "days": 28.0, "idle_days": f64::from(noise(n, 4) % 9)},
    });
    match n % 6 {
        0 => facts["count"]["recount"] = json!(book),
        1 => facts["handling"] = json!({"manual_entries": 1.0, "largest_scan": units}),
        2 => facts["neighbours"] = json!({"other_place": units}),
        3 => facts["moves"] = json!({"open_document_units": -units}),
        4 => facts["handling"] = json!({"damage_reports": 2.0, "waste_units": 0.0}),
        _ => {
            facts["receipts"] = json!({"last_announced": 24.0, "last_posted": 24.0 + units, "last_days_ago": 3.0});
        }
    }
    json!({"facts": facts, "options": {"explain": false}})
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
