//! The supplier-risk and shipment-risk models through their public types, as services and backtests use them.

#![expect(clippy::unwrap_used, reason = "helpers of tests; clippy exempts only the test functions themselves")]

use std::sync::OnceLock;

use models::{
    Band, Case, Judge,
    supplier_risk::{purchase, shipment},
};
use proptest::prelude::*;
use serde_json::{Value, json};

mod lines {
    use contracts::SupplierId;
    use jiff::civil::{Date, date};
    use purchase::{Answer, Assessment, Counts, Evidence, History, Line, Model, Outcome, Request, Tally};

    use super::*;

    fn line(id: &str, supplier: &str, ordered: Date) -> Line {
        Line {
            id: id.to_owned(),
            supplier: SupplierId::new(supplier).unwrap(),
            channel: "direct".to_owned(),
            mode: "air".to_owned(),
            destination: "NG".to_owned(),
            account: String::new(),
            ordered,
            promised: ordered.checked_add(jiff::Span::new().days(30)).unwrap(),
            slack_days: 0,
            cost_per_day: None,
        }
    }

    fn tally(lines: f64, late: f64) -> Tally {
        let counts = Counts { lines, late };
        Tally { recent: counts, long: counts, days_late: late * 12.0, received_late: late }
    }

    /// A line of a supplier that was late in 6 of 40 lines, the others of its channel in 34 of 360.
    fn example() -> Value {
        let [all, own, lane] = [tally(400.0, 40.0), tally(40.0, 6.0), tally(8.0, 3.0)];
        json!({
            "line": {
                "id": "PO-1/1", "supplier": "acme", "channel": "direct", "mode": "air", "destination": "NG",
                "ordered": "2026-11-01", "promised": "2026-12-01"
            },
            "as_of": "2026-11-01T09:00:00Z",
            "evidence": {
                "all": all, "channel": all, "mode": all, "season": tally(30.0, 3.0), "supplier": own, "lane": lane,
                "supplier_lane": lane
            }
        })
    }

    fn with(change: impl FnOnce(&mut Value)) -> Request {
        let mut value = example();
        change(&mut value);
        serde_json::from_value(value).unwrap()
    }

