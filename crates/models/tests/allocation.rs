//! The allocation model through its public types, as services and backtests use it.

#![expect(clippy::unwrap_used, reason = "helpers of tests; clippy exempts only the test functions themselves")]

use models::{
    Case, Judge,
    allocation::{Answer, Assessment, Location, Model, Order, Outcome, Request},
    counts::Counts,
};
use proptest::{prelude::*, strategy::ValueTree, test_runner::TestRunner};
use serde_json::{Value, json};

fn request(value: Value) -> Request {
    serde_json::from_value(value).unwrap()
}

fn assess(request: &Request) -> Assessment {
    match Model::standard().unwrap().judge(request).unwrap() {
        Answer::Scored(assessment) => *assessment,
        Answer::InsufficientData { missing, .. } => panic!("{missing:?}"),
    }
}

fn place(name: &str, on_hand: u32, reserved: u32, mean: f64) -> Value {
    json!({"location": name, "on_hand": on_hand, "reserved": reserved,
           "demand": {"forecast": {"mean": mean, "variance": mean * 1.5}}})
}

/// A store with far too much, one with far too little, and a lane between them.
fn example() -> Value {
    json!({
        "product": "SKU-1", "as_of": "2026-11-23T08:00:00Z", "currency": "EUR",
        "locations": [place("store-1", 60, 0, 20.0), place("store-2", 4, 6, 20.0)],
        "lanes": [{"from": 0, "to": 1, "unit_cost": 8.8, "fixed_cost": 60.0, "capacity": 12}],
        "options": {"donor_risk_cap": 0.1}
    })
}

/// Expected earnings of a location at a stock, by the definition: reserved units first, then the others.
fn earnings(request: &Request, site: usize, stock: u32) -> f64 {
    let value = serde_json::to_value(&request.locations[site]).unwrap();
    let forecast = &value["demand"]["forecast"];
    let counts = Counts::by_moments(forecast["mean"].as_f64().unwrap(), forecast["variance"].as_f64().unwrap());
    let (reserved, options) = (request.locations[site].reserved, &request.options);
    let sold = counts.mean() - counts.beyond(f64::from(stock.saturating_sub(reserved))).excess;
    options.reserved_value * f64::from(stock.min(reserved)) + options.margin * sold
}

/// Gain of given units on each lane; `None` when they are not all on hand.
fn gain(request: &Request, units: &[u32]) -> Option<f64> {
    let mut change = vec![(0, 0); request.locations.len()];
    let mut gain = 0.0;
    for (lane, units) in request.lanes.iter().zip(units).filter(|(_, units)| **units > 0) {
        change[lane.from].0 += units;
        change[lane.to].1 += units;
        gain -= lane.fixed_cost + lane.unit_cost * f64::from(*units);
    }
    for (site, (out, inward)) in change.into_iter().enumerate() {
        let on_hand = request.locations[site].on_hand;
        gain += earnings(request, site, on_hand.checked_sub(out)? + inward) - earnings(request, site, on_hand);
    }
    Some(gain)
}

/// The best gain of all plans, by trying each.
fn best_gain(request: &Request) -> f64 {
    let mut best: f64 = 0.0;
    let mut units = vec![0; request.lanes.len()];
    loop {
        best = best.max(gain(request, &units).unwrap_or(0.0));
        let Some(lane) = (0..units.len()).find(|lane| units[*lane] < request.lanes[*lane].capacity) else {
            return best;
        };
        units[lane] += 1;
        units[..lane].fill(0);
    }
}

#[test]
fn stock_goes_from_plenty_to_want_as_far_as_the_lane_carries() {
    let answer = assess(&request(example()));
    let [transfer] = answer.transfers.as_slice() else { panic!("{answer:?}") };
    assert_eq!((transfer.from.as_str(), transfer.to.as_str(), transfer.quantity), ("store-1", "store-2", 12));
    assert!(transfer.donor_risk_after <= 0.1 && transfer.donor_risk_after >= transfer.donor_risk_before);
    assert!(transfer.receiver_risk_after <= transfer.receiver_risk_before);
    // Two reserved units at 300, ten others nearly sure to sell at 100, less 60 and 12 times 8.8.
    assert!((transfer.gain - (600.0 + 1000.0 - 165.6)).abs() < 20.0, "{transfer:?}");
    assert!(answer.gap < 1e-9 && answer.gain_bound.minor >= answer.expected_gain.minor, "{answer:?}");
    assert!(transfer.proposal.is_some() && transfer.reason.contains("store-2"));
    assert_eq!(answer.valid_until, "2026-11-23T14:00:00Z".parse().unwrap());
}