    fn model() -> &'static Model {
        static MODEL: OnceLock<Model> = OnceLock::new();
        MODEL.get_or_init(|| Model::standard().unwrap())
    }

    fn assess(request: &Request) -> Assessment {
        match model().judge(request).unwrap() {
            Answer::Scored(assessment) => *assessment,
            Answer::InsufficientData { missing, .. } => panic!("{missing:?}"),
        }
    }

    #[test]
    fn a_circle_moves_the_estimate_as_the_beta_binomial_says() {
        let counts = tally(10.0, 4.0);
        let alone = Evidence { all: tally(180.0, 18.0), supplier: counts, ..Evidence::default() };
        let answer = assess(&with(|request| request["evidence"] = json!(alone)));
        // All lines are late at the prior's rate of 10 %; 10 lines of weight around it and 4 of 10 make 5 of 20.
        assert_eq!(answer.score.micros(), 250_000);
        let by_name = |name: &str| answer.contributions.iter().find(|part| part.name == name).unwrap().micros;
        assert_eq!((by_name("baseline"), by_name("supplier"), by_name("lane")), (100_000, 150_000, 0));
    }

    #[test]
    fn a_supplier_without_history_is_called_new_and_judged_by_its_channel() {
        let answer = assess(&with(|request| {
            request["evidence"]["supplier"] = json!(Tally::default());
            request["evidence"]["supplier_lane"] = json!(Tally::default());
        }));
        assert!(answer.new_supplier);
        assert!(!assess(&with(|_| ())).new_supplier);
        assert_eq!(answer.contributions.iter().find(|part| part.name == "supplier").unwrap().micros, 0);
    }

    #[test]
    fn without_any_history_the_model_does_not_guess() {
        let model = Model::standard().unwrap();
        for (change, pointer) in
            [(Value::Null, "/evidence"), (json!({"supplier": tally(10.0, 1.0)}), "/evidence/all/long/lines")]
        {
            let answer = model.judge(&with(|request| request["evidence"] = change)).unwrap();
            assert!(
                matches!(&answer, Answer::InsufficientData { missing, .. } if missing[0].pointer == pointer),
                "{answer:?}"
            );
        }
    }

    #[test]
    fn an_overdue_line_is_late_for_certain_and_later_still() {
        let answer = assess(&with(|request| {
            request["as_of"] = json!("2026-12-11T09:00:00Z");
            request["line"]["cost_per_day"] = json!({"minor": 10_000, "currency": "EUR"});
        }));
        assert_eq!((answer.score.micros(), answer.band), (1_000_000, Band::Critical));
        assert!(answer.delay.p50 > 9.0 && answer.delay.mean > 9.0, "{answer:?}");
        let cost = answer.expected_delay_cost.unwrap().minor;
        assert_eq!(cost, (answer.delay.mean * 10_000.0).round() as i64);
        assert_eq!(answer.valid_until, "2026-12-12T00:00:00Z".parse().unwrap());
    }

    #[test]
    fn at_the_order_no_day_has_passed() {
        let answer = assess(&with(|_| ()));
        let passed = answer.contributions.iter().find(|part| part.name == "days_passed").unwrap();
        assert_eq!(passed.micros, 0);
    }

    #[test]
    fn days_without_a_receipt_raise_the_risk_up_to_the_promise() {
        let on = |day: &str| assess(&with(|request| request["as_of"] = json!(format!("{day}T09:00:00Z")))).score;
        assert!(on("2026-11-01") < on("2026-11-20") && on("2026-11-20") < on("2026-12-01"));
        assert!(on("2026-12-01").micros() < 400_000);
    }

    #[test]
    fn the_counterfactual_flips_the_band_when_it_is_applied() {
        let slack = |days: i16| with(|request| request["line"]["slack_days"] = json!(days));
        let cases = [slack(0), slack(30), slack(-365)];
        for request in cases {
            let answer = assess(&request);
            let told = &answer.counterfactuals[0];
            let mut changed = request.clone();
            changed.line.slack_days = told.value_needed as i16;
            let then = assess(&changed);
            assert_eq!((then.score, then.band), (told.score_then, told.band_then));
            assert_ne!(then.band, answer.band);
            // One day short of it does not flip.
            changed.line.slack_days += if told.value_needed > told.value_now { -1 } else { 1 };
            assert_eq!(assess(&changed).band, answer.band);
        }
    }

    #[test]
    fn bad_input_is_named() {
        let request = with(|request| {
            request["line"]["promised"] = json!("2026-10-01");
            request["line"]["slack_days"] = json!(400);
            request["evidence"]["lane"]["long"]["late"] = json!(9.0);
            request["evidence"]["account"] = json!({"recent": {"lines": -1.0}});
        });
        let errors = Model::standard().unwrap().judge(&request).unwrap_err();
        let pointers: Vec<_> = errors.iter().map(|error| error.pointer.as_str()).collect();
        for pointer in
            ["/line/promised", "/line/slack_days", "/evidence/lane/long/late", "/evidence/account/recent/lines"]
        {
            assert!(pointers.contains(&pointer), "{pointers:?}");
        }
    }

    fn history() -> History {
        History::new(Model::standard().unwrap().parameters().memory)
    }

    #[test]
    fn an_outcome_is_known_at_the_receipt_or_when_the_promise_has_passed() {
        let first = date(2026, 1, 1);
        let mut history = history();
        for id in ["a", "b", "c"] {
            history.order(line(id, "acme", first));
        }
        assert!(history.receive("a", date(2026, 1, 20), -11));
        let asked = line("d", "acme", first);
        assert_eq!(history.evidence(&asked).supplier.long.lines, 1.0);
        history.advance(date(2026, 1, 31));
        assert_eq!(history.evidence(&asked).supplier.long.late, 0.0, "the promised day itself is on time");
        history.advance(date(2026, 2, 1));
        let overdue = history.evidence(&asked).supplier;
        assert_eq!((overdue.long.late, overdue.received_late), (2.0, 0.0));
        // One had come in time and was recorded late, the other is received nine days after its promise.
        assert!(history.receive("b", date(2026, 2, 1), 0));
        assert!(history.receive("c", date(2026, 2, 9), 9));
        let known = history.evidence(&asked).supplier;
        assert!((known.long.late - 0.994).abs() < 0.002, "{known:?}");
        assert_eq!((known.days_late, known.received_late), (9.0, 1.0));
        assert!(!history.receive("c", date(2026, 2, 9), 9), "a line is received once");
    }

    #[test]
    fn outcomes_fade_by_half_in_each_memory_s_half_life_and_stay_in_their_circles() {
        let mut history = history();
        history.order(line("a", "acme", date(2026, 1, 1)));
        history.receive("a", date(2026, 1, 31), 0);
        history.advance(date(2026, 4, 1));
        let evidence = history.evidence(&line("b", "acme", date(2026, 1, 1)));
        assert_eq!(evidence.supplier.recent.lines, 0.5);
        assert!((evidence.supplier.long.lines - 0.959).abs() < 1e-3);
        let other = history.evidence(&line("b", "other", date(2026, 4, 1)));
        assert_eq!((other.supplier, other.supplier_lane, other.season), Default::default());
        assert_eq!(other.lane, evidence.lane);
    }

    #[test]
    fn a_stored_history_goes_on_where_it_stopped() {
        let mut history = history();
        history.order(line("a", "acme", date(2026, 1, 1)));
        history.advance(date(2026, 2, 5));
        let mut restored: History = serde_json::from_str(&serde_json::to_string(&history).unwrap()).unwrap();
        history.receive("a", date(2026, 2, 10), 10);
        restored.receive("a", date(2026, 2, 10), 10);
        assert_eq!(restored, history);
    }

    #[test]
    fn a_fit_finds_the_delays_that_the_cases_have_and_does_not_get_worse() {
        let cases: Vec<_> = (0..400_u16)
            .map(|i| {
                let bad = i % 2 == 0;
                let mut request = with(|_| ());
                request.evidence.as_mut().unwrap().supplier = tally(60.0, if bad { 30.0 } else { 0.0 });
                let delay = if bad && i % 4 == 0 { 8 } else { -i16::from(i % 3 == 0) * 5 };
                Case { request, outcome: Outcome { delay_days: delay } }
            })
            .collect();
        let start = Model::standard().unwrap();
        let fitted = Model::fit(start.parameters(), "2", &cases, &mut |_| ()).unwrap();
        assert_eq!(fitted.delay.days_late, 8.0);
        assert_eq!(fitted.delay.days_early, 5.0);
        assert_eq!(fitted.shrinkage.prior_late, 0.25);
        let figures = |model: &Model| model.backtest(&cases).figures;
        let better = Model::new(fitted).unwrap();
        for (after, before) in figures(&better).iter().zip(figures(&start)).take(4) {
            assert!(!after.worse_than(before.value), "{after:?} {before:?}");
        }
        assert!(Model::fit(start.parameters(), "2", &cases[..10], &mut |_| ()).is_err());
    }

    fn counts() -> impl Strategy<Value = Tally> {
        (0.0..200.0, 0.0..1.0, 0.0..200.0, 0.0..1.0).prop_map(|(recent, a, long, b)| Tally {
            recent: Counts { lines: recent, late: recent * a },
            long: Counts { lines: long, late: long * b },
            days_late: 10.0 * b * long,
            received_late: b * long,
        })
    }

    proptest! {
        #[test]
        fn more_late_history_never_lowers_the_risk(
            tallies in prop::array::uniform8(counts()), circle in 0_usize..8, ahead in 0_i32..40,
        ) {
            let names = ["all", "channel", "mode", "season", "supplier", "lane", "account", "supplier_lane"];
            let request = |extra: f64| with(|request| {
                for (index, (name, tally)) in names.iter().zip(tallies).enumerate() {
                    let mut tally = tally;
                    // Enough lines to be judged, and one more that was late in one circle.
                    for counts in [&mut tally.recent, &mut tally.long] {
                        counts.lines += 20.0 + if index == circle { extra } else { 0.0 };
                        counts.late += if index == circle { extra } else { 0.0 };
                    }
                    request["evidence"][name] = json!(tally);
                }
                request["line"]["slack_days"] = json!(ahead - 20);
            });
            let (before, after) = (assess(&request(0.0)), assess(&request(1.0)));
            prop_assert!(after.score >= before.score);
            let sum: i64 = after.contributions.iter().map(|part| part.micros).sum();
            prop_assert_eq!(sum, i64::from(after.score.micros()));
        }
    }
}

mod transports {
    use shipment::{Answer, Assessment, Model, Outcome, Request};

    use super::*;

    /// One inbound leg that is delivered, and an outbound one that is about to begin.
    fn example() -> Value {
        let step = |until: &str, place: &str, planned: f64| json!({"until": until, "place": place, "planned_minutes": planned});
        let done = |until: &str, planned: f64, took: f64| json!({"until": until, "place": "HUB", "planned_minutes": planned, "took_minutes": took});
        json!({
            "transport": {
                "id": "T-1",
                "inbound": [{"steps": [done("received", 600.0, 500.0), done("departed", 200.0, 400.0),
                    done("arrived", 800.0, 700.0), done("delivered", 3000.0, 1200.0)]}],
                "outbound": {"steps": [step("received", "700", 900.0), step("departed", "700", 200.0),
                    step("arrived", "349", 800.0), step("delivered", "349", 600.0)]}
            },
            "as_of": "2026-11-23T08:00:00Z"
        })
    }

    fn with(change: impl FnOnce(&mut Value)) -> Request {
        let mut value = example();
        change(&mut value["transport"]);
        serde_json::from_value(value).unwrap()
    }

    fn model() -> &'static Model {
        static MODEL: OnceLock<Model> = OnceLock::new();
        MODEL.get_or_init(|| Model::standard().unwrap())
    }

    fn assess(request: &Request) -> Assessment {
        match model().judge(request).unwrap() {
            Answer::Scored(assessment) => *assessment,
            Answer::InsufficientData { missing, .. } => panic!("{missing:?}"),
        }
    }

    fn last(transport: &mut Value) -> &mut Value {
        &mut transport["outbound"]["steps"][3]
    }

    #[test]
    fn with_only_delivery_ahead_the_risk_is_the_lognormal_s_tail() {
        let answer = assess(&with(|transport| {
            for step in 0..3 {
                transport["outbound"]["steps"][step]["took_minutes"] = json!(100.0);
            }
            *last(transport) = json!({"until": "delivered", "place": "nowhere", "planned_minutes": 600.0});
            transport["allowed_minutes"] = json!(2800.0 + 300.0 + 1000.0);
        }));
        let delivered = &Model::standard().unwrap().parameters().durations.delivered.clone();
        let z = (1000.0_f64.ln() - delivered.mean) / delivered.variance.sqrt();
        let tail = statrs::function::erf::erfc(z / std::f64::consts::SQRT_2) / 2.0;
        assert!((f64::from(answer.score.micros()) / 1e6 - tail).abs() < 1e-6, "{answer:?}");
        assert_eq!(answer.unknown_places, 1);
    }

    #[test]
    fn what_is_certain_is_said_as_certain() {
        let finished = |minutes: f64| {
            assess(&with(|transport| {
                for step in 0..4 {
                    transport["outbound"]["steps"][step]["took_minutes"] = json!(100.0);
                }
                transport["allowed_minutes"] = json!(minutes);
            }))
        };
        assert_eq!(finished(3200.0).score.micros(), 0);
        assert_eq!(finished(3199.0).score.micros(), 1_000_000);
        assert_eq!(finished(3100.0).delay.unwrap().p50, 100.0);
        // The inbound leg alone has used up everything, while the outbound one has not begun.
        let hopeless = assess(&with(|transport| transport["allowed_minutes"] = json!(2800.0)));
        assert_eq!((hopeless.score.micros(), hopeless.band), (1_000_000, Band::Critical));
    }

    #[test]
    fn a_delivery_that_does_not_come_raises_the_risk() {
        let waited =
            |minutes: f64| assess(&with(|transport| last(transport)["elapsed_minutes"] = json!(minutes))).score;
        assert!(waited(0.0) < waited(500.0) && waited(500.0) < waited(2000.0));
        // Longer than anything that is left: late, whatever happens.
        assert_eq!(waited(1e6).micros(), 1_000_000);
    }

    #[test]
    fn the_slowest_of_several_inbound_legs_decides() {
        let second = |took: f64| {
            assess(&with(|transport| {
                let mut leg = transport["inbound"][0].clone();
                leg["steps"][3]["took_minutes"] = json!(took);
                transport["inbound"].as_array_mut().unwrap().push(leg);
            }))
            .score
        };
        let alone = assess(&with(|_| ())).score;
        assert_eq!(second(10.0), alone);
        assert!(second(3000.0) > alone);
    }

    #[test]
    fn the_counterfactual_flips_the_band_when_it_is_applied() {
        for allowed in [Value::Null, json!(4000.0), json!(50_000.0)] {
            let request = with(|transport| transport["allowed_minutes"] = allowed);
            let answer = assess(&request);
            let told = &answer.counterfactuals[0];
            let mut changed = request.clone();
            changed.transport.allowed_minutes = Some(told.value_needed);
            let then = assess(&changed);
            assert_eq!((then.score, then.band), (told.score_then, told.band_then));
            assert_ne!(then.band, answer.band);
        }
    }

    #[test]
    fn a_delay_quantile_is_exceeded_as_often_as_it_says() {
        let request = with(|transport| transport["allowed_minutes"] = json!(5500.0));
        let delay = assess(&request).delay.unwrap();
        assert!(delay.p50 <= delay.p80 && delay.p80 < delay.p95, "{delay:?}");
        let mut later = request.clone();
        later.transport.allowed_minutes = Some(5500.0 + delay.p95);
        assert!((assess(&later).score.micros()).abs_diff(50_000) < 100);
    }

    #[test]
    fn bad_input_is_named() {
        let request = with(|transport| {
            transport["inbound"][0]["steps"][0]["took_minutes"] = json!(-1.0);
            transport["inbound"][0]["steps"][1]["until"] = json!("delivered");
            transport["inbound"][0]["steps"][2]["elapsed_minutes"] = json!(5.0);
            transport["outbound"]["steps"] = json!([]);
        });
        let errors = Model::standard().unwrap().judge(&request).unwrap_err();
        let pointers: Vec<_> = errors.iter().map(|error| error.pointer.as_str()).collect();
        let expected = [
            "/transport/inbound/0/steps/0/took_minutes",
            "/transport/inbound/0/steps/1/until",
            "/transport/inbound/0/steps/2/elapsed_minutes",
            "/transport/outbound/steps",
        ];
        assert_eq!(pointers, expected);
    }

    #[test]
    fn without_a_plan_or_a_limit_the_model_does_not_guess() {
        let request = with(|transport| {
            for leg in ["/inbound/0", "/outbound"] {
                for step in transport.pointer_mut(leg).unwrap()["steps"].as_array_mut().unwrap() {
                    step["planned_minutes"] = json!(0.0);
                }
            }
        });
        let answer = Model::standard().unwrap().judge(&request).unwrap();
        assert!(
            matches!(answer, Answer::InsufficientData { missing, .. } if missing[0].pointer == "/transport/allowed_minutes")
        );
    }

    #[test]
    fn a_fit_learns_the_place_that_is_slow() {
        let cases: Vec<_> = (0..200_u32)
            .map(|i| {
                let place = if i % 2 == 0 { "slow" } else { "fast" };
                let request = with(|transport| last(transport)["place"] = json!(place));
                let delivery = if i % 2 == 0 { 5000.0 } else { 50.0 } + f64::from(i);
                let outcome = Outcome {
                    inbound: vec![vec![500.0, 400.0, 700.0, 1200.0]],
                    outbound: vec![700.0, 300.0, 700.0, delivery],
                };
                Case { request, outcome }
            })
            .collect();
        let start = Model::standard().unwrap();
        let fitted = Model::fit(start.parameters(), "2", &cases, &mut |_| ()).unwrap();
        let model = Model::new(fitted).unwrap();
        assert!(model.backtest(&cases).figures[0].value > 0.999);
        let mut broken = cases.clone();
        broken[3].outcome.outbound.pop();
        assert!(Model::fit(start.parameters(), "2", &broken, &mut |_| ()).is_err());
    }

    proptest! {
        #[test]
        fn more_time_never_raises_the_risk_and_parts_add_up(
            allowed in 10.0..30_000.0, more in 0.0..5_000.0, known in 0_usize..4, elapsed in 0.0..4_000.0,
        ) {
            let request = |allowed: f64, elapsed: f64| with(|transport| {
                for step in known..4 {
                    let step = transport["inbound"][0]["steps"][step].as_object_mut().unwrap();
                    step.remove("took_minutes");
                }
                transport["allowed_minutes"] = json!(allowed);
                last(transport)["elapsed_minutes"] = json!(elapsed);
            });
            let (before, after) = (assess(&request(allowed, elapsed)), assess(&request(allowed + more, elapsed)));
            prop_assert!(after.score <= before.score);
            let sum: i64 = before.contributions.iter().map(|part| part.micros).sum();
            prop_assert_eq!(sum, i64::from(before.score.micros()));
            prop_assert!(assess(&request(allowed, elapsed + more)).score >= before.score);
        }
    }
}