#[test]
fn a_lane_too_dear_or_too_slow_is_not_used() {
    for (field, value) in [("fixed_cost", 5000.0), ("unit_cost", 400.0), ("days", 3.0)] {
        let mut dear = example();
        dear["lanes"][0][field] = json!(value);
        let answer = assess(&request(dear));
        assert!(answer.transfers.is_empty() && answer.score.micros() == 0, "{field}: {answer:?}");
    }
}

#[test]
fn a_giver_is_left_at_its_risk_cap_and_not_above() {
    let mut tight = example();
    tight["locations"][0]["on_hand"] = json!(30);
    let capped = assess(&request(tight.clone()));
    tight["options"]["donor_risk_cap"] = json!(1.0);
    let free = assess(&request(tight));
    assert!(capped.transfers[0].quantity < free.transfers[0].quantity);
    assert!(capped.transfers[0].donor_risk_after <= 0.1 && free.transfers[0].donor_risk_after > 0.1);
}

#[test]
fn fairness_keeps_a_receiver_near_the_common_fill_rate() {
    let mut value = example();
    value["locations"] = json!([place("a", 40, 0, 20.0), place("b", 2, 0, 20.0), place("c", 2, 0, 20.0)]);
    value["lanes"][0]["capacity"] = json!(20);
    value["options"] = json!({"donor_risk_cap": 1.0, "margin": 500.0, "reserved_value": 500.0});
    let unfair = assess(&request(value.clone()));
    value["options"]["fairness_cap"] = json!(0.05);
    let fair = assess(&request(value));
    let rate = 44.0 / 60.0;
    assert!(unfair.locations[1].fill_after > rate + 0.05, "{unfair:?}");
    assert!(fair.locations[1].fill_after <= rate + 0.05 && fair.locations[0].fill_after >= rate - 0.05, "{fair:?}");
}

#[test]
fn one_more_is_worth_what_it_turns_out_to_be_worth() {
    let value = example();
    let now = assess(&request(value.clone()));
    let lane = now.counterfactuals.iter().find(|one| one.pointer == "/lanes/0/capacity").unwrap();
    let mut more = value;
    more["lanes"][0]["capacity"] = json!(lane.value_then);
    let then = assess(&request(more));
    let worth = then.transfers[0].gain - now.transfers[0].gain;
    assert!((lane.worth - worth).abs() < 1e-6 && worth > 50.0, "{lane:?} {worth}");
}

/// Four weeks of a store that sells 10 a day, with so many units reserved.
fn history(name: &str, reserved: u32) -> Value {
    json!({"location": name, "on_hand": 30, "reserved": reserved,
           "demand": {"history": {"sales": {"first_day": "2026-10-26", "units": vec![10.0; 28]}}}})
}

#[test]
fn what_is_reserved_anywhere_tells_of_demand_everywhere() {
    let demand = |reserved: u32| {
        let locations: Vec<_> = (0..6).map(|i| history(&format!("s{i}"), if i == 0 { 4 } else { reserved })).collect();
        let value = json!({"as_of": "2026-11-23T08:00:00Z", "currency": "EUR", "locations": locations});
        assess(&request(value)).locations[0].demand
    };
    // A fifth of 20 units is reserved as a rule, so 4 say nothing new. A little below 20, because weekends are taken to
    // sell more and the two days ahead are working days.
    assert!((demand(4) - 20.0).abs() < 0.5, "{}", demand(4));
    assert!(demand(0) < 19.0 && demand(8) > 21.0);
}

#[test]
fn a_history_too_short_is_named_and_nothing_guessed() {
    let mut short = history("s1", 0);
    short["demand"]["history"]["sales"]["units"] = json!([1.0, 2.0]);
    let value = json!({"as_of": "2026-11-23T08:00:00Z", "currency": "EUR", "locations": [history("s0", 0), short]});
    let answer = Model::standard().unwrap().judge(&request(value)).unwrap();
    let Answer::InsufficientData { missing, .. } = answer else { panic!("{answer:?}") };
    assert_eq!(missing[0].pointer, "/locations/1/demand/history/sales/units");
}

#[test]
fn every_bad_field_is_named() {
    let mut bad = request(example());
    bad.lanes.push(bad.lanes[0].clone());
    bad.lanes[0].unit_cost = f64::NAN;
    bad.lanes[1].to = 9;
    bad.locations[1].location = bad.locations[0].location.clone();
    bad.locations[1].on_hand = 2_000_000;
    bad.options.margin = 1e3;
    bad.options.donor_risk_cap = -0.1;
    bad.orders = serde_json::from_value(json!([{"order": "o1", "units": 0, "sources": []}])).unwrap();
    let errors = Model::standard().unwrap().judge(&bad).unwrap_err();
    let pointers: Vec<_> = errors.iter().map(|error| error.pointer.as_str()).collect();
    let expected = [
        "/options/donor_risk_cap",
        "/options/reserved_value",
        "/locations/1/location",
        "/locations/1/on_hand",
        "/lanes/0/unit_cost",
        "/lanes/1/to",
        "/orders/0/units",
        "/orders/0/sources",
    ];
    assert_eq!(pointers, expected);
    let error = serde_json::from_value::<Request>(json!({"as_of": "2026-11-23T08:00:00Z", "lane": []})).unwrap_err();
    assert!(error.to_string().contains("lane"), "{error}");
}

#[test]
fn a_backtest_with_perfect_forecasts_captures_what_there_is() {
    let mut value = example();
    // So little spread that the plan for the expectation is the plan for the truth.
    value["locations"] = json!([place("a", 60, 20, 0.0), place("b", 4, 20, 0.0)]);
    let case = Case { request: request(value), outcome: Outcome { demand: vec![20, 20] } };
    let figures = Model::standard().unwrap().backtest(std::slice::from_ref(&case));
    assert!((figures.figures[0].value - 1.0).abs() < 1e-9, "{figures:?}");
    let unread = Case { outcome: Outcome { demand: vec![1] }, ..case };
    assert_eq!(Model::standard().unwrap().backtest(&[unread]).refused, 1);
}

#[test]
fn a_fit_finds_the_share_that_is_reserved() {
    let model = Model::standard().unwrap();
    let cases: Vec<_> = (0..40)
        .map(|i| {
            let locations: Vec<_> = (0..6).map(|j| history(&format!("s{j}"), 6 + (i + j) % 3)).collect();
            let value = json!({"as_of": "2026-11-23T08:00:00Z", "currency": "EUR", "locations": locations});
            Case { request: request(value), outcome: Outcome { demand: vec![20; 6] } }
        })
        .collect();
    let fitted = Model::fit(model.parameters(), "2", &cases, &mut |_| ()).unwrap();
    assert_eq!(fitted.version, "2");
    assert!((fitted.reserved_share - 0.35).abs() < 0.01, "{fitted:?}");
    assert!(Model::fit(model.parameters(), "2", &cases[..3], &mut |_| ()).is_err());
}

fn orders(orders: &Value, stock: &[u32]) -> Request {
    let place = |(i, on_hand): (usize, &u32)| json!({"location": format!("p{i}"), "on_hand": on_hand});
    let locations: Vec<_> = stock.iter().enumerate().map(place).collect();
    request(json!({"as_of": "2026-11-23T08:00:00Z", "currency": "EUR", "locations": locations, "orders": orders}))
}

#[test]
fn an_order_makes_room_for_one_that_has_no_other_place() {
    let list = json!([
        {"order": "o1", "sources": [{"location": 0, "unit_cost": 1.0}, {"location": 1, "unit_cost": 9.0}]},
        {"order": "o2", "sources": [{"location": 0, "unit_cost": 5.0}]}
    ]);
    let answer = assess(&orders(&list, &[1, 1]));
    let places: Vec<_> = answer.reservations.iter().map(|one| (one.order, one.location)).collect();
    assert_eq!(places, [(0, 1), (1, 0)]);
    assert_eq!(answer.orders.unwrap().cost, 14.0);
    assert_eq!(answer.score.micros(), 1_000_000);
}

#[test]
fn a_high_priority_outweighs_any_number_of_low_ones() {
    let list = json!([
        {"order": "o1", "units": 5, "priority": "low", "sources": [{"location": 0, "unit_cost": 0.0}]},
        {"order": "o2", "units": 3, "priority": "high", "sources": [{"location": 0, "unit_cost": 900.0}]},
        {"order": "o3", "value": 10.0, "sources": [{"location": 1, "unit_cost": 11.0}]}
    ]);
    let answer = assess(&orders(&list, &[4, 4]));
    let served: Vec<_> = answer.reservations.iter().map(|one| (one.order, one.quantity)).collect();
    assert_eq!(served, [(0, 1), (1, 3)]);
    assert_eq!(answer.orders.unwrap().short, [0, 2]);
    let more = answer.counterfactuals.iter().find(|one| one.pointer == "/locations/0/on_hand").unwrap();
    assert_eq!(more.units_served, 1);
}

/// Most units served, then least cost, by trying every place of every order of one unit.
fn best_assignment(orders: &[Order], stock: &mut Vec<u32>) -> (u64, f64) {
    let Some((order, rest)) = orders.split_first() else { return (0, 0.0) };
    let mut best = best_assignment(rest, stock);
    for source in &order.sources {
        if stock[source.location] > 0 {
            stock[source.location] -= 1;
            let (served, cost) = best_assignment(rest, stock);
            stock[source.location] += 1;
            let (served, cost) = (served + 1, cost + source.unit_cost);
            if served > best.0 || (served == best.0 && cost < best.1) {
                best = (served, cost);
            }
        }
    }
    best
}

fn any_orders() -> impl Strategy<Value = Value> {
    let sources = prop::collection::btree_map(0_usize..3, 0_u32..40, 1..4);
    prop::collection::vec(sources, 1..7).prop_map(|orders| {
        let order = |(i, sources): (usize, std::collections::BTreeMap<usize, u32>)| {
            let sources: Vec<_> =
                sources.into_iter().map(|(place, cost)| json!({"location": place, "unit_cost": cost})).collect();
            json!({"order": format!("o{i}"), "sources": sources})
        };
        orders.into_iter().enumerate().map(order).collect()
    })
}

prop_compose! {
    /// Three locations and up to four lanes that a search through all plans can still try.
    fn any_transfers()(
        stock in prop::collection::vec((0_u32..12, 0_u32..5, 0.0_f64..10.0), 3),
        lanes in prop::collection::btree_map(
            prop::sample::select(vec![(0_usize, 1_usize), (0, 2), (1, 2), (2, 0), (1, 0)]),
            (0.0_f64..60.0, 0.0_f64..150.0, 0_u32..5), 1..5),
        cap in prop::sample::select(vec![0.1, 0.4, 1.0]),
    ) -> Value {
        let locations: Vec<_> =
            stock.iter().enumerate().map(|(i, (on, reserved, mean))| place(&format!("s{i}"), *on, *reserved, *mean)).collect();
        let lanes: Vec<_> = lanes.into_iter().map(|((from, to), (unit, fixed, capacity))| json!({
            "from": from, "to": to, "unit_cost": unit, "fixed_cost": fixed, "capacity": capacity
        })).collect();
        json!({"as_of": "2026-11-23T08:00:00Z", "currency": "EUR", "locations": locations, "lanes": lanes,
               "options": {"donor_risk_cap": cap}})
    }
}

/// The plan whatever the uncertainty of its gain: that nothing is moved for it is a decision of its own.
fn without_caution(request: &Request) -> Assessment {
    let mut parameters = Model::standard().unwrap().parameters().clone();
    parameters.caution = 0.0;
    let Answer::Scored(answer) = Model::new(parameters).unwrap().judge(request).unwrap() else { panic!() };
    *answer
}

fn gain_of(answer: &Assessment) -> f64 {
    answer.transfers.iter().map(|one| one.gain).sum()
}

/// No single plan is promised to be the best, and rarely one is not: so all of them together are compared.
#[test]
fn plans_reach_nearly_all_that_could_be_gained() {
    let mut runner = TestRunner::deterministic();
    let (mut gained, mut best) = (0.0, 0.0);
    for _ in 0..300 {
        let request = request(any_transfers().new_tree(&mut runner).unwrap().current());
        if request.options.donor_risk_cap < 1.0 {
            continue;
        }
        gained += gain_of(&without_caution(&request));
        best += best_gain(&request);
    }
    assert!(gained <= best + 1e-6 && gained >= 0.995 * best, "{gained} {best}");
}

proptest! {
    #[test]
    fn orders_are_assigned_as_well_as_by_trying_everything(list in any_orders(), stock in prop::collection::vec(0_u32..4, 3)) {
        let request = orders(&list, &stock);
        let outcome = assess(&request).orders.unwrap();
        prop_assert_eq!((outcome.units_served, outcome.cost), best_assignment(&request.orders, &mut stock.clone()));
    }

    #[test]
    fn more_stock_never_serves_fewer_orders(list in any_orders(), stock in prop::collection::vec(0_u32..4, 3), at in 0_usize..3) {
        let mut more = stock.clone();
        more[at] += 1;
        let served = |stock: &[u32]| assess(&orders(&list, stock)).orders.unwrap().units_served;
        prop_assert!(served(&more) >= served(&stock));
    }

    #[test]
    fn a_plan_keeps_every_limit_and_adds_up(value in any_transfers()) {
        let request = request(value);
        let answer = assess(&request);
        let mut given = [0; 3];
        for transfer in &answer.transfers {
            let lane = &request.lanes[transfer.lane];
            prop_assert!(transfer.quantity > 0 && transfer.quantity <= lane.capacity);
            prop_assert!(transfer.donor_risk_after <= request.options.donor_risk_cap + 1e-12);
            given[lane.from] += transfer.quantity;
        }
        prop_assert!(given.iter().zip(&request.locations).all(|(given, location)| *given <= location.on_hand));
        let parts: i64 = answer.contributions.iter().map(|part| part.micros).sum();
        prop_assert_eq!(parts, i64::from(answer.score.micros()));
        let units: Vec<_> = (0..request.lanes.len())
            .map(|lane| answer.transfers.iter().find(|one| one.lane == lane).map_or(0, |one| one.quantity))
            .collect();
        let gained: f64 = answer.transfers.iter().map(|one| one.gain).sum();
        prop_assert!((gained - gain(&request, &units).unwrap()).abs() < 1e-6);
        prop_assert_eq!(&answer, &assess(&request));
    }

    #[test]
    fn the_bound_is_above_the_best_plan_and_the_gap_is_true(mut value in any_transfers()) {
        value["options"]["donor_risk_cap"] = json!(1.0);
        let request = request(value);
        let answer = without_caution(&request);
        let (best, gained) = (best_gain(&request), gain_of(&answer));
        prop_assert!(gained <= best + 1e-6, "{gained} {best}");
        prop_assert!(answer.gain_bound.minor as f64 >= best - 1e-6, "{} {best}", answer.gain_bound.minor);
        prop_assert!(gained >= best * (1.0 - answer.gap) - 1e-6);
    }

    #[test]
    fn more_supply_never_lowers_what_a_plan_is_worth(value in any_transfers(), site in 0_usize..3, more in 1_u32..6) {
        let worth = |request: &Request| {
            let stands = |(site, one): (usize, &Location)| earnings(request, site, one.on_hand);
            request.locations.iter().enumerate().map(stands).sum::<f64>() + gain_of(&without_caution(request))
        };
        let scarce = request(value);
        let mut ample = scarce.clone();
        ample.locations[site].on_hand += more;
        let (scarce, ample) = (worth(&scarce), worth(&ample));
        prop_assert!(ample >= scarce - 1e-6, "{scarce} {ample}");
    }

    #[test]
    fn without_fixed_costs_one_receiver_is_served_best(
        stock in 0_u32..20, mean in 0.0_f64..10.0, unit in 0.0_f64..80.0, capacity in 0_u32..12,
    ) {
        let request = request(json!({
            "as_of": "2026-11-23T08:00:00Z", "currency": "EUR", "options": {"donor_risk_cap": 1.0},
            "locations": [place("a", stock, 0, 3.0), place("b", 2, 1, mean)],
            "lanes": [{"from": 0, "to": 1, "unit_cost": unit, "capacity": capacity}]
        }));
        let gained = gain_of(&without_caution(&request));
        prop_assert!((gained - best_gain(&request)).abs() < 1e-6);
    }
}
